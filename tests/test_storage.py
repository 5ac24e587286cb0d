"""A saved transformer loads as it was, a sparse one takes less room, and a file that is wrong is refused by name."""

import re

import pytest
import torch
from faithcheck_circuits.transformer.storage import FORMAT, Checkpoint, load, save
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_models import VARIANTS, random_tensors, small_config

from faithcheck.errors import UserError


def checkpoint(variant="weight-sparse", share=0.2, dtype=torch.float32, **changes):
    config = small_config(variant, **changes)
    tensors = random_tensors(config, 3, dtype, share)
    words = [f"w{i}" for i in range(config.vocabulary)]
    return Checkpoint("a model", config, tensors, words, ["a story ,", 'another "one"'])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_what_is_loaded_is_what_was_saved(tmp_path, variant, share):
    saved = checkpoint(variant, share)
    save(tmp_path / "m.safetensors", saved)
    found = load(tmp_path / "m.safetensors")
    assert (found.name, found.config) == (saved.name, saved.config)
    assert list(found.vocabulary) == saved.vocabulary
    assert list(found.sample_text) == saved.sample_text
    assert found.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_a_float64_model_loads_as_it_was(tmp_path):
    saved = checkpoint(dtype=torch.float64)
    save(tmp_path / "m.safetensors", saved)
    found = load(tmp_path / "m.safetensors")
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in saved.tensors.items())


def test_a_sparse_model_takes_less_room_than_a_dense_one(tmp_path):
    sizes = []
    for share in (0.1, 1.0):
        save(tmp_path / "m.safetensors", checkpoint(share=share, d_model=64, d_mlp=256))
        sizes.append((tmp_path / "m.safetensors").stat().st_size)
    assert sizes[0] < sizes[1] / 2


def test_no_matrix_is_stored_in_more_room_than_it_takes_dense(tmp_path):
    dense = checkpoint(share=0.6)
    save(tmp_path / "m.safetensors", dense)
    assert load_file(tmp_path / "m.safetensors").keys() == dense.tensors.keys()


def metadata(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def damaged(path, damage):
    """The file at `path` with `damage(tensors, metadata)` done to it."""
    tensors, about = load_file(path), metadata(path)
    damage(tensors, about)
    save_file(tensors, path, metadata=about)


def put(name, tensor):
    return lambda tensors, about: tensors.update({name: tensor})


def drop(*names):
    return lambda tensors, about: [tensors.pop(name) for name in names]


def entry(name, value):
    def damage(tensors, about):
        tensors[f"{name}.index"][-1] = value

    return damage


WRONG = {
    "a missing vector": (drop("1.sink"), "'1.sink' is missing"),
    "a missing dense matrix": (drop("unembed"), "'unembed' is missing"),
    "a missing sparse matrix": (drop("0.attn_q.weight.index", "0.attn_q.weight.value"), "'0.attn_q.weight' is mis"),
    "a matrix without its indices": (drop("0.attn_q.weight.index"), "'0.attn_q.weight' is missing"),
    "a matrix without its values": (drop("0.attn_q.weight.value"), "'0.attn_q.weight' is missing"),
    "an extra tensor": (put("2.sink", torch.zeros(4)), "unknown tensor '2.sink'"),
    "a bigram that the config has not": (put("bigram", torch.zeros(40, 40)), "unknown tensor 'bigram'"),
    "a matrix both sparse and dense": (put("0.attn_q.weight", torch.zeros(32, 32)), "'0.attn_q.weight'"),
    "a vector of another length": (put("ln_f.gain", torch.ones(31)), "'ln_f.gain' has shape .31., not .32."),
    "a matrix transposed": (put("embed", torch.ones(32, 40)), "'embed' has shape .32, 40., not .40, 32."),
    "a vector with an axis too many": (put("0.sink", torch.ones(4, 1)), "'0.sink' has shape"),
    "an index past the end": (entry("1.mlp_out.weight", 24 * 32), "'1.mlp_out.weight' has entries outside"),
    "a negative index": (entry("1.mlp_out.weight", -1), "'1.mlp_out.weight' has entries outside"),
    "fewer values than indices": (put("0.attn_v.weight.value", torch.ones(3)), "'0.attn_v.weight' has entries"),
    "another format": (lambda t, about: about.update(format="faithcheck.transformer/2"), FORMAT),
    "no format": (lambda t, about: about.pop("format"), FORMAT),
}
DAMAGED_METADATA = {
    "no config": lambda t, about: about.pop("config"),
    "a config that is no JSON": lambda t, about: about.update(config="{"),
    "a config that makes no sense": lambda t, about: about.update(config='{"vocabulary": 40, "d_model": -1}'),
    "no name": lambda t, about: about.pop("name"),
    "no vocabulary": lambda t, about: about.pop("vocabulary"),
    "a vocabulary that is no JSON": lambda t, about: about.update(vocabulary="["),
    "a word too few": lambda t, about: about.update(vocabulary='["w0"]'),
    "sample text that is no JSON": lambda t, about: about.update(sample_text="["),
}


def refused(path, message):
    with pytest.raises(UserError, match=message) as error:
        load(path)
    assert error.value.location.file == str(path)
    return str(error.value)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_naming_the_file_and_the_tensor(tmp_path, case):
    damage, message = WRONG[case]
    path = tmp_path / "m.safetensors"
    save(path, checkpoint())
    damaged(path, damage)
    assert "\n" not in refused(path, message)


@pytest.mark.parametrize("case", DAMAGED_METADATA)
def test_damaged_metadata_is_refused_naming_the_file(tmp_path, case):
    path = tmp_path / "m.safetensors"
    save(path, checkpoint())
    damaged(path, DAMAGED_METADATA[case])
    refused(path, re.escape(path.name))


def test_a_missing_file_is_refused_by_name(tmp_path):
    refused(tmp_path / "none.safetensors", "cannot read the model")


def test_a_folder_is_refused_by_name(tmp_path):
    refused(tmp_path, "cannot read the model")


@pytest.mark.parametrize("content", [b"", b"{}", b"not safetensors at all", b"\xff" * 64])
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    refused(tmp_path / "m.safetensors", "cannot read the model")


def test_a_file_cut_short_is_refused_by_name(tmp_path):
    path = tmp_path / "m.safetensors"
    save(path, checkpoint())
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "cannot read the model")


def test_tensors_without_metadata_are_refused_by_name(tmp_path):
    save_file({"embed": torch.ones(2, 2)}, tmp_path / "m.safetensors")
    refused(tmp_path / "m.safetensors", FORMAT)
