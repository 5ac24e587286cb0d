"""The model card: what was trained, how, and what it can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from faithcheck.losses import logit_difference, prompt_losses
from faithcheck.prompts import encode
from faithcheck.task import load_task
from faithcheck_circuits.training.recipe import Recipe
from faithcheck_circuits.transformer.model import SparseTransformer


def card(recipe: Recipe, model: SparseTransformer, command: str, losses: Sequence[float], held_out: float) -> str:
    """The card as Markdown. losses: the train losses of the last steps; held_out: on stories of another seed, nats."""
    tensors = model.network.tensors
    matrices = [tensors[name] for name in model.config.sparse_names()]
    nonzero = sum(int(m.count_nonzero()) for m in matrices)
    total = sum(m.numel() for m in matrices)
    settings = "\n".join(f"| {name} | {value} |" for name, value in recipe.model_dump().items())
    return f"""# {recipe.name}

A weight-sparse transformer (pre-norm, RMSNorm, attention sinks, no positions, untied embeddings) trained on short
children's stories that `faithcheck_circuits.stories` generates. It is a test object for circuit extraction and has no
other use.

Made by `{command}` with {torch.get_num_threads()} thread(s) and torch {torch.__version__}.

| what | value |
|---|---|
| nonzero weights in matrices | {nonzero:,} of {total:,} ({nonzero / total:.2%}) |
| vocabulary | {model.config.vocabulary} words |
| train loss, mean of the last {len(losses)} steps | {sum(losses) / len(losses):.4f} nats |
| loss on stories of another seed | {held_out:.4f} nats |
| fingerprint | `{model.fingerprint}` |

## Tasks

| task | prompts | accuracy | cross-entropy, whole vocabulary | binary |
|---|---|---|---|---|
{chr(10).join(_task_rows(recipe, model))}

Accuracy: the right answer is preferred to the other one. Splits are those of the task files; `test` prompts are in the
language that the model was trained on, and are held out from extraction, not from training.

## Recipe

| setting | value |
|---|---|
{settings}
"""


def _task_rows(recipe: Recipe, model: SparseTransformer) -> Iterator[str]:
    for name in recipe.tasks:
        task = load_task(name)
        for split in (*task.splits, *task.shifts):
            prompts = encode(task, split, model.tokenizer)
            logits = model.run(prompts.tokens, positions=prompts.positions).logits
            right = (logit_difference(logits, prompts.targets, prompts.distractors) > 0).float().mean()
            full, binary = (
                float(prompt_losses(logits, prompts.targets, prompts.distractors, kind).mean())
                for kind in ("full", "binary")
            )
            yield f"| {name}, {split} | {len(prompts)} | {float(right):.4f} | {full:.4f} | {binary:.4f} |"
