"""A TransformerLens model on a device that is not the CPU computes what it does on the CPU."""

import copy

import pytest
import torch
from lens_models import lens_of, plain, prompts
from other_device import other_device

UNTIED = ("pythia", "phi", "llama", "qwen2", "qwen3")
"""`Module.to` does not keep weights tied on this device, as it does on a GPU."""


@pytest.mark.parametrize("family", UNTIED)
def test_it_runs_as_on_the_cpu(family):
    def run(device):
        model = lens_of(copy.deepcopy(plain(family)).to(device))
        masks = {name: torch.full((2, site.size), 0.5, device=device) for name, site in model.sites.items()}
        tokens, positions = (x.to(device) for x in prompts())
        return model.fingerprint, model.run(tokens, positions=positions, masks=masks, capture=tuple(model.sites))

    fingerprint, here = run("cpu")
    with other_device():
        found_fingerprint, found = run("other")
        assert found_fingerprint == fingerprint
        for one, other in (
            (here.logits, found.logits),
            *((here.captured[s], found.captured[s]) for s in here.captured),
        ):
            torch.testing.assert_close(other.cpu(), one)
