"""Members of a batch are separate: in another order they give the same results in that order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from faithcheck_circuits.methods.mask_training import MaskTraining
from faithcheck_circuits.methods.sparse_prune import SparsePrune
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import VARIANTS, prompt_set, random_keep, random_prompts, small_model

from faithcheck.ablation import Ablation
from faithcheck.method import Problem

MEMBERS = 4
orders = st.permutations(range(MEMBERS))
few = settings(max_examples=3, deadline=None, derandomize=True)
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def close(one, other, tolerance=1e-10):
    return (one - other).abs().max() <= tolerance * max(1.0, float(other.abs().max()))


def everything(model):
    return [*model.sites, *model.norms, *(f"{layer}.attn_pattern" for layer in range(model.config.layers))]


def drawn(variant, seed):
    """A model, prompts, their last positions, and a random circuit of each member."""
    model = small_model(variant, seed % 5)
    return model, *random_prompts(model, seed), random_keep(model, seed, members=MEMBERS)


def permuted(by_site, order):
    return {site: rows[order] for site, rows in by_site.items()}


def out_of_order(found, run, order):
    """Of logits and captured values, the names of those that are not `run`'s with its members in that order.

    What is captured has one member where nothing upstream differs between members.
    """
    expected, ours = ({"logits": r.logits, **r.captured} for r in (run, found))
    return [n for n, value in expected.items() if not close(ours[n], value[order] if len(value) > 1 else value)]


@every_variant
@given(seed=st.integers(0, 2**20), order=orders)
@few
def test_masks_in_another_order_give_logits_and_activations_in_that_order(variant, seed, order):
    model, tokens, positions, keep = drawn(variant, seed)
    masks = {site: kept.double() for site, kept in keep.items()}

    def run(masks):
        return model.run(tokens, positions=positions, masks=masks, capture=everything(model))

    assert not out_of_order(run(permuted(masks, order)), run(masks), order)


@every_variant
@given(seed=st.integers(0, 2**20), order=orders)
@few
def test_members_restricted_in_another_order_give_logits_in_that_order(variant, seed, order):
    model, tokens, positions, keep = drawn(variant, seed)

    def run(keep):
        return model.restrict(keep, Ablation()).run(tokens, positions=positions, capture=model.norms)

    assert not out_of_order(run(permuted(keep, order)), run(keep), order)


def test_restricted_members_have_logits_of_their_own():
    """So that an order shows."""
    model, tokens, positions, keep = drawn("plain", 0)
    logits = model.restrict(keep, Ablation()).run(tokens, positions=positions).logits
    assert all(not close(logits[i], logits[j], 1e-3) for i in range(MEMBERS) for j in range(i))


MODEL = small_model("one layer", dtype=torch.float64)
ANSWERS = [(1, 2), (2, 1), (5, 9), (7, 3)]


def one_batch():
    """The same prompts with four pairs of answers."""
    tokens, positions = random_prompts(MODEL, prompts=24)
    classes = torch.arange(24) % 2
    prompts = prompt_set(tokens, positions, classes, 1 - classes, classes)
    return [Problem(MODEL, prompts.relabelled(pair), "full", 0.15, Ablation(), "live", 0) for pair in ANSWERS]


def problems():
    """One batch, but the last two are of another seed and of another loss."""
    first, second, third, fourth = one_batch()
    return [first, second, replace(third, seed=1), replace(fourth, loss="binary")]


def prune():
    return SparsePrune(SparsePrune.Parameters(steps=10, batch=8, sweep=(1.0, 0.1), lr=0.1, full_every=4))


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 3, 0, 2)])
def test_problems_in_another_order_are_scored_in_that_order(order):
    expected = prune().extract_many(problems())
    found = prune().extract_many([problems()[i] for i in order])
    for scores, i in zip(found, order, strict=True):
        assert all(torch.equal(scores.scores[site], expected[i].scores[site]) for site in MODEL.sites)
        assert scores.convergence == expected[i].convergence


@given(order=orders)
@few
def test_runs_of_one_batch_are_trained_alike_in_any_order(order):
    runs = [(problem, 1.0) for problem in one_batch()]
    train = lambda batch: MaskTraining(batch, prune().parameters).train()  # noqa: E731
    expected, found = train(runs), train([runs[i] for i in order])
    for trained, i in zip(found, order, strict=True):
        assert close(trained.losses, expected[i].losses, 1e-6)
        assert torch.equal(trained.nodes, expected[i].nodes)
        assert all(close(trained.scores[site], expected[i].scores[site], 1e-6) for site in MODEL.sites)
    assert not close(expected[0].losses, expected[1].losses, 1e-3)
