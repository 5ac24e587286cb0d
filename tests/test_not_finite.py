"""Losses, activations, log-odds and gradients that are NaN or infinite: none passes, and the sentence names the number.

Every one is a run of a whole suite on a model of `known_bad`.
"""

from __future__ import annotations

import pytest
from known_bad_runs import ERROR, FAIL, NEURON, NO_CIRCUIT, NOT_APPLICABLE, Case, assert_as_expected, every, outcome

NO_NUMBER = "the loss of the model itself on this task is not a number"
CASES = {
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


@pytest.mark.parametrize("case", CASES)
def test_a_number_that_is_not_finite_is_named_and_no_check_passes(tmp_path, case):
    assert_as_expected(outcome(tmp_path, CASES[case]), CASES[case])
