"""A claim from a result: what `faithcheck init claim` writes down."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from faithcheck.bundled import bundled_dir, yaml_names
from faithcheck.claims.asked import asked_of, depends_on_method
from faithcheck.claims.claim import Claimed
from faithcheck.errors import Location, UserError
from faithcheck.marked_yaml import parse_value
from faithcheck.report.reading import LoadedResult, is_inside, load_result
from faithcheck.result_schema import CircuitResult, ResultData, SuiteData
from faithcheck.task import find_task


def claim_of(result: str, folder: Path) -> tuple[dict[str, Any], bytes]:
    """The values of a claim's file that is to lie in `folder`, as YAML, and the bytes of the circuit.

    Verdicts are those of the result that can be claimed; NOT_APPLICABLE and ERROR cannot.
    Raises UserError where the result is not of one given circuit, was interrupted, or lacks something.
    """
    loaded = load_result(result)
    data, place = loaded.data, Location(str(loaded.folder / "result.json"))
    circuit = _circuit(loaded, place)
    task = next((task for task in data.suite.tasks if task.name == circuit.task), None)
    if task is None or task.sha256 is None or not data.suite.model:
        raise UserError("the result does not say what it was run on: it is of an older version", place)
    verdicts = {check.check: check.verdict for check in data.checks if check.verdict in get_args(Claimed)}
    if not verdicts:
        raise UserError("it has no verdict that can be claimed (PASS, FAIL or INCONCLUSIVE)", place)
    values: Mapping[str, str] = {
        "claim": f"A circuit of {circuit.size} nodes for {circuit.task} in {data.model.name}",
        "model": data.suite.model,
        "task": _task(circuit.task, data.suite, folder, place),
        "suite": _suite(data.suite, folder, place),
    }
    hashes = {"identity": circuit.identity, "fingerprint": data.model.fingerprint, "task_sha256": task.sha256}
    quoted: dict[str, Any] = {key: _yaml(value) for key, value in values.items()}
    quoted["asked"] = _asked(data, verdicts)
    quoted["verdicts"] = {_yaml(name): verdict for name, verdict in verdicts.items()}
    return quoted | hashes, _bytes(loaded, circuit)


def _asked(data: ResultData, verdicts: Mapping[str, str]) -> dict[str, Any]:
    """What the suite asked of the checks in `verdicts`, as YAML; of the method only where one of them depends on it."""
    asked = asked_of(data.suite, data.method)
    of_method = {"seeds", "method"} if not depends_on_method(data.suite, verdicts) else set()
    values = asked.model_dump(mode="json", exclude={"checks", *of_method}, exclude_none=True)
    checks = {_yaml(name): json.dumps(what) for name, what in asked.checks.items() if name in verdicts}
    return {"values": {key: json.dumps(value) for key, value in values.items()}, "checks": checks}


def _circuit(loaded: LoadedResult, place: Location) -> CircuitResult:
    circuits = loaded.data.circuits
    if loaded.data.interrupted:
        raise UserError("the run was interrupted; a claim is made from a whole one", place)
    if not circuits:
        raise UserError("the result has no circuit", place)
    if circuits[0].seed is not None or len(circuits) > 1:
        suite, file = loaded.data.suite.file or loaded.data.suite.name, loaded.folder / circuits[0].file
        raise UserError(
            "its verdicts are about an extraction, and a claim is about one circuit; test that by itself first:\n"
            f"`faithcheck run {suite} --circuit {file} --out DIR`, then --result DIR",
            place,
        )
    return circuits[0]


def _suite(suite: SuiteData, folder: Path, place: Location) -> str:
    """The suite's name, or its path from `folder`."""
    if suite.file is None and suite.name in yaml_names(bundled_dir()):
        return suite.name
    if suite.file is None or not Path(suite.file).is_file():
        raise UserError(f"the suite {suite.file or suite.name} is not there; run this where the result was made", place)
    return _from(folder, Path(suite.file))


def _task(name: str, suite: SuiteData, folder: Path, place: Location) -> str:
    """The task's name where a claim finds it by that; else its path from `folder`."""
    near = Path(suite.file) if suite.file is not None else None
    try:
        found = find_task(name, near)
    except UserError as error:
        raise UserError(f"{error.message}; write its file into the suite's folder", place) from None
    return name if found.is_relative_to(bundled_dir()) else _from(folder, found)


def _from(folder: Path, file: Path) -> str:
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()


def _bytes(loaded: LoadedResult, circuit: CircuitResult) -> bytes:
    file = loaded.folder / circuit.file
    if not is_inside(circuit.file):
        raise UserError(f"the circuit {circuit.file} is not beside the result", Location(str(loaded.folder)))
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the circuit: {error.strerror}", Location(str(file))) from None


def _yaml(text: str) -> str:
    """Text as a YAML value: quoted as in JSON where it would else be read as something else."""
    plain = re.fullmatch(r"[A-Za-z.][\w ./-]*\w", text, re.ASCII)
    return text if plain and parse_value(text) == text else json.dumps(text)
