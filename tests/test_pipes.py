"""A reader such as `head` that closes the pipe: the command goes on, silently, and its exit code is its own."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PRINTING = """
import sys
from pathlib import Path
from rich.console import Console
from faithcheck.pipes import readers_may_leave

with readers_may_leave():
    Console().print("a line\\n" * 100)
    print("a line", flush=True)
    Console(stderr=True).print("a line\\n" * 100)
    Path(sys.argv[1]).write_text("done")
    sys.exit(5)
"""


def unread(*arguments, **streams):
    """The process, once it ended: nobody reads its standard output."""
    process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True, **streams)
    process.stdout.close()
    error = process.stderr.read() if process.stderr else ""
    process.wait()
    return process.returncode, error


@pytest.mark.parametrize(
    ("command", "code"),
    [(["list"], 0), (["schema", "result"], 0), (["validate", "quick"], 0), (["validate", "no-such-suite"], 2)],
    ids=str,
)
def test_a_command_that_nobody_reads_ends_as_ever(command, code):
    found, error = unread("-m", "faithcheck.cli", *command, stderr=subprocess.PIPE)
    assert found == code
    assert "crashed" not in error
    assert "Traceback" not in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("command", [["list"], ["schema", "result"], ["validate", "quick"]], ids=str)
@pytest.mark.parametrize("flags", [[], ["-u"]], ids=str)
def test_a_full_disk_behind_the_output_is_said_and_one_behind_the_progress_is_not(command, flags):
    line = [sys.executable, *flags, "-m", "faithcheck.cli", *command]
    with Path("/dev/full").open("w") as full:
        lost = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
        quiet = subprocess.run(line, stdout=subprocess.PIPE, stderr=full, text=True)
    assert lost.returncode == 2
    assert lost.stderr == "faithcheck: cannot write the output: No space left on device\n"
    assert quiet.returncode == 0
    assert quiet.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("flags", [[], ["-u"]], ids=str)
@pytest.mark.parametrize(("raised", "code", "said"), [("UserError('bad')", 2, "bad"), ("ValueError()", 3, "crashed")])
def test_a_full_disk_behind_the_output_changes_no_other_exit_code(flags, raised, code, said):
    program = f"""
import sys
from faithcheck import cli
from faithcheck.errors import UserError

def command(args):
    print("a line")
    raise {raised}

cli.parser = lambda: type("Parser", (), {{"parse_args": lambda *_: type("Args", (), {{"command": command}})}})()
sys.exit(cli.main([]))
"""
    with Path("/dev/full").open("w") as full:
        found = subprocess.run([sys.executable, *flags, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == code
    assert found.stderr.startswith(f"faithcheck: {said}")
    assert found.stderr.endswith("faithcheck: cannot write the output: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the size of files")
@pytest.mark.parametrize("flags", [[], ["-u"]], ids=str)
def test_output_that_finds_room_for_a_part_is_not_taken_for_whole(tmp_path, flags):
    command = shlex.join([sys.executable, *flags, "-m", "faithcheck.cli", "schema", "result"])
    line = f"ulimit -f 1; {command} > {shlex.quote(str(tmp_path / 'part'))}"
    found = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, text=True)
    assert found.returncode == 2
    assert found.stderr == "faithcheck: cannot write the output: File too large\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("flags", [[], ["-u"]], ids=str)
def test_help_for_a_full_disk_is_no_crash(flags):
    with Path("/dev/full").open("w") as full:
        line = [sys.executable, *flags, "-m", "faithcheck.cli", "--help"]
        found = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("streams", [{}, {"stderr": subprocess.STDOUT}])
def test_what_comes_after_the_output_is_still_done(tmp_path, streams):
    code, _ = unread("-c", PRINTING, tmp_path / "file", **streams)
    assert code == 5
    assert (tmp_path / "file").read_text() == "done"


def test_what_is_read_comes_in_order_and_whole():
    code = "import sys; from faithcheck.pipes import readers_may_leave\nprint('one')\n"
    code += "with readers_may_leave(): print('two')\nprint('three')"
    for flags in ([], ["-u"]):
        run = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True)
        assert run.stdout == "one\ntwo\nthree\n"
