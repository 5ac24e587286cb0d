"""`faithcheck train` for weight-sparse transformers on generated stories: weights and a model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from faithcheck_circuits.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from faithcheck_circuits.transformer.model import SparseTransformer

SAMPLE_SENTENCES = 1500
"""Sentences of the corpus that travel with the weights, for checks that ask about the model's own text."""
_HELD_OUT_SEED = 1_000_003


class StoriesTrainer:
    """Trains a weight-sparse transformer on short generated stories."""

    Parameters = Recipe

    def __init__(self, recipe: Recipe):
        self.recipe = recipe

    def train(self, out: Path, command: str, report: Callable[[int, int, str], None]) -> list[Path]:
        """Write `NAME.safetensors` and its card `NAME.md` to `out`, and return their paths.

        report: called after every step with the step, the number of steps and what to show.
        """
        from faithcheck_circuits.stories.grammar import vocabulary
        from faithcheck_circuits.stories.tokenizer import WordTokenizer
        from faithcheck_circuits.training.card import card
        from faithcheck_circuits.training.text import StoryText, sample_sentences
        from faithcheck_circuits.training.train import train
        from faithcheck_circuits.transformer.initial import initial_tensors
        from faithcheck_circuits.transformer.model import SparseTransformer
        from faithcheck_circuits.transformer.storage import Checkpoint, save

        recipe, words = self.recipe, vocabulary()
        tokenizer, config = WordTokenizer(words), recipe.config(len(words))
        tensors = initial_tensors(config, recipe.seed)
        losses = []
        for step in train(recipe, config, StoryText(tokenizer, recipe.corpus_seed, recipe.corpus_tokens), tensors):
            losses.append(step.loss)
            report(step.step, recipe.steps, f"loss {step.loss:.3f}, {step.share:.1%} of the weights")
        model = SparseTransformer(recipe.name, config, tensors, tokenizer)
        paths = [out / f"{recipe.name}.safetensors", out / f"{recipe.name}.md"]
        sample = sample_sentences(recipe.corpus_seed, SAMPLE_SENTENCES)
        save(paths[0], Checkpoint(recipe.name, config, tensors, words, sample))
        held_out = _held_out_loss(model, StoryText(tokenizer, _HELD_OUT_SEED, 60_000).tokens)
        paths[1].write_text(card(recipe, model, command, losses[-100:], held_out))
        return paths


def _held_out_loss(model: SparseTransformer, tokens: Tensor, length: int = 64) -> float:
    """Mean next-token cross-entropy, in nats, on stories of another seed."""
    import torch
    import torch.nn.functional as F

    rows = tokens[: len(tokens) // length * length].view(-1, length)
    total = 0.0
    with torch.no_grad():
        for chunk in rows.split(64):
            logits = model.run(chunk).logits[0, :, :-1]
            total += float(F.cross_entropy(logits.flatten(0, 1), chunk[:, 1:].flatten())) * len(chunk)
    return total / len(rows)
