"""Tasks on tokenizers of real kinds: positions and answers are where the text has them, or the word is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from other_tokenizers import (
    KINDS,
    TASKS,
    Adapter,
    adapter,
    bytes_bpe,
    llama,
    unigram,
    with_template,
    wordlevel,
    wordpiece,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from faithcheck.errors import UserError
from faithcheck.prompt_tokens import answer_token, answer_tokens, prompt_row, value_end
from faithcheck.prompts import encode
from faithcheck.strict_tokenizer import strict
from faithcheck.task import load_task, load_task_file


def bare(text):
    """Text without case and blanks, and without the tokens that begin a text."""
    return "".join(text.removeprefix("<s>").removeprefix("[CLS]").casefold().split())


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bundled_task_is_encoded_as_its_text_says(kind, name):
    task, tokenizer = load_task(name), adapter(kind)
    for split in ("validation", task.shifts[0]):
        found = encode(task, split, tokenizer, cap=60)
        written = {prompt.text: prompt for prompt in task.prompts(split)}
        for i, text in enumerate(found.texts):
            prompt, row = written[text], found.tokens[i, : found.positions[i] + 1].tolist()
            assert bare(tokenizer.decode(row)) == bare(text)
            for role, (_, end) in prompt.roles.items():
                assert bare(tokenizer.decode(row[: found.roles[role][i] + 1])) == bare(text[:end])
            assert bare(tokenizer.decode([found.targets[i]])) == task.tokens[prompt.answer]
            assert found.distractors[i] != found.targets[i]
        assert found.roles["last"].tolist() == found.positions.tolist()


TOY = """\
faithcheck_task: 1
task: toy
about: a name calls for its pronoun
slots:
  name: {gender: {female: [Mia, Samuela], male: [Leo, Samuel]}}
templates: ["when {name} was {mood},"]
unit: name
variables: {name_gender: name.gender}
answer: {variable: name_gender, tokens: {female: she, male: he}}
nonsense: {female: when, male: is}
splits:
  train: {slots: {mood: [sad]}}
  validation: {slots: {mood: [cold]}}
  test: {slots: {mood: [hungry]}}
shifts:
  other: {slots: {mood: [tired]}}
"""


def toy(tmp_path, old="", new=""):
    assert old in TOY
    (tmp_path / "toy.yaml").write_text(TOY.replace(old, new))
    return load_task_file(tmp_path / "toy.yaml")


@pytest.fixture(scope="module")
def small_bpe():
    return adapter("byte-level BPE of few tokens")


def test_a_value_of_several_tokens_has_its_role_at_the_last_of_them(tmp_path):
    """By hand: `when`, ` Samuel` in four tokens, ` was`, ..."""
    tokenizer = Adapter(unigram(["▁when", "▁Mia", "▁Leo", "▁was", "▁sad", "▁he", "▁she", "▁S", "am", "uel"]))
    found = encode(toy(tmp_path), "train", tokenizer)
    rows = [tokenizer.pieces(row[: last + 1]) for row, last in zip(found.tokens.tolist(), found.positions, strict=True)]
    assert rows == [
        ["▁when", "▁Mia", "▁was", "▁sad", ","],
        ["▁when", "▁S", "am", "uel", "a", "▁was", "▁sad", ","],
        ["▁when", "▁Leo", "▁was", "▁sad", ","],
        ["▁when", "▁S", "am", "uel", "▁was", "▁sad", ","],
    ]
    assert found.roles["name"].tolist() == [1, 4, 1, 3]
    assert found.positions.tolist() == [4, 7, 4, 6]
    assert tokenizer.pieces(found.targets.tolist()) == ["▁she", "▁she", "▁he", "▁he"]


@pytest.mark.parametrize(
    ("plain", "begun"),
    [("unigram", "unigram with a beginning"), ("WordPiece", "WordPiece with a beginning")],
)
def test_a_token_that_begins_every_text_shifts_all_positions_by_one(plain, begun):
    without, with_it = (encode(load_task("ioi"), "validation", adapter(kind), cap=40) for kind in (plain, begun))
    assert (with_it.positions == without.positions + 1).all()
    assert all((with_it.roles[role] == places + 1).all() for role, places in without.roles.items())
    assert with_it.targets.tolist() == without.targets.tolist()


ANSWERS = {
    "byte-level BPE": {"he": " he", "?": "?", " he": " he"},
    "unigram": {"he": "he", "?": "?", "her": "her"},
    "Llama": {"he": "he", "?": "?"},
    "WordPiece": {"He": "he", "?": "?"},
    "WordLevel": {"he": "he", ".": "."},
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_word_answers_after_a_space_and_a_mark_at_once(kind):
    tokenizer = adapter(kind)
    for answer, shown in ANSWERS[kind].items():
        token = answer_token(tokenizer, "why do you take that key", answer)
        assert tokenizer.decode([token]) == shown


def test_a_text_that_ends_in_a_space_gets_no_second_one():
    tokenizer = adapter("WordLevel")
    assert answer_token(tokenizer, "when Mia was sad, ", "he") == answer_token(tokenizer, "when Mia was sad,", "he")
    bpe = adapter("byte-level BPE")
    with pytest.raises(UserError, match="runs together with the end of 'when Mia was sad, '"):
        answer_token(bpe, "when Mia was sad, ", "he")


# Laws, over texts that Hypothesis writes. Byte-level kinds take every text; the others may refuse it.
ANY = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
PARTS = st.text("abehklosuw S,?'", max_size=12)
WORDS = st.text("aehlmnosuS", min_size=1, max_size=9)
ANSWER = st.sampled_from(["he", "she", "him", "her", "why", "Mia", "key"]) | WORDS
BYTES = [kind for kind in KINDS if kind.startswith("byte-level") or kind == "Llama"]


@given(kind=st.sampled_from(BYTES), before=PARTS, value=ANY, after=PARTS)
@settings(max_examples=150)
def test_a_value_ends_at_the_token_up_to_which_the_row_decodes_to_it_or_there_is_none(kind, before, value, after):
    tokenizer, text, end = adapter(kind), before + value + after, len(before + value)
    row = prompt_row(strict(tokenizer), text)
    said = [tokenizer.decode(row[: place + 1]).removeprefix("<s>").strip() for place in range(len(row))]
    try:
        place = value_end(strict(tokenizer), text, row, end, "x")
    except UserError:
        assert text[:end].strip() not in said
    else:
        assert said[place] == text[:end].strip()


@given(kind=st.sampled_from(sorted(KINDS)), before=WORDS, value=WORDS, after=WORDS)
@settings(max_examples=150)
def test_a_value_between_spaces_always_ends_at_a_token(kind, before, value, after):
    tokenizer, text = adapter(kind), f"{before} {value} {after}"
    try:
        row = prompt_row(strict(tokenizer), text)
    except UserError:
        assume(False)
    place = value_end(strict(tokenizer), text, row, len(f"{before} {value}"), "x")
    assert bare(tokenizer.decode(row[: place + 1])) == bare(before + value)
    assert bare(tokenizer.decode(row[place + 1 :])) == bare(after)


@given(kind=st.sampled_from(sorted(KINDS)), text=st.lists(WORDS, min_size=1, max_size=4), answer=ANSWER)
@settings(max_examples=150)
def test_an_answer_is_the_one_token_that_follows_or_is_refused(kind, text, answer):
    tokenizer, text = adapter(kind), " ".join(text)
    try:
        token = answer_token(tokenizer, text, answer)
    except UserError:
        assume(False)
    assert tokenizer.encode(f"{text} {answer}") == [*tokenizer.encode(text), token]
    assert bare(tokenizer.decode([token])) == bare(answer)


# What is refused.
def dropping():
    """A BPE without a token for unknown letters, which leaves them out."""
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate("abcdefghiklmnorstuvwyLMS,")}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Whitespace(), decoders.Fuse()
    return tokenizer


UNKNOWN = {
    "WordLevel": (wordlevel, {}, r"of 'Жad' the tokenizer keeps '<unk>'"),
    "WordLevel that says so": (wordlevel, {"unknown": 0}, r"'Жad' is unknown to the tokenizer \('<unk>'\)"),
    "WordPiece": (wordpiece, {}, r"of 'Жad' the tokenizer keeps '\[UNK\]'"),
    "WordPiece that says so": (wordpiece, {"unknown": 0}, r"'Жad' is unknown to the tokenizer"),
    "unigram": (unigram, {}, r"of 'Жad' the tokenizer keeps '<unk>ad'"),
    "unigram that says so": (unigram, {"unknown": 0}, r"'Жad' is unknown to the tokenizer"),
    "one that leaves letters out": (dropping, {}, r"of 'Жad' the tokenizer keeps 'ad'"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_word_that_the_tokenizer_does_not_know_is_refused_by_name(tmp_path, case):
    build, attributes, message = UNKNOWN[case]
    task = toy(tmp_path, "Mia", "Жad")
    with pytest.raises(UserError, match="task toy: 'when Жad was sad,' cannot be encoded: " + message) as error:
        encode(task, "train", Adapter(build(), **attributes))
    assert "use other words, or a model that knows these" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_an_answer_that_the_tokenizer_does_not_know_is_refused_by_name(tmp_path):
    task = toy(tmp_path, "male: he", "male: xe")
    for attributes in ({}, {"unknown": 0}):
        with pytest.raises(UserError, match=r"task toy: the answer 'xe' cannot be encoded: .*xe"):
            encode(task, "train", Adapter(wordlevel_of_toy(), **attributes))


class Table:
    """A researcher's own: a word's number is looked up."""

    words = ("when", "was", "Mia", "Samuela", "Leo", "Samuel", "sad,", "she", "he")

    def encode(self, text):
        numbers = {word: i for i, word in enumerate(self.words)}
        return [numbers[word] for word in text.split()]

    def decode(self, tokens):
        return " ".join(self.words[token] for token in tokens)


FAILING = {
    "a table without the word": (
        Table().encode,
        "'when Zoe was sad,' cannot be encoded: the tokenizer's encode fails: KeyError: 'Zoe'",
    ),
    "text instead of numbers": (str.split, "the tokenizer's encode fails: TypeError: 'str' object cannot be"),
    "nothing": (lambda text: None, "the tokenizer's encode fails: TypeError: 'NoneType' object is not iterable"),
    "a batch": (lambda text: torch.zeros(1, 3), "the tokenizer's encode fails: TypeError"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_tokenizer_that_fails_is_refused_with_the_text_and_its_error(tmp_path, case):
    tokenizer = Table()
    tokenizer.encode, message = FAILING[case]
    with pytest.raises(UserError) as error:
        encode(toy(tmp_path, "Mia", "Zoe"), "train", tokenizer)
    assert str(error.value).startswith("task toy: 'when Zoe was sad,' cannot be encoded: ")
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("kind", [torch.tensor, np.array, tuple])
def test_a_row_of_tokens_may_be_any_sequence_of_whole_numbers(tmp_path, kind):
    tokenizer, plain = Table(), Table()
    tokenizer.encode = lambda text: kind(plain.encode(text))
    found, expected = (encode(toy(tmp_path), "train", t) for t in (tokenizer, plain))
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.targets, expected.targets)


def wordlevel_of_toy():
    words = ["<unk>", "when", "was", ",", "Mia", "Samuela", "Leo", "Samuel", "sad", "she", "he", "?"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def test_a_token_that_begins_every_text_may_also_stand_for_unknown_words(tmp_path):
    """As GPT-2's <|endoftext|> does by name, though no word of bytes is unknown."""
    tokenizer = bytes_bpe()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    begun = Adapter(with_template(tokenizer, "<|endoftext|> $A"), unknown=tokenizer.token_to_id("<|endoftext|>"))
    found = encode(toy(tmp_path), "train", begun)
    assert (found.tokens[:, 0] == begun.unknown).all()


@pytest.mark.parametrize("kind", ["byte-level BPE", "Llama"])
def test_nothing_is_unknown_to_a_tokenizer_that_spells_in_bytes(tmp_path, kind):
    task = toy(tmp_path, "Mia", "Žofie-Ωλ 𒀀")
    found = encode(task, "train", adapter(kind))
    assert found.texts[0] == "when Žofie-Ωλ 𒀀 was sad,"


def test_a_tokenizer_may_change_case_and_accents(tmp_path):
    """BERT's reads Mía as mia."""
    tokenizer = adapter("WordPiece")
    with_accent, without = (encode(toy(tmp_path, "Mia", name), "train", tokenizer) for name in ("MÍA", "Mia"))
    assert with_accent.tokens.tolist() == without.tokens.tolist()


@pytest.mark.parametrize("attributes", [{}, {"unknown": 0}])
def test_a_tokenizer_that_closes_every_text_is_refused(tmp_path, attributes):
    closed = Adapter(with_template(wordpiece(), "[CLS] $A [SEP]"), **attributes)
    with pytest.raises(UserError, match=r"task toy: the model's tokenizer ends every text with '\[SEP\]'"):
        encode(toy(tmp_path), "train", closed)


def test_an_answer_of_several_tokens_is_refused_with_its_tokens(tmp_path):
    tokenizer = Adapter(unigram(["▁when", "▁Mia", "▁was", "▁he", "▁sh"]))
    message = (
        "task toy: the answer 'she' is 2 tokens after 'when Mia was sad,' ('sh' 'e'), not one; "
        "take answers that are one token of this model"
    )
    with pytest.raises(UserError) as error:
        encode(toy(tmp_path), "train", tokenizer)
    assert str(error.value) == message


def test_an_answer_that_runs_together_with_the_text_is_refused_with_the_token():
    tokenizer = Adapter(llama(trained_on=pre_tokenizers.Metaspace()))
    with pytest.raises(
        UserError, match=r"task questions: the answer '\?' runs together with the end of '.*' \(as '.+\?'"
    ):
        encode(load_task("questions"), "train", tokenizer)


def test_an_answer_that_runs_together_with_one_text_only_is_refused():
    """The first text is fine; `y?` is a token."""
    letters = {letter: i for i, letter in enumerate("batkey?")}
    pairs = Adapter(Tokenizer(models.BPE({**letters, "y?": 7}, [("y", "?")])))
    assert answer_tokens(strict(pairs), ["bat", "tab"], ["?"]) == [letters["?"]]
    with pytest.raises(UserError, match=r"the answer '\?' runs together with the end of 'key' \(as 'y\?'\)"):
        answer_tokens(strict(pairs), ["bat", "key"], ["?"])


def test_an_answer_that_is_another_token_elsewhere_is_refused():
    class AfterLetters:
        """A mark is another token after a vowel."""

        def encode(self, text):
            return [
                ord(c) + 1000 * (c == "?" and text[i - 1] in "aeiou") for i, c in enumerate(text)
            ]  # fmt: skip

        def decode(self, tokens):
            return "".join(chr(token % 1000) for token in tokens)

    with pytest.raises(UserError, match=r"the answer '\?' is another token after 'shoe' than after 'bat'"):
        answer_tokens(strict(AfterLetters()), ["bat", "shoe"], ["?", "."])


def test_a_value_inside_a_token_is_refused_with_the_tokens(tmp_path, small_bpe):
    task = toy(tmp_path, "when {name} was", "when {name}s was")
    tokenizer = Adapter(unigram(["▁when", "▁Mias", "▁Mia", "▁was", "▁he", "▁she"]))
    message = r"task toy: 'when Mias was sad,': the value of name does not end at a token \(.* 'when' 'Mias' 'was'"
    with pytest.raises(UserError, match=message):
        encode(task, "train", tokenizer)


def test_a_text_that_leaves_no_token_is_refused():
    class Deaf:
        unknown = 0

        def encode(self, text):
            return [1]

        def decode(self, tokens):
            return ""

    with pytest.raises(UserError, match="'so' has no tokens"):
        prompt_row(strict(Deaf()), "so")
