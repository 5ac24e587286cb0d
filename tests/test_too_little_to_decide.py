"""Inputs on which a check has too little to decide by: none passes, and the sentence says what there is too little of.

Every one is a run of a whole suite on a model of `known_bad`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_models import FEMALE, MALE, ODD, TEST
from known_bad_runs import (
    BOTH,
    EXTRA,
    INCONCLUSIVE,
    NAME_FIRST,
    NEURON,
    NOT_APPLICABLE,
    Case,
    assert_as_expected,
    circuit_file,
    every,
    outcome,
    suite_of,
)

from faithcheck.api import run_suite
from faithcheck.checks.generalization import MINIMUM_CONFIDENT
from faithcheck.resampling import MINIMUM_PROMPTS, MINIMUM_UNITS
from faithcheck.thresholds import NO_EFFECT

NO_ATTENTION = {"attention_agreement": (NOT_APPLICABLE, "keeps no attn_v node")}
FEW_PROMPTS = f"needs at least {MINIMUM_PROMPTS} prompts, had 28"
FEW_CONFIDENT = f"needs at least {MINIMUM_CONFIDENT} prompts, had "
LOWERS = "lowers the answer's log-odds by"
NEEDS = f"interval needs {MINIMUM_UNITS}"
FEW_UNITS = f"the task has only 8 independent units (name), an {NEEDS}"
MANY, MANY_ODD = ([f"{action} {word}" for action in actions for word in EXTRA] for actions in (TEST, ODD))
CASES = {
    "nodes none of which is missed": Case(
        "clipped",
        {"node_roles": (INCONCLUSIVE, f"single nodes {LOWERS} 0 nats in all, too little")},
        BOTH,
    ),
    "nodes that are missed one by one, but not all together": Case(
        "none_on_test_prompts", {"node_roles": (INCONCLUSIVE, NO_EFFECT)}, {"mlp_neuron": [0, 1, 2]}
    ),
    "heads none of which is missed": Case(
        "beside",
        {"attention_agreement": (INCONCLUSIVE, f"single heads {LOWERS} 0.02 nats in all, too little")},
        {"attn_v": [0, 1], "attn_out": [0, 1], "mlp_neuron": [0]},
    ),
    "heads whose outputs are not kept": Case(
        "beside",
        {"attention_agreement": (INCONCLUSIVE, f"single heads {LOWERS} 0 nats in all, too little")},
        {"attn_v": [0, 1], "mlp_neuron": [0]},
    ),
    "too few prompts": Case(
        "normed",
        {
            **every(INCONCLUSIVE, FEW_PROMPTS),
            **NO_ATTENTION,
            "generalization": (INCONCLUSIVE, f"{FEW_CONFIDENT}28"),
        },
        BOTH,
        task={"test": TEST[:2], "odd": ODD[:2]},
    ),
    "too few units": Case(
        "normed",
        {
            **every(INCONCLUSIVE, f"({FEW_UNITS})"),
            **NO_ATTENTION,
            "generalization": (INCONCLUSIVE, f"({FEW_UNITS}; the shift odd has only 8 independent units (name), an "),
        },
        BOTH,
        task={"female": FEMALE[:4], "male": MALE[:4], "test": MANY, "odd": MANY_ODD},
    ),
    "a shift of too few units": Case(
        "normed",
        {"generalization": (INCONCLUSIVE, f"(the shift odd has only 2 independent units (name), an {NEEDS})")},
        BOTH,
        task={**NAME_FIRST, "odd": MANY_ODD, "odd_names": (FEMALE[:1], MALE[:1])},
    ),
    "a model that is never sure": Case("unsure", {"generalization": (INCONCLUSIVE, f"{FEW_CONFIDENT}0")}, NEURON),
}


@pytest.mark.parametrize("case", CASES)
def test_where_there_is_too_little_to_decide_no_check_passes_and_the_sentence_says_why(tmp_path, case):
    assert_as_expected(outcome(tmp_path, CASES[case]), CASES[case])


def test_a_shift_of_too_few_units_is_remarked_where_a_check_looks_at_it_alone(tmp_path):
    result = outcome(tmp_path, replace(CASES["a shift of too few units"], expected=every(INCONCLUSIVE, "")))
    remarked = {check["check"] for check in result.checks if "independent units" in check["reason"]}
    assert remarked == {"generalization"}


def test_a_task_of_one_frame_and_one_unit_decides_nothing(tmp_path):
    """The unit is the place, of which there is one; 14 prompts, one after each name."""
    suite = suite_of(tmp_path, "normed")
    task = tmp_path / "toy.yaml"
    one = task.read_text().replace("unit: name", "unit: place").replace("slots: {name", "slots: {place: [so], name")
    one = one.replace('"{name} {action}"', '"{name} {place} {action}"').replace(f"[{', '.join(TEST)}]", "[x0]")
    task.write_text(one)
    circuit = circuit_file(tmp_path, "normed", BOTH)
    result = run_suite(suite, circuit=circuit, out=tmp_path / "out", device="cpu")
    for check in result.checks:
        assert check["verdict"] == (NOT_APPLICABLE if check["check"] == "attention_agreement" else INCONCLUSIVE)
        assert "only 1 independent units (place)" in check["reason"]
