"""Methods that rank nodes by the gradients of their masks, each of which breaks one law of `check_method`."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import BaseModel, Field

from faithcheck import NodeScores, parameters
from faithcheck.ablation import Ablation
from faithcheck.losses import prompt_losses
from faithcheck.testing.tiny.problem import tiny_task


class Gradients:
    """How fast the loss rises as a node is turned off."""

    name = "gradients"

    def extract(self, problem):
        masks = self.masks(problem)
        self.losses(problem, masks).mean().backward()
        return NodeScores({site: -mask.grad[0] for site, mask in masks.items()})

    def masks(self, problem, members=1):
        dtype = problem.model.dtype
        sites = problem.model.sites.items()
        return {site: torch.ones(members, at.size, dtype=dtype, requires_grad=True) for site, at in sites}

    def losses(self, problem, masks):
        return problem.losses(masks)

    def run(self, problem, masks, **levers):
        prompts = problem.prompts
        given = {"baselines": problem.baselines(), "norm_scales": problem.norm_scales(), **levers}
        logits = problem.model.run(prompts.tokens, positions=prompts.positions, masks=masks, **given).logits
        return prompt_losses(logits, prompts.targets, prompts.distractors, problem.loss)


class Noise(Gradients):
    """Numbers drawn by the seed."""

    def extract(self, problem):
        return self.drawn(problem, torch.Generator().manual_seed(problem.seed))

    def drawn(self, problem, generator=None):
        return NodeScores({s: torch.rand(at.size, generator=generator) for s, at in problem.model.sites.items()})


class NeedsAParameter(Noise):
    """It has no default."""

    class Parameters(parameters.Parameters):
        steps: int

    def __init__(self, values):
        self.parameters = values


class TakesAnything(Noise):
    """It takes a misspelt parameter for nothing."""

    class Parameters(BaseModel):
        steps: int = 1

    def __init__(self, values=None):
        self.parameters = values


class HidesAParameter(TakesAnything):
    """The report would not say what it was run with."""

    class Parameters(parameters.Parameters):
        steps: int = Field(1, exclude=True)


class Nameless(Noise):
    """It has a docstring."""

    name = ""


class Undescribed(Noise):
    pass


class ZeroAblationOnly(Gradients):
    """It knows one kind of ablation."""

    def extract(self, problem):
        if problem.ablation.kind == "resample":
            raise NotImplementedError("resample")
        return super().extract(problem)


class NotScores(Noise):
    """A dictionary."""

    def extract(self, problem):
        return dict(super().extract(problem).scores)


class ForgetsASite(Noise):
    """The last one."""

    def extract(self, problem):
        return NodeScores(dict(list(super().extract(problem).scores.items())[:-1]))


class OneSizeFitsAll(Noise):
    """Every site as large as the first."""

    def extract(self, problem):
        size = next(iter(problem.model.sites.values())).size
        return NodeScores({site: torch.ones(size) for site in problem.model.sites})


class Logarithms(Noise):
    """Of 0."""

    def extract(self, problem):
        return NodeScores({site: score.round().log() for site, score in super().extract(problem).scores.items()})


class Prunes(Noise):
    """In the model itself."""

    def extract(self, problem):
        problem.model.tensors["0.mlp_out.weight"][0] = 0
        return super().extract(problem)


class WeightsWantGradients(Noise):
    """Every run after it keeps a graph."""

    def extract(self, problem):
        problem.model.tensors["unembed"].requires_grad_()
        return super().extract(problem)


class LeavesANote(Noise):
    """On the model, for next time."""

    def extract(self, problem):
        problem.model.seen = True
        return super().extract(problem)


class RelabelsInPlace(Noise):
    """So whoever comes next learns the wrong answers."""

    def extract(self, problem):
        problem.prompts.targets.copy_(problem.prompts.distractors)
        return super().extract(problem)


class AblatesToZero(Noise):
    """By making the means 0."""

    def extract(self, problem):
        for mean in (problem.ablation.means or {}).values():
            mean.zero_()
        return super().extract(problem)


class DropsNorms(Noise):
    """Which are then live for everybody."""

    def extract(self, problem):
        problem.model.norms.clear()
        return super().extract(problem)


class OneBuffer(Gradients):
    """Filled again and again."""

    def __init__(self):
        self.buffers = {}

    def extract(self, problem):
        for site, score in super().extract(problem).scores.items():
            self.buffers.setdefault(site, torch.zeros(len(score), dtype=torch.float64)).copy_(score)
        return NodeScores(dict(self.buffers))


class RemembersBySeed(Gradients):
    """Other problems have the same seed."""

    def __init__(self):
        self.known = {}

    def extract(self, problem):
        return self.known.setdefault(problem.seed, super().extract(problem))


class CannotExtract:
    """It has a name."""

    name = "cannot_extract"


class Imaginary(Noise):
    """Numbers."""

    def extract(self, problem):
        return NodeScores({site: score * 1j for site, score in super().extract(problem).scores.items()})


class Elsewhere(Noise):
    """On a device that has no numbers."""

    def extract(self, problem):
        return NodeScores({site: score.to("meta") for site, score in super().extract(problem).scores.items()})


class GradOff(Noise):
    """For everybody after it."""

    def extract(self, problem):
        torch.set_grad_enabled(False)
        return super().extract(problem)


class SeedsTheWorld(Noise):
    """Deterministic, at others' cost."""

    def extract(self, problem):
        torch.manual_seed(problem.seed)
        return self.drawn(problem)


class Validates(Noise):
    """On prompts that it should not see."""

    def extract(self, problem):
        text = tiny_task().prompts("validation")[0].text
        problem.model.run(torch.tensor([problem.model.tokenizer.encode(text)]))
        return super().extract(problem)


class GoesOn(Noise):
    """One generator for its whole life."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def extract(self, problem):
        return self.drawn(problem, self.generator)


class RestrictsAlways(Noise):
    """Whatever the ablation."""

    def extract(self, problem):
        keep = {site: torch.ones(at.size, dtype=torch.bool) for site, at in problem.model.sites.items()}
        if hasattr(problem.model, "restrict"):
            try:
                problem.model.restrict(keep, problem.ablation)
            except ValueError:
                problem.model.restrict(keep, Ablation())
        return super().extract(problem)


class RestrictedLive(Noise):
    """A restricted run under live norms, whatever was asked."""

    def extract(self, problem):
        keep = {site: torch.ones(at.size, dtype=torch.bool) for site, at in problem.model.sites.items()}
        if hasattr(problem.model, "restrict") and problem.ablation.kind == "zero":
            problem.model.restrict(keep, Ablation()).run(problem.prompts.tokens)
        return super().extract(problem)


class NoBaselines(Gradients):
    """Zero ablation, whatever was asked."""

    def losses(self, problem, masks):
        return self.run(problem, masks, baselines=None)


class OthersBaselines(Gradients):
    """Those of the prompts in reverse."""

    def losses(self, problem, masks):
        baselines = {site: b.flip(1) if b.dim() == 4 else b for site, b in problem.baselines().items()}
        return self.run(problem, masks, baselines=baselines)


class MeansForZero(Gradients):
    """Something like the mean, whatever was asked."""

    def losses(self, problem, masks):
        own = {site: torch.full_like(mask[0].detach(), 0.1) for site, mask in masks.items()}
        return self.run(problem, masks, baselines=problem.baselines() or own)


class LiveNorms(Gradients):
    """Whatever was asked."""

    def losses(self, problem, masks):
        return self.run(problem, masks, norm_scales=None)


class FrozenNorms(Gradients):
    """Whatever was asked."""

    def losses(self, problem, masks):
        return self.run(problem, masks, norm_scales=replace(problem, norms="frozen").norm_scales())


class OthersScales(Gradients):
    """Those of the prompts in reverse."""

    def losses(self, problem, masks):
        scales = problem.norm_scales()
        return self.run(problem, masks, norm_scales=scales and {norm: s.flip(1) for norm, s in scales.items()})


class Greedy(Gradients):
    """Five members at once, whatever the budget."""

    def extract(self, problem):
        masks = self.masks(problem, members=5)
        self.losses(problem, masks).mean(1)[0].backward()
        return NodeScores({site: -mask.grad[0] for site, mask in masks.items()})


class DrawsByMemory(Noise):
    """What it draws depends on how much fits."""

    def extract(self, problem):
        return self.drawn(problem, torch.Generator().manual_seed(problem.budget.memory % 1000))


class ByPlace(Noise):
    """What it draws depends on a problem's place."""

    def extract_many(self, problems):
        generator = torch.Generator().manual_seed(problems[0].seed)
        return [self.drawn(problem, generator) for problem in problems]


class InItsOwnOrder(Noise):
    """Scores come in the order of seeds."""

    def extract_many(self, problems):
        return [self.extract(problem) for problem in sorted(problems, key=lambda p: p.seed)]


class AnotherAlgorithm(Noise):
    """For several problems than for one."""

    def extract_many(self, problems):
        return [self.drawn(p, torch.Generator().manual_seed(p.seed + len(problems))) for p in problems]


class TooFew(Noise):
    """Scores for the first problem only."""

    def extract_many(self, problems):
        return [self.extract(problems[0])]


_SCORES, _SEED, _STATE = (
    "gives a finite score for every node",
    "gives the same scores for the same seed",
    "leaves global state alone",
)
_ABLATION, _NORMS, _COMPANY = "honours the ablation", "honours the norms", "gives the same scores in company"
_MODEL, _PROBLEM = "does not change the model", "does not change the problem"
_MEMORY, _LITTLE = "keeps to the memory budget", "gives the same scores in little memory"

BAD = {
    NeedsAParameter: ("is built from its parameters", "has parameters that result.json can hold"),
    TakesAnything: ("refuses a parameter that it does not have",),
    HidesAParameter: ("has parameters that result.json can hold",),
    Nameless: ("says what it is",),
    Undescribed: ("says what it is",),
    ZeroAblationOnly: ("extracts from any problem",),
    NotScores: (_SCORES,),
    ForgetsASite: (_SCORES,),
    OneSizeFitsAll: (_SCORES,),
    Logarithms: (_SCORES,),
    Imaginary: (_SCORES,),
    Elsewhere: (_SCORES,),
    CannotExtract: ("is built from its parameters",),
    Prunes: (_MODEL,),
    WeightsWantGradients: (_MODEL,),
    LeavesANote: (_MODEL,),
    RelabelsInPlace: (_PROBLEM,),
    AblatesToZero: (_PROBLEM,),
    DropsNorms: (_PROBLEM,),
    OneBuffer: ("does not change scores that it returned",),
    RemembersBySeed: (_SEED,),
    GradOff: (_STATE,),
    SeedsTheWorld: (_STATE,),
    Validates: ("sees the train prompts only",),
    GoesOn: (_SEED, _LITTLE),
    RestrictsAlways: ("restricts the model for zero ablation only",),
    RestrictedLive: (_NORMS,),
    NoBaselines: (_ABLATION,),
    OthersBaselines: (_ABLATION,),
    MeansForZero: (_ABLATION,),
    LiveNorms: (_NORMS,),
    FrozenNorms: (_NORMS,),
    OthersScales: (_NORMS,),
    Greedy: (_MEMORY,),
    DrawsByMemory: (_LITTLE,),
    ByPlace: (_COMPANY,),
    InItsOwnOrder: (_COMPANY,),
    AnotherAlgorithm: (_COMPANY,),
    TooFew: (_SCORES,),
}
"""All the laws that each breaks, in the order of the report."""
