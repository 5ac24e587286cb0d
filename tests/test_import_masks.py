"""sparse_pretrain's masks.pt: a node is kept where its tau is at least 0; pickles with code in them are not run."""

import pickle

import pytest
import torch
from importing import TINY, kept, masks, whole
from small_models import small_model

from faithcheck.errors import UserError
from faithcheck.importing.formats import read


def saved(path, data):
    torch.save(data, path)
    return path


@pytest.fixture
def taus():
    found = masks()
    found["layer0_attn_q"][3] = 0.7
    found["layer0_attn_q"][4] = 0.0
    found["layer0_attn_q"][5] = -1e-9
    found["layer1_mlp_neuron"][23] = 1.0
    return found


KEPT = {"0.attn_q": [3, 4], "1.mlp_neuron": [23]}


def test_a_node_is_kept_where_its_tau_is_at_least_0(tmp_path, taus):
    path = saved(tmp_path / "masks.pt", taus)
    assert kept(path) == KEPT
    assert read(path).format == "sparse_pretrain masks"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_taus_of_any_precision_are_read(tmp_path, taus, dtype):
    taus["layer0_attn_q"][5] = -0.1
    assert kept(saved(tmp_path / "masks.pt", {key: tau.to(dtype) for key, tau in taus.items()})) == KEPT


def test_taus_that_are_parameters_are_read(tmp_path, taus):
    assert kept(saved(tmp_path / "masks.pt", {k: torch.nn.Parameter(tau) for k, tau in taus.items()})) == KEPT


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_masks_of_0_and_1_are_read_as_masks(tmp_path, taus, dtype):
    """binary_masks.pt of the same code; read as taus, everything would be kept."""
    assert kept(saved(tmp_path / "b.pt", {key: (tau >= 0).to(dtype) for key, tau in taus.items()})) == KEPT


def test_a_location_without_masks_is_kept_as_a_whole(tmp_path):
    found = masks("attn_v", "mlp_neuron")
    found["layer1_attn_v"][2] = 0.5
    others = [kind for kind in TINY if kind not in ("attn_v", "mlp_neuron")]
    expected = {**whole(*(f"{layer}.{kind}" for layer in (0, 1) for kind in others)), "1.attn_v": [2]}
    assert kept(saved(tmp_path / "masks.pt", found)) == expected


def test_token_masks_that_keep_every_token_change_nothing(tmp_path, taus):
    assert kept(saved(tmp_path / "masks.pt", {**taus, "token_embed": torch.full((23,), 0.1)})) == KEPT


def test_masks_of_0_and_1_are_read_as_masks_whatever_the_tokens_are(tmp_path, taus):
    binary = {key: (tau >= 0).float() for key, tau in taus.items()}
    assert kept(saved(tmp_path / "b.pt", {**binary, "token_embed": torch.full((23,), 0.1)})) == KEPT


def changed(key, value):
    return {**masks(), key: value}


def missing(*keys):
    return {key: tau for key, tau in masks(start=0.5).items() if key not in keys}


NAN = torch.full((16,), 0.5)
NAN[7] = float("nan")
BAD = {
    "another size": (
        changed("layer0_attn_q", torch.ones(8)),
        "'layer0_attn_q' has 8 nodes, 0.attn_q of plain 0 has 16",
    ),
    "a layer too high": (masks(layers=3), "'layer2_attn_in': plain 0 has the layers 0, 1"),
    "a layer too few": (masks(layers=1), "no 'layer1_attn_in', though other layers have it"),
    "a mask missing": (missing("layer1_attn_k"), "no 'layer1_attn_k', though other layers have it"),
    "unknown location": (
        changed("layer0_mlp_neurons", torch.ones(24)),
        "unknown location 'mlp_neurons'; known: attn_in",
    ),
    "near a location": (changed("layer0_mlp_neurons", torch.ones(24)), "did you mean 'mlp_neuron'?"),
    "unknown entry": (changed("step", torch.ones(1)), "unknown entry 'step'; allowed: layer0_attn_in and the like"),
    "NaN": (changed("layer0_attn_q", NAN), "'layer0_attn_q' holds NaN at node 7"),
    "two axes": (changed("layer0_attn_q", torch.ones(4, 4)), "'layer0_attn_q' is a tensor of shape (4, 4)"),
    "a list": (changed("layer0_attn_q", [0.5] * 16), "'layer0_attn_q' is a list, allowed: one number a node"),
    "complex": (changed("layer0_attn_q", torch.ones(16) * 1j), "'layer0_attn_q' is a tensor of shape (16,)"),
    "0 and 1 among taus": (
        changed("layer1_attn_q", torch.zeros(16)),
        "'layer1_attn_q' holds 0 and 1 alone, as masks do",
    ),
    "booleans among taus": (changed("layer0_mlp_in", torch.ones(16) < 0), "but 'layer0_attn_in' holds taus"),
    "a layer with a leading 0": (changed("layer00_attn_q", torch.ones(16)), "unknown entry 'layer00_attn_q'"),
    "sparse": (changed("layer0_attn_q", torch.ones(16).to_sparse()), "'layer0_attn_q' is a tensor without values"),
    "without values": (changed("layer0_attn_q", torch.ones(16, device="meta")), "'layer0_attn_q' is a tensor without"),
    "nothing kept": (masks(), "the file keeps no node"),
    "tokens masked": (
        {**masks(start=0.5), "token_embed": torch.tensor([0.5, -0.5, -0.5])},
        "'token_embed' masks 2 tokens, but embeddings are no nodes here",
    ),
    "tokens masked by 0 and 1": (
        {**masks(start=0.5), "token_embed": torch.tensor([1.0, 0.0, 1.0])},
        "'token_embed' masks 1 tokens",
    ),
    "a checkpoint": ({"model": {}, "step": 3}, "found the entries model, step; allowed: layer0_attn_in"),
    "an empty dict": ({}, "found the entries none"),
    "a tensor": (torch.ones(3), "found a Tensor, allowed: a dict with names as keys"),
    "numbers as keys": ({0: torch.ones(3)}, "found a dict, allowed: a dict with names as keys"),
}


def refused(path, message):
    with pytest.raises(UserError) as error:
        kept(path)
    assert message in str(error.value)
    assert error.value.location.file == str(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("case", BAD)
def test_masks_that_are_not_the_models_are_refused_by_name(tmp_path, case):
    data, message = BAD[case]
    refused(saved(tmp_path / "masks.pt", data), message)


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_pickle_is_not_run(tmp_path, taus):
    data, witness = {**taus, "layer0_attn_q": Malicious(tmp_path / "ran")}, tmp_path / "ran"
    torch.save(data, tmp_path / "zip.pt")
    torch.save(data, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(data))
    for name in ("zip.pt", "old.pt", "bare.pt"):
        refused(tmp_path / name, "torch cannot read it as tensors and plain data")
    assert not witness.exists()
    pickle.loads((tmp_path / "bare.pt").read_bytes())["layer0_attn_q"].close()
    assert witness.exists(), "the trap works where a pickle is run"


def test_a_file_cut_short_anywhere_is_refused(tmp_path, taus):
    content = saved(tmp_path / "masks.pt", taus).read_bytes()
    for length in (5, 40, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.pt").write_bytes(content[:length])
        refused(tmp_path / "cut.pt", "torch cannot read it as tensors and plain data: it is damaged")


def test_published_masks_and_the_model_agree_on_every_node(tmp_path):
    """Law: whatever the taus are, the circuit keeps just the nodes whose tau is at least 0."""
    generator, model = torch.Generator().manual_seed(1), small_model()
    found = {key: torch.randn(tau.shape, generator=generator) for key, tau in masks().items()}
    circuit = read(saved(tmp_path / "masks.pt", found)).kept(model).nodes
    for name, site in model.sites.items():
        assert torch.equal(circuit[name], found[f"layer{site.layer}_{site.kind}"] >= 0)
