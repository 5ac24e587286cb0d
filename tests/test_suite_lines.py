"""The lines of a suite's file that a result names for its checks and gates, however the suite is written."""

from __future__ import annotations

import pytest

from faithcheck.references import check_references
from faithcheck.suite import load_suite
from faithcheck.suite_data import _lines

HEAD = """\
faithcheck: 1
model: stories-tiny
tasks: [pronoun]
method: full
seeds: 1
target_loss: 0.15
"""
PLUGIN = """\
class Mine:
    name = "mine"
    scope = "circuit"
    question = "?"
    gates = {"frozen_loss": "<= 1"}

    def measure(self, subject): ...

    def sentence(self, metric, verdict): ...
"""
FORMS = {
    "a name": ("checks:\n  - layernorm\n", 8, 8),
    "a key": ("checks:\n  - layernorm:\n", 8, 8),
    "nested": ("checks:\n  - layernorm:\n      gates:\n        frozen_loss: '<= 9'\n", 8, 10),
    "a value below its key": ("checks:\n  - layernorm:\n      gates:\n        frozen_loss:\n          '<= 9'\n", 8, 10),
    "flow": ("checks: [{layernorm: {gates: {frozen_loss: '<= 9'}}}]\n", 7, 7),
    "flow over lines": ("checks: [\n {layernorm:\n  {gates:\n   {frozen_loss:\n    '<= 9'}}}]\n", 8, 10),
    "a mapping with a name": ("checks:\n  - name: layernorm\n    gates:\n      frozen_loss: '<= 9'\n", 8, 10),
    "its name last": ("checks:\n  - gates:\n      frozen_loss: '<= 9'\n    name: layernorm\n", 8, 9),
    "a package": ("checks:\n  - faithcheck/layernorm:\n      gates:\n        frozen_loss: '<= 9'\n", 8, 10),
    "a path": ("checks:\n  - sub/method.py:Mine:\n      gates:\n        frozen_loss: '<= 9'\n", 8, 10),
    "a path in quotes": ("checks:\n  - 'sub/method.py:Mine'\n", 8, 8),
    "line ends of Windows": ("checks:\r\n  - layernorm:\r\n      gates:\r\n        frozen_loss: '<= 9'\r\n", 8, 10),
}
NESTED = FORMS["nested"][0]
NAMED = FORMS["a mapping with a name"][0]


def lines(folder, text, *settings):
    """{check as it is written: {what: line}}."""
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "method.py").write_text(PLUGIN)
    file = folder / "mine.yaml"
    file.write_bytes((HEAD + text).encode())
    loaded = load_suite(str(file), settings)
    checks = check_references(loaded).checks
    asked = zip(loaded.suite.checks, checks, strict=True)
    return {entry.name: _lines(loaded, entry.name, found.check.gates) for entry, found in asked}


@pytest.mark.parametrize(("text", "check", "gate"), FORMS.values(), ids=FORMS)
def test_a_check_and_its_gate_are_found_on_their_lines(tmp_path, text, check, gate):
    unlisted, asked = lines(tmp_path, text).values()
    assert asked == {"": check, "frozen_loss": gate}
    assert set(unlisted.values()) == {7}, "sufficiency, which is listed nowhere, stands where the checks do"


@pytest.mark.parametrize("text", [NESTED, NAMED])
@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("checks.layernorm.gates.frozen_loss=<= 3", {"": 8}),
        ("checks.layernorm.gates={frozen_loss: '<= 3'}", {"": 8}),
        ("checks.layernorm={gates: {frozen_loss: '<= 3'}}", {}),
        ("checks=[layernorm]", {}),
        ("checks.sufficiency.gates.loss=<= 3", {"": 8, "frozen_loss": 10}),
    ],
)
def test_what_the_command_line_gave_is_on_no_line(tmp_path, text, setting, found):
    assert lines(tmp_path, text, setting)["layernorm"] == found


def test_a_gate_of_an_unlisted_check_that_the_command_line_gave_is_on_no_line(tmp_path):
    found = lines(tmp_path, NESTED, "checks.sufficiency.gates.loss=<= 3")
    assert found["sufficiency"] == {"": 7, "node_fraction": 7}
