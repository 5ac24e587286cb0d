"""The shape of a weight-sparse transformer, and the names of its sites, norms and tensors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

SOURCE = {
    "attn_q": "attn_in",
    "attn_k": "attn_in",
    "attn_v": "attn_in",
    "attn_out": "attn_v",
    "mlp_neuron": "mlp_in",
    "mlp_out": "mlp_neuron",
}
"""The site kind that each weight matrix reads, by the kind that it writes."""
WRITTEN = ("attn_out", "mlp_out")
"""The kinds of sites that are added to the residual stream."""
RESIDUAL = ("attn_in", "mlp_in", *WRITTEN)
"""The kinds of sites whose nodes are its channels."""


class Config(BaseModel):
    """Pre-norm GPT-2 style, RMSNorm, untied embeddings, no positions, one attention sink per head, GELU (erf).

    `activation_topk` keeps that share of each site's nodes, by magnitude; `bigram` adds a dense table
    indexed by the current token to the logits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(gt=1)
    d_model: int = Field(256, gt=0)
    d_head: int = Field(16, gt=0)
    d_mlp: int = Field(1024, gt=0)
    layers: int = Field(2, gt=0)
    activation_topk: float | None = Field(None, gt=0, le=1)
    bigram: bool = False
    norm_eps: float = 1e-6

    @model_validator(mode="after")
    def _whole_heads(self) -> Config:
        if self.d_model % self.d_head:
            raise ValueError(f"d_model {self.d_model} is not a multiple of d_head {self.d_head}")
        return self

    @property
    def heads(self) -> int:
        return self.d_model // self.d_head

    def size(self, kind: str) -> int:
        return self.d_mlp if kind == "mlp_neuron" else self.d_model

    def norms(self) -> list[str]:
        return [f"{layer}.{ln}" for layer in range(self.layers) for ln in ("ln_1", "ln_2")] + ["ln_f"]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor by name. A matrix `{layer}.{kind}.weight` is [kind's nodes, source's nodes]."""
        shapes: dict[str, tuple[int, ...]] = {
            "embed": (self.vocabulary, self.d_model),
            "unembed": (self.vocabulary, self.d_model),
        }
        for norm in self.norms():
            shapes[f"{norm}.gain"] = (self.d_model,)
        for layer in range(self.layers):
            shapes[f"{layer}.sink"] = (self.heads,)
            for kind, source in SOURCE.items():
                shapes[f"{layer}.{kind}.weight"] = (self.size(kind), self.size(source))
                shapes[f"{layer}.{kind}.bias"] = (self.size(kind),)
        if self.bigram:
            shapes["bigram"] = (self.vocabulary, self.vocabulary)
        return shapes

    def sparse_names(self) -> list[str]:
        """The matrices whose weights are kept sparse: all but the bigram table."""
        return [name for name, shape in self.shapes().items() if len(shape) == 2 and name != "bigram"]
