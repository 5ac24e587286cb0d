"""Suites: what is accepted, and how what is not is refused."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faithcheck.bundled import bundled_dir
from faithcheck.errors import UserError
from faithcheck.suite import LoadedSuite, Suite, load_suite

GOOD = """\
faithcheck: 1
model: stories-sparse
tasks: [pronoun, ioi]
method: {name: sparse_prune, steps: 1000, k_coef: 1e-3}
seeds: 6
target_loss: 0.15
checks:
  - sufficiency
  - nonsense_control: {gates: {size_ratio: ">= 10"}, draws: 3}
  - layernorm:
      gates:
        frozen_loss: "<= 0.3"
  - node_roles
"""


def _load(tmp_path: Path, text: str, *overrides: str) -> LoadedSuite:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return load_suite(str(file), overrides)


def _refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        _load(tmp_path, text, *overrides)
    return str(caught.value).replace(str(tmp_path / "mine.yaml"), "mine.yaml")


def test_a_suite_is_read_as_written(tmp_path: Path) -> None:
    suite = _load(tmp_path, GOOD).suite
    assert (suite.name, suite.ablation, suite.norms, suite.loss) == ("mine", "zero", "live", None)
    assert suite.method is not None
    assert suite.method.parameters == {"steps": 1000, "k_coef": 1e-3}
    assert [check.name for check in suite.checks] == [
        "sufficiency",
        "nonsense_control",
        "layernorm",
        "node_roles",
    ]
    assert suite.checks[1].gates == {"size_ratio": ">= 10"}
    assert suite.checks[1].parameters == {"draws": 3}


def test_a_validated_suite_validates_again_from_its_own_dump(tmp_path: Path) -> None:
    suite = _load(tmp_path, GOOD).suite
    assert Suite.model_validate(suite.model_dump(mode="json")) == suite


def test_sufficiency_runs_first_where_it_is_not_listed_and_stays_where_it_is(tmp_path: Path) -> None:
    unlisted = _load(tmp_path, GOOD.replace("  - sufficiency\n", "")).suite
    moved = _load(tmp_path, GOOD.replace("  - sufficiency\n", "") + "  - sufficiency\n").suite
    assert [check.name for check in unlisted.checks].index("sufficiency") == 0
    assert [check.name for check in moved.checks].index("sufficiency") == 3


def test_a_check_with_nothing_under_its_name_is_the_bare_check(tmp_path: Path) -> None:
    assert _load(tmp_path, GOOD + "  - stability:\n").suite.checks[-1].model_dump() == {
        "name": "stability",
        "gates": {},
        "parameters": {},
    }


def test_a_method_can_be_a_name_alone_or_left_out(tmp_path: Path) -> None:
    line = "method: {name: sparse_prune, steps: 1000, k_coef: 1e-3}\n"
    named = _load(tmp_path, GOOD.replace(line, "method: full\n")).suite.method
    assert named is not None
    assert (named.name, named.parameters) == ("full", {})
    assert _load(tmp_path, GOOD.replace(line, "")).suite.method is None


# What replaces what in GOOD, the line that must be named, and words that must be said.
_BAD: list[tuple[str, str, int, str]] = [
    ("faithcheck: 1", "faithcheck: 2", 1, "faithcheck: found 2; allowed: 1"),
    ("faithcheck: 1", "faithcheck: true", 1, "faithcheck: found true; allowed: 1"),
    ("faithcheck: 1", "faithcheck: '1'", 1, "faithcheck: found '1'; allowed: 1"),
    ("faithcheck: 1\n", "", 1, "faithcheck: missing"),
    ("seeds: 6", "sedes: 6", 5, "sedes: unknown key; allowed: faithcheck, "),
    ("seeds: 6", "sedes: 6", 5, "did you mean 'seeds'?"),
    ("seeds: 6", "seeds: six", 5, "seeds: found 'six'; allowed: a whole number"),
    ("seeds: 6", "seeds: true", 5, "seeds: found true; allowed: a whole number"),
    ("seeds: 6", "seeds: 6.0", 5, "seeds: found 6.0; allowed: a whole number"),
    ("seeds: 6", "seeds: '6'", 5, "seeds: found '6'; allowed: a whole number"),
    ("seeds: 6", "seeds: 0", 5, "seeds: found 0; allowed: a whole number of 1 or more, or a list of seeds such as"),
    ("seeds: 6", "seeds: []", 5, "seeds: found a list (empty); allowed: a whole number of 1 or more, or a list"),
    ("seeds: 6", "seeds: [1, -1]", 5, "seeds: found [1, -1]; allowed: a whole number of 1 or more, or a list"),
    ("seeds: 6", f"seeds: [1, {2**63}]", 5, f"seeds: found [1, {2**63}]; allowed: a whole number of 1 or more, or a"),
    ("seeds: 6", f"seeds: {2**63}", 5, f"seeds: found {2**63}; allowed: a whole number of 1 or more, or a list"),
    ("seeds: 6", "seeds: [1, x]", 5, "seeds: found [1, 'x']; allowed: a whole number of 1 or more, or a list"),
    ("seeds: 6", "seeds: [2, 3, 2]", 5, "seeds: 2 is listed twice"),
    ("seeds: 6", "seeds:", 5, "seeds: found nothing; allowed: a whole number"),
    ("0.15", "0", 6, "target_loss: found 0; allowed: more than 0"),
    ("0.15", ".inf", 6, "target_loss: found inf; allowed: a finite number"),
    ("0.15", ".nan", 6, "target_loss: found nan; allowed: "),
    ("0.15", "true", 6, "target_loss: found true; allowed: a number"),
    ("0.15", "low", 6, "target_loss: found 'low'; allowed: a number"),
    ("[pronoun, ioi]", "[]", 3, "tasks: found a list (empty); allowed: 1 or more"),
    ("[pronoun, ioi]", "pronoun", 3, "tasks: found 'pronoun'; allowed: a list"),
    ("[pronoun, ioi]", "[pronoun, pronoun]", 3, "tasks: 'pronoun' is listed twice"),
    ("[pronoun, ioi]", "[pronoun,\n  3]", 4, "tasks[1]: found 3; allowed: text"),
    (
        "seeds: 6",
        "seeds: 6\nablation: zeros",
        6,
        "allowed: 'zero', 'mean', 'task_mean' or 'resample'; did you mean 'zero'?",
    ),
    ("seeds: 6", "seeds: 6\nnorms: off", 6, "norms: found 'off'; allowed: 'live' or 'frozen'"),
    ("seeds: 6", "seeds: 6\nloss: ful", 6, "did you mean 'full'?"),
    ("name: sparse_prune, ", "", 4, "method.name: missing"),
    ("{name: sparse_prune, steps: 1000, k_coef: 1e-3}", "[a]", 4, "method: found a list; allowed: NAME or"),
    ("stories-sparse", "''", 2, "model: found ''; allowed: text of 1 characters or more"),
    ("  - node_roles", "  - node_roles\n  - sufficiency", 8, "checks: 'sufficiency' is listed twice"),
    ("  - node_roles", "  - 3", 13, "checks[3]: found 3; allowed: NAME or {NAME: {gates: ...}}"),
    ("  - node_roles", "  - {}", 13, "checks[3]: found keys and values (empty); allowed: NAME or"),
    ("  - node_roles", "  - a:\n    gates: {}", 13, "checks[3]: found the keys a, gates; allowed: NAME or"),
    ("  - node_roles", "  - node_roles: 3", 13, "checks.node_roles: found 3; allowed: keys and values"),
    ('"<= 0.3"', "0.3", 12, "checks.layernorm.gates.frozen_loss: found 0.3; allowed: text"),
    (
        '{size_ratio: ">= 10"}',
        "[x]",
        9,
        "checks.nonsense_control.gates: found a list; allowed: keys and values",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "fragment"), _BAD)
def test_a_bad_suite_is_refused_with_line_key_what_was_found_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, line: int, fragment: str
) -> None:
    assert old in GOOD
    said = _refusal(tmp_path, GOOD.replace(old, new, 1))
    assert said.startswith(f"mine.yaml:{line}: ")
    assert fragment in said
    assert "\n" not in said


def test_everything_wrong_is_said_at_once_by_line_and_five_at_most(tmp_path: Path) -> None:
    bad = GOOD.replace("seeds: 6", "seeds: 0").replace("0.15", "-1").replace("tasks: [pronoun, ioi]", "task: a")
    said = _refusal(tmp_path, bad).splitlines()
    assert [line.split(" ")[:2] for line in said] == [
        ["mine.yaml:3:", "task:"],
        ["mine.yaml:5:", "seeds:"],
        ["mine.yaml:6:", "target_loss:"],
    ]
    worse = bad.replace("model: ", "modle: ").replace('"<= 0.3"', "0.3") + "ablation: none\nnorms: none\n"
    said = _refusal(tmp_path, worse).splitlines()
    assert (len(said), said[-1]) == (6, "and 2 more")


def _sparse_prune(**changed: object) -> dict[str, object]:
    return {"name": "sparse_prune", "parameters": {"steps": 1000, "k_coef": 1e-3, **changed}}


_OVERRIDES = [
    ("seeds=2", "seeds", 2),
    ("target_loss=1e-1", "target_loss", 0.1),
    ("tasks=[questions]", "tasks", ["questions"]),
    ("model=lens:gpt2", "model", "lens:gpt2"),
    ("method=full", "method", {"name": "full", "parameters": {}}),
    ("method.steps=300", "method", _sparse_prune(steps=300)),
    ("method.name=full", "method", {**_sparse_prune(), "name": "full"}),
    ("method.a.b=off", "method", _sparse_prune(a={"b": "off"})),
]


@pytest.mark.parametrize(("override", "field", "value"), _OVERRIDES)
def test_an_override_replaces_what_it_names(tmp_path: Path, override: str, field: str, value: object) -> None:
    plain, changed = (
        _load(tmp_path, GOOD).suite.model_dump(),
        _load(tmp_path, GOOD, override).suite.model_dump(),
    )
    assert changed[field] == value
    assert {k: v for k, v in changed.items() if k != field} == {k: v for k, v in plain.items() if k != field}


_CHECK_OVERRIDES = [
    ("checks.layernorm.gates.frozen_loss=<= 0.1", "layernorm", {"frozen_loss": "<= 0.1"}, {}),
    ("checks.node_roles.gates.consistent_mass=>= 0.9", "node_roles", {"consistent_mass": ">= 0.9"}, {}),
    ("checks.node_roles.gates.flipped_nodes=== 0", "node_roles", {"flipped_nodes": "== 0"}, {}),
    ("checks.node_roles.gates.flipped_nodes='== 0'", "node_roles", {"flipped_nodes": "== 0"}, {}),
    ("checks.nonsense_control.draws=7", "nonsense_control", {"size_ratio": ">= 10"}, {"draws": 7}),
    (
        "checks.nonsense_control.other=[1, 2]",
        "nonsense_control",
        {"size_ratio": ">= 10"},
        {"draws": 3, "other": [1, 2]},
    ),
    ("checks.layernorm.gates={x: < 1}", "layernorm", {"x": "< 1"}, {}),
    ("checks.layernorm={depth: 2}", "layernorm", {}, {"depth": 2}),
]


@pytest.mark.parametrize(("override", "check", "gates", "parameters"), _CHECK_OVERRIDES)
def test_an_override_finds_a_check_by_its_name(
    tmp_path: Path, override: str, check: str, gates: dict[str, str], parameters: dict[str, object]
) -> None:
    checks = {entry.name: entry for entry in _load(tmp_path, GOOD, override).suite.checks}
    assert (checks[check].gates, checks[check].parameters) == (gates, parameters)
    assert len(checks) == 4


def test_an_override_reaches_sufficiency_where_it_is_not_listed(tmp_path: Path) -> None:
    text = GOOD.replace("  - sufficiency\n", "")
    checks = _load(tmp_path, text, "checks.sufficiency.gates.loss=<= 1").suite.checks
    assert (checks[0].name, checks[0].gates, len(checks)) == ("sufficiency", {"loss": "<= 1"}, 4)


def test_an_override_finds_a_check_whose_name_has_dots(tmp_path: Path) -> None:
    text = GOOD + "  - checks/mine.py:Mine\n"
    check = _load(tmp_path, text, "checks.checks/mine.py:Mine.gates.x=> 1").suite.checks[-1]
    assert (check.name, check.gates) == ("checks/mine.py:Mine", {"x": "> 1"})


def test_the_last_override_of_a_key_counts_and_later_ones_see_earlier_ones(tmp_path: Path) -> None:
    suite = _load(tmp_path, GOOD, "seeds=2", "method=full", "method.width=3", "seeds=4").suite
    assert suite.seeds == 4
    assert list(suite.seed_numbers) == [0, 1, 2, 3]
    assert suite.method is not None
    assert (suite.method.name, suite.method.parameters) == ("full", {"width": 3})


def test_seeds_may_be_listed(tmp_path):
    assert list(_load(tmp_path, GOOD, "seeds=[9, 4]").suite.seed_numbers) == [9, 4]


def test_an_override_leaves_what_was_written_as_it_was(tmp_path: Path) -> None:
    changed = _load(tmp_path, GOOD, "checks.layernorm.gates.frozen_loss=<= 1", "method.steps=2", "seeds=9")
    assert changed.marked.data == _load(tmp_path, GOOD).marked.data


_BAD_OVERRIDES = [
    ("seeds", "--set seeds: expected KEY=VALUE"),
    ("chekcs.a.gates.x=1", "--set chekcs.a.gates.x: unknown key 'chekcs'; did you mean 'checks'?"),
    ("=3", "unknown key ''; allowed: faithcheck, "),
    ("checks.layernrom.gates.x=1", "the suite has no check 'layernrom'; did you mean 'layernorm'?"),
    ("checks.=1", "the suite has no check ''"),
    ("method.=1", "--set method.: the key has an empty part"),
    ("method.steps.deep=1", "--set: what stands above 'deep' has no keys"),
    ("tasks.0=x", "--set tasks.0: 'tasks' has no keys of its own"),
    ("seeds=six", "--set: seeds: found 'six'; allowed: a whole number"),
    ("seeds=", "--set: seeds: found nothing"),
    ("seeds=[1", "--set: seeds: found '[1'; allowed: a whole number"),
    ("checks.layernorm.gates.a=3", "--set: checks.layernorm.gates.a: found 3; allowed: text"),
    ("checks=[]", "--set: checks: found a list (empty)"),
]


@pytest.mark.parametrize(("override", "fragment"), _BAD_OVERRIDES)
def test_a_bad_override_is_refused_by_name(tmp_path: Path, override: str, fragment: str) -> None:
    said = _refusal(tmp_path, GOOD, override)
    assert said.startswith("--set")
    assert fragment in said
    assert "\n" not in said


def test_a_parameter_of_no_method_is_refused(tmp_path: Path) -> None:
    text = re.sub(r"method: .*\n", "", GOOD)
    assert _refusal(tmp_path, text, "method.steps=3") == "--set method.steps: the suite names no method"


def test_an_override_of_a_broken_list_of_checks_does_not_hide_it(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("checks:")] + "checks: layernorm\n"
    assert "no check 'sufficiency'" in _refusal(tmp_path, text, "checks.sufficiency.gates.loss=<= 1")


def test_a_loaded_suite_knows_where_everything_was_written(tmp_path: Path) -> None:
    loaded = _load(tmp_path, GOOD.replace("  - sufficiency\n", ""), "checks.layernorm.gates.frozen_loss=<= 1")
    file = str(tmp_path / "mine.yaml")
    assert str(loaded.location("tasks", 1)) == f"{file}:3"
    assert str(loaded.location("method", "steps", key=True)) == f"{file}:4"
    assert str(loaded.location("checks", "nonsense_control", "gates", "size_ratio")) == f"{file}:8"
    assert str(loaded.location("checks", "node_roles")) == f"{file}:12"
    assert str(loaded.location("checks", "sufficiency", "gates")) == f"{file}:8"
    assert str(loaded.location("checks", "layernorm", "gates", "frozen_loss")) == "--set"
    assert str(loaded.location("checks", "layernorm", "gates", key=True)) == f"{file}:10"


@pytest.mark.parametrize("name", ["default", "quick"])
def test_a_bundled_suite_is_found_by_its_name(name: str) -> None:
    loaded = load_suite(name)
    assert (loaded.suite.name, loaded.path) == (name, bundled_dir() / f"{name}.yaml")
    assert [check.name for check in loaded.suite.checks] == [
        "sufficiency",
        "nonsense_control",
        "attention_agreement",
        "node_roles",
        "generalization",
        "layernorm",
    ]


def test_an_unknown_suite_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"unknown suite 'defualt'; bundled: .*; did you mean 'default'\?"):
        load_suite("defualt")


def test_a_suite_file_that_is_missing_is_refused_with_the_nearest_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    with pytest.raises(UserError, match=r"mien.yaml: no such file; did you mean 'mine.yaml'\?"):
        load_suite(str(tmp_path / "mien.yaml"))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
_FIELDS = sorted(Suite.model_fields)


@given(st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=5), _json, max_size=6), st.data())
def test_whatever_a_file_and_an_override_hold_the_only_error_is_the_users(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object], draw: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(json.dumps({"faithcheck": 1, "method": "m", **data}))
    paths = ["seeds", "method.x", "method.name.y", "checks.a.gates.b", "checks.sufficiency.c", "checks"]
    override = f"{draw.draw(st.sampled_from(paths))}={draw.draw(st.text(max_size=5))}"
    with contextlib.suppress(UserError):
        load_suite(str(file), [override])
