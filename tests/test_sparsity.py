"""Magnitude sparsity keeps exactly the largest weights, and the kept share falls from 1 to its end."""

import itertools

import pytest
import torch
from faithcheck_circuits.training.sparsity import keep_largest, share_at
from hypothesis import given, settings
from hypothesis import strategies as st

shares = st.floats(0, 1)


@st.composite
def matrices(draw):
    """A matrix whose entries all differ in magnitude, and are not zero."""
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    order = torch.tensor(draw(st.permutations(range(rows * columns))))
    signs = torch.tensor(draw(st.lists(st.sampled_from([-1, 1]), min_size=len(order), max_size=len(order))))
    return ((order + 1) * signs / 8).view(rows, columns)


@given(weight=matrices(), share=shares, per_neuron=st.integers(1, 10))
@settings(deadline=None)
def test_the_largest_of_the_matrix_and_of_each_row_are_kept_and_no_other(weight, share, per_neuron):
    whole = weight.abs().flatten().tolist()
    largest = sorted(whole, reverse=True)[: round(share * len(whole))]
    expected = [
        [x if abs(x) in largest or abs(x) in sorted(map(abs, row))[-per_neuron:] else 0.0 for x in row]
        for row in weight.tolist()
    ]
    keep_largest(weight, share, per_neuron)
    assert weight.tolist() == expected


@given(weight=matrices(), share=shares, per_neuron=st.integers(1, 10))
@settings(deadline=None)
def test_doing_it_again_changes_nothing(weight, share, per_neuron):
    keep_largest(weight, share, per_neuron)
    once = weight.clone()
    keep_largest(weight, share, per_neuron)
    assert torch.equal(weight, once)


def test_a_matrix_with_fewer_nonzeros_than_its_share_stays_as_it_is():
    weight = torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, -1.0]])
    keep_largest(weight, 0.9, 1)
    assert weight.tolist() == [[0, 3, 0], [0, 0, -1]]


def test_a_parameter_that_needs_gradients_is_changed_in_place():
    weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    keep_largest(weight, 0.25, 1)
    assert weight.tolist() == [[0, 2], [0, 4]]


def test_no_weight_need_be_kept_in_every_row():
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    keep_largest(weight, 0.5, 0)
    assert weight.tolist() == [[0, 0], [3, 4]]


@given(st.integers(1, 5000), st.floats(0.001, 1), st.floats(0.01, 1))
def test_the_share_is_1_at_the_start_and_final_at_the_end(steps, final, anneal_until):
    assert share_at(0, steps, final, anneal_until) == 1.0
    assert share_at(steps, steps, final, anneal_until) == final


@given(st.integers(1, 300), st.floats(0.001, 1), st.floats(0.01, 1))
def test_the_share_never_rises(steps, final, anneal_until):
    shares = [share_at(step, steps, final, anneal_until) for step in range(steps + 1)]
    assert all(after <= before for before, after in itertools.pairwise(shares))


def test_the_share_falls_by_the_same_factor_each_step_until_it_is_final():
    shares = [share_at(step, 8, 1 / 16, 0.5) for step in range(9)]
    assert shares == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16, 1 / 16, 1 / 16, 1 / 16], rel=1e-12)
