"""Gates: what is read, what is judged, and what would settle the rest."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.verdict import Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
INEQUALITIES = ["<=", ">=", "<", ">"]
numbers = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def estimates(draw):
    low, value, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return Estimate(value, low, high, n=draw(st.integers(0, 200)), minimum=draw(st.integers(0, 100)))


def between(low, high):
    return Estimate((low + high) / 2, low, high, n=100)


@pytest.mark.parametrize(
    ("text", "op", "bound"),
    [
        ("<= 0.1", "<=", 0.1),
        (">=10", ">=", 10.0),
        ("  < 1e-3 ", "<", 0.001),
        ("> -.5", ">", -0.5),
        ("== +0", "==", 0.0),
        ("<= target_loss", "<=", 0.15),
        ("<= target_loss + 0.1", "<=", 0.25),
        (">= target_loss-1", ">=", -0.85),
    ],
)
def test_a_gate_reads_its_operator_and_bound(text, op, bound):
    gate = Gate.parse(text, target_loss=0.15)
    assert (gate.op, gate.bound) == (op, pytest.approx(bound))


def test_a_gate_shows_itself_as_written_and_as_resolved():
    gate = Gate.parse("<= target_loss + 0.1", target_loss=0.15)
    assert gate.text == "<= target_loss + 0.1"
    assert gate.resolved == "<= 0.25"
    assert Gate.parse("== 0").resolved == "== 0"


def test_a_constant_may_have_any_name():
    assert Gate.parse("<= text + 1", text=1.0, cls=2.0).bound == 2.0


BAD_TEXTS = ["", "0.1", "<=", "=< 0.1", "= 0", "!= 0", "<= 1 + 1", "<= x * 2", "<= x + y", "<= 1,5", "<= 1 2"]


@pytest.mark.parametrize("text", [*BAD_TEXTS, "<= x + -1", ">= -inf", "<= ٣", "<= 0.1; import os"])
def test_other_text_is_refused_with_the_allowed_form(text):
    with pytest.raises(ValueError, match="a gate is OP EXPR") as refused:
        Gate.parse(text, x=1.0)
    assert repr(text) in str(refused.value)


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    with pytest.raises(ValueError, match=r"'target_los'; did you mean 'target_loss'\?"):
        Gate.parse("<= target_los + 0.1", target_loss=0.15)


def test_an_unknown_name_is_refused_where_none_is_known():
    with pytest.raises(ValueError, match=r"unknown name 'target_loss' \(known names: none\)"):
        Gate.parse("<= target_loss")


@pytest.mark.parametrize("text", ["<= nan", "<= inf", "<= NaN", "<= 1e999", "<= broken", "<= never"])
def test_a_bound_that_is_not_finite_is_refused(text):
    with pytest.raises(ValueError, match="a gate needs a finite bound"):
        Gate.parse(text, broken=math.nan, never=math.inf)


@pytest.mark.parametrize(
    ("text", "low", "high", "verdict"),
    [
        ("<= 1", 0, 1, PASS),
        ("<= 1", 1, 2, INCONCLUSIVE),
        ("<= 1", 1.001, 2, FAIL),
        ("< 1", 0, 0.999, PASS),
        ("< 1", 0, 1, INCONCLUSIVE),
        ("< 1", 1, 2, FAIL),
        (">= 1", 1, 2, PASS),
        (">= 1", 0, 1, INCONCLUSIVE),
        (">= 1", 0, 0.999, FAIL),
        ("> 1", 1.001, 2, PASS),
        ("> 1", 1, 2, INCONCLUSIVE),
        ("> 1", 0, 1, FAIL),
        ("== 1", 1, 1, PASS),
        ("== 1", 0, 1, INCONCLUSIVE),
        ("== 1", 0, 2, INCONCLUSIVE),
        ("== 1", 0, 0.999, FAIL),
        ("== 1", 1.001, 2, FAIL),
    ],
)
def test_the_interval_is_judged_whole_and_the_boundary_exactly(text, low, high, verdict):
    assert Gate.parse(text).judge(between(low, high)) is verdict


def test_never_reached_passes_a_lower_bound_and_fails_an_upper_one():
    never = Estimate(math.inf, math.inf, math.inf, n=6)
    assert Gate.parse(">= 10").judge(never) is PASS
    assert Gate.parse("<= 10").judge(never) is FAIL


@pytest.mark.parametrize("text", ["<= 1", ">= 1", "< 1", "> 1", "== 1"])
@pytest.mark.parametrize("value", [0.0, 1.0, 2.0])
def test_below_the_minimum_nothing_passes_and_nothing_fails(text, value):
    gate = Gate.parse(text)
    assert gate.judge(Estimate(value, value, value, n=99, minimum=100)) is INCONCLUSIVE
    assert gate.judge(Estimate(value, value, value, n=100, minimum=100)) is not INCONCLUSIVE


@given(estimate=estimates(), bounds=st.tuples(numbers, numbers))
def test_a_looser_bound_never_makes_a_verdict_worse(estimate, bounds):
    order = [FAIL, INCONCLUSIVE, PASS]
    tight, loose = sorted(bounds)
    for op in ("<=", "<"):
        judged = [Gate(op, op, bound).judge(estimate) for bound in (tight, loose)]
        assert order.index(judged[0]) <= order.index(judged[1])
    for op in (">=", ">"):
        judged = [Gate(op, op, bound).judge(estimate) for bound in (loose, tight)]
        assert order.index(judged[0]) <= order.index(judged[1])


@given(estimate=estimates(), bound=numbers, op=st.sampled_from(INEQUALITIES))
def test_a_gate_and_its_negation_give_opposite_verdicts(estimate, bound, op):
    negation = {"<=": ">", ">": "<=", ">=": "<", "<": ">="}[op]
    opposite = {PASS: FAIL, FAIL: PASS, INCONCLUSIVE: INCONCLUSIVE}
    assert Gate("", negation, bound).judge(estimate) is opposite[Gate("", op, bound).judge(estimate)]


@given(estimate=estimates(), bound=numbers, op=st.sampled_from([*INEQUALITIES, "=="]))
def test_there_is_something_to_settle_exactly_where_the_verdict_is_inconclusive(estimate, bound, op):
    gate = Gate("", op, bound)
    assert bool(gate.settle(estimate)) == (gate.judge(estimate) is INCONCLUSIVE)


def test_below_the_minimum_the_advice_is_the_minimum():
    gate = Gate.parse("<= 0.05")
    assert gate.settle(Estimate(0, 0, 0, n=40, minimum=100)) == "needs at least 100 prompts, had 40"
    assert gate.settle(Estimate(0, 0, 0, n=2, minimum=6), noun="seeds") == "needs at least 6 seeds, had 2"


def test_the_advice_follows_the_square_root_law():
    # bound 0.05, value 0.03, so a gap of 0.02; the limit beyond it is 0.0675, 0.0375 away.
    # 512 * (0.0375 / 0.02)^2 = 512 * 3.515625 = 1800.
    estimate = Estimate(0.03, -0.01, 0.0675, n=512)
    assert Gate.parse("<= 0.05").settle(estimate) == "about 1,800 prompts would probably settle it (had 512)"


def test_the_advice_looks_at_the_limit_beyond_the_gate():
    # Value on the bad side: the low limit, 0.04 away, must come within 0.02: 100 * 2^2. The high one is idle.
    estimate = Estimate(0.07, 0.03, 0.9, n=100)
    assert Gate.parse("<= 0.05").settle(estimate) == "about 400 prompts would probably settle it (had 100)"
    assert Gate.parse(">= 0.05").settle(estimate) == "about 400 prompts would probably settle it (had 100)"


def test_the_advice_is_rounded_up_to_two_digits():
    # 100 * (0.35 / 0.1)^2 = 1225.
    estimate = Estimate(0.4, 0.0, 0.75, n=100)
    assert Gate.parse("<= 0.5").settle(estimate) == "about 1,300 prompts would probably settle it (had 100)"


def test_the_advice_always_asks_for_more_than_there_was():
    # The limit lies on a strict gate: (0.5 / 0.5)^2 * 500 = 500, which was not enough.
    estimate = Estimate(0.5, 0.0, 1.0, n=500)
    assert Gate.parse("< 1").settle(estimate) == "about 510 prompts would probably settle it (had 500)"


@pytest.mark.parametrize("value", [0.5, 0.5 - 1e-9])
def test_an_estimate_on_the_gate_may_never_settle(value):
    advice = Gate.parse("<= 0.5").settle(Estimate(value, 0.0, 1.0, n=512))
    assert advice == "the estimate lies on the gate; more data may not settle it"


@pytest.mark.parametrize(("value", "low"), [(5.0, 1.0), (math.inf, 1.0)])
def test_an_unbounded_interval_gives_no_number(value, low):
    advice = Gate.parse(">= 10").settle(Estimate(value, low, math.inf, n=8), noun="seeds")
    assert advice == "the interval is unbounded; how many more seeds would settle it cannot be said"


def test_gates_are_read_without_numpy():
    code = "import sys, faithcheck.gates; sys.exit(bool({'numpy', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
