"""`faithcheck report` on results made by hand."""

from __future__ import annotations

import io
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec

import pytest
from results import VERDICTS, check, circuit, evidence, loaded
from xunit_rules import read

from faithcheck.cli import main
from faithcheck.report import github, junit, markdown
from faithcheck.report.command import render, write_reports
from faithcheck.report.formats import FORMATS

STARTS = {"terminal": "Verdicts", "markdown": "## faithcheck", "junit": "<?xml", "github": "::error"}


@pytest.fixture
def result(tmp_path):
    """Every verdict, with evidence, in the folder `run`."""
    folder = tmp_path / "run"
    entry = evidence(folder, "pronoun-sufficiency", {"loss": [0.1]})
    checks = [check(v, check=v.lower(), evidence=entry) for v in VERDICTS]
    return loaded(folder, checks, [circuit()])


@pytest.mark.parametrize("name", ["", "result.json"])
@pytest.mark.parametrize("form", STARTS)
def test_a_report_goes_to_standard_output_and_the_exit_code_is_0_whatever_the_verdict(result, capsys, form, name):
    assert main(["report", str(result.folder / name), "--format", form]) == 0
    out = capsys.readouterr().out
    assert out.startswith(STARTS[form])
    assert out.endswith("\n")
    assert not out.endswith("\n\n")


def test_the_terminal_is_the_format_by_default(result, capsys):
    assert main(["report", str(result.folder)]) == 0
    assert capsys.readouterr().out.startswith("Verdicts")


def test_no_line_of_a_result_is_a_command_to_the_runner(tmp_path, monkeypatch, capsys):
    """The runner takes an indented line for one too."""
    loaded(tmp_path, [check("FAIL", reason="::add-mask::e")])
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert main(["report", str(tmp_path)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    end = first.removeprefix("::stop-commands::")
    assert "  ::add-mask::e" in lines
    assert lines[-1] == f"::{end}::"
    assert len(end) == 32


@pytest.mark.parametrize("form", STARTS)
def test_out_takes_the_whole_report_and_standard_output_the_path(result, tmp_path, capsys, form):
    file = tmp_path / "report"
    assert main(["report", str(result.folder), "--format", form, "--out", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text(encoding="utf-8") == render(result, form)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("report")] == ["report"]


@pytest.mark.parametrize("out", [".", "run/result.json", "gone/report.xml", "run/result.json/x"])
def test_what_cannot_be_written_is_refused_by_name_and_nothing_is_changed(result, tmp_path, monkeypatch, capsys, out):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["report", "run", "--format", "junit", "--out", out]) == 2
    said = capsys.readouterr().err
    assert out in said
    assert len(said.splitlines()) <= 2
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_write_that_fails_halfway_leaves_the_earlier_report(result, tmp_path, monkeypatch, capsys):
    file = tmp_path / "junit.xml"
    file.write_text("earlier")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert main(["report", str(result.folder), "--format", "junit", "--out", str(file)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert file.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "run"]


def test_an_unknown_format_is_refused(result, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["report", str(result.folder), "--format", "pdf"])
    assert stop.value.code == 2
    assert "junit" in capsys.readouterr().err


def test_github_appends_the_step_summary_too(result, tmp_path, monkeypatch, capsys):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert main(["report", str(result.folder), "--format", "github"]) == 0
    assert capsys.readouterr().out == github.render(result)
    assert summary.read_text(encoding="utf-8") == markdown.render(result)


def test_xml_is_utf8_whatever_the_encoding_of_standard_output(tmp_path, monkeypatch):
    """A report that is sent to a file on Windows, or where the locale has no such characters."""
    result = loaded(tmp_path, [check("FAIL", reason="\U0001f600 é")])
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding="ascii"))
    assert main(["report", str(tmp_path), "--format", "junit"]) == 0
    sys.stdout.flush()
    assert bytes_.getvalue().decode() == junit.render(result)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_of_another_encoding_gets_a_report(tmp_path, monkeypatch, encoding):
    loaded(tmp_path, [check("FAIL", reason="\U0001f600 é", task="задача")])
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding=encoding))
    assert main(["report", str(tmp_path)]) == 0
    sys.stdout.flush()
    assert "Suite mine: FAIL" in bytes_.getvalue().decode(encoding)


@pytest.mark.parametrize("change", ["gone", "changed", "folder gone"])
@pytest.mark.parametrize("form", STARTS)
def test_a_result_whose_evidence_is_lost_is_rendered_and_says_so(result, capsys, form, change):
    file = result.folder / "evidence" / "pronoun-sufficiency.safetensors"
    if change == "changed":
        file.write_bytes(b"x")
    else:
        file.unlink()
    if change == "folder gone":
        file.parent.rmdir()
    assert main(["report", str(result.folder), "--format", form]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "is not the one of this run" in out if change == "changed" else "is not there" in out
    if form == "junit":
        read(render(result, form))


def test_no_format_imports_torch(result):
    """Nor is a model at hand: there is nothing but the folder."""
    code = f"""
import sys
import types
from importlib.machinery import ModuleSpec
from faithcheck.cli import main
for form in {FORMATS}:
    assert main(["report", {str(result.folder)!r}, "--format", form]) == 0
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "transformers")]
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.fixture
def html(monkeypatch):
    """A stand-in for the HTML report: here it matters where its text goes."""
    module = types.ModuleType("faithcheck.report.html")
    module.__spec__ = ModuleSpec("faithcheck.report.html", None)
    module.render = lambda loaded: f"<!doctype html><title>{loaded.data.verdict}</title>\n"
    monkeypatch.setitem(sys.modules, "faithcheck.report.html", module)


@pytest.mark.parametrize("out", [None, "page.html"])
def test_html_goes_to_a_file_beside_the_result_or_where_it_is_sent(html, result, tmp_path, capsys, out):
    file = result.folder / "report.html" if out is None else tmp_path / out
    assert main(["report", str(result.folder), "--format", "html", *(["--out", str(file)] if out else [])]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text(encoding="utf-8") == "<!doctype html><title>ERROR</title>\n"


def test_a_run_writes_its_html_report_beside_the_result(html, result, capsys):
    write_reports(result.folder, ["html", "junit", "html"])
    said = [f"Report: {result.folder / name}" for name in ("report.html", "junit.xml")]
    assert capsys.readouterr().out.splitlines() == said
    assert (result.folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
