"""`check_method` passes methods that keep the laws, and names the laws that a bad one breaks."""

import random
import re

import numpy as np
import pytest
import torch
from bad_methods import (
    BAD,
    Gradients,
    HidesAParameter,
    NeedsAParameter,
    Noise,
    SeedsTheWorld,
    Validates,
    ZeroAblationOnly,
)
from faithcheck_circuits.methods.controls import Full, Random
from faithcheck_circuits.methods.sparse_prune import SparsePrune

from faithcheck import NodeScores
from faithcheck.testing import check_method, tiny_problem
from faithcheck.testing.surroundings import surroundings
from faithcheck.testing.tiny.problem import problem_on, tiny_bench, tiny_model


class Batched(Gradients):
    """Several problems at once, each on its own."""

    def extract_many(self, problems):
        return [self.extract(problem) for problem in problems]


PATH = {
    "0.attn_in": [0, 1, 3],
    "0.attn_q": [0],
    "0.attn_k": [0],
    "0.attn_v": [0],
    "0.attn_out": [2],
    "0.mlp_in": [2],
    "0.mlp_neuron": [0, 1],
    "0.mlp_out": [2],
}


def complaint(method, **options):
    with pytest.raises(AssertionError) as failure:
        check_method(method, **options)
    return str(failure.value)


@pytest.mark.parametrize("method", [Full, Random, Gradients, Noise, Batched])
def test_a_method_that_keeps_the_laws_passes(method):
    check_method(method)


def scores(make):
    """A method that gives make(size) at every site, in whatever type."""

    def extract(self, problem):
        return NodeScores({site: make(at.size) for site, at in problem.model.sites.items()})

    return type("Scores", (), {"__doc__": "Of a type.", "name": "scores", "extract": extract})


@pytest.mark.parametrize("make", [torch.arange, lambda n: torch.arange(n) > 1, lambda n: torch.ones(n).half()])
@pytest.mark.parametrize("wants", [False, True])
def test_scores_may_be_of_any_real_type_and_want_gradients(make, wants):
    check_method(scores(lambda n: make(n).float().requires_grad_() if wants else make(n)))


def test_a_parameter_without_a_default_is_given_by_the_test():
    check_method(NeedsAParameter, parameters={"steps": 3})


@pytest.mark.parametrize("given", [Noise(), "noise", None])
def test_what_is_no_class_is_a_type_error(given):
    with pytest.raises(TypeError, match="takes the class of a method"):
        check_method(given)


def test_baselines_are_the_callers_own_to_write_to():
    problem = problem_on(tiny_bench(tiny_model(dtype=torch.float64), "mean"))
    problem.baselines()["0.mlp_out"].zero_()
    assert problem.baselines()["0.mlp_out"].abs().min() > 0


def test_sparse_prune_keeps_the_laws():
    check_method(SparsePrune, parameters={"steps": 12})


@pytest.mark.parametrize("method", BAD, ids=lambda method: method.__name__)
def test_the_laws_that_a_bad_method_breaks_are_named_and_no_other(method):
    given = {"steps": 2} if method is HidesAParameter else {}
    assert tuple(re.findall(r"^\d+\. (.*)$", complaint(method, parameters=given), re.M)) == BAD[method]


def test_a_failure_says_what_was_done_expected_and_found_and_what_to_do():
    found = complaint(Validates).splitlines()
    assert found[0] == "Validates breaks a law:"
    assert [line.split(":")[0].strip() for line in found[3:7]] == ["done", "expected", "found", "advice"]
    assert "'ada waits', a prompt of validation" in found[5]


def test_a_failure_comes_from_what_the_method_raised_and_says_where():
    with pytest.raises(AssertionError, match=r"NotImplementedError: resample \(.*bad_methods\.py:\d+\)") as failure:
        check_method(ZeroAblationOnly)
    assert isinstance(failure.value.__cause__, NotImplementedError)


def test_global_state_is_as_it_was_before_the_check():
    states = lambda: (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())  # noqa: E731
    before = states()
    complaint(SeedsTheWorld)
    assert states() == before
    assert torch.is_grad_enabled()


def test_parameters_reach_the_method():
    assert "is built from its parameters" in complaint(Random, parameters={"fraction": 2.0})


@pytest.mark.parametrize("ablation", ["zero", "mean", "task_mean", "resample"])
@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_the_planted_path_does_the_tiny_task_and_an_empty_circuit_does_not(ablation, norms):
    problem = tiny_problem(ablation=ablation, norms=norms)
    none = {site: torch.zeros(1, at.size) for site, at in problem.model.sites.items()}
    path = {site: mask.clone() for site, mask in none.items()}
    for site, nodes in PATH.items():
        path[site][0, nodes] = 1
    assert problem.losses({}).max() < problem.target_loss / 10
    assert problem.losses(path).mean() < problem.target_loss / 5
    assert problem.losses(none).mean() > 5 * problem.target_loss


def test_a_warning_instead_of_an_error_for_what_is_not_deterministic_stays_one():
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with surroundings(0):
            pass
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
