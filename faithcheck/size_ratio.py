"""How many times as many nodes a method needs on its controls as on the task: what checks of a method share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from faithcheck.check import Control, Measurement, Metric, Trial
from faithcheck.verdict import Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.bench import Bench


class SizeRatio:
    """A check whose gate is on nodes for a control / nodes for the task; what the controls are is the subclass's.

    `control` names their metric and evidence. Of the sentences, `extractions` is the subject ("6 nonsense extractions
    missed the target"), `where` says where the method looked ("for arbitrary labels"), and `moral` what it means that
    it found circuits there.
    """

    scope: ClassVar[str] = "method"
    gates: ClassVar[Mapping[str, str]] = {"size_ratio": ">= 10"}
    name: ClassVar[str]
    question: ClassVar[str]
    control: ClassVar[str]
    extractions: ClassVar[str]
    where: ClassVar[str]
    moral: ClassVar[str]

    def draw(self, bench: Bench, seeds: Sequence[int]) -> Sequence[Control] | Measurement:
        """One control a seed; or a Measurement that says why there are none."""
        raise NotImplementedError

    def controls(self, bench: Bench, seeds: Sequence[int]) -> Sequence[Control] | Measurement:
        loss = bench.model_loss(kind="full")
        if not loss <= bench.target_loss:
            return Measurement(
                not_applicable=f"the model's cross-entropy over the whole vocabulary on this task is {loss:.3g} nats, "
                f"above the target of {bench.target_loss:g}"
            )
        return self.draw(bench, seeds)

    def measure(self, bench: Bench, trials: Sequence[Trial]) -> Measurement:
        from faithcheck.intervals import ratio_over_seeds

        sizes, evidence = [metric for trial in trials for metric in self._sizes(trial)], self._evidence(trials)
        found = [trial for trial in trials if trial.real.reached and trial.real.size]
        if not found:
            return Measurement(sizes, evidence, not_applicable="the method found no circuit for the task itself")
        logs = [_log_ratio(trial) for trial in found if _is_decided(trial)]
        ratio = [Metric("size_ratio", ratio_over_seeds(logs), noun="seeds")] if logs else []
        open_seeds = sum(not _is_decided(trial) for trial in trials)
        return Measurement([*ratio, *sizes], evidence, undecided=self._undecided(len(trials) - len(found), open_seeds))

    def sentence(self, metric: Metric, verdict: Verdict) -> str:
        assert metric.estimate is not None
        ratio = metric.estimate.value
        if verdict is Verdict.FAIL:
            start = f"the method also finds circuits {self.where}, with only {ratio:.2g} times as many nodes"
            return f"{start}: {self.moral}"
        if ratio == float("inf"):
            return f"{self.where} the method finds no circuit"
        return f"{self.where} the method needs {ratio:.2g} times as many nodes"

    def _sizes(self, trial: Trial) -> Iterator[Metric]:
        from faithcheck.estimate import Estimate

        for name, cut in (("task", trial.real), (self.control, trial.contrast)):
            size = Estimate.exact(cut.size, 1) if cut.reached else None
            yield Metric(f"{name}_size", size, trial.control.seed, noun="nodes")

    def _evidence(self, trials: Sequence[Trial]) -> dict[str, Tensor]:
        """Loss over size, float[size, 2], on the task and on the control of every seed."""
        import torch

        return {
            f"{trial.control.seed}/{name}": torch.tensor(cut.curve, dtype=torch.float64)
            for trial in trials
            for name, cut in (("task", trial.real), (self.control, trial.contrast))
        }

    def _undecided(self, failed: int, open_seeds: int) -> str | None:
        if failed:
            return f"{failed} seeds found no circuit for the task itself, so there is nothing to compare them by"
        if open_seeds:
            return (
                f"{open_seeds} {self.extractions} missed the target loss without the method reporting that the loss "
                "had stopped falling: it may be out of reach, or the method may not have tried hard enough"
            )
        return None


def _is_decided(trial: Trial) -> bool:
    """Whether the control was reached, or the method reported that it cannot be."""
    return trial.contrast.reached or trial.out_of_reach


def _log_ratio(trial: Trial) -> float:
    """log (nodes on the control / nodes on the task); +inf where no size was enough, -inf where none was needed."""
    import math

    if not trial.contrast.reached:
        return math.inf
    return math.log(trial.contrast.size / trial.real.size) if trial.contrast.size else -math.inf
