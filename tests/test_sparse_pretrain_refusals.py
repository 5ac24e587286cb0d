"""Broken and malicious checkpoints of the sparse_pretrain format: refused in one sentence, and nothing of them runs."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from sparse_pretrain_files import config_of, state_of, write

from faithcheck import load_model
from faithcheck.cli import main
from faithcheck.errors import UserError

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def good(tmp_path):
    """A folder that loads."""
    return write(tmp_path / "ckpt", config_of(), state_of(config_of()))


def with_state(**changes):
    """Changes a tensor of the state dict, or takes it out (None); `__` stands for a dot."""

    def change(folder):
        state = state_of(config_of())
        for name, value in changes.items():
            name = name.replace("__", ".")
            if value is None:
                del state[name]
            else:
                state[name] = value(state.get(name)) if callable(value) else value
        torch.save(state, folder / "pytorch_model.bin")

    return change


def with_config(section, **changes):
    def change(folder):
        config = config_of()
        for name, value in changes.items():
            if value is None:
                config[section].pop(name)
            else:
                config[section][name] = value
        (folder / "config.json").write_text(json.dumps(config))

    return change


def with_text(text):
    return lambda folder: (folder / "config.json").write_text(text)


def with_weights(save, file="pytorch_model.bin"):
    """Other bytes in a weights file; `save` gives them from those of the good file."""

    def change(folder):
        data = (folder / "pytorch_model.bin").read_bytes()
        (folder / "pytorch_model.bin").unlink()
        (folder / file).write_bytes(save(data))

    return change


def safetensors_of(change):
    def bytes_of(_):
        from safetensors.torch import save

        return change(save(state_of(config_of())))

    return bytes_of


def spoiled(value):
    """The tensor with one value that is no number."""

    def spoil(tensor):
        tensor = tensor.clone()
        tensor.view(-1)[3] = value
        return tensor

    return spoil


def saved(what):
    def bytes_of(_):
        import io

        buffer = io.BytesIO()
        torch.save(what, buffer)
        return buffer.getvalue()

    return bytes_of


BIN, CONFIG, TENSORS = r"pytorch_model\.bin: ", r"config\.json: ", r"model\.safetensors: "
FC = "blocks__1__mlp__c_fc__weight"
BAD = {
    "no config.json": (lambda f: (f / "config.json").unlink(), CONFIG + "cannot be read: No such file"),
    "config.json is a folder": (
        lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
        CONFIG + "cannot be read: Is a directory",
    ),
    "a config.json that is cut off": (with_text('{"model_config": {'), CONFIG + "is no JSON: "),
    "a config.json that is no text": (
        lambda f: (f / "config.json").write_bytes(b"\xff\xfe{"),
        CONFIG + "is no JSON: ",
    ),
    "a config.json nested without end": (with_text("[" * 100_000), CONFIG + "is no JSON: "),
    "a config.json that is a list": (with_text("[1]"), CONFIG + "has no model_config and no sparsity_config"),
    "a config.json of another format": (with_text('{"n_layer": 2}'), CONFIG + "has no model_config and no sparsity"),
    "no sparsity_config": (with_text(json.dumps({"model_config": {}})), CONFIG + "has no sparsity_config"),
    "no vocabulary": (with_config("model_config", vocab_size=None), CONFIG + r"model_config\.vocab_size: missing"),
    "a field that is misspelt": (
        with_config("model_config", use_rmsnorm=True),
        CONFIG + r"model_config\.use_rmsnorm: unknown key; .*did you mean 'use_rms_norm'\?",
    ),
    "a field that may change the computation": (
        with_config("model_config", use_rotary=True),
        CONFIG + r"model_config\.use_rotary: unknown key",
    ),
    "an unknown field of sparsity_config": (
        with_config("sparsity_config", activation_threshold=0.1),
        CONFIG + r"sparsity_config\.activation_threshold: unknown key",
    ),
    "an unknown activation": (
        with_config("model_config", activation="silu"),
        CONFIG + r"model_config\.activation: found 'silu'; allowed: 'gelu' or 'relu'",
    ),
    "a width as text": (
        with_config("model_config", d_model="16"),
        CONFIG + r"model_config\.d_model: found '16'; allowed: a whole number",
    ),
    "no layers": (with_config("model_config", n_layer=0), CONFIG + r"model_config\.n_layer: found 0; allowed: more"),
    "heads that do not divide": (
        with_config("model_config", d_head=5),
        CONFIG + r"model_config: d_model 16 is not a multiple of d_head 5",
    ),
    "an unknown place": (
        with_config("sparsity_config", activation_sparsity_locations="attn_in,resid_post"),
        CONFIG
        + r"sparsity_config\.activation_sparsity_locations: unknown place 'resid_post'; known: attn_in, .*resid_mid",
    ),
    "a place after a space, where published code finds none": (
        with_config("sparsity_config", activation_sparsity_locations="attn_in, mlp_out"),
        CONFIG + r".*unknown place ' mlp_out'; .*no spaces.*did you mean 'mlp_out'\?",
    ),
    "a share of nothing": (
        with_config("sparsity_config", activation_topk_fraction=0.0),
        CONFIG + r"sparsity_config\.activation_topk_fraction: found 0\.0; allowed: more than 0",
    ),
    "a share that is no number": (
        with_config("sparsity_config", activation_topk_fraction=NAN),
        CONFIG + r"sparsity_config\.activation_topk_fraction: found nan; allowed: ",
    ),
    "no weights": (
        lambda f: (f / "pytorch_model.bin").unlink(),
        r"ckpt: has no weights: none of model\.safetensors, pytorch_model\.bin, sparse_model\.bin is there",
    ),
    "a missing matrix": (
        with_state(**{FC: None}),
        BIN + r"tensor 'blocks\.1\.mlp\.c_fc\.weight' is missing; config\.json promises one of shape \[24, 16\]",
    ),
    "names with a prefix": (
        lambda f: torch.save({f"module.{n}": t for n, t in state_of(config_of()).items()}, f / "pytorch_model.bin"),
        BIN + r"tensor 'wte\.weight' is missing; .*; there is 'module\.wte\.weight'",
    ),
    "a tensor without values": (
        with_state(ln_f__weight=torch.empty(16, device="meta")),
        BIN + r"tensor 'ln_f\.weight' is without values \(meta\), expected floating-point numbers",
    ),
    "a missing bias": (
        with_state(blocks__0__attn__c_attn__bias=None),
        BIN + r"tensor 'blocks\.0\.attn\.c_attn\.bias' is mi",
    ),
    "a missing sink": (
        with_state(blocks__1__attn__attn_fn__sink_logit=None),
        BIN + r"tensor 'blocks\.1\.attn\.attn_fn\.sink_logit' is missing; .*\[4\]",
    ),
    "a missing last norm": (with_state(ln_f__weight=None), BIN + r"tensor 'ln_f\.weight' is missing"),
    "a promised bigram table that is missing": (
        with_config("model_config", use_bigram_table=True),
        BIN + r"tensor 'bigram_table' is missing; .*\[23, 23\]",
    ),
    "more layers promised than there are": (
        with_config("model_config", n_layer=10**9),
        BIN + r"tensor 'blocks\.2\.ln_1\.weight' is missing",
    ),
    "an extra layer": (
        with_config("model_config", n_layer=1),
        BIN + r"unexpected tensor 'blocks\.1\.attn\.attn_fn\.sink_logit': config\.json promises none",
    ),
    "an extra tensor": (with_state(bigram_table=torch.zeros(23, 23)), BIN + "unexpected tensor 'bigram_table'"),
    "a bias of RMSNorm": (with_state(ln_f__bias=torch.zeros(16)), BIN + r"unexpected tensor 'ln_f\.bias'"),
    "a causal mask beside sinks that it would leave out": (
        with_state(blocks__0__attn__causal_mask=torch.ones(1, 1, 7, 7)),
        BIN + r"unexpected tensor 'blocks\.0\.attn\.causal_mask': .*use_flash_attention",
    ),
    "a matrix of another shape": (
        with_state(**{FC: torch.zeros(24, 17)}),
        BIN + r"tensor 'blocks\.1\.mlp\.c_fc\.weight' has shape \[24, 17\], expected \[24, 16\]",
    ),
    "a matrix that is transposed": (
        with_state(**{FC: lambda t: t.T}),
        BIN + r"tensor 'blocks\.1\.mlp\.c_fc\.weight' has shape \[16, 24\], expected \[24, 16\]",
    ),
    "whole numbers": (
        with_state(**{FC: lambda t: t.long()}),
        BIN + r"tensor 'blocks\.1\.mlp\.c_fc\.weight' is int64, expected floating-point numbers",
    ),
    "complex numbers": (
        with_state(wte__weight=lambda t: t.to(torch.complex64)),
        BIN + r"tensor 'wte\.weight' is complex64",
    ),
    "a sparse tensor": (with_state(wte__weight=lambda t: t.to_sparse()), BIN + r"tensor 'wte\.weight' is sparse_coo"),
    "a weight that is NaN": (
        with_state(**{FC: spoiled(NAN)}),
        BIN + r"tensor 'blocks\.1\.mlp\.c_fc\.weight' has values that are not finite",
    ),
    "a sink that is infinite": (
        with_state(blocks__1__attn__attn_fn__sink_logit=spoiled(INF)),
        BIN + r"tensor 'blocks\.1\.attn\.attn_fn\.sink_logit' has values that are not finite",
    ),
    "a weight too large for float32": (
        with_state(wte__weight=lambda t: t.double() * 1e300),
        BIN + r"tensor 'wte\.weight' has values that are not finite in float32",
    ),
    "a .bin that is cut off": (with_weights(lambda data: data[: len(data) // 2]), BIN + "is damaged"),
    "an empty .bin": (with_weights(lambda data: b""), BIN + "is damaged"),
    "a .bin of noise": (with_weights(lambda data: bytes(range(256)) * 8), BIN + "is damaged"),
    "a .bin that is a folder": (
        lambda f: ((f / "pytorch_model.bin").unlink(), (f / "pytorch_model.bin").mkdir()),
        "has no weights",
    ),
    "a tensor alone": (with_weights(saved(torch.zeros(3))), BIN + "holds Tensor, expected tensors by name"),
    "a state dict inside something": (
        with_weights(saved({"model": state_of(config_of())})),
        BIN + "'model' is dict, expected tensors by name",
    ),
    "tensors by number": (with_weights(saved({0: torch.zeros(3)})), BIN + "0 is Tensor, expected tensors by name"),
    "a bridge's file that is cut off": (
        with_weights(lambda data: data[:-100], "sparse_model.bin"),
        r"sparse_model\.bin: is damaged",
    ),
    "safetensors that are cut off": (
        with_weights(safetensors_of(lambda data: data[:-100]), "model.safetensors"),
        TENSORS + "cannot be read as safetensors: ",
    ),
    "safetensors cut in their header": (
        with_weights(safetensors_of(lambda data: data[:20]), "model.safetensors"),
        TENSORS + "cannot be read as safetensors: ",
    ),
    "a pickle called safetensors": (
        with_weights(lambda data: data, "model.safetensors"),
        TENSORS + "cannot be read as",
    ),
    "a broken tokenizer": (
        lambda f: (f / "tokenizer.json").write_text('{"version": "1.0"}'),
        r"tokenizer\.json: is no tokenizer: ",
    ),
}


def test_the_checkpoint_that_is_broken_below_loads(good):
    assert load_model(f"sparse_pretrain:{good}").config.layers == 2


@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_refused_by_name_in_one_line(case, good):
    change, message = BAD[case]
    change(good)
    with pytest.raises(UserError, match=message) as refused:
        load_model(f"sparse_pretrain:{good}")
    assert len(str(refused.value).splitlines()) == 1


def test_every_unsuitable_field_is_named_at_once(good):
    with_config("model_config", n_layer=0, activation="silu")(good)
    with pytest.raises(UserError, match="n_layer") as refused:
        load_model(f"sparse_pretrain:{good}")
    assert "activation" in str(refused.value)


def test_tied_embeddings_that_differ_are_refused(tmp_path):
    config = config_of("tied")
    state = {**state_of(config), "lm_head.weight": torch.zeros(23, 16)}
    with pytest.raises(UserError, match=r"wte\.weight and lm_head\.weight differ, but config\.json ties them"):
        load_model(f"sparse_pretrain:{write(tmp_path, config, state)}")


def test_layer_norms_of_which_one_lacks_its_bias_are_refused(tmp_path):
    config = config_of("layer norm, no bias")
    state = state_of(config)
    del state["blocks.1.ln_2.bias"]
    with pytest.raises(UserError, match=r"tensor 'blocks\.1\.ln_2\.bias' is missing"):
        load_model(f"sparse_pretrain:{write(tmp_path, config, state)}")


@pytest.mark.parametrize("path", ["nowhere", "a file"])
def test_what_is_no_folder_is_refused(path, tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(UserError, match="no such folder; sparse_pretrain:DIR takes the folder of a checkpoint"):
        load_model(f"sparse_pretrain:{tmp_path / path}")


class Evil:
    """When unpickled, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


SMUGGLED = {
    "beside the tensors": lambda evil: saved({**state_of(config_of()), "extra": evil})(None),
    "as the whole file": lambda evil: saved(evil)(None),
    "as a bare pickle": lambda evil: pickle.dumps(evil),
    "as an old pickle": lambda evil: pickle.dumps({"wte.weight": evil}, protocol=2),
}


@pytest.mark.parametrize("how", SMUGGLED)
@pytest.mark.parametrize("file", ["pytorch_model.bin", "sparse_model.bin"])
def test_code_in_a_pickle_is_not_executed(how, file, good, tmp_path):
    mark = tmp_path / "executed"
    data = SMUGGLED[how](Evil(mark))
    with_weights(lambda _: data, file)(good)
    with pytest.raises(UserError, match="never executed") as refused:
        load_model(f"sparse_pretrain:{good}")
    assert not mark.exists()
    assert len(str(refused.value).splitlines()) == 1


def test_the_pickle_of_the_test_above_does_execute_where_it_may(tmp_path):
    mark = tmp_path / "executed"
    pickle.loads(SMUGGLED["as a bare pickle"](Evil(mark)))
    assert mark.exists()


def test_the_command_line_says_it_in_one_line_and_leaves_with_2(good, tmp_path, capsys):
    with_state(**{FC: torch.zeros(3)})(good)
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "{faithcheck: 1, model: stories-tiny, tasks: [pronoun], method: full, seeds: 1, target_loss: 0.5, "
        "checks: [sufficiency]}"
    )
    assert main(["run", str(suite), "--model", f"sparse_pretrain:{good}", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.strip()
    assert "'blocks.1.mlp.c_fc.weight' has shape [3], expected [24, 16]" in said.replace("\n", " ")
    assert "Traceback" not in said
