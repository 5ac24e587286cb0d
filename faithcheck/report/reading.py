"""Reading result.json and its evidence again: what every renderer starts from. No torch, no model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from faithcheck.errors import Location, UserError
from faithcheck.result_schema import SCHEMA, EvidenceFile, ResultData
from faithcheck.text import one_line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[np.generic]]


_LABELS = TypeAdapter(dict[str, list[str]])


class EvidenceLost(Exception):
    """An evidence file that is not there, or not the one that result.json names. The message is for a reader."""


@dataclass(frozen=True)
class Evidence:
    """The tensors of an evidence file, and the names that go with them, {name: texts}."""

    tensors: Arrays
    labels: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedResult:
    """A result that was read; `folder` is where its evidence lies."""

    data: ResultData
    folder: Path

    def evidence(self, named: EvidenceFile) -> Evidence:
        """Raises EvidenceLost where the file is missing, damaged, or another than when the result was written."""
        return _read_evidence(self.folder, named)


def load_result(path: str | Path) -> LoadedResult:
    """Read a result.json, given as a file or as its folder.

    Raises UserError, naming the file, where it cannot be read, is of an unknown schema, or is damaged.
    """
    file = Path(path)
    file = file / "result.json" if file.is_dir() else file
    data = _json(file)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        found = f"the schema {schema[:80]!r}" if isinstance(schema, str) else "no schema"
        raise UserError(f"{found}; this version of faithcheck reads {SCHEMA}", Location(str(file)))
    try:
        return LoadedResult(ResultData.model_validate(data), file.parent)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where, what = one_line(".".join(map(str, first["loc"]))), first["msg"].removeprefix("Value error, ")
        raise UserError(f"damaged{where and f' at {where}'}: {what}", Location(str(file))) from None


def _json(file: Path) -> Any:
    place = Location(str(file))
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise UserError("no such file; give a result.json, or the folder of a run", place) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", place) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"is not JSON: {error}", place) from None


def _refuse(constant: str) -> None:
    raise ValueError(f"it has {constant}")


def is_inside(file: str) -> bool:
    """Whether a path that a result names stays in its folder."""
    return not Path(file).is_absolute() and ".." not in Path(file).parts


def _read_evidence(folder: Path, named: EvidenceFile) -> Evidence:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    file = folder / named.file
    if not is_inside(named.file):
        raise EvidenceLost(f"the evidence file {named.file} is not beside the result")
    try:
        data = file.read_bytes()
    except (OSError, ValueError):
        raise EvidenceLost(f"the evidence file {named.file} is not there") from None
    if hashlib.sha256(data).hexdigest() != named.sha256:
        raise EvidenceLost(f"the evidence file {named.file} is not the one of this run: its SHA-256 differs")
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        labels = _labels(header.get("__metadata__", {}).get("labels", "{}"), named)
        return Evidence(dict(load(data)), labels)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceLost(f"the evidence file {named.file} cannot be read: {error}") from None


def _labels(text: str, named: EvidenceFile) -> dict[str, list[str]]:
    try:
        return _LABELS.validate_json(text)
    except ValidationError:
        raise EvidenceLost(f"the evidence file {named.file} cannot be read: its labels are no lists of text") from None
