"""Mask pruning on a tiny transformer, built by hand, that answers with a name's pronoun."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from faithcheck_circuits.methods import mask_training
from faithcheck_circuits.methods.mask_training import Trained, train_masks
from faithcheck_circuits.methods.sparse_prune import SparsePrune, _parts
from faithcheck_circuits.transformer.model import SparseTransformer
from plain_forward import plain_forward
from small_models import Words, prompt_set, random_tensors, small_config, small_model

from faithcheck import cutting
from faithcheck.ablation import Ablation
from faithcheck.circuit import Convergence, NodeScores
from faithcheck.cutting import Cutter
from faithcheck.method import Budget, Problem, extract_many
from faithcheck.scales import norm_scales

SHE, HE, COMMA, WOMEN, MEN, END = 1, 2, 3, 4, 8, 12
"""Token ids; names are 4 to 7 and 8 to 11, other words 12 to 15."""


def pronoun_model(dtype=torch.float32, seed=0):
    """One head carries the name's gender to the answer; every other weight is small noise. Its loss is 0.03."""
    config = small_config("one layer", vocabulary=16, norm_eps=1e-6)
    tensors = {
        name: 1 + 0.03 * (noise - 1) if name.endswith(".gain") else 0.03 * noise
        for name, noise in random_tensors(config, seed).items()
    }
    tensors["embed"][:, 15] += 1
    tensors["embed"][WOMEN:END, 1] += 3
    tensors["embed"][WOMEN:MEN, 0] += 3
    tensors["embed"][MEN:END, 0] -= 3
    for matrix, row, column in (("q", 0, 15), ("k", 0, 1), ("v", 0, 0), ("out", 3, 0)):
        tensors[f"0.attn_{matrix}.weight"][row, column] += 4
    tensors["unembed"][SHE, 3] += 1.5
    tensors["unembed"][HE, 3] -= 1.5
    return SparseTransformer("pronoun", config, {n: t.to(dtype) for n, t in tensors.items()}, Words("ab"))


def pronoun_prompts(prompts=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    names = torch.randint(WOMEN, END, (prompts,), generator=generator)
    others = torch.randint(END, 16, (2, prompts), generator=generator)
    tokens = torch.stack([others[0], names, others[1], torch.full((prompts,), COMMA)], 1)
    classes = (names >= MEN).long()
    answers = torch.tensor([SHE, HE])
    last = torch.full((prompts,), 3)
    return prompt_set(tokens, last, answers[classes], answers[1 - classes], classes)


MODEL, TRAIN, OTHERS = pronoun_model(), pronoun_prompts(), pronoun_prompts(seed=1)
NODES = sum(site.size for site in MODEL.sites.values())


def problem(**changes):
    usual = {"model": MODEL, "prompts": TRAIN, "loss": "full", "target_loss": 0.15, "ablation": Ablation()}
    return Problem(**{**usual, "norms": "live", "seed": 0, **changes})


def method(**parameters):
    usual = {"steps": 60, "batch": 32, "k_coef": 1e-3, "lr": 0.02, "sweep": (1.0, 0.1), "full_every": 8}
    return SparsePrune(SparsePrune.Parameters(**{**usual, **parameters}))


def close(one, other, tolerance=1e-6):
    """Scores within 1e-6: they lie in [-1, 1], and forty float32 updates of sums in another order differ by 1e-7."""
    assert one.keys() == other.keys()
    return all((one[site] - other[site]).abs().max() <= tolerance for site in one)


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


def relabelled(**changes):
    """The task and three controls: the answers exchanged, and two pairs of words that mean nothing."""
    sets = (TRAIN, *(TRAIN.relabelled(answers) for answers in ((HE, SHE), (5, 9), (13, 14))))
    return [problem(prompts=prompts, **changes) for prompts in sets]


@pytest.mark.parametrize("full_every", [1, 8])
@pytest.mark.parametrize("seed", [0, 1])
def test_problems_of_one_batch_score_as_they_do_one_at_a_time(full_every, seed):
    prune = method(full_every=full_every, steps=40)
    together = prune.extract_many(relabelled(seed=seed))
    apart = prune.extract_many(relabelled(seed=seed, budget=Budget(memory=1)))
    for one, other in zip(together, apart, strict=True):
        assert close(one.scores, other.scores)


def test_problems_that_cannot_share_a_batch_come_back_in_their_order():
    first, second, third, fourth = relabelled()
    mixed = [first, problem(seed=1), second, problem(loss="binary"), third, problem(norms="frozen"), fourth, first]
    prune = method(steps=24)
    for p, scores in zip(mixed, extract_many(prune, mixed), strict=True):
        assert close(scores.scores, prune.extract(p).scores)


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_a_problem_on_another_model_scores_as_it_does_alone_and_leaves_the_others_theirs(norms):
    """As the harness hands them over: the task, a control of other labels, the task on two shuffles of the weights."""
    task, labels = relabelled(norms=norms)[:2]
    shuffled = [problem(model=MODEL.shuffled(seed), norms=norms) for seed in (0, 1)]
    prune = method(steps=24)
    mixed = [shuffled[0], task, labels, shuffled[1]]
    assert sorted(len(group) for group in mask_training.together(mixed)) == [1, 1, 2]
    found = extract_many(prune, mixed)
    for p, scores in zip(mixed, found, strict=True):
        assert close(scores.scores, prune.extract(p).scores)
    assert close(found[1].scores, prune.extract_many([task, labels])[0].scores, 0)
    assert not any(close(found[i].scores, found[1].scores, 1e-3) for i in (0, 2, 3))


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


def framed(frames):
    """The train prompts in that many frames, in turn."""
    return replace(TRAIN, frames=torch.arange(64) % frames)


@pytest.mark.parametrize("frames", [5, 12, 64])
def test_a_fifth_of_the_frames_is_kept_from_training_to_choose_the_penalty_on(frames):
    fit, choose = _parts(problem(prompts=framed(frames)))
    kept_apart = set(choose.frames.tolist())
    assert len(kept_apart) == frames // 5
    assert not kept_apart & set(fit.frames.tolist())
    assert sorted(fit.texts + choose.texts) == sorted(TRAIN.texts)


def test_which_frames_are_held_out_depends_on_the_seed_alone():
    held_out = [_parts(problem(prompts=framed(12), seed=seed))[1].texts for seed in (0, 0, 1, 2)]
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

    monkeypatch.setattr(mask_training, "train_masks", trained)
    found = method().extract(problem(prompts=framed(12)))
    assert close(found.scores, good, 0)
    assert set(seen) == {_parts(problem(prompts=framed(12)))[0].texts}


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_penalties_are_compared_under_the_problems_norms(monkeypatch, norms):
    seen = []

    def spy(*given):
        seen.append(Cutter(*given))
        return seen[-1]

    monkeypatch.setattr(cutting, "Cutter", spy)
    method(steps=2).extract(problem(norms=norms))
    assert {cutter.norms for cutter in seen} == {norms}


def test_a_penalty_that_turns_every_node_off_ends_without_a_circuit():
    scores = method(k_coef=100.0, sweep=(1.0,), full_every=4).extract(problem())
    assert scores.convergence.nodes == 0
    assert not scores.convergence.flattened
    assert not (scores.flat(MODEL) > 0).any()


class MaskedOnly:
    """A model that can be run under masks and nothing else."""

    def __init__(self, model):
        for name in ("name", "fingerprint", "device", "dtype", "sites", "norms", "tokenizer", "run"):
            setattr(self, name, getattr(model, name))


def test_a_model_that_cannot_be_restricted_takes_full_steps_only():
    plain = method(full_every=1).extract(problem())
    assert close(method(full_every=8).extract(problem(model=MaskedOnly(MODEL))).scores, plain.scores)


def one_prompt_runs(norms, **parameters):
    """One step on copies of one prompt, with about half of the nodes on; the loss it saw, and what it ends with."""
    same = TRAIN.select(torch.zeros(8, dtype=torch.int64))
    values = {"steps": 1, "init_noise_bias": 0.0, "init_noise_scale": 0.1, **parameters}
    [run] = train_masks([(problem(prompts=same, norms=norms), 1.0)], method(**values).parameters)
    noise = 0.1 * torch.randn(NODES, generator=torch.Generator().manual_seed(0))
    return run, same, dict(zip(MODEL.sites, noise.split([at.size for at in MODEL.sites.values()]), strict=True))


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_norms_are_live_or_frozen_to_the_whole_models_scales_as_the_problem_asks(norms):
    run, prompts, start = one_prompt_runs(norms)
    tokens, target = prompts.tokens[:1], int(prompts.targets[0])
    whole = plain_forward(MODEL, tokens).captured
    scales = {norm: torch.as_tensor(whole[norm]) for norm in MODEL.norms} if norms == "frozen" else {}
    masks = {site: (tau >= 0)[None].double() for site, tau in start.items()}
    logits = plain_forward(MODEL, tokens, masks, scales=scales).logits[0, 0, 3]
    expected = math.log(sum(math.exp(x) for x in logits)) - logits[target]
    assert float(run.losses[0]) == pytest.approx(expected, rel=1e-5)
    assert int(run.nodes[0]) == sum(int((tau >= 0).sum()) for tau in run.scores.values())


def test_frozen_and_live_norms_are_not_the_same_question():
    losses = [float(one_prompt_runs(norms)[0].losses[0]) for norms in ("live", "frozen")]
    assert abs(losses[0] - losses[1]) > 0.01


def test_the_first_step_of_adamw_decays_each_parameter_and_moves_it_by_the_learning_rate():
    run, _, start = one_prompt_runs("live", lr=0.02, weight_decay=0.5)
    for site, tau in start.items():
        step = run.scores[site] - tau * (1 - 0.02 * 0.5)
        torch.testing.assert_close(step.abs(), torch.full_like(step, 0.02), rtol=1e-3, atol=0)


def test_a_penalty_that_outweighs_the_loss_lowers_every_parameter():
    run, _, start = one_prompt_runs("live", lr=0.02, weight_decay=0.0, k_coef=1e4)
    assert all((run.scores[site] < tau).all() for site, tau in start.items())


HEAVY = {"k_coef": 1e7, "weight_decay": 0.0}
"""A penalty beside which the loss does not count: the gradient of tau is k_coef s (1 - s) / temperature."""


def test_the_learning_rate_falls_to_0_in_equal_steps():
    """Under a constant gradient Adam moves by the learning rate: in all by lr (1 + 3/4 + 2/4 + 1/4)."""
    values = {"steps": 4, "lr": 0.02, "heaviside_temp": 1e3, "init_noise_bias": 0.5, "full_every": 1, **HEAVY}
    [run] = train_masks([(problem(), 1.0)], method(**values).parameters)
    noise = torch.randn(NODES, generator=torch.Generator().manual_seed(0))
    moved = 0.5 + 0.01 * noise - torch.cat(list(run.scores.values()))
    torch.testing.assert_close(moved, torch.full_like(moved, 0.02 * 2.5), rtol=1e-3, atol=0)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_backward_pass_is_a_sigmoids_derivative_clipped_to_a_root_mean_square_of_1(temperature):
    tau = torch.linspace(-0.9, 0.9, NODES)
    state = training(tau, members=1, heaviside_temp=temperature, **HEAVY)
    state._step([state._whole(torch.arange(1))], torch.arange(16), 0.02)
    gradient = state.mean[0, :-1] / 0.1
    s = torch.sigmoid(tau / temperature)
    expected = s * (1 - s) / (s * (1 - s)).square().mean().sqrt()
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=0)
    assert float(gradient.square().mean()) == pytest.approx(1, rel=1e-5)


def training(tau, members=3, **parameters):
    runs = [(p, 1.0) for p in relabelled()[:members]]
    state = mask_training._MaskTraining(runs, method(**parameters).parameters)
    state.tau[:, :-1] = tau
    return state


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_compact_steps_are_full_steps_for_the_nodes_that_are_on(monkeypatch, seed, share, frozen):
    """The gradients' running means and squares, after two steps on different prompts; without the clip, whose norm
    takes in the nodes that are off on full steps only."""
    monkeypatch.setattr(mask_training, "_clip_rms", lambda grad, total: grad)
    generator = torch.Generator().manual_seed(seed)
    size = 0.1 + torch.rand(3, NODES, generator=generator)
    compact = training(torch.where(torch.rand(3, NODES, generator=generator) < share, size, -size).clamp(-1, 1))
    if frozen:
        compact.scales = norm_scales(MODEL, TRAIN)
    full, on, rows = copy.deepcopy(compact), compact.tau[:, :-1] >= 0, torch.arange(3)
    before = compact.tau.clone()
    for batch in (torch.arange(16), torch.arange(20, 40)):
        losses = [
            state._step([group], batch, 0.02)
            for state, group in ((full, full._whole(rows)), (compact, compact._restricted(rows, on)))
        ]
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
    for name in ("mean", "square", "count", "tau"):
        found, expected = (getattr(state, name)[:, :-1][on] for state in (compact, full))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert torch.equal(compact.tau[:, :-1][~on], before[:, :-1][~on])
    assert (compact.tau[:, -1] == -1).all()


def test_a_member_is_clipped_alike_whatever_members_it_steps_with():
    on = torch.arange(NODES) < torch.tensor([[30], [40]])
    together = training(torch.where(on, 0.5, -0.5), members=2, **HEAVY)
    alone = copy.deepcopy(together)
    together._step([together._restricted(torch.arange(2), on)], torch.arange(16), 0.02)
    alone._step([alone._restricted(torch.tensor([i]), on[i : i + 1]) for i in range(2)], torch.arange(16), 0.02)
    torch.testing.assert_close(together.mean[:, :-1], alone.mean[:, :-1], rtol=1e-5, atol=1e-6)


def test_a_member_takes_part_in_exactly_one_group():
    size = torch.rand(4, NODES, generator=torch.Generator().manual_seed(1))
    state = training(torch.where(size < torch.tensor([[0.9], [0.0], [0.2], [0.05]]), 0.5, -0.5), members=4)
    groups = list(state._compact())
    assert sorted(torch.cat([group.rows for group in groups]).tolist()) == [0, 1, 2, 3]
    assert [group.rows.tolist() for group in groups if group.model is MODEL] == [[0]]


def eighths(*losses):
    """200 losses: 25 steps at each of eight."""
    return [loss for loss in losses for _ in range(25)]


HIGH = (9.0, 9.0, 9.0, 9.0)
# Losses, nodes on at the end of 40, (loss, nodes, flattened).
TRACES = {
    "flat and high with a tenth on": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 4, (1.0, 4, True)),
    "flat and high with less than a tenth on": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 3, (1.0, 3, False)),
    "flat and high with half on": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 20, (1.0, 20, True)),
    "flat and high with more than half on, hardly trained": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 21, (1.0, 21, False)),
    "falling by 6 % from the third quarter": (eighths(*HIGH, 1.0, 1.0, 0.94, 0.94), 20, (0.94, 20, False)),
    "falling by 4 % from the third quarter": (eighths(*HIGH, 1.0, 1.0, 0.96, 0.96), 20, (0.96, 20, True)),
    "falling by 6 % from the second quarter": (eighths(9, 9, 1.0, 1.0, 2, 2, 0.94, 0.94), 20, (0.94, 20, False)),
    "rising": (eighths(*HIGH, 1.0, 1.0, 2.0, 4.0), 20, (3.0, 20, True)),
    "flat just above one and a half targets": (eighths(*HIGH, 0.23, 0.23, 0.23, 0.23), 20, (0.23, 20, True)),
    "flat just below one and a half targets": (eighths(*HIGH, 0.22, 0.22, 0.22, 0.22), 20, (0.22, 20, False)),
    "99 steps": ([1.0] * 99, 20, (1.0, 20, False)),
    "100 steps": ([1.0] * 100, 20, (1.0, 20, True)),
    "one step": ([1.0], 20, (1.0, 20, False)),
}


@pytest.mark.parametrize("case", TRACES)
def test_a_loss_has_flattened_where_the_last_quarter_is_no_lower_than_the_two_before(case):
    losses, nodes, expected = TRACES[case]
    scores = {"a": torch.zeros(30), "b": torch.zeros(10)}
    kept = torch.full((len(losses),), 40)
    kept[-1] = nodes
    found = Trained(scores, 1.0, torch.tensor(losses), kept).convergence(0.15)
    assert found == Convergence(pytest.approx(expected[0], rel=1e-5), *expected[1:])


def test_the_trace_has_the_loss_and_the_nodes_of_every_step():
    [run] = train_masks([(problem(), 1.0)], method(steps=20).parameters)
    assert run.losses.shape == run.nodes.shape == (20,)
    assert int(run.nodes[-1]) == sum(int((tau >= 0).sum()) for tau in run.scores.values())
    assert run.nodes[0] == NODES
    assert run.nodes[-1] < NODES


def test_a_float64_model_is_pruned_too():
    method(steps=2).extract(problem(model=pronoun_model(torch.float64)))


def test_a_model_with_activation_top_k_is_pruned_too():
    model = small_model("all at once", dtype=torch.float32)
    scores = method(steps=20, full_every=4, k_coef=0.1).extract(problem(model=model))
    assert scores.flat(model).shape == (sum(at.size for at in model.sites.values()),)
