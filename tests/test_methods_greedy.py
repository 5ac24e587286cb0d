"""Greedy elimination: which nodes go, in which order, under which limit, and at how many runs."""

from dataclasses import replace

import pytest
from faithcheck_circuits.methods.chunks import mean_losses
from faithcheck_circuits.methods.elimination import Elimination
from faithcheck_circuits.methods.greedy import Greedy
from method_problems import LinearLoss, problem_of, random_problem, same
from pydantic import ValidationError
from small_pruning import MODEL, TRAIN, problem

from faithcheck.method import Budget


def costly(**costs):
    """A problem in which turning a node off costs its number of nats; the whole model's loss is 1, its target 2."""
    sites = {f"0.{name}": row for name, row in costs.items()}
    values = {site: [[0.0] * len(row)] * 2 + [row] for site, row in sites.items()}
    model = LinearLoss(values, {site: [[-1.0] * len(row)] * 2 for site, row in sites.items()})
    model.start += sum(map(sum, costs.values()))
    return problem_of(model, [[0, 2], [1, 2]], [0, 1], target_loss=2.0)


def search(problem, group=64):
    return Elimination(problem, problem.prompts, group)


def left(search):
    return {site: on.nonzero().flatten().tolist() for site, on in search.on.items()}


def test_what_costs_more_than_its_share_of_the_limit_stays():
    """Each of two sites may take half of 0.2 nats."""
    s = search(costly(attn_out=[0.5, 0.01, 0.02, 0.3], mlp_out=[0.01, 0.2, 0.01, 0.01]))
    s.eliminate(1.2)
    assert left(s) == {"0.attn_out": [0, 3], "0.mlp_out": [1]}
    assert s.loss == pytest.approx(1.06)


def test_what_a_later_site_does_not_take_is_left_for_the_earlier_ones():
    """Half of 0.3 is too little for 0.2, the whole is not."""
    s = search(costly(attn_out=[0.2, 0.4], mlp_out=[1.0]))
    s.eliminate(1.3)
    assert left(s) == {"0.attn_out": [1], "0.mlp_out": [0]}


def test_later_sites_are_thinned_first():
    """Either node alone fits into its share; after the later one the earlier one does not."""
    s = search(costly(attn_out=[0.1, 0.1], mlp_out=[0.1]))
    s.eliminate(1.25)
    assert left(s)["0.mlp_out"] == []
    assert len(left(s)["0.attn_out"]) == 1


def test_of_nodes_that_do_not_all_fit_the_cheapest_go():
    s = search(costly(mlp_out=[0.04, 0.01, 0.03, 0.02]), group=1)
    s.eliminate(1.065)
    assert left(s) == {"0.mlp_out": [0]}


@pytest.mark.parametrize("group", [1, 3, 8, 100])
def test_groups_are_halved_down_to_the_nodes_that_are_needed(group):
    needed = [5, 42]
    s = search(costly(mlp_out=[1.0 if node in needed else 0.001 for node in range(64)]), group)
    s.eliminate(1.5)
    assert left(s) == {"0.mlp_out": needed}


def test_halving_takes_fewer_runs_than_there_are_nodes():
    p = costly(mlp_out=[1.0 if node == 300 else 0.0 for node in range(1024)])
    search(p, 1024).eliminate(1.1)
    assert sum(p.model.members) < 50


def test_a_model_above_its_target_is_made_no_worse():
    """Without the node that does harm its loss is 0.8; so one that costs 0.1 can go too, and one of 0.3 cannot."""
    found = Greedy().extract(replace(costly(attn_out=[0.1, 0.3], mlp_out=[-0.2, 0.3]), target_loss=0.5)).scores
    assert {site: row.tolist() for site, row in found.items()} == {"0.attn_out": [0, 1], "0.mlp_out": [0, 1]}


def test_the_survivors_of_each_pass_lie_in_those_of_the_one_before_and_keep_its_limit():
    found = Greedy(Greedy.Parameters(limits=(0.2, 0.6, 1.0))).extract(problem())
    whole = float(problem().losses({}).mean())
    flat = found.flat(MODEL)
    assert {round(3 * score) for score in flat.tolist()} <= {0, 1, 2, 3}
    for passed, limit in enumerate((0.2, 0.6, 1.0), 1):
        masks = {site: (3 * s >= passed - 0.5).float()[None] for site, s in found.scores.items()}
        assert float(mean_losses(problem(), masks, TRAIN)) <= whole + limit * (0.15 - whole) + 1e-6
    assert 0 < (flat > 0.9).sum() <= 20


def test_one_limit_gives_a_finished_circuit():
    assert set(Greedy(Greedy.Parameters(limits=(1.0,))).extract(problem()).flat(MODEL).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("ablation", ["task_mean", "resample"])
def test_nodes_are_ablated_as_the_problem_says(ablation):
    """A node that is the same everywhere is needed by none but zero ablation."""
    model = LinearLoss({"0.mlp_out": [[1.0]] * 2}, {"0.mlp_out": [[-0.3]] * 2})
    kept = [
        Greedy()
        .extract(problem_of(model, [[0], [1]], [0, 1], ablation=kind, target_loss=0.8))
        .scores["0.mlp_out"]
        .item()
        for kind in ("zero", ablation)
    ]
    assert kept == [1.0, 0.0]


def test_prompts_are_drawn_by_the_seed():
    usual = random_problem("one layer", prompts=12, target_loss=9.0)
    runs = [Greedy(Greedy.Parameters(prompts=4)).extract(replace(usual, seed=seed)).scores for seed in (0, 0, 1)]
    assert same(runs[0], runs[1], 0.0)
    assert not same(runs[0], runs[2], 0.1)


def test_scores_do_not_depend_on_how_members_and_prompts_are_split():
    found = [
        Greedy().extract(random_problem("one layer", prompts=6, target_loss=9.0, budget=Budget(memory))).scores
        for memory in (1, 30_000, 1 << 30)
    ]
    assert same(found[0], found[2], 0.0)
    assert same(found[1], found[2], 0.0)
    assert len({score for row in found[0].values() for score in row.tolist()}) > 1


@pytest.mark.parametrize("bad", [{"limits": ()}, {"group": 0}, {"prompts": 0}, {"limit": 1.0}, {"limits": (1.0, 0.5)}])
def test_bad_parameters_are_refused(bad):
    with pytest.raises(ValidationError):
        Greedy.Parameters(**bad)
