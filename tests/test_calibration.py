"""The checks tell true circuits from decoys: a small calibration on every bundled family, with its fixed seeds."""

import pytest

from faithcheck import plugins
from faithcheck.calibration import calibrate
from faithcheck.checks.attention_agreement import AttentionAgreement
from faithcheck.verdict import Verdict

FAMILIES = ["backdoor", "cancelling_pair", "clean", "lottery", "norm_amplification", "role_flip", "shortcut_attention"]
INSTANCES = 2


def verdicts_of(found, variant):
    """{(check, seed): verdict} of the true circuits or the decoys."""
    return {(r.check, r.seed): r.verdict for r in found.records if r.variant == variant}


def test_every_bundled_family_is_calibrated_here():
    assert [entry.name for entry in plugins.names("families") if entry.package == "faithcheck"] == FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_true_circuits_fail_no_check_and_decoys_fail_what_their_family_exercises(family):
    found = calibrate([family], instances=INSTANCES, workers=1)
    [entry] = found.families
    assert found.errors == []
    assert found.passed_decoys == []
    assert found.exit_code == 0
    judging = [check.name for check in found.checks if entry.method_scope or not check.is_method_scope]
    true = verdicts_of(found, "true")
    assert set(true) == {(check, seed) for check in judging for seed in range(INSTANCES)}
    assert set(true.values()) <= {Verdict.PASS, Verdict.INCONCLUSIVE}
    assert {true[check, seed] for check in entry.exercises for seed in range(INSTANCES)} <= {Verdict.PASS}
    decoys = verdicts_of(found, "decoy")
    for check in entry.exercises:
        assert [decoys[check, seed] for seed in range(INSTANCES)] == [Verdict.FAIL] * INSTANCES, check


def test_a_check_whose_gates_let_everything_through_is_reported(monkeypatch):
    """So that the calibration above cannot pass whatever the checks do."""
    monkeypatch.setattr(AttentionAgreement, "gates", {"pattern_tv": "<= 1", "absent_heads": "<= 9"})
    found = calibrate(["shortcut_attention"], ["attention_agreement"], INSTANCES, workers=1)
    assert [(r.check, r.family, r.seed) for r in found.passed_decoys] == [
        ("attention_agreement", "shortcut_attention", seed) for seed in range(INSTANCES)
    ]
    assert found.exit_code == 1
