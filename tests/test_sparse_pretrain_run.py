"""`faithcheck run` on a checkpoint of the sparse_pretrain format, from its files to its verdicts."""

import json
import re

import pytest
import torch
import torch.nn.functional as F
from faithcheck_circuits.plain.model import PlainTransformer
from faithcheck_circuits.published.checkpoint import config_and_tensors
from faithcheck_circuits.published.naming import renamed
from faithcheck_circuits.published.settings import read_settings
from fake_models import FEW_WORDS, write_task
from small_models import Words
from sparse_pretrain_files import EIGHT, TOPK, config_of, state_of, word_tokenizer, write

from faithcheck.cli import main
from faithcheck.prompts import encode

PLACES = {
    "the weight-sparse transformer": EIGHT,
    "the plain transformer": f"{EIGHT},resid_pre,resid_mid",
}
WORDS = [word for word in FEW_WORDS if word != "pad"]
CHECKS = "sufficiency, nonsense_control, random_weights, attention_agreement, node_roles, generalization, layernorm"


def checkpoint(folder, places, task):
    """The folder of a model that was trained on the task for a second; it carries no tokenizer."""
    config = config_of()
    config["model_config"] |= {"vocab_size": 1 + len(WORDS), "d_model": 32}
    config["sparsity_config"] |= {**TOPK, "activation_sparsity_locations": places}
    state = state_of(config)
    form, _ = config_and_tensors(write(folder, config, state))
    tokenizer, settings = Words(["[UNK]", *WORDS]), read_settings(folder)
    splits = [encode(task, split, tokenizer) for split in ("train", "validation", "test")]
    leaves = [value.requires_grad_() for value in state.values()]
    optimizer = torch.optim.Adam(leaves, lr=0.02)
    for step in range(120):
        prompts = splits[step % 3]
        model = PlainTransformer("in training", form, renamed(settings.model, form, state), tokenizer)
        loss = F.cross_entropy(model.run(prompts.tokens, positions=prompts.positions).logits[0], prompts.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return write(folder, config, {name: value.detach() for name, value in state.items()}, "model.safetensors")


@pytest.fixture(scope="module", params=PLACES)
def made(request, tmp_path_factory):
    """A task file, and a checkpoint of a form that runs as the parameter says."""
    folder = tmp_path_factory.mktemp("made")
    task = write_task(folder)
    return folder / "toy.yaml", checkpoint(folder / "ckpt", PLACES[request.param], task)


def run(model, task, method, folder):
    """The exit code and the result (None where there is none) of a suite of one seed."""
    suite = folder / "suite.yaml"
    suite.write_text(
        f"faithcheck: 1\nmodel: stories-tiny\ntasks: [{task}]\nmethod: {method}\nseeds: 1\n"
        f"target_loss: 0.5\nchecks: [{CHECKS}]\n"
    )
    code = main(["run", str(suite), "--model", f"sparse_pretrain:{model}", "--out", str(folder / "out")])
    result = folder / "out" / "result.json"
    return code, json.loads(result.read_text()) if result.exists() else None


METHODS = {"random": False, "{name: sparse_prune, steps: 40, batch: 16, lr: 0.05, sweep: [1.0]}": True}
"""Whether their circuits reach the target loss."""


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_from_a_checkpoint_to_a_verdict_of_every_check(made, method, tmp_path):
    task, model = made
    word_tokenizer(WORDS).save(str(model / "tokenizer.json"))
    code, result = run(model, task, method, tmp_path)
    verdicts = {check["check"]: check["verdict"] for check in result["checks"]}
    assert code in (0, 1, 4)
    assert result["model"]["name"] == "sparse_pretrain:ckpt"
    assert list(verdicts) == CHECKS.split(", ")
    assert "ERROR" not in verdicts.values()
    assert set(verdicts.values()) != {"NOT_APPLICABLE"}
    assert result["circuits"][0]["reached"] == METHODS[method]
    assert result["circuits"][0]["edges"] > 0


def test_a_checkpoint_without_a_tokenizer_runs_on_a_task_of_token_ids(made, tmp_path):
    task, model = made
    (model / "tokenizer.json").unlink(missing_ok=True)
    ids = tmp_path / "ids.yaml"
    word = re.compile(rf"(?<=[\[ ])({'|'.join(WORDS)})(?=[,\]}}])")
    ids.write_text(word.sub(lambda found: f"'{1 + WORDS.index(found[0])}'", task.read_text()))
    code, result = run(model, ids, "full", tmp_path)
    assert code in (0, 1, 4)
    assert "ERROR" not in {check["verdict"] for check in result["checks"]}
    assert result["circuits"][0]["reached"]


def test_a_task_of_words_is_refused_where_the_checkpoint_carries_no_tokenizer(made, tmp_path, capsys):
    task, model = made
    (model / "tokenizer.json").unlink(missing_ok=True)
    assert run(model, task, "full", tmp_path) == (2, None)
    said = " ".join(capsys.readouterr().err.split())
    assert "'f0' is no token id: the checkpoint carries no tokenizer" in said
