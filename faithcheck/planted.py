"""Models whose circuits are known, on which the checks themselves are tested.

A family is a population: each seed gives another model with the same kind of circuit in it. Families are plugins of
the group `faithcheck.families`; `faithcheck calibrate` runs every check on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from faithcheck.circuit import Circuit
    from faithcheck.model import Model
    from faithcheck.task import Task


@dataclass(frozen=True)
class Planted:
    """One instance of a family.

    `true` is the circuit by which the model does the task; `decoy`, where there is one, reaches the target loss on the
    task's own distribution and is not how the model does it. `drawn`: what the construction drew, as plain JSON data.
    """

    model: Model
    task: Task
    true: Circuit
    decoy: Circuit | None
    target_loss: float
    drawn: Mapping[str, Any] = field(default_factory=dict)


class Family(Protocol):
    """A class without parameters; its docstring proves why the true circuit is the true one.

    exercises: the checks that have to tell true from decoy here. method_scope: whether method-scope checks are run on
    this family, with an oracle that returns the true circuit as the faithful method. decoy_method: the unfaithful one
    (name, parameters), which finds circuits here for what the model does not do; of the method-scope checks, it is run
    on those that the family exercises.
    """

    name: ClassVar[str]
    exercises: ClassVar[Sequence[str]]
    decoy_method: ClassVar[tuple[str, Mapping[str, Any]] | None]
    method_scope: ClassVar[bool]

    def plant(self, seed: int) -> Planted:
        """The instance of a seed; the same seed gives the same model, task and circuits."""
        ...
