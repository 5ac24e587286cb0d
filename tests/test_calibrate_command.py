"""`faithcheck calibrate` end to end: files, exit codes, refusals, processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from stub_families import HERE, family

from faithcheck import plugins
from faithcheck.calibration import calibrate, command, running
from faithcheck.calibration.calibration import SCHEMA
from faithcheck.cli import main

SLOW = ("torch", "numpy", "scipy")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """One worker, which is no process of its own: these instances are smaller than what it takes to start one."""
    monkeypatch.setattr(running, "cores", lambda: 1)
    # A setting that the command makes for its workers; undone after each test.
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))


def run(out, *families, checks=("layernorm",), instances=4):
    """The exit code, the JSON and the Markdown of one command."""
    named = [word for name in families for word in ("--family", family(name))]
    checked = [word for name in checks for word in ("--check", name)]
    code = main(["calibrate", "--instances", str(instances), *named, *checked, "--out", str(out)])
    return code, json.loads((out / "calibration.json").read_text()), (out / "calibration.md").read_text()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "cores", lambda: 1)
        return run(tmp_path_factory.mktemp("good") / "out", "Rescaled", "Honest", checks=("layernorm", "sufficiency"))


def figures_of(data, check="layernorm"):
    [row] = [row for row in data["tables"]["requirements"] if row["check"] == check]
    return {figure["name"]: (figure["k"], figure["n"], figure["met"]) for figure in row["figures"]}


class TestFiles:
    def test_a_calibration_that_meets_its_requirements_exits_zero(self, good):
        code, data, text = good
        assert code == 0
        # Seeds 1 and 3 are reported; `honest` does not exercise the check.
        assert figures_of(data) == {
            "decoys passed": (0, 2, True),
            "true failed": (0, 2, True),
            "true inconclusive": (0, 2, True),
            "true failed elsewhere": (0, 2, True),
        }
        cell = "0 of 2, at most 85 %: met"
        assert f"| layernorm | {cell} | {cell} | {cell} | {cell} |" in text
        assert "Missed" not in text

    def test_the_head_says_what_was_run(self, good):
        _, _, text = good
        title, command = text.splitlines()[:3:2]
        assert title == "# How often the checks are wrong"
        assert command.startswith("`faithcheck calibrate --instances 4 --check layernorm --check sufficiency --family ")
        assert "4 instances of each of 2 families" in text
        assert "A `true` circuit is" in text
        assert "A `decoy` reaches the target loss" in text

    def test_all_rates_are_of_all_instances(self, good):
        _, data, text = good
        assert "| layernorm | rescaled* | decoy | 4 | 0 | 4 | 0 | 0 | 0 | PASS 0 of 4, at most 61 % |" in text
        assert "| sufficiency | rescaled | decoy | 4 | 4 | 0 | 0 | 0 | 0 | PASS 4 of 4, at least 39 % |" in text
        rows = {
            (r["check"], r["family"], r["variant"]): (r["n"], r["PASS"], r["FAIL"]) for r in data["tables"]["rates"]
        }
        assert rows == {
            ("layernorm", "rescaled", "true"): (4, 4, 0),
            ("layernorm", "rescaled", "decoy"): (4, 0, 4),
            ("layernorm", "honest", "true"): (4, 4, 0),
            ("sufficiency", "rescaled", "true"): (4, 4, 0),
            ("sufficiency", "rescaled", "decoy"): (4, 4, 0),
            ("sufficiency", "honest", "true"): (4, 4, 0),
        }

    def test_thresholds_are_given_for_checks_that_a_family_exercises(self, good):
        _, data, text = good
        [table] = data["tables"]["thresholds"]
        assert (table["check"], table["metric"], table["default"]) == (
            "layernorm",
            "frozen_loss",
            "<= target_loss + 0.1",
        )
        assert "| `<= target_loss + 0.1` (default) | 0 of 2 | 0 of 2 | 0 of 2 | 0 of 2 | 0 of 2 | 0 of 2 |" in text
        assert "No family exercises sufficiency." in text
        [span] = table["good"]
        # The true ones lose 0.01 at most; the first decoy passes at its own frozen loss, 0.4 and more.
        assert span["low"] < 0 < 0.1 < span["high"]

    def test_the_json_has_the_arguments_the_instances_and_the_records(self, good):
        _, data, _ = good
        assert data["schema"] == SCHEMA == "faithcheck.calibration/1"
        assert data["arguments"] == {
            "instances": 4,
            "checks": ["layernorm", "sufficiency"],
            "families": [family("Rescaled"), family("Honest")],
        }
        assert data["interrupted"] is False
        assert [(i["family"], i["seed"], i["half"]) for i in data["instances"]] == [
            (name, seed, "report" if seed % 2 else "choose") for name in ("rescaled", "honest") for seed in range(4)
        ]
        assert len({i["drawn"]["amplitude"] for i in data["instances"]}) == 8
        assert len(data["records"]) == 4 * (4 + 2)

    def test_two_runs_give_the_same_bytes(self, good, tmp_path):
        code, _, text = run(tmp_path / "again", "Rescaled", "Honest", checks=("layernorm", "sufficiency"))
        again = json.loads((tmp_path / "again" / "calibration.json").read_text())
        assert (code, again, text) == good

    def test_what_was_written_and_the_short_table_are_printed(self, tmp_path, capsys):
        run(tmp_path, "Rescaled", instances=2)
        printed = capsys.readouterr()
        assert "layernorm" in printed.out
        assert "0 of 1" in printed.out
        assert f"wrote {tmp_path / 'calibration.json'}" in printed.out.replace("\n", "")
        assert "[2/2] rescaled, seed 1" in printed.err


class TestWrongChecks:
    def test_a_decoy_that_passes_exits_one_and_is_said_to_be_missed(self, tmp_path, capsys):
        code, data, text = run(tmp_path, "Rescaled", "Leaky")
        assert code == 1
        assert figures_of(data)["decoys passed"] == (2, 4, False)
        missed = "Missed: layernorm passes decoys of families that exercise it: 2 of 4, 6.7 to 94 %. Required: none."
        named = "layernorm passed the decoy of leaky, which exercises it, on the seeds 0, 1, 2, 3."
        for where in (text, capsys.readouterr().out):
            assert missed in where
            assert named in where
        assert "2 of 4, 6.7 to 94 %: **missed**" in text
        assert "of `<= target_loss + v`, none does" in text

    def test_a_decoy_that_passes_on_an_even_seed_counts_for_the_exit_code(self, tmp_path):
        code, data, _ = run(tmp_path, "LeakyAtZero", instances=2)
        assert code == 1
        assert figures_of(data)["decoys passed"] == (0, 1, True)

    def test_a_decoy_may_pass_what_its_family_does_not_exercise(self, tmp_path):
        assert run(tmp_path, "Leaky", checks=("sufficiency",), instances=2)[0] == 0

    def test_where_nothing_applies_nothing_is_met(self, tmp_path):
        _, data, text = run(tmp_path, "Unable", instances=2)
        assert {met for _, _, met in figures_of(data).values()} == {None}
        assert "Not measured: whether layernorm passes decoys of families that exercise it." in text
        assert "layernorm did not apply to 1 decoy circuit of families that exercise it" in text
        assert "No threshold can be chosen" in text

    def test_a_check_that_is_exercised_but_not_installed_is_named(self, tmp_path, monkeypatch):
        entries = [e for e in plugins.names("checks") if e.name == "sufficiency"]
        monkeypatch.setattr(plugins, "names", lambda group: entries)
        assert "rescaled exercises layernorm, which is not installed." in run(tmp_path, "Rescaled", checks=())[2]


class TestErrors:
    def test_an_instance_that_crashes_exits_three_and_the_others_are_kept(self, tmp_path, capsys):
        code, data, text = run(tmp_path, "Crashing", "Leaky")
        assert code == 3
        assert "- crashing, seed 1, true, layernorm: it could not be planted: ValueError: no ground\n" in text
        assert "ERROR crashing, seed 1, true, layernorm" in capsys.readouterr().out
        assert "| layernorm | crashing* | true | 4 | 3 | 0 | 0 | 0 | 1 | FAIL 0 of 3, at most 71 % |" in text
        [instance] = [i for i in data["instances"] if "error" in i]
        assert (instance["family"], instance["seed"]) == ("crashing", 1)
        # Seed 3 of `crashing`, seeds 1 and 3 of `leaky`.
        assert figures_of(data)["decoys passed"] == (2, 3, False)

    def test_no_control_character_of_a_plugin_reaches_the_terminal(self, tmp_path, capsys):
        run(tmp_path, "Rude", instances=2)
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err + (tmp_path / "calibration.md").read_text()
        assert "\\x1b[31mred" in printed.out


REFUSED = {
    "unknown check": (["--check", "layernrom"], "unknown check 'layernrom'", "did you mean 'layernorm'?"),
    "one instance": (["--instances", "1"], "--instances 1", "at least 2"),
    "no instance": (["--instances", "0"], "--instances 0", "at least 2"),
    "unknown class": (["--family", f"{HERE}:Rescalde"], "has no 'Rescalde'", "did you mean 'Rescaled'?"),
    "no such file": (["--family", "nowhere.py:Family"], "family 'nowhere.py:Family'", "no such file"),
    "one name twice": (["--family", family("Rescaled"), "--family", family("Twin")], "two families", "'rescaled'"),
}


class TestRefusals:
    @pytest.mark.parametrize("case", REFUSED)
    def test_a_bad_argument_is_refused_in_a_line_or_two_and_nothing_is_written(self, case, tmp_path, capsys):
        args, *fragments = REFUSED[case]
        given = [] if "--family" in args else ["--family", family("Rescaled")]
        assert main(["calibrate", *given, *args, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err.strip()
        assert all(fragment in error for fragment in fragments)
        assert len(error.splitlines()) <= 2
        assert not (tmp_path / "out").exists()

    def test_an_unknown_family_is_refused_with_the_nearest_known_one(self, monkeypatch, tmp_path, capsys):
        entries = {"families": [plugins.Entry("rescaled", "mine", "stub_families:Rescaled")]}
        real = plugins.names
        monkeypatch.setattr(plugins, "names", lambda group: entries.get(group) or real(group))
        assert main(["calibrate", "--family", "rescalde", "--out", str(tmp_path / "out")]) == 2
        assert "unknown family 'rescalde'; known: rescaled; did you mean 'rescaled'?" in capsys.readouterr().err

    @pytest.mark.parametrize(("name", "reason"), [("NotAFamily", "it lacks name, exercises"), ("Fails", "no soil")])
    def test_a_family_that_cannot_be_built_exits_three(self, name, reason, tmp_path, capsys):
        assert main(["calibrate", "--family", family(name), "--out", str(tmp_path / "out")]) == 3
        assert reason in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_is_a_file_is_refused_before_anything_is_planted(self, tmp_path, capsys):
        (tmp_path / "out").write_text("a file")
        assert main(["calibrate", "--family", family("Crashing"), "--out", str(tmp_path / "out")]) == 2
        assert "cannot write a calibration there" in capsys.readouterr().err

    def test_a_name_given_twice_counts_once(self, tmp_path):
        _, data, _ = run(tmp_path, "Rescaled", "Rescaled", checks=("layernorm", "layernorm"), instances=2)
        assert len(data["records"]) == 4


def test_without_names_everything_installed_is_run(monkeypatch):
    entries = {"families": [plugins.Entry("any", "mine", "stub_families:Honest")]}
    real = plugins.names
    monkeypatch.setattr(plugins, "names", lambda group: entries.get(group) or real(group))
    found = calibrate(instances=2)
    assert [family.name for family in found.families] == ["honest"]
    assert {check.name for check in found.checks} == {entry.name for entry in real("checks")}


def test_progress_says_how_much_time_is_left(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_PLAIN_EVERY", -1.0)
    run(tmp_path, "Honest", instances=3)
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.partition("]")[0] for line in lines] == ["[1/3", "[2/3", "[3/3"]
    assert "about" in lines[0]
    assert "left" in lines[0]
    assert "left" not in lines[-1]


@pytest.mark.parametrize(
    ("check", "shares"),
    [
        ("nonsense_control", [0, 1 / 62, 31 / 62, 32 / 62, 1]),
        ("random_weights", [0, 1 / 4, 2 / 4, 3 / 4, 1]),  # not exercised, so the unfaithful method is not run
    ],
)
def test_progress_weighs_instances_on_which_a_method_really_extracts(check, shares):
    seen = []
    calibrate([family("Honest"), family("Cancelling")], [check], 2, on_progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert [p.share for p in seen] == pytest.approx(shares)
    assert [p.instance and p.instance.family for p in seen] == [None, "honest", "cancelling", "honest", "cancelling"]


class TestProcesses:
    def test_the_number_of_workers_does_not_change_the_files(self, tmp_path):
        refs = [family(name) for name in ("Rescaled", "Crashing", "Cancelling")]
        for workers in (1, 2):
            found = calibrate(refs, ["layernorm", "sufficiency", "nonsense_control"], 2, workers=workers)
            found.write(tmp_path / str(workers))
        for name in ("calibration.json", "calibration.md"):
            one, two = ((tmp_path / workers / name).read_bytes() for workers in ("1", "2"))
            assert one == two

    def test_a_worker_that_dies_is_an_error_of_what_ran_in_it_and_the_rest_goes_on(self):
        found = calibrate([family("Dies"), family("Honest")], ["sufficiency"], 4, workers=2)
        failed = {(i.family, i.seed): i.error for i in found.found if i.error}
        # Two were under way, and nobody knows which of them it was.
        assert ("dies", 1) in failed
        assert len(failed) <= 2
        assert set(failed.values()) == {"a worker process died while this instance ran"}
        assert [(i.family, i.seed) for i in found.found] == [(f, s) for f in ("dies", "honest") for s in range(4)]
        assert {r.verdict.value for i in found.found if not i.error for r in i.records} == {"PASS"}
        assert found.exit_code == 3


@contextmanager
def stuck(folder):
    """A calibration of which an instance hangs; its workers leave their process ids in the folder."""
    args = ["calibrate", "--family", family("Stuck"), "--check", "sufficiency", "--instances", "4", "--out", "out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "faithcheck.cli", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not list(folder.glob("stuck-*")) and process.poll() is None:
            time.sleep(0.05)
        yield process
    finally:
        process.kill()


def stuck_workers(folder):
    return [int(path.name.partition("-")[2]) for path in folder.glob("stuck-*")]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A calibration that gets SIGINT, as from a terminal, once an instance hangs: folder, exit code, stderr, pids."""
    folder = tmp_path_factory.mktemp("interrupted")
    with stuck(folder) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    return folder, process.returncode, error, stuck_workers(folder)


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    with stuck(tmp_path) as process:
        process.kill()
        process.wait()
    workers, deadline = stuck_workers(tmp_path), time.monotonic() + 60
    assert workers
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


class TestInterrupt:
    def test_it_exits_130_in_one_line(self, interrupted):
        _, code, error, _ = interrupted
        assert code == 130
        assert error.strip().splitlines() == ["faithcheck: interrupted; what was finished is kept in out"]

    def test_no_worker_is_left(self, interrupted):
        *_, pids = interrupted
        assert pids
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    def test_what_was_finished_is_written_and_said_to_be_partial(self, interrupted):
        folder, *_ = interrupted
        data = json.loads((folder / "out" / "calibration.json").read_text())
        assert data["interrupted"] is True
        assert data["instances"]
        assert {i["seed"] for i in data["instances"]} <= {0, 1}
        text = (folder / "out" / "calibration.md").read_text()
        assert f"**Interrupted**: {len(data['instances'])} of 4 instances are in this file." in text
        assert not list((folder / "out").glob("*.partial"))


@pytest.mark.parametrize("args", [["calibrate", "--help"], ["calibrate", "--family", "x", "--instances", "1"]])
def test_a_command_that_runs_nothing_does_not_wait_for_the_slow_libraries(args):
    code = f"""
import sys
from faithcheck.cli import main
try:
    main({args})
except SystemExit:
    pass
print("SLOW", [m for m in {SLOW} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "SLOW []"
