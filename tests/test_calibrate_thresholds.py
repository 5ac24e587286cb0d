"""Thresholds of a calibration: recorded verdicts judged again as the gates would judge them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faithcheck.calibration.rates import Outcome, figures
from faithcheck.calibration.records import HALVES, Gated, Record
from faithcheck.calibration.scan import Span, good_spans
from faithcheck.calibration.settings import Setting, grid, rejudge
from faithcheck.calibration.thresholds import thresholds
from faithcheck.calibration.wording import good_text
from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.verdict import Verdict, worst

PASS, FAIL, INCONCLUSIVE, NOT_APPLICABLE, ERROR = Verdict
LENIENCE = [FAIL, INCONCLUSIVE, PASS]
TARGETS = st.sampled_from([0.15, 0.25, 0.5])
OPS = st.sampled_from(["<=", ">=", "<", ">"])
NUMBERS = st.sampled_from([x / 8 for x in range(-8, 17)])
"""Exact in binary, and few, so that limits and thresholds often meet."""


@st.composite
def estimates(draw):
    low, value, high = sorted(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    low, high = draw(st.sampled_from([(low, high), (low, math.inf), (-math.inf, high), (-math.inf, math.inf)]))
    return Estimate(value, low, high, draw(st.integers(0, 6)), *draw(st.sampled_from([(0, 0), (3, 0), (0, 4)])))


def gated(metric, text, estimate, target, on=None):
    gate = Gate.parse(text, target_loss=target)
    return Gated(metric, on, estimate, gate, gate.judge(estimate))


def record_of(found, *, seed=0, family="mine", variant="true", target=0.15, verdict=None):
    """A record whose verdict the gates made, or `verdict`, which a check put in their place."""
    made = worst(g.verdict for g in found) if verdict is None else verdict
    return Record(family, seed, variant, "check", made, "a reason", verdict is None, found, target)


@st.composite
def records(draw):
    """Of a check with the gates `number` (once or twice) and `other`; now and then it does not leave it to them."""
    target = draw(TARGETS)
    found = [
        gated("number", "<= 0.5", draw(estimates()), target, on) for on in draw(st.sampled_from([("a",), ("a", "b")]))
    ]
    found.append(gated("other", ">= 0", draw(estimates()), target))
    verdict = draw(st.sampled_from([None, None, None, None, *Verdict]))
    family, variant = draw(st.sampled_from(["mine", "other"])), draw(st.sampled_from(["true", "decoy"]))
    return record_of(
        found, seed=draw(st.integers(0, 5)), family=family, variant=variant, target=target, verdict=verdict
    )


class TestSetting:
    @pytest.mark.parametrize(
        "text", ["<= target_loss + 0.1", "<= target_loss - 0.1", "<= 0.2", ">= 10", "== 0", "< 1", ">= target_loss + 0"]
    )
    def test_it_reads_a_gate_and_gives_it_back(self, text):
        setting = Setting.parse(text)
        assert setting.text == text
        for target in (0.15, 0.3):
            assert (setting.gate(target).op, setting.gate(target).bound) == (
                Gate.parse(text, target_loss=target).op,
                Gate.parse(text, target_loss=target).bound,
            )

    @pytest.mark.parametrize(
        ("text", "around"),
        [
            ("<= target_loss + 0.1", [0.025, 0.05, 0.1, 0.2, 0.4]),
            ("<= 0.2", [0.05, 0.1, 0.2, 0.4, 0.8]),
            (">= 0.8", [0.2, 0.6, 0.8, 0.9, 0.95]),
            (">= 0.5", [0.5, 0.75, 0.875]),  # slack 0.5: twice and four times it would leave no bound above 0
            (">= 10", [2.5, 5, 10, 20, 40]),
            ("<= target_loss", [0]),
            ("<= 0", [0]),
        ],
    )
    def test_the_grid_is_around_the_default(self, text, around):
        default = Setting.parse(text)
        settings = grid(default)
        assert [s.value for s in settings] == around
        assert {(s.op, s.from_target) for s in settings} == {(default.op, default.from_target)}
        assert settings.count(default) == 1

    def test_a_count_that_must_be_zero_may_also_be_one_or_two(self):
        assert [s.text for s in grid(Setting.parse("== 0"))] == ["== 0", "<= 1", "<= 2"]
        assert [s.text for s in grid(Setting.parse("== 3"))] == ["== 3"]


class TestRejudging:
    @given(OPS, estimates(), TARGETS, NUMBERS, st.booleans())
    def test_one_metric_is_judged_as_its_gate_would(self, op, estimate, target, value, from_target):
        setting = Setting(op, value, from_target)
        text = f"{op} target_loss {'-' if value < 0 else '+'} {abs(value)}" if from_target else f"{op} {value}"
        record = record_of([gated("number", "<= 0.3", estimate, target)], target=target)
        assert rejudge(record, "number", setting) is Gate.parse(text, target_loss=target).judge(estimate)

    @given(records())
    def test_at_the_default_nothing_changes(self, record):
        assert rejudge(record, "number", Setting.parse("<= 0.5")) is record.verdict
        assert rejudge(record, "other", Setting.parse(">= 0")) is record.verdict

    @given(records(), st.lists(NUMBERS, min_size=2, max_size=2), OPS)
    def test_a_more_lenient_threshold_never_makes_it_worse(self, record, values, op):
        strict, lenient = sorted(values, reverse=op[0] == ">")
        before, after = (rejudge(record, "number", Setting(op, value)) for value in (strict, lenient))
        assert before == after if not record.by_gates else LENIENCE.index(before) <= LENIENCE.index(after)

    @given(records(), NUMBERS)
    def test_what_a_check_put_in_the_place_of_its_gates_stays(self, record, value):
        if not record.by_gates:
            assert rejudge(record, "number", Setting("<=", value)) is record.verdict

    @given(records(), NUMBERS)
    def test_the_json_of_a_record_is_enough(self, record, value):
        data = json.loads(json.dumps(record.to_data(), allow_nan=False))
        setting = Setting("<=", value, from_target=True)
        assert from_json(data, "number", setting, record.target_loss) is rejudge(record, "number", setting)


def from_json(data, metric, setting, target):
    """A verdict judged again by a reader of calibration.json that knows nothing of the code that wrote it."""
    if not data["by_gates"]:
        return Verdict(data["verdict"])
    verdicts = []
    for entry in data["gated"]:
        signs = entry.get("infinite", {})
        limits = [signs[k] * math.inf if k in signs else entry[k] for k in ("estimate", "low", "high")]
        estimate = Estimate(*limits, entry["n"], entry["minimum"], entry["minimum_to_pass"])
        gate = Gate.parse(entry["gate"], target_loss=target)
        assert gate.bound == entry["bound"]
        verdicts.append((setting.gate(target) if entry["metric"] == metric else gate).judge(estimate))
    return worst(verdicts)


def inside(value, spans):
    def holds(s):
        above = s.low is None or value > s.low or (s.low_included and value == s.low)
        below = s.high is None or value < s.high or (s.high_included and value == s.high)
        return above and below

    return any(map(holds, spans))


def sure(low, high):
    return Estimate((low + high) / 2, low, high, 200)


def population(true, decoys, text="<= 0.5", seed=0, target=0.15):
    """Records of one metric from intervals of true circuits and decoys."""
    return [
        record_of([gated("number", text, sure(*limits), target)], seed=seed, variant=variant, target=target)
        for variant, rows in (("true", true), ("decoy", decoys))
        for limits in rows
    ]


class TestGoodThresholds:
    @given(st.lists(records(), max_size=12), OPS, st.lists(NUMBERS, min_size=1, max_size=8))
    def test_they_are_those_at_which_the_requirements_are_met(self, found, op, values):
        # Between the numbers drawn, too: NUMBERS are eighths.
        default = Setting(op, 0.5)
        spans = good_spans(found, "number", default, ["mine"])
        for value in [*values, *(v + 1 / 16 for v in values), -100.0, 100.0]:
            again = [Outcome(r.family, r.variant, rejudge(r, "number", Setting(op, value))) for r in found]
            required = figures(again, ["mine"])
            if spans is None:
                assert None in (required[0].met, required[1].met)
            else:
                assert inside(value, spans) is all(figure.met is not False for figure in required)

    def test_they_lie_between_the_true_circuits_and_the_decoys(self):
        # All true ones pass from 0.3 on; the first decoy passes at 0.75.
        found = population([(0.1, 0.2), (0.2, 0.3)], [(0.5, 0.75), (0.6, 0.9)])
        assert good_spans(found, "number", Setting("<=", 0.5), ["mine"]) == [Span(0.3, True, 0.75, False)]

    def test_for_a_bound_from_below_they_end_where_the_true_circuits_do(self):
        # `>=`: a decoy passes up to its low limit, 0.4; every true one passes up to 0.7.
        found = population([(0.7, 0.8), (0.75, 0.9)], [(0.4, 0.5)], ">= 0.5")
        assert good_spans(found, "number", Setting(">=", 0.5), ["mine"]) == [Span(0.4, False, 0.7, True)]

    def test_a_margin_is_counted_from_the_target_loss_of_each_instance(self):
        # Margins of the true ones' limits: 0.25 and 0.125; of the decoys' 1.25.
        found = population([(0.4, 0.5)], [(1.25, 1.5)], "<= target_loss + 0.1", target=0.25)
        found += population([(0.4, 0.625)], [], "<= target_loss + 0.1", target=0.5)
        setting = Setting.parse("<= target_loss + 0.1")
        assert good_spans(found, "number", setting, ["mine"]) == [Span(0.25, True, 1.25, False)]

    def test_there_are_none_where_a_decoy_looks_better_than_a_true_circuit(self):
        found = population([(0.1, 0.2), (0.5, 0.6)], [(0.2, 0.3)])
        assert good_spans(found, "number", Setting("<=", 0.5), ["mine"]) == []

    def test_nothing_can_be_chosen_without_a_decoy_or_without_a_true_circuit(self):
        decoys, true = population([], [(0.2, 0.3)]), population([(0.1, 0.2)], [])
        assert good_spans(decoys, "number", Setting("<=", 0.5), ["mine"]) is None
        assert good_spans(true, "number", Setting("<=", 0.5), ["mine"]) is None
        assert good_spans([*decoys, *true], "number", Setting("<=", 0.5), ["another"]) is None

    def test_true_circuits_of_other_families_count_too(self):
        others = [
            record_of([gated("number", "<= 0.5", sure(0.3, 0.4), 0.15)], family="other"),
        ]
        found = population([(0.1, 0.2)], [(0.5, 0.75)])
        # Below 0.3 the other family's true circuit would fail.
        assert good_spans([*found, *others], "number", Setting("<=", 0.5), ["mine"]) == [Span(0.3, True, 0.75, False)]


class TestTable:
    def test_it_has_both_halves_side_by_side_and_marks_the_default(self):
        found = population([(0.1, 0.3)], [(0.5, 0.75)], "<= 0.4") + population([(0.5, 0.6)], [(0.7, 0.9)], "<= 0.4", 1)
        table = thresholds("check", "number", "<= 0.4", found, ["mine"])
        assert [row.setting.value for row in table.rows if row.is_default] == [0.4]
        ks = {row.setting.value: [[f.rate.k for f in row.halves[h][:3]] for h in HALVES] for row in table.rows}
        # Decoys passed, true failed, true inconclusive: on the half to choose on, then on the one to report.
        assert ks == {
            0.1: [[0, 0, 1], [0, 1, 0]],
            0.2: [[0, 0, 1], [0, 1, 0]],
            0.4: [[0, 0, 0], [0, 1, 0]],
            0.8: [[1, 0, 0], [0, 0, 0]],
            1.6: [[1, 0, 0], [1, 0, 0]],
        }

    def test_thresholds_are_chosen_on_even_seeds_alone(self):
        found = population([(0.1, 0.3)], [(0.5, 0.75)]) + population([(0.5, 0.6)], [(0.1, 0.2)], seed=1)
        assert thresholds("check", "number", "<= 0.5", found, ["mine"]).good == [Span(0.3, True, 0.75, False)]

    @pytest.mark.parametrize(
        ("true", "decoys", "gate", "line"),
        [
            ([(0, 0.123456)], [(0, 0.345678)], "<= 0.5", "by `<= v` with v at least 0.1235 and below 0.3456."),
            ([(0, 0)], [(1, 1)], "== 0", "by `<= v` with v at least 0 and below 1."),
            ([(3, 3)], [(1, 1)], ">= 10", "by `>= v` with v above 1 and at most 3."),
            ([(1, 2)], [], "<= 1", "on the half to choose on, too few decoys or true circuits were judged."),
            ([(1, 2)], [(0, 1)], "<= 1", "no threshold meets the requirements: of `<= v`, none does."),
        ],
    )
    def test_the_line_below_is_rounded_inwards(self, true, decoys, gate, line):
        assert line in good_text(thresholds("check", "number", gate, population(true, decoys, gate), ["mine"]))
