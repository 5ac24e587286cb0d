"""The HTML report: one self-contained file that asks nothing of any network. No torch, no model.

`page` collects what the page shows, one module draws each kind of picture, and `templates/` lays it out. Whatever
`*.css` and `*.js` lie in this folder go into the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faithcheck.report.reading import LoadedResult


def render(loaded: LoadedResult) -> str:
    """The report of a result as the text of one HTML file."""
    from faithcheck.report.html.assets import environment, policy, script, style
    from faithcheck.report.html.page import page_of

    code = script()
    template = environment().get_template("page.html")
    return template.render(page=page_of(loaded), style=style(), script=code, policy=policy(code))
