"""What result.json holds, as data that is validated when it is read. docs/result.md has it in words.

Keys that this version does not know are kept and ignored: a version that only adds keys keeps the schema's name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from faithcheck.verdict import Verdict, of_run

SCHEMA = "faithcheck.result/1"

VerdictName = Literal["PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "ERROR"]


Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Line = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    """Strict: a number is no text and no truth value."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, strict=True, use_attribute_docstrings=True
    )


class EvidenceFile(_Part):
    """A safetensors file beside result.json."""

    file: str
    """Its path from the folder of result.json."""
    sha256: str
    """SHA-256 of its bytes."""


class MetricEntry(_Part):
    """One number with its 95 % interval. `estimate` null: never reached. `low`, `high` null: unbounded."""

    name: str
    """The metric."""
    seed: int | None = None
    """The seed of the circuit that it is about; null: all circuits, or one that was given."""
    on: str | None = Field(default=None, description="the shift or the norm that it is about")
    estimate: float | None
    """The number; null where it was never reached, or is not finite."""
    low: float | None = None
    """Lower end of its 95 % interval; null: unbounded."""
    high: float | None = None
    """Upper end of its 95 % interval; null: unbounded."""
    reached: bool = True
    """False where there is no finite estimate."""
    n: Count | None = None
    """How many prompts it rests on; or seeds, or nodes."""
    gate: str | None = None
    """What it has to meet, such as "<= 0.25"; null: it is only reported."""
    verdict: VerdictName | None = None
    """What the gate says of it."""

    @model_validator(mode="after")
    def _judged_by_its_gate(self) -> Self:
        if (self.gate is None) is not (self.verdict is None):
            raise ValueError("a metric has a gate and a verdict, or neither")
        return self


class CheckResult(_Part):
    """The answer of one check on one task; `details` is a file with the traceback of an ERROR."""

    check: str
    """The check."""
    task: str
    """The task."""
    verdict: VerdictName
    """The worst of its gates."""
    reason: str
    """The verdict in one sentence."""
    question: str = ""
    """What the check asks."""
    metrics: list[MetricEntry] = []
    """The numbers behind the verdict."""
    evidence: EvidenceFile | None = None
    """What it was drawn from."""
    details: str | None = None
    """A file with the traceback of an ERROR."""


class CircuitResult(_Part):
    """A circuit under test. `loss`, in nats, is on the validation prompts; null where it is not finite."""

    task: str
    """The task that it is a circuit for."""
    seed: int | None
    """The seed of its extraction; null for a circuit that was given."""
    size: Count
    """Its nodes."""
    edges: Count | None
    """Nonzero weights between them; null where the model cannot count them."""
    loss: float | None
    """In nats, on the validation prompts; null where it is not finite."""
    reached: bool
    """Whether that is at most the target loss."""
    file: str
    """The circuit file, from the folder of result.json."""
    identity: str
    """SHA-256 over its nodes, ablation and norms."""
    evidence: EvidenceFile | None = None
    """What it is drawn from: its nodes, edges and activations."""
    undrawn: str = Field(default="", description="why there is no evidence to draw it from")


class SuiteCheck(_Part):
    """A check as the suite asks it. `lines`: the line of the suite's file where each gate, or the check (key ""),
    is written."""

    name: str
    """The check."""
    scope: str = ""
    """What it asks about: a circuit or the method."""
    parameters: dict[str, Any] = {}
    """All its parameters, defaults included."""
    gates: dict[str, str] = {}
    """{METRIC: GATE}."""
    lines: dict[str, Line] = {}
    """{METRIC: line} of the suite's file, and of the check itself under ""."""


class SuiteTask(_Part):
    """A task of the suite; `sha256` is over its content."""

    name: str
    """The task."""
    sha256: str | None = None
    """SHA-256 of its content."""


class SuiteData(_Part):
    """The suite as it was resolved. `file` is null for a bundled one; `model` is the reference."""

    name: str
    """What the suite is called."""
    about: str = ""
    """A line for people."""
    file: str | None = None
    """Its file as it was given; null for a bundled suite."""
    model: str = ""
    """The reference of the model."""
    tasks: list[SuiteTask] = []
    """The tasks that were run."""
    seeds: int | list[int] = 0
    """How many, or which."""
    target_loss: float = 0.0
    """In nats."""
    ablation: str | None = None
    """What ablated nodes take."""
    norms: str | None = None
    """Live or frozen."""
    loss: Literal["full", "binary"] | None = None
    """Full or binary; null: what each task says."""
    checks: list[SuiteCheck] = []
    """The checks with their gates."""


class MethodData(_Part):
    name: str
    """Its reference."""
    parameters: dict[str, Any] = {}
    """All its parameters, defaults included."""


class SiteData(_Part):
    """A site of the model, in order of execution."""

    name: str
    """Such as 0.attn_in."""
    kind: str
    """Such as attn_in."""
    layer: Count
    """From 0 on."""
    size: Count
    """Its nodes."""


class ModelData(_Part):
    name: str
    """What the model calls itself."""
    fingerprint: str
    """SHA-256 over its configuration and weights."""
    sites: list[SiteData] = []
    """Its sites, in order of execution."""
    norms: list[str] = []
    """Its norms, in order of execution."""


class ShownPrompt(_Part):
    """A held-out prompt that evidence shows: its tokens as text; the answers the task asks for."""

    tokens: list[str]
    """Its tokens as text."""
    target: str
    """The token that should come next."""
    distractor: str
    """The token of the other answer."""


class TaskData(_Part):
    """`prompts`: those that the evidence shows, in its order."""

    name: str
    """The task."""
    prompts: list[ShownPrompt] = []
    """Held-out prompts that evidence shows."""


class CaseTime(_Part):
    """`case`: `TASK: CHECK`, or `TASK: extract, seeds 0 to 5`."""

    case: str
    """What was done."""
    seconds: Seconds
    """How long it took."""


class Timing(_Part):
    """How long the run took, and each case that was finished, in seconds."""

    started: str = ""
    """When the run began, in UTC as ISO 8601 has it."""
    total_seconds: Seconds
    """How long the run took."""
    cases: list[CaseTime] = []
    """How long each of its cases took that was finished."""


class ClaimObjection(_Part):
    """Why a claim does not hold; `line` of its file."""

    sentence: str
    """Why it does not hold."""
    line: Line | None = None
    """The line of the claim's file that it is about."""


class ClaimData(_Part):
    """The claim that a run tested again: its file, the verdicts claimed, and whether they are those of `checks`."""

    text: str
    """What is claimed, for people."""
    file: str
    """The claim's file as it was given."""
    verdicts: dict[str, VerdictName]
    """{CHECK: VERDICT} as claimed."""
    holds: bool
    """Whether each of them is the one found."""
    objections: list[ClaimObjection] = []
    """Why it does not hold; none where it does."""


class ResultData(_Part):
    """The whole of result.json."""

    schema_: Literal["faithcheck.result/1"] = Field(alias="schema")
    """The version of this format."""
    verdict: VerdictName
    """The worst verdict of the checks; INCONCLUSIVE at best where the run was interrupted."""
    interrupted: bool
    """Whether the run was ended before all was done."""
    command: str = ""
    """What one types to make the result again."""
    suite: SuiteData
    """The suite as it was resolved."""
    method: MethodData | None
    """The extraction method; null for a given circuit of no known method."""
    model: ModelData
    """The model under test."""
    tasks: list[TaskData] = []
    """The tasks, with prompts that evidence shows."""
    circuits: list[CircuitResult]
    """The circuits under test."""
    checks: list[CheckResult]
    """A verdict for each check and task."""
    environment: dict[str, Any]
    """Versions, threads and the class of machine."""
    timing: Timing
    """Seconds, in all and for each case."""
    claim: ClaimData | None = None
    """The claim that the run tested again, if any."""

    def circuits_of(self, task: str) -> list[CircuitResult]:
        """In the order of seeds."""
        return [circuit for circuit in self.circuits if circuit.task == task]

    def checks_of(self, task: str) -> list[CheckResult]:
        return [check for check in self.checks if check.task == task]

    def prompts_of(self, task: str) -> list[ShownPrompt]:
        """Those that evidence shows."""
        return next((shown.prompts for shown in self.tasks if shown.name == task), [])

    @model_validator(mode="after")
    def _one_answer_a_question(self) -> Self:
        asked = [(check.check, check.task) for check in self.checks]
        for place, (check, task) in enumerate(asked):
            if (check, task) in asked[:place]:
                raise ValueError(f"check {check!r} stands there twice for task {task!r}")
        return self

    @model_validator(mode="after")
    def _holds_by_its_checks(self) -> Self:
        """Or a report could say that a claim holds above verdicts that are others."""
        found = {check.check: check.verdict for check in self.checks}
        if self.claim is not None and self.claim.holds:
            for name, claimed in self.claim.verdicts.items():
                if found.get(name) != claimed:
                    raise ValueError(f"the claim is said to hold, but not its verdict {claimed} of {name}")
        return self

    @model_validator(mode="after")
    def _worst_of_its_checks(self) -> Self:
        """Or a report could be green above a check that failed."""
        found = of_run((Verdict(check.verdict) for check in self.checks), self.interrupted)
        if self.verdict != found:
            raise ValueError(f"the verdict {self.verdict} is not that of the checks, {found}")
        return self
