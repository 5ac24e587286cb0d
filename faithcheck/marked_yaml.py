"""YAML as suites and tasks are written in: plain data, no surprises, and the line of everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.yaml_syntax import compose, read_scalar, read_text

KeyPath = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Marked:
    """Plain data (dict, list and scalars), with the place in the file of every key and value."""

    data: dict[str, Any]
    values: dict[KeyPath, Location]
    keys: dict[KeyPath, Location]

    def mark(self, path: KeyPath) -> Location:
        """The place of the value at `path`, or of its nearest parent that exists."""
        return next(self.values[p] for p in _upwards(path) if p in self.values)

    def key_mark(self, path: KeyPath) -> Location:
        """The place of the key at `path` (of an item in a list: the item), or of its nearest parent."""
        return next(self.keys.get(p) or self.values[p] for p in _upwards(path) if p in self.keys or p in self.values)


def load(path: str | Path) -> Marked:
    """Read a YAML file whose top level is a mapping.

    Raises:
        UserError: the file cannot be read, is not UTF-8, or is refused by `loads`.
    """
    return loads(_read(Path(path)), str(path))


def loads(text: str, file: str) -> Marked:
    """Parse YAML text whose top level is a mapping; `file` is what errors call it.

    Raises:
        UserError: broken syntax, empty text, a top level that is no mapping, a key given twice, an anchor
            or alias, a tag, or nesting deeper than 50.
    """
    reader = _Reader(file)
    node = compose(text, file)
    if node is None:
        raise UserError("the file is empty; expected keys and values", Location(file, 1, 1))
    data = reader.read(node, ())
    if not isinstance(data, dict):
        raise UserError(f"expected keys and values at the top level, found {_kind(node)}", reader.values[()])
    return Marked(data, reader.values, reader.keys)


def parse_value(text: str) -> Any:
    """One YAML value, such as the right side of `--set seeds=2`. Raises UserError where `loads` would."""
    node = compose(text, "value")
    return None if node is None else _Reader("value").read(node, ())


@dataclass
class _Reader:
    """Turns a node tree into plain data and remembers where everything stood."""

    file: str
    values: dict[KeyPath, Location] = field(default_factory=dict)
    keys: dict[KeyPath, Location] = field(default_factory=dict)

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        self.values[path] = self._at(node)
        if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._checked(read_scalar, node, node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            here = (*path, key)
            if key in data:
                first = self.keys[here].line
                raise UserError(f"{key!r} is given twice; first on line {first}", self._at(key_node))
            self.keys[here] = self._at(key_node)
            data[key] = self.read(value_node, here)
        return data

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise UserError(f"a key must be text, found {_kind(node)}", self._at(node))
        return str(self._checked(read_text, node.value, node))

    def _checked(self, read: Callable[[T], Any], what: T, node: yaml.Node) -> Any:
        try:
            return read(what)
        except ValueError as error:
            raise UserError(str(error), self._at(node)) from None

    def _at(self, node: yaml.Node) -> Location:
        return Location(self.file, node.start_mark.line + 1, node.start_mark.column + 1)


def _upwards(path: KeyPath) -> list[KeyPath]:
    return [path[:n] for n in range(len(path), -1, -1)]


def _kind(node: yaml.Node) -> str:
    names = {"MappingNode": "keys and values", "SequenceNode": "a list"}
    return names.get(type(node).__name__, repr(str(node.value)[:40]))


def _read(path: Path) -> str:
    place = Location(str(path))
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        near = did_you_mean(path.name, [other.name for other in path.parent.glob("*.y*ml")])
        raise UserError(f"no such file{near}", place) from None
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text (byte {error.start + 1})", place) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read: {getattr(error, 'strerror', None) or error}", place) from None
