"""Pages about tasks, suites and claims."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faithcheck.claims.claim import load_claim
from faithcheck.claims.files import kind_of
from faithcheck.claims.references import circuit_file, suite_of
from faithcheck.marked_yaml import load
from faithcheck.references import ResolvedCheck, check_references
from faithcheck.show.page import Page, Table
from faithcheck.suite import load_suite
from faithcheck.task import Prompt, Task, load_task_file


def yaml_page(path: Path) -> Page:
    """The page of a suite's, task's or claim's file. Raises UserError for a bad one, BrokenPlugin as
    `check_references`."""
    load(path)
    pages = {"task": task_page, "claim": claim_page}
    return pages.get(kind_of(path) or "suite", suite_page)(path)


def claim_page(path: Path) -> Page:
    loaded = load_claim(path)
    suite_of(loaded)
    claim = loaded.claim
    facts = [
        ("file", str(path)),
        ("circuit", str(circuit_file(loaded))),
        ("identity", claim.identity),
        ("model", claim.model),
        ("fingerprint", claim.fingerprint),
        ("task", claim.task),
        ("suite", claim.suite),
    ]
    verdicts = list(claim.verdicts.items())
    return Page("claim", path.stem, facts, claim.claim, [Table("verdicts", ("check", "claimed"), verdicts)])


def task_page(path: Path) -> Page:
    task = load_task_file(path)
    facts = [
        ("file", str(task.path)),
        ("loss", task.loss),
        ("unit", task.unit),
        ("sha256", task.fingerprint),
    ]
    variables = [(name, ", ".join(levels), _asked(name, task)) for name, levels in task.variables.items()]
    answers = [(level, token, task.nonsense[level]) for level, token in task.tokens.items()]
    parts = [(name, kind, f"{len(task.prompts(name)):,}") for name, kind in _parts(task)]
    samples = [(prompt.text, task.tokens[prompt.answer]) for prompt in _samples(task)]
    tables = [
        Table("variables", ("name", "levels", ""), variables),
        Table("answers", ("level", "token", "nonsense token"), answers),
        Table("prompts", ("name", "", "prompts"), parts),
        Table("three of them", ("prompt", "answer"), samples),
    ]
    return Page("task", task.name, facts, task.about, tables)


def _asked(name: str, task: Task) -> str:
    return "decides the answer" if name == task.answer else ""


def _parts(task: Task) -> list[tuple[str, str]]:
    return [(name, "split") for name in task.splits] + [(name, "shift") for name in task.shifts]


def _samples(task: Task) -> list[Prompt]:
    """The first, the middle and the last test prompt, as far as there are three."""
    prompts = task.prompts("test")
    return [prompts[i] for i in sorted({0, len(prompts) // 2, len(prompts) - 1})]


def suite_page(path: Path) -> Page:
    loaded = load_suite(str(path))
    named = check_references(loaded)
    suite = loaded.suite
    method = "none; --method names one" if suite.method is None else _called(suite.method.name, suite.method.parameters)
    facts = [
        ("file", str(loaded.path)),
        ("model", suite.model),
        ("tasks", ", ".join(task.name for task in named.tasks)),
        ("method", method),
        ("seeds", str(suite.seeds)),
        ("target loss", f"{suite.target_loss:g} nats"),
        ("ablation", suite.ablation),
        ("norms", suite.norms),
        ("loss", suite.loss or "the task's own"),
        ("memory", f"{suite.memory:g} GiB for a method's batches"),
        ("time limit", f"{suite.time_limit:g} seconds for an extraction or a check"),
    ]
    entries = zip(suite.checks, named.checks, strict=True)
    rows = [(_called(entry.name, entry.parameters), check.check.scope, _gates(check)) for entry, check in entries]
    return Page("suite", suite.name, facts, suite.about, [Table("checks", ("check", "scope", "passes if"), rows)])


def _called(name: str, parameters: Mapping[str, Any]) -> str:
    return ", ".join([name, *(f"{key} = {value}" for key, value in parameters.items())])


def _gates(check: ResolvedCheck) -> str:
    return "\n".join(f"{metric} {gate.resolved}" for metric, gate in check.gates.items())
