"""What became of the verdict of one check on one task, and whether that is a regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faithcheck.diff.compared import Compared, Move
from faithcheck.diff.run import Run
from faithcheck.diff.seeds import Noise, match
from faithcheck.diff.values import Name, estimate_of
from faithcheck.gates import Gate
from faithcheck.result_schema import CheckResult
from faithcheck.verdict import JUDGED, Verdict, worst


@dataclass(frozen=True)
class CheckChange:
    """A check on a task: its verdicts, None where it is not there; why it is a regression; what else is to be said."""

    task: str
    check: str
    base: Verdict | None
    head: Verdict | None
    regressions: Sequence[str]
    remark: str = ""

    @property
    def moved(self) -> bool:
        return self.base is not self.head


def change_of(task: str, check: str, base: Run, head: Run, metrics: Sequence[Compared]) -> CheckChange:
    """`metrics`: those of this check on this task that both runs measured."""
    one, other = base.checks.get((task, check)), head.checks.get((task, check))
    was, now = (Verdict(side.verdict) if side else None for side in (one, other))
    if one is None or other is None or was is None or now is None:
        lost = ["HEAD no longer has it"] if was in JUDGED and now is None else []
        return CheckChange(task, check, was, now, lost, "" if was else "new in HEAD")
    regressions = [*_of_verdict(task, was, now, base, head), *_missing(task, one, other, base, head)]
    if now is Verdict.FAIL and _passed(task, one, other, base) and _fails_again(task, other, base, head):
        regressions.append("the given circuit passed in BASE" if None in head.seeds(task) else _SAME_SEEDS)
    worse = [m.name for m in metrics if m.move is Move.WORSE and not m.holds]
    regressions += [f"{label(name)} is worse beyond noise" for name in worse]
    return CheckChange(task, check, was, now, regressions, _remark(task, one, other, base, head, metrics))


_SAME_SEEDS = "it passed in BASE with the same seeds"


def label(name: Name) -> str:
    """`disagreement_gap on unseen_names`."""
    return f"{name.metric} on {name.on}" if name.on else name.metric


def _of_verdict(task: str, was: Verdict, now: Verdict, base: Run, head: Run) -> list[str]:
    """What needs no metric to be called a regression."""
    if now is Verdict.ERROR and was is not Verdict.ERROR:
        return ["it raised in HEAD"]
    unknown = match(base.seeds(task), head.seeds(task)).noise is Noise.UNKNOWN and head.seeds(task) != set()
    if now is Verdict.NOT_APPLICABLE and was in JUDGED and not unknown:
        return ["HEAD has nothing to judge any more"]
    return []


def _missing(task: str, one: CheckResult, other: CheckResult, base: Run, head: Run) -> list[str]:
    """Gated metrics that BASE measured and HEAD, though it judges, did not, unless the noise is unknown."""
    matched = match(base.seeds(task), head.seeds(task))
    if Verdict(other.verdict) not in JUDGED or matched.noise is Noise.UNKNOWN:
        return []
    measured = {(metric.name, metric.on) for metric in other.metrics}
    seeds = {None, *matched.base}
    gone = {(m.name, m.on): None for m in one.metrics if m.gate and m.seed in seeds and (m.name, m.on) not in measured}
    return [f"{label(Name(task, one.check, name, on or ''))} was measured in BASE only" for name, on in gone]


def _passed(task: str, one: CheckResult, other: CheckResult, base: Run) -> bool:
    """Whether BASE was a PASS, or, where the gates differ, is one by HEAD's."""
    if _same_gates(one, other):
        return one.verdict == Verdict.PASS
    gates = {m.name: Gate.parse(m.gate) for m in other.metrics if m.gate}
    found = worst(gates[m.name].judge(estimate_of(m)) for m in one.metrics if m.name in gates)
    reached = all(circuit.reached for circuit in base.circuits(task).values())
    return found is Verdict.PASS and reached and Verdict(one.verdict) in JUDGED


def _fails_again(task: str, other: CheckResult, base: Run, head: Run) -> bool:
    """Whether what fails in HEAD has its pair in BASE, on the same prompts: a circuit's seed, else all of its seeds."""
    if not base.has_prompts_of(head, task):
        return False
    failing = {m.seed for m in other.metrics if m.verdict == Verdict.FAIL}
    failing |= {seed for seed, circuit in head.circuits(task).items() if not circuit.reached}
    return bool(failing & base.seeds(task)) or head.seeds(task) <= base.seeds(task)


def _same_gates(one: CheckResult, other: CheckResult) -> bool:
    """Of the metrics that both measured."""
    sides = [{m.name: m.gate for m in side.metrics} for side in (one, other)]
    return all(sides[0][name] == sides[1][name] for name in sides[0].keys() & sides[1].keys())


def _remark(task: str, one: CheckResult, other: CheckResult, base: Run, head: Run, metrics: Sequence[Compared]) -> str:
    was, now = Verdict(one.verdict), Verdict(other.verdict)
    if was is now or was not in JUDGED or now not in JUDGED:
        return ""
    if not _same_gates(one, other):
        return "its gates differ"
    if any(m.move in (Move.BETTER, Move.WORSE) for m in metrics):
        return "a gated metric moved beyond noise"
    if match(base.seeds(task), head.seeds(task)).noise is Noise.UNKNOWN:
        return "whether that is more than noise cannot be told"
    return "no gated metric moved beyond noise"
