"""config.json of a sparse_pretrain checkpoint: what of it the computation depends on.

The fields and their defaults are those of `ModelConfig` and `SparsityConfig` in sparse_pretrain's src/config.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.model import SITE_KINDS
from faithcheck.reasons import refusal
from faithcheck.schema_errors import Source, explain
from faithcheck_circuits.plain.config import PLACES

SECTIONS = ("model_config", "sparsity_config")


class _Section(BaseModel):
    """A field that is not known here may change what the model computes, and is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=_Section)


class ModelSection(_Section):
    """`dropout` is off outside training. `n_ctx` is how many positions have an embedding, where any has."""

    vocab_size: int = Field(gt=1)
    n_layer: int = Field(8, gt=0)
    d_model: int = Field(1024, gt=0)
    n_ctx: int = Field(256, gt=0)
    d_head: int = Field(16, gt=0)
    d_mlp: int | None = Field(None, gt=0)
    use_rms_norm: bool = True
    tie_embeddings: bool = False
    use_positional_embeddings: bool = False
    use_bigram_table: bool = True
    use_attention_sinks: bool = True
    activation: Literal["gelu", "relu"] = "gelu"
    dropout: float = 0.0
    use_bias: bool = True
    use_flash_attention: bool = True

    @model_validator(mode="after")
    def _whole_heads(self) -> ModelSection:
        if self.d_model % self.d_head:
            raise ValueError(f"d_model {self.d_model} is not a multiple of d_head {self.d_head}")
        return self

    @property
    def mlp(self) -> int:
        return 4 * self.d_model if self.d_mlp is None else self.d_mlp

    @property
    def heads(self) -> int:
        return self.d_model // self.d_head

    @property
    def attends_to_sinks(self) -> bool:
        """sparse_pretrain's attention without flash attention leaves its sinks out."""
        return self.use_attention_sinks and self.use_flash_attention


class SparsitySection(_Section):
    """The first six are about how weights were made sparse in training."""

    enable_weight_sparsity: Any = None
    target_l0_fraction: Any = None
    sparsity_anneal_start_fraction: Any = None
    sparsity_anneal_end_fraction: Any = None
    anneal_type: Any = None
    min_weights_per_neuron: Any = None
    enable_activation_sparsity: bool = True
    activation_topk_fraction: float = Field(0.25, gt=0)
    activation_sparsity_locations: str = ",".join(SITE_KINDS)

    @field_validator("activation_sparsity_locations")
    @classmethod
    def _known(cls, text: str) -> str:
        for place in filter(None, text.split(",")):
            if place not in PLACES:
                known = f"known: {', '.join(PLACES)}, with commas and no spaces between them"
                raise ValueError(f"unknown place {place!r}; {known}{did_you_mean(place, PLACES)}")
        return text

    @property
    def share(self) -> float | None:
        """The share of values kept at `places`; None, all are."""
        kept = self.activation_topk_fraction < 1 and bool(self.places)
        return self.activation_topk_fraction if self.enable_activation_sparsity and kept else None

    @property
    def places(self) -> tuple[str, ...]:
        named = self.activation_sparsity_locations.split(",")
        return tuple(place for place in PLACES if place in named)


@dataclass(frozen=True)
class Settings:
    model: ModelSection
    sparsity: SparsitySection


def read_settings(folder: Path) -> Settings:
    """Raises UserError where the file is missing, is no JSON, lacks a section, or has an unknown or bad field."""
    place = Location(str(folder / "config.json"))
    found = _json(folder / "config.json", place)
    missing = [name for name in SECTIONS if not (isinstance(found, dict) and isinstance(found.get(name), dict))]
    if missing:
        raise UserError(f"has no {' and no '.join(missing)}, which say what the model computes", place)
    return Settings(
        model=_section("model_config", ModelSection, found, place),
        sparsity=_section("sparsity_config", SparsitySection, found, place),
    )


def _section(name: str, section: type[S], found: Mapping[str, Any], place: Location) -> S:
    try:
        return section.model_validate(found[name])
    except ValidationError as error:
        source = Source(value=lambda loc: place, key=lambda loc: place, path=lambda loc: (name, *loc))
        raise refusal(explain(error, section, source)) from None


def _json(path: Path, place: Location) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", place) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"is no JSON: {error}", place) from None
