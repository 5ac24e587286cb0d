"""Inputs on which there is nothing to judge, or too little: each has its verdict and its sentence, and none passes.

Every one is a run of a whole suite. Models and methods are those of `known_bad`, and what each computes stands there.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import known_bad
import pytest
import torch
from fake_models import FEMALE, MALE, ODD, TEST, TRAIN, bench_of, circuit_of, subject_of, write_task
from safetensors.torch import load_file

from faithcheck import importance
from faithcheck.api import run_suite
from faithcheck.checks.generalization import MINIMUM_CONFIDENT
from faithcheck.circuit import Circuit, save_circuit
from faithcheck.cli import main
from faithcheck.engine import execute
from faithcheck.events import CheckJudged
from faithcheck.resampling import MINIMUM_PROMPTS, MINIMUM_UNITS
from faithcheck.resolve import resolve
from faithcheck.suite import load_suite
from faithcheck.verdict import Verdict

HERE = Path(known_bad.__file__)
PASS, FAIL, INCONCLUSIVE, ERROR = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR
NOT_APPLICABLE = Verdict.NOT_APPLICABLE
CHECKS = ("sufficiency", "attention_agreement", "node_roles", "generalization", "layernorm")
OTHERS = CHECKS[1:]
SUITE = """\
faithcheck: 1
model: "{model}"
tasks: [toy.yaml]
{method}
seeds: 1
target_loss: 0.15
checks: [{checks}]
"""
EXTRA = ["when", "is", "so", "and", *TRAIN[:2]]


def names(form):
    """42 women and 42 men, two words each, of which one decides: 84 units."""
    return {
        kind: [form.format(name, word) for name in words for word in EXTRA]
        for kind, words in (("female", FEMALE), ("male", MALE))
    }


NAME_FIRST = {"test": TEST[:6], "odd": ODD[:6], **names("{0} {1}")}
"""504 test prompts such as "f0 so x0"."""
NAME_LAST = {**NAME_FIRST, "templates": ["{action} {name}"], **names("{1} {0}")}
NEURON = {"mlp_neuron": [0]}
BOTH = {"mlp_neuron": [0, 1]}
WITH_INPUT = {"mlp_in": [0], "mlp_neuron": [0]}


@dataclass(frozen=True)
class Case:
    """A model, a circuit of it or a method, and what every check has to say: {check: (verdict, words)}."""

    model: str
    expected: dict[str, tuple[Verdict, str]]
    keep: dict[str, list[int]] | None = None
    method: str | None = None
    task: dict = field(default_factory=lambda: NAME_FIRST)


def every(verdict, words, checks=CHECKS):
    return dict.fromkeys(checks, (verdict, words))


NO_CIRCUIT = every(NOT_APPLICABLE, "there is no circuit to test: the target loss was not reached", OTHERS)
EMPTY = "the circuit is empty: embedding and unembedding alone reach the target loss, so there is nothing to test"
NEEDLESS = "the circuit's nodes are not needed: embedding and unembedding alone reach the target loss"
NO_ATTENTION = {"attention_agreement": (NOT_APPLICABLE, "keeps no attn_v node")}
FEW_PROMPTS = f"needs at least {MINIMUM_PROMPTS} prompts, had 28"
FEW_CONFIDENT = f"needs at least {MINIMUM_CONFIDENT} prompts, had "
LOWERS = "lowers the answer's log-odds by"
NEEDS = f"interval needs {MINIMUM_UNITS}"
FEW_UNITS = f"the task has only 8 independent units (name), an {NEEDS}"
MANY, MANY_ODD = ([f"{action} {word}" for action in actions for word in EXTRA] for actions in (TEST, ODD))
NO_NUMBER = "the loss of the model itself on this task is not a number"
CASES = {
    "a model that cannot do the task": Case(
        "unable",
        every(NOT_APPLICABLE, "the model itself has a loss of 6 nats on this task, above the target of 0.15"),
        NEURON,
    ),
    "a model that cannot do the task, and a method": Case(
        "unable",
        every(NOT_APPLICABLE, "the model itself has a loss of 6 nats", [*CHECKS, "nonsense_control"]),
        method="First",
    ),
    "a circuit that misses the target": Case(
        "able",
        {**NO_CIRCUIT, "sufficiency": (FAIL, "misses the target loss of 0.15 nats on the validation prompts")},
        {"mlp_neuron": [1]},
    ),
    "an empty circuit that misses the target": Case(
        "able", {**NO_CIRCUIT, "sufficiency": (FAIL, "misses the target loss of 0.15 nats")}, {}
    ),
    "a method that finds nothing": Case(
        "able",
        {**NO_CIRCUIT, "sufficiency": (FAIL, "no circuit of any size that was evaluated reaches the target loss")},
        method="Nothing",
    ),
    "an empty circuit that reaches the target": Case("needs_no_node", every(NOT_APPLICABLE, EMPTY), {}, task=NAME_LAST),
    "a method that finds an empty circuit which reaches the target": Case(
        "needs_no_node", every(NOT_APPLICABLE, EMPTY), method="Nothing", task=NAME_LAST
    ),
    "an idle node where none is needed": Case(
        "needs_no_node", every(NOT_APPLICABLE, NEEDLESS), {"mlp_neuron": [3]}, task=NAME_LAST
    ),
    "a method that finds an idle node where none is needed": Case(
        "needs_no_node", every(NOT_APPLICABLE, NEEDLESS), method="First", task=NAME_LAST
    ),
    "a model that ignores masks": Case("ignores_masks", every(NOT_APPLICABLE, NEEDLESS), {"mlp_neuron": [3]}),
    "nodes none of which is missed": Case(
        "clipped",
        {"node_roles": (INCONCLUSIVE, f"single nodes {LOWERS} 0 nats in all, too little")},
        BOTH,
    ),
    "heads none of which is missed": Case(
        "beside",
        {"attention_agreement": (INCONCLUSIVE, f"single heads {LOWERS} 0.02 nats in all, too little")},
        {"attn_v": [0, 1], "attn_out": [0, 1], "mlp_neuron": [0]},
    ),
    "heads whose outputs are not kept": Case(
        "beside",
        {"attention_agreement": (INCONCLUSIVE, f"single heads {LOWERS} 0 nats in all, too little")},
        {"attn_v": [0, 1], "mlp_neuron": [0]},
    ),
    "too few prompts": Case(
        "normed",
        {
            **every(INCONCLUSIVE, FEW_PROMPTS),
            **NO_ATTENTION,
            "generalization": (INCONCLUSIVE, f"{FEW_CONFIDENT}28"),
        },
        BOTH,
        task={"test": TEST[:2], "odd": ODD[:2]},
    ),
    "too few units": Case(
        "normed",
        {
            **every(INCONCLUSIVE, f"({FEW_UNITS})"),
            **NO_ATTENTION,
            "generalization": (INCONCLUSIVE, f"({FEW_UNITS}; the shift odd has only 8 independent units (name), an "),
        },
        BOTH,
        task={"female": FEMALE[:4], "male": MALE[:4], "test": MANY, "odd": MANY_ODD},
    ),
    "a shift of too few units": Case(
        "normed",
        {"generalization": (INCONCLUSIVE, f"(the shift odd has only 2 independent units (name), an {NEEDS})")},
        BOTH,
        task={**NAME_FIRST, "odd": MANY_ODD, "odd_names": (FEMALE[:1], MALE[:1])},
    ),
    "a model that is never sure": Case("unsure", {"generalization": (INCONCLUSIVE, f"{FEW_CONFIDENT}0")}, NEURON),
    "a node that is constant in the circuit only": Case(
        "constant_in_the_circuit_only", {"node_roles": (FAIL, "50% of the importance")}, WITH_INPUT, task=NAME_LAST
    ),
    "a node that is constant in the model only": Case(
        "constant_in_the_model_only", {"node_roles": (FAIL, "50% of the importance")}, WITH_INPUT, task=NAME_LAST
    ),
    "a node that is constant with another sign": Case(
        "constant_of_another_sign", {"node_roles": (FAIL, "50% of the importance")}, WITH_INPUT, task=NAME_LAST
    ),
    "a model whose loss is NaN": Case("nan_logits", every(NOT_APPLICABLE, NO_NUMBER), NEURON),
    "a model whose loss is NaN, and a method": Case("nan_logits", every(NOT_APPLICABLE, NO_NUMBER), method="First"),
    "a model whose logits are infinite": Case("infinite_logits", every(NOT_APPLICABLE, NO_NUMBER), NEURON),
    "a model whose loss is NaN on validation prompts": Case(
        "nan_on_validation_prompts", {**NO_CIRCUIT, "sufficiency": (FAIL, "misses the target loss")}, NEURON
    ),
    "a model whose loss is NaN on validation prompts, and a method": Case(
        "nan_on_validation_prompts",
        {**NO_CIRCUIT, "sufficiency": (FAIL, "no circuit of any size that was evaluated reaches the target loss")},
        method="First",
    ),
    "a method that changes a model which is NaN on validation prompts": Case(
        "changeable_and_nan_on_validation_prompts",
        every(ERROR, "the method changed the model that it was given"),
        method="Rescales",
    ),
    "a model that is NaN on the shift": Case(
        "nan_on_the_shift",
        {"generalization": (ERROR, "on the shift odd the probabilities that the model gives are NaN")},
        NEURON,
    ),
    "a circuit that is NaN on the shift": Case(
        "no_epsilon_on_the_shift",
        {"generalization": (ERROR, "on the shift odd the probabilities that the circuit gives are NaN")},
        NEURON,
    ),
    "a model whose activations are NaN": Case(
        "nan_activations", {"node_roles": (ERROR, "an activation at 0.mlp_neuron is not finite")}, NEURON
    ),
    "a model whose activations are NaN at a node of no importance": Case(
        "nan_activations_of_an_idle_node",
        {"node_roles": (ERROR, "an activation at 0.mlp_neuron is not finite")},
        {"mlp_neuron": [0, 1]},
    ),
    "a model whose activations are infinite": Case(
        "infinite_activations", {"node_roles": (ERROR, "an activation at 0.mlp_neuron is not finite")}, NEURON
    ),
    "a node without which the log-odds are infinite": Case(
        "logarithm",
        {"node_roles": (ERROR, "the answer's log-odds without 0.mlp_neuron 0 are not finite")},
        {"mlp_neuron": [0, 1]},
    ),
    "a gradient that is NaN": Case(
        "root",
        {"node_roles": (ERROR, "the gradient of the logit difference is not finite at 0.mlp_out")},
        {"mlp_out": [0], "l1_mlp_out": [0]},
    ),
    "a circuit whose loss is NaN on held-out prompts": Case(
        "no_epsilon", every(ERROR, "the circuit's loss on a held-out prompt is not finite"), NEURON
    ),
}


def suite_of(folder, model, checks=OTHERS, method=None, **task):
    write_task(folder, **task)
    path = folder / "bad.yaml"
    made_by = f'method: "{HERE}:{method}"' if method else ""
    path.write_text(SUITE.format(model=f"{HERE}:{model}", method=made_by, checks=", ".join(checks)))
    return path


def circuit_file(folder, model, keep):
    circuit = circuit_of(getattr(known_bad, model)(), **keep)
    save_circuit(folder / "circuit.safetensors", circuit)
    return folder / "circuit.safetensors"


def outcome(folder, case):
    """The result of a case; any warning is an error."""
    checks = [name for name in case.expected if name != "sufficiency"]
    suite = suite_of(folder, case.model, checks, case.method, **case.task)
    circuit = None if case.keep is None else circuit_file(folder, case.model, case.keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run_suite(suite, circuit=circuit, out=folder / "out", device="cpu")


@pytest.mark.parametrize("case", CASES)
def test_a_known_bad_input_has_its_verdict_and_its_sentence_and_does_not_pass(tmp_path, case):
    result = outcome(tmp_path, CASES[case])
    found = {check["check"]: (check["verdict"], check["reason"]) for check in result.checks}
    for check, (verdict, words) in CASES[case].expected.items():
        assert found[check][0] == verdict, (check, found[check])
        assert words in found[check][1], check
        assert "\n" not in found[check][1]
    assert result.verdict is not PASS
    assert result.exit_code() != 0


def test_a_circuit_without_a_fault_passes_every_check_that_applies(tmp_path):
    """So that the verdicts above are those of the faults."""
    result = outcome(tmp_path, Case("normed", every(PASS, ""), BOTH))
    assert {check["check"]: check["verdict"] for check in result.checks} == {
        **dict.fromkeys(CHECKS, PASS),
        "attention_agreement": NOT_APPLICABLE,
    }


def test_a_shift_of_too_few_units_is_remarked_where_a_check_looks_at_it_alone(tmp_path):
    result = outcome(tmp_path, replace(CASES["a shift of too few units"], expected=every(INCONCLUSIVE, "")))
    remarked = {check["check"] for check in result.checks if "independent units" in check["reason"]}
    assert remarked == {"generalization"}


def evidence(tmp_path, case):
    result = outcome(tmp_path, case)
    [entry] = [check for check in result.checks if check["check"] == "node_roles"]
    return entry, load_file(tmp_path / "out" / entry["evidence"]["file"])


def test_nodes_that_are_all_constant_in_circuit_and_model_are_judged(tmp_path):
    entry, kept = evidence(tmp_path, Case("constant", {"node_roles": (PASS, "")}, NEURON, task=NAME_LAST))
    assert entry["verdict"] == PASS
    assert {metric["name"]: metric["estimate"] for metric in entry["metrics"]} == {
        "consistent_mass": 1.0,
        "flipped_nodes": 0.0,
    }
    assert kept["consistent"].tolist() == [True]


@pytest.mark.parametrize(
    ("model", "fvu"),
    [
        ("constant_in_the_circuit_only", [0.0, 1.0]),  # E (1 - 1.25)^2 = E (1 - 0.75)^2 = 1 / 16 = the variance
        ("constant_in_the_model_only", [0.0, math.inf]),
        ("constant_of_another_sign", [0.0, math.inf]),
    ],
)
def test_where_the_model_does_not_vary_the_unexplained_variance_is_infinite_and_nothing_is_nan(tmp_path, model, fvu):
    """The input is the same in circuit and model, the neuron is not."""
    _, kept = evidence(tmp_path, Case(model, {"node_roles": (FAIL, "")}, WITH_INPUT, task=NAME_LAST))
    assert kept["fvu"].tolist() == pytest.approx(fvu)
    assert not any(value.isnan().any() for value in kept.values())


def test_a_task_of_one_frame_and_one_unit_decides_nothing(tmp_path):
    """The unit is the place, of which there is one; 14 prompts, one after each name."""
    suite = suite_of(tmp_path, "normed")
    task = tmp_path / "toy.yaml"
    one = task.read_text().replace("unit: name", "unit: place").replace("slots: {name", "slots: {place: [so], name")
    one = one.replace('"{name} {action}"', '"{name} {place} {action}"').replace(f"[{', '.join(TEST)}]", "[x0]")
    task.write_text(one)
    circuit = circuit_file(tmp_path, "normed", BOTH)
    result = run_suite(suite, circuit=circuit, out=tmp_path / "out", device="cpu")
    for check in result.checks:
        assert check["verdict"] == (NOT_APPLICABLE if check["check"] == "attention_agreement" else INCONCLUSIVE)
        assert "only 1 independent units (place)" in check["reason"]


def test_a_task_without_a_shift_has_nothing_to_generalize_to(tmp_path):
    """A task file without one is refused, so the shift is taken away after it was read."""
    suite = suite_of(tmp_path, "able", **NAME_FIRST)
    circuit = circuit_of(known_bad.able(), **NEURON)
    run = resolve(load_suite(str(suite)), circuit=circuit, own_method=False)
    [bench] = run.benches
    bench.task = replace(bench.task, shifts=())
    found = {e.finding.check: e.finding for e in execute(run) if isinstance(e, CheckJudged)}
    assert (found["generalization"].verdict, found["generalization"].reason) == (
        NOT_APPLICABLE,
        "the task declares no shift",
    )
    assert found["node_roles"].verdict is PASS


def test_where_gradients_stand_in_a_node_that_reaches_nothing_has_no_importance(tmp_path, monkeypatch):
    monkeypatch.setattr(importance, "MOST_LEFT_OUT", 0)
    home = bench_of(known_bad.Root(least=0.04), write_task(tmp_path))
    subject = subject_of(home, mlp_out=[0], attn_out=[0], l1_mlp_out=[0])
    found = dict(zip(subject.compiled.nodes, subject.node_importance.mean().tolist(), strict=True))
    assert found[("0.attn_out", 0)] == 0
    assert found[("0.mlp_out", 0)] > 0


def without_a_site(keep):
    return {site: kept for site, kept in keep.items() if site != "0.attn_k"}


def with_another_site(keep):
    return {**keep, "3.attn_k": torch.zeros(2, dtype=torch.bool)}


def with_a_node_too_many(keep):
    return {**keep, "0.attn_k": torch.zeros(3, dtype=torch.bool)}


def without_any_site(keep):
    return {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without_a_site, "they differ in the site 0.attn_k"),
        (with_another_site, "they differ in the site 3.attn_k"),
        (with_a_node_too_many, "0.attn_k has 2 nodes, the circuit's has 3"),
        (without_any_site, "they differ in the site 0.attn_k"),
    ],
)
def test_a_circuit_with_other_sites_than_the_model_is_refused_by_the_name_of_the_site(tmp_path, capsys, change, named):
    suite = suite_of(tmp_path, "beside")
    keep = circuit_of(known_bad.beside(), **NEURON).keep
    save_circuit(tmp_path / "other.safetensors", Circuit(change(keep)))
    code = main(["run", str(suite), "--circuit", str(tmp_path / "other.safetensors"), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code == 2
    assert named in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_check_without_a_gate_is_an_error_that_says_so(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from faithcheck.check import Measurement\n"
        "class Ungated:\n"
        "    name, scope, question, gates = 'ungated', 'circuit', '?', {}\n"
        "    def measure(self, subject): return Measurement()\n"
        "    def sentence(self, metric, verdict): return ''\n"
    )
    suite = suite_of(tmp_path, "able", ["mine.py:Ungated"], **NAME_FIRST)
    result = run_suite(suite, circuit=circuit_file(tmp_path, "able", NEURON), out=tmp_path / "out", device="cpu")
    data = json.loads((tmp_path / "out" / "result.json").read_text())
    [entry] = [check for check in data["checks"] if check["check"] == "ungated"]
    assert (entry["verdict"], result.exit_code()) == (ERROR, 3)
    assert "check ungated has no gate" in entry["reason"]
