"""The bundled models are what their cards say, and can do the tasks that they are there for."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import faithcheck_circuits.bundled
import pytest
import torch

from faithcheck import load_model, load_task
from faithcheck.ablation import Ablation
from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.losses import logit_difference, prompt_losses
from faithcheck.marked_yaml import load
from faithcheck.prompts import encode
from faithcheck.resampling import MINIMUM_PROMPTS, MINIMUM_UNITS, Resampling
from faithcheck.scales import norm_scales

FOLDER = Path(faithcheck_circuits.bundled.__file__).parent
MODELS = ["stories-sparse", "stories-tiny"]
ABLE = [("stories-sparse", task) for task in ("pronoun", "ioi", "questions")]
ABLE += [("stories-tiny", task) for task in ("pronoun", "questions")]

model = cache(load_model)


def recipe(name):
    return load(FOLDER / f"{name}.yaml").data


@cache
def on(name, task, split):
    """Accuracy and full cross-entropy of a model on a split or shift, and the number of prompts."""
    prompts = encode(load_task(task), split, model(name).tokenizer)
    with torch.no_grad():
        logits = model(name).run(prompts.tokens, positions=prompts.positions).logits
    right = logit_difference(logits, prompts.targets, prompts.distractors) > 0
    loss = prompt_losses(logits, prompts.targets, prompts.distractors, "full")
    return float(right.float().mean()), float(loss.mean()), len(prompts)


def card(name):
    return (FOLDER / f"{name}.md").read_text()


def card_rows(name):
    """{(task, split): (prompts, accuracy, cross-entropy)} of the card's table of tasks."""
    rows = re.findall(r"^\| (\w+), (\w+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|", card(name), re.MULTILINE)
    return {(task, split): (int(n), float(acc), float(loss)) for task, split, n, acc, loss in rows}


@pytest.mark.parametrize("task", yaml_names(bundled_dir() / "tasks"))
@pytest.mark.parametrize("name", MODELS)
def test_the_test_split_of_a_bundled_task_is_large_enough_to_decide_a_gate(name, task):
    resampling = Resampling(encode(load_task(task), "test", model(name).tokenizer).units)
    assert resampling.units >= MINIMUM_UNITS
    assert resampling.n >= MINIMUM_PROMPTS


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_fingerprint_of_its_card(name):
    assert f"| fingerprint | `{model(name).fingerprint}` |" in card(name)


@pytest.mark.parametrize("name", MODELS)
def test_a_card_tells_what_the_model_does_on_every_split_and_shift(name):
    rows = card_rows(name)
    parts = {
        (t, part) for t in ("pronoun", "ioi", "questions") for part in (*load_task(t).splits, *load_task(t).shifts)
    }
    assert set(rows) == parts
    for (task, split), (prompts, accuracy, loss) in rows.items():
        found = on(name, task, split)
        assert prompts == found[2]
        assert (accuracy, loss) == (pytest.approx(found[0], abs=1e-4), pytest.approx(found[1], abs=1e-3))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_small(name):
    assert (FOLDER / f"{name}.safetensors").stat().st_size <= 1_000_000


@pytest.mark.parametrize(("name", "task"), ABLE)
def test_a_model_does_its_tasks_on_held_out_prompts(name, task):
    accuracy, loss, prompts = on(name, task, "test")
    assert prompts >= 200
    assert accuracy >= 0.99
    assert loss <= 0.05


def test_stories_sparse_can_tell_two_names_of_the_same_gender_apart():
    accuracy, loss, _ = on("stories-sparse", "ioi", "same_gender")
    assert accuracy >= 0.99
    assert loss <= 0.05


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_as_sparse_as_the_recipe_says(name):
    network, share = model(name).network, recipe(name)["share"]
    matrices = [network.tensors[key] for key in model(name).config.sparse_names()]
    assert len(matrices) >= 12
    total = sum(m.numel() for m in matrices)
    assert sum(int(m.count_nonzero()) for m in matrices) / total == pytest.approx(share, rel=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_shape_of_its_recipe_and_its_own_name(name):
    config = model(name).config
    assert (model(name).name, config.d_model, config.layers) == (name, recipe(name)["d_model"], recipe(name)["layers"])


@pytest.mark.parametrize("name", MODELS)
def test_a_model_travels_with_text_of_its_corpus(name):
    sample = model(name).sample_text
    assert len(sample) >= 100
    assert all(len(model(name).tokenizer.encode(sentence)) > 1 for sentence in sample)


@pytest.fixture(params=MODELS)
def prompts(request):
    subject = model(request.param)
    return subject, encode(load_task("pronoun"), "test", subject.tokenizer).select(torch.arange(64))


def test_masks_that_are_all_on_change_nothing(prompts):
    subject, given = prompts
    ones = {site: torch.ones(1, at.size) for site, at in subject.sites.items()}
    assert torch.equal(subject.run(given.tokens, masks=ones).logits, subject.run(given.tokens).logits)


def test_the_models_own_norm_scales_change_nothing(prompts):
    subject, given = prompts
    scales = norm_scales(subject, given)
    frozen = subject.run(given.tokens, positions=given.positions, norm_scales=scales).logits
    live = subject.run(given.tokens, positions=given.positions).logits
    torch.testing.assert_close(frozen, live, rtol=1e-5, atol=1e-5)


def test_the_restricted_model_gives_the_logits_of_the_masked_one(prompts):
    subject, given = prompts
    generator = torch.Generator().manual_seed(0)
    keep = {site: torch.rand(at.size, generator=generator) < 0.3 for site, at in subject.sites.items()}
    masked = subject.run(given.tokens, masks={site: kept[None].float() for site, kept in keep.items()}).logits
    restricted = subject.restrict(keep, Ablation()).run(given.tokens).logits
    torch.testing.assert_close(restricted, masked, rtol=1e-4, atol=1e-4)
