"""Standard output whose reader has left, as `| head` does, and one that is closed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from results import VERDICTS, check, circuit, loaded

from faithcheck.cli import main
from faithcheck.pipes import readers_may_leave
from faithcheck.report.command import print_of_run, write_reports


@pytest.fixture
def left(monkeypatch):
    """Standard output is a pipe that nobody reads."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdout", file)
        yield


@pytest.fixture
def result(tmp_path):
    return loaded(tmp_path / "run", [check(v, check=v) for v in VERDICTS], [circuit()])


@pytest.mark.parametrize("form", ["terminal", "markdown", "junit", "github", "html"])
def test_a_report_whose_reader_left_is_no_crash(left, result, capfd, form):
    assert main(["report", str(result.folder), "--format", form]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("command", [["list", "suites"], ["schema", "task"], ["show", "default"]])
def test_nor_is_another_page_whose_reader_left(left, capfd, command):
    assert main(command) == 0
    assert capfd.readouterr().err == ""


def test_the_reports_of_a_run_are_written_though_nobody_reads_what_it_prints(left, result):
    with readers_may_leave():
        print_of_run(result.folder)
        write_reports(result.folder, ["github", "junit", "markdown"])
    assert {"junit.xml", "report.md"} <= {file.name for file in result.folder.iterdir()}


def test_a_program_without_standard_output_renders_reports(result):
    code = f"""
import sys
from faithcheck.cli import main
from faithcheck.pipes import readers_may_leave
sys.stdout = None
sys.exit(main(["report", {str(result.folder)!r}, "--format", sys.argv[1]]))
"""
    for form in ("terminal", "markdown", "html"):
        subprocess.run([sys.executable, "-c", code, form], check=True, capture_output=True)
