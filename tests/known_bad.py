"""Models and methods on which a check could come to a verdict that it has no right to, each a plugin in a file.

A suite names them as `path/to/known_bad.py:NAME`. Built of `fake_models`; the task is the pronoun of a name.
"""

from __future__ import annotations

import torch
from fake_models import ODD, ONE, SIGN, TEST, VALIDATION, WORDS, Attention, Readout, answers_only, pronoun, table

from faithcheck.circuit import NodeScores
from faithcheck.model import Site

IDLE = (table({}), ONE)
AND = WORDS.index("and")


def readout(*nodes, total=20, base=None, **options):
    """Neurons (activation float[first token], what it writes), then idle ones up to `total`."""
    rows = [(first, ONE) for first, _ in nodes] + [IDLE] * (total - len(nodes))
    writes = [words for _, words in nodes] + [{}] * (total - len(nodes))
    return Readout(rows, writes, answers_only() if base is None else base, **options)


def by_last_name(**others):
    """Base logits float[token, token]: after a name its pronoun, with a logit difference of 6."""
    base = answers_only(**others).repeat(len(WORDS), 1)
    base[:, WORDS.index("she")] += SIGN * 3
    base[:, WORDS.index("he")] -= SIGN * 3
    return base


def able(device="cpu"):
    """Neuron 0 answers with a logit difference of 6, the others are idle."""
    return readout((SIGN, pronoun(6.0)))


def normed(device="cpu"):
    """As `able`, behind a norm, which divides by the root mean square of 3, -3 and the 3 that neuron 1 writes."""
    return readout((SIGN, pronoun(6.0)), (ONE, {"pad": 3.0}), gain=(27 / len(WORDS)) ** 0.5)


def unable(device="cpu"):
    """It prefers the wrong answer by 6: loss 6.00."""
    return readout((SIGN, pronoun(-6.0)))


def unsure(device="cpu"):
    """A logit difference of 2: loss 0.127, but never a probability of 0.9."""
    return readout((SIGN, pronoun(2.0)))


class Clipped(Readout):
    """The logit difference is 6 x the sum of the neurons, clipped to -1 and 1; neurons 0 and 1 are `sign`, that of the
    name."""

    def __init__(self, sign=SIGN):
        self.__dict__.update(readout((sign, {}), (sign, {})).__dict__)

    def _logits(self, tokens):
        neurons = self._at_site("0.mlp_neuron", (self.first[tokens[:, :1]] * self.own[tokens])[None])
        self._keep("0.attn_pattern", torch.zeros(1, len(tokens), 0, tokens.shape[1], tokens.shape[1] + 1))
        return self.base[tokens] + neurons.sum(-1, keepdim=True).clamp(-1, 1) * table(pronoun(6.0))


def clipped(device="cpu"):
    """Without one of two neurons nothing changes at all."""
    return Clipped()


def needs_no_node(device="cpu"):
    """Where the name is the last word, embedding and unembedding answer by themselves."""
    return readout(base=by_last_name())


def ignores_masks(device="cpu"):
    """A fault of an adapter: every circuit is the whole model."""
    model = able()
    run = model.run
    model.run = lambda tokens, masks=None, **levers: run(tokens, **levers)
    return model


def constant(device="cpu"):
    """Neuron 0 is 1 on every prompt: it takes away "and", which would win over the pronoun of the last name."""
    return readout((ONE, {"and": -100.0}), base=by_last_name(**{"and": 9.0}))


def sum_of(kept, rest):
    """As `constant`, but neuron 0 is the input `kept` plus the input `rest`, both float[token]. Whatever it is in the
    model, the last input and neuron take "and" away there."""
    mix = torch.zeros(20, 20)
    mix[0, :2] = mix[19, 19] = 1
    nodes = [(ONE, kept), (ONE, rest), *[IDLE] * 17, (ONE, ONE)]
    writes = [{"and": -100.0}, *[{}] * 18, {"and": -900.0}]
    return Readout(nodes, writes, by_last_name(**{"and": 9.0}), mix=mix.tolist())


def constant_in_the_circuit_only(device="cpu"):
    """1 in the circuit, 2 or 0 in the model: with that, "and" wins on half of the prompts."""
    return sum_of(ONE, SIGN)


def constant_in_the_model_only(device="cpu"):
    """1.25 or 0.75 in the circuit, 0.06 in the model: with that, "and" has a logit of 9 - 6, as the pronoun has."""
    return sum_of(ONE + SIGN / 4, 0.06 - ONE - SIGN / 4)


def constant_in_the_circuit_only_to_no_effect(device="cpu"):
    """1 in the circuit, 1.25 or 0.75 in the model: "and" is taken away all the same."""
    return sum_of(ONE, SIGN / 4)


def constant_in_the_model_only_to_no_effect(device="cpu"):
    """1.25 or 0.75 in the circuit, 1 in the model."""
    return sum_of(ONE + SIGN / 4, -SIGN / 4)


def constant_of_another_sign(device="cpu"):
    """1 in the circuit, -1 in the model."""
    return sum_of(ONE, -2 * ONE)


def default_answer(device="cpu"):
    """Whatever the name, neuron 1 votes for one answer and neuron 2 twice as hard for the other; neuron 0, the sign of
    the name, overrules both. The votes are input 1 minus twice input 2: -1, and 1 in a circuit without input 2."""
    mix = torch.zeros(40, 20)
    mix[0, 0] = mix[1, 1] = mix[2, 1] = 1
    mix[1, 2] = mix[2, 2] = -2
    nodes = [(SIGN, ONE), (ONE, ONE), (ONE, ONE), *[IDLE] * 17]
    writes = [pronoun(6.0), pronoun(2.0), pronoun(-4.0), *[{}] * 37]
    return Readout(nodes, writes, answers_only(), mix=mix.tolist())


def none_on_test_prompts(device="cpu"):
    """Neuron 0 answers after validation words only, neurons 1 and 2 cancel, neuron 3 answers everywhere."""
    after = table(dict.fromkeys(VALIDATION, 1.0))
    nodes = [(SIGN, after), *[(SIGN, ONE)] * 3, *[IDLE] * 16]
    return Readout(nodes, [pronoun(a) for a in (6.0, 6.0, -6.0, 6.0)] + [{}] * 16, answers_only())


class Beside(Attention):
    """Two heads, each with an output node of its own, beside 40 neurons of which neuron 0 answers by itself."""

    def __init__(self):
        super().__init__([ONE] * 2, [SIGN] * 2, [0.0] * 2, torch.eye(2).tolist(), [pronoun(0.04)] * 2)
        self.sites = {**self.sites, "0.mlp_neuron": Site(40, 0, "mlp_neuron")}
        self.neurons = torch.zeros(len(WORDS), 40, dtype=torch.float64)
        self.neurons[:, 0] = SIGN
        self.write = torch.stack([table(pronoun(6.0)), *[table({})] * 39])

    def _logits(self, tokens):
        neurons = self.neurons[tokens[:, :1]].expand(-1, tokens.shape[1], -1)[None]
        return super()._logits(tokens) + self._at_site("0.mlp_neuron", neurons) @ self.write


def beside(device="cpu"):
    return Beside()


class Faulty(Readout):
    """`able`, but the logits after the words `after`, and what it captures at `nodes`, have the value `value`."""

    def __init__(self, value, after=(), nodes=()):
        self.__dict__.update(able().__dict__)
        self.value, self.nodes = value, list(nodes)
        self.after = torch.tensor([word in after for word in WORDS])

    def _logits(self, tokens):
        return torch.where(self.after[tokens][..., None], self.value, super()._logits(tokens))

    def _keep(self, name, value):
        if name in self.sites:
            value = value.clone()
            value[..., self.nodes] = self.value
        super()._keep(name, value)


def nan_logits(device="cpu"):
    return Faulty(torch.nan, TEST[:1])


def infinite_logits(device="cpu"):
    return Faulty(torch.inf, TEST[:1])


def nan_on_validation_prompts(device="cpu"):
    return Faulty(torch.nan, VALIDATION[:1])


def nan_on_the_shift(device="cpu"):
    return Faulty(torch.nan, ODD[:1])


def nan_activations(device="cpu"):
    return Faulty(torch.nan, nodes=[0])


def nan_activations_of_an_idle_node(device="cpu"):
    return Faulty(torch.nan, nodes=[1])


def infinite_activations(device="cpu"):
    return Faulty(torch.inf, nodes=[0])


def no_epsilon(device="cpu", after=TEST):
    """Neuron 0 is silent after the first test word: the norm of what it writes, alone, then divides 0 by 0."""
    silent = table(dict.fromkeys(after[:1], 0.0), 1.0)
    nodes = [(SIGN, silent), (SIGN, ONE), *[IDLE] * 18]
    return Readout(nodes, [pronoun(2.0), pronoun(1.0), *[{}] * 18], gain=6.0)


def no_epsilon_on_the_shift(device="cpu"):
    return no_epsilon(after=ODD)


class Logarithm(Readout):
    """The logits of she and he are the logarithms of neurons 0 and 1: without one, its answer has no probability."""

    def __init__(self):
        women, men = (torch.where(sign == SIGN, 1.0, 1e-3) for sign in (1, -1))
        self.__dict__.update(readout((women, {}), (men, {})).__dict__)

    def _logits(self, tokens):
        neurons = self._at_site("0.mlp_neuron", (self.first[tokens[:, :1]] * self.own[tokens])[None])
        self._keep("0.attn_pattern", torch.zeros(1, len(tokens), 0, tokens.shape[1], tokens.shape[1] + 1))
        logits = self.base[tokens].expand(neurons.shape[0], -1, -1, -1).clone()
        logits[..., [WORDS.index("she"), WORDS.index("he")]] = neurons[..., :2].log()
        return logits


def logarithm(device="cpu"):
    return Logarithm()


class Root(Readout):
    """A node of the first layer is 4 for women and `least` for men, one of the second its square root: at 0 the root
    has no finite derivative. `0.attn_out` reaches nothing."""

    def __init__(self, least=0.0):
        self.__dict__.update(readout().__dict__)
        sites = (("0.mlp_out", 0, 1), ("0.attn_out", 0, 1), ("1.mlp_out", 1, 40))
        self.sites = {name: Site(size, layer, name[2:]) for name, layer, size in sites}
        self.four = torch.where(SIGN == 1, 4.0, least).double()

    def _logits(self, tokens):
        early = self._at_site("0.mlp_out", self.four[tokens[:, :1]].expand(-1, tokens.shape[1])[None, ..., None])
        self._at_site("0.attn_out", torch.ones_like(early))
        late = torch.cat([early.sqrt(), torch.zeros(*early.shape[:-1], 39)], -1)
        return self.base[tokens] + self._at_site("1.mlp_out", late)[..., :1] * table({"she": 6}) + table({"he": 6})


def root(device="cpu"):
    return Root()


class Scale(Faulty):
    """NaN on validation prompts, beside which `scale` multiplies the logits."""

    scale = 1.0

    def _logits(self, tokens):
        return super()._logits(tokens) * self.scale


def changeable_and_nan_on_validation_prompts(device="cpu"):
    return Scale(torch.nan, VALIDATION[:1])


class Nothing:
    """No node has a positive score."""

    name = "nothing"

    def extract(self, problem):
        return NodeScores({site: torch.zeros(at.size) for site, at in problem.model.sites.items()})


class First(Nothing):
    """Only the first node of the first site has a positive score."""

    name = "first"

    def extract(self, problem):
        found = super().extract(problem)
        next(iter(found.scores.values()))[0] = 1.0
        return found


class Rescales(Nothing):
    """Changes a `Scale`."""

    name = "rescales"

    def extract(self, problem):
        problem.model.scale = 2.0
        return super().extract(problem)
