"""`faithcheck calibrate` on the command line: what it refuses, what it runs without names, its progress."""

from __future__ import annotations

import pytest
from calibrating import one_worker, run
from stub_families import HERE, family

from faithcheck import plugins, progress
from faithcheck.calibration import calibrate
from faithcheck.cli import main


@pytest.fixture(autouse=True)
def in_this_process():
    with one_worker():
        yield


REFUSED = {
    "unknown check": (["--check", "layernrom"], "unknown check 'layernrom'", "did you mean 'layernorm'?"),
    "one instance": (["--instances", "1"], "--instances 1", "at least 2"),
    "no instance": (["--instances", "0"], "--instances 0", "at least 2"),
    "nothing to run": (["--check", "nonsense_control"], "nothing to run", "none of these families"),
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
    monkeypatch.setattr(progress, "_PLAIN_EVERY", -1.0)
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
