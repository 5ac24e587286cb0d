"""Two scripted models whose every number can be worked out by hand, a small task for them, and shorthand.

They have no `restrict`, so circuits run through masks on the whole model. All in float64.
"""

from __future__ import annotations

import torch
from faithcheck_circuits.stories.tokenizer import WordTokenizer
from faithcheck_circuits.transformer.config import Config
from faithcheck_circuits.transformer.model import SparseTransformer

from faithcheck.ablation import Ablation
from faithcheck.bench import Bench
from faithcheck.circuit import Circuit
from faithcheck.gates import Gate
from faithcheck.judging import judge_circuits, judge_method
from faithcheck.model import Run, Site
from faithcheck.subject import Subject
from faithcheck.task import load_task_file

FEMALE, MALE = [f"f{i}" for i in range(7)], [f"m{i}" for i in range(7)]
TRAIN, VALIDATION = [f"t{i}" for i in range(4)], [f"v{i}" for i in range(4)]
TEST, ODD = [f"x{i}" for i in range(10)], [f"y{i}" for i in range(10)]
LABELS = ["she", "he", "when", "is", "so", "and"]
TEN_FEMALE, TEN_MALE = [*FEMALE, "f7", "f8", "f9"], [*MALE, "m7", "m8", "m9"]
FEW_WORDS = ["pad", *FEMALE, *MALE, *TRAIN, *VALIDATION, *TEST, *ODD, *LABELS]
WORDS = [*FEW_WORDS, *TEN_FEMALE[7:], *TEN_MALE[7:]]
SHE, HE, WHEN, IS = (WORDS.index(word) for word in LABELS[:4])
OUT = -1000.0
"""A logit so low that its token has probability 0."""


def table(values, default=0.0):
    """float[token] of {word: value}."""
    row = torch.full((len(WORDS),), float(default), dtype=torch.float64)
    for word, value in values.items():
        row[WORDS.index(word)] = value
    return row


SIGN = table({**dict.fromkeys(TEN_FEMALE, 1.0), **dict.fromkeys(TEN_MALE, -1.0)})
ONE = table({}, 1.0)


def answers_only(**others):
    """The logits float[token] that all tokens start from: 0 for she and he, OUT for the rest but `others`."""
    return table({"she": 0.0, "he": 0.0, **others}, OUT)


def write_task(folder, *, templates=("{name} {action}",), female=FEMALE, male=MALE, odd=ODD, odd_names=None, test=TEST):
    """140 test prompts of 14 names, each a unit; the shift `odd` has other actions (and `odd_names` (female, male))."""
    names = lambda f, m: f"{{gender: {{female: [{', '.join(f)}], male: [{', '.join(m)}]}}}}"  # noqa: E731
    own = f"name: {names(*odd_names)}, " if odd_names else ""
    path = folder / "toy.yaml"
    path.write_text(
        f"""
faithcheck_task: 1
task: toy
about: the pronoun of a name
slots: {{name: {names(female, male)}}}
templates: [{", ".join(f'"{t}"' for t in templates)}]
unit: name
variables: {{gender: name.gender}}
answer: {{variable: gender, tokens: {{female: she, male: he}}}}
nonsense: {{female: when, male: is}}
splits:
  train: {{slots: {{action: [{", ".join(TRAIN)}]}}}}
  validation: {{slots: {{action: [{", ".join(VALIDATION)}]}}}}
  test: {{slots: {{action: [{", ".join(test)}]}}}}
shifts:
  odd: {{slots: {{{own}action: [{", ".join(odd)}]}}}}
"""
    )
    return load_task_file(path)


def write_large_task(folder, **options):
    """200 test prompts of 20 names: no fewer may decide a gate on a mean."""
    return write_task(folder, female=TEN_FEMALE, male=TEN_MALE, **options)


class _Scripted:
    device, dtype, norms, sample_text = torch.device("cpu"), torch.float64, (), ()
    tokenizer = WordTokenizer(WORDS)
    name, fingerprint = "scripted", "0" * 64

    def _at_site(self, site, value):
        """The value after the intervention; captured before it."""
        self._keep(site, value)
        mask, baseline = self._masks.get(site), self._baselines.get(site)
        if mask is None:
            return value
        mask = mask[:, None, None, :] if mask.dim() == 2 else mask
        return mask * value + (0 if baseline is None else (1 - mask) * baseline)

    def _keep(self, name, value):
        if name in self._capture:
            self._captured[name] = value

    def run(self, tokens, *, positions=None, vocab=None, masks=None, baselines=None, norm_scales=None, capture=()):
        self._masks, self._baselines, self._scales = masks or {}, baselines or {}, norm_scales or {}
        self._capture, self._captured = capture, {}
        logits = self._logits(tokens)
        if vocab is not None:
            logits = logits[..., vocab]
        if positions is not None:
            logits = logits[:, torch.arange(len(tokens)), positions]
        return Run(logits, self._captured)


class Readout(_Scripted):
    """One layer. A node's activation at a position is first[t0] * own[t], of the prompt's first token t0 and the token
    t.

    nodes: a list of (first, own), each float[token]. write: a list of {word: value}, what a neuron adds to the
    stream float[token]. With `mix` float[neuron, node] the nodes are those of `0.mlp_in` and the neurons mix them;
    else the nodes are the neurons. The logits are base[t] + the stream, or with `gain` base[t] + gain * stream /
    RMS(stream).
    """

    def __init__(self, nodes, write, base=None, gain=None, mix=None, sample_text=()):
        self.first = torch.stack([first for first, _ in nodes], -1)
        self.own = torch.stack([own for _, own in nodes], -1)
        self.write = torch.stack([table(words) for words in write])
        base = table({}) if base is None else base
        self.base = base.expand(len(WORDS), -1) if base.dim() == 1 else base
        self.gain, self.mix = gain, None if mix is None else torch.tensor(mix, dtype=torch.float64)
        self.norms = () if gain is None else ("ln_f",)
        self.sample_text = sample_text
        self.sites = {"0.mlp_neuron": Site(len(write), 0, "mlp_neuron")}
        if mix is not None:
            self.sites = {"0.mlp_in": Site(len(nodes), 0, "mlp_in"), **self.sites}

    def _logits(self, tokens):
        value = (self.first[tokens[:, :1]] * self.own[tokens])[None]
        if self.mix is not None:
            value = self._at_site("0.mlp_in", value) @ self.mix.T
        stream = self._at_site("0.mlp_neuron", value) @ self.write
        # The harness asks for the pattern of every layer; this one has no head.
        self._keep("0.attn_pattern", torch.zeros(1, len(tokens), 0, tokens.shape[1], tokens.shape[1] + 1))
        if self.gain is not None:
            scale = self._scales.get("ln_f", stream.square().mean(-1).sqrt())
            self._keep("ln_f", scale)
            stream = self.gain * stream / scale[..., None]
        return self.base[tokens] + stream


class Attention(_Scripted):
    """Heads of one q, one k and one v node. A score is the key token's: q is 1, k is scores[t, head].

    A head's output at a query is the sum of pattern x values[t, head]; `0.attn_out` = heads' outputs @ out float[head,
    node]; logits = base + nodes @ read float[node, token]. With `pool` a second layer takes the mean of the nodes over
    the visible positions first: `1.attn_v` and `1.attn_out` hold the same nodes.
    """

    def __init__(self, scores, values, sinks, out, read, pool=False):
        self.scores, self.values = torch.stack(scores, -1), torch.stack(values, -1)
        self.sinks, self.out = (torch.tensor(x, dtype=torch.float64) for x in (sinks, out))
        self.read = torch.stack([table(words) for words in read])
        self.pool, (heads, width) = pool, self.out.shape
        head = torch.arange(heads)
        self.sites = {f"0.attn_{kind}": Site(heads, 0, f"attn_{kind}", head) for kind in "qkv"}
        self.sites["0.attn_out"] = Site(width, 0, "attn_out")
        if pool:
            self.sites["1.attn_v"] = Site(width, 1, "attn_v", torch.zeros(width, dtype=torch.long))
            self.sites["1.attn_out"] = Site(width, 1, "attn_out")

    def _logits(self, tokens):
        seen = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.float64).tril()
        query = self._at_site("0.attn_q", torch.ones_like(self.scores[tokens])[None])
        key = self._key(tokens)
        value = self._at_site("0.attn_v", self.values[tokens][None])
        scores = query.transpose(-1, -2)[..., :, None] * key.transpose(-1, -2)[..., None, :]
        scores = scores.masked_fill(seen == 0, -torch.inf)
        sink = self.sinks[:, None, None].expand(*scores.shape[:-1], 1)
        pattern = torch.cat([scores, sink], -1).softmax(-1)
        self._keep("0.attn_pattern", pattern)
        heads = (pattern[..., :-1] @ value.transpose(-1, -2)[..., None])[..., 0].transpose(-1, -2)
        nodes = self._at_site("0.attn_out", heads @ self.out)
        if self.pool:
            even = seen / seen.sum(-1, keepdim=True)
            rows = torch.cat([even, torch.zeros_like(even[:, :1])], -1)
            self._keep("1.attn_pattern", rows.expand(1, len(tokens), 1, -1, -1))
            nodes = self._at_site("1.attn_out", even @ self._at_site("1.attn_v", nodes))
        return answers_only() + nodes @ self.read

    def _key(self, tokens):
        return self._at_site("0.attn_k", self.scores[tokens][None])


class Keyed(Attention):
    """One head whose k node is the sum of the nodes of `0.attn_in`, each a row `parts` float[token]."""

    def __init__(self, parts, values, sink, amplitude):
        super().__init__([table({})], [values], [sink], [[1.0]], [pronoun(amplitude)])
        self.parts = torch.stack(parts, -1)
        self.sites = {"0.attn_in": Site(len(parts), 0, "attn_in"), **self.sites}

    def _key(self, tokens):
        return self._at_site("0.attn_k", self._at_site("0.attn_in", self.parts[tokens][None]).sum(-1, keepdim=True))


def pronoun(amplitude):
    """What a neuron writes that moves the logit difference she - he by `amplitude`."""
    return {"she": amplitude / 2, "he": -amplitude / 2}


def bench_of(model, task, *, loss="full", target=0.15, norms="live"):
    return Bench(model, task, loss, target, Ablation(), norms)


def circuit_of(model, norms="live", **keep):
    """The circuit of nodes given as `mlp_neuron=[0, 1]` or `l1_attn_v=[0]`; sites left out keep nothing."""
    kept = {site: torch.zeros(at.size, dtype=torch.bool) for site, at in model.sites.items()}
    for name, nodes in keep.items():
        layer, kind = name[1:].split("_", 1) if name[0] == "l" else ("0", name)
        kept[f"{layer}.{kind}"][nodes] = True
    return Circuit(kept, Ablation(), norms)


def whole(model, norms="live"):
    """The circuit of all nodes."""
    return Circuit({site: torch.ones(at.size, dtype=torch.bool) for site, at in model.sites.items()}, Ablation(), norms)


def subject_of(bench, *, seed=0, cut=None, scores=None, norms="live", **keep):
    return Subject(bench, circuit_of(bench.model, norms, **keep), seed, cut, scores)


def readout_subject(tmp_path, writes, firsts=None, kept=None, base=None, loss="full"):
    """Neurons that write `writes`: an amplitude, or a table of their own. All of them are kept unless some are."""
    nodes = [(first, ONE) for first in firsts or [SIGN] * len(writes)]
    rows = [write if isinstance(write, dict) else pronoun(write) for write in writes]
    model = Readout(nodes, rows, answers_only() if base is None else base)
    return subject_of(bench_of(model, write_task(tmp_path), loss=loss), mlp_neuron=kept or list(range(len(writes))))


def gates_of(check, target=0.15):
    return {metric: Gate.parse(text, target_loss=target) for metric, text in check.gates.items()}


def finding_of(check, *subjects, target=0.15):
    """The finding of a circuit-scope check over subjects."""
    measured = [(subject.seed, check.measure(subject)) for subject in subjects]
    return judge_circuits(check, "toy", gates_of(check, target), measured)


def method_finding(check, measurement):
    return judge_method(check, "toy", gates_of(check), measurement)


def metric_of(measurement, name, on=None):
    """The estimate of one metric; fails where there is not exactly one."""
    [found] = [m for m in measurement.metrics if m.name == name and (on is None or m.on == on)]
    return found.estimate


class Masked:
    """A model without its `restrict`: its circuits run through masks on the whole model."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name in ("restrict", "count_edges"):
            raise AttributeError(name)
        return getattr(self._model, name)


def random_circuits(task, norms, seed=0):
    """A circuit of a random transformer, once with `restrict` and once through masks."""
    config = Config(vocabulary=len(WORDS), d_model=16, d_head=4, d_mlp=24, layers=2)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5
        for name, shape in config.shapes().items()
    }
    model = SparseTransformer("random", config, tensors, WordTokenizer(WORDS))
    keep = {site: torch.rand(at.size, generator=generator) < 0.5 for site, at in model.sites.items()}
    return [
        Subject(bench_of(m, task, norms=norms), Circuit(keep, Ablation(), norms), 0) for m in (model, Masked(model))
    ]
