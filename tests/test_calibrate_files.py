"""What `faithcheck calibrate` writes and prints where the checks meet what is required of them."""

from __future__ import annotations

import json

import pytest
from calibrating import figures_of, one_worker, run
from stub_families import family

from faithcheck.calibration.calibration import SCHEMA


@pytest.fixture(autouse=True)
def in_this_process():
    with one_worker():
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    with one_worker():
        return run(tmp_path_factory.mktemp("good") / "out", "Rescaled", "Honest", checks=("layernorm", "sufficiency"))


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
