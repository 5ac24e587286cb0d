"""result.json: the one canonical, versioned output of a run, and the files beside it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faithcheck.errors import UserError
from faithcheck.files import cannot_write, file_name, make_folder, write_whole
from faithcheck.report.formats import FILES as REPORT_FILES
from faithcheck.result_schema import SCHEMA
from faithcheck.verdict import Verdict, exit_code, of_run

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck.estimate import Estimate
    from faithcheck.events import CheckJudged, CircuitFound
    from faithcheck.judging import Judged


@dataclass
class Result:
    """What a run found. `out` is the folder that holds result.json, circuits/ and evidence/."""

    out: Path
    suite: Mapping[str, Any]
    method: Mapping[str, Any] | None
    model: Mapping[str, Any]
    environment: Mapping[str, Any]
    tasks: Sequence[Mapping[str, Any]] = ()
    command: str = ""
    circuits: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    timing: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = True
    claim: Mapping[str, Any] | None = None
    """The claim that the run tested again, and whether it holds."""

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks; an interrupted run is INCONCLUSIVE at best."""
        return of_run((Verdict(check["verdict"]) for check in self.checks), self.interrupted)

    def exit_code(self, allow_inconclusive: bool = False) -> int:
        return exit_code(self.verdict, self.interrupted, allow_inconclusive)

    def to_data(self) -> dict[str, Any]:
        """The content of result.json."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.value,
            "interrupted": self.interrupted,
            "command": self.command,
            "suite": self.suite,
            "method": self.method,
            "model": self.model,
            "tasks": list(self.tasks),
            "circuits": self.circuits,
            "checks": self.checks,
            "environment": self.environment,
            "timing": self.timing,
            **({} if self.claim is None else {"claim": self.claim}),
        }

    def write(self) -> Path:
        """Write result.json, whole or not at all."""
        path = self.out / "result.json"
        write_whole(path, json.dumps(self.to_data(), indent=1, allow_nan=False) + "\n")
        return path


def prepare(out: Path) -> None:
    """Make the output folder; what an earlier run wrote there is removed. Raises UserError where it cannot be made."""
    make_folder(out, "results")
    try:
        for file in _written_before(out):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(out, "results", error) from None


def refuse_replaced(circuit: Path, out: Path) -> None:
    """Raises UserError where `prepare` would remove the file of the circuit that is to be tested."""
    if any(file.exists() and file.samefile(circuit) for file in _written_before(out)):
        where = f"{circuit} is of the results in {out}"
        raise UserError(f"{where}, which this run replaces; give another --out, or a copy of it")


def _written_before(out: Path) -> Iterator[Path]:
    """The files that the result.json in a folder names, its reports, and that file; none where it is no result of
    ours."""
    try:
        data = json.loads((out / "result.json").read_text())
        if not str(data["schema"]).startswith("faithcheck.result/"):
            return
        named = [circuit["file"] for circuit in data["circuits"]]
        named += [check["details"] for check in data["checks"] if "details" in check]
        named += [of["evidence"]["file"] for of in (*data["circuits"], *data["checks"]) if of.get("evidence")]
    except (OSError, ValueError, KeyError, TypeError):
        return
    folders = {"circuits", "evidence", "errors"}
    yield from (out / name for name in named if len(Path(name).parts) == 2 and Path(name).parts[0] in folders)
    yield from (out / name for name in REPORT_FILES.values())
    yield out / "result.json"


def record_circuit(out: Path, found: CircuitFound) -> dict[str, Any]:
    """Save a circuit and what it is drawn from beside result.json; its entry there."""
    from faithcheck.circuit import save_circuit

    name = f"{file_name(found.task)}-{'given' if found.seed is None else f'seed{found.seed}'}"
    file = f"circuits/{name}.safetensors"
    (out / "circuits").mkdir(exist_ok=True)
    save_circuit(out / file, found.circuit)
    drawn: dict[str, Any] = {"undrawn": found.undrawn} if found.undrawn else {}
    if found.evidence:
        drawn["evidence"] = _save_evidence(out, f"evidence/{name}.safetensors", found.evidence)
    return {
        "task": found.task,
        "seed": found.seed,
        "size": found.circuit.size,
        "edges": found.edges,
        "loss": found.loss if math.isfinite(found.loss) else None,
        "reached": found.reached,
        "file": file,
        "identity": found.circuit.identity,
        "key": found.key,
        **drawn,
    }


def record_check(out: Path, judged: CheckJudged) -> dict[str, Any]:
    """Save a finding's evidence beside result.json; its entry there."""
    finding = judged.finding
    entry: dict[str, Any] = {
        "check": finding.check,
        "task": finding.task,
        "verdict": finding.verdict.value,
        "reason": finding.reason,
        "question": judged.question,
        "metrics": [_metric(metric) for metric in finding.metrics],
        "key": judged.key,
    }
    name = f"{file_name(finding.task)}.{file_name(finding.check)}"
    evidence = {**finding.evidence, **_draws(finding.metrics)}
    if evidence:
        entry["evidence"] = _save_evidence(out, f"evidence/{name}.safetensors", evidence, finding.labels)
    if finding.details:
        (out / "errors").mkdir(exist_ok=True)
        text = finding.details
        (out / "errors" / f"{name}.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        entry["details"] = f"errors/{name}.txt"
    return entry


def _draws(metrics: Sequence[Judged]) -> dict[str, Tensor]:
    """`{seed}/draws/{metric}`, or `{seed}/draws/{metric}@{on}`: `Estimate.draws`, float32[draw + unit]."""
    import torch

    draws = {}
    for metric in (judged.metric for judged in metrics):
        if metric.estimate is not None and metric.estimate.draws is not None:
            seed = "" if metric.seed is None else f"{metric.seed}/"
            on = "" if metric.on is None else f"@{metric.on}"
            draws[f"{seed}draws/{metric.name}{on}"] = torch.from_numpy(metric.estimate.draws).float()
    return draws


def _save_evidence(
    out: Path, file: str, evidence: Mapping[str, Tensor], labels: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """With `labels` as metadata. Floats that NumPy does not read, such as bfloat16, become float32."""
    import torch

    from faithcheck.tensor_file import save_tensors

    (out / "evidence").mkdir(exist_ok=True)
    known = (torch.float16, torch.float32, torch.float64)
    odd = {name for name, value in evidence.items() if value.is_floating_point() and value.dtype not in known}
    read = {name: value.float() if name in odd else value for name, value in evidence.items()}
    words = {name: list(texts) for name, texts in (labels or {}).items()}
    save_tensors(out / file, read, {"labels": json.dumps(words, sort_keys=True)} if words else None)
    return {"file": file, "sha256": hashlib.sha256((out / file).read_bytes()).hexdigest()}


def _metric(judged: Judged) -> dict[str, Any]:
    metric = judged.metric
    entry: dict[str, Any] = {"name": metric.name, "seed": metric.seed}
    if metric.on is not None:
        entry["on"] = metric.on
    entry |= _numbers(metric.estimate)
    if judged.gate is not None and judged.verdict is not None:
        entry |= {"gate": judged.gate.resolved, "verdict": judged.verdict.value}
    return entry


def _numbers(estimate: Estimate | None) -> dict[str, Any]:
    """JSON has no Infinity: what was never reached is null, with `reached: false`."""
    if estimate is None:
        return {"estimate": None, "reached": False}
    numbers = {"estimate": float(estimate.value), "low": float(estimate.low), "high": float(estimate.high)}
    finite: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    reached = {} if math.isfinite(estimate.value) else {"reached": False}
    return {**finite, **reached, "n": int(estimate.n)}
