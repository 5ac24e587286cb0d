"""Methods and checks that misbehave, each in its own way; a suite names them as `path/to/stub_plugins.py:NAME`."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch

from faithcheck import NodeScores
from faithcheck.check import Measurement, Metric
from faithcheck.estimate import Estimate

HERE = Path(__spec__.origin).resolve()


def scores(problem, value=1.0):
    return {name: torch.full((site.size,), value) for name, site in problem.model.sites.items()}


class Everything:
    name = "everything"

    def extract(self, problem):
        return NodeScores(scores(problem))


class Raises(Everything):
    def extract(self, problem):
        raise ValueError("no luck\nsecond line")


class TakesAllMemory(Everything):
    def extract(self, problem):
        torch.empty(1 << 60)


class SaysItsMemory(Everything):
    def extract(self, problem):
        raise ValueError(f"{problem.budget.memory} bytes")


class Exits(Everything):
    def extract(self, problem):
        sys.exit(0)


class Odd(BaseException):
    """No Exception, and it cannot say what it is."""

    def __str__(self):
        raise ValueError("no words")


class RaisesWhatIsNoException(Everything):
    def extract(self, problem):
        raise Odd


class InterruptsItself(Everything):
    def extract(self, problem):
        raise KeyboardInterrupt


class Dies(Everything):
    def extract(self, problem):
        os._exit(0)


class Recurses(Everything):
    def extract(self, problem):
        return self.extract(problem)


class LeavesTheFolder(Everything):
    def extract(self, problem):
        os.chdir("/")
        return super().extract(problem)


class ForgetsVariables(Everything):
    def extract(self, problem):
        problem.prompts.variables.clear()
        return super().extract(problem)


class ChangesMeans(Everything):
    def extract(self, problem):
        problem.ablation.means["0.attn_q"].add_(1)
        return super().extract(problem)


class ComplexScores(Everything):
    def extract(self, problem):
        return NodeScores({name: row * 1j for name, row in scores(problem).items()})


class ScoresInLists(Everything):
    def extract(self, problem):
        return NodeScores({name: row.tolist() for name, row in scores(problem).items()})


class WrongSites(Everything):
    def extract(self, problem):
        return NodeScores({"9.nowhere": torch.ones(3)})


class WrongSizes(Everything):
    def extract(self, problem):
        return NodeScores({name: torch.ones(3) for name in problem.model.sites})


class NotANumber(Everything):
    def extract(self, problem):
        return NodeScores(scores(problem, float("nan")))


class Nothing(Everything):
    def extract(self, problem):
        return None


class TooFew(Everything):
    def extract_many(self, problems):
        return []


class Alters(Everything):
    def extract(self, problem):
        problem.model.network.tensors["0.mlp_neuron.weight"][0] += 1
        return super().extract(problem)


class EditsPrompts(Everything):
    """In place, as who makes counterfactual prompts may."""

    def extract(self, problem):
        problem.prompts.tokens[:, 0] += 1
        return super().extract(problem)


class EditsSites(Everything):
    """Its circuits would be of the other sites only."""

    def extract(self, problem):
        found = super().extract(problem)
        problem.model.sites.pop("1.mlp_out", None)
        return found


class AltersAndRaises(Everything):
    def extract(self, problem):
        problem.model.network.tensors["0.mlp_neuron.weight"][0] += 1
        raise ValueError("after the damage")


class OneBadSeed(Everything):
    """Takes all seeds at once; the scores of seed 1 are no numbers."""

    def extract_many(self, problems):
        return [NodeScores(scores(p, float("nan") if p.seed == 1 else 1.0)) for p in problems]


class NoExtract:
    name = "no extract"


class HatesPronouns(Everything):
    def extract(self, problem):
        if problem.prompts.texts[0].endswith(","):
            raise ValueError("not these prompts")
        return super().extract(problem)


class HangsOnPronouns(Everything):
    """And holds every exception."""

    def extract(self, problem):
        while problem.prompts.texts[0].endswith(","):
            try:
                time.sleep(0.01)
            except Exception:
                continue
        return super().extract(problem)


class CannotBeBuilt(Everything):
    def __init__(self):
        raise RuntimeError("no licence\nsecond line")


class BadCheck:
    name = "bad_check"
    scope = "circuit"
    question = "does it crash?"
    gates: ClassVar = {"number": "<= 1"}

    def measure(self, subject):
        raise KeyError("gone")

    def sentence(self, metric, verdict):
        return "a sentence"


class InterruptingCheck(BadCheck):
    def measure(self, subject):
        raise KeyboardInterrupt


class DyingCheck(BadCheck):
    def measure(self, subject):
        os._exit(0)


class OddCheck(BadCheck):
    def measure(self, subject):
        raise Odd


class HangingCheck(BadCheck):
    def measure(self, subject):
        while True:
            time.sleep(0.01)


class BadControls(BadCheck):
    scope = "method"

    def controls(self, bench, seeds):
        raise KeyError("no controls")


class RelabelsInControls(BadControls):
    """In place, so that every circuit after would be one for the nonsense."""

    def controls(self, bench, seeds):
        bench.prompts("train").targets.fill_(0)
        return []


class HangsInControls(BadControls):
    def controls(self, bench, seeds):
        while True:
            time.sleep(0.01)


class WithoutGates(BadCheck):
    gates: ClassVar = {}

    def measure(self, subject):
        return Measurement()


class DoesNotMeasure(BadCheck):
    def measure(self, subject):
        return Measurement()


class BadSentence(BadCheck):
    def measure(self, subject):
        return Measurement([Metric("number", Estimate.exact(0, 1), subject.seed)])

    def sentence(self, metric, verdict):
        raise IndexError("no words")


class SharesMemory(BadSentence):
    def measure(self, subject):
        rows = torch.arange(4.0)
        return replace(super().measure(subject), evidence={"all": rows, "some": rows[:2]})

    def sentence(self, metric, verdict):
        return "a sentence"


class Touches(SharesMemory):
    """Measures what it should, and changes what it was lent."""

    def measure(self, subject):
        measurement = super().measure(subject)
        self.touch(subject)
        return replace(measurement, evidence={})


class TouchesModel(Touches):
    def touch(self, subject):
        subject.bench.model.network.tensors["0.mlp_neuron.weight"][0] += 1


class TouchesPrompts(Touches):
    def touch(self, subject):
        subject.bench.prompts("test").targets.fill_(0)


class TouchesVariables(Touches):
    def touch(self, subject):
        subject.bench.prompts("validation").variables.clear()


class TouchesCircuit(Touches):
    def touch(self, subject):
        subject.circuit.keep["0.attn_q"].fill_(False)


class TouchesLogits(Touches):
    def touch(self, subject):
        subject.run().logits.sub_(1)


class TouchesActivations(Touches):
    """Of the model: the run is there, for the check before has asked for it."""

    def touch(self, subject):
        subject.bench.model_run("test").captured["0.mlp_neuron"].zero_()


class TouchesFreshActivations(Touches):
    """Of a split that no check before has asked for."""

    def touch(self, subject):
        subject.bench.model_run("validation").captured["0.mlp_neuron"].zero_()


class TouchesByNumpy(Touches):
    """Which torch does not count as a change."""

    def touch(self, subject):
        logits = subject.run().logits.numpy()
        logits -= logits.max(-1, keepdims=True)


class TouchesImportance(Touches):
    def touch(self, subject):
        subject.node_importance.per_prompt[:] = 0


class TouchesScales(Touches):
    def touch(self, subject):
        for scale in subject.bench.scales("test").values():
            scale.mul_(2)


class TouchesSites(Touches):
    def touch(self, subject):
        del subject.bench.model.sites["0.attn_q"]


class TurnsGradientsOff(SharesMemory):
    """And leaves them off."""

    def measure(self, subject):
        torch.set_grad_enabled(False)
        return super().measure(subject)


class BadEvidence(SharesMemory):
    def measure(self, subject):
        return replace(super().measure(subject), evidence={"a list": [1, 2]})
