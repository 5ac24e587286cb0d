"""Templates, styles and scripts of the page, and the policy that keeps it from asking for anything."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from faithcheck.report.html import words
from faithcheck.text import visible

HERE = Path(__file__).parent


@cache
def environment() -> Environment:
    """Everything that a template prints is escaped, and shows control characters and direction marks as text."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"reason": words.reason, "verdict": words.verdict, "number": words.number}
    made.globals["embedded"] = embedded
    return made


def style() -> Markup:
    return Markup(_joined("css"))


def script() -> Markup:
    """The scripts one after the other, in one scope: none leaves a name in the page."""
    return Markup('(() => {\n"use strict";\n\n' + _joined("js") + "})();\n")


def policy(code: str) -> str:
    """A Content-Security-Policy that runs this script and no other, and lets nothing be requested."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(data: Any) -> Markup:
    """Data as JSON for a script element of type application/json: no text in it can end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _joined(suffix: str) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(HERE.glob(f"*.{suffix}")))


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
