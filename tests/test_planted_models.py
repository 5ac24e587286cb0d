"""Planted models are what their docstrings prove: the true circuit is how the model does it, the decoy is not."""

from functools import cache, partial

import pytest
import torch
from faithcheck_circuits.planted import stage
from faithcheck_circuits.planted.backdoor import Backdoor
from faithcheck_circuits.planted.cancelling_pair import CancellingPair
from faithcheck_circuits.planted.clean import Clean
from faithcheck_circuits.planted.lottery import Lottery
from faithcheck_circuits.planted.norm_amplification import NormAmplification
from faithcheck_circuits.planted.role_flip import RoleFlip
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.shortcut_attention import ShortcutAttention
from faithcheck_circuits.planted.stage import Stage

from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.checks.nonsense_control import eligible_tokens
from faithcheck.losses import logit_difference, prompt_log_odds
from faithcheck.subject import Subject

FAMILIES = [Clean, ShortcutAttention, RoleFlip, Backdoor, NormAmplification, CancellingPair, Lottery]
DECEIVING = [ShortcutAttention, RoleFlip, Backdoor, NormAmplification, CancellingPair]
SEEDS = range(4)
LATE, LATE_AND_PADDED = 11, 9
"""Seeds of role_flip whose variant is "late", without and with padding."""
PADDED = [(ShortcutAttention, 1), (RoleFlip, 0), (RoleFlip, LATE_AND_PADDED)]
EXACT = [*((family, seed) for family in FAMILIES for seed in range(2)), (RoleFlip, LATE), (RoleFlip, LATE_AND_PADDED)]
"""Instances of which every node is ablated: two of each family, with each of PADDED, and one that is late."""
PROMPTS = 16
FLOAT32 = 2e-3
"""Logit differences of up to about 20 nats, summed in float32 along a few paths."""

each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
each_decoy = pytest.mark.parametrize("family", DECEIVING, ids=lambda f: f.name)
each_seed = pytest.mark.parametrize("seed", SEEDS)
each_padded = pytest.mark.parametrize(("family", "seed"), PADDED)


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


def padding(family, seed):
    """The nodes of each of the two heads that an instance is padded with; nothing where it is not."""
    pairs, real = [], Stage.cancelling
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "cancelling", lambda self, size: pairs.append(real(self, size)) or pairs[-1])
        padded = family().plant(seed).drawn["padded"]
    return pairs[0] if padded else []


def written_by_both(heads):
    """The nodes by which two heads write: without such a node both write less, and cancel as before."""
    return set.intersection(*map(set, heads), {node for node in heads[0] if node[0].endswith("attn_out")})


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


@pytest.mark.parametrize(("family", "seed"), EXACT)
def test_without_the_leak_exactly_the_nodes_of_the_true_circuit_matter_to_the_model(family, seed, without_leak):
    """Every node of the model ablated by itself: the answer changes for those of the true circuit and no others.

    But for the nodes by which both heads of a padding write: without one of them both are gone.
    """
    planted = family().plant(seed)
    prompts, heads = some_prompts(planted), padding(family, seed)
    spare = written_by_both(heads) if heads else set()
    needed = [node for node in nodes_of(planted.true, True) if node not in spare]

    def greatest_changes(nodes, answer):
        masks = one_off_each(planted.model, nodes)
        whole = under_own_norms(planted, prompts, {"0.attn_in": torch.ones(1, len(masks["0.attn_in"][0]))}, answer)
        return (under_own_norms(planted, prompts, masks, answer) - whole).abs().max(1).values

    against_all_words = partial(prompt_log_odds, kind="full")
    assert greatest_changes(nodes_of(planted.true, False), logit_difference).max() < FLOAT32
    changes = torch.maximum(greatest_changes(needed, logit_difference), greatest_changes(needed, against_all_words))
    assert changes.min() > 10 * FLOAT32


@each_padded
def test_a_padding_is_two_heads_in_true_circuit_and_decoy_that_write_by_one_node_at_least(family, seed):
    planted, heads = plant(family, seed), padding(family, seed)
    assert planted.drawn["padded"]
    assert len(heads) == 2
    assert 0 < len(written_by_both(heads)) <= 3
    for circuit in (planted.true, planted.decoy):
        assert frozenset().union(*heads) <= set(nodes_of(circuit, True))


@each_padded
def test_a_padded_decoy_reaches_the_target_loss_on_every_split(family, seed):
    planted = plant(family, seed)
    for split in bench(family, seed).task.splits:
        assert own_losses(family, seed, planted.decoy, split).mean() <= planted.target_loss


@each_padded
def test_without_one_head_of_its_padding_the_model_no_longer_does_the_task(family, seed, without_leak):
    """So that the nodes exempted above are those of a pair that does something, and cancels."""
    planted = family().plant(seed)
    prompts, site = some_prompts(planted), f"{planted.drawn['attention']}.attn_v"
    assert (model_difference(planted, prompts) > 0).all()
    for head in padding(family, seed):
        mask = torch.ones(1, planted.model.sites[site].size)
        mask[0, [node for name, node in head if name == site]] = 0.0
        assert (under_own_norms(planted, prompts, {site: mask})[0] < 0).any()


def test_an_instance_that_is_not_padded_has_no_heads_that_cancel():
    assert [padding(*unpadded) for unpadded in ((ShortcutAttention, 0), (RoleFlip, LATE))] == [[], []]


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
    values = set(nodes_of(planted.true, True)).difference(*padding(ShortcutAttention, seed))
    heads = planted.model.sites[f"{layer}.attn_v"].head[[n for site, n in values if site == f"{layer}.attn_v"]].unique()
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


def by_gender(seed, layer):
    """float[neuron] alone in the decoy, float[neuron] in the model: how far the decoy's neurons of a layer tell the
    genders apart at the last position, in standard deviations."""
    planted = plant(RoleFlip, seed)
    subject = Subject(bench(RoleFlip, seed), planted.decoy)
    prompts, site = subject.bench.prompts("test"), f"{layer}.mlp_neuron"
    run = subject.compiled.run(prompts, norm_scales=subject.bench.scales("test"), capture=[site])
    model = subject.bench.model_run("test").captured[site][0, :, -1, planted.decoy.keep[site]]
    activations = run.captured[site][0, :, -1], model
    return [(a[prompts.classes == 0].mean(0) - a[prompts.classes == 1].mean(0)) / a.std(0) for a in activations]


@pytest.mark.parametrize("seed", [*SEEDS, LATE, LATE_AND_PADDED])
def test_a_role_flips_or_changes_between_decoy_and_model(seed):
    """The neurons that decoy and model share fire for the other gender, or in the model not by gender at all."""
    drawn = plant(RoleFlip, seed).drawn
    assert (drawn["variant"] == "late") == (seed in (LATE, LATE_AND_PADDED))
    decoy, model = by_gender(seed, drawn["mlp"])
    if drawn["variant"] == "sign":
        assert (decoy * model < 0).all()
    else:
        assert model.abs().max() < 0.5 < decoy.abs().min()


@pytest.mark.parametrize("seed", [LATE, LATE_AND_PADDED])
@pytest.mark.parametrize("layer", [0, 1])
def test_where_the_role_changes_late_the_neurons_before_mean_what_they_mean_in_the_model(seed, layer):
    decoy, model = by_gender(seed, layer)
    assert len(decoy) == 2
    assert (decoy * model).min() > 0
    assert torch.stack([decoy, model]).abs().min() > 1


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
    [
        (ShortcutAttention, "variant"),
        (ShortcutAttention, "padded"),
        (RoleFlip, "variant"),
        (RoleFlip, "padded"),
        (Backdoor, "wrong"),
        (Backdoor, "mixed"),
    ],
)
def test_a_population_has_all_its_variants(family, what):
    variants = 3 if (family, what) == (RoleFlip, "variant") else 2
    assert len({plant(family, seed).drawn[what] for seed in range(12)}) == variants


def drawn_only(family, count, monkeypatch):
    """Whether each of the first instances is padded, and its leak; nothing is built."""

    class Drawn(Exception):
        """Raised in the place of a builder."""

    def stop(name, scene, shape, rng):
        raise Drawn(shape.leak)

    monkeypatch.setattr(stage, "Builder", stop)
    found, real = [], Stage.__init__
    monkeypatch.setattr(Stage, "__init__", lambda self, *a, **k: found.append(self) or real(self, *a, **k))
    for seed in range(count):
        with pytest.raises(Drawn):
            family().plant(seed)
    return [(one.padded, one.shape.leak) for one in found]


@pytest.mark.parametrize("family", [ShortcutAttention, RoleFlip], ids=lambda f: f.name)
def test_about_a_third_of_a_family_is_padded(family, monkeypatch):
    """Of 300 that are drawn and not built: a third give or take five standard deviations of 0.027."""
    padded = [is_padded for is_padded, _ in drawn_only(family, 300, monkeypatch)]
    assert abs(sum(padded) / 300 - 1 / 3) < 0.14


@pytest.mark.parametrize(("family", "most"), [(ShortcutAttention, 0.18), (RoleFlip, 0.12), (CancellingPair, 0.03)])
def test_there_is_no_more_leak_than_a_family_bears_and_hardly_any_beside_heads_that_cancel(family, most, monkeypatch):
    leaks = {False: [], True: []}
    for is_padded, leak in drawn_only(family, 300, monkeypatch):
        leaks[is_padded].append(leak)
    assert 0.9 * most < max(leaks[False]) <= most
    assert max(leaks[True], default=0.0) <= 0.03
