"""When members of a batch take full gradients, and what they train on in between."""

from itertools import chain, pairwise

import pytest
import torch
from faithcheck_circuits.methods.active_set import SOONEST, ActiveSet

NODES = 10_000


def on(*counts):
    """bool[member, node]: the first so many nodes of each member."""
    return torch.arange(NODES) < torch.tensor(counts)[:, None]


def gaps(schedule, now, steps=200):
    """Steps between the full steps of member 0, while full steps leave `now(step)` on."""
    full = []
    for step in range(steps):
        due = schedule.due(step)
        if 0 in due:
            full.append(step)
        schedule.after_full(step, due, now(step))
    return [after - before for before, after in pairwise(full)]


def test_while_many_nodes_are_on_every_step_is_a_full_one():
    assert set(gaps(ActiveSet(on(NODES), 32), lambda step: on(600))) == {1}


def test_once_few_are_on_and_none_comes_back_full_steps_grow_rare():
    found = gaps(ActiveSet(on(NODES), 32), lambda step: on(100))
    assert found[0] <= SOONEST
    assert max(found) == 32
    assert found[-1] == 32


def test_they_stay_frequent_while_they_turn_nodes_on_again():
    """Each full step leaves another node on."""
    shift = iter(range(10**6))
    found = gaps(ActiveSet(on(NODES), 32), lambda step: on(100).roll(next(shift), 1))
    assert max(found) <= SOONEST


def test_every_step_is_full_where_that_is_asked_for():
    assert set(gaps(ActiveSet(on(NODES), 1), lambda step: on(10))) == {1}


def test_a_members_schedule_does_not_depend_on_the_others():
    alone = gaps(ActiveSet(on(NODES), 16), lambda step: on(100))
    with_others = gaps(ActiveSet(on(NODES, NODES, 5), 16), lambda step: on(100, 9000, 5))
    assert alone == with_others


def settled(*counts):
    schedule = ActiveSet(on(*(NODES for _ in counts)), 32)
    schedule.after_full(0, list(range(len(counts))), on(*counts))
    return schedule


def test_a_member_that_lost_many_nodes_goes_on_with_those_that_are_left():
    schedule = settled(100, 100, 100)
    assert not schedule.shrink(SOONEST, on(90, 80, 76))
    assert schedule.active.sum(1).tolist() == [100, 100, 100]
    assert schedule.shrink(SOONEST, on(90, 70, 120))
    assert schedule.active.sum(1).tolist() == [100, 70, 100]


def test_members_alike_in_size_step_together_and_large_ones_not_at_all():
    groups = [group.tolist() for group in settled(100, 10, 600, 14, 140, 16).groups()]
    assert groups == [[1, 3], [5], [0, 4]]


@pytest.mark.parametrize("counts", [(0,), (0, 0), (0, 1, 2)])
def test_members_without_nodes_are_grouped_too(counts):
    groups = [group.tolist() for group in settled(*counts).groups()]
    assert sorted(chain(*groups)) == list(range(len(counts)))


def test_a_full_step_stands_for_all_that_a_node_has_missed():
    schedule = settled(100)
    schedule.after_full(4, [0], on(100))
    steps = schedule.steps_for(12, torch.tensor([0]))
    assert steps[0, :100].unique().tolist() == [1]
    assert steps[0, 100:].unique().tolist() == [8]
