"""Every check has a page with the same sections; its rates are those of the measured table; links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from faithcheck import plugins
from faithcheck.cli import _parser

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["first-method.md", "plugins.md"])
def test_the_commands_on_a_page_are_commands(page):
    lines = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("faithcheck ")]
    assert len(lines) >= 4
    for line in lines:
        assert callable(_parser().parse_args(shlex.split(line)[1:]).command)


def test_the_method_on_the_first_page_is_the_one_that_init_writes():
    shown = (DOCS / "first-method.md").read_text().split("```python\n")[1].split("```")[0]
    template = Path(plugins.__file__).parent / "templates/method/src/NAME.py.jinja"
    assert "".join(f"    {line}\n" for line in shown.splitlines()) in template.read_text()
