"""`check_model`: the laws of a model, for whoever writes an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from faithcheck.plugins import one_line
from faithcheck.run_names import missing_parts
from faithcheck.testing.broken import Broken, complaint
from faithcheck.testing.models import declaration, gradients, heads, interventions, optional, runs, traces
from faithcheck.testing.models.probe import Probe, broken_by

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.model import Model


def check_model(model: object, *, tokens: Tensor | None = None) -> None:
    """Try the laws of `faithcheck.model.Model` on a model, and those of the optional parts that it has.

    tokens: int[prompt, pos], at least two prompts of at least three tokens, for a model that needs real ones; left out,
    ids are drawn from the whole vocabulary.
    Raises AssertionError that lists every law that it breaks, what was done, expected and found, and what usually
    causes it.
    """
    __tracebackhide__ = True
    missing = missing_parts(model)
    name = getattr(model, "name", None) or type(model).__name__
    if missing:
        raise AssertionError(f"{name} is no model: it lacks {', '.join(missing)} (see faithcheck.model.Model)")
    broken = _broken(cast("Model", model), tokens)
    if broken:
        raise AssertionError(complaint(str(name), broken))


def _broken(model: Model, tokens: Tensor | None) -> list[Broken]:
    try:
        probe = Probe.of(model, tokens)
        assert probe.bare is not None
    except Exception as error:
        what = "ran prompts, and captured every site and norm"
        return [Broken("runs prompts", what, "no error", one_line(error), ("see faithcheck.model.Model.run",))]
    broken = list(broken_by(probe, declaration.LAWS))
    unfit = list(broken_by(probe, (*runs.BASICS, *traces.LAWS)))
    if unfit:
        return [*unfit, *broken]  # comparing such runs says nothing
    laws = [*runs.LAWS, *interventions.LAWS, *heads.LAWS, *gradients.LAWS]
    for part, own in optional.LAWS.items():
        if getattr(model, part, False):
            laws += own
    return [*broken, *broken_by(probe, laws)]
