"""Lists of site and index become circuits: what is listed is kept, and nothing else."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from importing import kept, write_json
from small_models import random_keep, small_model

from faithcheck.errors import UserError
from faithcheck.importing.formats import read

KEPT = {"0.attn_q": [5, 7], "1.mlp_neuron": [23]}
JSON_FORMS = {
    "pairs": [["0.attn_q", 5], ["1.mlp_neuron", 23], ["0.attn_q", 7]],
    "objects": [{"site": "0.attn_q", "index": 7}, {"index": 5, "site": "0.attn_q"}, ["1.mlp_neuron", 23]],
    "indices by site": {"0.attn_q": [7, 5], "1.mlp_neuron": [23], "1.attn_v": []},
}
CSV_FORMS = {
    "plain": "site,index\n0.attn_q,5\n0.attn_q,7\n1.mlp_neuron,23\n",
    "quotes, blank lines, spaces": 'site, index\n\n"0.attn_q", 5\n0.attn_q ,7\n,\n"1.mlp_neuron","23"',
    "as a spreadsheet writes it": "\ufeffSite,Index\r\n0.attn_q,5\r\n0.attn_q,7\r\n1.mlp_neuron,23\r\n",
}


@pytest.mark.parametrize("form", JSON_FORMS)
def test_every_form_of_json_keeps_the_nodes_that_it_lists(tmp_path, form):
    assert kept(write_json(tmp_path / "c.json", JSON_FORMS[form])) == KEPT


@pytest.mark.parametrize("form", CSV_FORMS)
def test_every_form_of_csv_keeps_the_nodes_that_it_lists(tmp_path, form):
    (tmp_path / "c.csv").write_text(CSV_FORMS[form], newline="")
    assert kept(tmp_path / "c.csv") == KEPT


def test_the_format_is_told_by_content_and_not_by_the_files_name(tmp_path):
    write_json(tmp_path / "c.csv", JSON_FORMS["pairs"])
    (tmp_path / "c.json").write_text(CSV_FORMS["plain"])
    assert kept(tmp_path / "c.csv") == kept(tmp_path / "c.json") == KEPT
    assert read(tmp_path / "c.csv").format == "node list"


@given(seed=st.integers(0, 10_000), form=st.sampled_from(["pairs", "sites", "csv"]))
@settings(max_examples=30)
def test_any_circuit_comes_back_from_its_list(tmp_path_factory, seed, form):
    model = small_model("one layer")
    keep = random_keep(model, seed, shares=(0.1, 0.5, 1.0))
    nodes = [(site, node) for site, row in keep.items() for node in row.nonzero().flatten().tolist()]
    text = {
        "pairs": json.dumps(nodes),
        "sites": json.dumps({site: row.nonzero().flatten().tolist() for site, row in keep.items()}),
        "csv": "\n".join(["site,index", *(f"{site},{node}" for site, node in nodes)]),
    }[form]
    path = tmp_path_factory.mktemp("list") / "c"
    path.write_text(text)
    found = read(path).kept(model).nodes
    assert found.keys() == keep.keys()
    assert all(torch.equal(found[site], keep[site]) for site in keep)


# The file's content, and what the error says.
BAD = {
    "unknown site": ('[["0.attn_q", 5], ["0.attn_z", 1]]', "entry 2: unknown site '0.attn_z'; did you mean"),
    "site like none": ('[["blocks", 1]]', "unknown site 'blocks'; plain 0 has 0.attn_in, 0.attn_q"),
    "site that is a number": ("[[0, 1]]", "entry 1: unknown site 0"),
    "layer too high": ('{"2.attn_q": [1]}', "unknown site '2.attn_q'"),
    "index too high": ('[["0.attn_q", 16]]', "entry 1: index 16 is out of range: 0.attn_q has the nodes 0 to 15"),
    "index below 0": ('{"1.mlp_neuron": [0, -1]}', "'1.mlp_neuron': index -1 is out of range"),
    "index that is no whole number": ('[["0.attn_q", 5.0]]', "entry 1: the index 5.0 is no whole number"),
    "index that is true": ('[["0.attn_q", true]]', "the index True is no whole number"),
    "index that is text": ('[["0.attn_q", "5"]]', "the index '5' is no whole number"),
    "a node twice": ('[["0.attn_q", 5], ["0.attn_q", 5]]', "entry 2: 0.attn_q 5 is listed twice"),
    "a node twice at its site": ('{"0.attn_q": [5, 5]}', "0.attn_q 5 is listed twice"),
    "a site twice": ('{"0.attn_q": [5], "0.attn_q": [6]}', "'0.attn_q' comes twice in one JSON object"),
    "three in a row": ('[["0.attn_q", 5, 6]]', "entry 1: found ['0.attn_q', 5, 6], allowed:"),
    "another key": ('[{"site": "0.attn_q", "index": 5, "score": 1}]', "entry 1: found"),
    "a missing key": ('[{"site": "0.attn_q"}]', "entry 1: found {'site': '0.attn_q'}, allowed:"),
    "indices that are no list": ('{"0.attn_q": 5}', "'0.attn_q': found 5, allowed: a list of indices"),
    "no list at all": ("{}", "keeps no node"),
    "a list of none": ("[]", "keeps no node"),
    "a site of none": ('{"0.attn_q": []}', "keeps no node"),
    "broken JSON": ('[["0.attn_q", 5]', "not JSON: Expecting ',' delimiter at line 1"),
    "brackets in brackets": ("[" * 100_000, "not JSON that can be read"),
    "a number of many digits": ('[["0.attn_q", ' + "9" * 5000 + "]]", "not JSON that can be read"),
    "nothing": ("", "the file is empty"),
    "blanks": (" \n\n", "the file is empty"),
    "CSV without a header": ("0.attn_q,5\n", "c:1: found the header '0.attn_q,5', allowed: site,index"),
    "CSV with a header alone": ("site,index\n", "keeps no node"),
    "CSV with a third column": ("site,index\n0.attn_q,5,1\n", "c:2: found 3 columns"),
    "CSV with a bad index": ("site,index\n\n0.attn_q,5.5\n", "c:3: the index '5.5' is no whole number"),
    "CSV with an index of many digits": ("site,index\n0.attn_q," + "9" * 5000, "c:2: the index '9999"),
    "CSV with an unknown site": ("site,index\n0.attn_q,1\n0.atn_q,5\n", "c:3: unknown site '0.atn_q'; did you mean"),
    "CSV with an open quote": ('site,index\n"0.attn_q,5\n', "not CSV"),
    "prose": ("The circuit is head 3.\n", "allowed: site,index"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_list_that_is_wrong_is_refused_naming_the_file_and_the_entry(tmp_path, case):
    content, message = BAD[case]
    (tmp_path / "c").write_text(content)
    with pytest.raises(UserError) as error:
        kept(tmp_path / "c")
    assert message in str(error.value)
    assert error.value.location.file == str(tmp_path / "c")
    assert len(str(error.value).replace(str(tmp_path), "")) < 400
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x89PNG\r\n", bytes(range(129, 256))])
def test_a_file_of_bytes_is_refused_by_name(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(UserError, match=r"neither text nor a file of torch\.save"):
        read(tmp_path / "c")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(UserError, match="cannot read the circuit") as error:
            read(path)
        assert error.value.location.file == str(path)
