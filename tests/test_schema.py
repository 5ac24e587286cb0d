"""`faithcheck schema`: what our own files are by it, what it refuses, and that every key is described."""

from __future__ import annotations

import json

import pytest
from claiming import content, folder_of, run
from jsonschema import Draft202012Validator
from test_startup import slow_imports

from faithcheck import plugins
from faithcheck.bundled import bundled_dir
from faithcheck.cli import main
from faithcheck.errors import UserError
from faithcheck.json_schema.documents import DRAFT, KINDS, document
from faithcheck.marked_yaml import load
from faithcheck.references import check_references
from faithcheck.suite import load_suite

DOCUMENTS = {kind: document(kind) for kind in KINDS}
VALIDATORS = {kind: Draft202012Validator(schema) for kind, schema in DOCUMENTS.items()}
SUITES = sorted(bundled_dir().glob("*.yaml"))
TASKS = sorted((bundled_dir() / "tasks").glob("*.yaml"))


def errors(kind, data):
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[kind].iter_errors(data)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_printed_is_a_schema_of_the_draft_it_names(kind, capsys):
    assert main(["schema", kind]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == DOCUMENTS[kind]
    assert printed["$schema"] == DRAFT
    assert printed["title"] == f"faithcheck {kind}"
    Draft202012Validator.check_schema(printed)


@pytest.mark.parametrize(
    ("kind", "file"), [*(("suite", file) for file in SUITES), *(("task", file) for file in TASKS)], ids=lambda x: str(x)
)
def test_the_bundled_files_are_accepted(kind, file):
    assert errors(kind, load(file).data) == []


@pytest.mark.parametrize("kind", ["suite", "task"])
def test_what_init_writes_is_accepted(tmp_path, kind):
    main(["init", kind, "mine", "--dir", str(tmp_path)])
    assert errors(kind, load(tmp_path / "mine.yaml").data) == []


def test_a_claim_and_the_result_of_its_run_are_accepted(tmp_path):
    folder = folder_of(tmp_path, a=content())
    assert errors("claim", load(folder / "a.yaml").data) == []
    assert run(folder, tmp_path / "out") == 0
    data = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    assert data["claim"]["holds"]
    assert errors("result", data) == []
    assert errors("result", {**data, "schema": "faithcheck.result/2"})
    assert errors("result", {**data, "later": 1}) == [], "a later version may add keys"


SUITE = {
    "faithcheck": 1,
    "model": "stories-tiny",
    "tasks": ["pronoun"],
    "method": "sparse_prune",
    "seeds": 1,
    "target_loss": 0.5,
    "checks": ["sufficiency"],
}
GOOD = {
    "a method with parameters": {"method": {"name": "sparse_prune", "steps": 10, "sweep": [1.0, 0.5]}},
    "a method of no known name": {"method": {"name": "some.py:Method", "anything": 1}},
    "a method in its package": {"method": "faithcheck/sparse_prune"},
    "a method with its parameters apart": {"method": {"name": "sparse_prune", "parameters": {"steps": 10}}},
    "no method": {"method": None},
    "listed seeds": {"seeds": [6, 7, 8]},
    "a check with nothing under it": {"checks": [{"layernorm": None}]},
    "a check with gates": {"checks": [{"layernorm": {"gates": {"frozen_loss": "<= target_loss + 0.3"}}}]},
    "a check with its name apart": {"checks": [{"name": "layernorm", "gates": {"frozen_loss": "<= 0.3"}}]},
    "a check of no known name": {"checks": [{"some.py:Check": {"gates": {"x": ">= 1"}, "anything": 1}}]},
    "all that is optional": {
        "name": "x", "about": "x", "ablation": "task_mean", "norms": "frozen", "loss": "binary", "time_limit": 5,
        "memory": 0.5,
    },
}  # fmt: skip
BAD = {
    "an unknown key": {"check": []},
    "a key that is missing": {"model": None},
    "another version": {"faithcheck": 2},
    "true for a version": {"faithcheck": True},
    "no tasks": {"tasks": []},
    "a task twice": {"tasks": ["ioi", "ioi"]},
    "a task that is no list": {"tasks": "ioi"},
    "no seeds": {"seeds": 0},
    "an empty list of seeds": {"seeds": []},
    "a seed twice": {"seeds": [1, 1]},
    "a seed below 0": {"seeds": [-1]},
    "text for seeds": {"seeds": "6"},
    "a target of 0": {"target_loss": 0},
    "an unknown ablation": {"ablation": "none"},
    "unknown norms": {"norms": "dead"},
    "a name with a slash": {"name": "a/b"},
    "no checks": {"checks": []},
    "a check twice": {"checks": ["layernorm", "layernorm"]},
    "text for a time limit": {"time_limit": "1"},
    "no memory": {"memory": 0},
    "more memory than there is": {"memory": 1e300},
    "two checks in one item": {"checks": [{"layernorm": None, "node_roles": None}]},
    "a number for a gate": {"checks": [{"layernorm": {"gates": {"frozen_loss": 0.3}}}]},
    "a gate without an operator": {"checks": [{"layernorm": {"gates": {"frozen_loss": "0.3"}}}]},
    "an unknown metric": {"checks": [{"layernorm": {"gates": {"frozen_los": "<= 0.3"}}}]},
    "an unknown parameter of a check": {"checks": [{"layernorm": {"gate": {}}}]},
    "a list under a check": {"checks": [{"layernorm": []}]},
    "a method without a name": {"method": {"steps": 3}},
    "an unknown parameter of a method": {"method": {"name": "sparse_prune", "step": 3}},
    "a parameter of another type": {"method": {"name": "sparse_prune", "steps": "many"}},
    "a parameter out of range": {"method": {"name": "random", "fraction": 2.0}},
}


def suite_with(changes):
    data = {**SUITE, **changes}
    return {key: value for key, value in data.items() if value is not None or key == "method"}


@pytest.mark.parametrize("case", GOOD)
def test_what_a_suite_may_say_is_accepted_by_the_schema_and_by_the_loader(tmp_path, case):
    data = suite_with(GOOD[case])
    assert errors("suite", data) == []
    (tmp_path / "suite.yaml").write_text(json.dumps(data))
    found = load_suite(str(tmp_path / "suite.yaml"))
    if "no known name" not in case:
        check_references(found)


@pytest.mark.parametrize("case", BAD)
def test_what_a_suite_may_not_say_is_refused_by_the_schema_and_by_the_loader(tmp_path, case):
    data = suite_with(BAD[case])
    assert errors("suite", data)
    (tmp_path / "suite.yaml").write_text(json.dumps(data))
    with pytest.raises(UserError):
        check_references(load_suite(str(tmp_path / "suite.yaml")))


BAD_TASKS = {
    "an unknown key": {"template": []},
    "another version": {"faithcheck_task": 2},
    "no split": {"splits": {}},
    "an unknown split": {"splits": {"train": {}, "validation": {}, "test": {}, "tests": {}}},
    "no shifts": {"shifts": {}},
    "two attributes": {"slots": {"name": {"a": {"x": ["1"]}, "b": {"y": ["2"]}}}},
    "an empty list": {"templates": []},
    "a loss that is none": {"loss": "half"},
}


@pytest.mark.parametrize("case", BAD_TASKS)
def test_what_a_task_may_not_say_is_refused(case):
    data = load(TASKS[0]).data
    assert errors("task", {**data, **BAD_TASKS[case]})


BAD_CLAIMS = {
    "an unknown key": {"gates": {}},
    "no identity": {"identity": None},
    "a short identity": {"identity": "9e3a"},
    "no verdicts": {"verdicts": {}},
    "no checks in what was asked": {"asked": {"target_loss": 0.1}},
    "a verdict that is none": {"verdicts": {"layernorm": "pass"}},
    "a verdict that is none of a check that is not known": {"verdicts": {"x.py:Y": "pass"}},
    "a verdict that nobody claims": {"verdicts": {"layernorm": "ERROR"}},
}


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_what_a_claim_may_not_say_is_refused(case):
    assert errors("claim", content(**BAD_CLAIMS[case]))


def undescribed(part, where="$"):
    """The keys of objects, in a schema, that have no description; `if` and `then` repeat others."""
    if isinstance(part, list):
        for i, item in enumerate(part):
            yield from undescribed(item, f"{where}[{i}]")
    elif isinstance(part, dict):
        for name, key in part.get("properties", {}).items():
            if isinstance(key, dict) and "const" not in key and not key.get("description"):
                yield f"{where}.{name}"
        for name, item in part.items():
            yield from undescribed(item, f"{where}.{name}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_described(kind):
    ours = {f".{name}" for entry in plugins.names("methods") for name in parameters(entry)}
    missing = [key for key in undescribed(DOCUMENTS[kind]) if "." + key.rpartition(".")[2] not in ours]
    assert missing == []


def parameters(entry):
    """The parameters of a method that its author has not described."""
    model = getattr(plugins.load("methods", str(entry)), "Parameters", None)
    return [name for name, field in model.model_fields.items() if not field.description] if model else []


@pytest.mark.parametrize("name", ["suite", "claim"])
def test_known_names_are_offered(name):
    text = json.dumps(DOCUMENTS[name])
    assert all(f'"{word}"' in text for word in ("stories-sparse", "pronoun", "layernorm"))
    check = "does the circuit live on the norms' rescaling"
    assert check in text.lower()


def test_no_schema_waits_for_the_slow_libraries():
    code = f"from faithcheck.cli import main\nassert [main(['schema', kind]) for kind in {KINDS}] == [0] * {len(KINDS)}"
    assert slow_imports(code) == "SLOW []"
