"""Prompts as tensors: what `encode` writes, and what it refuses."""

import dataclasses

import pytest
import torch
from small_models import Words

from faithcheck.errors import UserError
from faithcheck.prompts import encode
from faithcheck.task import load_task_file

TASK = """\
faithcheck_task: 1
task: toy
about: a name calls for its pronoun
slots:
  name: {gender: {female: [Mia, Anna Lee], male: [Leo]}}
  other: {mood: {glad: [Ben, Tom Jo Ray], sad: [Sue]}}
templates: ["{other} and {name} {action} ,"]
unit: name
variables: {name_gender: name.gender, mood: other.mood}
answer: {variable: name_gender, tokens: {female: she, male: he}}
nonsense: {female: when, male: is}
splits:
  train: {slots: {action: [ran, sat down]}}
  validation: {slots: {action: [slept]}}
  test: {slots: {action: [sang]}}
shifts:
  loud: {slots: {action: [sang loud]}}
"""
WORDS = ["<pad>", "and", "ran", "sat", "down", "slept", "sang", "loud", ",", "Mia", "Anna", "Lee", "Leo", "Ben"]
WORDS += ["Tom", "Jo", "Ray", "Sue", "she", "he", "when", "is"]
IDS = {word: i for i, word in enumerate(WORDS)}


def task(tmp_path, text=TASK):
    (tmp_path / "toy.yaml").write_text(text)
    return load_task_file(tmp_path / "toy.yaml")


@pytest.fixture
def toy(tmp_path):
    return task(tmp_path)


@pytest.fixture
def train(toy):
    return encode(toy, "train", Words(WORDS))


def test_every_prompt_is_a_row_of_tokens_padded_at_the_right(train):
    assert len(train) == 18
    assert train.tokens.shape == (18, 9)
    assert train.texts[0] == "Ben and Mia ran ,"
    for text, row in zip(train.texts, train.tokens.tolist(), strict=True):
        ids = [IDS[word] for word in text.split()]
        assert row == ids + [0] * (9 - len(ids))


def test_the_answer_position_is_the_last_token(train):
    assert train.positions.tolist() == [len(text.split()) - 1 for text in train.texts]
    assert train.roles["last"].tolist() == train.positions.tolist()


def test_all_tensors_are_int64(train):
    tensors = [train.tokens, train.positions, train.targets, train.distractors, train.classes]
    tensors += [train.units, train.frames, *train.variables.values(), *train.roles.values()]
    assert {t.dtype for t in tensors} == {torch.int64}


def test_the_target_answers_the_prompt_and_the_distractor_is_the_other(train):
    she = [("Mia" in text or "Lee" in text) for text in train.texts]
    assert train.targets.tolist() == [IDS["she" if s else "he"] for s in she]
    assert train.distractors.tolist() == [IDS["he" if s else "she"] for s in she]
    assert train.classes.tolist() == [0 if s else 1 for s in she]


def test_a_role_is_the_last_token_of_the_slots_value(train):
    for i, text in enumerate(train.texts):
        words = text.split()
        name = next(w for w in ("Mia", "Lee", "Leo") if w in words)
        other = next(w for w in ("Ben", "Ray", "Sue") if w in words)
        assert train.roles["name"][i] == words.index(name)
        assert train.roles["other"][i] == words.index(other)
    assert set(train.roles) == {"name", "other", "last"}


def test_a_variable_is_the_index_of_its_level(train):
    assert train.levels == {"name_gender": ("female", "male"), "mood": ("glad", "sad")}
    moods = [1 if "Sue" in text else 0 for text in train.texts]
    assert train.variables["mood"].tolist() == moods
    assert train.variables["name_gender"].tolist() == train.classes.tolist()


def test_prompts_share_a_unit_just_where_they_share_its_slots_value(train):
    values = [next(n for n in ("Mia", "Anna Lee", "Leo") if n in text) for text in train.texts]
    for i, one in enumerate(values):
        assert [values[j] == one for j in range(18)] == (train.units == train.units[i]).tolist()
    assert sorted(set(train.units.tolist())) == [0, 1, 2]


def test_prompts_share_a_frame_just_where_they_differ_in_unit_and_variables_only(train):
    actions = ["sat down" in text for text in train.texts]
    for i, one in enumerate(actions):
        assert [action == one for action in actions] == (train.frames == train.frames[i]).tolist()


def test_a_cap_keeps_as_many_prompts_of_each_answer_in_their_own_order(toy, train):
    capped = encode(toy, "train", Words(WORDS), cap=8)
    assert capped.classes.bincount().tolist() == [4, 4]
    order = [train.texts.index(text) for text in capped.texts]
    assert order == sorted(set(order))


def test_an_odd_cap_is_never_exceeded(toy):
    assert len(encode(toy, "train", Words(WORDS), cap=7)) == 6


def test_an_answer_with_too_few_prompts_gives_all_it_has(toy):
    assert encode(toy, "train", Words(WORDS), cap=16).classes.bincount().tolist() == [8, 6]


def test_a_cap_draws_the_same_prompts_every_time_and_others_of_another_task(tmp_path):
    draws = [encode(task(tmp_path), "train", Words(WORDS), cap=6).texts for _ in range(2)]
    other = encode(task(tmp_path, TASK.replace("task: toy", "task: other")), "train", Words(WORDS), cap=6).texts
    assert draws[0] == draws[1]
    assert other != draws[0]


def test_a_cap_that_is_not_exceeded_and_no_cap_change_nothing(toy, train):
    for cap in (18, 100, None):
        assert encode(toy, "train", Words(WORDS), cap=cap).texts == train.texts


def test_a_shift_is_encoded_as_a_split_is(toy):
    assert encode(toy, "loud", Words(WORDS)).texts[0] == "Ben and Mia sang loud ,"


def test_select_takes_the_rows_of_everything(train):
    index = torch.tensor([17, 2, 2])
    part = train.select(index)
    assert part.texts == tuple(train.texts[i] for i in (17, 2, 2))
    assert part.levels == train.levels
    for name in ("tokens", "positions", "targets", "distractors", "classes", "units", "frames"):
        assert torch.equal(getattr(part, name), getattr(train, name)[index])
    for mapping in ("variables", "roles"):
        for name, value in getattr(train, mapping).items():
            assert torch.equal(getattr(part, mapping)[name], value[index])
    assert len(part) == 3


def test_relabelled_prompts_have_other_answers_and_are_otherwise_the_same(train):
    other = train.relabelled((IDS["when"], IDS["is"]))
    she = train.classes == 0
    assert other.targets.tolist() == [IDS["when" if s else "is"] for s in she]
    assert other.distractors.tolist() == [IDS["is" if s else "when"] for s in she]
    for field in dataclasses.fields(train):
        if field.name not in ("targets", "distractors"):
            assert getattr(other, field.name) is getattr(train, field.name)


def test_an_answer_mark_is_joined_without_a_space(tmp_path):
    class Letters:
        def encode(self, text):
            return [ord(c) for c in text]

        def decode(self, tokens):
            return "".join(map(chr, tokens))

    marks = TASK.replace("female: she, male: he", 'female: "?", male: "."')
    found = encode(task(tmp_path, marks), "train", Letters())
    assert sorted(set(found.targets.tolist())) == [ord("."), ord("?")]


WITHOUT = {
    "a word of a prompt": ("down", TASK, "task toy: 'Ben and Mia sat down ,' cannot be encoded: 'down'"),
    "an answer": ("he", TASK, "task toy: the answer 'he' cannot be encoded: 'he'"),
    "an answer of two tokens": ("", TASK.replace("male: he", "male: he is"), "task toy: the answer 'he is' is 2 tok"),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_what_cannot_be_encoded_is_refused_naming_task_and_text(tmp_path, case):
    missing, text, message = WITHOUT[case]
    with pytest.raises(UserError, match=message):
        encode(task(tmp_path, text), "train", Words([word for word in WORDS if word != missing]))


def test_answers_that_are_the_same_token_are_refused_by_both_names(tmp_path):
    class Uncased(Words):
        def encode(self, text):
            return super().encode(text.lower().replace("they", "he"))

    words = [word.lower() for word in WORDS]
    other = task(tmp_path, TASK.replace("female: she, male: he", "female: they, male: He"))
    with pytest.raises(UserError, match="task toy: the answers 'they' and 'He' are one and the same token"):
        encode(other, "train", Uncased(words))
    assert encode(task(tmp_path), "train", Uncased(words)).targets.unique().tolist() == [IDS["she"], IDS["he"]]


def test_a_value_that_ends_inside_a_token_is_refused(tmp_path):
    class Pairs:
        """Two letters a token, so that most values end inside one."""

        def encode(self, text):
            return [ord(text[i]) * 256 + ord(text[i + 1 : i + 2] or "\0") for i in range(0, len(text), 2)]

        def decode(self, tokens):
            return "".join(chr(token // 256) + chr(token % 256).strip("\0") for token in tokens)

    text = TASK.replace("female: she, male: he", 'female: " x", male: " y"')
    with pytest.raises(UserError, match=r"the value of .* does not end at a token"):
        encode(task(tmp_path, text), "test", Pairs())


def test_a_value_glued_to_the_next_word_is_refused(tmp_path):
    glued = task(tmp_path, TASK.replace("{name} {action} ,", "{name}s {action} ,"))
    words = [*WORDS, "Mias", "Lees", "Leos"]
    words.remove("Mia")
    with pytest.raises(UserError, match="the value of name does not end at a token"):
        encode(glued, "train", Words(words))


def test_a_slot_that_carries_a_variable_cannot_be_called_last(tmp_path):
    last = task(tmp_path, TASK.replace("other", "last"))
    with pytest.raises(UserError, match="cannot be called last"):
        encode(last, "train", Words(WORDS))
