"""All that runs on a device runs on one that is not the CPU: to the same end, and without waiting where it counts."""

from dataclasses import replace

import pytest
import torch
from faithcheck_circuits.methods import active_set
from faithcheck_circuits.methods.mask_training import MaskTraining
from faithcheck_circuits.transformer.model import SparseTransformer
from method_problems import random_problem
from other_device import other_device
from small_models import small_model
from test_methods_laws import IN_THE_BOX

from faithcheck import prompts
from faithcheck.ablation import Ablation
from faithcheck.api import run_suite
from faithcheck.baselines import measured
from faithcheck.cutting import Cutter
from faithcheck.method import extract_many


@pytest.fixture
def waits():
    """How often a device would have been waited for; inside, there is one."""
    with other_device() as names:
        yield names


def there(model):
    tensors = {name: tensor.to("other") for name, tensor in model.network.tensors.items()}
    return SparseTransformer(model.name, model.config, tensors, model.tokenizer)


def moved(problem, model):
    """The problem on the same model on the device."""
    found = replace(problem, model=model, prompts=problem.prompts.to("other"), device="other")
    return replace(found, ablation=measured(Ablation(problem.ablation.kind), model, found.prompts))


def both(count=2, **changes):
    """The same problems on the CPU and on the device, of a few seeds on one model."""
    model = small_model("weight-sparse", layers=1, d_model=8, d_mlp=6)
    here = [random_problem(make=lambda *_: model, prompts=8, seed=seed, **changes) for seed in range(count)]
    model = there(model)
    return here, [moved(problem, model) for problem in here]


def test_what_a_gpu_refuses_is_refused(waits):
    x = torch.ones(3, device="other")
    with pytest.raises(RuntimeError, match="two devices"):
        x + torch.ones(3)
    with pytest.raises(RuntimeError, match="a generator of cpu"):
        torch.randn(3, generator=torch.Generator(), device="other")
    with pytest.raises(RuntimeError, match="numpy"):
        x.numpy()


def test_what_a_gpu_is_waited_for_is_counted(waits):
    x = torch.zeros(3, device="other", requires_grad=True)
    place = torch.tensor([0, 2], device="other")
    assert waits.pop() == "_to_copy"
    y = x[place].exp().sum()
    y.backward()
    with torch.no_grad():
        x[place] = 2.0
    assert waits == []
    assert x.grad.tolist() == [1, 0, 1]
    assert (y.item(), len(x[x > 0])) == (2, 2)
    assert waits == ["_to_copy", "_local_scalar_dense", "index"]


def waits_of(problems, waits, **parameters):
    parameters = IN_THE_BOX["sparse_prune"].load().Parameters(**parameters)
    state = MaskTraining([(problem, 1.0) for problem in problems], parameters)
    waits.clear()
    state.train()
    return len(waits)


@pytest.mark.parametrize("changes", [{}, {"loss": "binary", "norms": "frozen"}, {"ablation": "resample"}])
def test_full_steps_do_not_wait_for_the_device(waits, changes):
    problems = both(**changes)[1]
    few, many = (waits_of(problems, waits, full_every=1, steps=steps) for steps in (3, 12))
    assert few == many


def test_compact_steps_do_not_wait_for_the_device(waits, monkeypatch):
    """A full step, the restriction after it and its first compact step, twice; then compact steps only, up to 16."""
    monkeypatch.setattr(active_set, "COMPACT_BELOW", 2.0)
    problems = both()[1]
    few, many, more = (waits_of(problems, waits, full_every=8, steps=steps) for steps in (10, 16, 17))
    assert few == many < more


@pytest.mark.parametrize("ablation", ["zero", "task_mean", "resample"])
@pytest.mark.parametrize("name", sorted(IN_THE_BOX))
def test_methods_score_as_on_the_cpu(waits, name, ablation):
    method = IN_THE_BOX[name].load()
    method = method(method.Parameters(steps=5)) if name in ("sparse_prune", "hard_concrete") else method()
    for here, found in zip(*(extract_many(method, problems) for problems in both(ablation=ablation)), strict=True):
        for site, scores in here.scores.items():
            torch.testing.assert_close(found.scores[site].cpu(), scores, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("norms", ["live", "frozen"])
def test_circuits_are_cut_as_on_the_cpu(waits, norms):
    [here], [found] = both(count=1, norms=norms)
    scores = IN_THE_BOX["random"].load()().extract(here)
    one, other = (
        Cutter(p.model, p.prompts, "full", 2.5, p.ablation, p.norm_scales(p.prompts)).cut(scores) for p in (here, found)
    )
    assert dict(other.curve) == pytest.approx(dict(one.curve), rel=1e-9)


SUITE = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: activation_difference
seeds: 1
target_loss: 0.15
checks: [sufficiency, attention_agreement, node_roles, generalization, layernorm, nonsense_control]
"""


def estimates(check):
    return {(m["name"], m.get("on")): m["estimate"] for m in check["metrics"] if m["estimate"] is not None}


def test_a_run_says_what_it_says_on_the_cpu(waits, tmp_path, monkeypatch):
    monkeypatch.setattr(prompts, "CAP", 32)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "another")
    (tmp_path / "suite.yaml").write_text(SUITE)
    here, found = (
        run_suite(tmp_path / "suite.yaml", device=device, out=tmp_path / device) for device in ("cpu", "other")
    )
    assert found.environment["device"] == "another"
    assert [c["size"] for c in found.circuits] == [c["size"] for c in here.circuits]
    for one, other in zip(here.checks, found.checks, strict=True):
        assert other["verdict"] == one["verdict"] != "ERROR"
        assert other["reason"] == one["reason"]
        assert estimates(other) == pytest.approx(estimates(one), rel=1e-4, abs=1e-6)
