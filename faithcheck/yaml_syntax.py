"""The syntax of YAML as faithcheck takes it: scalars of YAML 1.2, no anchors, errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

import yaml

from faithcheck.errors import Location, UserError

_TAG = "tag:yaml.org,2002:"
MAX_DEPTH = 50


def compose(text: str, file: str) -> yaml.Node | None:
    """The node tree of one YAML document; None where the text holds none. Raises UserError on bad syntax."""
    try:
        loader = YamlLoader(text)
        node: yaml.Node | None = loader.get_single_node()
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
        raise UserError(_plain(error), place) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"U+{ord(text[error.position]):04X}"
        raise UserError(f"the character {found} is not allowed", Location(file, line)) from None


class YamlLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2, and without anchors, aliases and deep nesting."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own class attribute)

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node of the tree. Raises yaml.MarkedYAMLError on what is not allowed."""
        event: Any = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            self._refuse("anchors (&) and aliases (*) are not allowed here", event)
        if self._depth >= MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, problem: str, event: Any) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_SCALARS: dict[str, tuple[re.Pattern[str], list[str], Callable[[str], Any]]] = {
    "null": (re.compile(r"(~|null|Null|NULL|)\Z"), [*"~nN", ""], lambda text: None),
    "bool": (re.compile(r"([tT]rue|TRUE|[fF]alse|FALSE)\Z"), [*"tTfF"], lambda text: text.lower() == "true"),
    "int": (
        re.compile(r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
        [*"-+0123456789"],
        lambda text: int(text, 0 if text[:2] in ("0o", "0x") else 10),
    ),
    "float": (
        re.compile(rf"({_FLOAT})\Z"),
        [*"-+.0123456789"],
        lambda text: float(re.sub(r"\.(?=[inIN])", "", text)),
    ),
}
for _name, (_pattern, _first, _) in _SCALARS.items():
    YamlLoader.add_implicit_resolver(_TAG + _name, _pattern, _first)


def read_text(text: str) -> str:
    """Text with escaped surrogate pairs (as JSON writes them) joined. Raises ValueError on half a pair."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise ValueError(f"{text[:40]!r} holds half a surrogate pair, which is no character") from None


def read_scalar(node: yaml.Node) -> Any:
    """The plain value of a scalar. Raises ValueError on a tag that is not understood or does not fit."""
    kind = node.tag.removeprefix(_TAG)
    if not isinstance(node, yaml.ScalarNode) or kind not in ("str", *_SCALARS):
        raise ValueError(f"the tag {node.tag.replace(_TAG, '!!')} is not allowed; plain values only")
    if kind == "str":
        return read_text(node.value)
    pattern, _, convert = _SCALARS[kind]
    try:
        if pattern.match(node.value):
            return convert(node.value)
    except ValueError:  # an integer of thousands of digits
        pass
    raise ValueError(f"{node.value[:40]!r} cannot be read as {kind}")


_PLAIN_WORDS = (
    (r"found character '\\t'.*", "a tab cannot be used here; indent with spaces"),
    (r"found character '(.)' that cannot start any token", r"a value that begins with \1 must be quoted"),
    (r"expected chomping or indentation indicators.*", "a value that begins with > or | must be quoted"),
    (r"mapping values are not allowed here", "a ':' is not expected here; quote the value or indent it"),
    (r"could not find expected ':'", "expected ':' after the key"),
    (r"expected <block end>, but found .*", "this does not belong to the block above; check the indentation"),
    (r"but found another document", "expected one document; remove the '---' line"),
    (r"'?<stream end>'?", "the end of the file"),
)


def _plain(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's complaint in plain words and one line."""
    text = (error.problem or "not valid YAML").replace("\n", " ")
    for pattern, words in _PLAIN_WORDS:
        text = re.sub(pattern, words, text)
    begun = error.context_mark.line + 1 if error.context_mark else None
    ended = error.problem_mark.line + 1 if error.problem_mark else None
    return text if begun in (None, ended) else f"{text} (in what begins on line {begun})"
