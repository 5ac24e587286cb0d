"""docs/result.md names every key of a result and every tensor of its evidence, and names no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from faithcheck import plugins
from faithcheck.cli import main
from faithcheck.report.reading import load_result
from faithcheck.result_schema import ResultData

PAGE = (Path(__file__).parent.parent / "docs" / "result.md").read_text()
CHECKS = [entry.name for entry in plugins.names("checks") if entry.package == "faithcheck"]
KINDS = {"int": "iu", "float": "f", "bool": "b"}
SUITE = f"""\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: activation_difference
seeds: [3, 5]
target_loss: 0.15
checks: [{", ".join(CHECKS)}]
"""


def rows(heading):
    """The cells of the table under a heading, `### NAME` or with backticks."""
    section = re.split(rf"^##+ `?{re.escape(heading)}`?$", PAGE, flags=re.M)[1]
    section = re.split(r"^##", section, flags=re.M)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def named(cell):
    return re.findall(r"`([^`]+)`", cell)


def keys(heading):
    """The keys that a table has in its first column."""
    return {key for first, *_ in rows(heading) for key in named(first)}


PARTS = {
    "result.json": ((), {}),
    "suite": (("suite",), {"tasks": {"name", "sha256"}, "checks": {"name", "scope", "parameters", "gates", "lines"}}),
    "method": (("method",), {}),
    "model": (("model",), {"sites": {"name", "kind", "layer", "size"}}),
    "tasks": (("tasks",), {"prompts": {"tokens", "target", "distractor"}}),
    "circuits": (("circuits",), {"evidence": {"file", "sha256"}}),
    "checks": (("checks",), {"evidence": {"file", "sha256"}}),
    "metrics": (("checks", "metrics"), {}),
    "timing": (("timing",), {"cases": {"case", "seconds"}}),
    "claim": (("claim",), {"objections": {"sentence", "line"}}),
}


def part(path):
    """The schema's model at a path of keys."""
    model = ResultData
    for key in path:
        model = inside(model.model_fields[key].annotation)
    return model


def inside(annotation):
    found = [annotation, *(deep for each in get_args(annotation) for deep in (each, *get_args(each)))]
    return next(each for each in found if isinstance(each, type) and issubclass(each, BaseModel))


@pytest.mark.parametrize(("heading", "path", "nested"), [(name, *part) for name, part in PARTS.items()], ids=PARTS)
def test_every_key_of_the_schema_is_in_the_table_of_its_part(heading, path, nested):
    fields = part(path).model_fields
    assert {field.alias or name for name, field in fields.items()} <= keys(heading)
    table = {key: rest for first, *rest in rows(heading) for key in named(first)}
    for key, own in nested.items():
        assert own == set(inside(fields[key].annotation).model_fields)
        assert own <= set(named(" ".join(table[key])))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "mine.yaml").write_text(SUITE)
    main(["run", str(folder / "mine.yaml"), "--out", str(folder / "out")])
    return folder / "out"


def test_a_run_writes_no_key_that_no_table_has(run):
    data = json.loads((run / "result.json").read_text())
    written = {name: data if name == "result.json" else data.get(name, {}) for name in PARTS}
    written["metrics"] = [metric for check in data["checks"] for metric in check["metrics"]]
    for heading, found in written.items():
        for each in found if isinstance(found, list) else [found]:
            assert set(each) <= keys(heading), heading


def described(headings):
    """(pattern of the names of a tensor, kind and number of axes) of every row."""
    for heading in headings:
        for names, shape, _ in rows(heading):
            kind, axes = re.fullmatch(r"(\w+)\[(.*)\]", shape).groups()
            for name in named(names):
                parts = re.split(r"\{\w+\}", name)
                yield re.compile(r"[\w.]+".join(map(re.escape, parts))), KINDS[kind], len(axes.split(","))


def undescribed(tensors, headings):
    """The tensors that no row describes, and the rows that describe none."""
    known = list(described(headings))
    used, left = set(), []
    for name, value in tensors.items():
        fits = [
            place
            for place, (pattern, kinds, axes) in enumerate(known)
            if pattern.fullmatch(name) and value.dtype.kind in kinds and value.ndim == axes
        ]
        used.update(fits)
        left += [] if len(fits) == 1 else [(name, str(value.dtype), value.shape, len(fits))]
    return left, [known[place][0].pattern for place in range(len(known)) if place not in used]


@pytest.mark.parametrize("check", CHECKS)
def test_every_tensor_of_a_check_is_described_and_every_one_described_is_there(run, check):
    result = load_result(run)
    found = next(each for each in result.data.checks if each.check == check)
    tensors = result.evidence(found.evidence).tensors
    own = {name: value for name, value in tensors.items() if "/draws/" not in name}
    draws = {name: value for name, value in tensors.items() if "/draws/" in name}
    assert undescribed(own, [check]) == ([], [])
    assert undescribed(draws, ["any check"])[0] == []


def test_every_tensor_of_a_circuit_is_described_and_every_one_described_is_there(run):
    result = load_result(run)
    for circuit in result.data.circuits:
        assert undescribed(result.evidence(circuit.evidence).tensors, ["a circuit"]) == ([], [])
