"""`faithcheck calibrate` on the command line: what it refuses, what it runs without names, its progress."""

from __future__ import annotations

import pytest
from calibrating import one_worker, run
from stub_families import HERE, family

from faithcheck import plugins, progress
from faithcheck.calibration import calibrate, calibration, running
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


def raising(error):
    """A property that raises."""

    def get(self):
        raise error

    return property(get)


MALFORMED = {
    "a name that is no text": ({"name": 3}, "`name` is 3, which is no text"),
    "an empty name": ({"name": ""}, "`name` is '', which is no name"),
    "no name": ({"name": None}, "`name` is None"),
    "nothing exercised, as None": ({"exercises": None}, "TypeError"),
    "one check for a list": ({"exercises": "layernorm"}, "`exercises` is a list of names of checks"),
    "checks by name": ({"exercises": {"layernorm": 1}}, "`exercises` is a list of names of checks"),
    "checks that can be gone through once": (
        {"exercises": iter(["layernorm"])},
        "`exercises` is a list of names of checks",
    ),
    "a check that is no text": ({"exercises": ("layernorm", 3)}, "`exercises` is a list of names of checks"),
    "a decoy method whose name is no text": ({"decoy_method": (3, {})}, "`decoy_method` is a name and parameters"),
    "a decoy method without parameters": ({"decoy_method": ("sparse_prune",)}, "ValueError: not enough values"),
    "a decoy method of three parts": ({"decoy_method": ("sparse_prune", {}, 1)}, "ValueError: too many values"),
    "a decoy method that is a name": ({"decoy_method": "sparse_prune"}, "ValueError: too many values"),
    "a decoy method that is a number": ({"decoy_method": 3}, "TypeError"),
    "parameters that are no mapping": ({"decoy_method": ("sparse_prune", 3)}, "TypeError: 'int' object is not"),
    "parameters that are no JSON": ({"decoy_method": ("sparse_prune", {"steps": {1, 2}})}, "set is not JSON"),
    "a parameter that is NaN": ({"decoy_method": ("sparse_prune", {"lr": float("nan")})}, "not JSON compliant"),
    "a name that raises": ({"name": raising(ValueError("no luck"))}, "ValueError: no luck"),
    "a name that exits": ({"name": raising(SystemExit(0))}, "SystemExit: 0"),
    "exercises that raise": ({"exercises": raising(KeyError("gone"))}, "KeyError: 'gone'"),
    "a decoy method that raises": ({"decoy_method": raising(ValueError("no luck"))}, "ValueError: no luck"),
    "a scope that raises": ({"method_scope": raising(ValueError("no luck"))}, "ValueError: no luck"),
    "a part that is not there": ({"exercises": raising(AttributeError("gone"))}, "it lacks exercises"),
}


UNWRITABLE = {
    "the folder is a file": ("", False),
    "calibration.json is a folder": ("calibration.json", True),
    "calibration.md is a folder": ("calibration.md", True),
    "a file that is written first is a folder": ("calibration.json.partial", True),
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

    @pytest.mark.parametrize("case", MALFORMED)
    def test_a_family_that_declares_something_else_than_asked_for_exits_three(
        self, case, tmp_path, capsys, monkeypatch
    ):
        parts, reason = MALFORMED[case]
        cls = plugins.load("families", family("Rescaled"))
        for part, value in parts.items():
            monkeypatch.setattr(cls, part, value)
        assert main(["calibrate", "--family", family("Rescaled"), "--out", str(tmp_path / "out")]) == 3
        [error] = capsys.readouterr().err.strip().splitlines()
        assert f"{family('Rescaled')} (from its class) cannot be used: " in error
        assert reason in error
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("case", UNWRITABLE)
    def test_where_it_could_not_be_written_is_refused_before_anything_is_planted(
        self, case, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.setattr(running, "run_units", lambda *args: pytest.fail("something was planted"))
        name, is_folder = UNWRITABLE[case]
        at = tmp_path / "out" / name
        if is_folder:
            at.mkdir(parents=True)
        else:
            at.write_text("a file")
        assert main(["calibrate", "--family", family("Rescaled"), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert f"{at}: cannot write a calibration there: " in error

    def test_a_file_that_cannot_be_written_in_the_end_is_an_error_of_the_user(self, tmp_path, capsys, monkeypatch):
        def full(path, text):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(calibration, "write_whole", full)
        named = ["--family", family("Honest"), "--check", "layernorm", "--instances", "2"]
        assert main(["calibrate", *named, "--out", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert f"{tmp_path / 'calibration.json'}: cannot write a calibration there: No space left on device" in error

    @pytest.mark.parametrize("gates", ['{"number": "about 3"}', '["number"]'])
    def test_a_check_whose_default_gate_cannot_be_read_exits_three_before_anything_is_planted(
        self, gates, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.setattr(running, "run_units", lambda *args: pytest.fail("something was planted"))
        parts = f"name, scope, gates = 'odd', 'circuit', {gates}\n    measure = sentence = print"
        (tmp_path / "odd.py").write_text(f"class Odd:\n    {parts}\n")
        named = ["--family", family("Rescaled"), "--check", f"{tmp_path / 'odd.py'}:Odd"]
        assert main(["calibrate", *named, "--out", str(tmp_path / "out")]) == 3
        assert "cannot be used" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

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
