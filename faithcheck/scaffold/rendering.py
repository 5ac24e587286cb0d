"""The templates in `faithcheck/templates`, filled in: text only, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_TEMPLATES = Path(__file__).parent.parent / "templates"
_SUFFIX = ".jinja"
_NAME = "NAME"


def render_file(template: str, values: Mapping[str, Any]) -> str:
    """The text of `templates/TEMPLATE.jinja`. Raises jinja2.UndefinedError where it asks for a value not given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return environment.get_template(f"{template}{_SUFFIX}").render(values)


def render_folder(folder: str, values: Mapping[str, Any]) -> dict[PurePosixPath, str]:
    """{path: text} of every template in a folder; `NAME` in a path becomes `values["name"]`."""
    found = sorted((_TEMPLATES / folder).rglob(f"*{_SUFFIX}"))
    templates = [path.relative_to(_TEMPLATES).as_posix().removesuffix(_SUFFIX) for path in found]
    return {
        PurePosixPath(template.replace(_NAME, values["name"])).relative_to(folder): render_file(template, values)
        for template in templates
    }
