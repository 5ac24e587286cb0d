"""A saved circuit loads as it was, its identity is what it computes, and a damaged file is refused by name."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from small_models import small_model

from faithcheck.ablation import Ablation
from faithcheck.circuit import FORMAT, Circuit, load_circuit, save_circuit
from faithcheck.errors import UserError

rows = st.lists(st.integers(-9, 9), min_size=3, max_size=3)
names = st.text("abc.019_", min_size=1, max_size=6)
keeps = st.dictionaries(names, st.lists(st.booleans(), min_size=1, max_size=9), max_size=4)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text()
plain_json = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
circuits = st.builds(
    Circuit,
    keep=keeps.map(lambda keep: {site: torch.tensor(kept) for site, kept in keep.items()}),
    norms=st.sampled_from(["live", "frozen"]),
    provenance=st.dictionaries(st.text(), plain_json, max_size=3),
)


def same(one, other):
    return (
        one.keep.keys() == other.keep.keys()
        and all(torch.equal(one.keep[site], other.keep[site]) for site in one.keep)
        and (one.ablation, one.norms) == (other.ablation, other.norms)
    )


@given(circuit=circuits)
@settings(max_examples=50, deadline=None)
def test_what_is_loaded_is_what_was_saved(tmp_path_factory, circuit):
    path = tmp_path_factory.mktemp("circuit") / "c.safetensors"
    save_circuit(path, circuit)
    found = load_circuit(path)
    assert same(found, circuit)
    assert all(kept.dtype == torch.bool for kept in found.keep.values())
    assert dict(found.provenance) == dict(circuit.provenance)
    assert found.identity == circuit.identity
    assert found.size == circuit.size == sum(map(int, (k.sum() for k in circuit.keep.values())))


def test_the_parts_of_one_tensor_can_be_saved(tmp_path):
    first, second = torch.tensor([True, False, True, True]).split([1, 3])
    circuit = Circuit({"a": first, "b": second})
    save_circuit(tmp_path / "c", circuit)
    assert same(load_circuit(tmp_path / "c"), circuit)


@given(kind=st.sampled_from(["mean", "task_mean"]), row=rows, other=rows)
@settings(max_examples=20, deadline=None)
def test_means_are_saved_with_the_circuit_and_are_part_of_what_it_is(tmp_path_factory, kind, row, other):
    path = tmp_path_factory.mktemp("circuit") / "c.safetensors"
    keep = {"a": torch.tensor([True, False, True])}
    circuit, unlike = (Circuit(keep, Ablation(kind, {"a": torch.tensor(r).double()})) for r in (row, other))
    save_circuit(path, circuit)
    found = load_circuit(path)
    assert found.ablation == Ablation(kind)
    assert found.ablation.means["a"].tolist() == row
    assert found.keep.keys() == keep.keys()
    assert found.identity == circuit.identity
    assert (unlike.identity == circuit.identity) == (row == other)


@given(one=circuits, other=circuits)
@settings(max_examples=50, deadline=None)
def test_identities_are_equal_just_where_nodes_ablation_and_norms_are(one, other):
    assert (one.identity == other.identity) == same(one, other)


@given(circuit=circuits, data=st.data())
@settings(max_examples=50, deadline=None)
def test_identity_changes_with_one_node_and_with_the_norms(circuit, data):
    other = Circuit(circuit.keep, norms="live" if circuit.norms == "frozen" else "frozen")
    assert other.identity != circuit.identity
    sites = [site for site, kept in circuit.keep.items() if len(kept)]
    if sites:
        site = data.draw(st.sampled_from(sites))
        flipped = circuit.keep[site].clone()
        node = data.draw(st.integers(0, len(flipped) - 1))
        flipped[node] = ~flipped[node]
        flipped_one = Circuit({**circuit.keep, site: flipped}, norms=circuit.norms)
        assert flipped_one.identity != circuit.identity


@given(circuit=circuits)
@settings(max_examples=20, deadline=None)
def test_identity_knows_neither_provenance_nor_the_order_of_sites(circuit):
    other = Circuit(dict(reversed(circuit.keep.items())), norms=circuit.norms, provenance={"task": "other"})
    assert other.identity == circuit.identity


def test_identity_tells_apart_the_same_nodes_at_other_sites():
    keep = torch.tensor([True, False, True])
    assert Circuit({"a": keep, "b": ~keep}).identity != Circuit({"b": keep, "a": ~keep}).identity
    assert Circuit({"a": keep}).identity != Circuit({"b": keep}).identity


def test_an_ablation_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="ablation is 'median', not zero, mean, task_mean, resample"):
        Ablation("median")


GOOD = {"ablation": "zero", "norms": "live", "provenance": {}}
ROW = {"a": torch.tensor([0, 1, 1], dtype=torch.uint8)}
DAMAGED = {
    "another format": (ROW, {"format": "faithcheck.circuit/2", "circuit": json.dumps(GOOD)}, FORMAT),
    "no format": (ROW, {"circuit": json.dumps(GOOD)}, FORMAT),
    "no metadata": (ROW, None, FORMAT),
    "no circuit in the metadata": (ROW, {"format": FORMAT}, "damaged"),
    "metadata that is no JSON": (ROW, {"format": FORMAT, "circuit": "{"}, "damaged"),
    "metadata that is a list": (ROW, {"format": FORMAT, "circuit": "[]"}, "damaged"),
    "metadata nested without end": (ROW, {"format": FORMAT, "circuit": "[" * 100_000}, "damaged"),
    "metadata that is null": (ROW, {"format": FORMAT, "circuit": "null"}, "damaged"),
    "unknown norms": (ROW, {"format": FORMAT, "circuit": json.dumps({**GOOD, "norms": "cold"})}, "cold"),
    "mean ablation": (ROW, {"format": FORMAT, "circuit": json.dumps({**GOOD, "ablation": "mean"})}, "mean"),
    "no ablation": (ROW, {"format": FORMAT, "circuit": '{"norms": "live", "provenance": {}}'}, "ablation"),
    "no provenance": (ROW, {"format": FORMAT, "circuit": '{"norms": "live", "ablation": "zero"}'}, "provenance"),
    "a two in a site": ({"site.x": ROW["a"] * 2}, {"format": FORMAT, "circuit": json.dumps(GOOD)}, "site.x"),
    "numbers of another type": ({"site.x": torch.ones(3)}, {"format": FORMAT, "circuit": json.dumps(GOOD)}, "site.x"),
    "a site of two axes": ({"site.x": ROW["a"][None]}, {"format": FORMAT, "circuit": json.dumps(GOOD)}, "site.x"),
}


MEANS = {"a": ROW["a"], "mean/a": torch.tensor([0.5, -1.0, 2.0])}
MEAN = {"format": FORMAT, "circuit": json.dumps({**GOOD, "ablation": "mean"})}
DAMAGED |= {
    "another ablation": (ROW, {"format": FORMAT, "circuit": json.dumps({**GOOD, "ablation": "median"})}, "median"),
    "means of another site": ({"a": ROW["a"], "mean/b": MEANS["mean/a"]}, MEAN, "no means for mean ablation"),
    "a mean that is not finite": ({**MEANS, "mean/a": MEANS["mean/a"] / 0}, MEAN, "a mean is no finite number"),
    "means of eight bits": ({**MEANS, "mean/a": MEANS["mean/a"].to(torch.float8_e4m3fn)}, MEAN, "no finite number"),
    "means that are whole numbers": ({**MEANS, "mean/a": ROW["a"] + 1}, MEAN, "a mean is no finite number"),
}


def refused(path, message):
    with pytest.raises(UserError, match=message) as error:
        load_circuit(path)
    assert error.value.location.file == str(path)


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_by_name(tmp_path, case):
    tensors, metadata, message = DAMAGED[case]
    save_file(tensors, tmp_path / "c.safetensors", metadata=metadata)
    refused(tmp_path / "c.safetensors", message)


@pytest.mark.parametrize("provenance", [["pronoun"], None, "pronoun"])
def test_provenance_that_is_no_mapping_is_refused_by_name(tmp_path, provenance):
    about = json.dumps({**GOOD, "provenance": provenance})
    save_file(ROW, tmp_path / "c.safetensors", metadata={"format": FORMAT, "circuit": about})
    refused(tmp_path / "c.safetensors", "provenance")


@pytest.mark.parametrize("content", [b"", b"{}", b"no circuit at all", b"\x80" * 40])
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, content):
    (tmp_path / "c.safetensors").write_bytes(content)
    refused(tmp_path / "c.safetensors", "cannot read the circuit")


def test_a_file_cut_short_is_refused_by_name(tmp_path):
    save_circuit(tmp_path / "c", Circuit({"a": torch.ones(50, dtype=torch.bool)}))
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:-1])
    refused(tmp_path / "c", "cannot read the circuit")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    refused(tmp_path / "none", "cannot read the circuit")
    refused(tmp_path, "cannot read the circuit")


def test_a_circuit_of_another_model_does_not_fit():
    model = small_model("one layer")
    keep = {site: torch.ones(at.size, dtype=torch.bool) for site, at in model.sites.items()}
    Circuit(keep).check_fits(model)
    with pytest.raises(UserError, match=r"0\.mlp_neuron has 24 nodes, the circuit's has 16"):
        Circuit({**keep, "0.mlp_neuron": torch.ones(16, dtype=torch.bool)}).check_fits(model)
    with pytest.raises(UserError, match=r"1\.attn_in"):
        Circuit({**keep, "1.attn_in": keep["0.attn_in"]}).check_fits(model)
    means = {site: torch.zeros(3) for site in keep}
    with pytest.raises(UserError, match=r"its means at 0\.attn_in are not one a node"):
        Circuit(keep, Ablation("mean", means)).check_fits(model)
    del keep["0.attn_q"]
    with pytest.raises(UserError, match=r"0\.attn_q"):
        Circuit(keep).check_fits(model)
