"""What a claim refers to, looked up without a model: its circuit's file, its task, its suite. No torch here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from faithcheck.claims.claim import LoadedClaim
from faithcheck.errors import UserError, did_you_mean
from faithcheck.loading import find_model
from faithcheck.overrides import ALWAYS_RUNS
from faithcheck.reasons import Reasons
from faithcheck.references import check_references
from faithcheck.suite import LoadedSuite, load_suite
from faithcheck.task import find_task


def circuit_file(claim: LoadedClaim) -> Path:
    """Raises UserError where there is none."""
    return _beside(claim, "circuit", claim.claim.circuit)


def suite_of(claim: LoadedClaim) -> LoadedSuite:
    """The claim's suite with the claim's model and task, and of its checks those that the claim gives a verdict for
    (and `sufficiency`, which always runs). A claim calls a check what it calls itself, as result.json does.

    Raises UserError, with its line in the claim, for an unknown suite, model or task, and for a verdict of a check that
    the suite does not have; UserError and BrokenPlugin as `check_references`.
    """
    with claim.located("suite"):
        ref = claim.claim.suite
        loaded = load_suite(str(_beside(claim, "suite", ref)) if _is_yaml(ref) else ref)
    with claim.located("model"):
        find_model(model := _model(claim))
    loaded = _with(loaded, model=model, tasks=[str(_task(claim, loaded).resolve())])
    names = [resolved.check.name for resolved in check_references(loaded).checks]
    _refuse_unknown(claim, names)
    wanted = {*claim.claim.verdicts, ALWAYS_RUNS}
    return _with(loaded, checks=[c for c, name in zip(loaded.suite.checks, names, strict=True) if name in wanted])


def _with(loaded: LoadedSuite, **changed: Any) -> LoadedSuite:
    return replace(loaded, suite=loaded.suite.model_copy(update=changed))


def _refuse_unknown(claim: LoadedClaim, known: list[str]) -> None:
    reasons = Reasons(claim.marked)
    for name in claim.claim.verdicts:
        if name not in known:
            near = did_you_mean(name, known)
            reasons.add(f"the suite has no such check; it has {', '.join(known)}{near}", ("verdicts", name), key=True)
    reasons.raise_any()


def _model(claim: LoadedClaim) -> str:
    """The claim's model, a path in it taken from the claim's folder where there is such a file."""
    ref, folder = claim.claim.model, claim.path.parent
    if ".py:" in ref:
        file, _, attribute = ref.rpartition(":")
        return f"{folder / file}:{attribute}" if (folder / file).is_file() else ref
    loader, colon, path = ref.partition(":")
    return f"{loader}:{folder / path}" if colon and path and (folder / path).exists() else ref


def _task(claim: LoadedClaim, suite: LoadedSuite) -> Path:
    ref = claim.claim.task
    if _is_yaml(ref):
        return _beside(claim, "task", ref)
    with claim.located("task"):
        return find_task(ref, suite.path)


def _beside(claim: LoadedClaim, key: str, ref: str) -> Path:
    path = claim.path.parent / ref
    if not path.is_file():
        others = [other.name for other in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        near = did_you_mean(path.name, others)
        raise UserError(f"{key}: no such file: {ref}{near}", claim.location(key))
    return path


def _is_yaml(ref: str) -> bool:
    return ref.endswith((".yaml", ".yml"))
