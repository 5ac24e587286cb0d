"""`lens:NAME_OR_DIR`: what is loaded, how text becomes tokens, and what is refused by name."""

import json

import pytest
import torch
from lens_models import (
    VOCABULARY,
    assert_close,
    configuration,
    lens_of,
    plain,
    prompts,
    random_masks,
    random_network,
    transformers,
)
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from faithcheck.errors import UserError
from faithcheck.loading import find_model, load_model

WORDS = ["[pad]", "[bos]", "[eos]", "[unk]", "when", "Mia", "Leo", "plays", "she", "he", ","]


def tokenizer(template=None, unknown="[unk]"):
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=unknown))
    made.pre_tokenizer = Whitespace()
    if template:
        made.post_processor = TemplateProcessing(
            single=template, special_tokens=[("[pad]", 0), ("[bos]", 1), ("[eos]", 2)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="[bos]", eos_token="[eos]", pad_token="[pad]", unk_token=unknown
    )


def saved(tmp_path, family="llama", words=None, **changes):
    """A directory with a random network's config.json and model.safetensors, and perhaps a tokenizer."""
    folder = tmp_path / family
    network = random_network(configuration(family, **changes))
    network.save_pretrained(folder)
    if words is not None:
        words.save_pretrained(folder)
    return folder, network


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_a_saved_directory_is_the_network_that_was_saved(tmp_path, family):
    folder, network = saved(tmp_path, family, tokenizer())
    find_model(f"lens:{folder}")
    model, (tokens, _) = load_model(f"lens:{folder}"), prompts()
    assert_close(model.run(tokens).logits[0], network(tokens).logits)
    assert (model.name, model.device.type, model.dtype) == (f"lens:{family}", "cpu", torch.float32)


def test_half_precision_weights_are_computed_in_float32(tmp_path):
    folder, rounded = saved(tmp_path)
    for parameter in rounded.parameters():
        parameter.copy_(parameter.bfloat16())
    half = random_network(configuration("llama"), dtype=torch.bfloat16)
    half.save_pretrained(folder)
    model, (tokens, _) = load_model(f"lens:{folder}"), prompts()
    assert model.dtype == torch.float32
    assert_close(model.run(tokens).logits[0], rounded(tokens).logits)


def test_the_fingerprint_is_of_configuration_and_weights_not_of_the_place(tmp_path):
    one, _ = saved(tmp_path / "a")
    other, _ = saved(tmp_path / "b")
    slower, _ = saved(tmp_path / "c", rms_norm_eps=1e-3)
    edited, network = saved(tmp_path / "d")
    network.model.layers[1].mlp.up_proj.weight[0, 0] += 1e-3
    network.save_pretrained(edited)
    first, same, *others = (load_model(f"lens:{folder}").fingerprint for folder in (one, other, slower, edited))
    assert len(first) == 64
    assert first == same
    assert len({first, *others}) == 3


def test_text_is_read_by_the_models_own_tokenizer(tmp_path):
    folder, _ = saved(tmp_path, words=tokenizer())
    found = load_model(f"lens:{folder}").tokenizer
    assert found.encode("when Mia plays") == [4, 5, 7]
    assert found.decode([4, 5, 7]) == "when Mia plays"
    with pytest.raises(ValueError, match="does not know 'Ada'"):
        found.encode("when Ada plays")


def test_a_word_at_which_a_tokenizer_without_an_unknown_token_raises_is_named(tmp_path):
    folder, _ = saved(tmp_path, words=tokenizer(unknown=None))
    with pytest.raises(ValueError, match="does not know 'Ada'"):
        load_model(f"lens:{folder}").tokenizer.encode("when Ada plays")


@pytest.mark.parametrize(
    ("template", "start"),
    [
        ("[bos] $A", [1]),
        ("[bos] $A [eos]", [1]),
        ("[pad] [bos] $A", [0, 1]),
        ("[eos] $A", [2]),
        ("$A [eos]", []),
        ("$A", []),
        (None, []),
    ],
)
def test_text_starts_with_what_the_tokenizer_puts_there_and_never_ends_with_eos(tmp_path, template, start):
    folder, _ = saved(tmp_path, words=tokenizer(template))
    found = load_model(f"lens:{folder}").tokenizer
    assert found.encode("when Mia") == [*start, 4, 5]
    assert found.encode("when Mia plays")[: len(start) + 2] == found.encode("when Mia")


def test_a_word_whose_token_the_model_has_no_embedding_for_is_refused_by_name(tmp_path):
    folder, _ = saved(tmp_path, words=tokenizer(), vocab_size=9)
    found = load_model(f"lens:{folder}").tokenizer
    assert found.encode("when she") == [4, 8]
    with pytest.raises(ValueError, match="'he' is token 9 of its tokenizer, the model knows 9"):
        found.encode("when he")


def test_a_checkpoint_without_a_tokenizer_reads_token_ids(tmp_path):
    folder, network = saved(tmp_path)
    model = load_model(f"lens:{folder}")
    assert model.tokenizer.encode("12 7 3") == [12, 7, 3]
    assert model.tokenizer.decode([12, 7, 3]) == "12 7 3"
    tokens = torch.tensor([[12, 7, 3]])
    assert_close(model.run(tokens).logits[0], network(tokens).logits)


def test_a_directory_that_is_not_there_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no such directory") as error:
        load_model(f"lens:{tmp_path}/nothing")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("change", "says"), [("empty", "config.json"), ("pickled", "safetensors"), ("broken", "")])
def test_a_directory_that_holds_no_safetensors_checkpoint_is_refused_in_one_sentence(tmp_path, change, says):
    folder, network = saved(tmp_path)
    weights = folder / "model.safetensors"
    if change == "empty":
        (folder / "config.json").unlink()
    if change == "pickled":
        weights.unlink()
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
    if change == "broken":
        weights.write_bytes(b"no safetensors")
    with pytest.raises(UserError, match="no causal language model with safetensors weights") as error:
        load_model(f"lens:{folder}")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_checkpoint_that_lacks_weights_is_refused_not_filled_in(tmp_path):
    folder, _ = saved(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UserError, match=r"lacks weights of the model \(9\): model\.layers\.2\."):
        load_model(f"lens:{folder}")


UP, DOWN = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight"


def edited(tmp_path, family="llama", weights=None, **config):
    """A saved directory in which some tensors and some entries of config.json were changed or added."""
    folder, network = saved(tmp_path, family)
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, **(weights or {})}, folder / "model.safetensors", {"format": "pt"})
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**found, **config}))
    return folder, network


@pytest.mark.parametrize(
    ("name", "tensor", "says"),
    [
        ("model.layers.0.self_attn.q_proj.bias", torch.ones(32), "no place for (1): model.layers.0.self_attn.q_proj"),
        ("model.layers.2.mlp.up_proj.weight", torch.ones(48, 32), "no place for (1): model.layers.2.mlp.up_proj"),
        ("score.weight", torch.ones(2, 32), "no place for (1): score.weight"),
        (UP, torch.ones(47, 32), f"of another shape (1): {UP} [47, 32], expected [48, 32]"),
        (UP, torch.ones(48, 32, dtype=torch.int8), f"no floating-point numbers (1): {UP} (I8)"),
        (DOWN, torch.ones(32, 48).to(torch.float8_e4m3fn), f"no floating-point numbers (1): {DOWN} (F8_E4M3)"),
        (DOWN, torch.full((32, 48), torch.nan), f"not finite (1): {DOWN}"),
        ("model.embed_tokens.weight", torch.eye(40, 32) * torch.inf, "not finite (1): model.embed_tokens.weight"),
    ],
)
def test_weights_that_are_not_those_of_the_model_that_config_json_describes_are_refused_by_name(
    name, tensor, says, tmp_path
):
    folder, _ = edited(tmp_path, weights={name: tensor})
    with pytest.raises(UserError) as error:
        load_model(f"lens:{folder}")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("family", "constants"),
    [
        ("gpt2", {"transformer.h.0.attn.bias": (1, 1, 64, 64), "transformer.h.0.attn.masked_bias": ()}),
        ("pythia", {"gpt_neox.layers.0.attention.bias": (1, 1, 64, 64)}),
        ("llama", {"model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}),
    ],
)
def test_constants_that_earlier_versions_saved_beside_the_weights_are_no_weights(family, constants, tmp_path):
    folder, network = edited(tmp_path, family, {name: torch.ones(shape) for name, shape in constants.items()})
    tokens, _ = prompts()
    assert_close(load_model(f"lens:{folder}").run(tokens).logits[0], network(tokens).logits)


@pytest.mark.parametrize("method", ["fp8", "gptq", "some new one"])
def test_quantised_weights_are_refused_by_name(method, tmp_path):
    folder, _ = edited(tmp_path, quantization_config={"quant_method": method})
    with pytest.raises(UserError, match=rf"lens:llama: its weights are quantised \({method}\)"):
        load_model(f"lens:{folder}")


def test_embeddings_that_are_tied_and_differ_are_refused(tmp_path):
    folder, _ = edited(tmp_path, "gpt2", {"lm_head.weight": torch.ones(VOCABULARY, 32)})
    with pytest.raises(UserError, match="ties embedding and unembedding, but the checkpoint's differ"):
        load_model(f"lens:{folder}")


def test_a_config_json_that_contradicts_itself_is_refused_with_what_contradicts_what(tmp_path):
    folder, _ = edited(tmp_path, num_attention_heads=5)
    with pytest.raises(UserError, match=r"hidden size \(32\) is not a multiple of the number of attention heads \(5\)"):
        load_model(f"lens:{folder}")


def test_weights_in_several_files_are_read_from_all_and_a_missing_one_is_refused(tmp_path):
    folder, network = saved(tmp_path)
    (folder / "model.safetensors").unlink()
    network.save_pretrained(folder, max_shard_size="20KB")
    tokens, _ = prompts()
    assert_close(load_model(f"lens:{folder}").run(tokens).logits[0], network(tokens).logits)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    tensors = load_file(shard)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name].to(torch.int8)}, shard, {"format": "pt"})
    with pytest.raises(UserError, match=rf"no floating-point numbers \(1\): {name}"):
        load_model(f"lens:{folder}")
    shard.unlink()
    with pytest.raises(UserError, match=shard.name):
        load_model(f"lens:{folder}")


def test_rotary_positions_of_two_lengths_are_run_up_to_the_shorter():
    two = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    lengths = {"max_position_embeddings": 64, "original_max_position_embeddings": 8}
    shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    config = transformers.Phi3Config(**shape, **lengths, num_attention_heads=4, pad_token_id=0, rope_scaling=two)
    model, (tokens, _) = lens_of(random_network(config)), prompts(width=9)
    assert_close(model.run(tokens[:, :8]).logits[:, :, :5], model.run(tokens[:, :5]).logits)
    with pytest.raises(ValueError, match="takes 8 tokens, got 9"):
        model.run(tokens)


def test_code_beside_a_checkpoint_is_not_run(tmp_path):
    folder, _ = saved(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (folder / "config.json").write_text(json.dumps({**config, **own}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="no causal language model"):
        load_model(f"lens:{folder}")
    assert not (tmp_path / "ran").exists()


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("We couldn't connect to the hub\nand more lines")

    monkeypatch.setattr(transformers.PretrainedConfig, "get_config_dict", unreachable)
    with pytest.raises(UserError, match="not to be had from the Hugging Face hub: We couldn't connect") as error:
        load_model("lens:someone/some-model")
    assert "\n" not in str(error.value)


MOE = {"num_local_experts": 4, "num_key_value_heads": 2}


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("MixtralConfig", MOE, "is a mixture of experts"),
        ("Olmo2Config", {}, "has no norm before its attention|attn_in is not what ln_1 gives"),
        ("MambaConfig", {}, "no hook point blocks.0.attn.hook_in"),
        (
            "OPTConfig",
            {"ffn_dim": 48, "word_embed_proj_dim": 32},
            "cannot be run through TransformerLens's hook points",
        ),
    ],
)
def test_an_architecture_that_the_protocol_has_no_place_for_is_refused_by_name(kind, changes, says):
    shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 1, "pad_token_id": 0}
    heads = {} if kind == "MambaConfig" else {"num_attention_heads": 4}
    with pytest.raises(UserError, match=says) as error:
        lens_of(random_network(getattr(transformers, kind)(**shape, **heads, **changes)), "theirs")
    assert str(error.value).startswith("theirs")


def test_an_encoder_decoder_is_refused_by_name(tmp_path):
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    network = transformers.T5ForConditionalGeneration(config)
    with pytest.raises(UserError, match="is an encoder-decoder"):
        lens_of(network)
    network.save_pretrained(tmp_path / "t5")
    with pytest.raises(UserError, match="lens:t5: no causal language model"):
        load_model(f"lens:{tmp_path}/t5")


def test_shuffled_permutes_the_values_of_each_tensor():
    network = random_network(configuration("gpt2"))
    model, (tokens, positions) = lens_of(network), prompts()
    one, again, other = model.shuffled(0), model.shuffled(0), model.shuffled(1)
    for name, tensor in model.source.tensors.items():
        assert torch.equal(one.source.tensors[name].flatten().sort()[0], tensor.flatten().sort()[0])
    assert torch.equal(one.run(tokens).logits, again.run(tokens).logits)
    assert one.fingerprint == again.fingerprint
    assert len({model.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert (one.run(tokens).logits - model.run(tokens).logits).abs().max() > 1e-2
    assert list(one.sites.items()) == list(model.sites.items())
    assert one.norms == model.norms
    assert one.run(tokens, positions=positions, masks=random_masks(one)).logits.shape == (2, 3, VOCABULARY)
    tied = one.source.tensors
    assert torch.equal(tied["transformer.wte.weight"], tied["lm_head.weight"])
    assert_close(model.run(tokens).logits[0], plain("gpt2")(tokens).logits)


def test_a_shuffled_model_from_which_the_trial_could_learn_nothing_is_a_model_all_the_same():
    # Nothing is written to channel 0, which the last norm multiplies by 1e9; shuffled, the soft cap gives only 5.
    network = random_network(configuration("gemma2", final_logit_softcapping=5.0, tie_word_embeddings=False))
    network.model.embed_tokens.weight[:, 0] = 0.0
    for block in network.model.layers:
        block.post_attention_layernorm.weight[0] = block.post_feedforward_layernorm.weight[0] = -1.0
    network.model.norm.weight[0] = 1e9
    model, (tokens, _) = lens_of(network), prompts()
    assert model.run(tokens).logits.abs().max() < 5.0
    assert (model.shuffled(0).run(tokens).logits.abs() == 5.0).all()
