"""What `faithcheck train CONFIG` reads: the shape of the model, its text and its optimiser."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from faithcheck.errors import UserError
from faithcheck.parameters import Parameters
from faithcheck.task import find_task
from faithcheck_circuits.transformer.config import Config


class Recipe(Parameters):
    """A training run. Every value that decides the weights stands here; the model card repeats them."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = 0
    d_head: int = Field(16, gt=0)
    d_model: int = Field(256, gt=0)
    layers: int = Field(2, gt=0)
    share: float = Field(1 / 32, gt=0, le=1)
    per_neuron: int = Field(4, ge=0)
    anneal_until: float = Field(0.5, gt=0, le=1)
    corpus_seed: int = 0
    corpus_tokens: int = Field(5_000_000, ge=1000)
    steps: int = Field(4000, gt=0)
    batch: int = Field(32, gt=0)
    context: int = Field(64, gt=1)
    lr: float = Field(4e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    eps: float = Field(1e-8, gt=0)
    tasks: tuple[str, ...] = ("pronoun", "ioi", "questions")

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        for task in tasks:
            try:
                find_task(task)
            except UserError as error:
                raise ValueError(error.message) from None
        return tasks

    @field_validator("d_model")
    @classmethod
    def _whole_heads(cls, d_model: int, info: ValidationInfo) -> int:
        if d_model % info.data.get("d_head", d_model):
            raise ValueError(f"{d_model} is not a multiple of d_head")
        return d_model

    @field_validator("context")
    @classmethod
    def _shorter_than_corpus(cls, context: int, info: ValidationInfo) -> int:
        if context >= info.data.get("corpus_tokens", 0):
            raise ValueError(f"a context of {context} tokens is longer than the corpus")
        return context

    def config(self, vocabulary: int) -> Config:
        """The model's shape."""
        return Config(
            vocabulary=vocabulary,
            d_model=self.d_model,
            d_head=self.d_head,
            d_mlp=4 * self.d_model,
            layers=self.layers,
        )
