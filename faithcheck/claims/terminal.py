"""The report of claims for a terminal: a table of what holds, and the sentences of what does not."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from faithcheck.claims.outcome import Outcome, State
from faithcheck.text import counted, visible

_STYLES = {State.HOLDS: "green", State.INTERRUPTED: "yellow", State.CRASHED: "bold magenta"}


def render(outcomes: Sequence[Outcome], out: str, console: Console) -> None:
    """Print what came of claims whose results lie in the folder `out`."""
    table = Table(title="Claims", title_justify="left")
    for column in ("claim", "outcome", "what is claimed"):
        table.add_column(column)
    for outcome in outcomes:
        table.add_row(Text(visible(outcome.name)), _state(outcome), Text(visible(outcome.text)))
    console.print(table)
    for outcome in outcomes:
        for objection in outcome.objections:
            place = f"{objection.location}: " if objection.location.line else ""
            said = Text.assemble("\n", _state(outcome), visible(f" {outcome.name}\n  {place}{objection.sentence}"))
            console.print(said, soft_wrap=True)
    held = sum(outcome.state is State.HOLDS for outcome in outcomes)
    console.print(Text(f"\n{held} of {counted(len(outcomes), 'claim')} held"))
    console.print(Text(visible(f"Files: {out}/<claim>/result.json, circuits/, evidence/")), soft_wrap=True)


def _state(outcome: Outcome) -> Text:
    return Text(outcome.state.words, style=_STYLES.get(outcome.state, "bold red"))
