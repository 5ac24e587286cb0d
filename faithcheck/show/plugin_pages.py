"""Pages about methods, checks and models."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from faithcheck import plugins
from faithcheck.building import of_plugin
from faithcheck.loading import load_model
from faithcheck.show.page import Page, Table
from faithcheck.show.parameters import parameter_tables

if TYPE_CHECKING:
    from faithcheck.model import Model

OPTIONAL = ("restrict", "count_edges", "edge_weights", "shuffled")
"""What a model may be able to do; see `faithcheck.model.Model`."""


def entry_page(group: str, entry: plugins.Entry, path: str | None = None) -> Page:
    """The page of an installed plugin; of a model's loader with a path, that of the model.

    Raises UserError as `load_model` does.
    """
    kind, suffix = plugins.singular(group), "" if path is None else f":{path}"
    page = Page(kind, entry.name + suffix, [("package", entry.package), ("code", entry.value)])
    return _filled(page, group, str(entry), suffix)


def file_page(ref: str) -> Page:
    """The page of what `path/to/file.py:NAME` stands for. Raises UserError where there is no such thing."""
    return _filled(Page("plugin", ref), "plugins", ref)


def _filled(page: Page, group: str, ref: str, suffix: str = "") -> Page:
    """With what the plugin says of itself, or why it cannot."""
    try:
        plugin: Any = plugins.load(group, ref)
        with of_plugin(page.name):
            page = replace(page, kind=_kind(plugin)) if page.kind == "plugin" else page
            page = replace(page, facts=[*page.facts, *_source(plugin)], text=_text(page.kind, plugin))
            return _model(page, plugin, ref, suffix) if page.kind == "model" else _declared(page, plugin)
    except plugins.BrokenPlugin as error:
        return replace(page, broken=error.reason)


def _kind(plugin: object) -> str:
    """What a class in a file is, by what it has; a model is whatever can be called and is neither of the others."""
    if hasattr(plugin, "extract"):
        return "method"
    return "check" if hasattr(plugin, "measure") else "model"


def _source(plugin: object) -> list[tuple[str, str]]:
    try:
        file = inspect.getsourcefile(plugin)  # type: ignore[arg-type]  # a TypeError for what has no source
    except (TypeError, OSError):
        file = None
    return [("file", file)] if file else []


def _text(kind: str, plugin: object) -> str:
    """Its own docstring; then, but for models, that of its module, where sources are often cited."""
    module = None if kind == "model" else sys.modules.get(getattr(plugin, "__module__", None) or "")
    found = [getattr(plugin, "__doc__", None), getattr(module, "__doc__", None)]
    return "\n\n".join(reflowed(text) for text in found if isinstance(text, str) and text.strip())


def reflowed(docstring: str) -> str:
    """A docstring with each paragraph on one line, for the terminal to wrap; lists and examples stay as they are."""
    paragraphs = inspect.cleandoc(docstring).strip().split("\n\n")
    return "\n\n".join(p if re.search(r"^(\s|[-*] |\d+\. )", p, re.M) else " ".join(p.split()) for p in paragraphs)


def _declared(page: Page, plugin: Any) -> Page:
    """A method's or a check's: what it asks, its gates, its parameters."""
    facts = [(name, str(getattr(plugin, name))) for name in ("scope", "question") if hasattr(plugin, name)]
    gates = getattr(plugin, "gates", None)
    rows = [(str(metric), str(gate)) for metric, gate in gates.items()] if isinstance(gates, Mapping) else []
    tables = [Table("gates", ("metric", "passes if"), rows)] if rows else []
    return replace(page, facts=[*page.facts, *facts], tables=[*tables, *parameter_tables(plugin)])


def _model(page: Page, factory: Any, ref: str, suffix: str) -> Page:
    """With its sites and nodes, for which it is loaded; how it is written, where it needs a path."""
    wanted = None if suffix else _path_parameter(factory)
    if wanted is not None:
        return replace(page, facts=[*page.facts, ("written as", f"{page.name}:{wanted.upper()}")])
    facts, table = _inventory(load_model(f"{ref}{suffix}"))
    return replace(page, facts=[*page.facts, *facts], tables=[table])


def _path_parameter(factory: Any) -> str | None:
    """The name of the first argument that a loader asks for; None where a model needs nothing but its device."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in positional and p.name != "device"]
    return needed[0] if needed else None


def _inventory(model: Model) -> tuple[list[tuple[str, str]], Table]:
    sites = list(model.sites.values())
    able = [name for name in OPTIONAL if hasattr(model, name)]
    facts = [
        ("fingerprint", model.fingerprint),
        ("layers", str(len({site.layer for site in sites}))),
        ("nodes", f"{sum(site.size for site in sites):,}"),
        ("norms", ", ".join(model.norms) or "none"),
        ("optional capabilities", ", ".join(able) or "none"),
    ]
    kinds = dict.fromkeys(site.kind for site in sites)
    rows = [[site.size for site in sites if site.kind == kind] for kind in kinds]
    cells = [(kind, f"{len(sizes)}", f"{sum(sizes):,}") for kind, sizes in zip(kinds, rows, strict=True)]
    return facts, Table("sites", ("kind", "sites", "nodes"), cells)
