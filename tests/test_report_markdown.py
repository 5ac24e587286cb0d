"""The report as GitHub-flavoured Markdown, as a parser of it sees it."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from results import VERDICTS, check, circuit, evidence, loaded, metric

from faithcheck.report import markdown
from faithcheck.report.markdown_text import code, plain

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def inline_text(token):
    """The text of an inline token as it is shown, and the kinds of its parts."""
    return "".join(part.content for part in token.children), {part.type for part in token.children}


def tables(text):
    """Every table, as rows of the texts of its cells."""
    found, in_cell = [], False
    for token in PARSER.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and in_cell:
            found[-1][-1].append(inline_text(token)[0])
        in_cell = token.type in ("th_open", "td_open")
    return found


def test_the_verdict_comes_first(tmp_path):
    first = PARSER.parse(markdown.render(loaded(tmp_path, [check("FAIL")])))[1]
    assert inline_text(first)[0] == "faithcheck: FAIL, suite mine"


def test_the_first_table_has_the_verdict_of_every_check_on_every_task(tmp_path):
    checks = [check("PASS", task="a"), check("FAIL", task="b"), check("NOT_APPLICABLE", "layernorm", task="b")]
    first = tables(markdown.render(loaded(tmp_path, checks)))[0]
    assert first == [["check", "a", "b"], ["sufficiency", "PASS", "FAIL"], ["layernorm", "", "NOT_APPLICABLE"]]


def test_each_check_that_is_no_pass_has_its_sentence_in_a_list(tmp_path):
    checks = [check(v, v.lower(), reason=f"because of {v.lower()}") for v in VERDICTS]
    text = markdown.render(loaded(tmp_path, checks))
    tokens = PARSER.parse(text)
    items = [inline_text(after)[0] for token, _, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
             if token.type == "list_item_open"]  # fmt: skip
    assert items == [f"{v} pronoun, {v.lower()}: because of {v.lower()}" for v in VERDICTS if v != "PASS"]


def test_gated_metrics_are_summed_up_over_circuits_and_ungated_ones_left_out(tmp_path):
    metrics = [
        metric(verdict="FAIL", estimate=0.5),
        metric(verdict="PASS", estimate=0.125, seed=1),
        metric("size", estimate=23.0),
        metric("gap", verdict="FAIL", gate="<= 0.05", estimate=0.25, on="unseen_names"),
    ]
    table = tables(markdown.render(loaded(tmp_path, [check("FAIL", metrics=metrics)])))[1]
    assert table[1:] == [
        ["pronoun", "sufficiency", "loss", "<= 0.2", "0.125 to 0.5 [0.075, 0.55]", "1 FAIL, 1 PASS"],
        ["pronoun", "sufficiency", "gap on unseen_names", "<= 0.05", "0.25 [0.2, 0.3]", "FAIL"],
    ]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"low": None, "high": 0.5}, "0.125 [unbounded, 0.5]"),
        ({"low": 0.125, "high": 0.125}, "0.125"),
        ({"estimate": 1888.0, "low": 1888.0, "high": 1888.0}, "1888"),
        ({"estimate": 1.5e7, "low": 1.5e7, "high": 1.5e7}, "1.5e+07"),
        ({"estimate": None, "reached": False, "low": None, "high": None}, "not reached"),
    ],
)
def test_numbers_are_said_as_in_the_sentences(tmp_path, numbers, said):
    gated = metric(verdict="INCONCLUSIVE") | numbers
    table = tables(markdown.render(loaded(tmp_path, [check("INCONCLUSIVE", metrics=[gated])])))[1]
    assert table[1][4] == said


def test_circuits_are_summed_up_by_task(tmp_path):
    circuits = [circuit(size=20, edges=None), circuit(seed=1, size=30, edges=None, loss=None, reached=False)]
    table = tables(markdown.render(loaded(tmp_path, [check("PASS")], circuits)))[2]
    assert table[1] == ["pronoun", "2", "1 of 2", "20 to 30", "-", "0.120"]


def test_a_run_that_was_interrupted_or_tested_nothing_says_so(tmp_path):
    assert "**interrupted**" in markdown.render(loaded(tmp_path, [check("PASS")], interrupted=True))
    assert "Nothing was applicable" in markdown.render(loaded(tmp_path, [check("NOT_APPLICABLE")]))
    text = markdown.render(loaded(tmp_path, [check("PASS")]))
    assert "interrupted" not in text
    assert "applicable" not in text


def test_lost_evidence_is_named(tmp_path):
    entry = evidence(tmp_path, "pronoun-sufficiency", {"loss": [0.1]})
    result = loaded(tmp_path, [check("PASS", evidence=entry)])
    assert "evidence" not in markdown.render(result)
    (tmp_path / entry["file"]).unlink()
    assert "- the evidence file evidence/pronoun-sufficiency.safetensors is not there\n" in markdown.render(result)


LIVE = [
    "@octocat",
    "mail a@b.org",
    "see #12",
    "octo/repo#12",
    "GH-12",
    "commit 0123abcdef",
    "http://x.y",
    "//x.y",
    "www.x.y",
    ":smile:",
    "$x^2$ and $",
    "![i](http://x/i.png)",
    "[a](b)",
    "[^1]",
    "<img src=x onerror=alert(1)>",
    "<!-- x",
    "&lt;b&gt; &amp;",
    "**b** _i_ ~~s~~ `c` ``",
    "a|b \\| \\\\| `|` @a|@b @a\\|b",
    "\\",
    "@x\\",
    "two\nlines\n\n# heading\n- item",
    "a\u202eb\u200f\ud800\x1b[0m",
    "\U0001f600 e\u0301",
]


@pytest.mark.parametrize("word", LIVE, ids=ascii)
@pytest.mark.parametrize("form", [plain, code])
def test_hostile_text_is_shown_as_text_in_a_paragraph_and_in_a_table(word, form):
    from faithcheck.text import one_line

    paragraph = PARSER.parse(f"Text {form(word)} end")
    shown, kinds = inline_text(paragraph[1])
    assert shown == f"Text {one_line(word)} end"
    assert kinds <= {"text", "text_special", "code_inline"}
    table = tables(f"| a | b |\n| --- | --- |\n| {form(word)} | end |")
    assert table[0][1] == [one_line(word).strip(), "end"]


@pytest.mark.parametrize("word", LIVE[:11])
def test_what_github_links_without_markup_stands_in_code(word):
    """A backslash does not hold GitHub's own filters, which look at the text that is shown; they leave code alone."""
    outside = [part.content for part in PARSER.parse(f"Text {plain(word)}")[1].children if part.type != "code_inline"]
    assert not any(sign in "".join(outside) for sign in ("@", "#", "GH-", "0123abcdef", "//", "www.", ":", "$"))


def test_a_report_that_is_too_long_is_cut_at_a_line_and_says_so(tmp_path):
    text = markdown.render(loaded(tmp_path, [check("FAIL", f"check_{i}", reason="né " * 50) for i in range(30)]))
    assert markdown.cut(text, len(text.encode())) == text
    for limit in (2000, 2001, 2002, 2003):
        short = markdown.cut(text, limit)
        assert len(short.encode()) <= limit
        body, note = short.removesuffix("\n").rsplit("\n\n", 1)
        assert text.startswith(body + "\n")
        assert note == "The rest of the report is left out here: it is too long."
    assert markdown.cut(text, 10) == ""
