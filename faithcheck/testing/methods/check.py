"""`check_method`: the laws of a method, tried on the tiny model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from faithcheck.ablation import AblationKind
from faithcheck.bench import Bench
from faithcheck.building import build_class
from faithcheck.circuit import Norms
from faithcheck.losses import LossKind
from faithcheck.method import Budget, Problem
from faithcheck.prompt_tokens import answer_token
from faithcheck.testing.broken import Broken, complaint
from faithcheck.testing.methods import calls, comparisons, declaration, outcomes
from faithcheck.testing.methods.trials import Trial, tried
from faithcheck.testing.tiny.problem import problem_on, tiny_bench, tiny_model
from faithcheck.testing.tiny.restricting import RestrictingModel

SETTINGS: tuple[tuple[AblationKind, Norms, LossKind, bool], ...] = (
    ("zero", "frozen", "full", True),
    ("mean", "frozen", "binary", True),
    ("task_mean", "live", "full", False),
    ("resample", "frozen", "full", False),
)
"""Ablation, norms, loss, and whether the model has `restrict`: beside zero ablation, live norms and full loss."""

ALWAYS = (
    outcomes.runs,
    outcomes.gives_scores,
    outcomes.leaves_the_model,
    outcomes.leaves_the_problem,
    outcomes.leaves_what_it_returned,
    outcomes.leaves_its_surroundings,
    calls.sees_train_prompts_only,
    calls.restricts_for_zero_ablation_only,
)
OF_ONE_PROBLEM = (calls.honours_ablation, calls.honours_norms)


def check_method(method_class: type, *, parameters: Mapping[str, Any] | None = None) -> None:
    """Try the laws of a method on a tiny model, with these parameters and its defaults for the others.

    Raises AssertionError that lists every law that it breaks, what was done, expected and found, and what usually
    causes it; it comes from the first exception that the method raised, if any. Raises TypeError for what is no class.
    """
    __tracebackhide__ = True
    if not isinstance(method_class, type):
        raise TypeError(f"check_method takes the class of a method, not {method_class!r}")
    given, trials = parameters or {}, list[Trial]()
    broken = list(_declared(method_class, given))
    if not any(each.law == "is built from its parameters" for each in broken):
        method, other = (build_class("methods", method_class.__name__, method_class, given)[0] for _ in range(2))
        broken += declaration.says_what_it_is(method)
        broken += _behaves(method, other, trials)
    if broken:
        cause = next((trial.error for trial in trials if trial.error is not None), None)
        raise AssertionError(complaint(method_class.__name__, broken)) from cause


def _declared(cls: type, given: Mapping[str, Any]) -> Iterator[Broken]:
    yield from declaration.builds(cls, given)
    yield from declaration.refuses_unknown_parameters(cls, given)
    yield from declaration.has_plain_parameters(cls, given)


def _behaves(method: Any, other: Any, trials: list[Trial]) -> Iterator[Broken]:
    """`other` is a second instance; `trials` fills with what was tried."""
    bench = tiny_bench(tiny_model(dtype=torch.float64))
    problem = problem_on(bench)
    memory = little(problem)
    plain = "zero ablation, live norms, full loss, float64"
    first = _once(method, plain, bench, problem)
    thrifty = _once(method, f"with budget.memory={memory}", bench, replace(problem, budget=Budget(memory=memory)))
    settings = [
        _in_setting(one, *setting) for one, setting in zip((method, method, method, other), SETTINGS, strict=True)
    ]
    again = _once(other, plain, bench, problem)
    trials += [first, thrifty, *settings, again]
    yield from comparisons.same_again(first, again)
    yield from comparisons.keeps_to_memory(thrifty, memory)
    yield from comparisons.same_in_little_memory(first, thrifty)
    if hasattr(method, "extract_many"):
        company = _in_company(method, bench, problem)
        trials += company
        yield from comparisons.same_in_company(first, *company)
    for trial in trials:
        for law in (*ALWAYS, *OF_ONE_PROBLEM) if len(trial.problems) == 1 else ALWAYS:
            yield from law(trial)


def little(problem: Problem) -> int:
    """Bytes of memory in which all prompts fit once, and not twice."""
    nodes = sum(site.size for site in problem.model.sites.values())
    return problem.prompts.tokens.numel() * nodes * 6


def _once(method: Any, what: str, bench: Bench, problem: Problem) -> Trial:
    def work(problems: Sequence[Problem]) -> list[object]:
        return [method.extract(problem) for problem in problems]

    return tried(f"extract on the tiny problem, {what}", bench, [problem], work)


def _in_setting(method: Any, ablation: AblationKind, norms: Norms, loss: LossKind, restricts: bool) -> Trial:
    model = tiny_model()
    if restricts:
        model = RestrictingModel(model.name, model.tensors, model.tokenizer, model.sample_text)
    bench = tiny_bench(model, ablation, norms, loss)
    extra = ", a model with restrict" if restricts else ""
    return _once(method, f"{ablation} ablation, {norms} norms, {loss} loss{extra}", bench, problem_on(bench))


def _in_company(method: Any, bench: Bench, problem: Problem) -> tuple[Trial, Trial, Trial]:
    """`extract_many` of the problem; of it, another seed, other labels and another model; of these in reverse."""
    answers = [answer_token(bench.model.tokenizer, "ada runs", word) for word in bench.task.nonsense.values()]
    problems = [
        problem,
        replace(problem, seed=1),
        replace(problem, prompts=problem.prompts.relabelled((answers[0], answers[1]))),
        replace(problem, model=bench.model.shuffled(0)),
    ]
    one, many, back = (
        tried(what, bench, given, method.extract_many)
        for what, given in (
            ("extract_many of one tiny problem", problems[:1]),
            ("extract_many of four tiny problems", problems),
            ("extract_many of four tiny problems, in reverse", problems[::-1]),
        )
    )
    return one, many, back
