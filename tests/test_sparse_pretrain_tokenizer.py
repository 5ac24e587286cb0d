"""The tokenizer of a checkpoint: its tokenizer.json, or token ids where it carries none."""

import pickle

import pytest
import torch
from faithcheck_circuits.published import tokenizer as module
from faithcheck_circuits.published.tokenizer import read_tokenizer
from faithcheck_circuits.token_ids import TokenIds
from hypothesis import given
from hypothesis import strategies as st
from sparse_pretrain_files import config_of, state_of, word_tokenizer, write

from faithcheck import load_model
from faithcheck.model import Model
from faithcheck.prompt_tokens import answer_token

NAMES = ["mia", "leo", "when", "ran", "he", "she"]
ids = TokenIds(23)


@given(st.lists(st.integers(0, 22), max_size=20))
def test_token_ids_are_written_as_words_and_read_back(tokens):
    assert ids.encode(ids.decode(tokens)) == tokens


def test_texts_are_ids_between_spaces():
    assert ids.encode("12 7  3") == [12, 7, 3]
    assert ids.decode([12, 7, 3]) == "12 7 3"
    assert ids.encode("") == []
    assert answer_token(ids, "12 7", "3") == 3


@pytest.mark.parametrize("text", ["when 3", "3.5", "-1", "0x3", "²", "٣", "1,2"])
def test_any_other_text_is_refused_and_told_why(text):
    with pytest.raises(
        ValueError, match="is no token id: the checkpoint carries no tokenizer, so a text is ids such as"
    ):
        ids.encode(text)


def test_an_id_that_the_model_has_no_embedding_for_is_refused():
    with pytest.raises(ValueError, match="token id 23 is not among the 23 of the model"):
        ids.encode("1 23")


def test_a_checkpoint_without_a_tokenizer_loads_and_runs_on_token_ids(tmp_path):
    model: Model = load_model(f"sparse_pretrain:{write(tmp_path, config_of(), state_of(config_of()))}")
    tokens = torch.tensor([model.tokenizer.encode("12 7 3")])
    assert model.run(tokens).logits.shape == (1, 1, 3, 23)


def test_a_tokenizer_json_is_used(tmp_path):
    folder = write(tmp_path, config_of(), state_of(config_of()))
    word_tokenizer(NAMES).save(str(folder / "tokenizer.json"))
    tokenizer = load_model(f"sparse_pretrain:{folder}").tokenizer
    assert tokenizer.encode("when mia ran") == [3, 1, 4]
    assert tokenizer.encode("When Mia") == [3, 1]  # the file says lower case
    assert tokenizer.decode([3, 1, 4]) == "when mia ran"
    assert answer_token(tokenizer, "when mia ran", "she") == 6


def test_a_text_is_neither_filled_up_nor_cut_to_the_length_that_a_tokenizer_json_was_saved_with(tmp_path):
    folder = write(tmp_path, config_of(), state_of(config_of()))
    words = word_tokenizer(NAMES)
    words.enable_padding(length=3, pad_id=1, pad_token="mia")
    words.enable_truncation(2)
    words.save(str(folder / "tokenizer.json"))
    tokenizer = load_model(f"sparse_pretrain:{folder}").tokenizer
    assert [tokenizer.encode(text) for text in ("when", "when mia ran")] == [[3], [3, 1, 4]]
    assert pickle.loads(pickle.dumps(tokenizer)).encode("leo") == [2]


def test_a_word_that_the_tokenizer_does_not_know_is_refused_by_name(tmp_path):
    word_tokenizer(NAMES).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="'Zoe' is not in the tokenizer's vocabulary"):
        read_tokenizer(tmp_path, 23).encode("when Zoe ran")


def test_special_tokens_around_a_text_are_left_out(tmp_path):
    tokenizer = word_tokenizer(NAMES)
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(single="$A [UNK]", special_tokens=[("[UNK]", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert read_tokenizer(tmp_path, 23).encode("leo") == [2]


def test_a_token_beyond_the_models_vocabulary_is_refused(tmp_path):
    word_tokenizer(NAMES).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="'she' is token 6, the model knows 6"):
        read_tokenizer(tmp_path, 6).encode("mia she")


def test_without_the_package_a_tokenizer_json_leaves_token_ids_and_says_so(tmp_path, monkeypatch):
    word_tokenizer(NAMES).save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"reading the checkpoint's tokenizer\.json needs the package tokenizers"):
        read_tokenizer(tmp_path, 23).encode("mia")
