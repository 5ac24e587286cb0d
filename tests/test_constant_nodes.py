"""Nodes whose activation does not vary: node_roles compares their signs. Every test is a run of a whole suite."""

from __future__ import annotations

import math

import pytest
from known_bad_runs import FAIL, NAME_LAST, NEURON, PASS, WITH_INPUT, Case, assert_as_expected, outcome
from safetensors.torch import load_file

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
def test_a_node_that_is_constant_in_one_only_or_with_another_sign_is_not_the_same_node(tmp_path, case):
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
