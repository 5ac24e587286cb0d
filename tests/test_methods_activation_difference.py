"""A node's score is the size of the correlation of its activation with the answer, where it is largest."""

from dataclasses import replace

import pytest
import torch
from faithcheck_circuits.methods.activation_difference import ActivationDifference
from method_problems import LinearLoss, problem_of, random_problem, same

from faithcheck.errors import UserError
from faithcheck.method import Budget

TOKENS, CLASSES = [[0, 2, 4], [0, 3, 4], [1, 2, 4], [1, 3, 5]], [0, 0, 1, 1]


def scores(values, role=None, classes=CLASSES):
    """Of one site whose activations are values[token][node], looked at at position 1 and the last, or at one role."""
    model = LinearLoss({"0.mlp_out": values}, {"0.mlp_out": [[0.0] * len(values[0])] * 2})
    problem = problem_of(model, TOKENS, classes)
    roles = {"name": torch.ones(4, dtype=torch.long), "last": problem.prompts.roles["last"]}
    prompts = replace(problem.prompts, roles={role: roles[role]} if role else roles)
    return ActivationDifference().extract(replace(problem, prompts=prompts)).scores["0.mlp_out"].tolist()


def only(tokens):
    """Values of one node: these tokens', and 0 for the others."""
    return [[tokens.get(token, 0.0)] for token in range(6)]


def test_it_is_the_difference_of_means_over_twice_the_standard_deviation_where_the_answers_are_balanced():
    """Last tokens 4, 4 | 4, 5: activations 2, 2 | 2, 6, of mean 2 and 4 and standard deviation sqrt(3)."""
    assert scores(only({4: 2.0, 5: 6.0}), "last") == pytest.approx([2 / (2 * 3**0.5)])


def test_it_weighs_the_difference_by_how_many_prompts_have_each_answer():
    """Activations 2, 2, 2 | 6: they follow the answer exactly."""
    assert scores(only({4: 2.0, 5: 6.0}), "last", classes=[0, 0, 0, 1]) == pytest.approx([1.0])


def test_the_largest_over_the_roles_counts():
    """At position 1 the tokens are 2, 3 | 2, 3, whatever the answer."""
    at_name, at_last, at_both = only({2: 1.0}), only({5: 1.0}), only({2: 1.0, 5: 1.0})
    assert scores(at_name) == pytest.approx([0.0])
    assert scores(at_last, "name") == pytest.approx([0.0])
    assert scores(at_last) == scores(at_both) == pytest.approx([1 / 3**0.5])


def test_neither_scale_sign_nor_offset_matters():
    assert scores([[v, -7 * v, v + 100] for [v] in only({4: 2.0, 5: 6.0})]) == pytest.approx([1 / 3**0.5] * 3)


def test_a_node_that_varies_by_rounding_only_scores_0():
    assert scores([[3.0, 1.0 + (token == 5) * 1e-7, 0.0] for token in range(6)]) == [0.0, 0.0, 0.0]


def test_whether_anything_reads_a_node_does_not_matter():
    """In LinearLoss above every weight is 0."""
    assert scores(only({5: 1.0})) != [0.0]


@pytest.mark.parametrize("other", [{"ablation": "resample"}, {"norms": "frozen"}, {"loss": "binary"}, {"seed": 1}])
def test_what_is_ablated_how_and_the_seed_do_not_matter(other):
    usual, paired = random_problem(prompts=6), random_problem(prompts=6, ablation="resample")
    changed = paired if "ablation" in other else replace(usual, **other)
    assert same(*(ActivationDifference().extract(problem).scores for problem in (usual, changed)), 0.0)


def test_scores_do_not_depend_on_how_prompts_are_split():
    one, two = (random_problem(prompts=7, budget=Budget(memory)) for memory in (1, 1 << 30))
    assert same(*(ActivationDifference().extract(problem).scores for problem in (one, two)))


def test_scores_are_correlations():
    """At least 0, at most 1, and those of torch.corrcoef."""
    problem = random_problem(prompts=9)
    found = ActivationDifference().extract(problem).scores
    captured = problem.model.run(problem.prompts.tokens, capture=tuple(problem.model.sites)).captured
    for site, values in captured.items():
        rows = torch.cat([values[0, :, -1].T, problem.prompts.classes[None].double()])
        assert torch.allclose(found[site], rows.corrcoef()[-1, :-1].abs(), atol=1e-10)


def test_prompts_that_all_have_the_same_answer_are_refused():
    with pytest.raises(UserError, match="two answers"):
        scores(only({4: 1.0}), classes=[0, 0, 0, 0])
