"""Laws on what a method returns from one trial, and what it leaves behind."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import torch

from faithcheck.circuit import NodeScores
from faithcheck.method import Problem
from faithcheck.plugins import one_line
from faithcheck.testing.broken import Broken
from faithcheck.testing.methods.trials import Trial, flat_scores


def runs(trial: Trial) -> Iterator[Broken]:
    if trial.error is not None:
        yield Broken(
            "extracts from any problem",
            trial.what,
            "scores",
            f"{one_line(trial.error)} ({_place(trial.error)})",
            (
                "a problem has zero, mean, task_mean or resample ablation, live or frozen norms, full or binary loss",
                "make tensors with dtype=problem.model.dtype and device=problem.model.device",
                "sites may differ in size; a model need not have restrict",
            ),
        )


def gives_scores(trial: Trial) -> Iterator[Broken]:
    """One NodeScores a problem, with a finite number for every node of every site."""
    if trial.error is not None:
        return
    if len(trial.found) != len(trial.problems):
        yield _bad_scores(trial, f"{len(trial.found)} scores for {len(trial.problems)} problems")
        return
    for problem, found in zip(trial.problems, trial.found, strict=True):
        fault = _fault(problem, found)
        if fault:
            yield _bad_scores(trial, fault)


def _bad_scores(trial: Trial, found: str) -> Broken:
    return Broken(
        "gives a finite score for every node",
        trial.what,
        "a NodeScores a problem: {site: float[node]} for every site of the model, all finite",
        found,
        (
            "make the scores of each site with torch.zeros(site.size), for name, site in problem.model.sites.items()",
            "a number that is not finite often is a logarithm or a quotient of 0",
        ),
    )


def _fault(problem: Problem, found: object) -> str | None:
    if not isinstance(found, NodeScores):
        return f"a {type(found).__name__}"
    try:
        flat = found.flat(problem.model)
    except Exception as error:  # whatever torch makes of what is no such tensor
        return one_line(error)
    if not flat.isfinite().all():
        sites = [site for site in problem.model.sites if not found.scores[site].isfinite().all()]
        return f"a score at {sites[0]} is not finite"
    return None


def leaves_the_model(trial: Trial) -> Iterator[Broken]:
    if trial.altered:
        yield Broken(
            "does not change the model",
            trial.what,
            "every tensor of the model as before, to the bit",
            f"{', '.join(trial.altered)} changed",
            (
                "turn nodes off by masks of model.run, not by writing zeros into weights",
                "an optimiser must hold your parameters only, never the model's",
            ),
        )


def leaves_the_problem(trial: Trial) -> Iterator[Broken]:
    if trial.edited:
        yield Broken(
            "does not change the problem",
            trial.what,
            "every tensor of the prompts and the ablation, and the model's sites and norms, as before",
            f"{', '.join(trial.edited)} changed",
            (
                "make counterfactual prompts or labels of clones: problem.prompts.tokens.clone()",
                "what others extract after you is on the same prompts, and their circuits are of the same sites",
            ),
        )


def leaves_what_it_returned(trial: Trial) -> Iterator[Broken]:
    """Also while it extracted from other problems later on."""
    for problem, found, flat in zip(trial.problems, trial.found, trial.flat, strict=False):
        now = flat_scores(problem, found)
        if flat is not None and (now is None or not torch.equal(flat, now)):
            yield Broken(
                "does not change scores that it returned",
                f"{trial.what}; then from other problems",
                "the scores of the first stay what they were",
                "others",
                ("make new tensors in each call of extract: one that is filled again has the last problem's scores",),
            )
            return


def leaves_its_surroundings(trial: Trial) -> Iterator[Broken]:
    if trial.touched:
        yield Broken(
            "leaves global state alone",
            trial.what,
            "grad mode, default dtype, thread count and the global random generators as before",
            f"changed: {', '.join(trial.touched)}",
            (
                "draw from torch.Generator().manual_seed(problem.seed), given to every call as generator=",
                "do not seed the global generator either: others draw from it",
                "use `with torch.no_grad():`, which puts grad mode back, also where something raises",
            ),
        )


def _place(error: Exception) -> str:
    """`file.py:12` of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "no traceback"
