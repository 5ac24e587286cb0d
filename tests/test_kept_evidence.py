"""What a run keeps for reports: shown prompts, what circuits are drawn from, draws, labels, lines of gates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from faithcheck_circuits.transformer.model import SparseTransformer
from small_models import random_tensors, small_config

from faithcheck import extraction
from faithcheck.check import Metric
from faithcheck.circuit import Circuit
from faithcheck.cli import main
from faithcheck.events import CheckJudged
from faithcheck.intervals import bootstrap
from faithcheck.judging import Finding, Judged
from faithcheck.portrait import MOST_EDGES, _edges, portrait
from faithcheck.report.reading import LoadedResult, load_result
from faithcheck.resampling import DRAWS, MINIMUM_PROMPTS, Resampling
from faithcheck.result import record_check
from faithcheck.result_schema import EvidenceFile, ResultData
from faithcheck.shown import shown, task_data
from faithcheck.subject import Subject
from faithcheck.testing.tiny.problem import tiny_bench, tiny_model
from faithcheck.verdict import Verdict

SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: full
seeds: [3, 5]
target_loss: 0.15
checks:
  - layernorm:
      gates:
        frozen_loss: "<= 9"
  - attention_agreement
  - node_roles
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "mine.yaml").write_text(SUITE)
    settings = ["--set", "checks.node_roles.gates.swap_effect=<= 0.4"]
    assert main(["run", str(folder / "mine.yaml"), "--out", str(folder / "out"), *settings]) == 1
    return load_result(folder / "out")


@pytest.fixture(scope="module")
def subject():
    bench = tiny_bench(tiny_model())
    keep = {site: torch.arange(s.size) % 3 == 0 for site, s in bench.model.sites.items()}
    keep["1.attn_q"][:] = False
    return Subject(bench, Circuit(keep))


def test_the_shown_prompts_are_a_few_of_each_answer_evenly_spread(subject):
    prompts = subject.bench.prompts("test")
    prompts = replace(prompts, classes=torch.tensor([0] * 7 + [1] * (len(prompts) - 7)))
    rest = len(prompts) - 8
    expected = [0, 2, 4, 6, 7, *(7 + round(rest * part / 3) for part in (1, 2, 3))]
    assert shown(prompts).tolist() == expected


def test_where_an_answer_has_fewer_prompts_all_are_shown(subject):
    prompts = subject.bench.prompts("test")
    assert shown(prompts.select(torch.tensor([0, 1, 2]))).tolist() == [0, 1, 2]


def test_the_tokens_of_shown_prompts_are_those_of_the_prompts_up_to_the_answer(subject):
    data = task_data(subject.bench)
    prompts = subject.bench.prompts("test")
    assert [" ".join(prompt["tokens"]) for prompt in data["prompts"]] == [
        prompts.texts[place] for place in subject.bench.shown.tolist()
    ]
    assert {(prompt["target"], prompt["distractor"]) for prompt in data["prompts"]} == {("she", "he"), ("he", "she")}


def test_a_portrait_numbers_the_kept_nodes_and_their_heads(subject):
    drawn, sites = portrait(subject), subject.bench.model.sites
    expected = [
        (place, node)
        for place, site in enumerate(sites)
        for node in range(sites[site].size)
        if subject.circuit.keep[site][node]
    ]
    assert [tuple(row) for row in drawn["node"].tolist()] == expected
    names = list(sites)
    for (place, node), head in zip(expected, drawn["head"].tolist(), strict=True):
        own = sites[names[place]].head
        assert head == (-1 if own is None else int(own[node]))


def test_a_portrait_has_the_activations_of_circuit_and_model_under_the_models_norms(subject):
    drawn, bench = portrait(subject), subject.bench
    names, at = list(bench.model.sites), bench.shown
    positions = bench.prompts("test").positions[at]
    model, circuit = bench.model_run("test").captured, subject.activations
    ranks: dict[str, int] = {}
    for row, (place, node) in enumerate(drawn["node"].tolist()):
        name = names[place]
        rank = ranks[name] = ranks.get(name, -1) + 1
        for prompt, last in enumerate(positions.tolist()):
            inside = slice(0, last + 1)
            found = drawn["activation/model"][row, prompt]
            torch.testing.assert_close(found[inside], model[name][0][at[prompt], inside, node].float())
            assert not found[last + 1 :].any()
            found = drawn["activation/circuit"][row, prompt]
            torch.testing.assert_close(found[inside], circuit[name][0][at[prompt], inside, rank].float())


def test_the_edges_of_a_portrait_are_the_weights_between_kept_nodes_that_are_not_0():
    config = small_config("weight-sparse")
    model = SparseTransformer("m", config, random_tensors(config, share=0.2), None)
    generator = torch.Generator().manual_seed(0)
    keep = {name: torch.rand(site.size, generator=generator) < 0.4 for name, site in model.sites.items()}
    drawn = _edges(model, keep)
    nodes = [(name, int(node)) for name in model.sites for node in keep[name].nonzero().flatten()]
    found = {(nodes[a], nodes[b]): float(w) for (a, b), w in zip(drawn["edge"].tolist(), drawn["weight"], strict=True)}
    expected = {}
    for (source, a), (target, b) in ((one, other) for one in nodes for other in nodes):
        reads = {"attn_q": "attn_in", "attn_k": "attn_in", "attn_v": "attn_in", "attn_out": "attn_v"}
        reads |= {"mlp_neuron": "mlp_in", "mlp_out": "mlp_neuron"}
        layer, kind = target.split(".")
        if source == f"{layer}.{reads.get(kind)}":
            weight = float(model.network.tensors[f"{target}.weight"][b, a])
            if weight:
                expected[(source, a), (target, b)] = pytest.approx(weight, rel=1e-6)
    assert found == expected
    assert len(found) == model.count_edges(keep) > 10


def test_of_too_many_edges_the_largest_are_kept():
    class Dense:
        sites, device = tiny_model().sites, "cpu"

        def edge_weights(self, keep):
            return {("0.attn_in", "0.attn_q"): torch.arange(-100.0, 100.0).repeat(100, 1)}

    keep = {name: torch.ones(200, dtype=torch.bool) for name in Dense.sites}
    drawn = _edges(Dense(), keep)
    assert len(drawn["edge"]) == len(drawn["weight"]) == MOST_EDGES
    assert drawn["weight"].abs().min() >= 100 * (1 - MOST_EDGES / 20_000) - 1


def test_an_empty_circuit_has_an_empty_portrait(subject):
    none = {site: torch.zeros_like(kept) for site, kept in subject.circuit.keep.items()}
    drawn = portrait(replace(subject, circuit=Circuit(none)))
    assert drawn["node"].shape == (0, 2)
    assert "activation/model" not in drawn


def test_a_circuit_that_cannot_be_drawn_is_tested_all_the_same(tmp_path, monkeypatch):
    def broken(subject):
        raise RuntimeError("no picture today")

    monkeypatch.setattr(extraction, "portrait", broken)
    (tmp_path / "mine.yaml").write_text(SUITE.replace("[3, 5]", "1"))
    main(["run", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out")])
    found = load_result(tmp_path / "out").data
    [circuit] = found.circuits
    assert (circuit.evidence, "no picture today" in circuit.undrawn) == (None, True)
    assert {check.verdict for check in found.checks} == {"PASS", "FAIL"}


def test_a_result_says_where_each_gate_stands_in_the_suites_file(result):
    lines = {check.name: check.lines for check in result.data.suite.checks}
    assert result.data.suite.file.endswith("/mine.yaml")
    assert lines["layernorm"] == {"": 8, "frozen_loss": 10}
    assert lines["attention_agreement"] == {"": 11, "pattern_tv": 11, "absent_heads": 11, "elsewhere_effect": 11}
    assert lines["sufficiency"][""] == 7
    assert "swap_effect" not in lines["node_roles"], "it stands on the command line"


def test_a_bundled_suite_has_no_file(tmp_path):
    options = ["--model", "stories-tiny", "--method", "full", "--set", "checks=[sufficiency]", "--seeds", "1"]
    main(["run", "quick", *options, "--out", str(tmp_path)])
    assert load_result(tmp_path).data.suite.file is None


def test_listed_seeds_are_those_that_run(result):
    assert [circuit.seed for circuit in result.data.circuits] == [3, 5]
    assert {metric.seed for check in result.data.checks for metric in check.metrics} == {3, 5}


def test_the_draws_of_a_metric_give_its_interval(result):
    seen = 0
    for check in result.data.checks:
        tensors = result.evidence(check.evidence).tensors
        for metric in check.metrics:
            name = f"{metric.seed}/draws/{metric.name}" + (f"@{metric.on}" if metric.on else "")
            if name in tensors:
                draws = tensors[name].astype(np.float64)
                again = bootstrap(draws[:DRAWS], draws[DRAWS:], metric.estimate, metric.n, MINIMUM_PROMPTS)
                assert (metric.low, metric.high) == pytest.approx((again.low, again.high), rel=1e-5, abs=1e-6)
                seen += 1
    assert seen >= 2 * (3 + 3 + 1)


def test_the_draws_of_two_sets_of_values_pair():
    units, rng = np.arange(300) % 30, np.random.default_rng(0)
    values = rng.normal(size=300)
    one, other = (Resampling(units).mean(v).draws for v in (values, values + 1))
    np.testing.assert_allclose(other - one, 1.0)


def test_role_effects_have_a_label_each_and_none_where_a_node_bears_no_role(result):
    check = next(check for check in result.data.checks if check.check == "node_roles")
    evidence = result.evidence(check.evidence)
    labels = evidence.labels["role"]
    assert len(labels) == len(set(labels)) > 1
    assert all(" not " in label and ", at " in label for label in labels)
    in_circuit, in_model = (evidence.tensors[f"3/effect/{side}"] for side in ("circuit", "model"))
    assert in_circuit.shape == in_model.shape == (len(evidence.tensors["3/node"]), len(labels))
    assert (np.isnan(in_circuit) == np.isnan(in_model)).all()
    np.testing.assert_allclose(in_circuit, in_model, atol=1e-3, equal_nan=True)  # the circuit is the whole model
    assert 0 < np.isnan(in_circuit).mean() < 1


def test_bfloat16_evidence_is_kept_as_numbers_that_numpy_reads(tmp_path):
    finding = Finding("c", "t", Verdict.PASS, "r", [Judged(Metric("m", None))], {"a": torch.ones(2).bfloat16()})
    entry = record_check(tmp_path, CheckJudged(finding, "key"))
    result = LoadedResult(ResultData.model_construct(), tmp_path)
    found = result.evidence(EvidenceFile.model_validate(entry["evidence"]))
    assert found.tensors["a"].tolist() == [1.0, 1.0]
