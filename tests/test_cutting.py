"""Cuts of scores on a fake model whose loss depends only on which nodes are kept."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import prompt_set

from faithcheck.ablation import Ablation
from faithcheck.circuit import NodeScores
from faithcheck.cutting import Cutter, candidate_sizes, log_grid
from faithcheck.model import Run, Site

TARGET = 0.15
few = settings(max_examples=60, deadline=None)
ONE_PROMPT = prompt_set(*(torch.tensor(values) for values in ([[1, 2]], [1], [0], [1])))


class Fake:
    """Two sites of `size` nodes in all; its binary loss is `loss(kept nodes)`, and it can only be masked."""

    name, fingerprint, device, dtype, norms, tokenizer = "fake", "0", torch.device("cpu"), torch.float64, (), None

    def __init__(self, size, loss):
        first = size // 3
        self.sites = {"0.attn_in": Site(first, 0, "attn_in"), "0.mlp_out": Site(size - first, 0, "mlp_out")}
        self.loss, self.asked, self.scales = loss, [], []

    def run(self, tokens, *, positions=None, masks=None, norm_scales=None, **_):
        kept = torch.cat([masks[site][0] for site in self.sites]).nonzero().flatten().tolist()
        self.asked.append(len(kept))
        self.scales.append(norm_scales)
        loss = self.loss(kept)
        gap = math.inf if loss == 0 else math.nan if math.isnan(loss) else -math.log(math.expm1(loss))
        return Run(torch.tensor([[[gap, 0.0]]], dtype=torch.float64), {})


def by_size(losses):
    """A loss by the number of kept nodes; 9 where it is not given."""
    return lambda kept: losses.get(len(kept), 9.0)


def scores_of(model, flat):
    sizes = [site.size for site in model.sites.values()]
    return NodeScores(dict(zip(model.sites, torch.as_tensor(flat, dtype=torch.float64).split(sizes), strict=True)))


def cut(model, flat, target=TARGET, **options):
    cutter = Cutter(model, ONE_PROMPT, "binary", target, Ablation())
    return cutter.cut(scores_of(model, flat), **options)


def kept_nodes(found):
    return torch.cat(list(found.circuit.keep.values())).nonzero().flatten().tolist()


def shuffled(values, seed):
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    return torch.tensor(values, dtype=torch.float64)[order]


ties = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 2.0]), min_size=3, max_size=12)


@given(flat=ties)
def test_sizes_fall_between_distinct_scores_or_after_the_positive_ones(flat):
    ordered = sorted(flat, reverse=True)
    between = {k for k in range(1, len(flat)) if ordered[k - 1] > ordered[k]}
    positive = sum(score > 0 for score in flat)
    assert candidate_sizes(torch.tensor(flat)) == sorted(between | ({positive} - {0}))


def test_the_grid_grows_by_half_and_ends_at_the_last_size():
    assert log_grid(list(range(1, 101))) == [1, 2, 3, 5, 8, 12, 18, 27, 41, 62, 93, 100]
    assert log_grid([4, 5, 6, 50]) == [4, 6, 50]
    assert log_grid([7]) == [7]
    assert log_grid([]) == []


@given(size=st.integers(3, 80), needed=st.integers(1, 80), seed=st.integers(0, 999))
@few
def test_where_the_loss_falls_with_size_the_smallest_size_that_meets_the_target_is_found(size, needed, seed):
    needed = min(needed, size)
    found = cut(Fake(size, lambda kept: 0.1 if len(kept) >= needed else 0.2), shuffled(range(1, size + 1), seed))
    assert (found.size, found.reached) == (needed, True)
    assert found.loss == pytest.approx(0.1, rel=1e-9)


@given(flat=ties, data=st.data(), whole_curve=st.booleans())
@few
def test_whatever_the_losses_the_cut_is_the_smallest_evaluated_size_that_meets_the_target(flat, data, whole_curve):
    """Where the grid has no success, the circuit of all positive scores is evaluated last."""
    sizes, positive = candidate_sizes(torch.tensor(flat)), sum(score > 0 for score in flat)
    losses = {k: data.draw(st.sampled_from([0.1, 0.2])) for k in {*sizes, positive}}
    found = cut(Fake(len(flat), by_size(losses)), flat, whole_curve=whole_curve)
    curve = dict(found.curve)
    met = [k for k, loss in curve.items() if loss <= TARGET]
    assert curve == pytest.approx({k: losses[k] for k in curve}, rel=1e-9)
    assert list(curve) == sorted(curve)
    assert found.reached == any(losses[k] == 0.1 for k in [*log_grid(sizes), positive])
    assert found.loss == pytest.approx(losses[found.size], rel=1e-9)
    assert found.size == (min(met) if met else positive)
    below = [k for k in sizes if k < found.size]
    assert found.size not in met or not below or curve[below[-1]] > TARGET


@given(flat=ties, seed=st.integers(0, 99))
@few
def test_the_kept_nodes_are_those_of_the_highest_scores(flat, seed):
    found = cut(Fake(len(flat), lambda kept: 0.1 if len(kept) >= 1 + seed % len(flat) else 0.2), flat)
    kept = kept_nodes(found)
    assert len(kept) == found.size
    rest = [score for node, score in enumerate(flat) if node not in kept]
    assert not kept or not rest or min(flat[node] for node in kept) > max(rest)


def test_the_whole_grid_is_on_the_curve_and_the_gap_below_the_first_success_is_bisected():
    model = Fake(30, lambda kept: 0.1 if len(kept) >= 15 else 0.2)
    found = cut(model, range(30, 0, -1))
    assert model.asked == [1, 2, 3, 5, 8, 12, 18, 27, 30, 15, 13, 14]
    assert [k for k, _ in found.curve] == sorted(model.asked)


def test_without_the_whole_curve_the_grid_stops_at_its_first_success():
    model = Fake(30, lambda kept: 0.1 if len(kept) >= 15 else 0.2)
    assert cut(model, range(30, 0, -1), whole_curve=False).size == 15
    assert model.asked == [1, 2, 3, 5, 8, 12, 18, 15, 13, 14]


def test_where_the_loss_rises_again_the_first_success_of_the_grid_counts():
    losses = dict.fromkeys((5, 12, 18), 0.1)
    found = cut(Fake(30, by_size(losses)), range(30, 0, -1))
    assert (found.size, found.reached) == (5, True)


def test_a_success_between_two_failures_of_the_grid_is_not_looked_for():
    found = cut(Fake(30, by_size({6: 0.1})), range(30, 0, -1))
    assert not found.reached
    assert 6 not in dict(found.curve)


def test_where_no_size_meets_the_target_the_circuit_is_all_positive_scores():
    flat = [0.5, -1.0, 0.0, 2.0, 0.5, -3.0]
    found = cut(Fake(6, by_size({3: 0.4})), flat)
    assert (found.size, found.reached) == (3, False)
    assert kept_nodes(found) == [0, 3, 4]
    assert found.loss == pytest.approx(0.4, rel=1e-9)


def test_the_circuit_of_all_positive_scores_is_on_the_curve():
    found = cut(Fake(6, by_size({4: 0.1})), [-1.0, -0.5, 0.25, 0.5, 0.5, 0.5])
    assert (found.size, found.reached) == (4, True)
    assert dict(found.curve)[4] == pytest.approx(0.1, rel=1e-9)


@pytest.mark.parametrize("loss", [0.1, 0.2])
def test_a_finished_circuit_has_exactly_one_size(loss):
    model = Fake(6, lambda kept: loss)
    found = cut(model, [0, 1, 1, 0, 0, 1])
    assert model.asked == [3]
    assert found.curve == ((3, pytest.approx(loss, rel=1e-9)),)
    assert found.reached == (loss == 0.1)
    assert kept_nodes(found) == [1, 2, 5]


@pytest.mark.parametrize("loss", [0.1, 0.2])
def test_scores_that_are_all_one_keep_every_node(loss):
    found = cut(Fake(6, lambda kept: loss), [1] * 6)
    assert (found.size, found.reached) == (6, loss == 0.1)
    assert [k for k, _ in found.curve] == [6]


@pytest.mark.parametrize("flat", [[0.0] * 6, [-2.0] * 6])
def test_scores_without_a_positive_one_or_a_difference_give_the_empty_circuit(flat):
    found = cut(Fake(6, lambda kept: 0.2), flat)
    assert (found.size, found.reached) == (0, False)
    assert found.loss == pytest.approx(0.2, rel=1e-9)


def test_an_empty_circuit_that_meets_the_target_is_reached():
    found = cut(Fake(6, lambda kept: 0.1), [0.0] * 6)
    assert found.loss <= TARGET
    assert found.reached


def test_a_loss_equal_to_the_target_meets_it():
    found = cut(Fake(6, lambda kept: 0.0 if len(kept) >= 4 else 1.0), range(6, 0, -1), target=0.0)
    assert (found.size, found.loss, found.reached) == (4, 0.0, True)


def test_a_loss_that_is_not_a_number_meets_nothing():
    found = cut(Fake(6, lambda kept: math.nan if len(kept) < 4 else 0.1), range(6, 0, -1))
    assert (found.size, found.reached) == (4, True)


def test_infinite_scores_are_cut_as_any_others():
    found = cut(Fake(6, lambda kept: 0.1 if len(kept) >= 2 else 0.2), [-math.inf, 0, 1, math.inf, 2, -1])
    assert kept_nodes(found) == [3, 4]


def test_frozen_norm_scales_reach_every_run_and_mark_the_circuit():
    model, scales = Fake(6, lambda kept: 0.1), {"ln_f": torch.ones(1, 1, 2)}
    cutter = Cutter(model, ONE_PROMPT, "binary", TARGET, Ablation(), scales)
    assert cutter.cut(scores_of(model, range(6))).circuit.norms == "frozen"
    assert all(given is scales for given in model.scales)
    assert cut(Fake(6, lambda kept: 0.1), range(6)).circuit.norms == "live"


WRONG = {
    "a NaN": ({"0.mlp_out": torch.tensor([0.0, 1.0, 2.0, math.nan])}, "NaN"),
    "a score too few": ({"0.mlp_out": torch.zeros(3)}, r"0\.mlp_out has 4 nodes, scores of shape \(3,\)"),
    "a member axis": ({"0.mlp_out": torch.zeros(1, 4)}, r"scores of shape \(1, 4\)"),
    "a site too many": ({"1.mlp_out": torch.zeros(4)}, r"1\.mlp_out"),
}


@pytest.mark.parametrize("case", WRONG)
def test_scores_that_do_not_fit_are_refused(case):
    changes, message = WRONG[case]
    model = Fake(6, lambda kept: 0.1)
    scores = NodeScores({"0.attn_in": torch.zeros(2), "0.mlp_out": torch.zeros(4)} | changes)
    with pytest.raises(ValueError, match=message):
        Cutter(model, ONE_PROMPT, "binary", TARGET, Ablation()).cut(scores)
    assert model.asked == []


def test_scores_that_leave_out_a_site_are_refused():
    model = Fake(6, lambda kept: 0.1)
    with pytest.raises(ValueError, match=r"0\.attn_in"):
        Cutter(model, ONE_PROMPT, "binary", TARGET, Ablation()).cut(NodeScores({"0.mlp_out": torch.zeros(4)}))
