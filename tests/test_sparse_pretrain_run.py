"""`faithcheck run` on a checkpoint of the sparse_pretrain format, from its files to its verdicts."""

import json

import pytest
import torch
import torch.nn.functional as F
from faithcheck_circuits.plain.model import PlainTransformer
from faithcheck_circuits.published.checkpoint import config_and_tensors
from faithcheck_circuits.published.naming import renamed
from faithcheck_circuits.published.settings import read_settings
from faithcheck_circuits.published.tokenizer import read_tokenizer
from fake_models import FEW_WORDS, write_task
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
    """The folder of a model that was trained on the task for a second, and knows its words."""
    config = config_of()
    config["model_config"] |= {"vocab_size": 1 + len(WORDS), "d_model": 32}
    config["sparsity_config"] |= {**TOPK, "activation_sparsity_locations": places}
    state = state_of(config)
    write(folder, config, state)
    word_tokenizer(WORDS).save(str(folder / "tokenizer.json"))
    form, _ = config_and_tensors(folder)
    tokenizer, settings = read_tokenizer(folder, form.vocabulary), read_settings(folder)
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
    """A folder with a task and a checkpoint of a form that runs as the parameter says."""
    folder = tmp_path_factory.mktemp("made")
    return folder, checkpoint(folder / "ckpt", PLACES[request.param], write_task(folder))


METHODS = {"random": False, "{name: sparse_prune, steps: 40, batch: 16, lr: 0.05, sweep: [1.0]}": True}
"""Whether their circuits reach the target loss."""


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_from_a_checkpoint_to_a_verdict_of_every_check(made, method, tmp_path):
    folder, model = made
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"faithcheck: 1\nmodel: stories-tiny\ntasks: [{folder / 'toy.yaml'}]\nmethod: {method}\nseeds: 1\n"
        f"target_loss: 0.5\nchecks: [{CHECKS}]\n"
    )
    code = main(["run", str(suite), "--model", f"sparse_pretrain:{model}", "--out", str(tmp_path / "out")])
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    verdicts = {check["check"]: check["verdict"] for check in result["checks"]}
    assert code in (0, 1, 4)
    assert result["model"]["name"] == "sparse_pretrain:ckpt"
    assert list(verdicts) == CHECKS.split(", ")
    assert "ERROR" not in verdicts.values()
    assert set(verdicts.values()) != {"NOT_APPLICABLE"}
    assert result["circuits"][0]["reached"] == METHODS[method]
    assert result["circuits"][0]["edges"] > 0
