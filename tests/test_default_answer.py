"""Constant votes for an answer, which help the prompts of one answer and hurt those of the other by as much.

In the mean over prompts the fall of the log-odds without such a vote is 0. The circuit leaves out an input that turns
the votes round in the model, and a signed mean let it pass node_roles.
"""

from __future__ import annotations

import known_bad
import numpy as np
import pytest
from fake_models import bench_of, finding_of, subject_of, write_task
from known_bad_runs import FAIL, NAME_FIRST, NOT_APPLICABLE, PASS, Case, every, outcome

from faithcheck.checks.node_roles import NodeRoles
from faithcheck.importance import Importance

KEPT = {"mlp_in": [0, 1], "mlp_neuron": [0, 1, 2]}
TURNED_ROUND = Case("default_answer", every(FAIL, ""), KEPT)


@pytest.fixture
def about(tmp_path):
    return subject_of(bench_of(known_bad.default_answer(), write_task(tmp_path, **NAME_FIRST)), **KEPT)


@pytest.fixture
def signed_mean(monkeypatch):
    """Importance that is cut at 0 after the mean over prompts is taken."""
    monkeypatch.setattr(Importance, "under", lambda self, weights: np.maximum(weights @ self.per_prompt.T, 0.0))


def verdicts(result):
    return {check["check"]: check["verdict"] for check in result.checks}


def test_a_vote_that_changes_its_sign_fails_node_roles_and_with_it_the_run(tmp_path):
    # Of inputs 0 and 1 and neurons 0 to 2 the importances are 6, 1, 6, 1, 2: neurons 1 and 2 have 3 of 16.
    result = outcome(tmp_path, TURNED_ROUND)
    assert verdicts(result) == {
        "sufficiency": PASS,
        "attention_agreement": NOT_APPLICABLE,
        "node_roles": FAIL,
        "generalization": PASS,
        "layernorm": NOT_APPLICABLE,
    }
    assert result.verdict is FAIL
    [reason] = [check["reason"] for check in result.checks if check["check"] == "node_roles"]
    assert "nodes with 81% of the importance mean the same in circuit and model" in reason


def test_importance_takes_in_what_a_vote_does_for_the_prompts_that_it_helps(about):
    inputs, neurons = [("0.mlp_in", i) for i in range(2)], [("0.mlp_neuron", i) for i in range(3)]
    assert list(about.compiled.nodes) == [*inputs, *neurons]
    assert about.node_importance.mean() == pytest.approx([6, 1, 6, 1, 2])
    finding = finding_of(NodeRoles(), about)
    assert finding.evidence["0/consistent"].tolist() == [True, True, True, False, False]


def test_of_the_signed_mean_the_votes_have_less_than_a_twentieth(about):
    mass = np.maximum(about.node_importance.per_prompt.mean(1), 0.0)
    assert mass[3:].sum() < 0.05 * mass.sum()


def test_under_the_signed_mean_the_run_would_pass(tmp_path, signed_mean):
    """So that the failure above is that of the cut for each prompt."""
    result = outcome(tmp_path, TURNED_ROUND)
    assert verdicts(result)["node_roles"] == PASS
    assert result.verdict is PASS
