"""Laws of the comparison of any two results."""

from __future__ import annotations

from diffing import check, compared, metric, moves, result
from hypothesis import given, settings
from hypothesis import strategies as st

LEVELS = st.sampled_from([None, 0.02, 0.1, 0.19, 0.2, 0.5, 3.0])
TURNED = {"better": "worse", "worse": "better"}
GATES = ("<= 0.2", ">= 0.2")


@st.composite
def results(draw):
    """One or two checks with two gated metrics each, of some seeds."""
    chosen = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True))
    checks = []
    for name in draw(st.sampled_from([["sufficiency"], ["sufficiency", "layernorm"]])):
        metrics = [
            metric(f"{name}_{i}", seed, draw(LEVELS), draw(st.sampled_from([0.0, 0.02])), gate)
            for i, gate in enumerate(GATES)
            for seed in chosen
        ]
        checks.append(check(metrics, draw(st.sampled_from([None, None, "ERROR", "NOT_APPLICABLE"])), name))
    return result(*checks, interrupted=draw(st.booleans()))


@given(results())
def test_a_result_and_itself_have_no_change(one):
    found = compared(one, one)
    assert found.is_empty
    assert found.regressions == 0
    assert found.settings == []


@given(results(), results())
@settings(max_examples=150)
def test_better_and_worse_change_places_with_the_runs(one, other):
    there, back = moves(compared(one, other)), moves(compared(other, one))
    assert there == {name: TURNED.get(move, move) for name, move in back.items()}


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6), st.booleans(), st.booleans())
def test_what_only_improves_is_no_regression(pairs, same_seeds, has_noise):
    spread, first = 0.02 * has_noise, 0 if same_seeds else 7
    better, worse = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    sides = [
        result(check([metric(seed=i, value=x, spread=spread) for i, x in enumerate(values, start)]))
        for values, start in ((worse, 0), (better, first))
    ]
    found = compared(*sides)
    assert found.regressions == 0
    assert set(moves(found).values()) <= {"same", "better", "within noise", "noise unknown"}
