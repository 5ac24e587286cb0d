"""Writes a planted model path by path, in the order of computation, and fills the rest of each sublayer.

A sublayer is filled when the scale of a later norm is asked for: from then on nothing more can be written there. The
scales are measured, on prompts of the task, so that attention, activations and logits come out as strong as asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import gelu

from faithcheck.circuit import Circuit
from faithcheck_circuits.planted import filling
from faithcheck_circuits.planted.scene import ASK, FEMALE, MALE, Scene
from faithcheck_circuits.planted.shape import Shape
from faithcheck_circuits.planted.weights import Nodes, Weights, used
from faithcheck_circuits.transformer.model import SparseTransformer

_PROMPTS = 96
"""Prompts of the train split on which scales are measured."""


class Builder:
    """`asked`: the feature of the last word, amplitude 1, by which heads know where they are asked."""

    def __init__(self, name: str, scene: Scene, shape: Shape, rng: random.Random):
        self.name, self.scene, self.shape, self.rng = name, scene, shape, rng
        self.weights = Weights(shape, len(scene.tokenizer), rng)
        every = scene.prompts("train").tokens
        self.tokens = every[torch.randperm(len(every), generator=self.weights.generator)[:_PROMPTS]]
        self._heads = {layer: list(range(self.weights.config.heads)) for layer in range(shape.layers)}
        self._neurons = {layer: list(range(shape.d_mlp)) for layer in range(shape.layers)}
        self._filled: set[str] = set()
        """Sublayers, by the name of their norm, whose nodes of no path have their weights; and "embed"."""
        self._scales: dict[str, Tensor] = {}
        self._amplitudes: dict[Tensor, float] = {}
        """Of each feature of a path: what words carry of it, or what all paths so far write at the last position."""
        self.asked = self.weights.feature()
        self.embed([ASK], self.asked, 1.0)
        self._labels = [self.weights.feature(1) for _ in scene.words["label"]]
        for token, feature in zip(scene.tokenizer.ids(scene.words["starter"]), self._labels, strict=True):
            self.weights.tensors["embed"][token] += 3.0 * feature

    def feature(self) -> Tensor:
        return self.weights.feature()

    def embed(self, words: Iterable[str], feature: Tensor, amount: float, jitter: float = 0.0) -> None:
        """Add `amount` of a feature to each word's embedding, give or take `jitter` of it.

        Raises ValueError once a scale was measured, which this would change.
        """
        if self._filled:
            raise ValueError("embeddings come before heads")
        for token in self.scene.tokenizer.ids(words):
            noise = float(self.weights.normal(1).clamp(-2, 2))
            self.weights.tensors["embed"][token] += amount * (1 + jitter * noise) * feature
        self._amplitudes[feature] = abs(amount)

    def head(
        self,
        layer: int,
        key: Tensor,
        mass: float,
        moves: Sequence[tuple[Tensor, Tensor, float]],
        sink: float | None = None,
    ) -> Nodes:
        """A head that gives `mass` of the last position's attention to the one position whose word has the key.

        key: a feature, amplitude 1 in the word's embedding. moves: (read, write, amount), what is 1 of `read` at that
        word arrives as `amount` of `write` at the last position. The other positions share the rest with the sink,
        whose logit is random where it is not given.
        """
        head, width = self._heads[layer].pop(self.rng.randrange(len(self._heads[layer]))), self.shape.d_head
        rows = list(range(head * width, (head + 1) * width))
        scale = self.scale(f"{layer}.ln_1")
        at_last, at_cue = float(scale[:, -1].mean()), float(scale[:, self._where(key)].mean())
        if sink is not None:
            self.weights.tensors[f"{layer}.sink"][head] = sink
        others = scale.shape[1] - 1 + float(self.weights.tensors[f"{layer}.sink"][head].exp())
        score = float(torch.tensor(mass / (1 - mass) * others).log())
        looks = self._spread(rows)
        self.weights.add(f"{layer}.attn_q", looks, self.asked * at_last * width**0.25)
        self.weights.add(f"{layer}.attn_k", looks, key * score * at_cue * width**0.25)
        nodes = used(f"{layer}.attn_in", self.asked.abs() + key.abs())
        nodes |= used(f"{layer}.attn_q", looks) | used(f"{layer}.attn_k", looks)
        for read, write, amount in moves:
            carries = self._spread(rows)
            rows = [row for row in rows if carries[row] == 0]
            self.weights.add(f"{layer}.attn_v", carries, read * at_cue)
            self.weights.add(f"{layer}.attn_out", write, carries * (amount / mass))
            self._note(write, amount)
            nodes |= used(f"{layer}.attn_in", read) | used(f"{layer}.attn_v", carries)
            nodes |= used(f"{layer}.attn_out", write)
        return nodes

    def pair(
        self, layer: int, read: Tensor, level: float, write: Tensor, amount: float, bend: tuple[float, float]
    ) -> Nodes:
        """Two neurons: with `level` of `read` at the last position they write `amount` of `write`, with -level -amount.

        bend: (s, t) of the odd function gelu(s x - t) - gelu(-s x - t) of x = read / level.
        """
        steep, threshold = bend
        scale = float(self.scale(f"{layer}.ln_2")[:, -1].mean())
        reach = float(gelu(torch.tensor(steep - threshold)) - gelu(torch.tensor(-steep - threshold)))
        nodes = used(f"{layer}.mlp_in", read) | used(f"{layer}.mlp_out", write)
        for sign in (1.0, -1.0):
            neuron = self._neurons[layer].pop(self.rng.randrange(len(self._neurons[layer])))
            unit = torch.zeros(self.shape.d_mlp).index_fill(0, torch.tensor([neuron]), 1.0)
            self.weights.add(f"{layer}.mlp_neuron", unit, read * (sign * steep * scale / level))
            self.weights.tensors[f"{layer}.mlp_neuron.bias"][neuron] = -threshold
            self.weights.add(f"{layer}.mlp_out", write * (sign * amount / reach), unit)
            nodes |= used(f"{layer}.mlp_neuron", unit)
        self._note(write, amount)
        return nodes

    def bank(self, layer: int, read: Tensor) -> None:
        """Make all neurons of a layer that no path uses read a feature of amplitude 1, each with a sign of its own.

        Each also writes a little to every label; together they cancel.
        """
        scale = float(self.scale(f"{layer}.ln_2")[:, -1].mean())
        neurons = filling.fill_bank(self.weights, layer, self._neurons.pop(layer), read * scale)
        self._swell(layer, "ln_2", neurons)
        for label in self._labels:
            filling.write_tickets(self.weights, layer, neurons, self.tokens, label)
        self._filled.add(f"{layer}.ln_2")

    def answer(self, write: Tensor, difference: float, said: Tensor | None = None) -> SparseTransformer:
        """The finished model: she minus he is `difference` nats where the last position has 1 of `write`.

        said: the feature, amplitude 1 at the last position, by which both answers stand well above all other words
        there, whose logits are noise about 1 nat strong; `asked` where it is left out. Each label stands well above
        all others at its starter.
        """
        said = self.asked if said is None else said
        scale, gain = float(self.scale("ln_f")[:, -1].mean()), self.weights.tensors["ln_f.gain"]
        vocabulary, width = self.weights.tensors["unembed"].shape
        unembed = self.weights.normal(vocabulary, width) * self.weights.rest / width**0.5
        above = self.rng.uniform(10.0, 13.0)
        for token, sign in zip(self.scene.tokenizer.ids([FEMALE, MALE]), (0.5, -0.5), strict=True):
            unembed[token] = scale * (sign * difference * write + above * said) / gain
        starters = torch.tensor(self.scene.tokenizer.ids(self.scene.words["starter"]))[:, None]
        alone = float(self.weights.capture(starters, "ln_f").max())
        for i, token in enumerate(self.scene.tokenizer.ids(self.scene.words["label"])):
            unembed[token] += 14.0 / 3.0 * alone * self._labels[i] / gain
        self.weights.tensors["unembed"] = unembed
        return SparseTransformer(
            self.name, self.weights.config, self.weights.tensors, self.scene.tokenizer, self.scene.sample_text
        )

    def scale(self, norm: str) -> Tensor:
        """float[prompt, pos]: what a norm divides by on prompts of the task, all sublayers before it being filled."""
        if norm not in self._scales:
            order = ["embed", *self.weights.config.norms()]
            for sublayer in order[: order.index(norm)]:
                if sublayer not in self._filled:
                    self._fill(sublayer)
                    self._filled.add(sublayer)
            self._scales[norm] = self.weights.capture(self.tokens, norm)
        return self._scales[norm]

    def _fill(self, sublayer: str) -> None:
        """Sublayers go by the name of their norm."""
        if sublayer == "embed":
            filling.fill_embedding(self.weights, self.rng.uniform(0.5, 2.0))
            return
        layer, norm = int(sublayer.partition(".")[0]), sublayer.partition(".")[2]
        if norm == "ln_1":
            self._swell(layer, norm, filling.fill_attention(self.weights, layer, self._heads.pop(layer)))
        else:
            self._swell(layer, norm, filling.fill_mlp(self.weights, layer, self._neurons.pop(layer)))

    def _swell(self, layer: int, norm: str, sources: Tensor) -> None:
        """Let a sublayer's nodes of no path write, as long and as noisy as the shape says."""
        weights, site = self.weights, f"{layer}.{'attn_out' if norm == 'ln_1' else 'mlp_out'}"
        stream = float(self.scale(f"{layer}.{norm}").mean()) * weights.config.d_model**0.5
        filling.write_back(weights, site, sources, self.tokens, stream * self.shape.growth)
        for feature, amplitude in self._amplitudes.items() if self.shape.leak else ():
            filling.leak(weights, site, sources, self.tokens, feature, self.shape.leak_each * abs(amplitude))

    def _note(self, write: Tensor, amount: float) -> None:
        self._amplitudes[write] = self._amplitudes.get(write, 0.0) + amount

    def _where(self, key: Tensor) -> int:
        """The position whose word has the key, the same in every prompt."""
        return int((self.weights.tensors["embed"][self.tokens] @ key).mean(0).argmax())

    def _spread(self, rows: Sequence[int]) -> Tensor:
        """A unit vector over d_model nodes, on one or two of the rows."""
        return self.weights.unit(self.rng.sample(rows, self.rng.choice((1, 1, 2))), self.weights.config.d_model)


def circuit(model: SparseTransformer, nodes: Nodes) -> Circuit:
    """The circuit of some nodes, zero ablation, live norms."""
    keep = {name: torch.zeros(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    for site, node in nodes:
        keep[site][node] = True
    return Circuit(keep)
