"""A loaded checkpoint of the sparse_pretrain format computes what its description says, in every form of the format."""

import warnings

import pytest
import torch
from faithcheck_circuits.plain.forward import Pass
from faithcheck_circuits.plain.model import PlainTransformer
from faithcheck_circuits.transformer.model import SparseTransformer
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_pretrain_files import EIGHT, FAST, FORMS, PLAIN, ByForm, config_of, plain_double, state_of, write
from sparse_pretrain_forward import expected
from test_model_laws import MEMBERS, at, close, everything, random_levers

from faithcheck import load_model

FLOAT32 = 1e-5
few = settings(max_examples=4, deadline=None)
every_form = pytest.mark.parametrize("form", FORMS)


def prompts(seed=0, count=3, width=5, vocabulary=23):
    """tokens int[prompt, pos] and a position of each prompt."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, vocabulary, (count, width), generator=generator)
    return tokens, torch.randint(0, width, (count,), generator=generator)


def checkpoint(folder, form, seed=0):
    """The folder of a checkpoint, its config and its state dict."""
    config = config_of(form)
    state = state_of(config, seed)
    return write(folder, config, state), config, state


@pytest.fixture(scope="module")
def doubles(tmp_path_factory):
    """(the plain transformer in float64, the config, the state dict) of a form."""
    found = ByForm()
    for form in FORMS:
        folder, config, state = checkpoint(tmp_path_factory.mktemp("form"), form)
        found[form] = (plain_double(folder), config, state)
    return found


@every_form
@pytest.mark.parametrize("seed", range(3))
def test_a_loaded_checkpoint_is_the_plain_forward_pass_to_float32(form, seed, tmp_path):
    folder, config, state = checkpoint(tmp_path, form, seed)
    model = load_model(f"sparse_pretrain:{folder}")
    tokens, positions = prompts(seed)
    found, wanted = model.run(tokens, capture=everything(model)), expected(config, state, tokens)
    close(found.logits, wanted.logits, FLOAT32)
    assert set(found.captured) == set(wanted.captured)
    for name, value in wanted.captured.items():
        close(found.captured[name], value, FLOAT32)
    some = torch.tensor([3, 0, 21])
    close(model.run(tokens, positions=positions, vocab=some).logits, at(wanted.logits, positions)[..., some], FLOAT32)


@every_form
@given(seed=st.integers(0, 2**20), whole=st.booleans())
@few
def test_masks_baselines_and_scales_do_what_the_plain_forward_pass_does(doubles, form, seed, whole):
    model, config, state = doubles(form)
    tokens, positions = prompts(seed)
    masks, baselines, scales = random_levers(model, seed)
    found = model.run(
        tokens,
        positions=None if whole else positions,
        masks=masks,
        baselines=baselines,
        norm_scales=scales,
        capture=everything(model),
    )
    wanted = expected(config, state, tokens, masks, baselines, scales, MEMBERS)
    close(found.logits, wanted.logits if whole else at(wanted.logits, positions))
    for name, value in wanted.captured.items():
        close(found.captured[name], value)


@pytest.mark.parametrize("form", FAST)
def test_a_form_of_the_weight_sparse_transformer_gets_its_restrict_and_its_speed(form, tmp_path):
    assert type(load_model(f"sparse_pretrain:{checkpoint(tmp_path, form)[0]}")) is SparseTransformer


@pytest.mark.parametrize("form", PLAIN)
def test_any_other_form_runs_plainly(form, tmp_path):
    model = load_model(f"sparse_pretrain:{checkpoint(tmp_path, form)[0]}")
    assert type(model) is PlainTransformer
    assert not hasattr(model, "restrict")


@every_form
def test_the_pattern_has_a_sink_only_where_the_model_attends_to_one(form, doubles):
    model, _, _ = doubles(form)
    pattern = model.run(prompts()[0], capture=["0.attn_pattern"]).captured["0.attn_pattern"]
    torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern.sum(-1)))
    without = form in ("no sinks", "no flash attention")
    assert bool((pattern[..., -1] == 0).all()) == without


@pytest.mark.parametrize("form", ["rms norm", "relu"])
def test_where_the_stream_is_small_the_epsilon_of_rms_norm_is_that_of_float32(form, tmp_path):
    config = config_of(form)
    state = state_of(config, embed=3e-4)
    tokens, _ = prompts()
    found = load_model(f"sparse_pretrain:{write(tmp_path, config, state)}").run(tokens).logits
    close(found, expected(config, state, tokens).logits, FLOAT32)


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_the_norms_are_those_of_torch(kind, size, tmp_path):
    model = load_model(f"sparse_pretrain:{checkpoint(tmp_path, 'layer norm' if kind == 'layer' else 'relu')[0]}")
    norm = torch.nn.LayerNorm(16) if kind == "layer" else torch.nn.RMSNorm(16)
    norm.load_state_dict(
        {"weight": model.tensors["ln_f.gain"], **({"bias": model.tensors["ln_f.bias"]} if kind == "layer" else {})}
    )
    x = size * torch.randn(1, 2, 3, 16, generator=torch.Generator().manual_seed(0))
    ours = Pass(model.config, model.tensors, {}, {}, {}, ()).norm("ln_f", x)
    torch.testing.assert_close(ours, norm(x), rtol=1e-5, atol=1e-6)


def test_layer_norms_scale_is_what_it_divides_the_centred_input_by(doubles):
    model, _, _ = doubles("layer norm")
    x = torch.tensor([[[[3.0, -1.0] * 8]]], dtype=torch.float64)  # mean 1, centred +-2
    run = Pass(model.config, model.tensors, {}, {}, {}, ["ln_f"])
    y = run.norm("ln_f", x)
    scale = run.captured["ln_f"]
    assert scale.item() == pytest.approx((4 + 1e-5) ** 0.5)
    torch.testing.assert_close(y, (x - 1) / scale * model.tensors["ln_f.gain"] + model.tensors["ln_f.bias"])


@pytest.mark.parametrize("file", ["pytorch_model.bin", "sparse_model.bin", "model.safetensors"])
def test_the_same_weights_in_any_file_are_the_same_model(file, tmp_path):
    config = config_of()
    state = state_of(config)
    one = load_model(f"sparse_pretrain:{write(tmp_path / 'one', config, state)}")
    other = load_model(f"sparse_pretrain:{write(tmp_path / 'other', config, state, file)}")
    assert other.fingerprint == one.fingerprint
    assert other.name == "sparse_pretrain:other"


def test_safetensors_come_before_any_pickle_and_a_bridge_checkpoints_bridges_are_not_read(tmp_path):
    config = config_of()
    state, other = state_of(config, seed=0), state_of(config, seed=1)
    folder = write(tmp_path, config, state, "model.safetensors")
    for file in ("pytorch_model.bin", "sparse_model.bin"):
        write(folder, config, other, file)
    (folder / "bridges.bin").write_bytes(b"not read")
    alone = write(tmp_path / "alone", config, state)
    assert load_model(f"sparse_pretrain:{folder}").fingerprint == load_model(f"sparse_pretrain:{alone}").fingerprint


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_are_read_as_float32(dtype, tmp_path):
    config = config_of("layer norm")
    stored = {name: value.to(dtype) for name, value in state_of(config).items()}
    model = load_model(f"sparse_pretrain:{write(tmp_path, config, stored)}")
    tokens, _ = prompts()
    assert model.dtype == torch.float32
    close(model.run(tokens).logits, expected(config, stored, tokens).logits, FLOAT32)


def test_what_config_json_leaves_out_is_as_in_the_published_classes(tmp_path):
    config = config_of("bigram")
    config["model_config"] = {
        "n_layer": 1, "d_model": 32, "d_mlp": None, "vocab_size": 11
    }  # fmt: skip
    config["sparsity_config"] = {"enable_activation_sparsity": True}
    full = {**config["model_config"], "n_ctx": 256, "d_head": 16, "d_mlp": 128}
    full |= {"use_bigram_table": True, "use_attention_sinks": True}
    state = state_of({"model_config": full})
    model = load_model(f"sparse_pretrain:{write(tmp_path, config, state)}")
    tokens, _ = prompts(vocabulary=11)
    close(model.run(tokens).logits, expected({**config, "model_config": full}, state, tokens).logits, FLOAT32)


@pytest.mark.parametrize("left_out", ["wte.weight", "lm_head.weight"])
def test_of_tied_embeddings_one_may_be_left_out_of_the_file(left_out, tmp_path):
    config = config_of("tied")
    state = state_of(config)
    both = load_model(f"sparse_pretrain:{write(tmp_path / 'both', config, state)}")
    one = {name: value for name, value in state.items() if name != left_out}
    assert load_model(f"sparse_pretrain:{write(tmp_path / 'one', config, one)}").fingerprint == both.fingerprint


def test_layer_norms_of_a_model_without_biases_may_have_none(tmp_path):
    config = config_of("layer norm, no bias")
    state = {name: value for name, value in state_of(config).items() if not name.endswith("bias")}
    tokens, _ = prompts()
    found = load_model(f"sparse_pretrain:{write(tmp_path, config, state)}").run(tokens).logits
    close(found, expected(config, state, tokens).logits, FLOAT32)


LEFT_OUT = "top-k at the places that are left out"
TRAINED = "optimizer: {{eps: 0.1}}\nsparsity:\n  enable_activation_sparsity: true\n{places}"


@pytest.mark.parametrize(
    ("form", "text", "warned"),
    [
        (
            "top-k at the places that are left out",
            f"  activation_sparsity_locations: {EIGHT},resid_mid,resid_pre",
            True,
        ),
        ("top-k at the places that are left out", f"  activation_sparsity_locations: {EIGHT}", False),
        ("top-k at the places that are left out", "", False),
        ("top-k at all eight sites", "  activation_sparsity_locations: resid_pre", False),
        ("rms norm", "  activation_sparsity_locations: resid_pre", False),
    ],
)
def test_a_config_that_leaves_out_the_places_a_model_was_trained_with_is_warned_of(form, text, warned, tmp_path):
    folder, config, state = checkpoint(tmp_path, form)
    (folder / "training_config.yaml").write_text(TRAINED.format(places=text))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = load_model(f"sparse_pretrain:{folder}")
    assert [str(w.message) for w in said if "resid_mid" in str(w.message)] == [str(w.message) for w in said]
    assert len(said) == warned
    close(model.run(prompts()[0]).logits, expected(config, state, prompts()[0]).logits, FLOAT32)


@pytest.mark.parametrize("text", ["{", "sparsity: 3", "[1]", "sparsity: {activation_sparsity_locations: [attn_in]}"])
def test_a_training_config_that_says_nothing_of_the_kind_is_not_heeded(text, tmp_path):
    folder, _, _ = checkpoint(tmp_path, LEFT_OUT)
    (folder / "training_config.yaml").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(f"sparse_pretrain:{folder}")
