"""A gate for instances of any target loss, settings around it, and what a record would say at another setting."""

from __future__ import annotations

from dataclasses import dataclass

from faithcheck.calibration.records import Record
from faithcheck.gates import Gate
from faithcheck.verdict import Verdict, worst

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Setting:
    """A gate for instances of any target loss: `op value`, or with `from_target` `op target_loss + value`."""

    op: str
    value: float
    from_target: bool = False

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Raises ValueError for text that is no gate."""
        at_zero, at_one = (Gate.parse(text, target_loss=loss) for loss in (0.0, 1.0))
        return cls(at_zero.op, at_zero.bound, at_zero.bound != at_one.bound)

    def gate(self, target_loss: float) -> Gate:
        return Gate(self.text, self.op, target_loss + self.value if self.from_target else self.value)

    @property
    def text(self) -> str:
        if not self.from_target:
            return f"{self.op} {self.value:g}"
        return f"{self.op} target_loss {'-' if self.value < 0 else '+'} {abs(self.value):g}"


def grid(default: Setting) -> list[Setting]:
    """Settings around the default, in ascending order: its margin, slack or bound from a quarter to four times it.

    A bound above 0 that an estimate must not fall below and that is below 1 is moved by its slack, 1 - bound.
    """
    if default.op == "==":
        return [default, *(Setting("<=", value) for value in (1.0, 2.0) if default.value == 0)]
    if default.op[0] == ">" and 0 < default.value < 1 and not default.from_target:
        slacks = [(1 - default.value) * factor for factor in FACTORS]
        values = [1 - slack for slack in slacks if slack < 1]
    else:
        values = [default.value * factor for factor in FACTORS]
    rounded = {float(f"{value:.6g}") for value in values} - {float(f"{default.value:.6g}")}
    return [Setting(default.op, value, default.from_target) for value in sorted(rounded | {default.value})]


def rejudge(record: Record, metric: str, setting: Setting, alone: bool = False) -> Verdict:
    """The record's verdict with the gate of one metric moved; one that the gates did not make stays.

    alone: as if the check had no other gate.
    """
    if not record.by_gates:
        return record.verdict
    gate = setting.gate(record.target_loss)
    gated = [g for g in record.gated if g.metric == metric or not alone]
    return worst(gate.judge(g.estimate) if g.metric == metric else g.verdict for g in gated)
