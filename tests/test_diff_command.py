"""`faithcheck diff` as it is called: what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
from diffing import check, circuit, metric, over_seeds, result, run, write
from rich.console import Console

from faithcheck.cli import main
from faithcheck.diff.comparison import compare_runs
from faithcheck.diff.terminal import render

GOOD = [0.05, 0.06, 0.055, 0.05, 0.06, 0.065]
BAD = [0.5, 0.52, 0.51, 0.505, 0.53, 0.5]


def of(values, **more):
    return result(check(over_seeds(values)), **more)


@pytest.fixture
def folders(tmp_path):
    return [write(tmp_path / name, of(values)) for name, values in (("good", GOOD), ("bad", BAD))]


def diff(*arguments):
    return main(["diff", *map(str, arguments)])


def shown(base, head, width=160, **options):
    file = io.StringIO()
    render(compare_runs(run(base), run(head)), "old/result.json", "new", Console(file=file, width=width, **options))
    return file.getvalue()


def cells(text):
    """Of the lines of tables; columns are at least two spaces apart."""
    return [re.split(r" {2,}", line.strip("│ ")) for line in text.splitlines()]


def first(base, head):
    return shown(base, head).splitlines()[0]


def test_a_run_with_itself_is_no_change(folders, capsys):
    assert diff(folders[0], folders[0], "--fail-on-regression") == 0
    assert capsys.readouterr().out.splitlines()[0] == "no change"


def test_a_regression_is_exit_1_where_that_is_asked_for(folders, capsys):
    assert diff(*folders) == 0
    assert diff(*folders, "--fail-on-regression") == 1
    assert capsys.readouterr().out.startswith("1 regression\n")


def test_what_got_better_is_exit_0(folders, capsys):
    assert diff(*folders[::-1], "--fail-on-regression") == 0
    assert capsys.readouterr().out.startswith("no regression; 1 gated metric better beyond noise; 1 verdict better\n")


def test_a_file_or_its_folder_can_be_named(folders, capsys):
    assert diff(folders[0] / "result.json", folders[0]) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("{", "is not JSON"),
        ('{"schema": "faithcheck.result/2"}', "the schema 'faithcheck.result/2'; this version of faithcheck reads"),
        ("[]", "no schema"),
        (json.dumps(result() | {"checks": [{}]}), "damaged at checks.0"),
        (json.dumps(result(check([metric() | {"gate": "about 3"}]))), "damaged: the metric loss: found 'about 3'"),
        (
            json.dumps(result(check([metric() | {"low": 0.5}]))),
            "damaged: the metric loss: an estimate's value",
        ),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_result_is_exit_2_and_names_the_file(folders, tmp_path, capsys, content, said, place):
    bad = tmp_path / "bad.json"
    if content is not None:
        bad.write_text(content)
    arguments = [folders[0], folders[0]]
    arguments[place] = bad
    assert diff(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert str(bad) in error
    assert len(error.splitlines()) <= 2


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        (of(GOOD), of(GOOD, seeds=range(6)), "no change"),
        (of(GOOD), of([*GOOD[:5], 0.07]), "changes within noise"),
        (of(BAD), of(GOOD), "no regression; 1 gated metric better beyond noise; 1 verdict better"),
        (of(GOOD), result(check([], "ERROR"), seeds=range(6)), "1 regression"),
        (of(GOOD[:1]), result(check([metric(seed=3)])), "changes, but whether beyond noise cannot be told"),
        (
            result(check([*over_seeds(GOOD), metric("gap", seed=0, value=0.12)])),
            result(check([*over_seeds([*GOOD[:5], 0.07]), metric("gap", seed=1, value=0.1)])),
            "changes within noise; of 1 metric it cannot be told",
        ),
        (of(GOOD), result(check(over_seeds(GOOD)), check([], "FAIL", "new")), "no regression, but changes"),
        (result(), of(GOOD), "no regression, but changes"),
    ],
)
def test_the_first_line_is_the_answer(base, head, said):
    assert first(base, head) == said


def test_a_regression_names_task_check_metric_and_why():
    text = shown(of(GOOD), of(BAD))
    assert "regression: pronoun, sufficiency: it passed in BASE with the same seeds; loss is worse beyond noise" in text


def test_metrics_are_shown_with_gate_values_and_the_interval_of_the_difference():
    rows = cells(shown(of(GOOD), of(BAD)))
    place = rows.index(["pronoun, sufficiency"])
    *row, difference, outcome = rows[place + 1]
    assert row == ["loss", "<= 0.2", "0.0567", "0.511"]
    assert re.fullmatch(r"\+0\.454 \[0\.4\d+, 0\.4\d+\]", difference)
    assert outcome == "worse"


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        (("PASS", "PASS"), ("FAIL", "INCONCLUSIVE"), "2 verdicts worse"),
        (("PASS", "FAIL"), ("INCONCLUSIVE", "PASS"), "1 verdict worse; 1 verdict better"),
        (("FAIL", "FAIL"), ("FAIL", "INCONCLUSIVE"), "1 verdict better"),
    ],
)
def test_verdicts_that_flip_within_noise_are_counted_in_the_first_line(base, head, said):
    sides = [
        result(check(over_seeds(values), one, "first"), check([], other, "second"), seeds=seeds)
        for (one, other), values, seeds in ((base, [0.1, 0.2], (0, 1)), (head, [0.2, 0.11], (2, 3)))
    ]
    assert first(*sides) == f"changes within noise; {said}"


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        (of(GOOD), of(BAD), "Noise: the extraction's, from differences between circuits of the same seeds (0 to 5)"),
        (
            of(GOOD),
            result(check(over_seeds(BAD, first=6))),
            "Noise: the extraction's, from the spread over other seeds (0 to 5 in BASE, 6 to 11 in HEAD)",
        ),
        (
            of(GOOD[:1]),
            of(BAD[:1]),
            "Noise: of prompts only, one circuit of seed 0 in each; what other seeds give is not known",
        ),
        (
            result(check([metric(seed=None)])),
            result(check([metric(seed=None, value=0.3)])),
            "Noise: of prompts only, one given circuit in each run",
        ),
        (
            of(GOOD[:1]),
            result(check([metric(seed=4)])),
            "Noise: unknown, for one circuit does not tell how seeds differ (0 in BASE, 4 in HEAD); "
            "nothing counts as beyond it",
        ),
    ],
)
def test_a_line_says_what_the_noise_is(base, head, said):
    assert said in shown(base, head).splitlines()


def test_a_worse_metric_whose_gate_holds_is_marked():
    assert "worse, gate holds" in shown(of([x / 2 for x in GOOD]), of(GOOD))
    assert "gate holds" not in shown(of(GOOD), of(BAD))


def test_controls_over_seeds_and_a_given_circuit_have_each_their_noise():
    sizes = [[metric("task_size", i, size + i, 0, None) for i in range(2)] for size in (100, 300)]
    sides = [
        result(check([metric(seed=None, value=x)]), check(controls, "FAIL", "nonsense_control"), seeds=[None])
        for x, controls in zip((0.1, 0.3), sizes, strict=True)
    ]
    lines = shown(*sides).splitlines()
    assert "Noise: of prompts only, one given circuit in each run" in lines
    assert "Noise: the extraction's, from differences between circuits of the same seeds (0, 1)" in lines


def test_what_else_differs_is_named_at_the_top():
    head = of(GOOD)
    head["model"] = {"name": "stories-sparse", "fingerprint": "g"}
    head["method"] = {"name": "sparse_prune", "parameters": {"steps": 100}}
    head["environment"] = {"faithcheck": "0.2.0"}
    head["suite"] = head["suite"] | {"target_loss": 0.2}
    lines = shown(of(GOOD), head).splitlines()
    assert lines[:1] + lines[3:7] == [
        "no change",
        "  differs: the model stories-sparse has other weights",
        "  differs: method.steps: 300 in BASE, 100 in HEAD",
        "  differs: target_loss: 0.15 in BASE, 0.2 in HEAD",
        "  differs: faithcheck: 0.1.0 in BASE, 0.2.0 in HEAD",
    ]


def test_other_models_and_methods_are_compared_and_named():
    head = of(GOOD) | {"method": None, "model": {"name": "other", "fingerprint": "g"}}
    lines = shown(of(GOOD), head).splitlines()
    assert "  differs: model: stories-sparse in BASE, other in HEAD" in lines
    assert "  differs: method: sparse_prune in BASE, none in HEAD" in lines


def test_circuits_that_are_not_the_same_are_summed_up():
    head = of(GOOD)
    head["circuits"][2] = circuit("pronoun", 2, size=230) | {"reached": False}
    rows = cells(shown(of(GOOD), head))
    assert ["pronoun", "BASE", "0 to 5", "6 of 6", "23", "5 of 6"] in rows
    assert ["pronoun", "HEAD", "0 to 5", "5 of 6", "23 to 230", "5 of 6"] in rows


def test_never_reached_values_are_counted():
    base, head = (
        result(check([metric("loss", i, x) for i, x in enumerate(side)])) for side in ([0.1] * 3, [0.1, None, None])
    )
    assert "not reached by 2 of 3" in shown(base, head)


def test_lost_evidence_is_said(tmp_path, capsys):
    data = [of(GOOD[:1]), of([0.07])]
    folders = [
        write(tmp_path / str(i), one, {"sufficiency": {"0/draws/loss": range(1030)}}) for i, one in enumerate(data)
    ]
    (folders[1] / "evidence" / "pronoun-sufficiency.safetensors").write_bytes(b"other")
    assert diff(*folders) == 0
    assert "is not the one of this run: its SHA-256 differs" in capsys.readouterr().out


HOSTILE = ["[red]x[/red]", "[/]", "[link=http://x]y[/link]", ":smile:", "[bold", "<b>&amp;</b>"]
CONTROL = ["\x1b[31mred", "\x1b]0;title\x07", "a\rb", "\x9b2J", "a\x00b", "a\u202eb"]


def hostile(word, values):
    """A result whose every name is the word, of which much differs from another."""
    metrics = over_seeds(values, name=word, on=word)
    data = result(check(metrics, name=word, task=word), check([], "PASS" if values is GOOD else "ERROR", "c", word))
    name = word + str(values is GOOD)
    data["model"], data["method"] = {"name": name, "fingerprint": name}, {"name": name, "parameters": {}}
    data["environment"] = {"faithcheck": name}
    return data


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_markup_in_names_is_shown_as_text(word, terminal):
    text = shown(hostile(word, GOOD), hostile(word, BAD), width=400, force_terminal=terminal)
    assert re.sub(r"\x1b\[[0-9;]*m", "", text).count(word) >= 12


@pytest.mark.parametrize("word", CONTROL, ids=ascii)
def test_control_characters_and_marks_of_direction_do_not_reach_the_terminal(word):
    text = shown(hostile(word, GOOD), hostile(word, BAD))
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


@pytest.mark.parametrize("width", [60, 160])
def test_no_name_stands_at_the_start_of_a_line_where_a_runner_reads_commands(width):
    text = shown(hostile("::error::x " * 9, GOOD), hostile("::error::x " * 9, BAD), width=width)
    assert "::error::" in text
    assert [line for line in text.splitlines() if line.strip().startswith("::")] == []


def test_what_goes_to_a_file_has_no_colours():
    assert "\x1b" not in shown(of(GOOD), of(BAD))


def test_diff_imports_no_torch(folders):
    code = (
        "import sys; from faithcheck.cli import main; "
        f"code = main(['diff', {str(folders[0])!r}, {str(folders[1])!r}, '--fail-on-regression']); "
        "sys.exit(9 if 'torch' in sys.modules else code)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1
