"""result.json: the one canonical, versioned output of a run, and the files beside it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faithcheck.files import cannot_write, make_folder, write_whole
from faithcheck.verdict import Verdict, worst

if TYPE_CHECKING:
    from faithcheck.estimate import Estimate
    from faithcheck.events import CheckJudged, CircuitFound
    from faithcheck.judging import Judged

SCHEMA = "faithcheck.result/1"


@dataclass
class Result:
    """What a run found. `out` is the folder that holds result.json, circuits/ and evidence/."""

    out: Path
    suite: Mapping[str, Any]
    method: Mapping[str, Any] | None
    model: Mapping[str, Any]
    environment: Mapping[str, Any]
    circuits: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    timing: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = True

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks; an interrupted run is INCONCLUSIVE at best."""
        verdicts = [Verdict(check["verdict"]) for check in self.checks]
        return worst([*verdicts, Verdict.INCONCLUSIVE] if self.interrupted else verdicts)

    def exit_code(self, allow_inconclusive: bool = False) -> int:
        """0 all gates passed, 1 a gate failed, 3 something crashed, 4 inconclusive or nothing applicable."""
        if self.interrupted:
            return 130
        lenient = 0 if allow_inconclusive else 4
        codes = {Verdict.ERROR: 3, Verdict.FAIL: 1, Verdict.PASS: 0, Verdict.INCONCLUSIVE: lenient}
        return codes.get(self.verdict, lenient)

    def to_data(self) -> dict[str, Any]:
        """The content of result.json."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.value,
            "interrupted": self.interrupted,
            "suite": self.suite,
            "method": self.method,
            "model": self.model,
            "circuits": self.circuits,
            "checks": self.checks,
            "environment": self.environment,
            "timing": self.timing,
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


def _written_before(out: Path) -> Iterator[Path]:
    """The files that the result.json in a folder names, and that file; none where it is no result of ours."""
    try:
        data = json.loads((out / "result.json").read_text())
        if not str(data["schema"]).startswith("faithcheck.result/"):
            return
        named = [circuit["file"] for circuit in data["circuits"]]
        for check in data["checks"]:
            named += [check[key] for key in ("details",) if key in check]
            named += [check["evidence"]["file"]] if "evidence" in check else []
    except (OSError, ValueError, KeyError, TypeError):
        return
    folders = {"circuits", "evidence", "errors"}
    yield from (out / name for name in named if len(Path(name).parts) == 2 and Path(name).parts[0] in folders)
    yield out / "result.json"


def record_circuit(out: Path, found: CircuitFound) -> dict[str, Any]:
    """Save a circuit beside result.json; its entry there."""
    from faithcheck.circuit import save_circuit

    seed = "given" if found.seed is None else f"seed{found.seed}"
    file = f"circuits/{_file_name(found.task)}-{seed}.safetensors"
    (out / "circuits").mkdir(exist_ok=True)
    save_circuit(out / file, found.circuit)
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
    }


def record_check(out: Path, judged: CheckJudged) -> dict[str, Any]:
    """Save a finding's evidence beside result.json; its entry there."""
    finding = judged.finding
    entry: dict[str, Any] = {
        "check": finding.check,
        "task": finding.task,
        "verdict": finding.verdict.value,
        "reason": finding.reason,
        "metrics": [_metric(metric) for metric in finding.metrics],
        "key": judged.key,
    }
    name = f"{_file_name(finding.task)}-{_file_name(finding.check)}"
    if finding.evidence:
        entry["evidence"] = _save_evidence(out, f"evidence/{name}.safetensors", finding.evidence)
    if finding.details:
        (out / "errors").mkdir(exist_ok=True)
        text = finding.details
        (out / "errors" / f"{name}.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        entry["details"] = f"errors/{name}.txt"
    return entry


def _save_evidence(out: Path, file: str, evidence: Mapping[str, Any]) -> dict[str, str]:
    from faithcheck.tensor_file import save_tensors

    (out / "evidence").mkdir(exist_ok=True)
    save_tensors(out / file, evidence)
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
    numbers = {"estimate": estimate.value, "low": estimate.low, "high": estimate.high}
    finite: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    reached = {} if math.isfinite(estimate.value) else {"reached": False}
    return {**finite, **reached, "n": estimate.n}


def _file_name(name: str) -> str:
    """A name as part of a file name: other characters than letters, digits, `-` and `_` become `_`."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name) or "_"
