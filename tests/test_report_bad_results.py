"""What is no result of this version is refused in one or two lines; a damaged part is named."""

from __future__ import annotations

import copy
from functools import reduce

import pytest
from bad_results import BAD, GOOD
from results import VERDICTS, check, circuit, evidence, loaded, result, write

from faithcheck.cli import main
from faithcheck.errors import UserError
from faithcheck.report.command import render
from faithcheck.report.formats import FORMATS
from faithcheck.report.reading import EvidenceLost, load_result
from faithcheck.result_schema import EvidenceFile


def refusal(capsys, *args):
    assert main(["report", *map(str, args)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) <= 2
    assert len(said.err) < 500
    assert "\x1b" not in said.err
    return said.err


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_a_damaged_result_is_refused_in_a_line_or_two(tmp_path, capsys, content, said):
    file = tmp_path / "result.json"
    file.write_text(content)
    assert said in refusal(capsys, file)


JUNK = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    10**400,
    "",
    "\ud800\x00",
    [],
    {},
    [None],
    {"": None},
    [[]],
    {"a\nb": {"\x1b": []}},
]


def places(data, path=()):
    """The path of everything inside."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


WHOLE = result([check(v, check=v, details="errors/x.txt") for v in VERDICTS], [circuit()])


def read(folder, data):
    """The result, or its refusal."""
    try:
        return load_result(write(folder, data))
    except UserError as error:
        return error


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: ascii(junk)[:30])
def test_whatever_stands_in_the_place_of_a_part_the_result_is_rendered_or_refused(tmp_path, junk):
    """Never a crash: a reader that took it is a reader that all formats can work with."""
    for path in places(WHOLE):
        data = copy.deepcopy(WHOLE)
        part = reduce(lambda inside, key: inside[key], path[:-1], data)
        part[path[-1]] = junk
        found = read(tmp_path, data)
        if isinstance(found, UserError):
            assert len(str(found).splitlines()) == 1
        else:
            assert all(render(found, form) or form == "github" for form in FORMATS)


def test_the_undamaged_one_is_read(tmp_path):
    (tmp_path / "result.json").write_text(GOOD)
    assert load_result(tmp_path).data.verdict == "FAIL"


@pytest.mark.parametrize("form", FORMATS)
def test_an_unknown_schema_is_refused_by_name_in_every_format(tmp_path, capsys, form):
    (tmp_path / "result.json").write_text(GOOD.replace("faithcheck.result/1", "faithcheck.result/9"))
    said = refusal(capsys, tmp_path, "--format", form)
    assert "faithcheck.result/9" in said
    assert "reads faithcheck.result/1" in said


@pytest.mark.parametrize("name", ["gone", "gone/result.json", "binary", "a\nb"])
def test_what_is_no_file_is_refused_by_name(tmp_path, capsys, name):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert str(tmp_path) in refusal(capsys, tmp_path / name)


def test_a_folder_named_result_json_is_refused(tmp_path, capsys):
    (tmp_path / "result.json").mkdir()
    assert "result.json" in refusal(capsys, tmp_path)


def lost(folder, content=b"", labels=None, **more):
    entry = evidence(folder, "x", {"0/loss": [0.5]}, labels)
    entry |= more
    result = loaded(folder, [check("PASS", evidence=entry)])
    if content:
        (folder / "evidence" / "x.safetensors").write_bytes(content)
    with pytest.raises(EvidenceLost) as error:
        result.evidence(EvidenceFile(**entry))
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": "evidence/gone.safetensors"}, "is not there"),
        ({"file": "evidence"}, "is not there"),
        ({"file": "a\0b"}, "is not there"),
        ({"file": "../x.safetensors"}, "is not beside"),
        ({"file": "/etc/hostname"}, "is not beside"),
        ({"sha256": "0" * 64}, "SHA-256 differs"),
        ({"content": b"other"}, "SHA-256 differs"),
        ({"labels": [1]}, "cannot be read"),
        ({"labels": {"0/x": "text"}}, "cannot be read"),
    ],
)
def test_lost_evidence_says_how_it_was_lost(tmp_path, change, said):
    assert said in lost(tmp_path, **change)
