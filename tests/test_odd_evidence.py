"""What a check of a stranger gives as evidence, and what it is called, never ends the run or spoils another's files."""

from __future__ import annotations

import pytest
import torch

from faithcheck.check import Measurement, Metric
from faithcheck.cli import main
from faithcheck.estimate import Estimate
from faithcheck.gates import Gate
from faithcheck.judging import judge_circuits
from faithcheck.report.reading import LoadedResult, load_result
from faithcheck.result import _save_evidence
from faithcheck.result_schema import EvidenceFile, ResultData
from faithcheck.verdict import Verdict

ONE = torch.ones(2)
ODD = {
    "a list": ({"x": [1, 2]}, {}),
    "sparse": ({"x": torch.eye(3).to_sparse()}, {}),
    "without values": ({"x": torch.empty(3, device="meta")}, {}),
    "a dtype that is not stored": ({"x": torch.ones(2, dtype=torch.complex128)}, {}),
    "a number as a label": ({"x": ONE}, {"x": [1]}),
    "a tensor as a label": ({"x": ONE}, {"x": [ONE]}),
    "a label that is no text": ({"x": ONE}, {"x": ["\ud800"]}),
    "a name that is no text": ({"x\udfff": ONE}, {}),
    "a number as a name": ({1: ONE}, {}),
    "the name of the file's own part": ({"__metadata__": ONE}, {}),
}


class Mine:
    name, scope, question, gates = "mine", "circuit", "?", {"m": "<= 5"}

    def sentence(self, metric, verdict):
        return "it is"


def judged(evidence, labels):
    measurement = Measurement([Metric("m", Estimate.exact(2, 1), 0)], evidence, labels)
    return judge_circuits(Mine(), "task", {"m": Gate.parse("<= 5", target_loss=0.1)}, [(0, measurement)])


@pytest.mark.parametrize(("evidence", "labels"), ODD.values(), ids=ODD)
def test_evidence_that_could_not_be_kept_is_refused_where_the_check_is_judged(evidence, labels):
    with pytest.raises(TypeError, match="evidence"):
        judged(evidence, labels)


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(3, requires_grad=True).expand(2, 3).T,
        torch.ones(2, 0),
        torch.tensor(1.5),
        torch.tensor([True]),
        torch.ones(2).bfloat16(),
        torch.ones(2).to(torch.float8_e4m3fn),
        torch.ones(2, dtype=torch.complex64),
    ],
    ids=str,
)
def test_what_is_kept_is_read_again(tmp_path, value):
    assert judged({"x": value}, {"x": ["é"]}).verdict is Verdict.PASS
    entry = _save_evidence(tmp_path, "evidence/x.safetensors", {"x": value}, {"x": ["é"]})
    found = LoadedResult(ResultData.model_construct(), tmp_path).evidence(EvidenceFile(**entry))
    assert found.tensors["x"].tolist() == value.tolist()
    assert found.labels == {"x": ["é"]}


PLUGINS = """
import torch
from faithcheck.check import Measurement, Metric
from faithcheck.estimate import Estimate

class Sparse:
    name = "s" * 300
    scope = "circuit"
    gates = {"m": "<= 5"}

    def measure(self, subject):
        return Measurement([Metric("m", Estimate.exact(2, 1), subject.seed)], {"x": torch.eye(2).to_sparse()})

    def sentence(self, metric, verdict):
        return "it is"

class Long(Sparse):
    name = "l" * 300

    def measure(self, subject):
        return Measurement([Metric("m", Estimate.exact(2, 1), subject.seed)], {"x": torch.ones(2)})

class Wordless(Long):
    question = None
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins.py").write_text(PLUGINS)

    def run(*checks):
        listed = "".join(f"  - plugins.py:{check}\n" for check in checks)
        head = "faithcheck: 1\nmodel: stories-tiny\ntasks: [pronoun]\nmethod: full\nseeds: 1\ntarget_loss: 0.15\n"
        (tmp_path / "mine.yaml").write_text(f"{head}checks:\n{listed}")
        return main(["run", "mine.yaml", "--out", "out"])

    return run


def test_a_check_of_odd_evidence_is_an_error_and_the_others_have_their_verdicts(run):
    """These have no question either, and names that no file can have."""
    assert run("Sparse", "Long") == 3
    found = load_result("out")
    assert not found.data.interrupted
    assert [check.verdict for check in found.data.checks] == ["FAIL", "ERROR", "PASS"]
    assert found.evidence(found.data.checks[2].evidence).tensors["0/x"].tolist() == [1, 1]


def test_a_check_whose_question_is_no_text_is_refused_before_anything_runs(run, tmp_path, capsys):
    assert run("Wordless") == 3
    assert "`question` is None, which is no text" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
