"""The two methods whose verdicts are known: one keeps everything, one keeps nodes drawn at random."""

from types import SimpleNamespace

import pytest
import torch
from faithcheck_circuits.methods.controls import Full, Random
from pydantic import ValidationError
from small_models import prompt_set, small_model

from faithcheck.ablation import Ablation
from faithcheck.cutting import Cutter
from faithcheck.losses import prompt_losses
from faithcheck.method import Method, Problem
from faithcheck.model import Site

PROMPTS = prompt_set(*(torch.tensor(v) for v in ([[1, 2, 3], [4, 5, 0]], [2, 1], [1, 2], [2, 1])))


def problem(model, seed=0):
    return Problem(model, PROMPTS, "full", 0.15, Ablation(), "live", seed)


def sites_only(size=10_000):
    """A model of which nothing but the sites may be looked at."""
    return SimpleNamespace(sites={"0.attn_in": Site(size, 0, "attn_in"), "0.mlp_out": Site(size, 0, "mlp_out")})


def randomly(fraction, seed=0):
    return Random(Random.Parameters(fraction=fraction)).extract(problem(sites_only(), seed)).scores


@pytest.mark.parametrize("method", [Full(), Random()])
def test_each_is_a_method(method):
    assert isinstance(method, Method)


@pytest.mark.parametrize("method", [Full(), Random()])
def test_each_gives_every_site_a_row_of_zeros_and_ones(method):
    model = small_model()
    scores = method.extract(problem(model))
    assert {site: len(row) for site, row in scores.scores.items()} == {s: at.size for s, at in model.sites.items()}
    assert set(scores.flat(model).tolist()) <= {0.0, 1.0}


def test_full_keeps_the_whole_model_and_so_its_loss():
    model = small_model()
    found = Cutter(model, PROMPTS, "full", 0.15, Ablation()).cut(Full().extract(problem(model)))
    logits = model.run(PROMPTS.tokens, positions=PROMPTS.positions).logits
    loss = float(prompt_losses(logits, PROMPTS.targets, PROMPTS.distractors, "full").mean())
    assert all(kept.all() for kept in found.circuit.keep.values())
    assert found.loss == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.9])
def test_random_keeps_about_its_fraction_of_every_site(fraction):
    """Within five standard deviations of 10,000 draws."""
    for row in randomly(fraction).values():
        assert abs(float(row.mean()) - fraction) < 5 * (fraction * (1 - fraction) / 10_000) ** 0.5


def test_random_keeps_nothing_at_0_and_everything_at_1():
    assert not any(row.any() for row in randomly(0.0).values())
    assert all(row.all() for row in randomly(1.0).values())


def test_random_draws_by_the_seed_alone():
    first = randomly(0.5, seed=3)
    torch.manual_seed(9)
    again, other = randomly(0.5, seed=3), randomly(0.5, seed=4)
    assert all(torch.equal(again[site], row) for site, row in first.items())
    assert all(not torch.equal(other[site], row) for site, row in first.items())


def test_random_draws_each_site_anew():
    first, second = randomly(0.5).values()
    assert not torch.equal(first, second)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), "half"])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(ValidationError, match="fraction"):
        Random.Parameters(fraction=fraction)
