"""A claim: a circuit file, the model and the task it is about, and the verdicts that it is said to get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from faithcheck.errors import Location, UserError
from faithcheck.marked_yaml import Marked, load
from faithcheck.reasons import refusal
from faithcheck.schema_errors import Source, explain
from faithcheck.schema_types import Frozen, Text, Version1

Claimed = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Asked(Frozen):
    """What a suite asked when a claim was made: all of it that a verdict depends on."""

    target_loss: float
    """In nats, as in the suite."""
    loss: Literal["full", "binary"] | None = None
    """As in the suite; null: the task's own."""
    checks: dict[str, dict[str, Any]]
    """{CHECK: {gates: {METRIC: GATE}, PARAMETER: VALUE}}, with all gates and parameters; of checks that are not
    claimed it does not matter."""
    seeds: int | list[int] | None = None
    """As in the suite; they matter to checks of the method only."""
    method: dict[str, Any] | None = None
    """{NAME: {PARAMETER: VALUE}} of the extractor; it matters to checks of the method only."""


class Claim(Frozen):
    """What a claim's file holds. Every path in it is relative to that file."""

    faithcheck: Version1
    """The version of this format."""
    claim: Text
    """What is claimed, in a sentence for people."""
    circuit: Text
    """The circuit's file, relative to this one."""
    identity: Sha256
    """The circuit's identity, as result.json has it: SHA-256 over its nodes, ablation and norms."""
    model: Text
    """The model that it is a circuit of: a name, path/to/file.py:NAME, or LOADER:PATH."""
    fingerprint: Text
    """The model's fingerprint, as result.json has it: SHA-256 over its configuration and weights."""
    task: Text
    """The task that it is a circuit for: a name, looked up as in the suite, or a YAML file."""
    task_sha256: Sha256 | None = None
    """SHA-256 of the task's content, as result.json has it. Optional: where left out, prompts may change."""
    suite: Text
    """The suite whose checks, gates and target loss are used: the name of a bundled one, or a YAML file."""
    asked: Asked | None = None
    """What the suite asked when this was claimed. Optional: where left out, its gates and target loss may change."""
    verdicts: Annotated[dict[str, Claimed], Field(min_length=1)]
    """The claimed verdict of each check, PASS, FAIL or INCONCLUSIVE. Checks that are left out do not run."""


@dataclass(frozen=True)
class LoadedClaim:
    """A claim with the file it came from."""

    claim: Claim
    path: Path
    marked: Marked

    def location(self, *path: str | int, key: bool = False) -> Location:
        """Where the value (or the key) at a path such as `"verdicts", "layernorm"` is written."""
        return self.marked.key_mark(path) if key else self.marked.mark(path)

    @contextmanager
    def located(self, *path: str | int) -> Iterator[None]:
        """A UserError that does not say where it is gets this place in the claim, and its key."""
        try:
            yield
        except UserError as error:
            if error.location is not None:
                raise
            raise UserError(f"{'.'.join(map(str, path))}: {error.message}", self.location(*path)) from None


def load_claim(path: str | Path) -> LoadedClaim:
    """Read a claim's file; what it refers to is not looked at.

    Raises UserError where it cannot be read or parsed, or breaks the schema: everything refused is reported at once.
    """
    marked = load(path)
    try:
        return LoadedClaim(Claim.model_validate(marked.data), Path(path), marked)
    except ValidationError as error:
        raise refusal(explain(error, Claim, Source.of(marked))) from None
