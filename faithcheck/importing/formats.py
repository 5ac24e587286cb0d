"""Which format a file is in, by its content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from faithcheck.errors import Location, UserError
from faithcheck.importing import component_files, component_graph, component_nodes, node_list, published_masks
from faithcheck.importing.json_text import load_json
from faithcheck.importing.torch_file import STARTS, load_torch
from faithcheck.model import Model


@dataclass(frozen=True)
class Kept:
    """The nodes that a published circuit keeps of a model, {site: bool[node]}, every site.

    `remark` says in words what to know of it before it is judged; empty where there is nothing.
    """

    nodes: dict[str, Tensor]
    remark: str = ""


Reader = Callable[[Model], Kept]


@dataclass(frozen=True)
class Published:
    """A circuit in a file of others."""

    path: Path
    format: str
    _kept: Reader

    def kept(self, model: Model) -> Kept:
        """What it keeps of a model. Raises UserError naming file and entry where the file does not fit the model."""
        try:
            kept = self._kept(model)
        except UserError as error:
            raise _located(error, self.path) from None
        if not any(bool(nodes.any()) for nodes in kept.nodes.values()):
            raise UserError("the file keeps no node, so there is no circuit to test", Location(str(self.path)))
        return kept


def read(path: Path) -> Published:
    """Read a published circuit. Raises UserError naming the file, and the entry, that is in no known format."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the circuit: {error.strerror}", Location(str(path))) from None
    try:
        name, kept = _of_torch(load_torch(path)) if content.startswith(STARTS) else _of_text(content, str(path))
    except UserError as error:
        raise _located(error, path) from None
    return Published(path, name, kept)


def _of_torch(data: dict[str, Any]) -> tuple[str, Reader]:
    if data.keys() >= component_files.PT_KEYS:
        return component_files.NAME, _graph(component_files.from_tensors(data))
    if published_masks.is_one(data):
        return published_masks.NAME, lambda model: Kept(published_masks.keep(data, model))
    raise UserError(
        f"found the entries {', '.join(data) or 'none':.120}; allowed: layer0_attn_in and the like of "
        f"sparse_pretrain's masks, or {', '.join(sorted(component_files.PT_KEYS))} of a component graph"
    )


def _of_text(content: bytes, file: str) -> tuple[str, Reader]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(
            "neither text nor a file of torch.save; a faithcheck circuit (.safetensors) needs no import: "
            "test it with faithcheck run --circuit"
        ) from None
    if not text.strip():
        raise UserError("the file is empty")
    if text.lstrip()[0] not in "[{":
        return node_list.NAME, _list(node_list.from_csv(text, file))
    data = load_json(text)
    if isinstance(data, dict) and not data.keys().isdisjoint(("nodes", "edges")):
        return component_files.NAME, _graph(component_files.from_json(data))
    return node_list.NAME, _list(node_list.from_json(data))


def _list(entries: Sequence[node_list.Entry]) -> Reader:
    def kept(model: Model) -> Kept:
        nodes = node_list.keep(entries, model)
        none = node_list.without_a_node(nodes, model)
        return Kept(nodes, f"no node is listed of {', '.join(none)}, so all of these are ablated" if none else "")

    return kept


def _graph(graph: component_graph.Graph) -> Reader:
    def kept(model: Model) -> Kept:
        nodes, still = component_nodes.keep(graph, model), component_nodes.still_acting(graph, model)
        remark = (
            f"{', '.join(map(str, still))}: outside the graph, but with the values of heads inside, so that only their "
            "queries are ablated and they pass on an average of these values"
        )
        return Kept(nodes, remark if still else "")

    return kept


def _located(error: UserError, path: Path) -> UserError:
    return error if error.location else UserError(error.message, Location(str(path)))
