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
        made.post_processor = TemplateProcessing(single=template, special_tokens=[("[bos]", 1), ("[eos]", 2)])
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
    with pytest.raises(ValueError, match="does not know a word"):
        found.encode("when Ada plays")


@pytest.mark.parametrize(
    ("template", "start"), [("[bos] $A", [1]), ("[bos] $A [eos]", [1]), ("$A [eos]", []), ("$A", []), (None, [])]
)
def test_text_starts_with_bos_where_the_tokenizer_puts_it_and_never_ends_with_eos(tmp_path, template, start):
    folder, _ = saved(tmp_path, words=tokenizer(template))
    found = load_model(f"lens:{folder}").tokenizer
    assert found.encode("when Mia") == [*start, 4, 5]
    assert found.encode("when Mia plays")[: len(start) + 2] == found.encode("when Mia")


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
    with pytest.raises(UserError, match=r"lacks 9 of the model's weights: model\.layers\.2\."):
        load_model(f"lens:{folder}")


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

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", unreachable)
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
