"""`check_model` passes models that keep the laws, and names the law that a broken one breaks."""

import re

import pytest
import torch
from broken_models import BROKEN, small
from fake_models import ONE, SIGN, Attention, Readout, answers_only, pronoun
from small_models import small_model

from faithcheck.testing import check_model
from faithcheck.testing.models import declaration, gradients, heads, interventions, optional, runs, traces
from faithcheck.testing.tiny.model import TinyModel
from faithcheck.testing.tiny.problem import tiny_model
from faithcheck.testing.tiny.restricting import RestrictingModel

GOOD = {
    "the tiny model": tiny_model,
    "the tiny model in float64": lambda: tiny_model(dtype=torch.float64),
    "a tiny model with restrict": lambda: small(RestrictingModel),
    **{f"a transformer, {v}": lambda v=v: small_model(v, dtype=torch.float32) for v in ("plain", "top-k", "one layer")},
}


@pytest.mark.parametrize("name", GOOD)
def test_a_model_that_keeps_the_laws_passes(name):
    check_model(GOOD[name]())


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_law_is_named(name):
    cls, law = BROKEN[name]
    with pytest.raises(AssertionError) as failure:
        check_model(small(cls))
    assert f". {law}" in str(failure.value)


def test_every_law_is_broken_by_some_model():
    laws = [*declaration.LAWS, *traces.LAWS, *runs.BASICS, *runs.LAWS]
    laws += [
        *interventions.LAWS,
        *heads.LAWS,
        *gradients.LAWS,
        *(law for part in optional.LAWS.values() for law in part),
    ]
    named = [law for _, law in BROKEN.values()]
    unbroken = [
        name for name in (law.__name__.replace("_", " ") for law in laws) if not any(map(name.startswith, named))
    ]
    assert unbroken == []


def test_what_lacks_a_part_is_no_model_and_the_part_is_named():
    with pytest.raises(AssertionError, match=r"object is no model: it lacks name, fingerprint, .*run"):
        check_model(object())


def test_a_model_that_cannot_run_is_told_why():
    class CannotRun(TinyModel):
        def run(self, tokens, **levers):
            raise RuntimeError("no weights")

    with pytest.raises(AssertionError, match=r"runs prompts\n(.*\n)*.*RuntimeError: no weights"):
        check_model(small(CannotRun))


def test_the_tokens_given_are_those_that_are_run():
    class Knows(TinyModel):
        def run(self, tokens, **levers):
            if (tokens[:, 0] != 1).any():
                raise ValueError("a prompt begins with token 1")
            return super().run(tokens, **levers)

    with pytest.raises(AssertionError, match="a prompt begins with token 1"):
        check_model(small(Knows))
    check_model(small(Knows), tokens=torch.tensor([[1, 5, 9, 4], [1, 3, 2, 2], [1, 7, 7, 8]]))


def test_a_failure_names_the_site_and_the_size_of_the_difference():
    with pytest.raises(AssertionError) as failure:
        check_model(small(BROKEN["a squared mask"][0]))
    lines = str(failure.value).splitlines()
    assert lines[0] == "small breaks 2 laws:"
    assert "mask m and baseline b at 0.attn_in, and with mask 0" in lines[3]
    assert re.search(r"values that differ by up to \d+\.\d+, where the largest is", lines[5])


def test_the_laws_hold_in_bfloat16_too():
    check_model(small(dtype=torch.bfloat16))


def test_the_scripted_models_of_our_tests_break_no_law_but_that_of_refusals():
    task_model = Attention([SIGN], [SIGN], [0.3], [[1.0]], [pronoun(3.0)], pool=True)
    for model in (task_model, Readout([(SIGN, ONE)] * 2, [pronoun(1.0)] * 2, answers_only())):
        with pytest.raises(AssertionError, match=r"scripted breaks a law:\n\n1\. refuses unknown names"):
            check_model(model)
