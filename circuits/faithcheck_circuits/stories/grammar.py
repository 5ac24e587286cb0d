"""A seeded grammar of short children's stories.

Every sentence is drawn from `lexicon.RULES`. The story's cast (a hero, a friend, an animal, a thing, a place)
binds the symbols that sentences share, so that pronouns and noun phrases stay consistent. After the prefix of
a task (`suites/tasks`) the rules allow only the task's answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from faithcheck_circuits.stories import lexicon
from faithcheck_circuits.stories.tokenizer import END, join

FAMILIES = (("pronoun", 0.15), ("ioi", 0.14), ("questions", 0.15))
"""The sentence families of the tasks, and the share of a story's sentences that each has."""

PRONOUNS = {
    "female": {"{he}": "she", "{him}": "her", "{his}": "her", "{child}": "girl"},
    "male": {"{he}": "he", "{him}": "him", "{his}": "his", "{child}": "boy"},
}
PUNCTUATION = (",", ".", "?", "!", '"', ":")

Bindings = dict[str, tuple[str, ...]]
T = TypeVar("T")


def _symbols(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_RULES = {f"{{{symbol}}}": tuple(map(_symbols, options)) for symbol, options in lexicon.RULES.items()}
_GENDERS = dict.fromkeys(lexicon.FEMALE_NAMES, "female") | dict.fromkeys(lexicon.MALE_NAMES, "male")


def gender(name: str) -> str:
    """`female` or `male`; KeyError for a name that is not in the lexicon."""
    return _GENDERS[name]


@dataclass(frozen=True)
class Cast:
    """Who and what one story is about."""

    hero: str
    friend: str
    setting: Bindings

    def bindings(self, name: str, pronoun: bool) -> Bindings:
        """The symbols of a sentence about `name`, whose subject is a pronoun if `pronoun`."""
        forms = {symbol: (word,) for symbol, word in PRONOUNS[gender(name)].items()}
        other = self.friend if name == self.hero else self.hero
        subject = forms["{he}"] if pronoun else (name,)
        return self.setting | forms | {"{name}": (name,), "{other}": (other,), "{subject}": subject}


def _pick(rng: Random, options: tuple[T, ...]) -> T:
    return options[int(rng.random() * len(options))]


def _names(rng: Random) -> tuple[str, str]:
    """Two different names, their genders independent."""
    genders = (lexicon.FEMALE_NAMES, lexicon.MALE_NAMES)
    hero, friend = _pick(rng, _pick(rng, genders)), ""
    pool = _pick(rng, genders)
    while friend in ("", hero):
        friend = _pick(rng, pool)
    return hero, friend


_ANIMALS = tuple((_symbols(noun), _symbols(sound)) for noun, sound in lexicon.ANIMALS.items())
_PLACES = tuple((_symbols(noun), _symbols(errand)) for noun, errand in lexicon.PLACES.items())


def _cast(rng: Random) -> Cast:
    animal, sound = _pick(rng, _ANIMALS)
    place, errand = _pick(rng, _PLACES)
    thing = (_pick(rng, lexicon.OBJECTS),)
    setting = {
        "{animal}": animal,
        "{pet}": (_pick(rng, lexicon.PET_ADJECTIVES), *animal),
        "{sound}": sound,
        "{place}": place,
        "{errand}": errand,
        "{object}": thing,
        "{thing}": (_pick(rng, lexicon.THING_ADJECTIVES), *thing),
    }
    return Cast(*_names(rng), setting)


def _expand(symbol: str, bound: Bindings, rng: Random, out: list[str]) -> None:
    options = _RULES.get(symbol)
    for part in bound[symbol] if options is None else _pick(rng, options):
        if part[0] == "{":
            _expand(part, bound, rng, out)
        else:
            out.append(part)


def _family(rng: Random) -> str | None:
    draw = rng.random()
    for family, share in FAMILIES:
        if draw < share:
            return family
        draw -= share
    return None


def _rule(rng: Random, index: int, length: int) -> str:
    """The rule of a story's sentence number `index`."""
    plain = {0: "opening", length - 1: "ending"}.get(index, "narration")
    return f"{{{_family(rng) or plain}}}"


def sentences(rng: Random) -> list[list[str]]:
    """One story as sentences of tokens."""
    cast, length, told = _cast(rng), rng.randint(5, 12), []
    last = ""
    for index in range(length):
        name = cast.hero if rng.random() < 0.6 else cast.friend
        bound = cast.bindings(name, pronoun=name == last and rng.random() < 0.7)
        words: list[str] = []
        _expand(_rule(rng, index, length), bound, rng, words)
        told.append(words)
        last = next((word for word in reversed(words) if word in _GENDERS), last)
    return told


def story_tokens(rng: Random) -> list[str]:
    """One story as tokens of the vocabulary, without `END`."""
    return [token for sentence in sentences(rng) for token in sentence]


def story(rng: Random) -> list[str]:
    """The 5 to 12 sentences of one story, as text."""
    return [join(sentence) for sentence in sentences(rng)]


def stories(seed: int) -> Iterator[list[str]]:
    """Endless stories; the same seed gives the same ones."""
    rng = Random(seed)
    while True:
        yield story(rng)


def vocabulary() -> tuple[str, ...]:
    """All tokens that the grammar can emit: `END`, the punctuation, then the words in order."""
    lists = [lexicon.FEMALE_NAMES, lexicon.MALE_NAMES, lexicon.PET_ADJECTIVES, lexicon.THING_ADJECTIVES]
    lists += [tuple(mapping) + tuple(mapping.values()) for mapping in (lexicon.ANIMALS, lexicon.PLACES)]
    lists += [tuple(forms.values()) for forms in PRONOUNS.values()]
    lists += list(lexicon.RULES.values())
    tokens = {token for texts in lists for text in texts for token in text.split() if token[0] != "{"}
    return (END, *PUNCTUATION, *sorted(tokens.difference(PUNCTUATION)))
