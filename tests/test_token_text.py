"""The tokens of shown prompts as text, also of a tokenizer that cannot decode: no test of a circuit needs that."""

from __future__ import annotations

import pytest

from faithcheck.shown import task_data, token_text
from faithcheck.testing.tiny.problem import TinyTokenizer, tiny_bench, tiny_model


def raising(self, tokens):
    raise KeyError(tokens[0])


@pytest.mark.parametrize("decode", [raising, lambda self, tokens: None, lambda self, tokens: b"she"])
def test_a_token_that_cannot_be_decoded_is_shown_by_its_number(monkeypatch, decode):
    bench = tiny_bench(tiny_model())
    she = bench.model.tokenizer.encode("she")[0]
    assert token_text(bench.model.tokenizer, she) == "she"
    monkeypatch.setattr(TinyTokenizer, "decode", decode)
    assert {prompt["target"] for prompt in task_data(bench)["prompts"]} >= {f"#{she}"}
