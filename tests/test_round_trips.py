"""What a run writes is what it found: result.json, its numbers, its evidence and its circuits."""

from __future__ import annotations

import json
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from faithcheck.check import Metric
from faithcheck.circuit import Circuit, load_circuit
from faithcheck.estimate import Estimate
from faithcheck.events import CheckJudged, CircuitFound
from faithcheck.gates import Gate
from faithcheck.judging import Finding, Judged
from faithcheck.report.reading import LoadedResult
from faithcheck.result import Result, record_check, record_circuit
from faithcheck.result_schema import EvidenceFile, ResultData
from faithcheck.verdict import Verdict

few = settings(max_examples=15, deadline=None)
text = st.text(max_size=12)
floats = st.floats(allow_nan=False)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text
)
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(text, plain, max_size=4)


@st.composite
def estimates(draw):
    low, value, high = sorted(draw(st.tuples(floats, floats, floats)))
    return Estimate(value, low, high, draw(st.integers(0, 10**6)))


gates = st.builds(Gate, text, st.sampled_from(["<=", ">=", "<", ">", "=="]), st.floats(-1e6, 1e6))


@st.composite
def judged(draw):
    metric = Metric(
        draw(text), draw(st.none() | estimates()), draw(st.none() | st.integers(0, 99)), draw(st.none() | text)
    )
    gate = draw(st.none() | gates) if metric.estimate is not None else None
    return Judged(metric, gate, gate and gate.judge(metric.estimate))


@st.composite
def findings(draw):
    values = st.lists(st.floats(width=32, allow_nan=False), max_size=4)
    evidence = draw(st.dictionaries(st.text("abc/._0", min_size=1, max_size=8), values, max_size=3))
    return Finding(
        draw(text),
        draw(text),
        draw(st.sampled_from(list(Verdict))),
        draw(text),
        draw(st.lists(judged(), max_size=4)),
        {name: torch.tensor(value) for name, value in evidence.items()},
        draw(st.dictionaries(text, st.lists(text, max_size=2), max_size=2)),
        draw(st.text(st.characters(codec="utf-8"), max_size=20)),
    )


def read_evidence(out, entry):
    data = ResultData.model_construct()
    return LoadedResult(data, out).evidence(EvidenceFile.model_validate(entry))


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def read(path):
    return json.loads(path.read_text(), parse_constant=refuse)


@given(
    suite=tables, method=st.none() | tables, model=tables, environment=tables, found=st.lists(findings(), max_size=3)
)
@few
def test_a_written_result_reads_as_what_was_found(tmp_path_factory, suite, method, model, environment, found):
    out = tmp_path_factory.mktemp("result")
    result = Result(out, suite, method, model, environment, interrupted=False)
    result.checks += [record_check(out, CheckJudged(finding, "key")) for finding in found]
    assert read(result.write()) == result.to_data()
    assert read(out / "result.json")["checks"] == result.checks


def restored(entry):
    """The estimate of a metric's entry, as far as its file says; infinities lost their signs to null."""
    if "n" not in entry:
        return None
    return tuple(entry[name] for name in ("estimate", "low", "high", "n"))


def finite(value):
    return value if math.isfinite(value) else None


@given(finding=findings())
@few
def test_every_number_gate_and_verdict_can_be_read_back(tmp_path_factory, finding):
    out = tmp_path_factory.mktemp("finding")
    result = Result(out, {}, None, {}, {}, checks=[record_check(out, CheckJudged(finding, "key"))])
    [entry] = read(result.write())["checks"]
    assert (entry["check"], entry["task"], entry["reason"]) == (finding.check, finding.task, finding.reason)
    assert Verdict(entry["verdict"]) is finding.verdict
    for row, ours in zip(entry["metrics"], finding.metrics, strict=True):
        e = ours.metric.estimate
        assert (row["name"], row["seed"], row.get("on")) == (ours.metric.name, ours.metric.seed, ours.metric.on)
        assert restored(row) == (None if e is None else (finite(e.value), finite(e.low), finite(e.high), e.n))
        assert row.get("reached", True) == (e is not None and math.isfinite(e.value))
        assert row.get("verdict") == ours.verdict
        assert row.get("gate") == (ours.gate and ours.gate.resolved)


@given(finding=findings())
@few
def test_evidence_and_details_can_be_read_back(tmp_path_factory, finding):
    out = tmp_path_factory.mktemp("evidence")
    entry = record_check(out, CheckJudged(finding, "key"))
    assert ("evidence" in entry, "details" in entry) == (bool(finding.evidence), bool(finding.details))
    if finding.evidence:
        kept = load_file(out / entry["evidence"]["file"])
        assert kept.keys() == finding.evidence.keys()
        assert all(torch.equal(kept[name], value) for name, value in finding.evidence.items())
        if finding.labels:
            assert read_evidence(out, entry["evidence"]).labels == finding.labels
    if finding.details:
        assert (out / entry["details"]).read_bytes().decode() == finding.details


@given(
    keep=st.dictionaries(st.text("ab.0", min_size=1, max_size=5), st.lists(st.booleans(), min_size=1), max_size=3),
    norms=st.sampled_from(["live", "frozen"]),
    provenance=tables,
    loss=st.floats(),
    edges=st.none() | st.integers(0, 99),
)
@few
def test_a_recorded_circuit_can_be_read_back(tmp_path_factory, keep, norms, provenance, loss, edges):
    out = tmp_path_factory.mktemp("circuit")
    circuit = Circuit({site: torch.tensor(kept) for site, kept in keep.items()}, norms=norms, provenance=provenance)
    entry = record_circuit(out, CircuitFound("toy", 3, circuit, edges, loss, True, "key"))
    result = Result(out, {}, None, {}, {}, circuits=[entry])
    [row] = read(result.write())["circuits"]
    found = load_circuit(out / row["file"])
    assert (found.identity, found.size, dict(found.provenance)) == (row["identity"], row["size"], provenance)
    assert found.identity == circuit.identity
    assert (row["edges"], row["loss"]) == (edges, finite(loss))
