"""Whatever stands in a result appears in every report as text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from results import check, circuit, metric, result
from xunit_rules import read

from faithcheck.report.command import render
from faithcheck.report.reading import LoadedResult
from faithcheck.result_schema import ResultData
from faithcheck.text import one_line, visible

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
CONTROL = ["\x1b[31m", "\x1b]8;;http://x\x07", "\x00", "\r\n", "\n", "\t", "\x85", "\u2028", "\ufffe", "\ufeff"]
ODD = ["\u202e", "\u200f", "\u200b", "\ud800", "\udfff", "\U0001f600", "e\u0301", "\u05d0", "", " ", "a", "deadbeef"]
BLOCKS = ["|", "# h", "- i", "1. i", "---", "> q", "```"]
MARKUP = [
    "\\",
    "`",
    "``",
    "*",
    "**b**",
    "_",
    "~~",
    "<",
    "<b>",
    "[a](b)",
    "![a](b)",
    "[red]",
    "[/]",
    "&",
    "&amp;",
    "&#0;",
]
LIVE_WORDS = ["@octocat", "a@b.org", "#1", "GH-1", "http://x.y", "www.x.y", ":smile:", "$x$"]
ENDS = ["</failure>", "]]>", "::error::x", "::", "%0A", "%25", ",", "'", '"']
NASTY = [*CONTROL, *ODD, *BLOCKS, *MARKUP, *LIVE_WORDS, *ENDS]
texts = st.lists(st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=()), max_size=3), max_size=6).map(
    "".join
)
LIVE = re.compile(r"@\w|#\d|://|www\.|:\w+:|\$|GH-\d|[0-9a-f]{7}")


def of(word):
    """A result whose every text is `word`, as it is read from its file."""
    gated = metric(word, "FAIL", gate=word, on=word)
    failed = check("FAIL", check=word, task=word, reason=word, metrics=[gated], details=word)
    data = result([failed], [circuit(task=word, file=word)], suite={"name": word, "file": word}) | {
        "method": {"name": word},
        "model": {"name": word, "fingerprint": word},
    }
    data["suite"]["checks"][0]["lines"] = {word: 3, "": 2}
    data["timing"]["cases"][0]["case"] = word
    return LoadedResult(ResultData.model_validate(json.loads(json.dumps(data))), ANYWHERE)


@pytest.fixture(scope="module", autouse=True)
def _anywhere(tmp_path_factory):
    global ANYWHERE
    ANYWHERE = tmp_path_factory.mktemp("run")


@given(texts)
@example("".join(NASTY))
def test_a_junit_file_is_valid_and_says_what_was_said(word):
    loaded = of(word)
    said = one_line(loaded.data.checks[0].reason)
    top = read(render(loaded, "junit"))
    case = top.find("testsuite/testcase")
    assert case.get("name") == case.find("failure").get("message") == said
    assert case.find("failure").text in (said, None)
    assert top.find("testsuite").get("name") == case.get("classname") == f"{said}.{said}"
    assert top.find("testsuite/properties/property").get("name") == f"{said}.{said} on {said}, seed 0"


@given(texts)
@example("".join(NASTY))
def test_a_markdown_report_has_the_blocks_of_a_harmless_one_and_nothing_live(word):
    text = render(of(word), "markdown")
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    tokens = PARSER.parse(text)
    assert [token.type for token in tokens] == [token.type for token in PARSER.parse(render(of("word"), "markdown"))]
    parts = [part for token in tokens for part in token.children or []]
    assert {part.type for part in parts} <= {"text", "text_special", "code_inline", "strong_open", "strong_close"}
    for token in tokens:
        outside = "".join("\0" if part.type == "code_inline" else part.content for part in token.children or [])
        assert not LIVE.search(outside)


@given(texts)
@example("".join(NASTY))
def test_a_markdown_report_says_what_was_said(word):
    loaded = of(word)
    said = one_line(loaded.data.checks[0].reason).split()
    item = next(token for token in PARSER.parse(render(loaded, "markdown")) if token.content.startswith("**FAIL** "))
    shown = "".join(part.content for part in item.children).split()
    assert "".join(shown).count("".join(said)) >= 3


@given(texts)
@example("".join(NASTY))
def test_github_commands_are_one_line_each_and_say_what_was_said(word):
    loaded = of(word)
    said = one_line(loaded.data.checks[0].reason)
    text = render(loaded, "github")
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    (line,) = text.splitlines()
    kind, settings, message = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line).groups()
    assert kind == "error"
    assert [pair.split("=")[0] for pair in settings.split(",")] == ["file", "line", "title"]
    assert message.replace("%25", "%") == said


@given(texts)
@example("".join(NASTY))
def test_a_terminal_sees_no_control_character_and_as_many_parts(word):
    text = render(of(word), "terminal")
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert text.count("\n\n") == render(of("word"), "terminal").count("\n\n")


class Page(HTMLParser):
    """The elements of a page with the names of their attributes, and the text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._code = [], "", False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, [name for name, _ in attributes]))
        self._code = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._code = False

    def handle_data(self, data):
        self.text += "" if self._code else data


@settings(max_examples=30)
@given(texts.filter(bool))
@example("".join(NASTY))
def test_a_page_has_the_elements_of_a_harmless_one_and_says_what_was_said(word):
    loaded = of(word)
    text = render(loaded, "html")
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    page, harmless = Page(text), Page(render(of("word"), "html"))
    assert page.elements == harmless.elements
    said = "".join(visible(loaded.data.checks[0].reason).split())
    assert "".join(page.text.split()).count(said) >= harmless.text.count("word") > 10


def test_the_words_above_would_do_harm_if_they_were_let_through():
    """So that the laws are tried on what breaks them."""
    raw = "".join(NASTY)
    with pytest.raises((ElementTree.ParseError, UnicodeEncodeError)):
        ElementTree.fromstring(f"<a>{raw}</a>".encode())
    parsed = [token for word in NASTY for token in PARSER.parse(f"x {word}")]
    kinds = {part.type for token in parsed for part in token.children or []}
    assert {"link_open", "image", "html_inline", "strong_open"} <= kinds
    assert all(LIVE.search(word) for word in LIVE_WORDS)
