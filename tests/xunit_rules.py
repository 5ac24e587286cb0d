"""What pytest's family xunit2 (Jenkins' schema junit-10) allows in a JUnit file, as a table, and a reader that holds a
file to it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

SAID = {"type", "message"}
COUNTS = {"name", "tests", "failures", "errors"}
TEXT = {"failure", "error", "skipped", "system-out", "system-err"}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "testcase": TEXT,
}
REQUIRED = {"testsuite": COUNTS, "property": {"name", "value"}, "testcase": {"name"}}
OPTIONAL = {
    "testsuites": COUNTS | {"time"},
    "testsuite": {
        "skipped",
        "time",
        "timestamp",
        "hostname",
        "id",
        "package",
        "file",
        "log",
        "url",
        "version",
        "group",
    },
    "testcase": {"time", "classname", "group"},
    "failure": SAID,
    "error": SAID,
    "skipped": SAID,
}
TIME = re.compile(r"[0-9]*(\.[0-9]{0,3})?")


def read(text):
    """The top element of a JUnit file. ParseError where it is no XML, AssertionError where it breaks a rule."""
    top = ElementTree.fromstring(text.encode())
    assert top.tag == "testsuites"
    for element in top.iter():
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set()), element.tag
        given, required = set(element.attrib), REQUIRED.get(element.tag, set())
        assert required <= given <= required | OPTIONAL.get(element.tag, set()), (element.tag, given)
        assert element.tag in TEXT or not (element.text or "").strip(), element.tag
        assert TIME.fullmatch(element.get("time", "0")), element.get("time")
    for suite in [top, *top.iter("testsuite")]:
        cases = list(suite.iter("testcase"))
        counted = {"tests": len(cases)} | {
            attribute: sum(case.find(tag) is not None for case in cases)
            for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
        }
        assert all(int(suite.get(name, number)) == number for name, number in counted.items()), counted
    return top
