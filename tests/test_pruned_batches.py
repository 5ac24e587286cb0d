"""Problems that are pruned in one batch score as they do one at a time."""

import pytest
from faithcheck_circuits.methods.batches import together
from small_pruning import MODEL, close, method, problem, relabelled

from faithcheck.method import Budget, extract_many


@pytest.mark.parametrize("full_every", [1, 8])
@pytest.mark.parametrize("seed", [0, 1])
def test_problems_of_one_batch_score_as_they_do_one_at_a_time(full_every, seed):
    prune = method(full_every=full_every, steps=40)
    together = prune.extract_many(relabelled(seed=seed))
    apart = prune.extract_many(relabelled(seed=seed, budget=Budget(memory=1)))
    for one, other in zip(together, apart, strict=True):
        assert close(one.scores, other.scores)


def test_problems_that_cannot_share_a_batch_come_back_in_their_order():
    first, second, third, fourth = relabelled()
    mixed = [first, problem(seed=1), second, problem(loss="binary"), third, problem(norms="frozen"), fourth, first]
    prune = method(steps=24)
    for p, scores in zip(mixed, extract_many(prune, mixed), strict=True):
        assert close(scores.scores, prune.extract(p).scores)


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_a_problem_on_another_model_scores_as_it_does_alone_and_leaves_the_others_theirs(norms):
    """As the harness hands them over: the task, a control of other labels, the task on two shuffles of the weights."""
    task, labels = relabelled(norms=norms)[:2]
    shuffled = [problem(model=MODEL.shuffled(seed), norms=norms) for seed in (0, 1)]
    prune = method(steps=24)
    mixed = [shuffled[0], task, labels, shuffled[1]]
    assert sorted(len(group) for group in together(mixed)) == [1, 1, 2]
    found = extract_many(prune, mixed)
    for p, scores in zip(mixed, found, strict=True):
        assert close(scores.scores, prune.extract(p).scores)
    assert close(found[1].scores, prune.extract_many([task, labels])[0].scores, 0)
    assert not any(close(found[i].scores, found[1].scores, 1e-3) for i in (0, 2, 3))
