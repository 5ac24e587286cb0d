"""`faithcheck calibrate` where a check is wrong, where nothing applies, and where an instance crashes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from calibrating import figures_of, one_worker, run
from stub_families import family

from faithcheck import plugins
from faithcheck.calibration import calibrate


@pytest.fixture(autouse=True)
def in_this_process():
    with one_worker():
        yield


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
        code, data, text = run(tmp_path, "Unable", instances=2)
        assert code == 4
        assert {met for _, _, met in figures_of(data).values()} == {None}
        assert "Not measured: whether layernorm passes decoys of families that exercise it." in text
        assert "layernorm did not apply to 1 of 1 decoys of families that exercise it, or crashed there." in text
        assert "No threshold can be chosen" in text

    def test_too_few_verdicts_measure_nothing_and_are_counted_in_words_once_a_variant(self, tmp_path, capsys):
        # On the odd seeds two of `rescaled`, two of `unable` that get no verdict.
        code, data, text = run(tmp_path, "Rescaled", "Unable")
        assert code == 4
        [row] = data["tables"]["requirements"]
        found = {f["name"]: (f["k"], f["n"], f["unjudged"], f["met"]) for f in row["figures"]}
        assert found == {
            "decoys passed": (0, 2, 2, None),
            "true failed": (0, 2, 2, None),
            "true inconclusive": (0, 2, 2, None),
            "true failed elsewhere": (0, 0, 0, None),
        }
        assert "| layernorm | not measured | not measured | not measured | not measured |" in text
        for where in (text, capsys.readouterr().out):
            said = [line for line in where.splitlines() if "did not apply" in line]
            assert said == [
                f"- layernorm did not apply to 2 of 4 {what} of families that exercise it, or crashed there."
                for what in ("decoys", "true circuits")
            ]

    def test_true_circuits_of_other_families_are_counted_too(self, tmp_path):
        code, data, text = run(tmp_path, "Rescaled", "UnableElsewhere")
        assert code == 4
        assert figures_of(data)["decoys passed"] == (0, 2, True)
        assert figures_of(data)["true failed elsewhere"] == (0, 0, None)
        assert "layernorm did not apply to 2 of 2 true circuits of other families, or crashed there." in text

    def test_a_check_that_is_exercised_but_not_installed_is_named(self, tmp_path, monkeypatch):
        entries = [e for e in plugins.names("checks") if e.name == "sufficiency"]
        monkeypatch.setattr(plugins, "names", lambda group: entries)
        assert "rescaled exercises layernorm, which is not installed." in run(tmp_path, "Rescaled", checks=())[2]


CODES = {
    "all is met": (["Rescaled", "Honest"], 0),
    "there is no other family to measure": (["Rescaled"], 0),
    "no check is exercised": (["UnableElsewhere"], 0),
    "too few got a verdict": (["Unable", "Honest"], 4),
    "and a decoy passed": (["Unable", "Leaky"], 1),
    "and something crashed": (["Unable", "Crashing"], 3),
    "and both": (["Unable", "Leaky", "Crashing"], 3),
}


@pytest.mark.parametrize("case", CODES)
def test_the_exit_code_is_that_of_the_worst_that_happened(case):
    names, code = CODES[case]
    found = calibrate([family(name) for name in names], ["layernorm"], 4, workers=1)
    assert found.exit_code == code
    assert replace(found, interrupted=True).exit_code == 130


class TestErrors:
    def test_an_instance_that_crashes_exits_three_and_the_others_are_kept(self, tmp_path, capsys):
        code, data, text = run(tmp_path, "Crashing", "Leaky")
        assert code == 3
        assert "- crashing, seed 1, true, layernorm: it could not be planted: ValueError: no ground\n" in text
        assert "- crashing, seed 1, decoy, layernorm: it could not be planted: ValueError: no ground\n" in text
        printed = capsys.readouterr().out
        assert all(f"ERROR crashing, seed 1, {variant}, layernorm" in printed for variant in ("true", "decoy"))
        assert "| layernorm | crashing* | true | 4 | 3 | 0 | 0 | 0 | 1 | FAIL 0 of 3, at most 71 % |" in text
        [instance] = [i for i in data["instances"] if "error" in i]
        assert (instance["family"], instance["seed"]) == ("crashing", 1)
        # Seed 3 of `crashing`, seeds 1 and 3 of `leaky`; with one of four crashed nothing is measured.
        assert figures_of(data)["decoys passed"] == (2, 3, None)

    def test_no_control_character_of_a_plugin_reaches_the_terminal(self, tmp_path, capsys):
        run(tmp_path, "Rude", instances=2)
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err + (tmp_path / "calibration.md").read_text()
        assert "\\x1b[31mred" in printed.out
