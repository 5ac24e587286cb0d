"""What the page shows, in the order in which it shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from faithcheck.report.html import headline, pictures, viewer
from faithcheck.report.html.claim import ClaimView
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.words import interval, number, span
from faithcheck.report.reading import LoadedResult
from faithcheck.result_schema import CheckResult, CircuitResult, MetricEntry, ResultData


@dataclass(frozen=True)
class CheckView:
    """A check on a task: its entry, the pictures, the rows of its table (metric, estimate, interval)."""

    id: str
    entry: CheckResult
    pictures: Markup
    rows: Sequence[tuple[MetricEntry, str, str]]


@dataclass(frozen=True)
class TaskView:
    id: str
    name: str
    checks: Sequence[CheckView]
    circuits: Sequence[CircuitResult]
    sizes: str
    viewer: Markup | None


@dataclass(frozen=True)
class Page:
    data: ResultData
    claim: ClaimView | None
    sentence: str
    everywhere: str
    seeds: str
    command: str
    tasks: Sequence[TaskView]
    check_names: Sequence[str]
    facts: Sequence[tuple[str, str]]

    def cells(self, check: str) -> list[CheckView | None]:
        """The check on every task; None where it has no verdict."""
        return [next((view for view in task.checks if view.entry.check == check), None) for task in self.tasks]


def page_of(loaded: LoadedResult) -> Page:
    data = loaded.data
    names, checks = headline.asked(data)
    tasks = [_task(loaded, name, place) for place, name in enumerate(names, 1)]
    return Page(
        data=data,
        claim=ClaimView.of(data),
        sentence=headline.sentence(data),
        everywhere=headline.everywhere(data),
        seeds=headline.seeds(data),
        command=data.command,
        tasks=tasks,
        check_names=checks,
        facts=headline.facts(data),
    )


def _task(loaded: LoadedResult, name: str, place: int) -> TaskView:
    entries, circuits = loaded.data.checks_of(name), loaded.data.circuits_of(name)
    checks = [_check(loaded, entry, f"task-{place}-check-{number}") for number, entry in enumerate(entries, 1)]
    return TaskView(f"task-{place}", name, checks, circuits, _sizes(circuits), viewer.section(loaded, name) or None)


def _check(loaded: LoadedResult, entry: CheckResult, id_: str) -> CheckView:
    rows = [(metric, number(metric.estimate), interval(metric)) for metric in entry.metrics]
    return CheckView(id_, entry, pictures.draw(Finding(loaded, entry)), rows)


def _sizes(circuits: Sequence[CircuitResult]) -> str:
    if not circuits:
        return "No circuit on this task"
    reached = sum(circuit.reached for circuit in circuits)
    edges = [circuit.edges for circuit in circuits if circuit.edges is not None]
    parts = [f"{span([circuit.size for circuit in circuits])} nodes"]
    parts += [f"{span(edges)} edges"] if edges else []
    many = f"{len(circuits)} circuits" if len(circuits) > 1 else "One circuit"
    return f"{many}: {', '.join(parts)}; {reached} of {len(circuits)} reached the target loss"
