"""`check_model` passes models that keep the laws, and names the law that a broken one breaks."""

import pytest
import torch
from broken_models import BROKEN, small
from small_models import small_model

from faithcheck.testing import check_model
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
