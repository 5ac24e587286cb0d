"""`check_model`: the laws of a model, for whoever writes an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from faithcheck.plugins import one_line
from faithcheck.testing import declared_laws, gradient_laws, intervention_laws, optional_laws, run_laws
from faithcheck.testing.broken import Broken, complaint
from faithcheck.testing.probe import Probe, broken_by

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
    missing = declared_laws.missing_parts(model)
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
    laws = [*declared_laws.LAWS, *run_laws.LAWS, *intervention_laws.LAWS, *gradient_laws.LAWS]
    for part, own in optional_laws.LAWS.items():
        if getattr(model, part, False):
            laws += own
    return list(broken_by(probe, laws))
