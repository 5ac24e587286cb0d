"""The bundled stories: a closed vocabulary, a lossless tokenizer, prefixes that force their answers."""

import re
from collections import Counter
from itertools import islice, pairwise, product
from pathlib import Path
from random import Random

import pytest
import yaml
from faithcheck_circuits.stories import WordTokenizer, grammar, lexicon
from hypothesis import given, settings
from hypothesis import strategies as st

TASKS = Path(__file__).parent.parent / "suites" / "tasks"
TOKENIZER = WordTokenizer(grammar.vocabulary())
GENDERED = {word: gender for gender, forms in grammar.PRONOUNS.items() for word in forms.values()}
SUBJECT = {"female": "she", "male": "he"}
OBJECT = {"female": "her", "male": "him"}


@pytest.fixture(scope="module")
def corpus() -> list[list[list[str]]]:
    rng = Random(0)
    return [grammar.sentences(rng) for _ in range(4000)]


@pytest.fixture(scope="module")
def lines(corpus: list[list[list[str]]]) -> list[str]:
    return [" ".join(sentence) for story in corpus for sentence in story]


def load(task: str) -> dict:
    return yaml.safe_load((TASKS / f"{task}.yaml").read_text(encoding="utf-8"))


def distributions(task: dict) -> list[dict]:
    """Slots, templates and conditions of each split and shift, over the task's defaults."""
    overrides = {**task["splits"], **task["shifts"]}.values()
    return [{**task, **override, "slots": {**task["slots"], **override.get("slots", {})}} for override in overrides]


def values(grouped: list | dict) -> list[str]:
    """The values of a slot or template list, grouped or plain."""
    if isinstance(grouped, list):
        return grouped
    return [value for group in grouped.values() for value in values(group)]


def prompts(task: dict) -> list[str]:
    """Prompts in which every value of every slot and every template occurs."""
    texts = set()
    for part in distributions(task):
        slots = {slot: values(grouped) for slot, grouped in part["slots"].items()}
        longest = max(map(len, slots.values()))
        rows = [{slot: words[i % len(words)] for slot, words in slots.items()} for i in range(longest)]
        texts |= {template.format(**row) for template in values(part["templates"]) for row in rows}
    return sorted(texts)


@pytest.fixture(scope="module", params=["pronoun", "ioi", "questions"])
def task(request: pytest.FixtureRequest) -> dict:
    return load(request.param)


def alternatives(words: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


NAME = alternatives(lexicon.FEMALE_NAMES + lexicon.MALE_NAMES)


def continuations(lines: list[str], prefix: str) -> list[tuple[str, ...]]:
    """For each occurrence of `prefix`: its groups, and the token that follows."""
    pattern = re.compile(rf"(?<!\S){prefix} (\S+)")
    return [found.groups() for line in lines for found in pattern.finditer(line)]


def test_the_same_seed_tells_the_same_stories() -> None:
    assert list(islice(grammar.stories(7), 50)) == list(islice(grammar.stories(7), 50))
    assert list(islice(grammar.stories(7), 50)) != list(islice(grammar.stories(8), 50))


def test_a_story_has_5_to_12_sentences(corpus: list[list[list[str]]]) -> None:
    assert {len(story) for story in corpus} == set(range(5, 13))


def test_text_and_tokens_tell_the_same_story() -> None:
    text = " ".join(grammar.story(Random(3)))
    assert TOKENIZER.encode(text) == TOKENIZER.ids(grammar.story_tokens(Random(3)))


def test_the_vocabulary_is_closed_and_all_of_it_is_used(corpus: list[list[list[str]]]) -> None:
    vocabulary = grammar.vocabulary()
    used = {token for story in corpus for sentence in story for token in sentence}
    assert 800 <= len(vocabulary) <= 950
    assert len(set(vocabulary)) == len(vocabulary)
    assert vocabulary[0] == grammar.END
    assert used == set(vocabulary) - {grammar.END}


def test_names_are_single_tokens_of_one_gender() -> None:
    names = lexicon.FEMALE_NAMES + lexicon.MALE_NAMES
    assert len(set(names)) == len(names)
    assert all(len(TOKENIZER.encode(name)) == 1 for name in names)
    assert min(len(lexicon.FEMALE_NAMES), len(lexicon.MALE_NAMES)) >= 22


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_decoding_loses_nothing_even_from_the_middle_of_a_story(seed: int, start: int) -> None:
    text = " ".join(grammar.story(Random(seed)))
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.encode(TOKENIZER.decode(ids[start:])) == ids[start:]


def test_a_word_is_one_token_with_or_without_a_space_before_it() -> None:
    assert TOKENIZER.encode(" he") == TOKENIZER.encode("he") == [grammar.vocabulary().index("he")]


def test_the_separator_is_one_token_and_starts_quotes_afresh() -> None:
    text = '"hurry up!<|end|> "hurry up!" shouted Mia.'
    assert TOKENIZER.encode("<|end|>") == [0]
    assert TOKENIZER.decode(TOKENIZER.encode(text)).endswith('<|end|> "hurry up!" shouted Mia.')


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(ValueError, match="'xylophone'"):
        TOKENIZER.encode("Mia played the xylophone.")


def test_after_an_action_only_the_pronoun_of_its_person_follows(lines: list[str]) -> None:
    found = continuations(lines, rf"when ({NAME}) (?:{alternatives(lexicon.ACTIONS)}) ,")
    assert len(found) > 3000
    assert all(after == SUBJECT[grammar.gender(name)] for name, after in found)


def test_after_a_situation_only_another_name_follows(lines: list[str]) -> None:
    found = continuations(lines, rf"when ({NAME}) (?:{alternatives(lexicon.SITUATIONS)}) ,")
    assert len(found) > 3000
    assert all(re.fullmatch(NAME, after) and after != name for name, after in found)
    same = sum(grammar.gender(name) == grammar.gender(after) for name, after in found)
    assert 0.45 < same / len(found) < 0.55


def test_after_a_deed_only_the_pronoun_of_the_first_person_follows(lines: list[str]) -> None:
    situations, deeds = alternatives(lexicon.SITUATIONS), alternatives(lexicon.CARES)
    found = continuations(lines, rf"when ({NAME}) (?:{situations}) , (?:{NAME}) (?:{deeds})")
    assert len(found) > 3000
    assert all(after == OBJECT[grammar.gender(name)] for name, after in found)


@pytest.mark.parametrize(("frames", "mark"), [(lexicon.QUESTION_FRAMES, "?"), (lexicon.STATEMENT_FRAMES, ".")])
def test_after_a_frame_only_an_object_and_its_mark_follow(lines: list[str], frames: tuple[str, ...], mark: str) -> None:
    known = set(lexicon.OBJECTS)
    inner = alternatives(frames)
    found = continuations(lines, rf"(?:^|(?<=[\"] ))({inner}) (\S+)")
    assert {frame for frame, _, _ in found} == set(frames)
    assert all(noun in known and after == mark for _, noun, after in found)


def test_no_frame_begins_another() -> None:
    frames = sorted(lexicon.QUESTION_FRAMES + lexicon.STATEMENT_FRAMES)
    assert not [pair for pair in pairwise(frames) if f"{pair[1]} ".startswith(f"{pair[0]} ")]


def test_actions_and_situations_never_begin_one_another() -> None:
    clauses = sorted(lexicon.ACTIONS + lexicon.SITUATIONS)
    assert not [pair for pair in pairwise(clauses) if f"{pair[1]} ".startswith(f"{pair[0]} ")]


def test_each_family_is_a_fair_share_of_all_and_of_first_sentences(corpus: list[list[list[str]]]) -> None:
    for chosen in (corpus, [story[:1] for story in corpus]):
        shares = Counter(family(sentence) for story in chosen for sentence in story)
        total = shares.total()
        assert min(shares[name] for name in ("pronoun", "ioi", "questions")) > 0.12 * total
        assert 0.38 * total < total - shares["other"] < 0.47 * total


_FRAMED = re.compile(rf"(?:^|\" )(?:{alternatives(lexicon.QUESTION_FRAMES + lexicon.STATEMENT_FRAMES)}) ")


def family(sentence: list[str]) -> str:
    if sentence[0] == "when":
        return "ioi" if re.fullmatch(NAME, sentence[sentence.index(",") + 1]) else "pronoun"
    return "questions" if _FRAMED.search(" ".join(sentence)) else "other"


def test_pronouns_agree_within_a_sentence_and_with_somebody_already_named(
    corpus: list[list[list[str]]],
) -> None:
    for story in corpus:
        named: set[str] = set()
        for sentence in story:
            named |= {grammar.gender(word) for word in sentence if re.fullmatch(NAME, word)}
            used = {GENDERED[word] for word in sentence if word in GENDERED}
            assert len(used) <= 1
            assert used <= named, " ".join(sentence)


def test_names_are_independent_of_what_they_do(lines: list[str]) -> None:
    found = continuations(lines, rf"when (?:{NAME}) ({alternatives(lexicon.ACTIONS)}) ,")
    female = Counter(action for action, after in found if after == "she")
    total = Counter(action for action, _ in found)
    assert set(total) == set(lexicon.ACTIONS)
    assert all(0.2 < female[action] / total[action] < 0.8 for action in total)


def test_every_prompt_of_a_task_is_in_the_vocabulary(task: dict) -> None:
    assert all(TOKENIZER.encode(prompt) for prompt in prompts(task))


def test_answers_and_nonsense_labels_are_single_tokens(task: dict) -> None:
    tokens = [*task["answer"]["tokens"].values(), *task["nonsense"].values()]
    assert all(len(TOKENIZER.encode(token)) == 1 for token in tokens)
    assert len(set(tokens)) == 4


def test_task_files_use_the_words_of_the_grammar(task: dict) -> None:
    known = {
        "name": {*lexicon.FEMALE_NAMES, *lexicon.MALE_NAMES},
        "action": set(lexicon.ACTIONS),
        "situation": set(lexicon.SITUATIONS),
        "verb": set(lexicon.CARES),
        "object": set(lexicon.OBJECTS),
    }
    for part in distributions(task):
        for slot, grouped in part["slots"].items():
            assert set(values(grouped)) <= known[slot.rstrip("12")]


def test_names_stand_under_their_gender() -> None:
    for name in ("pronoun", "ioi"):
        for part in distributions(load(name)):
            groups = [slot["gender"] for slot in part["slots"].values() if isinstance(slot, dict)]
            for group, gender in product(groups, SUBJECT):
                assert {grammar.gender(word) for word in group[gender]} == {gender}


def test_question_tasks_use_the_frames_of_the_grammar() -> None:
    frames = {"question": set(lexicon.QUESTION_FRAMES), "statement": set(lexicon.STATEMENT_FRAMES)}
    for part in distributions(load("questions")):
        for kind, templates in part["templates"]["kind"].items():
            assert {template.removesuffix(" {object}") for template in templates} <= frames[kind]


def test_splits_share_no_template_and_no_action() -> None:
    for name, list_of in (("pronoun", "slots"), ("ioi", "templates"), ("questions", "templates")):
        parts = [split[list_of] for split in load(name)["splits"].values()]
        lists = [values(part["action"] if list_of == "slots" else part) for part in parts]
        assert sum(map(len, lists)) == len(set().union(*lists))


def test_the_shift_of_the_pronoun_task_has_names_that_no_split_has() -> None:
    task = load("pronoun")
    unseen = values(task["shifts"]["unseen_names"]["slots"]["name"])
    assert len(unseen) >= 18
    assert not set(unseen) & set(values(task["slots"]["name"]))
