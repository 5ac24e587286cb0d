"""What a check measures does not depend on the order of prompts or nodes, on padding or on how batches are split.

One circuit of a random transformer into which a pronoun circuit is planted, float64: two ways to one number differ by
the order of sums alone. A prompt keeps its unit's label when prompts are permuted, so that intervals stay the same
too; when units are numbered anew, other draws are taken, and only the values stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from faithcheck_circuits.stories.tokenizer import WordTokenizer
from faithcheck_circuits.transformer.model import SparseTransformer
from fake_models import FEMALE, MALE, ODD, TEST, Masked, bench_of, write_task
from fake_models import FEW_WORDS as WORDS
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import random_tensors, small_config

from faithcheck import batches, causal, importance
from faithcheck.ablation import Ablation
from faithcheck.checks.attention_agreement import AttentionAgreement
from faithcheck.checks.generalization import Generalization
from faithcheck.checks.layernorm import LayerNorm
from faithcheck.checks.node_roles import NodeRoles
from faithcheck.checks.sufficiency import Sufficiency
from faithcheck.circuit import Circuit, NodeScores
from faithcheck.cutting import Cutter
from faithcheck.roles import node_records
from faithcheck.subject import Subject

CHECKS = (Sufficiency, AttentionAgreement, NodeRoles, Generalization, LayerNorm)
SPLITS = ("test", "validation", "odd")
LAYERS, WIDTH, HEADS = 2, 16, 4
seeds = st.integers(0, 2**20)
few = settings(max_examples=3, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Planted:
    """Tensors of a transformer, and scores of its nodes, {site: float[node]}; those above 0 are the circuit."""

    tensors: dict[str, torch.Tensor]
    scores: dict[str, torch.Tensor]

    def model(self):
        config = small_config(vocabulary=len(WORDS), layers=LAYERS, norm_eps=1e-6)
        return SparseTransformer("planted", config, self.tensors, WordTokenizer(WORDS))


def planted():
    """Head 0 of both layers brings the sign of the name to the answer, amid noise; the circuit lacks what steers it."""
    tensors = random_tensors(small_config(vocabulary=len(WORDS), layers=LAYERS), seed=3)
    for name, noise in tensors.items():
        tensors[name] = 1 + 0.5 * (noise - 1) if name.endswith(".gain") else 0.5 * noise
    named = [WORDS.index(word) for word in (*FEMALE, *MALE)]
    tensors["embed"][:, 15] += 1
    tensors["embed"][named, 1] += 3
    tensors["embed"][named, 0] += torch.tensor([3.0] * len(FEMALE) + [-3.0] * len(MALE), dtype=torch.float64)
    for layer, source, target in ((0, 0, 2), (1, 2, 3)):
        for kind, row, column in (("q", 0, 15), ("k", 0, 1), ("v", 0, source), ("out", target, 0)):
            tensors[f"{layer}.attn_{kind}.weight"][row, column] += 2.0
    for word, sign in (("she", 1), ("he", -1)):
        tensors["unembed"][WORDS.index(word), 15] += 12
        tensors["unembed"][WORDS.index(word), 3] += 1.5 * sign
    generator = torch.Generator().manual_seed(5)
    model = Planted(tensors, {}).model()
    scores = {site: torch.randn(at.size, generator=generator) - 0.3 for site, at in model.sites.items()}
    for layer in range(LAYERS):
        for site in ("attn_in", "attn_v", "attn_out"):
            scores[f"{layer}.{site}"][:4] += 9
        scores[f"{layer}.attn_in"][15] += 9
    return Planted(tensors, scores)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Prompts of two lengths, 28 units."""
    both = {kind: [f"{name} {word}" for name in words for word in ("so", "and")] for kind, words in NAMES.items()}
    templates = ("{name} {action}", "{name} when {action}")
    folder = tmp_path_factory.mktemp("task")
    return write_task(folder, templates=templates, test=TEST[:1], odd=ODD[:1], **both)


NAMES = {"female": FEMALE, "male": MALE}


def bench(task, made, norms="live", restrict=True):
    model = made.model() if restrict else Masked(made.model())
    home = bench_of(model, task, loss="binary", target=0.4, norms=norms)
    validation = home.prompts("validation")
    home._prompts["validation"] = validation.select(torch.arange(0, len(validation), 4))
    return home


def subject(home, made):
    """The circuit of the positive scores, as an extraction leaves it."""
    scores = NodeScores(made.scores)
    cutter = Cutter(
        home.model,
        home.prompts("validation"),
        home.loss,
        home.target_loss,
        home.ablation,
        home.scales_for(home.norms, "validation"),
    )
    keep = {site: score > 0 for site, score in made.scores.items()}
    return Subject(home, Circuit(keep, Ablation(), home.norms), 0, cutter.cut(scores), scores)


def measured(home, made):
    """{(check, metric, shift or norm): (value, low, high)} of all circuit-scope checks; None where never reached."""
    about, found = subject(home, made), {}
    for check in CHECKS:
        for metric in check().measure(about).metrics:
            e = metric.estimate
            found[check.name, metric.name, metric.on] = None if e is None else (e.value, e.low, e.high)
    return found


def same(found, expected, values_only=False):
    assert found.keys() == expected.keys()
    for metric, numbers in expected.items():
        if numbers is None:
            assert found[metric] is None, metric
        else:
            kept = slice(0, 1) if values_only else slice(None)
            assert found[metric][kept] == pytest.approx(numbers[kept], rel=1e-9, abs=1e-9), metric


@pytest.fixture(scope="module")
def made():
    return planted()


@pytest.fixture(scope="module")
def usual(task, made):
    """What is measured of the circuit as it is, by norms."""
    return {norms: measured(bench(task, made, norms), made) for norms in ("live", "frozen")}


def test_the_circuit_has_every_metric_and_none_is_trivial(usual):
    """So that there is something that could change."""
    for found in usual.values():
        values = {(check, name): numbers[0] for (check, name, _), numbers in found.items() if numbers is not None}
        assert {check for check, _ in values} == {check.name for check in CHECKS}
        assert 0.01 < values["attention_agreement", "pattern_tv"] < 0.99
        assert 0.01 < values["node_roles", "consistent_mass"] < 0.99
        assert values["node_roles", "swap_effect"] > 0.01
        assert values["attention_agreement", "elsewhere_effect"] > 0.01
        assert 0.01 < values["sufficiency", "loss"] < 1
        assert values["generalization", "kl_vocabulary"] > 0.01
        low, high = found["node_roles", "consistent_mass", None][1:]
        assert 0 < high - low < 1


def with_prompts(home, change):
    """The bench with every split's prompts changed; nothing of it has been run yet."""
    for split in SPLITS:
        home._prompts[split] = change(home.prompts(split))
    return home


def shuffled(prompts, seed):
    return prompts.select(torch.randperm(len(prompts), generator=torch.Generator().manual_seed(seed)))


@given(seed=seeds, norms=st.sampled_from(["live", "frozen"]))
@few
def test_no_estimate_depends_on_the_order_of_the_prompts(task, made, usual, seed, norms):
    home = with_prompts(bench(task, made, norms), lambda prompts: shuffled(prompts, seed))
    same(measured(home, made), usual[norms])


def renumbered(prompts, seed):
    """The prompts with other labels for the same units."""
    labels = torch.randperm(int(prompts.units.max()) + 1, generator=torch.Generator().manual_seed(seed))
    return replace(shuffled(prompts, seed), units=labels[shuffled(prompts, seed).units])


@given(seed=seeds)
@few
def test_no_value_depends_on_how_the_units_are_numbered(task, made, usual, seed):
    home = with_prompts(bench(task, made), lambda prompts: renumbered(prompts, seed))
    same(measured(home, made), usual["live"], values_only=True)


def padded(prompts, width):
    return replace(prompts, tokens=torch.nn.functional.pad(prompts.tokens, (0, width)))


@given(width=st.integers(1, 4), norms=st.sampled_from(["live", "frozen"]), restrict=st.booleans())
@few
def test_no_estimate_depends_on_the_length_of_the_padding(task, made, usual, width, norms, restrict):
    home = with_prompts(bench(task, made, norms, restrict), lambda prompts: padded(prompts, width))
    same(measured(home, made), usual[norms])


@given(width=st.integers(1, 9))
@few
def test_no_node_has_other_records_or_roles_where_prompts_are_padded(task, made, width):
    home = with_prompts(bench(task, made), lambda prompts: padded(prompts, width))
    found, expected = (node_records(subject(at, made)) for at in (home, bench(task, made)))
    for name in ("x", "y", "xx", "yy", "xy", "same_sign"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-9), name
    for role, other in zip(found.roles, expected.roles, strict=True):
        assert (role.bears == other.bears).all()
        assert (role.circuit, role.model) == (pytest.approx(other.circuit), pytest.approx(other.model))


def in_order(made, orders):
    """The planted model with nodes in another order: {axis: int[node]}, of "stream", (layer, "mlp_neuron"),
    (layer, "qk") and (layer, "v"). An axis left out stays as it is."""
    axes = {"embed": (None, "stream"), "unembed": (None, "stream")}
    sites = {}
    for layer in range(LAYERS):
        stream, neuron, qk, v = "stream", (layer, "mlp_neuron"), (layer, "qk"), (layer, "v")
        of = {"attn_in": stream, "attn_q": qk, "attn_k": qk, "attn_v": v, "attn_out": stream}
        of |= {"mlp_in": stream, "mlp_neuron": neuron, "mlp_out": stream}
        source = {"attn_q": "attn_in", "attn_k": "attn_in", "attn_v": "attn_in", "attn_out": "attn_v"}
        source |= {"mlp_neuron": "mlp_in", "mlp_out": "mlp_neuron"}
        sites |= {f"{layer}.{kind}": axis for kind, axis in of.items()}
        for kind, read in source.items():
            axes[f"{layer}.{kind}.weight"], axes[f"{layer}.{kind}.bias"] = (of[kind], of[read]), (of[kind],)
        axes |= {f"{layer}.ln_1.gain": (stream,), f"{layer}.ln_2.gain": (stream,), f"{layer}.sink": ((layer, "head"),)}
    axes["ln_f.gain"] = ("stream",)
    tensors = dict(made.tensors)
    for name, tensor in made.tensors.items():
        for dim, axis in enumerate(axes[name]):
            if axis in orders:
                tensor = tensor.index_select(dim, orders[axis])
        tensors[name] = tensor
    scores = {
        site: score[orders[axis]] if (axis := sites[site]) in orders else score for site, score in made.scores.items()
    }
    return Planted(tensors, scores)


def drawn_orders(seed, which):
    generator = torch.Generator().manual_seed(seed)
    orders = {"stream": torch.randperm(WIDTH, generator=generator)} if "channels" in which else {}
    for layer in range(LAYERS):
        if "neurons" in which:
            orders[layer, "mlp_neuron"] = torch.randperm(24, generator=generator)
        if "heads" in which:
            heads = torch.randperm(HEADS, generator=generator)
            orders[layer, "head"] = heads
            for axis in ("qk", "v"):
                inside = torch.stack([torch.randperm(WIDTH // HEADS, generator=generator) for _ in range(HEADS)])
                orders[layer, axis] = (heads[:, None] * (WIDTH // HEADS) + inside).flatten()
    return orders


@pytest.mark.parametrize("which", [("neurons",), ("heads",), ("channels",), ("neurons", "heads", "channels")])
@given(seed=seeds)
@few
def test_no_estimate_depends_on_the_order_of_the_nodes(task, made, usual, which, seed):
    other = in_order(made, drawn_orders(seed, which))
    home = bench(task, other)
    tokens = home.prompts("test").tokens
    assert torch.allclose(home.model.run(tokens).logits, made.model().run(tokens).logits, atol=1e-9)
    same(measured(home, other), usual["live"])


@given(prompts=st.integers(5, 40), members=st.integers(3, 20), norms=st.sampled_from(["live", "frozen"]))
@few
def test_no_estimate_depends_on_how_batches_are_split(task, made, usual, prompts, members, norms):
    home = bench(task, made, norms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(causal, "_PROMPTS", prompts)
        patch.setattr(batches, "_FLOATS", members * batches._held(subject(home, made)))
        same(measured(home, made), usual[norms])


@given(seed=seeds, width=st.integers(0, 3))
@few
def test_where_gradients_stand_in_for_importance_nothing_depends_on_an_order_either(task, made, seed, width):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "MOST_LEFT_OUT", 0)
        expected = measured(bench(task, made), made)
        other = in_order(made, drawn_orders(seed, ("neurons", "heads", "channels")))
        home = with_prompts(bench(task, other), lambda prompts: padded(shuffled(prompts, seed), width))
        same(measured(home, other), expected)
