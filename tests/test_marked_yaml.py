"""YAML without surprises: scalars as people mean them, every complaint with its line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from faithcheck.errors import UserError
from faithcheck.marked_yaml import load, loads, parse_value
from faithcheck.yaml_syntax import YamlLoader

_SCALARS = [
    ("1e-3", 1e-3),
    ("1E5", 1e5),
    (".5", 0.5),
    ("-2.", -2.0),
    ("+7", 7),
    ("010", 10),
    ("0x1F", 31),
    ("0o17", 15),
    (".inf", math.inf),
    ("-.INF", -math.inf),
    ("true", True),
    ("False", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("on", "on"),
    ("off", "off"),
    ("yes", "yes"),
    ("No", "No"),
    ("y", "y"),
    ("2026-02-03", "2026-02-03"),
    ("1:30", "1:30"),
    ("1_000", "1_000"),
    ("0b11", "0b11"),
    ("=", "="),
    ("<<", "<<"),
    ("<= 0.3", "<= 0.3"),
    (".", "."),
    ("1.2.3", "1.2.3"),
    ("e5", "e5"),
    ("'1'", "1"),
    ("!!str 1", "1"),
    ('"\\ud83d\\ude00"', "\U0001f600"),
]


@pytest.mark.parametrize(("text", "value"), _SCALARS)
def test_a_scalar_is_read_as_yaml_1_2_reads_it(text: str, value: object) -> None:
    read = loads(f"key: {text}", "f.yaml").data["key"]
    assert (type(read), read) == (type(value), value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(loads("key: .nan", "f.yaml").data["key"])


_REFUSED = [
    ("", 1, "empty"),
    ("# only a comment\n", 1, "empty"),
    ("- a\n- b", 1, "found a list"),
    ("just text", 1, "found 'just text'"),
    ("a: 1\nb: 2\na: 3", 3, "'a' is given twice; first on line 1"),
    ("a: 1\n'a': 3", 2, "first on line 1"),
    ("1: x\n'1': y", 2, "first on line 1"),
    ("x:\n  deep:\n    b: 1\n    c: 2\n    b: 3", 5, "'b' is given twice; first on line 3"),
    ("a: [1, 2", 1, "expected ',' or ']', but got the end of the file"),
    ("a: [1,\n  2\nb: 3", 3, "in what begins on line 1"),
    ("a: 1\n\tb: 2", 2, "a tab cannot be used here"),
    ("a: >= 3", 1, "begins with > or | must be quoted"),
    ("a: {b: >= 3}", 1, "begins with > must be quoted"),
    ("a: b: c", 1, "a ':' is not expected here"),
    ("a: 1\n  b: 2", 2, "a ':' is not expected here"),
    ("a:\n    - 1\n  - 2", 3, "check the indentation"),
    ("a: 1\nbroken\nc: 2", 3, "expected ':' after the key"),
    ('a: "open', 1, "found unexpected end"),
    ("a: 1\n---\nb: 2", 2, "expected one document"),
    ("a: &x 1", 1, "anchors (&) and aliases (*)"),
    ("a: 1\nb: *x", 2, "anchors (&) and aliases (*)"),
    ("a: !!python/object:os.system x", 1, "!!python/object:os.system is not allowed"),
    ("a: 1\nb: !mine {c: 1}", 2, "the tag !mine is not allowed"),
    ("a: !!set {b}", 1, "!!set is not allowed"),
    ("a: !!null {b: 1}", 1, "not allowed"),
    ("a: !!int x", 1, "'x' cannot be read as int"),
    ("a: !!bool maybe", 1, "'maybe' cannot be read as bool"),
    ("a: " + "9" * 5000, 1, "cannot be read as int"),
    ("[a, b]: 1", 1, "a key must be text, found a list"),
    ('a: "\\ud800"', 1, "half a surrogate pair"),
    ('a: 1\n"\\udc00": 2', 2, "half a surrogate pair"),
    ("a: 1\nb: \x00", 2, "U+0000 is not allowed"),
    ("a: " + "[" * 60 + "]" * 60, 1, "nested deeper than 50"),
    ("a:\n" + "".join("  " * n + "b:\n" for n in range(1, 60)), 50, "nested deeper than 50"),
    ("a: " + "[" * 100_000, 1, "nested deeper than 50"),
]


@pytest.mark.parametrize(("text", "line", "fragment"), _REFUSED)
def test_bad_yaml_is_refused_with_its_line_in_one_line(text: str, line: int, fragment: str) -> None:
    with pytest.raises(UserError) as caught:
        loads(text, "f.yaml")
    assert caught.value.location is not None
    assert (caught.value.location.file, caught.value.location.line) == ("f.yaml", line)
    assert fragment in caught.value.message
    assert "\n" not in str(caught.value)


def test_every_key_and_value_knows_its_line_and_column() -> None:
    marked = loads("a: 1\nchecks:\n  - one\n  - two: {gates: {x: y}}\n", "f.yaml")
    gate = ("checks", 1, "two", "gates", "x")
    assert (marked.mark(gate).line, marked.mark(gate).column) == (4, 22)
    assert (marked.key_mark(gate).line, marked.key_mark(gate).column) == (4, 19)
    assert str(marked.mark(("checks", 0))) == "f.yaml:3"
    assert str(marked.key_mark(("checks",))) == "f.yaml:2"


def test_a_path_that_does_not_exist_is_at_its_nearest_parent() -> None:
    marked = loads("a: 1\nb:\n  c: 2\n", "f.yaml")
    assert marked.mark(("b", "missing", 3)).line == 3
    assert marked.key_mark(("b", "missing", 3)).line == 2
    assert marked.mark(("nowhere",)).line == 1


def test_keys_are_text_whatever_they_look_like() -> None:
    assert loads("1: a\ntrue: b\nno: c\n1.5: d", "f.yaml").data == {
        "1": "a",
        "true": "b",
        "no": "c",
        "1.5": "d",
    }


def test_one_value_is_parsed_like_a_value_in_a_file() -> None:
    assert parse_value("[a, 1e-3, {b: on}]") == ["a", 1e-3, {"b": "on"}]
    assert parse_value("") is None


@pytest.mark.parametrize(
    ("content", "fragment"),
    [(b"a: \xff", "not UTF-8 text (byte 4)"), (None, "no such file; did you mean 'suite.yaml'?")],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes | None, fragment: str) -> None:
    (tmp_path / "suite.yaml").write_bytes(b"a: 1")
    file = tmp_path / "suit.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert fragment in str(caught.value)


@pytest.mark.parametrize("name", [".", "a\0b"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / name)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: x\r\n")
    marked = load(file)
    assert marked.data == {"a": 1, "b": "x"}
    assert marked.mark(("b",)).line == 2


class _Dumper(yaml.SafeDumper):
    """Quotes exactly the strings that the loader would take for something else."""

    yaml_implicit_resolvers = YamlLoader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


_text = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["1e-3", "off", "true", "~", "0x1", ".5", "<<", "=", "- a", "a: b", "&x", "\t", "#", "010", ".inf", "-"]
)
_leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text
_nested = st.recursive(
    _leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_text, _nested, max_size=4), st.booleans())
def test_what_is_dumped_is_loaded_again(data: dict[str, Any], flow: bool) -> None:
    text = yaml.dump(data, Dumper=_Dumper, default_flow_style=flow, sort_keys=False)
    read = loads(text, "f.yaml")
    assert repr(read.data) == repr(data)
    assert set(read.values) >= {(key,) for key in data}
