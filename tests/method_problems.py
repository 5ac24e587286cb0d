"""Problems for extraction methods: a model whose loss is linear in its masks, and random transformers."""

from __future__ import annotations

import torch
from faithcheck_circuits.transformer.model import SparseTransformer
from small_models import Words, prompt_set, random_tensors, small_config, small_model

from faithcheck.ablation import Ablation
from faithcheck.baselines import measured
from faithcheck.method import Problem
from faithcheck.model import Run, Site

ABLATIONS = ("zero", "task_mean", "resample")


class LinearLoss:
    """Two tokens are answers; a prompt's first token, 0 or 1, is its answer's.

    A node's activation is values[site][token, node] of the token at a position. The full loss is `start`, 1, + the sum
    over sites, nodes and positions of the activation x weights[site][answer, node]; it has to stay above 0.
    """

    name, fingerprint, norms, tokenizer, sample_text = "linear", "0" * 64, (), None, ()
    device, dtype = torch.device("cpu"), torch.float64

    def __init__(self, values, weights):
        self.values = {site: torch.tensor(rows, dtype=torch.float64) for site, rows in values.items()}
        self.weights = {site: torch.tensor(rows, dtype=torch.float64) for site, rows in weights.items()}
        self.sites = {site: Site(rows.shape[1], 0, site[2:]) for site, rows in self.values.items()}
        self.start, self.members = 1.0, []

    def run(self, tokens, *, positions=None, vocab=None, masks=None, baselines=None, norm_scales=None, capture=()):
        """`members` keeps how many members each run had."""
        loss, captured = torch.full((1, len(tokens)), self.start, dtype=torch.float64), {}
        for site, values in self.values.items():
            x = values[tokens][None]
            if site in capture:
                captured[site] = x
            if site in (masks or {}):
                mask = masks[site] if masks[site].dim() == 4 else masks[site][:, None, None]
                x = mask * x + (1 - mask) * (baselines or {}).get(site, torch.zeros(()))
            loss = loss + (x * self.weights[site][tokens[:, 0], None]).sum((-1, -2))
        self.members.append(len(loss))
        logits = torch.stack([-loss, (-torch.expm1(-loss)).log()], -1)
        logits = torch.where((tokens[:, 0] == 1)[:, None], logits.flip(-1), logits)
        logits = logits if vocab is None else logits[..., vocab]
        return Run(
            logits if positions is not None else logits[:, :, None].expand(-1, -1, tokens.shape[1], -1), captured
        )


def problem_of(model, tokens, classes, *, answers=(0, 1), ablation="zero", norms="live", loss="full", **changes):
    """Prompts of one length, each with the first answer for class 0 and the second for class 1."""
    tokens, classes, answers = torch.tensor(tokens), torch.tensor(classes), torch.tensor(answers)
    last = torch.full((len(tokens),), tokens.shape[1] - 1)
    prompts = prompt_set(tokens, last, answers[classes], answers[1 - classes], classes)
    if ablation == "resample":
        prompts = prompts.paired()
    measure = measured(Ablation(ablation), model, prompts)
    usual = {"target_loss": 0.15, "ablation": measure, "norms": norms, "seed": 0}
    return Problem(model, prompts, loss, **{**usual, **changes})


def gentle_model(variant, seed):
    """A random model with small weights: its loss is smooth on the way from all masks 0 to all masks 1."""
    config = small_config(variant)
    tensors = {n: 0.25 * t if t.dim() == 2 and n != "embed" else t for n, t in random_tensors(config, seed).items()}
    return SparseTransformer(f"gentle {seed}", config, tensors, Words(f"w{i}" for i in range(config.vocabulary)))


def random_problem(variant="plain", seed=0, prompts=4, make=small_model, **changes):
    model = make(variant, seed)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, model.config.vocabulary, (prompts, 5), generator=generator).tolist()
    return problem_of(model, tokens, [i % 2 for i in range(prompts)], answers=(1, 2), **changes)


def constant_masks(model, level):
    return {name: torch.full((1, site.size), level, dtype=model.dtype) for name, site in model.sites.items()}


def same(one, other, tolerance=1e-12):
    """Scores in float64 that differ by the order of their sums at most."""
    return one.keys() == other.keys() and all(torch.allclose(one[s], other[s], rtol=0, atol=tolerance) for s in one)
