"""Agreement and roles of activations that are written down, and of the nodes of scripted models."""

import math

import numpy as np
import pytest
from fake_models import (
    ONE,
    SIGN,
    Attention,
    Readout,
    answers_only,
    bench_of,
    pronoun,
    subject_of,
    table,
    write_large_task,
)

from faithcheck.roles import NodeRecords, Role, effect, node_records

FIRST_HALF = np.arange(8) < 4


def records(x, y, roles=()):
    """One node at one position a prompt."""
    x, y = np.array([x], float), np.array([y], float)
    return NodeRecords(x, y, x * x, y * y, x * y, (np.sign(x) == np.sign(y)).astype(float), tuple(roles))


def judged(x, y, roles=()):
    """{name: value} of one node over all prompts alike."""
    return {k: v[0, 0] for k, v in records(x, y, roles).judge(np.full((1, len(x)), 1 / len(x))).items()}


class TestAgreement:
    def test_pearson_r_sign_agreement_and_fvu_by_hand(self):
        # x = 1 2 3 4, y = 2 4 6 -9: E xy = (2 + 8 + 18 - 36) / 4 = -2, means 2.5 and 0.75: covariance -3.875; variances
        # 1.25 and 137 / 4 - 0.5625 = 33.6875; r = -3.875 / sqrt(1.25 x 33.6875) = -0.597.
        # E (x - y)^2 = (1 + 4 + 9 + 169) / 4 = 45.75; FVU = 45.75 / 33.6875 = 1.358. Signs agree in 3 of 4.
        found = judged([1, 2, 3, 4], [2, 4, 6, -9])
        assert found["r"] == pytest.approx(-3.875 / math.sqrt(1.25 * 33.6875)) == pytest.approx(-0.597, abs=1e-3)
        assert found["fvu"] == pytest.approx(45.75 / 33.6875)
        assert found["sign_agreement"] == 0.75

    def test_equal_activations_agree_wholly(self):
        found = judged([1, -2, 3], [1, -2, 3])
        assert (found["r"], found["fvu"], found["sign_agreement"]) == pytest.approx((1.0, 0.0, 1.0))
        assert found["consistent"]

    def test_prompts_count_by_their_weights(self):
        # Weights 1/2, 1/2, 0: x = 0 2, y = 4 0: r = -1; 0, 1/2, 1/2: x = 2 5, y = 0 9: r = 1, signs agree on 5 and
        # 9 only.
        found = records([0, 2, 5], [4, 0, 9]).judge(np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]))
        assert found["r"][:, 0].tolist() == pytest.approx([-1.0, 1.0])
        assert found["sign_agreement"][:, 0].tolist() == [0.0, 0.5]

    @pytest.mark.parametrize(("r", "consistent"), [(0.52, True), (0.48, False)])
    def test_a_node_is_consistent_from_a_correlation_of_a_half(self, r, consistent):
        # x and an orthogonal z of the same size: y = r x + sqrt(1 - r^2) z has correlation r with x.
        x, z = np.array([1, 1, -1, -1.0]), np.array([1, -1, 1, -1.0])
        found = judged(x, r * x + math.sqrt(1 - r * r) * z)
        assert found["r"] == pytest.approx(r)
        assert found["consistent"] == consistent

    @pytest.mark.parametrize(
        ("x", "y", "consistent", "fvu"),
        [
            ([2, 2, 2], [3, 3, 3], True, math.inf),  # constant in both, same sign
            ([2, 2, 2], [2, 2, 2], True, 0.0),
            ([2, 2, 2], [-2, -2, -2], False, math.inf),  # opposite signs
            ([0, 0, 0], [0, 0, 0], True, 0.0),
            ([0, 0, 0], [2, 2, 2], False, math.inf),  # off in one only
            ([2, 2, 2], [1, 2, 3], False, 1.0),  # constant in the circuit only: E (1, 0, 1) / Var 2/3
            ([1, 2, 3], [2, 2, 2], False, math.inf),  # constant in the model only
            ([2, 2 + 1e-7, 2], [3, 3, 3], True, math.inf),  # float32 noise
        ],
    )
    def test_a_constant_node_is_consistent_only_if_constant_with_the_same_sign_in_both(self, x, y, consistent, fvu):
        found = judged(x, y)
        assert found["consistent"] == consistent
        assert found["fvu"] == pytest.approx(fvu)


class TestEffect:
    def test_it_is_the_difference_of_means_over_the_standard_deviation_of_all(self):
        # Means 2 and 5, mean 3.5, variance (2.5^2 + 0.5^2 + 0.5^2 + 2.5^2) / 4 = 3.25.
        found = effect(np.array([[1.0, 3, 4, 6]]), np.full((1, 4), 0.25), np.arange(4) < 2, np.arange(4) >= 2)
        assert found[0, 0] == pytest.approx(-3 / math.sqrt(3.25))

    def test_groups_of_unequal_weight(self):
        # Weights 1/2 1/4 1/4: values 0 | 4 8: means 0 and 6; mean 3, E v^2 = (16 + 64) / 4 = 20, variance 11.
        found = effect(np.array([[0.0, 4, 8]]), np.array([[0.5, 0.25, 0.25]]), np.arange(3) < 1, np.arange(3) >= 1)
        assert found[0, 0] == pytest.approx(-6 / math.sqrt(11))

    def test_a_constant_or_a_draw_without_one_group_has_none(self):
        one = np.arange(4) < 2
        weights = np.array([[0.25] * 4, [0.5, 0.5, 0, 0]])
        assert effect(np.full((1, 4), 3.0), weights, one, ~one)[:, 0].tolist() == [0, 0]
        assert effect(np.array([[1.0, 2, 5, 6]]), weights, one, ~one)[1, 0] == 0


def with_effect(size):
    """8 prompts of variance 1 whose halves differ by `size`: means +-size / 2, within them +-sqrt(1 - size^2 / 4)."""
    spread = math.sqrt(1 - size * size / 4) * np.array([1, 1, -1, -1])
    return np.concatenate([size / 2 + spread, -size / 2 + spread])


class TestRoles:
    @pytest.mark.parametrize(
        ("circuit", "model", "flips", "vanishes"),
        [
            (1.0, -1.0, True, False),
            (-1.0, 1.0, True, False),
            (0.51, -0.51, True, False),
            (0.51, -0.49, False, False),  # the model has too little of an effect to flip, too much to vanish
            (0.49, -1.0, False, False),  # no effect in the circuit
            (1.0, 1.0, False, False),
            (1.0, 0.09, False, True),
            (1.0, -0.09, False, True),
            (-1.0, 0.0, False, True),
            (1.0, 0.11, False, False),
            (0.49, 0.0, False, False),
        ],
    )
    def test_flips_and_vanishes(self, circuit, model, flips, vanishes):
        x, y = with_effect(circuit), with_effect(model)
        role = Role("", x[None], y[None], np.array([True]), FIRST_HALF, ~FIRST_HALF)
        found = judged(x, y, [role])
        assert (found["flips"], found["vanishes"]) == (flips, vanishes)
        # Both have the same spread within the halves, so r alone would pass most of them.
        assert found["consistent"] == (found["r"] >= 0.5 and not flips and not vanishes)

    def test_a_node_that_vanishes_is_inconsistent_although_it_correlates(self):
        # r = covariance sqrt(1 - 0.75^2 / 4) x sqrt(1 - 0) of the spreads = 0.927.
        x, y = with_effect(0.75), with_effect(0.0)
        found = judged(x, y, [Role("", x[None], y[None], np.array([True]), FIRST_HALF, ~FIRST_HALF)])
        assert found["r"] == pytest.approx(math.sqrt(1 - 0.75**2 / 4))
        assert not found["consistent"]

    def test_a_position_that_bears_no_role_for_the_node_is_passed_over(self):
        x, y = with_effect(1.0), with_effect(-1.0)
        found = judged(x, y, [Role("", x[None], y[None], np.array([False]), FIRST_HALF, ~FIRST_HALF)])
        assert not found["flips"]

    def test_one_flipped_role_of_several_is_enough(self):
        x, y = with_effect(1.0), with_effect(-1.0)
        same, flipped = (Role("", x[None], v[None], np.array([True]), FIRST_HALF, ~FIRST_HALF) for v in (x, y))
        assert judged(x, y, [same, flipped])["flips"]


class TestRecords:
    def test_activations_of_circuit_and_model_at_the_answer(self, tmp_path):
        # Kept in the order inputs a, b, neurons 0, 1; for a woman (sign 1) the circuit has 1 1 1 1, the model 1 1 1 -1.
        # Neurons a and b - 2 c, all of them the sign; the circuit lacks c.
        model = Readout([(SIGN, ONE)] * 3, [pronoun(2.0)] * 2, answers_only(), mix=[[1, 0, 0], [0, 1, -2]])
        home = bench_of(model, write_large_task(tmp_path))
        found = node_records(subject_of(home, mlp_in=[0, 1], mlp_neuron=[0, 1]))
        assert found.x[:, 0].tolist() == [1, 1, 1, 1]
        assert found.y[:, 0].tolist() == [1, 1, 1, -1]
        assert found.x[:, -1].tolist() == [-1, -1, -1, -1]
        assert found.xy[:, 0].tolist() == [1, 1, 1, -1]
        assert found.same_sign[:, 0].tolist() == [1, 1, 1, 0]

    def test_positions_count_by_their_causal_weights(self, tmp_path):
        # A last-layer value node counts half at the name, half at the action. Heads without scores: at the name the
        # pattern is (1, 1 sink) / 2, at the action (1, 1, 1) / 3. Head 0 reads sign, head 1 (not kept) minus twice
        # the sign. Circuit: s/2 and s/3; model: -s/2 and -s/3. x = s (1/4 + 1/6) = 5 s / 12, xx = 1/8 + 1/18 =
        # 13/72.
        model = Attention([table({})] * 2, [SIGN, -2 * SIGN], [0.0, 0.0], [[1.0], [1.0]], [pronoun(6.0)], pool=True)
        kept = {"attn_v": [0], "attn_out": [0], "l1_attn_v": [0], "l1_attn_out": [0]}
        found = node_records(subject_of(bench_of(model, write_large_task(tmp_path)), **kept))
        value = 2  # 0.attn_v, 0.attn_out, 1.attn_v, 1.attn_out
        assert found.x[value, 0] == pytest.approx(5 / 12)
        assert found.y[value, 0] == pytest.approx(-5 / 12)
        assert found.xx[value, 0] == pytest.approx(13 / 72)
        assert found.xy[value, 0] == pytest.approx(-13 / 72)
        assert found.same_sign[value, 0] == pytest.approx(0.0)

    def test_the_circuit_runs_under_the_models_norm_scales(self, tmp_path):
        # One run gets scales: the circuit's, which must be those of the model.
        model = Readout([(SIGN, ONE)] * 2, [{"she": 1.0, "he": -1.0}, {"she": 9.0, "he": -9.0}], gain=1.0)
        seen = []
        run = model.run
        model.run = lambda *args, **kwargs: seen.append(kwargs.get("norm_scales")) or run(*args, **kwargs)
        subject = subject_of(bench_of(model, write_large_task(tmp_path), loss="binary"), mlp_neuron=[0])
        node_records(subject)
        frozen = [scales for scales in seen if scales]
        # 10 times the circuit's stream: sqrt(2 x 100 / vocabulary).
        assert len(frozen) == 1
        assert frozen[0]["ln_f"][0, :, 1].tolist() == pytest.approx([math.sqrt(200 / len(model.write[0]))] * 200)

    def test_a_node_has_a_role_at_every_position_that_bears_one_for_it(self, tmp_path):
        # As above: for a woman the value node is 1/2 at the name and 1/3 at the action, in the model -1/2 and -1/3.
        model = Attention([table({})] * 2, [SIGN, -2 * SIGN], [0.0, 0.0], [[1.0], [1.0]], [pronoun(6.0)], pool=True)
        kept = {"attn_v": [0], "attn_out": [0], "l1_attn_v": [0], "l1_attn_out": [0]}
        found = node_records(subject_of(bench_of(model, write_large_task(tmp_path)), **kept))
        assert len(found.roles) == 2  # the name and the last position, one variable of two levels
        assert [role.circuit[2, 0] for role in found.roles] == pytest.approx([1 / 2, 1 / 3])
        assert [role.model[2, 0] for role in found.roles] == pytest.approx([-1 / 2, -1 / 3])
        assert [bool(role.bears[2]) for role in found.roles] == [True, True]
        # The last layer's output counts at the last position only.
        assert [bool(role.bears[3]) for role in found.roles] == [False, True]

    def test_a_value_node_bears_its_role_at_the_name_in_long_prompts_too(self, tmp_path):
        # 1 name, 22 other words: every visible position has 1/23 = 4.3 % of the weight.
        model = Attention([table({})] * 2, [SIGN, -2 * SIGN], [0.0, 0.0], [[1.0], [1.0]], [pronoun(6.0)], pool=True)
        task = write_large_task(tmp_path, templates=["{name}" + " so" * 21 + " {action}"])
        kept = {"attn_v": [0], "attn_out": [0], "l1_attn_v": [0], "l1_attn_out": [0]}
        found = node_records(subject_of(bench_of(model, task), **kept))
        assert found.judge(np.full((1, 200), 1 / 200))["flips"][0].tolist() == [False, True, True, True]
