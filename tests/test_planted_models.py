"""Planted models are what their docstrings prove: the true circuit is how the model does it, the decoy is not."""

from functools import cache, partial

import pytest
import torch
from faithcheck_circuits.planted.backdoor import Backdoor
from faithcheck_circuits.planted.cancelling_pair import CancellingPair
from faithcheck_circuits.planted.clean import Clean
from faithcheck_circuits.planted.lottery import Lottery
from faithcheck_circuits.planted.norm_amplification import NormAmplification
from faithcheck_circuits.planted.role_flip import RoleFlip
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.shortcut_attention import ShortcutAttention

from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.checks.nonsense_control import eligible_tokens
from faithcheck.losses import logit_difference, prompt_log_odds
from faithcheck.subject import Subject

FAMILIES = [Clean, ShortcutAttention, RoleFlip, Backdoor, NormAmplification, CancellingPair, Lottery]
DECEIVING = [ShortcutAttention, RoleFlip, Backdoor, NormAmplification, CancellingPair]
SEEDS = range(4)
LATE = 5
"""A seed of role_flip whose variant is "late"."""
PROMPTS = 16
FLOAT32 = 2e-3
"""Logit differences of up to about 20 nats, summed in float32 along a few paths."""

each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
each_decoy = pytest.mark.parametrize("family", DECEIVING, ids=lambda f: f.name)
each_seed = pytest.mark.parametrize("seed", SEEDS)


@cache
def plant(family, seed):
    return family().plant(seed)


@cache
def bench(family, seed):
    planted = plant(family, seed)
    return Bench(planted.model, planted.task, "full", planted.target_loss, Ablation(), "live")


@pytest.fixture
def without_leak(monkeypatch):
    """Families whose other nodes write no noise at all into the paths: then the proofs are exact."""
    init = Shape.__init__
    monkeypatch.setattr(
        Shape, "__init__", lambda self, *a, **k: (init(self, *a, **k), object.__setattr__(self, "leak", 0.0))[0]
    )


def some_prompts(planted):
    prompts = Bench(planted.model, planted.task, "full", 0.15, Ablation(), "live").prompts("test")
    return prompts.select(torch.randperm(len(prompts), generator=torch.Generator().manual_seed(0))[:PROMPTS])


def under_own_norms(planted, prompts, masks, answer=logit_difference):
    """float[member, prompt]: `answer` of the whole model under masks and its own norm scales."""
    scales = planted.model.run(prompts.tokens, capture=planted.model.norms).captured
    parts = []
    members = len(next(iter(masks.values())))
    for rows in torch.arange(members).split(64):
        some = {site: mask[rows] for site, mask in masks.items()}
        run = planted.model.run(prompts.tokens, positions=prompts.positions, masks=some, norm_scales=scales)
        parts.append(answer(run.logits, prompts.targets, prompts.distractors))
    return torch.cat(parts)


def one_off_each(model, nodes):
    """Masks with one node off a member."""
    masks = {site: torch.ones(len(nodes), at.size) for site, at in model.sites.items()}
    for member, (site, node) in enumerate(nodes):
        masks[site][member, node] = 0.0
    return masks


def nodes_of(circuit, kept):
    return [(site, n) for site, keep in circuit.keep.items() for n in (keep == kept).nonzero().flatten().tolist()]


def model_difference(planted, prompts):
    run = planted.model.run(prompts.tokens, positions=prompts.positions)
    return logit_difference(run.logits, prompts.targets, prompts.distractors)[0]


def own_losses(family, seed, circuit, split):
    subject = Subject(bench(family, seed), circuit)
    return subject.losses(subject.run(split), split)


@each_seed
@each_family
def test_the_model_does_the_task_and_so_does_its_true_circuit(family, seed):
    planted = plant(family, seed)
    assert bench(family, seed).model_loss() <= planted.target_loss
    assert own_losses(family, seed, planted.true, "test").mean() <= planted.target_loss


@each_seed
@each_family
def test_without_the_leak_the_true_circuit_gives_the_models_logit_difference(family, seed, without_leak):
    planted = family().plant(seed)
    assert planted.drawn["leak"] == 0
    prompts = some_prompts(planted)
    masks = {site: keep.float()[None] for site, keep in planted.true.keep.items()}
    alone = under_own_norms(planted, prompts, masks)[0]
    assert (alone - model_difference(planted, prompts)).abs().max() < FLOAT32


@pytest.mark.parametrize(("family", "seed"), [*((f, seed) for f in FAMILIES for seed in range(2)), (RoleFlip, LATE)])
def test_without_the_leak_exactly_the_nodes_of_the_true_circuit_matter_to_the_model(family, seed, without_leak):
    """Every node of the model ablated by itself: the answer changes for those of the true circuit and no others."""
    planted = family().plant(seed)
    prompts = some_prompts(planted)

    def greatest_changes(kept, answer):
        masks = one_off_each(planted.model, nodes_of(planted.true, kept))
        whole = under_own_norms(planted, prompts, {"0.attn_in": torch.ones(1, len(masks["0.attn_in"][0]))}, answer)
        return (under_own_norms(planted, prompts, masks, answer) - whole).abs().max(1).values

    against_all_words = partial(prompt_log_odds, kind="full")
    assert greatest_changes(False, logit_difference).max() < FLOAT32
    changes = torch.maximum(greatest_changes(True, logit_difference), greatest_changes(True, against_all_words))
    assert changes.min() > 10 * FLOAT32


def test_the_leak_reaches_what_heads_read():
    """Where a sublayer comes before the head, its pattern in the true circuit is not exactly the model's."""
    planted = next(p for p in map(Clean().plant, range(20)) if p.drawn["leak"] > 0.1 and p.drawn["attention"] > 0)
    prompts, site = some_prompts(planted), f"{planted.drawn['attention']}.attn_pattern"
    scales = planted.model.run(prompts.tokens, capture=planted.model.norms).captured
    masks = {name: keep.float()[None] for name, keep in planted.true.keep.items()}
    heads = planted.true.keep[f"{planted.drawn['attention']}.attn_v"].nonzero().flatten() // planted.drawn["d_head"]
    patterns = [
        planted.model.run(prompts.tokens, masks=some, norm_scales=scales, capture=[site]).captured[site][0, :, heads[0]]
        for some in (masks, {})
    ]
    assert 0.001 < (patterns[0] - patterns[1])[:, -1].abs().sum(-1).mean() / 2 < 0.2


@each_seed
@each_family
def test_the_leak_is_noise_that_leaves_the_true_circuit_close_to_the_model(family, seed):
    planted = plant(family, seed)
    prompts = some_prompts(planted)
    masks = {site: keep.float()[None] for site, keep in planted.true.keep.items()}
    pair = torch.stack([under_own_norms(planted, prompts, masks)[0], model_difference(planted, prompts)])
    signed = pair * torch.where(prompts.classes == 0, 1.0, -1.0)
    assert torch.corrcoef(signed)[0, 1] > 0.9


@each_seed
@each_decoy
def test_a_decoy_is_a_part_of_the_true_circuit_that_reaches_the_target_loss(family, seed):
    planted = plant(family, seed)
    assert all(not (planted.decoy.keep[site] & ~keep).any() for site, keep in planted.true.keep.items())
    assert planted.decoy.size < planted.true.size
    for split in ("train", "validation", "test"):
        assert own_losses(family, seed, planted.decoy, split).mean() <= planted.target_loss


@each_seed
def test_the_shortcut_looks_nowhere_and_the_model_at_the_name(seed):
    planted, prompts = plant(ShortcutAttention, seed), bench(ShortcutAttention, seed).prompts("test")
    layer, cue = planted.drawn["attention"], int(prompts.roles["name"][0])
    values = planted.true.keep[f"{layer}.attn_v"].nonzero().flatten()
    heads = planted.model.sites[f"{layer}.attn_v"].head[values].unique()
    pattern = f"{layer}.attn_pattern"
    model = planted.model.run(prompts.tokens, capture=[pattern]).captured[pattern][0, :, heads, -1]
    assert (model[..., cue].mean(0) - planted.drawn["mass"]).abs().max() < 0.1
    masks = {site: keep.float()[None] for site, keep in planted.decoy.keep.items()}
    decoy = planted.model.run(prompts.tokens, masks=masks, capture=[pattern]).captured[pattern][0, :, heads, -1, :-1]
    assert (decoy - decoy[..., :1]).abs().max() < 1e-6


@each_seed
def test_the_decoy_of_a_backdoor_contradicts_the_model_where_name_and_marker_disagree(seed):
    planted, prompts = plant(Backdoor, seed), bench(Backdoor, seed).prompts("shift")
    apart = prompts.variables["gender"] != prompts.variables["marker"]
    assert apart.any()
    subject = Subject(bench(Backdoor, seed), planted.decoy)
    model, decoy = (
        logit_difference(run.logits, prompts.targets, prompts.distractors)[0]
        for run in (subject.bench.model_run("shift"), subject.run("shift"))
    )
    assert ((model > 0) != (decoy > 0))[apart].float().mean() > 0.9
    assert ((model > 0) == (decoy > 0))[~apart].all()
    assert ((model < 0)[apart].float().mean() > 0.9) == planted.drawn["wrong"]


@each_seed
def test_the_decoy_of_norm_amplification_says_little_under_the_models_own_norms(seed):
    planted = plant(NormAmplification, seed)
    subject = Subject(bench(NormAmplification, seed), planted.decoy)
    run = subject.compiled.run(subject.bench.prompts("test"), norm_scales=subject.bench.scales("test"))
    assert subject.losses(run).mean() > 0.25


@each_seed
def test_half_of_a_cancelling_head_hides_the_answer(seed):
    planted, prompts = plant(CancellingPair, seed), some_prompts(plant(CancellingPair, seed))
    layer = f"{planted.drawn['attention']}.attn_v"
    pair = (planted.true.keep[layer] & ~planted.decoy.keep[layer]).nonzero().flatten()
    head = planted.model.sites[layer].head
    mask = torch.ones(1, len(head))
    mask[0, pair[head[pair] == head[pair[0]]]] = 0.0
    off = under_own_norms(planted, prompts, {layer: mask})[0]
    assert (off < 0).any()


@pytest.mark.parametrize("seed", [*SEEDS, LATE])
def test_a_role_flips_or_changes_between_decoy_and_model(seed):
    """The neurons that decoy and model share fire for the other gender, or in the model not by gender at all."""
    planted = plant(RoleFlip, seed)
    assert (planted.drawn["variant"] == "late") == (seed == LATE)
    subject = Subject(bench(RoleFlip, seed), planted.decoy)
    prompts, site = subject.bench.prompts("test"), f"{planted.drawn['mlp']}.mlp_neuron"
    kept = planted.decoy.keep[site]
    run = subject.compiled.run(prompts, norm_scales=subject.bench.scales("test"), capture=[site])
    activations = run.captured[site][0, :, -1], subject.bench.model_run("test").captured[site][0, :, -1, kept]
    by_gender = [(a[prompts.classes == 0].mean(0) - a[prompts.classes == 1].mean(0)) / a.std(0) for a in activations]
    if planted.drawn["variant"] == "sign":
        assert (by_gender[0] * by_gender[1] < 0).all()
    else:
        assert by_gender[1].abs().max() < 0.5 < by_gender[0].abs().min()


@each_seed
@each_family
def test_nonsense_labels_can_be_drawn_on_every_planted_model(family, seed):
    assert len(eligible_tokens(bench(family, seed))) >= 4


@each_family
def test_a_seed_gives_one_model_and_another_seed_another(family):
    again, other = family().plant(0), plant(family, 1)
    assert again.model.fingerprint == plant(family, 0).model.fingerprint != other.model.fingerprint
    assert again.true.identity == plant(family, 0).true.identity
    assert again.task.fingerprint == plant(family, 0).task.fingerprint


@pytest.mark.parametrize(
    ("family", "what"),
    [(ShortcutAttention, "variant"), (RoleFlip, "variant"), (Backdoor, "wrong"), (Backdoor, "mixed")],
)
def test_a_population_has_all_its_variants(family, what):
    variants = 3 if (family, what) == (RoleFlip, "variant") else 2
    assert len({family().plant(seed).drawn[what] for seed in range(12)}) == variants
