"""random_weights in whole runs, of methods whose circuits on shuffled weights are known beforehand."""

import json
import shutil

import pytest
import stub_shuffles
import torch
from fake_models import write_task
from safetensors.torch import load_file

from faithcheck import load_model, load_task, plugins
from faithcheck.cli import main
from faithcheck.losses import prompt_losses
from faithcheck.prompts import encode

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


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs random_weights; its exit code, the entry of result.json, the folder, and the problems that plugins saw."""
    shutil.copy(stub_shuffles.HERE, tmp_path / "plugins.py")
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)

    def of(model, method, *, task="toy.yaml", seeds=6, norms="live", loss="full"):
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


def test_a_mask_that_does_the_work_in_shuffled_weights_fails(run):
    _, found, _, _ = run("plugins.py:cancelling", "plugins.py:InOrder")
    assert (found["verdict"], set(sizes(found).values())) == ("FAIL", {1})
    [ratio] = [m for m in found["metrics"] if m["name"] == "size_ratio"]
    assert (ratio["low"], ratio["estimate"], ratio["high"]) == (1, 1, 1)


@pytest.mark.parametrize(("seeds", "verdict"), [(6, "PASS"), (5, "INCONCLUSIVE")])
def test_a_method_that_reports_shuffled_weights_as_out_of_reach_passes_with_six_seeds(run, seeds, verdict):
    _, found, _, _ = run("plugins.py:beyond_reach", "plugins.py:InOrder", seeds=seeds)
    assert found["verdict"] == verdict
    assert sizes(found) == {
        **{("task_size", seed): 1 for seed in range(seeds)},
        **{("shuffled_size", seed): None for seed in range(seeds)},
    }


@pytest.mark.parametrize(("model", "verdict"), [("nearly_hollow", "PASS"), ("hollow", "INCONCLUSIVE")])
def test_a_circuit_without_a_finite_loss_is_not_out_of_reach_whatever_the_method_says(run, model, verdict):
    """The two models differ only in whether what the method cut from the shuffled weights has a loss."""
    _, found, out, _ = run(f"plugins.py:{model}", "plugins.py:First")
    assert found["verdict"] == verdict
    curve = load_file(out / found["evidence"]["file"])["0/shuffled"]
    assert bool(curve.isfinite().all()) is (verdict == "PASS")
    assert {size for (name, _), size in sizes(found).items() if name == "shuffled_size"} == {None}
    if verdict == "INCONCLUSIVE":
        assert found["reason"].startswith("6 extractions from shuffled weights missed the target loss without")


def test_shuffled_weights_without_a_finite_loss_are_an_error(run):
    code, found, _, _ = run("plugins.py:not_a_number", "plugins.py:InOrder")
    assert (code, found["verdict"]) == (3, "ERROR")
    assert "ValueError: scripted with its weights shuffled by seed 0 has a loss of nan" in found["reason"]


@pytest.mark.parametrize("method", ["full", "{name: random, fraction: 1.0}"])
def test_keeping_every_node_finds_the_model_alone_but_says_nothing_of_the_shuffle(run, method):
    _, found, _, _ = run("stories-tiny", method, task="pronoun")
    assert found["verdict"] == "INCONCLUSIVE"
    assert found["reason"].startswith("6 extractions from shuffled weights missed the target loss without")
    assert {size for (name, _), size in sizes(found).items() if name == "task_size"} == {1408}
    assert {size for (name, _), size in sizes(found).items() if name == "shuffled_size"} == {None}


def test_random_nodes_are_no_circuit_of_the_task_to_compare_with(run):
    _, found, _, _ = run("stories-tiny", "{name: random, fraction: 0.02}", task="pronoun", seeds=2)
    assert (found["verdict"], found["reason"]) == (
        "NOT_APPLICABLE", "the method found no circuit for the task itself",
    )  # fmt: skip


def test_a_model_that_refuses_to_be_shuffled_is_not_applicable(run):
    _, found, _, _ = run("plugins.py:unwilling", "plugins.py:InOrder", seeds=1)
    assert (found["verdict"], found["reason"]) == ("NOT_APPLICABLE", "these weights are not to be shuffled")


def test_a_method_that_changes_the_shuffled_model_is_an_error(run):
    code, found, _, _ = run("plugins.py:cancelling", "plugins.py:Alters", seeds=1)
    assert (code, found["verdict"]) == (3, "ERROR")
    assert "the method changed the model of a control that it was given" in found["reason"]


def test_the_method_sees_the_task_on_the_shuffled_model_and_the_full_cross_entropy(run):
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


def test_the_size_on_the_task_is_that_under_the_full_cross_entropy(run):
    _, found, out, _ = run("plugins.py:in_two_steps", "plugins.py:InOrder", seeds=1, loss="binary")
    assert sizes(found) == {("task_size", 0): 2, ("shuffled_size", 0): None}
    [circuit] = json.loads((out / "result.json").read_text())["circuits"]
    assert circuit["size"] == 1


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_a_shuffled_model_is_cut_under_its_own_norm_scales(run, norms):
    """Frozen to its own scales the whole model is itself; frozen to the task's model's it is another."""
    _, found, out, _ = run("stories-tiny", "full", task="pronoun", seeds=1, norms=norms)
    curve = load_file(out / found["evidence"]["file"])["0/shuffled"]
    model = load_model("stories-tiny").shuffled(0)
    prompts = encode(load_task("pronoun"), "validation", model.tokenizer)
    logits = model.run(prompts.tokens, positions=prompts.positions).logits
    loss = float(prompt_losses(logits, prompts.targets, prompts.distractors, "full").mean())
    assert curve.tolist() == [[1408, pytest.approx(loss, rel=1e-5)]]
