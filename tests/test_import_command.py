"""`faithcheck import FILE --model REF`: what it writes and prints, its exit codes, and a run on what it wrote."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from importing import MODEL_FILE, TINY, graph, masks, write_json

from faithcheck.circuit import load_circuit
from faithcheck.cli import main

LEFT_OUT = "no node is listed of attn_in, attn_k, attn_v, attn_out, mlp_in, mlp_out, so all of these are ablated"
LIST = {"0.attn_q": [5, 7], "1.mlp_neuron": [23]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a model and a list of three of its nodes."""
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(MODEL_FILE)
    write_json(Path("found.json"), LIST)
    return tmp_path


def run(*args):
    return main(["import", *args, "--model", "model.py:tiny"])


def test_it_writes_a_circuit_file_and_prints_how_to_test_it_and_what_it_leaves_out(folder, capsys):
    assert run("found.json") == 0
    line = (
        "3 nodes at 2 sites, zero ablation: wrote found.circuit.safetensors; test it: faithcheck run quick "
        "--model model.py:tiny --circuit found.circuit.safetensors --set 'tasks=[TASK]'\n"
    )
    note = (
        "note: no node is listed of attn_in, attn_k, attn_v, attn_out, mlp_in, mlp_out, so all of these are ablated\n"
    )
    assert capsys.readouterr().out == line + note
    circuit = load_circuit(Path("found.circuit.safetensors"))
    assert {site: k.nonzero().flatten().tolist() for site, k in circuit.keep.items() if k.any()} == LIST
    assert (circuit.ablation.kind, circuit.norms, len(circuit.keep)) == ("zero", "live", 16)


def test_the_circuit_says_where_it_is_from(folder):
    from small_models import small_model

    from faithcheck.task import load_task

    assert run("found.json", "--task", "pronoun", "--norms", "frozen", "--out", "new/folder/c.safetensors") == 0
    circuit = load_circuit(Path("new/folder/c.safetensors"))
    assert circuit.norms == "frozen"
    assert circuit.provenance == {
        "imported_from": "found.json",
        "format": "node list",
        "model": "plain 0",
        "fingerprint": small_model().fingerprint,
        "task": "pronoun",
        "task_sha256": load_task("pronoun").fingerprint,
        "remark": LEFT_OUT,
    }
    circuit.check_fits(small_model())


def test_a_list_with_a_node_of_every_kind_of_site_has_no_remark(folder, capsys):
    write_json(Path("found.json"), [[f"{'01'[kind in ('attn_q', 'mlp_in')]}.{kind}", 0] for kind in TINY])
    assert run("found.json") == 0
    assert "note" not in capsys.readouterr().out
    assert "remark" not in load_circuit(Path("found.circuit.safetensors")).provenance


def test_a_circuit_without_a_task_has_none_in_its_provenance(folder):
    assert run("found.json") == 0
    assert "task" not in load_circuit(Path("found.circuit.safetensors")).provenance


@pytest.mark.parametrize("form", ["graph", "masks"])
def test_other_formats_are_imported_by_the_same_command(folder, form):
    if form == "graph":
        write_json(Path("c.x"), graph(["a0.h1"]))
    else:
        torch.save({**masks(), "layer0_attn_q": torch.ones(16)}, "c.x")
    assert run("c.x") == 0
    assert load_circuit(Path("c.circuit.safetensors")).size == {"graph": 16 + 3 * 4 + 16, "masks": 16}[form]


def test_what_the_nodes_cannot_say_is_printed_and_kept(folder, capsys):
    Path("grouped.py").write_text("from importing import Grouped\n\n\ndef grouped(device):\n    return Grouped()\n")
    write_json(Path("c.json"), {"nodes": {"a0.h2": True}})
    assert main(["import", "c.json", "--model", "grouped.py:grouped"]) == 0
    _, note = capsys.readouterr().out.splitlines()
    remark = load_circuit(Path("c.circuit.safetensors")).provenance["remark"]
    assert note == f"note: {remark}"
    assert remark.startswith("a0.h3: outside the graph")


def test_importing_twice_gives_the_same_file(folder):
    assert run("found.json") == 0
    first = Path("found.circuit.safetensors").read_bytes()
    assert run("found.json") == 0
    assert Path("found.circuit.safetensors").read_bytes() == first


# Arguments, and what the error says.
BAD = {
    "unknown model": (["found.json", "--model", "stories-tinny"], "did you mean 'stories-tiny'?"),
    "no model": (["found.json"], "--model"),
    "unknown task": (["found.json", "--model", "model.py:tiny", "--task", "pronuon"], "did you mean 'pronoun'?"),
    "unknown norms": (["found.json", "--model", "model.py:tiny", "--norms", "warm"], "warm"),
    "missing file": (["gone.json", "--model", "model.py:tiny"], "gone.json: cannot read the circuit"),
    "bad list": (["bad.json", "--model", "model.py:tiny"], "bad.json: entry 1: unknown site '0.attn_z'"),
    "over itself": (["found.json", "--model", "model.py:tiny", "--out", "./found.json"], "written over the file"),
    "out is a folder": (["found.json", "--model", "model.py:tiny", "--out", "taken"], "taken: cannot write"),
    "out below a file": (["found.json", "--model", "model.py:tiny", "--out", "bad.json/c"], "cannot write"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_argument_is_refused_with_exit_code_2_and_nothing_is_written(folder, capsys, case):
    args, message = BAD[case]
    write_json(Path("bad.json"), [["0.attn_z", 1]])
    Path("taken").mkdir()
    before = sorted(folder.rglob("*.safetensors"))
    try:
        code = main(["import", *args])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert "Traceback" not in error
    assert sorted(folder.rglob("*.safetensors")) == before
    assert json.loads(Path("found.json").read_text()) == LIST


def test_what_is_printed_next_tests_the_circuit_of_a_bundled_model(tmp_path, monkeypatch, capsys):
    """A list of all neurons and all sites of layer 0 of the bundled stories-tiny, imported and judged as printed."""
    from faithcheck.loading import load_model

    monkeypatch.chdir(tmp_path)
    model = load_model("stories-tiny")
    nodes = [[name, node] for name, site in model.sites.items() if site.layer == 0 for node in range(site.size)]
    write_json(Path("half of it.json"), nodes)
    assert main(["import", "half of it.json", "--model", "stories-tiny", "--task", "questions"]) == 0
    printed = capsys.readouterr().out
    _, _, command = printed.partition("test it: ")
    name, *args = shlex.split(command)
    checks = ["--set", "checks=[sufficiency, layernorm]", "--set", "seeds=1"]
    code = main([*args, *checks, "--out", "out"])
    result = json.loads(Path("out/result.json").read_text())
    assert name == "faithcheck"
    assert code == {"FAIL": 1, "PASS": 0, "INCONCLUSIVE": 4}[result["verdict"]]
    [circuit] = result["circuits"]
    assert (circuit["task"], circuit["size"]) == ("questions", len(nodes))
    assert {check["check"] for check in result["checks"]} == {"sufficiency", "layernorm"}
    assert load_circuit(Path("half of it.circuit.safetensors")).identity == circuit["identity"]
