"""The forms that a result is rendered in, and the files that they go to beside it."""

from __future__ import annotations

FILES = {"html": "report.html", "markdown": "report.md", "junit": "junit.xml"}
"""The file beside result.json that a format is written to."""

FORMATS = ("terminal", *FILES, "github")

OF_A_RUN = (*FILES, "github")
"""What `faithcheck run --report` takes: the terminal has its report anyway."""
