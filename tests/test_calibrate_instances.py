"""One instance of a family: what is run on it, and what is recorded."""

from __future__ import annotations

import math

import pytest
import stub_plugins
import torch
from fake_models import bench_of, circuit_of
from stub_families import Rescaled, family, toy_task

from faithcheck import plugins
from faithcheck.calibration import instance as module
from faithcheck.calibration.instance import run_unit
from faithcheck.calibration.oracle import Oracle
from faithcheck.calibration.population import FamilyEntry, find_checks, find_families
from faithcheck.calibration.records import Unit
from faithcheck.method import Problem
from faithcheck.verdict import Verdict

PASS, FAIL, INCONCLUSIVE, NOT_APPLICABLE, ERROR = Verdict


def run(name, *checks, seed=0):
    [entry] = find_families([family(name)])
    return run_unit(Unit(entry, seed, tuple(find_checks(checks))))


def records_of(found):
    return {(r.variant, r.check): r for r in found.records}


def verdicts(found):
    return {key: r.verdict for key, r in records_of(found).items()}


@pytest.fixture(scope="module")
def rescaled():
    return run("Rescaled", "layernorm", "sufficiency", "nonsense_control")


def test_what_a_family_declares_is_kept_as_plain_data(monkeypatch):
    ref = family("Rescaled")
    cls = plugins.load("families", ref)
    monkeypatch.setattr(cls, "exercises", ["layernorm", "not_installed"])
    monkeypatch.setattr(cls, "decoy_method", ["sparse_prune", {"steps": (1, 2)}])
    declared = ("layernorm", "not_installed"), False, ("sparse_prune", {"steps": [1, 2]})
    assert find_families([ref]) == [FamilyEntry(ref, "rescaled", *declared)]


class TestCircuits:
    def test_true_circuit_and_decoy_are_judged_by_every_circuit_scope_check(self, rescaled):
        assert verdicts(rescaled) == {
            ("true", "layernorm"): PASS,
            ("true", "sufficiency"): PASS,
            ("decoy", "layernorm"): FAIL,
            ("decoy", "sufficiency"): PASS,
        }

    def test_a_family_without_a_decoy_has_records_of_the_true_circuit_only(self):
        assert verdicts(run("Honest", "layernorm")) == {("true", "layernorm"): PASS}

    def test_every_gated_metric_is_kept_with_its_interval_and_its_gate(self, rescaled):
        planted = Rescaled().plant(0)
        home = bench_of(planted.model, planted.task)
        record = records_of(rescaled)["decoy", "layernorm"]
        [gated] = record.gated
        # Frozen, neuron 1 alone has the share a / (1 + a) of the model's difference of 5; the same for every name.
        a = planted.drawn["amplitude"]
        frozen = math.log1p(math.exp(-5 * a / (1 + a)))
        assert gated.estimate.value == pytest.approx(frozen, rel=1e-3)
        assert gated.estimate.low == pytest.approx(gated.estimate.high)
        assert gated.estimate.n == len(home.prompts("test"))
        assert (gated.metric, gated.gate.text, gated.gate.resolved) == (
            "frozen_loss",
            "<= target_loss + 0.1",
            "<= 0.25",
        )
        assert (record.target_loss, record.by_gates, gated.verdict) == (0.15, True, FAIL)
        assert "the circuit lives on the norms" in record.reason

    def test_what_was_drawn_and_the_target_are_kept(self, rescaled):
        assert rescaled.drawn == dict(Rescaled().plant(0).drawn)
        assert (rescaled.family, rescaled.seed, rescaled.target_loss) == ("rescaled", 0, 0.15)

    def test_where_the_model_misses_the_target_nothing_applies_as_in_a_run(self):
        found = run("Unable", "layernorm", "sufficiency")
        assert set(verdicts(found).values()) == {NOT_APPLICABLE}
        assert "the model itself has a loss of" in found.records[0].reason

    def test_a_circuit_that_misses_the_target_fails_sufficiency_whatever_its_gates_say(self):
        # Only the neuron that answers nothing: loss log 2, above the target.
        found = records_of(run("Empty", "layernorm", "sufficiency"))
        sufficiency, layernorm = found["decoy", "sufficiency"], found["decoy", "layernorm"]
        assert (sufficiency.verdict, layernorm.verdict) == (FAIL, NOT_APPLICABLE)
        assert (sufficiency.by_gates, layernorm.by_gates) == (False, False)
        assert [gated.metric for gated in sufficiency.gated] == ["loss", "node_fraction"]
        assert found["true", "sufficiency"].by_gates

    def test_a_check_that_says_it_cannot_decide_is_not_decided_by_its_gates(self):
        # The answer does not depend on either neuron alone, so nothing can be weighed.
        record = records_of(run("Doubled", "node_roles"))["true", "node_roles"]
        assert (record.verdict, record.by_gates, list(record.gated)) == (INCONCLUSIVE, False, [])

    def test_true_circuit_and_decoy_share_what_the_model_does(self, monkeypatch):
        made = []
        monkeypatch.setattr(module, "Bench", lambda *args: made.append(bench_of(*args[:2])) or made[-1])
        run("Rescaled", "layernorm")
        assert len(made) == 1


class TestMethods:
    def test_the_oracle_passes_and_a_method_that_finds_nonsense_fails(self):
        found = records_of(run("Cancelling", "nonsense_control"))
        ratios = {variant: found[variant, "nonsense_control"].gated[0].estimate for variant in ("true", "decoy")}
        assert found["true", "nonsense_control"].verdict is PASS
        assert found["decoy", "nonsense_control"].verdict is FAIL
        # The oracle's circuit never gives the labels; one neuron gives the task, one gives each labelling.
        assert ratios["true"].low == math.inf
        assert (ratios["decoy"].low, ratios["decoy"].high, ratios["decoy"].n) == (1.0, 1.0, 6)

    def test_the_checks_of_a_method_share_its_extractions(self, monkeypatch):
        runs = []
        real = module.execute
        monkeypatch.setattr(module, "execute", lambda resolved: runs.append(resolved) or real(resolved))
        run("Cancelling", "layernorm", "nonsense_control", "random_weights")
        asked = [([check.check.name for check in r.checks], r.circuit is None, r.method and r.method.ref) for r in runs]
        assert [(checks, ref and ref.rpartition(":")[2]) for checks, _, ref in asked] == [
            (["layernorm"], None),
            (["nonsense_control", "random_weights"], "oracle"),
            (["nonsense_control"], "BestNeuron"),
        ]

    def test_the_unfaithful_method_is_judged_only_by_checks_that_the_family_exercises(self):
        judged = verdicts(run("Cancelling", "nonsense_control", "random_weights"))
        assert set(judged) == {("true", "nonsense_control"), ("true", "random_weights"), ("decoy", "nonsense_control")}

    def test_a_family_of_circuits_only_has_no_records_of_methods(self, rescaled):
        assert not [r for r in rescaled.records if r.check == "nonsense_control"]


class TestOracle:
    def problem(self, model):
        home = bench_of(model, toy_task())
        prompts = home.prompts("train").relabelled((5, 7))
        return Problem(model, prompts, "full", 0.15, home.ablation, "live", seed=3)

    def test_it_returns_the_planted_circuit_for_any_labels(self):
        model = Rescaled().plant(0).model
        scores = Oracle(model, circuit_of(model, mlp_neuron=[0, 4])).extract(self.problem(model))
        assert scores.scores["0.mlp_neuron"].nonzero().flatten().tolist() == [0, 4]
        assert scores.convergence.flattened

    def test_it_returns_no_node_on_another_model(self):
        model, other = Rescaled().plant(0).model, Rescaled().plant(1).model
        other.fingerprint = "1" * 64
        scores = Oracle(model, circuit_of(model, mlp_neuron=[0, 4])).extract(self.problem(other))
        assert not scores.scores["0.mlp_neuron"].any()
        assert scores.convergence.flattened


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("Crashing", "it could not be planted: ValueError: no ground"),
            ("Exits", "it could not be planted: SystemExit: 0"),
            ("NotData", "it could not be planted: TypeError: Object of type set is not JSON serializable"),
        ],
    )
    def test_an_instance_that_cannot_be_planted_is_an_error_of_its_circuit_and_of_its_decoy_where_exercised(
        self, name, reason
    ):
        found = run(name, "layernorm", "sufficiency", "nonsense_control", seed=1)
        tested = [("true", "layernorm"), ("true", "sufficiency"), ("decoy", "layernorm")]
        assert verdicts(found) == dict.fromkeys(tested, ERROR)
        assert {record.reason for record in found.records} == {reason} == {found.error}
        assert "Traceback" in found.records[0].details

    def test_a_circuit_that_does_not_fit_is_an_error_of_that_circuit_only(self):
        found = records_of(run("Misfit", "layernorm"))
        assert found["true", "layernorm"].verdict is PASS
        assert found["decoy", "layernorm"].verdict is ERROR
        assert "the circuit does not fit" in found["decoy", "layernorm"].reason

    def test_a_check_that_crashes_is_an_error_of_that_check_only(self):
        found = records_of(run("Honest", "layernorm", f"{stub_plugins.HERE}:BadCheck"))
        assert found["true", "layernorm"].verdict is PASS
        bad = found["true", "bad_check"]
        assert (bad.verdict, bad.by_gates) == (ERROR, False)
        assert "KeyError" in bad.reason
        assert "Traceback" in bad.details

    def test_ctrl_c_is_no_error_of_the_instance(self, monkeypatch):
        def interrupt(ref):
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "load_family", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("Honest", "layernorm")


def test_one_thread_is_used_and_the_number_is_put_back(monkeypatch):
    used = []
    monkeypatch.setattr(module, "_run", lambda unit: used.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run("Honest", "layernorm")
        assert (used, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
