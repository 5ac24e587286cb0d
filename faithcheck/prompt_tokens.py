"""Where in a model's tokens a prompt has its words: its answer, and the ends of its slots' values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from faithcheck.errors import UserError
from faithcheck.strict_tokenizer import StrictTokenizer, strict

if TYPE_CHECKING:
    from faithcheck.model import Tokenizer

_OTHER_WORDS = "use other words, or a model that knows these"


def prompt_row(tokenizer: StrictTokenizer, text: str) -> list[int]:
    """The tokens of a prompt. Raises UserError naming text and word where the tokenizer does not know it."""
    try:
        row = tokenizer.encode(text)
    except ValueError as error:
        raise UserError(f"{text!r} cannot be encoded: {error}; {_OTHER_WORDS}") from error
    if not tokenizer.content(row):
        raise UserError(f"{text!r} has no tokens")
    if tokenizer.ending(row):
        raise UserError(
            f"the model's tokenizer ends every text with {tokenizer.shown(tokenizer.ending(row))}, so no answer can "
            "follow a prompt; its `encode` must leave that out"
        )
    return row


def answer_token(tokenizer: Tokenizer, text: str, answer: str) -> int:
    """The one token that continues `text` with `answer`. Raises UserError where it is not one token.

    A word or number follows the text after a space, a mark at once; an answer that begins with a space has it written.
    """
    words = strict(tokenizer)
    before = prompt_row(words, text)
    gap = " " if answer[0].isalnum() and not text[-1].isspace() else ""
    try:
        after = words.encode(text + gap + answer)
    except ValueError as error:
        raise UserError(f"the answer {answer!r} cannot be encoded: {error}; {_OTHER_WORDS}") from error
    added = after[len(before) :]
    if after[: len(before)] != before:
        changed = next(i for i, token in enumerate(before) if after[i : i + 1] != [token])
        raise UserError(
            f"the answer {answer!r} runs together with the end of {text!r} (as {words.shown(after[changed:])}); "
            "let the prompts end, or the answer begin, where a token does"
        )
    if len(added) != 1:
        found = f" ({words.shown(added)})" if added else ""
        raise UserError(
            f"the answer {answer!r} is {len(added)} tokens after {text!r}{found}, not one; "
            "take answers that are one token of this model"
        )
    return added[0]


def answer_tokens(tokenizer: StrictTokenizer, texts: Sequence[str], answers: Sequence[str]) -> list[int]:
    """The token of each answer, the same after every text; what matters of a text is its last word.

    Raises UserError where an answer is not one token, is another one after another text, or is another answer's.
    """
    endings = list({text.split()[-1]: text for text in reversed(texts)}.values())[::-1]
    tokens = [answer_token(tokenizer, endings[0], answer) for answer in answers]
    for text in endings[1:]:
        for answer, token in zip(answers, tokens, strict=True):
            if answer_token(tokenizer, text, answer) != token:
                raise UserError(f"the answer {answer!r} is another token after {text!r} than after {endings[0]!r}")
    for place, token in enumerate(tokens):
        if token in tokens[:place]:
            twin = answers[tokens.index(token)]
            raise UserError(f"the answers {twin!r} and {answers[place]!r} are one and the same token")
    return tokens


def value_end(tokenizer: StrictTokenizer, text: str, row: list[int], end: int, name: str) -> int:
    """The position in `row`, the tokens of `text`, of the last token of `text[:end]`; there the value of `name` ends.

    Where a token ends there, the text up to it alone has these tokens too: byte pairs that are merged stay merged, and
    the best cut of the whole is the best one of its parts. Raises UserError where none does.
    """
    try:
        prefix = tokenizer.encode(text[:end])
    except ValueError:
        prefix = []
    if not tokenizer.content(prefix) or row[: len(prefix)] != prefix:
        raise UserError(
            f"{text!r}: the value of {name} does not end at a token (its tokens are "
            f"{tokenizer.shown(tokenizer.content(row))}); let a space or a mark follow the slot"
        )
    return len(prefix) - 1
