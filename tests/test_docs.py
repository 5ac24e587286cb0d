"""Every check has a page with the same sections; its rates are those of the measured table; links lead somewhere."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from faithcheck import plugins
from faithcheck.arguments import parser

DOCS = Path(__file__).parent.parent / "docs"
SECTIONS = [
    "Question",
    "Formula",
    "Source",
    "Default gates and why",
    "When it does not apply or cannot decide",
    "What it cannot see",
    "Measured error rates",
]
CHECKS = [entry.name for entry in plugins.names("checks") if entry.package == "faithcheck"]
PAGES = sorted(DOCS.rglob("*.md"))
READMES = [DOCS.parent / "README.md", *sorted(DOCS.parent.glob("examples/*/README.md"))]


def test_there_are_checks_and_pages_to_look_at():
    assert len(CHECKS) >= 7
    assert len(PAGES) > len(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_has_a_page_with_all_sections_and_its_default_gates(check):
    text = (DOCS / "checks" / f"{check}.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.M) == SECTIONS
    gates = plugins.load("checks", check).gates
    assert all(metric in text and gate in text for metric, gate in gates.items())


@pytest.mark.parametrize("check", CHECKS)
def test_the_rates_on_a_page_are_rows_of_the_measured_table(check):
    rows = set((DOCS / "calibration.md").read_text().splitlines())
    section = (DOCS / "checks" / f"{check}.md").read_text().split("## Measured error rates")[1]
    own = [line for line in section.splitlines() if line.startswith(f"| {check} ")]
    assert own
    assert set(own) <= rows


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def commands(page):
    """The command lines of a page's fenced blocks; a synopsis, with its brackets, is none."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.M | re.S)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("faithcheck ") and not re.search(r" \[|\|", line)]


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_the_commands_on_a_page_are_commands(page):
    for line in commands(page):
        words = shlex.split(line.split(" > ")[0], comments=True)
        assert callable(parser().parse_args(words[1:]).command), line


@pytest.mark.parametrize("page", ["first-method.md", "first-suite.md", "report.md", "claims.md", "diff.md"])
def test_a_page_that_shows_commands_is_read_for_them(page):
    assert commands(DOCS / page)


def test_the_method_on_the_first_page_is_the_one_that_init_writes():
    shown = (DOCS / "first-method.md").read_text().split("```python\n")[1].split("```")[0]
    template = Path(plugins.__file__).parent / "templates/method/src/NAME.py.jinja"
    assert "".join(f"    {line}\n" for line in shown.splitlines()) in template.read_text()


def test_the_api_reference_is_what_the_docstrings_say():
    namespace = runpy.run_path(str(DOCS / "make_api.py"))
    assert (DOCS / "api.md").read_text() == namespace["text"](), "run python docs/make_api.py"
