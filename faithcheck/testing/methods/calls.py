"""Laws on how a method calls the model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from faithcheck.baselines import baselines_on
from faithcheck.scales import norm_scales
from faithcheck.testing.broken import Broken
from faithcheck.testing.methods.rows import Rows, rows_of
from faithcheck.testing.methods.trials import Trial
from faithcheck.testing.methods.watched import ByName, Call

CLOSE = 1e-4
"""How far a lever may be from what it should be, relative to the largest of its values: rounding in float32."""


def sees_train_prompts_only(trial: Trial) -> Iterator[Broken]:
    """Every row that the model runs is a train prompt, or the start of one or of a text of the model's own."""
    rows = Rows(trial.bench)
    for row in {row for call in trial.log.calls for row in rows_of(call.tokens)}:
        if not rows.is_allowed(row):
            split = rows.split(row)
            yield Broken(
                "sees the train prompts only",
                trial.what,
                "every row of tokens is one of problem.prompts.tokens (or of their partners, or of model.sample_text)",
                f"{trial.bench.model.tokenizer.decode(row)!r}" + (f", a prompt of {split}" if split else ""),
                (
                    "take prompts from problem.prompts; load no task and write no text",
                    "where you change tokens, change activations instead, by masks and baselines",
                ),
            )


def restricts_for_zero_ablation_only(trial: Trial) -> Iterator[Broken]:
    for kind in set(trial.log.restricted_to) - {"zero"}:
        yield Broken(
            "restricts the model for zero ablation only",
            trial.what,
            "restrict(..., ablation) with zero ablation, else masks and baselines on the whole model",
            f"restrict with {kind} ablation",
            ("a restricted model leaves ablated nodes out, so they are 0 there",),
        )


def honours_ablation(trial: Trial) -> Iterator[Broken]:
    """Every masked run has the problem's baselines where it is masked."""
    problem, rows = trial.problems[0], Rows(trial.bench)
    expected = baselines_on(problem.ablation, problem.model, problem.prompts.partners)
    for call in _masked(trial):
        where = _prompts_of(call, rows)
        for site in call.ablated:
            found = call.baselines.get(site, torch.zeros(()))
            if call.restricted and problem.ablation.kind == "zero":
                wanted = torch.zeros(())
            else:
                wanted = _on(expected.get(site, torch.zeros(())), call, where)
            off = _distance(found, wanted, _real(call, trial, where)[..., None])
            if off > CLOSE:
                yield Broken(
                    "honours the ablation",
                    trial.what,
                    f"a run that masks {site} has the problem's baselines there",
                    f"no baseline at {site}" if site not in call.baselines else f"a baseline that is off by {off:.3g}",
                    (
                        "problem.losses(masks) runs the model with them",
                        "where you call model.run, pass baselines=problem.baselines(prompts) of the prompts you run",
                        "a mask that wants a gradient needs them too: its gradient is (x - b) dL/dx",
                    ),
                )
                return


def honours_norms(trial: Trial) -> Iterator[Broken]:
    """Every masked run has the problem's norm scales: the model's own on the same prompts, or none."""
    problem, rows = trial.problems[0], Rows(trial.bench)
    expected = norm_scales(problem.model, problem.prompts) if problem.norms == "frozen" else {}
    for call in _masked(trial):
        found = _scales_fault(call, trial, expected, rows)
        if found:
            yield Broken(
                "honours the norms",
                trial.what,
                "a masked run divides by the model's own scales on the same prompts"
                if expected
                else "a masked run leaves the norms live: norm_scales=None",
                found,
                (
                    "problem.losses(masks) does it",
                    "where you call model.run, pass norm_scales=problem.norm_scales(prompts) of the prompts you run",
                ),
            )
            return


def _scales_fault(call: Call, trial: Trial, expected: ByName, rows: Rows) -> str | None:
    if not expected:
        return f"scales for {', '.join(call.norm_scales)}" if call.norm_scales else None
    where = _prompts_of(call, rows)
    for norm, scales in expected.items():
        if norm not in call.norm_scales:
            return f"no scale for {norm}"
        off = _distance(call.norm_scales[norm], _on(scales[..., None], call, where)[..., 0], _real(call, trial, where))
        if off > CLOSE:
            return f"scales of {norm} that are off by {off:.3g}"
    return None


def _masked(trial: Trial) -> list[Call]:
    return [call for call in trial.log.calls if call.ablates]


def _prompts_of(call: Call, rows: Rows) -> Tensor:
    """int[prompt]: which train prompt each row is, -1 where it is not the whole of one."""
    places = [rows.prompt(row) for row in rows_of(call.tokens)]
    return torch.tensor([-1 if place is None else place for place in places])


def _real(call: Call, trial: Trial, where: Tensor) -> Tensor:
    """bool[prompt, pos]: a position of a whole train prompt, up to its answer position."""
    last = trial.problems[0].prompts.positions[where.clamp(min=0)]
    return (torch.arange(call.tokens.shape[-1]) <= last[:, None]) & (where >= 0)[:, None]


def _on(value: Tensor, call: Call, where: Tensor) -> Tensor:
    """A lever over all train prompts, as it should be over the rows of a call: what broadcasts stays, else
    float[1, row, pos, ...]."""
    if value.dim() < 4:
        return value
    width = min(value.shape[2], call.tokens.shape[-1])
    picked = value[:, where.clamp(min=0), :width]
    missing = call.tokens.shape[-1] - width
    return torch.nn.functional.pad(picked, (0, 0, 0, missing))


def _distance(found: Tensor, wanted: Tensor, counts: Tensor) -> float:
    """The largest difference where it counts, relative to the largest value wanted (1 where that is less)."""
    difference = (found - wanted).abs() * counts
    return float(difference.max()) / max(1.0, float(wanted.abs().max()))
