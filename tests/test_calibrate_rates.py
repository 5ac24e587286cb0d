"""Rates of a calibration: exact intervals worked out by hand, and what counts for which requirement."""

from __future__ import annotations

import pytest

from faithcheck.calibration.rates import Figure, Outcome, Rate, figures
from faithcheck.calibration.records import Record
from faithcheck.calibration.requirements import rate_row, requirement
from faithcheck.verdict import Verdict

PASS, FAIL, INCONCLUSIVE, NOT_APPLICABLE, ERROR = Verdict


class TestRate:
    @pytest.mark.parametrize(
        ("k", "n", "low", "high"),
        [
            (0, 25, 0.0, 1 - 0.025 ** (1 / 25)),
            (25, 25, 0.025 ** (1 / 25), 1.0),
            (0, 1, 0.0, 0.975),
            (1, 25, 1 - 0.975 ** (1 / 25), 0.20352),  # upper: beta(0.975; 2, 24), Clopper & Pearson's chart: 0.20
            (5, 10, 0.18709, 0.81291),  # as in every table of the binomial
        ],
    )
    def test_its_interval_is_clopper_and_pearsons(self, k, n, low, high):
        assert Rate(k, n).interval == pytest.approx((low, high), abs=1e-5)

    @pytest.mark.parametrize(
        ("k", "n", "text"),
        [
            (0, 25, "0 of 25, at most 14 %"),  # 13.7 %
            (25, 25, "25 of 25, at least 86 %"),  # 86.3 %
            (1, 25, "1 of 25, 0.1 to 21 %"),  # 0.10 % to 20.35 %
            (5, 10, "5 of 10, 18 to 82 %"),
            (0, 350, "0 of 350, at most 1.1 %"),  # 1.05 %
            (0, 0, "0 of 0"),
        ],
    )
    def test_it_is_written_with_limits_rounded_outwards(self, k, n, text):
        assert Rate(k, n).text == text

    def test_of_no_instances_nothing_is_known(self):
        assert Rate(0, 0).interval == (0.0, 1.0)


@pytest.mark.parametrize(
    ("k", "n", "limit", "met"),
    [
        (0, 25, 0.0, True),
        (1, 25, 0.0, False),
        (1, 20, 0.05, True),
        (2, 39, 0.05, False),
        (3, 30, 0.1, True),
        (0, 0, 0.05, None),
    ],
)
def test_a_figure_is_met_by_the_observed_rate_and_unknown_without_instances(k, n, limit, met):
    assert Figure("figure", Rate(k, n), limit).met is met


def record(family, seed, variant, verdict, check="layernorm"):
    return Record(family, seed, variant, check, verdict, "a reason")


def counts(found):
    return [(f.rate.k, f.rate.n) for f in found]


def test_each_figure_counts_its_own_families_and_variant():
    found = [
        *[Outcome("mine", "decoy", v) for v in (PASS, FAIL, FAIL, INCONCLUSIVE)],
        *[Outcome("mine", "true", v) for v in (PASS, PASS, FAIL, INCONCLUSIVE, INCONCLUSIVE)],
        *[Outcome("other", "true", v) for v in (FAIL, PASS, PASS)],
        *[Outcome("other", "decoy", v) for v in (PASS, PASS)],
    ]
    assert counts(figures(found, ["mine"])) == [(1, 4), (1, 5), (2, 5), (1, 3)]
    assert counts(figures(found, ["mine", "other"])) == [(3, 6), (2, 8), (2, 8), (0, 0)]


def test_what_did_not_apply_or_crashed_is_no_trial():
    # Without this, ten decoys to which the check does not apply would look like ten that it caught.
    found = [Outcome("mine", variant, v) for variant in ("decoy", "true") for v in (NOT_APPLICABLE, ERROR, FAIL)]
    assert counts(figures(found, ["mine"])) == [(0, 1), (1, 1), (0, 1), (0, 0)]


def test_a_requirement_counts_the_odd_seeds_only():
    records = [record("mine", seed, "decoy", FAIL if seed % 2 else PASS) for seed in range(10)]
    records += [record("mine", seed, "true", PASS if seed % 2 else FAIL) for seed in range(10)]
    assert counts(requirement("layernorm", records, ["mine"]).figures) == [(0, 5), (0, 5), (0, 5), (0, 0)]


def test_a_requirement_says_how_many_it_should_have_judged_and_did_not():
    records = [record("mine", 1, "decoy", NOT_APPLICABLE), record("mine", 3, "decoy", ERROR)]
    records += [record("mine", 2, "decoy", ERROR), record("other", 1, "true", NOT_APPLICABLE)]
    records += [record("mine", 1, "true", PASS), record("mine", 3, "true", ERROR)]
    found = requirement("layernorm", records, ["mine"]).figures
    assert [figure.unjudged for figure in found] == [2, 1, 1, 1]
    assert [figure.met for figure in found] == [None] * 4


@pytest.mark.parametrize(("unjudged", "met"), [(1, True), (2, None)])
def test_a_figure_is_not_measured_where_more_than_a_tenth_got_no_verdict(unjudged, met):
    assert Figure("figure", Rate(0, 9), 0.0, unjudged).met is met


@pytest.mark.parametrize(("variant", "wrong"), [("true", (2, 5)), ("decoy", (1, 5))])
def test_a_row_of_all_verdicts_has_the_rate_of_the_wrong_one(variant, wrong):
    verdicts = [PASS, FAIL, FAIL, INCONCLUSIVE, INCONCLUSIVE, NOT_APPLICABLE, NOT_APPLICABLE, NOT_APPLICABLE, ERROR]
    row = rate_row("layernorm", "mine", variant, [record("mine", i, variant, v) for i, v in enumerate(verdicts)])
    assert row.counts == {PASS: 1, FAIL: 2, INCONCLUSIVE: 2, NOT_APPLICABLE: 3, ERROR: 1}
    assert (row.wrong.k, row.wrong.n) == wrong
    assert row.to_data()["n"] == 9
