"""Which of a sweep's penalties a method keeps, and on what prompts it compares them."""

from dataclasses import replace

import pytest
import torch
from faithcheck_circuits.methods import batches, penalties
from faithcheck_circuits.methods.batches import train_masks
from faithcheck_circuits.methods.penalties import parts
from faithcheck_circuits.methods.trained import Trained
from small_pruning import MODEL, TRAIN, close, framed, method, problem

from faithcheck.ablation import Ablation
from faithcheck.circuit import NodeScores
from faithcheck.cutting import Cutter


@pytest.mark.parametrize("target", [0.15, 1e-4], ids=["reached", "out of reach"])
def test_of_a_sweep_the_smallest_circuit_at_the_target_wins_or_else_the_lowest_loss(target):
    """With fewer than five frames no prompts are held out: penalties are compared on the prompts trained on."""
    prune = method(sweep=(30.0, 1.0, 0.1), steps=40)
    one_frame = problem(prompts=replace(TRAIN, frames=torch.zeros(64, dtype=torch.int64)), target_loss=target)
    trained = train_masks([(one_frame, factor) for factor in (30.0, 1.0, 0.1)], prune.parameters)
    cutter = Cutter(MODEL, TRAIN, "full", target, Ablation())
    cuts = [cutter.cut(NodeScores(run.scores)) for run in trained]
    found = prune.extract(one_frame)
    [best] = [i for i, run in enumerate(trained) if close(run.scores, found.scores, 0)]
    measures = [cut.size if target == 0.15 else cut.loss for cut in cuts]
    assert {cut.reached for cut in cuts} == {target == 0.15}
    assert len(set(measures)) > 1
    assert measures[best] == min(measures)
    assert found.convergence == trained[-1].convergence(target)


@pytest.mark.parametrize("frames", [5, 12, 64])
def test_a_fifth_of_the_frames_is_kept_from_training_to_choose_the_penalty_on(frames):
    fit, choose = parts(problem(prompts=framed(frames)))
    kept_apart = set(choose.frames.tolist())
    assert len(kept_apart) == frames // 5
    assert not kept_apart & set(fit.frames.tolist())
    assert sorted(fit.texts + choose.texts) == sorted(TRAIN.texts)


def test_which_frames_are_held_out_depends_on_the_seed_alone():
    held_out = [parts(problem(prompts=framed(12), seed=seed))[1].texts for seed in (0, 0, 1, 2)]
    assert held_out[0] == held_out[1]
    assert len(set(held_out)) > 1


@pytest.mark.parametrize("worse", [0, 1])
def test_the_penalty_is_judged_on_the_held_out_frames(monkeypatch, worse):
    """Of two trainings, the one that ranks the wrong nodes first needs more of them there and loses."""
    good, bad = (dict.fromkeys(MODEL.sites), dict.fromkeys(MODEL.sites))
    for site, at in MODEL.sites.items():
        good[site] = torch.linspace(0.1, 0.2, at.size)
        bad[site] = good[site].clone()
    for site, node in (("0.attn_in", 0), ("0.attn_in", 1), ("0.attn_v", 0), ("0.attn_out", 3)):
        good[site][node], bad[site][node] = 1.0, -1.0
    trace = torch.ones(4)
    seen = []

    def trained(runs, parameters):
        seen.extend(p.prompts.texts for p, _ in runs)
        return [Trained(bad if i == worse else good, factor, trace, trace) for i, (_, factor) in enumerate(runs)]

    monkeypatch.setattr(batches, "train_masks", trained)
    found = method().extract(problem(prompts=framed(12)))
    assert close(found.scores, good, 0)
    assert set(seen) == {parts(problem(prompts=framed(12)))[0].texts}


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_penalties_are_compared_under_the_problems_norms(monkeypatch, norms):
    seen = []

    def spy(*given):
        seen.append(Cutter(*given))
        return seen[-1]

    monkeypatch.setattr(penalties, "Cutter", spy)
    method(steps=2).extract(problem(norms=norms))
    assert {cutter.norms for cutter in seen} == {norms}
