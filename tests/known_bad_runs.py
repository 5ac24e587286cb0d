"""Whole runs on the models and methods of `known_bad`, and what every check is to say of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import known_bad
from fake_models import FEMALE, MALE, ODD, TEST, TRAIN, circuit_of, write_task

from faithcheck.api import run_suite
from faithcheck.circuit import save_circuit
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


def assert_as_expected(result, case):
    """Every check has its verdict and its sentence, of one line, and the run does not pass."""
    found = {check["check"]: (check["verdict"], check["reason"]) for check in result.checks}
    for check, (verdict, words) in case.expected.items():
        assert found[check][0] == verdict, (check, found[check])
        assert words in found[check][1], (check, found[check])
        assert "\n" not in found[check][1], check
    assert result.verdict is not PASS
    assert result.exit_code() != 0
