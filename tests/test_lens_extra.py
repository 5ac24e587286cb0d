"""What of `lens:` needs no TransformerLens: the message that it is missing, and prompts written as token ids."""

import subprocess
import sys

import pytest
from faithcheck_circuits.token_ids import TokenIds

from faithcheck.errors import UserError
from faithcheck.loading import load_model
from faithcheck.prompts import encode
from faithcheck.task import load_task_file

VOCABULARY = 40


def test_a_task_may_be_written_in_token_ids(tmp_path):
    path = tmp_path / "ids.yaml"
    path.write_text(
        """
faithcheck_task: 1
task: ids
about: which of two tokens follows
slots: {name: {gender: {female: ["11", "12"], male: ["21", "22"]}}}
templates: ["7 {name} {action}"]
unit: name
variables: {gender: name.gender}
answer: {variable: gender, tokens: {female: "30", male: "31"}}
nonsense: {female: "32", male: "33"}
shifts: {odd: {slots: {action: ["9"]}}}
splits:
  train: {slots: {action: ["5"]}}
  validation: {slots: {action: ["6"]}}
  test: {slots: {action: ["8"]}}
"""
    )
    found = encode(load_task_file(path), "test", TokenIds(VOCABULARY))
    assert sorted(found.tokens.tolist()) == [[7, 11, 8], [7, 12, 8], [7, 21, 8], [7, 22, 8]]
    assert sorted(found.targets.tolist()) == [30, 30, 31, 31]


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformer_lens", None)
    monkeypatch.setitem(sys.modules, "transformer_lens.model_bridge.sources", None)
    with pytest.raises(UserError, match=r"^lens: models need TransformerLens: pip install 'faithcheck\[lens\]'"):
        load_model("lens:gpt2")


def test_the_loader_is_known_without_importing_what_it_needs():
    code = """
import sys
from faithcheck.plugins import load
load("models", "lens")
print([name for name in ("torch", "transformers", "transformer_lens") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
