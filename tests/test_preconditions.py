"""Inputs on which there is nothing to judge: each has its verdict and its sentence, and none passes.

Every one is a run of a whole suite. Models and methods are those of `known_bad`, and what each computes stands there.
"""

from __future__ import annotations

from dataclasses import replace

import known_bad
import pytest
from fake_models import circuit_of
from known_bad_runs import (
    BOTH,
    CHECKS,
    FAIL,
    NAME_FIRST,
    NAME_LAST,
    NEURON,
    NO_CIRCUIT,
    NOT_APPLICABLE,
    PASS,
    Case,
    assert_as_expected,
    every,
    outcome,
    suite_of,
)

from faithcheck.engine import execute
from faithcheck.events import CheckJudged
from faithcheck.resolve import resolve
from faithcheck.suite import load_suite

EMPTY = "the circuit is empty: embedding and unembedding alone reach the target loss, so there is nothing to test"
NEEDLESS = "the circuit's nodes are not needed: embedding and unembedding alone reach the target loss"
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
}


@pytest.mark.parametrize("case", CASES)
def test_where_there_is_nothing_to_judge_no_check_passes_and_the_sentence_says_why(tmp_path, case):
    assert_as_expected(outcome(tmp_path, CASES[case]), CASES[case])


def test_a_circuit_without_a_fault_passes_every_check_that_applies(tmp_path):
    """So that the verdicts above are those of the faults."""
    result = outcome(tmp_path, Case("normed", every(PASS, ""), BOTH))
    assert {check["check"]: check["verdict"] for check in result.checks} == {
        **dict.fromkeys(CHECKS, PASS),
        "attention_agreement": NOT_APPLICABLE,
    }


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
