"""layernorm: how small the circuit's residual stream is, and its loss when the norms do not make up for that."""

from __future__ import annotations

from markupsafe import Markup

from faithcheck.report.html import svg
from faithcheck.report.html.figure import figure, note, row
from faithcheck.report.html.finding import Finding
from faithcheck.report.html.gated import gated
from faithcheck.report.html.words import number, seed_name, span

WIDTH, LEFT, RIGHT, TOP, HEIGHT = 384.0, 52.0, 20.0, 16.0, 190.0
MANY = 6


def draw(finding: Finding) -> Markup:
    pictures = [_ratios(finding)] if finding.ons("rms_ratio") else []
    frozen, live = finding.metrics("frozen_loss"), _live_losses(finding)
    if frozen:
        pictures.append(gated(frozen, live, "frozen|live" if live else "", finding.whole))
    return row(pictures) + _sizes(finding)


def _live_losses(finding: Finding) -> dict[int | None, float]:
    """What sufficiency found on the same circuits, where it was asked."""
    entries = [check for check in finding.data.checks_of(finding.entry.task) if check.check == "sufficiency"]
    found = Finding(finding.loaded, entries[0]).values("loss") if entries else {}
    return {seed: value for seed, value in found.items() if value is not None}


def _ratios(finding: Finding) -> Markup:
    """A line for each circuit over the norms, in order of execution."""
    norms = [norm for norm in finding.ons("rms_ratio") if norm is not None]
    by_seed: dict[int | None, dict[str, float]] = {}
    for norm in norms:
        for seed, value in finding.values("rms_ratio", norm).items():
            if value:
                by_seed.setdefault(seed, {})[norm] = value
    values = [value for line in by_seed.values() for value in line.values()]
    bottom = TOP + HEIGHT
    y = svg.Scale(*svg.log_span([*values, 1.0, 0.5]), bottom, TOP, True)
    gap = (WIDTH - LEFT - RIGHT) / len(norms)
    x = {norm: LEFT + gap * (place + 0.5) for place, norm in enumerate(norms)}
    parts = [*svg.y_axis(y, LEFT, WIDTH - RIGHT), svg.line(LEFT, y(1.0), WIDTH - RIGHT, y(1.0), "gate")]
    parts.append(svg.text(WIDTH - RIGHT, y(1.0) - 5, "as in the model", "gatetext halo", "end"))
    for seed, line in by_seed.items():
        named = svg.tag("title", seed_name(seed))
        parts.append(svg.path([(x[norm], y(value)) for norm, value in line.items()], "curve circuit faint"))
        parts += [
            svg.tag("circle", named, cx=x[norm], cy=y(v), r=3.0, class_="mark circuit") for norm, v in line.items()
        ]
    parts += [_norm_name(x[norm], bottom, norm, len(norms) > MANY) for norm in norms]
    label = (
        f"RMS of what each norm reads, circuit over model, {len(by_seed)} circuits: {number(min(values))} at the least"
    )
    caption = Markup("<b>Residual RMS, circuit / model</b> at each norm, in order of execution")
    return figure(svg.picture(WIDTH, bottom + (64 if len(norms) > MANY else 26), label, parts), caption)


def _norm_name(x: float, y: float, norm: str, turned: bool) -> Markup:
    if turned:
        return svg.text(x + 4, y + 12, norm, "tick", "end", transform=f"rotate(-60 {x + 4:.1f} {y + 12:.1f})")
    return svg.text(x, y + 17, norm, "tick", "middle")


def _sizes(finding: Finding) -> Markup:
    """How many nodes the same scores need under live and under frozen norms."""
    live, frozen = finding.values("live_size"), finding.values("frozen_size")
    if not frozen:
        return Markup("")
    reached, known = [v for v in frozen.values() if v is not None], [v for v in live.values() if v is not None]
    start = f"With live norms the target takes {span(known)} nodes" if known else "With live norms the target is missed"
    missed = len(frozen) - len(reached)
    took = f"the same scores take {span(reached)} nodes" if reached else ""
    never = f"no number of nodes reaches it for {missed} of {len(frozen)} circuits" if missed else ""
    return note(f"{start}; with frozen norms {', and '.join(filter(None, (took, never)))}.")
