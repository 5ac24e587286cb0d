"""Laws on what a run leaves behind: in the model, in what it was given, in global state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch

from faithcheck.testing.models.probe import Fault, Probe
from faithcheck.testing.surroundings import surroundings

_SEED = 20_260_329
"""Of the global generators; no model seeds them with it."""


def leaves_what_it_is_given_as_it_was(probe: Probe) -> Iterator[Fault]:
    """Ran with every lever, and looked at them again."""
    tokens, positions = probe.tokens.clone(), probe.positions.clone()
    levers, again = (
        {"masks": probe.masks(), "baselines": probe.baselines(), "norm_scales": probe.scales()} for _ in range(2)
    )
    probe.run(tokens, positions=positions, **levers)
    pairs = {"tokens": (tokens, probe.tokens), "positions": (positions, probe.positions)}
    pairs |= {f"{what}[{name!r}]": (levers[what][name], value) for what in again for name, value in again[what].items()}
    for what, (now, before) in pairs.items():
        if not torch.equal(now, before):
            advice = "write into no tensor that was given: x = x * m, not x *= m"
            yield Fault(f"ran with every lever, and looked at {what}", "what was given", "other values", (advice,))
            return


def leaves_global_state_alone(probe: Probe) -> Iterator[Fault]:
    """Ran with and without grad mode, and looked at global state."""
    for on in (True, False):
        with torch.set_grad_enabled(on), surroundings(_SEED) as changed:
            probe.model.run(probe.tokens, masks=probe.masks())
        if changed:
            yield Fault(
                f"ran with grad mode {'on' if on else 'off'}",
                "grad mode, default dtype, thread count and the global random generators as before",
                f"changed: {', '.join(changed)}",
                ("is the model in eval mode, without dropout?", "use `with torch.no_grad():`, and seed nothing global"),
            )
            return


def keeps_no_state(probe: Probe) -> Iterator[Fault]:
    """Ran the model as it is, after runs with levers and after one that it refused."""
    before = probe.model.fingerprint
    probe.run(masks=probe.masks(), baselines=probe.baselines(), capture=tuple(probe.model.sites))
    after_levers = probe.apart(probe.logits(), probe.bare.logits)
    refused: dict[str, Any] = {"masks": {**probe.masks(), "no.site": probe.tokens[:1].to(probe.model.dtype)}}
    with suppress(Exception):
        probe.run(**refused)
    after_refusal = probe.apart(probe.logits(), probe.bare.logits)
    if after_levers or after_refusal:
        yield Fault(
            f"ran without levers, after a run {'with masks' if after_levers else 'that was refused'}",
            "the model's own logits",
            after_levers or after_refusal,
            ("take hooks off in a `finally`", "never write into a weight or a buffer"),
        )
    if probe.model.fingerprint != before:
        yield Fault("read the fingerprint before and after runs", "the same", "another")


LAWS = (leaves_what_it_is_given_as_it_was, leaves_global_state_alone, keeps_no_state)
"""Without these no two runs can be compared."""
