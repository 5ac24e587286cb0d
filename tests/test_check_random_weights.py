"""random_weights: sizes written down as trials, shuffles that are scripted, and runs of methods known beforehand."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from fake_models import (
    SIGN,
    Readout,
    answers_only,
    bench_of,
    method_finding,
    metric_of,
    pronoun,
    table,
    write_task,
)

from faithcheck import load_model, load_task
from faithcheck.check import Control, Measurement, Trial
from faithcheck.checks.random_weights import RandomWeights
from faithcheck.circuit import Circuit
from faithcheck.cli import main
from faithcheck.cutting import Cut
from faithcheck.losses import prompt_losses
from faithcheck.prompts import encode
from faithcheck.verdict import Verdict

CHECK = RandomWeights()


def readout(*amplitudes, fingerprint, base=None):
    """A model whose neurons move the logit difference of the right answer by the amplitudes."""
    node = (SIGN, table({}, 1.0))
    model = Readout(
        [node] * len(amplitudes), [pronoun(a) for a in amplitudes], answers_only() if base is None else base
    )
    model.fingerprint = fingerprint
    return model


def in_two_steps():
    """One neuron of two meets a binary target loss of 0.15, only both meet a full one."""
    node = (SIGN, table({}, 1.0)), (table({}, 1.0), table({}, 1.0))
    model = Readout(node, [pronoun(6.0), {"she": 9.0, "he": 9.0}], answers_only(when=3.0))
    model.fingerprint = "own"
    return model


def shuffling(amplitude=6.0, shuffles=lambda seed: (0.0,), base=None):
    """A model that does the task by `amplitude`; its shuffle of a seed has the amplitudes that `shuffles` gives."""
    model = readout(amplitude, fingerprint="own", base=base)
    model.shuffled = lambda seed: readout(*shuffles(seed), fingerprint=f"shuffled {seed}")
    return model


def bench(tmp_path, model=None, **options):
    return bench_of(shuffling() if model is None else model, write_task(tmp_path), **options)


def cut(size, reached=True):
    return Cut(Circuit({"0.mlp_neuron": torch.ones(size, dtype=torch.bool)}), 0.1, reached, ((size, 0.1),))


def trials(shuffled, task=10, out_of_reach=True):
    """One trial a seed; None: not reached."""
    return [
        Trial(
            Control(seed, model=shuffling()),
            cut(task or 40, task is not None),
            cut(90 if size is None else size, size is not None),
            out_of_reach,
        )
        for seed, size in enumerate(shuffled)
    ]


@pytest.fixture
def home(tmp_path):
    return bench(tmp_path)


def judged(home, *args, **options):
    return method_finding(CHECK, CHECK.measure(home, trials(*args, **options)))


class TestSizeRatio:
    def test_it_is_the_geometric_mean_over_seeds_with_a_t_interval(self, home):
        # Ratios 10 20 10 20 10 20: mean log = log(10 sqrt 2); sd = log(2) / 2 x sqrt(6/5); t(5, 97.5 %) = 2.5706.
        ratio = metric_of(CHECK.measure(home, trials([100, 200] * 3)), "size_ratio")
        half = 2.5706 * math.log(2) / 2 * math.sqrt(6 / 5) / math.sqrt(6)
        assert ratio.value == pytest.approx(10 * math.sqrt(2))
        assert ratio.low == pytest.approx(10 * math.sqrt(2) * math.exp(-half), rel=1e-4)
        assert ratio.high == pytest.approx(10 * math.sqrt(2) * math.exp(half), rel=1e-4)

    def test_a_method_that_finds_circuits_in_shuffled_weights_fails(self, home):
        finding = judged(home, [30, 32, 28, 31, 29, 30])
        assert finding.verdict is Verdict.FAIL
        assert finding.reason.startswith(
            "the method also finds circuits in a model with shuffled weights, with only 3 times as many nodes: "
            "the mask, not the model, does the work"
        )

    def test_a_method_that_needs_far_more_nodes_there_passes(self, home):
        finding = judged(home, [200, 220, 180, 210, 190, 200])
        assert finding.verdict is Verdict.PASS
        assert "in a model with shuffled weights the method needs 20 times as many nodes" in finding.reason

    def test_shuffles_out_of_reach_count_as_infinite(self, home):
        finding = judged(home, [None] * 6)
        ratio = finding.metrics[0].metric.estimate
        assert (ratio.low, ratio.value, ratio.high) == (math.inf, math.inf, math.inf)
        assert finding.verdict is Verdict.PASS
        assert "in a model with shuffled weights the method finds no circuit" in finding.reason

    def test_missed_shuffles_whose_loss_had_not_flattened_decide_nothing(self, home):
        finding = judged(home, [None] * 6, out_of_reach=False)
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason.startswith(
            "6 extractions from shuffled weights missed the target loss without the method"
        )
        assert "size_ratio" not in {judged.metric.name for judged in finding.metrics}

    def test_a_single_undecided_shuffle_leaves_the_check_open(self, home):
        pairs = [*trials([200] * 6), trials([None] * 7, out_of_reach=False)[6]]
        finding = method_finding(CHECK, CHECK.measure(home, pairs))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason.startswith("1 extractions from shuffled weights missed")
        assert finding.metrics[0].metric.estimate.n == 6

    def test_a_shuffle_that_needs_no_node_at_all_is_the_worst_there_is(self, home):
        # Six values of -inf: the median and its order statistics are all a ratio of 0.
        finding = judged(home, [0] * 6)
        ratio = finding.metrics[0].metric.estimate
        assert (ratio.low, ratio.value, ratio.high) == (0, 0, 0)
        assert finding.verdict is Verdict.FAIL

    def test_one_of_no_node_beside_others_out_of_reach_leaves_the_check_open(self, home):
        finding = judged(home, [0, None, None, None, None, None])
        ratio = finding.metrics[0].metric.estimate
        assert (ratio.low, ratio.value) == (0, math.inf)
        assert finding.verdict is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize("size", [200, None])
    def test_fewer_than_six_seeds_do_not_pass(self, home, size):
        finding = judged(home, [size] * 5)
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert re.search("needs at least 6 seeds( to pass)?, had 5", finding.reason)

    def test_fewer_than_six_seeds_can_fail(self, home):
        assert judged(home, [12, 12, 13, 12]).verdict is Verdict.FAIL

    def test_where_no_seed_found_a_circuit_of_the_task_there_is_nothing_to_compare(self, home):
        finding = judged(home, [20] * 6, task=None)
        assert finding.verdict is Verdict.NOT_APPLICABLE
        assert finding.reason == "the method found no circuit for the task itself"

    @pytest.mark.parametrize("real", [cut(40, False), cut(0)], ids=["not reached", "of no node"])
    def test_where_one_seed_found_none_of_the_task_the_check_is_open(self, home, real):
        pairs = trials([200] * 7)
        pairs[2] = replace(pairs[2], real=real)
        finding = method_finding(CHECK, CHECK.measure(home, pairs))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason.startswith("1 seeds found no circuit for the task itself")
        assert finding.metrics[0].metric.estimate.n == 6

    def test_sizes_and_curves_are_kept_by_seed_and_missed_sizes_have_no_number(self, home):
        measurement = CHECK.measure(home, trials([30, None]))
        sizes = {(m.name, m.seed): m.estimate and m.estimate.value for m in measurement.metrics[1:]}
        assert sizes == {
            ("task_size", 0): 10, ("shuffled_size", 0): 30, ("task_size", 1): 10, ("shuffled_size", 1): None,
        }  # fmt: skip
        curves = {name: curve.tolist() for name, curve in measurement.evidence.items()}
        assert curves == {
            "0/task": [[10, 0.1]], "0/shuffled": [[30, 0.1]], "1/task": [[10, 0.1]], "1/shuffled": [[90, 0.1]],
        }  # fmt: skip


class TestControls:
    def test_there_is_one_shuffle_a_seed_under_the_tasks_own_labels(self, home):
        controls = CHECK.controls(home, [4, 7])
        assert [(c.seed, c.answers, c.model.fingerprint) for c in controls] == [
            (4, None, "shuffled 4"),
            (7, None, "shuffled 7"),
        ]

    def test_a_model_that_cannot_be_shuffled_is_not_applicable(self, tmp_path):
        found = CHECK.controls(bench(tmp_path, readout(6.0, fingerprint="own")), range(6))
        assert found == Measurement(not_applicable="scripted offers no shuffled weights")

    def test_where_the_models_own_cross_entropy_misses_the_target_the_check_does_not_apply(self, tmp_path):
        # Difference 1: loss softplus(-1) = 0.313 > 0.15.
        found = CHECK.controls(bench(tmp_path, shuffling(amplitude=1.0)), range(6))
        assert found.not_applicable.startswith(
            "the model's cross-entropy over the whole vocabulary on this task is 0.313 nats, above the target of 0.15"
        )

    def test_it_is_the_full_cross_entropy_that_counts_where_the_task_uses_the_binary_one(self, tmp_path):
        # "when" has the answer's own logit: full loss ln 2 and more, binary softplus(-6).
        home = bench(tmp_path, shuffling(base=answers_only(when=3.0)), loss="binary")
        assert home.model_loss() < 0.15
        assert "whole vocabulary on this task is 0.69" in CHECK.controls(home, range(6)).not_applicable

    def test_a_shuffle_that_happens_to_do_the_task_is_no_control(self, tmp_path):
        # By seed 3 the difference is 5: loss softplus(-5) = 0.0067.
        home = bench(tmp_path, shuffling(shuffles=lambda seed: (5.0 if seed == 3 else 0.0,)))
        found = CHECK.controls(home, range(6))
        assert found.not_applicable == (
            "the model still does the task with its weights shuffled by seed 3: its loss is then 0.00672 nats, "
            "the target is 0.15"
        )
        assert len(CHECK.controls(home, range(3))) == 3

    @pytest.mark.parametrize(("amplitude", "applies"), [(1.80, True), (1.84, False)])
    def test_it_does_the_task_where_its_loss_meets_the_target(self, tmp_path, amplitude, applies):
        # softplus(-x) = 0.15 at x = -ln(e^0.15 - 1) = 1.821.
        found = CHECK.controls(bench(tmp_path, shuffling(shuffles=lambda seed: (amplitude,))), [0])
        assert isinstance(found, Measurement) is not applies

    def test_a_shuffle_that_only_prefers_the_right_answer_to_the_wrong_one_is_a_control(self, tmp_path):
        # "when" has the answer's own logit, as above.
        model = shuffling()
        model.shuffled = lambda seed: readout(6.0, fingerprint="other", base=answers_only(when=3.0))
        assert len(CHECK.controls(bench(tmp_path, model), range(6))) == 6

    def test_a_shuffle_with_the_fingerprint_of_the_model_is_an_error_of_the_model(self, tmp_path):
        model = shuffling()
        model.shuffled = lambda seed: readout(0.0, fingerprint="own")
        with pytest.raises(ValueError, match="fingerprint"):
            CHECK.controls(bench(tmp_path, model), [0])


SUITE = """\
faithcheck: 1
model: {model}
tasks: [{task}]
method: {method}
seeds: {seeds}
target_loss: 0.15
norms: {norms}
loss: {loss}
checks: [random_weights]
"""
PLUGINS = """
import test_check_random_weights as here
import torch
from faithcheck import NodeScores
from faithcheck.circuit import Convergence
from faithcheck.errors import NotSupported

SEEN = []


def cancelling(device):
    # Shuffled, the two neurons cancel: the model does nothing, its first neuron alone does the task.
    return here.shuffling(shuffles=lambda seed: (6.0, -6.0))


def beyond_reach(device):
    return here.shuffling()


def in_two_steps(device):
    # The first neuron prefers the right answer to the wrong one, the second lifts both above the word "when".
    model = here.in_two_steps()
    model.shuffled = lambda seed: here.readout(0.0, fingerprint=f"shuffled {seed}")
    return model


def unwilling(device):
    model = here.shuffling()

    def shuffled(seed):
        raise NotSupported("these weights are not to be shuffled")

    model.shuffled = shuffled
    return model


class InOrder:
    # Keeps nodes in the order that the model has them in, and says that what it did not reach is out of reach.
    name = "in order"

    def extract(self, problem):
        SEEN.append(problem)
        scores = {name: torch.arange(site.size, 0, -1).double() for name, site in problem.model.sites.items()}
        return NodeScores(scores, Convergence(1.0, 1, flattened=True))


class Alters(InOrder):
    def extract(self, problem):
        if problem.model.fingerprint != "own":
            problem.model.write[0] *= 0
        return super().extract(problem)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs random_weights; its exit code, the entry of result.json, the folder, and the problems that plugins saw."""
    (tmp_path / "plugins.py").write_text(PLUGINS)
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)

    def of(model, method, *, task="toy.yaml", seeds=6, norms="live", loss="full"):
        from faithcheck import plugins

        seen = plugins.load("methods", "plugins.py:SEEN", tmp_path)
        seen.clear()
        suite = tmp_path / "mine.yaml"
        suite.write_text(SUITE.format(model=model, method=method, task=task, seeds=seeds, norms=norms, loss=loss))
        code = main(["run", str(suite), "--out", "out"])
        [found] = [c for c in json.loads((tmp_path / "out" / "result.json").read_text())["checks"] if
                   c["check"] == "random_weights"]  # fmt: skip
        return code, found, tmp_path / "out", list(seen)

    return of


def sizes(found):
    return {(m["name"], m["seed"]): m["estimate"] for m in found["metrics"] if m["name"] != "size_ratio"}


class TestRuns:
    def test_a_mask_that_does_the_work_in_shuffled_weights_fails(self, run):
        _, found, _, _ = run("plugins.py:cancelling", "plugins.py:InOrder")
        assert (found["verdict"], set(sizes(found).values())) == ("FAIL", {1})
        [ratio] = [m for m in found["metrics"] if m["name"] == "size_ratio"]
        assert (ratio["low"], ratio["estimate"], ratio["high"]) == (1, 1, 1)

    @pytest.mark.parametrize(("seeds", "verdict"), [(6, "PASS"), (5, "INCONCLUSIVE")])
    def test_a_method_that_reports_shuffled_weights_as_out_of_reach_passes_with_six_seeds(self, run, seeds, verdict):
        _, found, _, _ = run("plugins.py:beyond_reach", "plugins.py:InOrder", seeds=seeds)
        assert found["verdict"] == verdict
        assert sizes(found) == {
            **{("task_size", seed): 1 for seed in range(seeds)},
            **{("shuffled_size", seed): None for seed in range(seeds)},
        }

    @pytest.mark.parametrize("method", ["full", "{name: random, fraction: 1.0}"])
    def test_keeping_every_node_finds_the_model_alone_but_says_nothing_of_the_shuffle(self, run, method):
        _, found, _, _ = run("stories-tiny", method, task="pronoun")
        assert found["verdict"] == "INCONCLUSIVE"
        assert found["reason"].startswith("6 extractions from shuffled weights missed the target loss without")
        assert {size for (name, _), size in sizes(found).items() if name == "task_size"} == {1408}
        assert {size for (name, _), size in sizes(found).items() if name == "shuffled_size"} == {None}

    def test_random_nodes_are_no_circuit_of_the_task_to_compare_with(self, run):
        _, found, _, _ = run("stories-tiny", "{name: random, fraction: 0.02}", task="pronoun", seeds=2)
        assert (found["verdict"], found["reason"]) == (
            "NOT_APPLICABLE", "the method found no circuit for the task itself",
        )  # fmt: skip

    def test_a_model_that_refuses_to_be_shuffled_is_not_applicable(self, run):
        _, found, _, _ = run("plugins.py:unwilling", "plugins.py:InOrder", seeds=1)
        assert (found["verdict"], found["reason"]) == ("NOT_APPLICABLE", "these weights are not to be shuffled")

    def test_a_method_that_changes_the_shuffled_model_is_an_error(self, run):
        code, found, _, _ = run("plugins.py:cancelling", "plugins.py:Alters", seeds=1)
        assert (code, found["verdict"]) == (3, "ERROR")
        assert "the method changed the model of a control that it was given" in found["reason"]

    def test_the_method_sees_the_task_on_the_shuffled_model_and_the_full_cross_entropy(self, run):
        """A task with the binary loss: its own extraction uses that, those that are compared do not."""
        _, _, _, seen = run("plugins.py:cancelling", "plugins.py:InOrder", seeds=2, loss="binary", norms="frozen")
        assert [(p.seed, p.model.fingerprint, p.loss, p.norms) for p in seen] == [
            (seed, *rest)
            for seed in (0, 1)
            for rest in (("own", "binary", "frozen"), ("own", "full", "frozen"), (f"shuffled {seed}", "full", "frozen"))
        ]
        for p in seen:
            assert torch.equal(p.prompts.targets, seen[0].prompts.targets)
            assert p.prompts.texts == seen[0].prompts.texts

    def test_the_size_on_the_task_is_that_under_the_full_cross_entropy(self, run):
        _, found, out, _ = run("plugins.py:in_two_steps", "plugins.py:InOrder", seeds=1, loss="binary")
        assert sizes(found) == {("task_size", 0): 2, ("shuffled_size", 0): None}
        [circuit] = json.loads((out / "result.json").read_text())["circuits"]
        assert circuit["size"] == 1

    @pytest.mark.parametrize("norms", ["live", "frozen"])
    def test_a_shuffled_model_is_cut_under_its_own_norm_scales(self, run, norms):
        """Frozen to its own scales the whole model is itself; frozen to the task's model's it is another."""
        from safetensors.torch import load_file

        _, found, out, _ = run("stories-tiny", "full", task="pronoun", seeds=1, norms=norms)
        curve = load_file(out / found["evidence"]["file"])["0/shuffled"]
        model = load_model("stories-tiny").shuffled(0)
        prompts = encode(load_task("pronoun"), "validation", model.tokenizer)
        logits = model.run(prompts.tokens, positions=prompts.positions).logits
        loss = float(prompt_losses(logits, prompts.targets, prompts.distractors, "full").mean())
        assert curve.tolist() == [[1408, pytest.approx(loss, rel=1e-5)]]
