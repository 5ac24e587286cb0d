"""Mask pruning on a model that answers with a name's pronoun: what the scores are, and what they depend on."""

import pytest
import torch
from faithcheck_circuits.methods.hard_concrete import HardConcrete
from faithcheck_circuits.methods.sparse_prune import SparsePrune
from pydantic import ValidationError
from small_models import small_model
from small_pruning import MODEL, NODES, OTHERS, close, framed, method, problem, pronoun_model

from faithcheck.ablation import Ablation
from faithcheck.cutting import Cutter


@pytest.fixture(scope="module")
def usual():
    return method().extract(problem())


@pytest.mark.parametrize("full_every", [1, 8])
@pytest.mark.parametrize("loss", ["full", "binary"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_few_nodes_reach_the_target_on_prompts_it_did_not_see(full_every, loss, seed):
    scores = method(full_every=full_every, steps=100).extract(problem(seed=seed, loss=loss))
    cut = Cutter(MODEL, OTHERS, loss, 0.15, Ablation()).cut(scores)
    assert cut.reached
    assert cut.size <= 12 < NODES / 10


def test_scores_cover_every_node_and_lie_between_minus_one_and_one(usual):
    assert {site: scores.shape for site, scores in usual.scores.items()} == {
        site: (at.size,) for site, at in MODEL.sites.items()
    }
    flat = usual.flat(MODEL)
    assert flat.abs().max() <= 1
    assert flat.unique().numel() > NODES // 2


def test_scores_stay_between_minus_one_and_one_at_any_learning_rate():
    assert method(lr=50.0, steps=10).extract(problem()).flat(MODEL).abs().max() == 1


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(usual):
    again, other = (method().extract(problem(seed=seed)) for seed in (0, 1))
    assert all(torch.equal(again.scores[site], usual.scores[site]) for site in MODEL.sites)
    assert again.convergence == usual.convergence
    assert any(not torch.equal(other.scores[site], usual.scores[site]) for site in MODEL.sites)


def test_the_seed_also_counts_where_no_frame_is_held_out():
    runs = [method(steps=8).extract(problem(prompts=framed(1), seed=seed)) for seed in (0, 1)]
    assert any(not torch.equal(runs[0].scores[site], runs[1].scores[site]) for site in MODEL.sites)


def test_random_numbers_drawn_elsewhere_do_not_count(usual):
    torch.manual_seed(77)
    before = torch.get_rng_state()
    again = method().extract(problem())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(again.scores[site], usual.scores[site]) for site in MODEL.sites)


def test_the_models_tensors_stay_as_they_are():
    model = pronoun_model()
    before = {name: tensor.clone() for name, tensor in model.network.tensors.items()}
    method().extract(problem(model=model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.tensors.items())
    assert not any(tensor.requires_grad for tensor in model.network.tensors.values())


def test_a_penalty_that_turns_every_node_off_ends_without_a_circuit():
    scores = method(k_coef=100.0, sweep=(1.0,), full_every=4).extract(problem())
    assert scores.convergence.nodes == 0
    assert not scores.convergence.flattened
    assert not (scores.flat(MODEL) > 0).any()


@pytest.mark.parametrize("method", [SparsePrune, HardConcrete])
@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_factor_that_rewards_nodes_is_refused(method, factor):
    with pytest.raises(ValidationError, match="greater than 0"):
        method.Parameters(sweep=(1.0, factor))


class MaskedOnly:
    """A model that can be run under masks and nothing else."""

    def __init__(self, model):
        for name in ("name", "fingerprint", "device", "dtype", "sites", "norms", "tokenizer", "run"):
            setattr(self, name, getattr(model, name))


def test_a_model_that_cannot_be_restricted_takes_full_steps_only():
    plain = method(full_every=1).extract(problem())
    assert close(method(full_every=8).extract(problem(model=MaskedOnly(MODEL))).scores, plain.scores)


def test_a_float64_model_is_pruned_too():
    method(steps=2).extract(problem(model=pronoun_model(torch.float64)))


def test_a_model_with_activation_top_k_is_pruned_too():
    model = small_model("all at once", dtype=torch.float32)
    scores = method(steps=20, full_every=4, k_coef=0.1).extract(problem(model=model))
    assert scores.flat(model).shape == (sum(at.size for at in model.sites.values()),)
