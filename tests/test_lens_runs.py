"""`faithcheck run` on `lens:DIR`: tiny models of three families that were trained, in the test, to do the task."""

import json

import pytest
import torch
from fake_models import WORDS, write_large_task
from lens_models import configuration, random_network, transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from faithcheck.api import run_suite
from faithcheck.cli import main

SUITE = """\
faithcheck: 1
model: lens:{model}
tasks: [toy.yaml]
method: {method}
seeds: 1
target_loss: 0.3
checks: [{checks}]
"""
PRUNE = "{name: sparse_prune, steps: 30, sweep: [1.0], batch: 32}"
CHECKS = ("sufficiency", "attention_agreement", "node_roles", "layernorm")


def trained(folder, family, task, steps=60):
    """A network that answers the task's prompts, saved with a tokenizer of its words."""
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words)
    network = random_network(configuration(family, vocab_size=len(WORDS), num_hidden_layers=1), seed=1)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.mul_(0.3)
    texts = [prompt for split in ("train", "validation", "test") for prompt in task.prompts(split)]
    tokens = torch.tensor([tokenizer.encode(prompt.text) for prompt in texts])
    answers = torch.tensor([WORDS.index(task.tokens[prompt.answer]) for prompt in texts])
    network.requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(network(tokens).logits[:, -1], answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_suite(tmp_path, model, checks, method=PRUNE):
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE.format(model=model, checks=", ".join(checks), method=method))
    return path


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_a_suite_runs_from_extraction_to_verdicts(tmp_path, family):
    folder = trained(tmp_path / family, family, write_large_task(tmp_path))
    for method in (PRUNE, "attribution"):
        run_suite(write_suite(tmp_path, folder, CHECKS, method), device="cpu", out=tmp_path / "out")
        found = json.loads((tmp_path / "out" / "result.json").read_text())
        assert found["model"]["name"] == f"lens:{family}"
        assert [check["check"] for check in found["checks"]] == list(CHECKS)
        assert {check["verdict"] for check in found["checks"]} <= {"PASS", "FAIL", "INCONCLUSIVE"}, method
        assert [circuit["reached"] for circuit in found["circuits"]] == [True]


def test_a_model_that_cannot_be_loaded_ends_the_run_with_exit_code_2_and_one_line(tmp_path, capsys):
    write_large_task(tmp_path)
    suite = write_suite(tmp_path, tmp_path / "nothing", ["sufficiency"])
    assert main(["run", str(suite), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.endswith("no such directory")
    assert "\n" not in error
