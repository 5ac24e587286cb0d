"""Nodes whose activation does not vary in circuit or model: there is no correlation, so node_roles compares signs, and
asks what the model's activation would change. Neuron 0 takes away "and", which without it wins over the pronoun.
"""

from __future__ import annotations

import math

import known_bad
import pytest
from fake_models import ONE, TEN_FEMALE, TEN_MALE, bench_of, finding_of, subject_of, table, write_large_task
from known_bad_runs import FAIL, NAME_LAST, NEURON, PASS, WITH_INPUT, Case, assert_as_expected, outcome
from safetensors.torch import load_file

from faithcheck.checks.node_roles import NodeRoles

CASES = {
    "a node that is constant in the circuit only": Case(
        "constant_in_the_circuit_only", {"node_roles": (FAIL, "50% of the importance")}, WITH_INPUT, task=NAME_LAST
    ),
    "a node that is constant in the model only": Case(
        "constant_in_the_model_only", {"node_roles": (FAIL, "50% of the importance")}, WITH_INPUT, task=NAME_LAST
    ),
    "a node that is constant with another sign": Case(
        "constant_of_another_sign", {"node_roles": (FAIL, "50% of the importance")}, WITH_INPUT, task=NAME_LAST
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_node_that_is_constant_in_one_only_or_with_another_sign_and_changes_the_answer_is_not_the_same(
    tmp_path, case
):
    assert_as_expected(outcome(tmp_path, CASES[case]), CASES[case])


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
        "swap_effect": 0.0,
    }
    assert kept["consistent"].tolist() == [True]


# "and" has a logit of 9 without the neuron, and the pronouns 3 and -3, so that the log-odds are 3 - 9 = -6, to within
# log(1 + exp(-12)); with "and" gone they are 6. All nodes together, and each of them, have an effect of 12.
@pytest.mark.parametrize(
    ("model", "lost"),
    [
        ("constant_in_the_circuit_only", 6.0),  # 0 on half of the prompts, which is to ablate it there: half of 12
        ("constant_in_the_model_only", 6.0),  # "and" at 9 - 6 = 3 as the pronoun: log-odds of 0
        ("constant_of_another_sign", 112.0),  # "and" at 9 + 100: 3 - 109 = -106
        ("constant_in_the_circuit_only_to_no_effect", 0.0),
        ("constant_in_the_model_only_to_no_effect", 0.0),
    ],
)
def test_what_the_models_activation_changes_by_hand(tmp_path, model, lost):
    _, kept = evidence(tmp_path, Case(model, {"node_roles": (PASS, "")}, WITH_INPUT, task=NAME_LAST))
    assert kept["importance"].tolist() == pytest.approx([12, 12], abs=1e-3)
    assert kept["swapped"].tolist() == pytest.approx([0, lost], abs=3e-3)
    assert kept["group_swap"].tolist() == pytest.approx([lost / 12, 0], abs=1e-3)


@pytest.mark.parametrize(
    "model", ["constant_in_the_circuit_only_to_no_effect", "constant_in_the_model_only_to_no_effect"]
)
def test_a_node_that_varies_in_one_only_is_the_same_where_that_makes_no_difference(tmp_path, model):
    entry, kept = evidence(tmp_path, Case(model, {"node_roles": (PASS, "")}, WITH_INPUT, task=NAME_LAST))
    assert kept["consistent"].tolist() == [True, False]  # by the activation alone
    assert entry["verdict"] == PASS
    assert {metric["name"]: metric["estimate"] for metric in entry["metrics"]} == pytest.approx(
        {"consistent_mass": 1.0, "flipped_nodes": 0.0, "swap_effect": 0.0}
    )


@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-4, 2e-5])
def test_a_constant_node_passes_however_little_it_jitters_in_the_model(tmp_path, size):
    jitter = table({name: size * (1 if i % 2 else -1) for i, name in enumerate([*TEN_FEMALE, *TEN_MALE])})
    home = bench_of(known_bad.sum_of(ONE, jitter), write_large_task(tmp_path, templates=NAME_LAST["templates"]))
    subject = subject_of(home, mlp_in=[0], mlp_neuron=[0])
    assert subject.reached
    finding = finding_of(NodeRoles(), subject)
    assert finding.verdict is PASS, finding.reason
    # The variance is size^2 of a mean square of 1: below 1e-9 it is none.
    assert finding.evidence["0/consistent"].tolist() == [True, size**2 <= 1e-9]


@pytest.mark.parametrize(
    ("model", "fvu"),
    [
        ("constant_in_the_circuit_only", [0.0, 1.0]),  # E (1 - 2)^2 = E (1 - 0)^2 = 1 = the variance
        ("constant_in_the_model_only", [0.0, math.inf]),
        ("constant_of_another_sign", [0.0, math.inf]),
    ],
)
def test_where_the_model_does_not_vary_the_unexplained_variance_is_infinite_and_nothing_is_nan(tmp_path, model, fvu):
    """The input is the same in circuit and model, the neuron is not."""
    _, kept = evidence(tmp_path, Case(model, {"node_roles": (FAIL, "")}, WITH_INPUT, task=NAME_LAST))
    assert kept["fvu"].tolist() == pytest.approx(fvu)
    assert not any(value.isnan().any() for value in kept.values())
