"""Lists of site and index, as JSON or CSV. What a list does not name is not kept."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from faithcheck.errors import Location, UserError, did_you_mean
from faithcheck.model import Model

NAME = "node list"
_HEADER = ["site", "index"]
_FORMS = '["0.attn_q", 5] or {"site": "0.attn_q", "index": 5}'


@dataclass(frozen=True)
class Entry:
    """One node as written, and the words that say where; `location` where that is a line of a file."""

    site: Any
    index: Any
    where: str
    location: Location | None = None

    def refuse(self, message: str) -> UserError:
        return UserError(f"{self.where}{message}", self.location)


def from_json(data: Any) -> list[Entry]:
    """The entries of a list of pairs or objects, or of `{site: [index, ...]}`. Raises UserError for other data."""
    if isinstance(data, dict):
        return [entry for site, indices in data.items() for entry in _of_site(site, indices)]
    if not isinstance(data, list):
        raise UserError(f"found {data!r:.60}, allowed: a list of {_FORMS}, or an object of site to list of indices")
    return [_entry(item, f"entry {number}: ") for number, item in enumerate(data, 1)]


def _of_site(site: str, indices: Any) -> Iterator[Entry]:
    if not isinstance(indices, list):
        raise UserError(f"{site!r}: found {indices!r:.60}, allowed: a list of indices")
    yield from (Entry(site, index, f"{site!r}: ") for index in indices)


def _entry(item: Any, where: str) -> Entry:
    match item:
        case [site, index]:
            return Entry(site, index, where)
        case {"site": site, "index": index} if len(item) == 2:
            return Entry(site, index, where)
    raise UserError(f"{where}found {item!r:.60}, allowed: {_FORMS}")


def from_csv(text: str, file: str) -> list[Entry]:
    """The rows below the header `site,index`. Raises UserError naming the line of a row that is none."""
    rows = csv.reader(text.splitlines(), strict=True)
    entries: list[Entry] = []
    header: list[str] | None = None
    try:
        for row in rows:
            cells, line = [cell.strip() for cell in row], Location(file, rows.line_num)
            if not any(cells):
                continue
            if header is None:
                header = _header(cells, line)
            elif len(cells) != len(_HEADER):
                raise UserError(f"found {len(cells)} columns, allowed: site,index", line)
            else:
                entries.append(Entry(cells[0], _number(cells[1]), "", line))
    except csv.Error as error:
        raise UserError(f"not CSV: {error}", Location(file, rows.line_num)) from None
    return entries


def _header(cells: list[str], line: Location) -> list[str]:
    if [cell.lower() for cell in cells] != _HEADER:
        raise UserError(
            f"found the header {','.join(cells)!r:.60}, allowed: site,index (or a JSON file, or one of torch.save)",
            line,
        )
    return cells


def _number(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def keep(entries: Sequence[Entry], model: Model) -> dict[str, Tensor]:
    """{site: bool[node]} of every site. Raises UserError for an entry that is no node of the model, or comes twice."""
    kept = {name: torch.zeros(site.size, dtype=torch.bool) for name, site in model.sites.items()}
    for entry in entries:
        if not isinstance(entry.site, str) or entry.site not in kept:
            near = did_you_mean(entry.site, kept) or f"; {model.name} has {', '.join(kept):.200}"
            raise entry.refuse(f"unknown site {entry.site!r:.60}{near}")
        nodes, size = kept[entry.site], len(kept[entry.site])
        if not isinstance(entry.index, int) or isinstance(entry.index, bool):
            raise entry.refuse(f"the index {entry.index!r:.60} is no whole number")
        if not 0 <= entry.index < size:
            raise entry.refuse(f"index {entry.index} is out of range: {entry.site} has the nodes 0 to {size - 1}")
        if nodes[entry.index]:
            raise entry.refuse(f"{entry.site} {entry.index} is listed twice")
        nodes[entry.index] = True
    return kept


def without_a_node(kept: Mapping[str, Tensor], model: Model) -> list[str]:
    """The kinds of site that keep no node in any layer: authors who list neurons or heads alone leave the rest on."""
    has = {model.sites[name].kind for name, nodes in kept.items() if nodes.any()}
    return [kind for kind in dict.fromkeys(site.kind for site in model.sites.values()) if kind not in has]
