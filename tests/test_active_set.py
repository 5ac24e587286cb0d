"""When members of a batch take full gradients, and what they train on in between."""

from itertools import chain, pairwise

import pytest
import torch
from faithcheck_circuits.methods.active_set import COMPACT_BELOW, ActiveSet
from hypothesis import given, settings
from hypothesis import strategies as st

NODES = 10_000
FEW, MANY = int(NODES * COMPACT_BELOW) - 1, int(NODES * COMPACT_BELOW)
LR = 0.01


def tau(*counts, off=-1.0):
    """float[member, node]: the first so many nodes of each member on, the others at `off`."""
    return torch.where(torch.arange(NODES) < torch.tensor(counts)[:, None], 0.5, off)


def gaps(now, rarely=32, steps=200):
    """Steps between the full steps of member 0, while every full step leaves the parameters at `now`."""
    schedule, full = ActiveSet(now, rarely), []
    for step in range(steps):
        due = schedule.due(step)
        if 0 in due:
            full.append(step)
        schedule.after_full(step, due, now, LR)
    return {after - before for before, after in pairwise(full)}


def test_while_many_nodes_are_on_every_step_is_a_full_one():
    assert gaps(tau(MANY)) == {1}


def test_once_few_are_on_and_the_others_far_away_full_steps_are_rare():
    assert gaps(tau(FEW)) == {32}


@pytest.mark.parametrize(("off", "every"), [(-0.33, 32), (-0.31, 16), (-0.15, 8), (-0.05, 4), (-0.03, 2), (-0.01, 1)])
def test_they_are_as_rare_as_lets_only_few_nodes_come_on_in_between(off, every):
    assert gaps(tau(FEW, off=off)) == {every}


def test_every_step_is_full_where_that_is_asked_for():
    assert gaps(tau(10), rarely=1) == {1}


def test_a_members_schedule_does_not_depend_on_the_others():
    assert gaps(tau(100)) == gaps(tau(100, 9000, 5))


@given(seed=st.integers(0, 2**31), rarely=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_a_node_that_is_left_out_cannot_come_on_before_the_next_full_step(seed, rarely):
    """Nodes that are left out stay where they are until then; had they moved up by LR in each step, they would still be
    off the step before it, and every node that is left out is off."""
    generator = torch.Generator().manual_seed(seed)
    spread = float(torch.rand((), generator=generator)) / 2
    schedule = ActiveSet(tau(NODES), rarely)
    for step in range(60):
        due = schedule.due(step)
        if due:
            now = torch.randn(1, NODES, generator=generator) * spread - 3 * spread
            schedule.after_full(step, due, now, LR)
            left_out = now[~schedule.active]
        waited = step - schedule._last[0]
        assert (left_out + LR * (waited + 1) < 0).all()


def settled(*counts):
    schedule = ActiveSet(tau(*counts), 32)
    schedule.after_full(0, list(range(len(counts))), tau(*counts), LR)
    return schedule


def test_compact_steps_train_what_is_on_or_within_reach():
    now = tau(100)
    now[0, 100:110] = -0.31
    now[0, 110:120] = -0.33
    schedule = ActiveSet(now, 32)
    assert schedule.after_full(0, [0], now, LR)
    assert schedule.active.nonzero()[:, 1].tolist() == list(range(110))


def test_members_alike_in_size_step_together_and_large_ones_not_at_all():
    groups = list(settled(100, 10, 600, 14, 140, 16).groups())
    assert groups == [[1, 3], [5], [0, 4]]


@pytest.mark.parametrize("counts", [(0,), (0, 0), (0, 1, 2)])
def test_members_without_nodes_are_grouped_too(counts):
    groups = settled(*counts).groups()
    assert sorted(chain(*groups)) == list(range(len(counts)))


def test_a_full_step_stands_for_all_that_a_node_has_missed():
    steps = settled(100).steps_for(32, torch.tensor([0]))
    assert steps[0, :100].unique().tolist() == [1]
    assert steps[0, 100:].unique().tolist() == [32]
