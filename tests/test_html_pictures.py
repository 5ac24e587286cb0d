"""How numbers become places: scales, gates, patterns; and that colours can be read."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise

import html_results
import numpy as np
import pytest
import results
from hypothesis import given
from hypothesis import strategies as st

from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.report.html import attention, gating, generalization, sufficiency, svg
from faithcheck.report.html.assets import style
from faithcheck.report.html.curves import Curve, Frame
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.gated import gated
from faithcheck.report.html.words import interval, number, sentence_of
from faithcheck.report.reading import load_result
from faithcheck.result_schema import MetricEntry, ShownPrompt
from faithcheck.verdict import Verdict

positive = st.floats(1e-6, 1e6)


@given(low=positive, factor=st.floats(1.01, 1e6), log=st.booleans())
def test_ticks_ascend_and_lie_on_the_scale(low, factor, log):
    scale = svg.Scale(low, low * factor, 0, 300, log)
    ticks = scale.ticks()
    assert ticks == sorted(set(ticks))
    assert all(low * 0.99 <= tick <= low * factor * 1.01 for tick in ticks)
    assert len(ticks) <= 8


@given(values=st.lists(positive, min_size=2, unique=True), log=st.booleans())
def test_greater_values_lie_no_farther_left_and_all_inside(values, log):
    scale = svg.Scale(*(svg.log_span if log else svg.span_of)(values), 60, 300, log)
    places = [scale(value) for value in sorted(values)]
    assert all(a <= b for a, b in pairwise(places))
    assert 60 <= places[0] <= places[-1] <= 300


def test_a_log_scale_gives_every_factor_the_same_room():
    scale = svg.Scale(1, 100, 0, 200, log=True)
    assert [scale(value) for value in (1, 10, 100, 1000, 0.01)] == pytest.approx([0, 100, 200, 200, 0])


@pytest.mark.parametrize(
    ("gate", "start", "width"), [("<= 0.2", 0, 20), ("< 0.2", 0, 20), (">= 0.9", 90, 10), ("== 0.5", 46, 8)]
)
def test_the_side_that_passes_is_shaded(gate, start, width):
    drawn = gating.side(gating.parsed(gate), svg.Scale(0, 1, 0, 100), 0, 10)
    x, wide = (float(re.search(rf'{name}="([^"]*)"', drawn).group(1)) for name in ("x", "width"))
    assert (x, wide) == (start, width)


@pytest.mark.parametrize("gate", [None, "", "<= x", "about 3"])
def test_a_gate_that_cannot_be_read_is_not_drawn(gate):
    assert gating.parsed(gate) is None


def entry(**more):
    return MetricEntry.model_validate(results.metric(verdict="FAIL", **more))


def test_verdicts_differ_in_shape_not_in_colour_alone():
    drawn = [re.sub("v-[A-Z]+", "", svg.marker(5, 5, verdict)) for verdict in ("PASS", "FAIL", "INCONCLUSIVE", None)]
    assert len(set(drawn)) == 4


def test_an_interval_without_a_limit_ends_in_an_arrow():
    bounded, unbounded = entry(), entry().model_copy(update={"low": None, "high": None})
    assert gated([bounded]).count('class="arrow') == 0
    assert gated([unbounded]).count('class="arrow') == 2
    assert interval(unbounded) == "unbounded to unbounded"


def test_few_circuits_are_named_and_many_are_in_order():
    few = gated([entry(seed=seed, estimate=0.5) for seed in range(24)])
    many = gated([entry(seed=seed, estimate=1 - seed / 100) for seed in range(100)])
    assert ">seed 23<" in few
    assert ">100<" in many
    assert ">in order<" in many
    places = [float(x) for x in re.findall(r'd="M([\d.]+) [\d.]+L[^"]*" class="mark', many)]
    assert len(places) == 100
    assert places == sorted(places)


def test_an_estimate_that_was_never_reached_is_said_with_its_verdict():
    missed = html_results.missed("loss", 0, gate="<= 0.2", verdict="FAIL")
    drawn = gated([MetricEntry.model_validate(missed)])
    assert "not reached" in drawn
    assert "mark v-FAIL" in drawn


def test_the_circuit_and_the_model_of_a_loss_stand_side_by_side():
    drawn = gated([entry(estimate=4.0, seed=0)], {0: 0.1}, "frozen|live")
    assert ">live<" in drawn
    assert ">frozen<" in drawn
    assert drawn.count("mark beside") == 1


def test_the_empty_circuit_and_infinite_losses_are_left_out_of_curves():
    curve = Curve(np.array([[0, 9.0], [5, np.inf], [3, 2.0], [1, 4.0]]), "task")
    assert curve.known() == [(1, 4.0), (3, 2.0)]
    with pytest.raises(ValueError, match="no evaluated size"):
        Frame.around([Curve(np.zeros((1, 2)), "task")], 0.1, 300, 200)


def finding(folder, check):
    loaded = load_result(folder)
    return Finding(loaded, next(c for c in loaded.data.checks if c.check == check))


def test_a_pattern_comes_back_as_percents_with_the_sink_last(tmp_path):
    found = finding(html_results.folder(tmp_path, checks=["attention_agreement"]), "attention_agreement")
    first = next(attention._heads(found, 0))
    prompts = [{"tokens": ["a"] * 5}, {"tokens": ["a"] * 4}]
    table = attention.table(first, "model", 1, prompts)
    assert table == [
        [75, None, None, None, 25],
        [0, 75, None, None, 25],
        [0, 75, 0, None, 25],
        [0, 75, 0, 0, 25],
    ]


def test_heads_that_matter_least_are_left_out_where_patterns_take_too_much_room():
    heads = [
        (seed, {"name": str(place), "model": "x" * 40, "circuit": "x" * 40}) for seed in (0, 1) for place in (0, 1, 2)
    ]
    kept, left_out = attention._within(80 * 4, heads)
    assert [(seed, head["name"]) for seed, head in kept] == [(0, "0"), (1, "0"), (0, "1"), (1, "1")]
    assert left_out == 2


@given(st.floats(0, 1))
def test_a_percent_is_within_one_of_the_value(value):
    level = base64.b64decode(attention._bytes(np.array([value])))[0]
    assert abs(attention._percent(level) - 100 * value) <= 0.75


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.6723, "0.672"),
        (5632, "5,632"),
        (-0.004, "−0.004"),
        (None, "not reached"),
        (1, "1"),
        (0.0, "0"),
        (10**400, "1.00e+400"),
    ],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(["when", "Leo", "ran", ","], "when Leo ran, → he"), (["when", " Leo", " ran", ","], "when Leo ran, → he")],
)
def test_tokens_read_as_a_sentence_with_the_answer(tokens, text):
    assert sentence_of(ShownPrompt(tokens=tokens, target=" he", distractor=" she")) == text


def _colours():
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style())
    return {name: themes for name, *themes in found}


def _luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one, other):
    """WCAG 2.2, contrast ratio."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXT = ["ink", "soft", "link", "model", "circuit", "PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "ERROR"]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "raised"])
@pytest.mark.parametrize("name", TEXT)
def test_text_has_the_contrast_of_wcag_aa(name, ground, theme):
    assert _contrast(_colours()[name][theme], _colours()[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["soft", "PASS"])
def test_text_on_the_side_that_passes_can_be_read(name, theme):
    assert _contrast(_colours()[name][theme], _colours()["good"][theme]) >= 4.5


@given(
    gaps=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    op=st.sampled_from(["<=", "<", ">=", ">"]),
    bound=st.floats(-0.5, 0.5),
)
def test_in_the_histogram_what_meets_the_gate_lies_on_the_side_that_is_shaded(gaps, op, bound):
    gate = Gate.parse(f"{op} {bound}")
    scale = svg.Scale(*svg.span_of([*gaps, -0.1, 0.5, bound]), 18, 366)
    start, columns = generalization._columns(gaps, gate, scale, 18)
    for gap, column in zip(gaps, columns, strict=True):
        right = column >= 0
        meets = gate.judge(Estimate.exact(gap, 1)) is Verdict.PASS
        assert right == (meets if op[0] == ">" else not meets)
        assert start + column * 18 - 1e-6 <= scale(gap) <= start + (column + 1) * 18 + 1e-6


def test_a_chosen_size_is_no_verdict(tmp_path):
    def miss(data):
        data["circuits"][1]["reached"] = False

    loaded = load_result(html_results.folder(tmp_path, checks=["sufficiency"], edit=miss))
    chart = str(sufficiency.draw(Finding(loaded, loaded.data.checks[0]))).split("</figure>")[0]
    assert chart.count("mark circuit") == chart.count("mark v-FAIL") == 1
    assert "v-PASS" not in chart
    assert "where the target was missed" in chart


def test_heads_that_share_values_have_their_importance_together(tmp_path):
    folder = html_results.folder(tmp_path, checks=["attention_agreement"], seeds=(0,))
    data = json.loads((folder / "result.json").read_text())
    evidence = load_result(folder).evidence(load_result(folder).data.checks[0].evidence)
    shared = {"0/importance": np.array([1.0, 1.0, 3.0, 3.0, 0.0]), "0/shares_values": np.array([0, 0, 1, 1, 2])}
    data["checks"][0]["evidence"] = results.evidence(folder, "shared", evidence.tensors | shared)
    loaded = load_result(results.write(folder, data))
    shares = [head["share"] for head in attention._heads(Finding(loaded, loaded.data.checks[0]), 0)]
    three, one, none = (f"{share} % of the importance" for share in (75, 25, 0))
    assert shares == [f"{share}, with 1 other head of the same values" for share in (three, three, one, one)] + [none]
