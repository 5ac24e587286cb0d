"""A looser gate never makes a verdict worse: not of one gate, and not of a check over whole measurements."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faithcheck import plugins
from faithcheck.check import Measurement, Metric
from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.judging import judge_circuits, judge_method
from faithcheck.suite import load_suite
from faithcheck.verdict import Verdict

WORST_FIRST = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
LOOSER = {"<=": ["<="], ">=": [">="], "<": ["<", "<="], ">": [">", ">="], "==": ["<=", ">=", "=="]}
"""The operators that, at the same bound, hold wherever one does."""
CHECKS = {entry.name: plugins.load("checks", entry.name) for entry in plugins.names("checks")}
BOUND = 0.5
limits = st.sampled_from([-math.inf, 0.0, BOUND, 1.0, math.inf]) | st.floats(-2, 3)
numbers = st.sampled_from([-1.0, 0.0, BOUND, 1.0, 2.0]).map(lambda x: (x, x, x)) | st.tuples(limits, limits, limits)
few = settings(max_examples=100, deadline=None, derandomize=True)


@st.composite
def estimates(draw):
    """Often a number without error, and mostly of enough prompts, so that every verdict comes up."""
    low, value, high = sorted(draw(numbers))
    minima = st.sampled_from([0, 0, 0, 6, 200])
    return Estimate(value, low, high, draw(st.sampled_from([300, 300, 300, 5])), draw(minima), draw(minima))


@st.composite
def pairs(draw, op=None, bound=None):
    """A gate and one that is looser, or as loose."""
    op = op or draw(st.sampled_from(list(LOOSER)))
    bound = draw(st.floats(-1, 2)) if bound is None else bound
    wider = draw(st.sampled_from(LOOSER[op]))
    by = 0.0 if wider == "==" else draw(st.sampled_from([0.0, BOUND]) | st.floats(0, 2))
    return Gate("", op, bound), Gate("", wider, bound + by if wider in ("<=", "<") else bound - by)


def no_worse(loose, tight):
    if Verdict.NOT_APPLICABLE in (loose, tight):
        return loose is tight
    return WORST_FIRST.index(loose) >= WORST_FIRST.index(tight)


@given(estimate=estimates(), gates=pairs())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_a_looser_gate_never_makes_the_verdict_on_an_estimate_worse(estimate, gates):
    tight, loose = (gate.judge(estimate) for gate in gates)
    assert no_worse(loose, tight)


@pytest.mark.parametrize("op", LOOSER)
def test_loosening_a_gate_does_turn_verdicts(op):
    """So that the property above is not one of gates that never change their mind."""
    values = {"<=": 1.0, "<": 1.0, ">=": 0.0, ">": 0.0, "==": 1.0}
    wider = "<=" if op in ("<=", "<", "==") else ">="
    estimate = Estimate.exact(values[op], 300)
    assert Gate("", op, BOUND).judge(estimate) is Verdict.FAIL
    assert Gate("", wider, values[op]).judge(estimate) is Verdict.PASS


@st.composite
def measurements(draw, gates):
    """What one circuit came to: every gated metric at least once, and perhaps a sentence in place of the gates."""
    metrics = [
        Metric(name, draw(estimates()), on=on)
        for name in gates
        for on in draw(st.sampled_from([(None,), ("odd",), ("odd", "even")]))
    ]
    metrics.append(Metric("reported", draw(st.none() | estimates())))
    instead = draw(
        st.sampled_from([{}, {}, {}, *({kind: "why"} for kind in ("not_applicable", "undecided", "failed"))])
    )
    return Measurement(metrics, **instead)


@st.composite
def judgings(draw, check):
    """Measurements of a check, and two sets of gates of which one has a looser gate, or several."""
    gates = {name: draw(pairs(Gate.parse(text, target_loss=0.15).op, BOUND)) for name, text in check.gates.items()}
    measured = draw(st.lists(measurements(gates), min_size=1, max_size=4))
    return measured, *({name: pair[which] for name, pair in gates.items()} for which in (0, 1))


@pytest.mark.parametrize("name", CHECKS)
@given(data=st.data())
@few
def test_looser_gates_never_make_a_checks_verdict_worse(name, data):
    check = CHECKS[name]()
    measured, tight, loose = data.draw(judgings(check))
    if check.scope == "method":
        found = [judge_method(check, "toy", gates, measured[0]) for gates in (loose, tight)]
    else:
        rows = [
            (seed, replace(m, metrics=[replace(x, seed=seed) for x in m.metrics])) for seed, m in enumerate(measured)
        ]
        found = [judge_circuits(check, "toy", gates, rows) for gates in (loose, tight)]
    assert no_worse(found[0].verdict, found[1].verdict)
    for ours, theirs in zip(found[0].metrics, found[1].metrics, strict=True):
        assert ours.verdict is theirs.verdict is None or no_worse(ours.verdict, theirs.verdict)


@given(data=st.data())
@few
def test_looser_gates_never_lower_the_share_of_generalizing_seeds(data):
    check = CHECKS["generalization"]()
    metric = st.builds(Metric, st.just("disagreement_gap"), estimates(), st.integers(0, 5), st.sampled_from(["a", "b"]))
    metrics = data.draw(st.lists(metric, max_size=6))
    tight, loose = data.draw(pairs("<=", BOUND))
    shares = [
        {m.on: m.estimate.value for m in check.summary(metrics, {"disagreement_gap": gate})} for gate in (loose, tight)
    ]
    assert shares[0].keys() == shares[1].keys()
    assert all(shares[0][on] >= shares[1][on] for on in shares[0])


def test_the_checks_of_the_default_suite_are_all_tried():
    assert {check.name for check in load_suite("default").suite.checks} <= set(CHECKS)
