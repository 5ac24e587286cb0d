"""Hard concrete gates: their formulas, and the masks that they come to."""

import math

import pytest
import torch
from faithcheck_circuits.methods.hard_concrete import HardConcrete, gates, probability_on, stretched
from faithcheck_circuits.methods.penalties import parts
from method_problems import LinearLoss, problem_of, random_problem, same
from pydantic import ValidationError
from small_pruning import MODEL, OTHERS, framed, problem

from faithcheck.ablation import Ablation
from faithcheck.cutting import Cutter
from faithcheck.method import Budget


def method(**parameters):
    """With one penalty."""
    return HardConcrete(HardConcrete.Parameters(**{"steps": 150, "sweep": (1.0,), **parameters}))


def test_a_gate_of_even_noise_is_the_stretched_sigmoid():
    """log u - log(1 - u) is 0 at u = 1/2; sigmoid(log 3) is 3/4 at temperature 1, so 3^1.5 / (1 + 3^1.5) at 2/3."""
    share = 3**1.5 / (1 + 3**1.5)
    log_alpha = torch.tensor([0.0, math.log(3), -math.log(3)], dtype=torch.float64)
    found = gates(log_alpha, torch.full((3,), 0.5, dtype=torch.float64))
    assert found.tolist() == pytest.approx([0.5, 1.2 * share - 0.1, 1.2 * (1 - share) - 0.1])


def test_gates_are_cut_to_between_0_and_1():
    found = gates(torch.tensor([-9.0, 9.0, 0.0, 0.0]), torch.tensor([0.5, 0.5, 0.0, 1.0]))
    assert found.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert stretched(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([-0.1, 1.1])


@pytest.mark.parametrize("log_alpha", [-3.0, -1.0, 0.0, 1.5])
def test_a_gate_is_on_as_often_as_its_probability_says(log_alpha):
    """Within five standard errors of 100,000 draws."""
    noise = torch.rand(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = float(probability_on(torch.tensor(log_alpha)))
    on = float((gates(torch.full_like(noise, log_alpha), noise) > 0).double().mean())
    assert abs(on - p) < 5 * (p * (1 - p) / 100_000) ** 0.5


def test_at_first_a_gate_is_off_with_a_probability_of_1_percent():
    assert float(probability_on(torch.tensor(HardConcrete.Parameters().start))) == pytest.approx(0.99, abs=0.001)


@pytest.mark.parametrize("loss", ["full", "binary"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_few_nodes_reach_the_target_on_prompts_it_did_not_see(loss, seed):
    cut = Cutter(MODEL, OTHERS, loss, 0.15, Ablation()).cut(method().extract(problem(seed=seed, loss=loss)))
    assert cut.reached
    assert cut.size <= 15


def test_a_node_that_is_worth_its_penalty_stays_on_and_one_that_is_not_goes_off():
    """Without a node the loss is 0.5 or 0.001 nats higher."""
    model = LinearLoss({"0.mlp_out": [[0.5, 0.001]] * 2}, {"0.mlp_out": [[-1.0, -1.0]] * 2})
    scores = method(penalty=0.02).extract(problem_of(model, [[0], [1]], [0, 1])).scores["0.mlp_out"]
    assert scores[0] > 0.9
    assert scores[1] <= 0


@pytest.mark.parametrize("ablation", ["task_mean", "resample"])
def test_nodes_are_ablated_as_the_problem_says(ablation):
    """A node that is the same everywhere is needed under zero ablation only."""
    model = LinearLoss({"0.mlp_out": [[0.5]] * 2}, {"0.mlp_out": [[-1.0]] * 2})
    needed, not_needed = (
        method(penalty=0.02).extract(problem_of(model, [[0], [1]], [0, 1], ablation=kind)).scores["0.mlp_out"].item()
        for kind in ("zero", ablation)
    )
    assert needed > 0.9
    assert not_needed <= 0


def test_a_stronger_penalty_leaves_fewer_nodes_on():
    on = [int((method(penalty=p).extract(problem()).flat(MODEL) > 0).sum()) for p in (0.0, 0.001, 0.01, 10.0)]
    assert on == sorted(on, reverse=True)
    assert on[0] > 10 * on[2] > on[3] == 0


def test_of_a_sweep_the_penalty_that_reaches_the_target_with_the_fewest_nodes_is_taken():
    """10 turns every node off, so that the order of the nodes says nothing."""
    best, *others = (method(penalty=penalty, steps=60).extract(problem()).scores for penalty in (0.01, 1e-5, 10.0))
    swept = method(penalty=10.0, sweep=(1.0, 0.001, 1e-6), steps=60).extract(problem()).scores
    assert same(swept, best, 0.0)
    assert not any(same(swept, other, 1e-3) for other in others)


def test_gates_are_trained_on_other_frames_than_the_penalty_is_chosen_on(monkeypatch):
    seen = []
    monkeypatch.setattr(HardConcrete, "_trained", lambda self, asked, _: seen.append(asked.prompts.texts) or scores)
    scores = {site: torch.linspace(0.1, 1, at.size) for site, at in MODEL.sites.items()}
    asked = problem(prompts=framed(12))
    HardConcrete().extract(asked)
    assert seen == [parts(asked)[0].texts] * 2


def test_by_default_a_penalty_ten_times_weaker_is_tried_too():
    """A control must not look out of reach because the penalty was too strong for it."""
    assert min(HardConcrete.Parameters().sweep) <= 0.1


def test_scores_lie_in_the_stretched_interval_and_order_all_nodes():
    flat = method(steps=30).extract(problem()).flat(MODEL)
    assert -0.1 <= flat.min() < flat.max() <= 1.1
    assert len(flat.unique()) > len(flat) / 2


def test_the_same_seed_gives_the_same_scores_and_another_seed_others():
    one, again, other = (method(steps=10).extract(problem(seed=seed)).scores for seed in (0, 0, 1))
    assert same(one, again, 0.0)
    assert not same(one, other, 1e-3)


def test_scores_do_not_depend_on_how_prompts_are_split():
    """Adam divides by what may be rounding alone, so a few steps in double precision."""
    found = [
        method(steps=5, batch=7).extract(random_problem(prompts=6, budget=Budget(memory))).scores
        for memory in (1, 1 << 30)
    ]
    assert same(*found, tolerance=1e-9)


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"penalty": -1.0}, {"sweep": ()}, {"lr": 0.0}, {"batch": 0}, {"beta": 0.5}]
)
def test_bad_parameters_are_refused(bad):
    with pytest.raises(ValidationError):
        HardConcrete.Parameters(**bad)
