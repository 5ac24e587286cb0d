"""The trace of training masks, and when its loss counts as flattened."""

import pytest
import torch
from faithcheck_circuits.methods.batches import train_masks
from faithcheck_circuits.methods.trained import Trained
from small_pruning import NODES, method, problem

from faithcheck.circuit import Convergence


def eighths(*losses):
    """200 losses: 25 steps at each of eight."""
    return [loss for loss in losses for _ in range(25)]


HIGH = (9.0, 9.0, 9.0, 9.0)
# Losses, nodes on at the end of 40, (loss, nodes, flattened).
TRACES = {
    "flat and high with a tenth on": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 4, (1.0, 4, True)),
    "flat and high with less than a tenth on": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 3, (1.0, 3, False)),
    "flat and high with half on": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 20, (1.0, 20, True)),
    "flat and high with more than half on, hardly trained": (eighths(*HIGH, 1.0, 1.0, 1.0, 1.0), 21, (1.0, 21, False)),
    "falling by 6 % from the third quarter": (eighths(*HIGH, 1.0, 1.0, 0.94, 0.94), 20, (0.94, 20, False)),
    "falling by 4 % from the third quarter": (eighths(*HIGH, 1.0, 1.0, 0.96, 0.96), 20, (0.96, 20, True)),
    "falling by 6 % from the second quarter": (eighths(9, 9, 1.0, 1.0, 2, 2, 0.94, 0.94), 20, (0.94, 20, False)),
    "rising": (eighths(*HIGH, 1.0, 1.0, 2.0, 4.0), 20, (3.0, 20, True)),
    "flat just above one and a half targets": (eighths(*HIGH, 0.23, 0.23, 0.23, 0.23), 20, (0.23, 20, True)),
    "flat just below one and a half targets": (eighths(*HIGH, 0.22, 0.22, 0.22, 0.22), 20, (0.22, 20, False)),
    "99 steps": ([1.0] * 99, 20, (1.0, 20, False)),
    "100 steps": ([1.0] * 100, 20, (1.0, 20, True)),
    "one step": ([1.0], 20, (1.0, 20, False)),
}


@pytest.mark.parametrize("case", TRACES)
def test_a_loss_has_flattened_where_the_last_quarter_is_no_lower_than_the_two_before(case):
    losses, nodes, expected = TRACES[case]
    scores = {"a": torch.zeros(30), "b": torch.zeros(10)}
    kept = torch.full((len(losses),), 40)
    kept[-1] = nodes
    found = Trained(scores, 1.0, torch.tensor(losses), kept).convergence(0.15)
    assert found == Convergence(pytest.approx(expected[0], rel=1e-5), *expected[1:])


def test_the_trace_has_the_loss_and_the_nodes_of_every_step():
    [run] = train_masks([(problem(), 1.0)], method(steps=20).parameters)
    assert run.losses.shape == run.nodes.shape == (20,)
    assert int(run.nodes[-1]) == sum(int((tau >= 0).sum()) for tau in run.scores.values())
    assert run.nodes[0] == NODES
    assert run.nodes[-1] < NODES
