"""`faithcheck train`: a recipe becomes weights and a card."""

from __future__ import annotations

import json
import re

import pytest
import torch

from faithcheck import load_model
from faithcheck.cli import main

RECIPE = """\
faithcheck_train: 1
trainer: stories
name: mini
d_model: 32
layers: 1
share: 0.25
steps: 20
batch: 8
context: 16
corpus_tokens: 5000
tasks: [pronoun]
"""


def train(folder, text=RECIPE):
    """The exit code, and where the files are to be."""
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(text)
    return main(["train", str(folder / "recipe.yaml"), "--out", str(folder / "out")]), folder / "out"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a trained model, twice."""
    done = [train(tmp_path_factory.mktemp("trained")) for _ in range(2)]
    assert [code for code, _ in done] == [0, 0]
    return [out for _, out in done]


def model_in(out):
    return load_model(f"stories:{out / 'mini.safetensors'}")


def test_training_writes_weights_and_a_card_and_nothing_else(trained):
    assert sorted(path.name for path in trained[0].iterdir()) == ["mini.md", "mini.safetensors"]


def test_the_weights_load_as_the_model_of_the_recipe(trained):
    model = model_in(trained[0])
    assert (model.name, model.config.d_model, model.config.layers) == ("mini", 32, 1)
    assert 0.2 < float((model.network.tensors["0.mlp_neuron.weight"] != 0).float().mean()) < 0.3


def test_the_card_has_the_fingerprint_of_the_weights_as_they_are_loaded(trained):
    assert f"`{model_in(trained[0]).fingerprint}`" in (trained[0] / "mini.md").read_text()


def test_the_card_tells_the_recipe_and_every_split_of_the_tasks(trained):
    card = (trained[0] / "mini.md").read_text()
    assert "| steps | 20 |" in card
    assert "| share | 0.25 |" in card
    assert re.findall(r"^\| pronoun, (\w+) ", card, re.MULTILINE) == ["train", "validation", "test", "unseen_names"]


def test_training_twice_gives_the_same_model(trained):
    one, two = map(model_in, trained)
    assert one.fingerprint == two.fingerprint


def test_training_twice_gives_the_same_bytes(trained):
    one, two = ((out / "mini.safetensors").read_bytes() for out in trained)
    assert one == two


def test_another_seed_gives_another_model(trained, tmp_path):
    _, out = train(tmp_path / "other", RECIPE.replace("name: mini", "name: mini\nseed: 1").replace("20", "2"))
    assert model_in(out).fingerprint != model_in(trained[0]).fingerprint


def test_a_trained_model_runs_in_a_suite(trained, tmp_path):
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "faithcheck: 1\nmodel: stories-tiny\ntasks: [pronoun]\nmethod: full\nseeds: 1\n"
        "target_loss: 6.5\nchecks: [layernorm]\n"
    )
    # Its loss is 5.6, without any node 6.66. Keeping every node is no small circuit.
    file = trained[0] / "mini.safetensors"
    assert main(["run", str(suite), "--model", f"stories:{file}", "--out", str(tmp_path / "out")]) == 1
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["model"]["fingerprint"] == model_in(trained[0]).fingerprint
    assert {check["check"]: check["verdict"] for check in result["checks"]} == {
        "sufficiency": "FAIL",
        "layernorm": "PASS",
    }


BAD = {
    "misspelt setting": ("steps", "stepz", 7, "did you mean 'steps'?"),
    "setting out of range": ("steps: 20", "steps: -1", 7, "more than 0"),
    "share over one": ("share: 0.25", "share: 2", 6, "1 or less"),
    "text for a number": ("d_model: 32", "d_model: wide", 4, "wide"),
    "no name": ("name: mini\n", "", 1, "name: missing"),
    "no trainer": ("trainer: stories\n", "", 1, "trainer: NAME"),
    "unknown trainer": ("trainer: stories", "trainer: storeis", 2, "did you mean 'stories'?"),
    "no version": ("faithcheck_train: 1\n", "", 1, "faithcheck_train: 1"),
    "another version": ("faithcheck_train: 1", "faithcheck_train: 2", 1, "faithcheck_train: 1"),
    "setting twice": ("steps: 20", "steps: 20\nsteps: 30", 8, "steps"),
    "broken syntax": ("[pronoun]", "[pronoun", 12, "expected"),
    "heads that do not fit": ("d_model: 32", "d_model: 33", 4, "multiple of d_head"),
    "unknown task": ("[pronoun]", "[pronuon]", 11, "did you mean 'pronoun'?"),
    "context longer than the corpus": ("context: 16", "context: 60000", 9, "context"),
    "name that leaves the folder": ("name: mini", "name: ../mini", 3, "name"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_recipe_is_refused_where_it_is_wrong_before_training(tmp_path, capsys, case):
    old, new, line, fragment = BAD[case]
    code, out = train(tmp_path, RECIPE.replace(old, new))
    error = capsys.readouterr().err.strip()
    assert code == 2
    assert f"recipe.yaml:{line}:" in error
    assert fragment in error
    assert len(error.splitlines()) <= 2
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_recipe_that_is_missing_is_refused_by_name(tmp_path, capsys):
    assert main(["train", str(tmp_path / "gone.yaml")]) == 2
    assert "gone.yaml: no such file" in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_is_refused_by_name(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    code, out = train(tmp_path, RECIPE.replace("steps: 20", "steps: 1"))
    assert code == 2
    assert str(out) in capsys.readouterr().err


def test_training_leaves_the_random_state_of_torch_alone(tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert train(tmp_path, RECIPE.replace("steps: 20", "steps: 1"))[0] == 0
    assert torch.equal(before, torch.get_rng_state())
