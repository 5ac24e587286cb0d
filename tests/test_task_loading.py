"""Task files: every prompt is enumerated once and in order, and a file that makes no sense is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.errors import UserError
from faithcheck.task import Task, find_task, load_task, load_task_file
from faithcheck.task_survey import survey

GOOD = """\
faithcheck_task: 1
task: pronoun
about: a name calls for its pronoun
slots:
  name: {gender: {female: [Mia, Anna Lee], male: [Leo, Max]}}
templates: ["when {name} {action},"]
where: []
unit: name
variables: {name_gender: name.gender}
answer: {variable: name_gender, tokens: {female: she, male: he}}
nonsense: {female: when, male: is}
splits:
  train: {slots: {action: [ran, sat down]}}
  validation: {slots: {action: [slept]}}
  test: {slots: {action: [sang]}}
shifts:
  unseen_names:
    slots:
      action: [ran]
      name: {gender: {female: [Zoe], male: [Ted]}}
"""

TWO_NAMES = """\
faithcheck_task: 1
task: two
about: the first of two names
slots:
  name1: {gender: {female: [Mia], male: [Leo, Max]}}
  name2: {gender: {female: [Mia], male: [Leo, Max]}}
templates: ["{name1} {verb} {name2}, so {name1}"]
where: [name1 != name2]
unit: name1
variables: {first: name1.gender, second: name2.gender}
answer: {variable: first, tokens: {female: she, male: he}}
nonsense: {female: a, male: b}
loss: binary
splits:
  train: {slots: {verb: [met]}}
  validation: {slots: {verb: [saw]}}
  test: {slots: {verb: [hit]}}
shifts:
  same: {slots: {verb: [met]}, where: [name1.gender == name2.gender, name1 != name2]}
  other: {slots: {verb: [met]}, where: [name1.gender != name2.gender]}
"""

KINDS = """\
faithcheck_task: 1
task: kinds
about: questions and statements
slots: {thing: [key, ball]}
unit: thing
variables: {kind: template.kind}
answer: {variable: kind, tokens: {question: "?", statement: .}}
nonsense: {question: when, statement: is}
splits:
  train: {templates: {kind: {question: ["where is the {thing}"], statement: ["here is the {thing}"]}}}
  validation: {templates: {kind: {question: ["who has the {thing}"], statement: ["I have the {thing}"]}}}
  test: {templates: {kind: {question: ["is that a {thing}"], statement: ["that is a {thing}"]}}}
shifts:
  empty_handed: {templates: {kind: {question: ["no {thing}"], statement: ["a {thing}"]}}}
"""


def _load(folder: Path, text: str) -> Task:
    file = folder / "task.yaml"
    file.write_text(text)
    return load_task_file(file)


def test_a_task_says_what_its_file_says(tmp_path: Path) -> None:
    task = _load(tmp_path, GOOD)
    assert (task.name, task.loss, task.unit, task.answer) == ("pronoun", "full", "name", "name_gender")
    assert task.variables == {"name_gender": ("female", "male")}
    assert task.tokens == {"female": "she", "male": "he"}
    assert task.nonsense == {"female": "when", "male": "is"}
    assert (task.splits, task.shifts) == (("train", "validation", "test"), ("unseen_names",))


def test_all_prompts_of_a_split_come_in_order_with_the_last_slot_fastest(tmp_path: Path) -> None:
    prompts = _load(tmp_path, GOOD).prompts("train")
    assert [prompt.text for prompt in prompts] == [
        "when Mia ran,",
        "when Mia sat down,",
        "when Anna Lee ran,",
        "when Anna Lee sat down,",
        "when Leo ran,",
        "when Leo sat down,",
        "when Max ran,",
        "when Max sat down,",
    ]
    assert [prompt.answer for prompt in prompts] == ["female"] * 4 + ["male"] * 4
    assert [prompt.unit for prompt in prompts[1:4]] == ["Mia", "Anna Lee", "Anna Lee"]


def test_a_shift_replaces_the_values_it_names(tmp_path: Path) -> None:
    task = _load(tmp_path, GOOD)
    assert [prompt.text for prompt in task.prompts("unseen_names")] == ["when Zoe ran,", "when Ted ran,"]


def test_a_role_is_the_span_of_the_value_in_the_text(tmp_path: Path) -> None:
    for prompt in _load(tmp_path, TWO_NAMES).prompts("train"):
        spans = {slot: prompt.text[start:end] for slot, (start, end) in prompt.roles.items()}
        assert spans == {"name1": prompt.unit, "name2": prompt.text.split()[2].rstrip(",")}
        assert prompt.roles["name1"][0] == 0


def test_conditions_keep_texts_or_levels_apart_or_together(tmp_path: Path) -> None:
    task = _load(tmp_path, TWO_NAMES)
    pairs = {name: [_names(p.text) for p in task.prompts(name)] for name in ("train", "same", "other")}
    assert pairs["train"] == ["Mia Leo", "Mia Max", "Leo Mia", "Leo Max", "Max Mia", "Max Leo"]
    assert pairs["same"] == ["Leo Max", "Max Leo"]
    assert pairs["other"] == ["Mia Leo", "Mia Max", "Leo Mia", "Max Mia"]


def _names(text: str) -> str:
    words = text.replace(",", "").split()
    return f"{words[0]} {words[2]}"


def test_a_variable_can_be_an_attribute_of_the_template(tmp_path: Path) -> None:
    prompts = _load(tmp_path, KINDS).prompts("train")
    assert [(p.text, p.answer, p.unit, p.roles) for p in prompts] == [
        ("where is the key", "question", "key", {}),
        ("where is the ball", "question", "ball", {}),
        ("here is the key", "statement", "key", {}),
        ("here is the ball", "statement", "ball", {}),
    ]


def test_a_frame_leaves_open_the_unit_and_what_carries_a_variable(tmp_path: Path) -> None:
    assert {p.frame for p in _load(tmp_path, GOOD).prompts("train")} == {
        "when ___ ran,",
        "when ___ sat down,",
    }
    assert {p.frame for p in _load(tmp_path, TWO_NAMES).prompts("train")} == {"___ met ___, so ___"}


def test_the_same_file_gives_the_same_prompts_and_fingerprint(tmp_path: Path) -> None:
    one, two = _load(tmp_path, GOOD), _load(tmp_path, "# a comment\n" + GOOD.replace("where: []\n", ""))
    assert one.fingerprint == two.fingerprint
    assert all(one.prompts(name) == two.prompts(name) for name in one.splits + one.shifts)


@pytest.mark.parametrize(("old", "new"), [("ran", "run"), ("[Leo, Max]", "[Max, Leo]"), ("she", "her")])
def test_another_content_gives_another_fingerprint(tmp_path: Path, old: str, new: str) -> None:
    assert _load(tmp_path, GOOD).fingerprint != _load(tmp_path, GOOD.replace(old, new)).fingerprint


def test_a_task_survives_pickling_for_a_worker_process(tmp_path: Path) -> None:
    task = _load(tmp_path, GOOD)
    assert pickle.loads(pickle.dumps(task)).prompts("test") == task.prompts("test")


def test_an_unknown_split_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no 'tset'; splits and shifts: train, .*; did you mean 'test'\?"):
        _load(tmp_path, GOOD).prompts("tset")


UNSEEN = GOOD[GOOD.index("action: [ran]\n") :]
# What replaces what in a good file, the line that must be named, and words that must be said.
_BAD: list[tuple[str, str, str, int, str]] = [
    (GOOD, "faithcheck_task: 1", "faithcheck_task: true", 1, "faithcheck_task: found true; allowed: 1"),
    (GOOD, "unit: name", "unti: name", 8, "unti: unknown key; allowed: faithcheck_task, "),
    (GOOD, "female: [Mia, Anna Lee]", "female: [Mia, 3]", 5, "slots.name.gender.female[1]: found 3; allowed"),
    (GOOD, "female: [Mia, Anna Lee]", "female: []", 5, "slots.name.gender.female: found a list (empty)"),
    (GOOD, "female: [Mia, Anna Lee]", "female: ['']", 5, "slots.name.gender.female[0]: found ''"),
    (GOOD, "{action: [slept]}", "{action: slept}", 14, "action: found 'slept'; allowed: a list, or lists gr"),
    (GOOD, "{action: [slept]}", "{action: {a: {b: [c]}, d: {e: [f]}}}", 14, "found 2 attributes (a, d)"),
    (GOOD, "female: [Mia, Anna Lee]", "female: [Mia, Mia]", 5, "female[1]: 'Mia' is given twice in one slot"),
    (GOOD, "male: [Leo, Max]", "male: [Leo, Mia]", 5, "male[1]: 'Mia' is given twice in one slot"),
    (GOOD, "{name} {action},", "{nmae} {action},", 6, "templates[0]: unknown slot 'nmae'; slots: name, acti"),
    (GOOD, "{name} {action},", "{name} {action", 6, "has a brace that belongs to no {slot}"),
    (GOOD, "{name} {action},", "{name} {a b} {action}", 6, "has a brace that belongs to no {slot}"),
    (GOOD, "test: {slots: {action: [sang]}}", "test: {}", 15, "splits.test: split 'test' gives slot 'action"),
    (GOOD, 'templates: ["when {name} {action},"]\n', "", 12, "splits.train: split 'train' has no templates"),
    (GOOD, "{action: [sang]}", "{action: [sang], acton: [x]}", 15, "no template here has a slot 'acton'; di"),
    (GOOD, "slots:\n", "slots:\n  place: [home]\n", 5, "slots.place: no template here has a slot 'place'"),
    (GOOD, "slots:\n", "slots:\n  template: [home]\n", 5, "it means the template itself"),
    (GOOD, "unit: name", "unit: nam", 8, "unit: no slot is called 'nam'; slots: name, action; did you mean"),
    (GOOD, ',"]', ',", "{action} x"]', 8, "unit: the template '{action} x' has no slot 'name'"),
    (GOOD, "name.gender}", "name.gendre}", 9, "unknown attribute 'gendre' in 'name.gendre'; split 'train' g"),
    (GOOD, "name.gender}", "action.gender}", 9, "split 'train' groups 'action' by nothing"),
    (GOOD, "name.gender}", "nam.gender}", 9, "variables.name_gender: unknown slot 'nam'"),
    (GOOD, "name.gender}", "template.kind}", 9, "groups 'template' by nothing"),
    (GOOD, "name.gender}", "name}", 9, "variables.name_gender: found 'name'; allowed: SLOT.ATTRIBUTE"),
    (GOOD, "name: {gender: {female: [Zoe], male: [Ted]}}", "name: [Zoe]", 9, "shift 'unseen_names' groups '"),
    (GOOD, "{female: [Zoe], male: [Ted]}", "{femle: [Zoe], male: [Ted]}", 20, "unknown level 'femle'; level"),
    (GOOD, "where: []", "where: [name ~ action]", 7, "where[0]: found 'name ~ action'; allowed: A == B or A"),
    (GOOD, "where: []", "where: [a == b == c]", 7, "allowed: A == B or A != B"),
    (GOOD, "where: []", "where: [name != 3]", 7, "where[0]: found ' 3'; allowed: SLOT or SLOT.ATTRIBUTE"),
    (GOOD, "where: []", "where: [name != template]", 7, "where[0]: found ' template'"),
    (GOOD, "where: []", "where: [name.age != action]", 7, "unknown attribute 'age' in 'name.age'"),
    (GOOD, "where: []", "where: [nmae != action]", 7, "unknown slot 'nmae' in 'nmae'; split 'train' has"),
    (TWO_NAMES, "name1.gender !=", "name1.sex !=", 20, "shifts.other.where[0]: unknown attribute 'sex'"),
    (GOOD, "variable: name_gender", "variable: name_gendre", 10, "answer.variable: unknown variable 'name_g"),
    (GOOD, "male: [Leo, Max]", "male: [Leo], other: [Max]", 10, "exactly two levels; 'name_gender' has fema"),
    (GOOD, "male: he}", "mael: he}", 10, "answer.tokens: found tokens for female, mael; allowed: one each f"),
    (GOOD, "male: he}", "male: she}", 10, "answer.tokens: the tokens must differ; found 'she', 'she'"),
    (GOOD, ", male: is}", "}", 11, "nonsense: found tokens for female; allowed: one each for female, male"),
    (GOOD, "male: is}", "male: when}", 11, "nonsense: the tokens must differ"),
    (GOOD, "male: is}", "male: 1}", 11, "nonsense.male: found 1; allowed: text"),
    (GOOD, "  test: {slots: {action: [sang]}}\n", "", 13, "splits.test: missing"),
    (GOOD, "  test: ", "  tset: ", 15, "splits.tset: unknown key; allowed: train, validation, test; did you"),
    (GOOD, GOOD[GOOD.index("shifts:") :], "", 1, "shifts: missing"),
    (GOOD, GOOD[GOOD.index("shifts:") :], "shifts: {}", 16, "shifts: found keys and values (empty); allowed"),
    (GOOD, "unseen_names:", "train:", 17, "shifts.train: a shift cannot have the name of a split"),
    (GOOD, "[slept]", "[slept, ran]", 14, "split 'validation' shares the frame 'when ___ ran,' with split '"),
    (TWO_NAMES, "[hit]", "[saw, met]", 17, "shares the frame '___ met ___, so ___' with split 'train' (and"),
    (TWO_NAMES, "name1.gender !=", "name1 != name1, name1.gender !=", 20, "shift 'other' has no prompts"),
    (TWO_NAMES, "{verb: [saw]}", "{verb: [saw], name1: {gender: {male: [Leo]}}}", 16, "has the answer 'fema"),
    (GOOD, UNSEEN, "action: [sang]\n", 17, "shifts.unseen_names: every prompt of shift 'unseen_names' is one of spl"),
    (GOOD, UNSEEN, "action: [sang]\n      name: {gender: {female: [Mia]}}", 17, "is one of split 'test'"),
    (KINDS, 'question: ["is that a {thing}"], ', "", 12, "no prompt of split 'test' has the answer 'questio"),
    (KINDS, 'statement: ["a {thing}"]', 'statment: ["a {thing}"]', 7, "has question, statement, statment"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "line", "fragment"), _BAD, ids=[row[-1][:60] for row in _BAD])
def test_a_task_file_that_makes_no_sense_is_refused_with_its_line(
    tmp_path: Path, text: str, old: str, new: str, line: int, fragment: str
) -> None:
    assert old in text
    with pytest.raises(UserError) as caught:
        _load(tmp_path, text.replace(old, new, 1))
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{tmp_path / 'task.yaml'}:{line}: ")
    assert fragment in first


@pytest.mark.parametrize(
    "slots",
    ["{action: [sang, ran]}", "{action: [ran]}", "{action: [sang], name: {gender: {female: [Mia, Zoe], male: [Leo]}}}"],
)
def test_a_shift_with_a_prompt_that_the_test_split_has_not_is_a_shift(tmp_path: Path, slots: str) -> None:
    head = GOOD.removesuffix(f"slots:\n      {UNSEEN}")
    assert _load(tmp_path, f"{head}slots: {slots}\n").prompts("unseen_names")


def test_an_enumeration_without_end_is_refused_before_it_begins(tmp_path: Path) -> None:
    many = "[" + ", ".join(f"w{n}" for n in range(300)) + "]"
    train = f"{{slots: {{action: {many}, place: {many}}}, templates: ['{{name}} {{action}} {{place}}']}}"
    with pytest.raises(UserError, match=r":13: .* combines to 360,000 prompts before .*; allowed: 200,000"):
        _load(tmp_path, GOOD.replace("{slots: {action: [ran, sat down]}}", train))


def test_every_reason_of_a_pass_is_said_at_once(tmp_path: Path) -> None:
    bad = GOOD.replace("male: he}", "male: she}").replace("male: is}", "male: when}")
    with pytest.raises(UserError) as caught:
        _load(tmp_path, bad)
    assert [line.split(" ")[1] for line in str(caught.value).splitlines()] == ["answer.tokens:", "nonsense:"]


def test_one_text_with_two_readings_is_refused_when_the_prompts_are_written(tmp_path: Path) -> None:
    text = GOOD.replace("[Mia, Anna Lee]", "[Mia]").replace("[Leo, Max]", "[Mia ran]")
    task = _load(tmp_path, text.replace("[ran, sat down]", "[ran ran, ran]").replace(',"]', '"]'))
    with pytest.raises(UserError, match="split 'train': 'when Mia ran ran' can be made with different levels"):
        task.prompts("train")


def test_a_text_that_can_be_made_twice_with_one_reading_is_one_prompt(tmp_path: Path) -> None:
    text = GOOD.replace("[Mia, Anna Lee]", "[Mia, Mia ran]").replace("[ran, sat down]", "[ran ran, ran]")
    texts = [prompt.text for prompt in _load(tmp_path, text).prompts("train")]
    assert texts.count("when Mia ran ran,") == 1
    assert len(texts) == 7


def test_a_task_is_found_beside_the_suite_before_the_bundled_ones(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("")
    bundled = bundled_dir() / "tasks" / "pronoun.yaml"
    assert find_task("pronoun", suite) == bundled
    (tmp_path / "pronoun.yaml").write_text(GOOD)
    assert find_task("pronoun", suite) == tmp_path / "pronoun.yaml"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "pronoun.yaml").write_text(GOOD)
    assert find_task("pronoun", suite) == tmp_path / "tasks" / "pronoun.yaml"
    assert find_task("pronoun", tmp_path) == tmp_path / "tasks" / "pronoun.yaml"
    assert find_task("pronoun") == bundled


def test_a_task_file_is_found_beside_the_suite_or_as_a_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(GOOD)
    assert find_task("mine.yml", tmp_path) == tmp_path / "mine.yml"
    assert find_task("elsewhere/mine.yml", tmp_path) == Path("elsewhere/mine.yml")
    assert load_task(str(tmp_path / "mine.yml")).name == "pronoun"


def test_an_unknown_task_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "plurals.yaml").write_text(GOOD)
    with pytest.raises(UserError, match=r"unknown task 'plural'; tasks: .*; did you mean 'plurals'\?"):
        find_task("plural", tmp_path)


@pytest.mark.parametrize("name", yaml_names(bundled_dir() / "tasks"))
def test_a_bundled_task_makes_sense_and_is_called_as_its_file(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert all(task.prompts(part) for part in task.splits + task.shifts)


_words = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=3, unique=True)
_conditions = st.lists(
    st.sampled_from(["x != y", "x.k == y.k", "x.k != y.k", "x == y", "y != z", "x != z"]), max_size=2
)


@st.composite
def _task_files(draw: st.DrawFn) -> str:
    """Small tasks with conditions, that may or may not make sense."""
    levels = {"l": draw(_words), "r": [word.upper() for word in draw(_words)]}
    splits = {
        split: {"slots": {"z": [split, *draw(_words)] if draw(st.booleans()) else [split]}}
        for split in ("train", "validation", "test")
    }
    return yaml.safe_dump(
        {
            "faithcheck_task": 1,
            "task": "t",
            "about": "t",
            "slots": {"x": {"k": levels}, "y": {"k": {"l": list(levels["l"]), "r": list(levels["r"])}}},
            "templates": draw(st.sampled_from([["{x} {y} {z}"], ["{z}: {x}, {y}, {x}", "{y} {z} {x}."]])),
            "where": draw(_conditions),
            "unit": draw(st.sampled_from(["x", "y"])),
            "variables": {"v": "x.k"},
            "answer": {"variable": "v", "tokens": {"l": "1", "r": "2"}},
            "nonsense": {"l": "3", "r": "4"},
            "splits": splits,
            "shifts": {"s": {"slots": {"z": draw(_words)}}},
        },
        sort_keys=False,
    )  # fmt: skip


@given(_task_files())
def test_enumeration_is_distinct_deterministic_and_as_surveyed(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        task, again = _load(folder, text), _load(folder, text)
    except UserError:
        return
    for name, part in task.file.parts.items():
        prompts = task.prompts(name)
        assert prompts == again.prompts(name)
        assert len({prompt.text for prompt in prompts}) == len(prompts)
        assert all(prompt.text[slice(*prompt.roles["x"])] in prompt.text.split(":")[-1] for prompt in prompts)
        seen = survey(part, task.file.reading)
        assert seen.frames == {prompt.frame for prompt in prompts}
        assert seen.answers == {prompt.answer for prompt in prompts}
