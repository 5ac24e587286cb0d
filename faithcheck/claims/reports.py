"""Reports of claims: those of each claim's run beside its result, and one of all claims for CI.

What a claim's run found is no failure: a claim may be of a FAIL. So the reports that CI reads, JUnit and GitHub's, are
about claims, and say of each whether it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from faithcheck.claims.outcome import Outcome, State
from faithcheck.files import cannot_write, make_folder, write_whole
from faithcheck.report import command
from faithcheck.report.formats import FILES
from faithcheck.report.github import Annotation, append_text, commands, in_the_repository
from faithcheck.report.markdown_text import code, plain
from faithcheck.text import one_line, visible


def forget_earlier(out: Path) -> None:
    """Remove the JUnit file of claims that an earlier run left in `out`: it is not about this one."""
    with suppress(OSError):
        file = out / FILES["junit"]
        if b'<testsuites name="faithcheck"' in file.read_bytes()[:200]:
            file.unlink()


def write_reports(outcomes: Sequence[Outcome], out: Path, forms: Iterable[str]) -> None:
    """Write the reports of claims whose results lie in `out`; that for GitHub is printed.

    Raises UserError where one cannot be written.
    """
    for form in dict.fromkeys(forms):
        if form == "github":
            print(commands(annotated(outcomes)), end="")  # noqa: T201
            append_text(summary(outcomes))
        elif form == "junit":
            _write(out / FILES[form], junit(outcomes))
        else:
            tested = (outcome for outcome in outcomes if outcome.state is not State.UNTESTABLE)
            for folder in (out / outcome.name for outcome in tested):
                if (folder / "result.json").is_file():
                    command.write_reports(folder, [form])


def junit(outcomes: Sequence[Outcome]) -> str:
    """A test case a claim, in pytest's family xunit2: what does not hold is a failure, what was not tested an error."""
    suite = Element("testsuite", name="claims", tests=str(len(outcomes)), skipped="0")
    suite.set("time", f"{sum(outcome.seconds for outcome in outcomes):.3f}")
    for outcome in outcomes:
        case = SubElement(suite, "testcase", classname="claims", name=one_line(outcome.name))
        case.set("time", f"{outcome.seconds:.3f}")
        if outcome.state is not State.HOLDS:
            kind = "failure" if outcome.state is State.BROKEN else "error"
            said = SubElement(case, kind, type=outcome.state.words, message=one_line(outcome.sentence))
            said.text = visible(outcome.details) or one_line(outcome.sentence)
    top = Element("testsuites", name="faithcheck", time=suite.get("time", ""), tests=str(len(outcomes)))
    for attribute, kind in (("failures", "failure"), ("errors", "error")):
        for element in (suite, top):
            element.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
    top.append(suite)
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True).decode() + "\n"


def annotated(outcomes: Sequence[Outcome]) -> list[Annotation]:
    """One for each objection, on the line of the claim's file that it is about."""
    return [
        Annotation(
            "error",
            f"claim {outcome.name} {outcome.state.words}",
            objection.sentence,
            in_the_repository(objection.location.file),
            objection.location.line,
        )
        for outcome in outcomes
        for objection in outcome.objections
    ]


def summary(outcomes: Sequence[Outcome]) -> str:
    """GitHub-flavoured Markdown: a row a claim, and the sentences of those that do not hold."""
    held = sum(outcome.state is State.HOLDS for outcome in outcomes)
    rows = [f"| {code(o.name)} | {_bold(o.state)} | {plain(o.text)} |" for o in outcomes]
    sentences = [f"- {code(o.name)}: {plain(objection.sentence)}" for o in outcomes for objection in o.objections]
    lines = [f"## faithcheck: {held} of {len(outcomes)} claims held", "", "| claim | outcome | what is claimed |"]
    return "\n".join([*lines, "| --- | --- | --- |", *rows, *([""] if sentences else []), *sentences]) + "\n"


def _bold(state: State) -> str:
    return state.words if state is State.HOLDS else f"**{state.words}**"


def _write(file: Path, text: str) -> None:
    make_folder(file.parent, "the report")
    try:
        write_whole(file, text)
    except OSError as error:
        raise cannot_write(file, "the report", error) from None
    print(visible(f"Report: {file}"))  # noqa: T201
