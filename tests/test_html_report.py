"""The HTML report as text: what it says, what it never does, and what becomes of strings from outside."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import subprocess
import sys
from contextlib import suppress
from functools import reduce
from html.parser import HTMLParser

import html_results
import numpy as np
import pytest
import results

from faithcheck.errors import UserError
from faithcheck.report.html import render
from faithcheck.report.html.assets import embedded
from faithcheck.report.reading import load_result

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script></style><b>",
    "<!--<script",
    "</script ",
    "a' onmouseover='x",
    "{{ 7 * 7 }}",
    "\x1b[31mred\x07",
    "\u202egnol",
    "\ud800",
    "&lt;&amp;",
]


def places(data, path=()):
    """The path of everything inside."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


class Page(HTMLParser):
    """The elements of a page, with attributes; its text outside script and style; its data scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.shown, self.data, self._inside = [], [], [], ""
        self.feed(text)
        self.text = " ".join(self.shown)

    def handle_starttag(self, tag, attributes):
        self._inside = tag if tag in ("script", "style") else self._inside
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data):
        if not self._inside:
            self.shown.append(data)
        elif data.startswith("{"):
            self.data.append(json.loads(data))


def page(folder):
    return Page(render(load_result(folder)))


def attributes(made, name):
    return [given[name] for _, given in made.elements if name in given]


def test_top_says_verdict_why_and_the_command(tmp_path):
    text = page(html_results.folder(tmp_path)).text
    assert "4 of 7 checks failed; 2 stayed inconclusive; 1 passed." in text
    assert "faithcheck run mine.yaml --method sparse_prune" in text
    assert "2026-01-02T03:04:05+00:00" in text
    assert "about this suite" in text


def test_every_task_and_check_has_a_cell_a_reason_and_a_section_that_the_cell_leads_to(tmp_path):
    tasks = ("pronoun", "ioi")
    made = page(html_results.folder(tmp_path, tasks))
    ids, links = attributes(made, "id"), [link for link in attributes(made, "href") if link.startswith("#task")]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)
    sections = [f"task-{t}-check-{c}" for t in (1, 2) for c in range(1, 8)]
    assert all(links.count(f"#{section}") == 2 for section in sections)
    for name in html_results.MAKERS:
        assert made.text.count(f"{name} says so") == 4


def test_checks_that_fail_on_every_task_are_named_at_the_top(tmp_path):
    text = page(html_results.folder(tmp_path, ("pronoun", "ioi"))).text
    assert "attention_agreement, node_roles, generalization, layernorm: FAIL on every task." in text


@pytest.mark.parametrize("check", html_results.MAKERS)
def test_every_check_has_a_picture_with_a_description(tmp_path, check):
    made = page(html_results.folder(tmp_path, checks=[check]))
    pictures = [given for tag, given in made.elements if tag == "svg" and given.get("role") == "img"]
    assert pictures
    assert all(given["aria-label"] for given in pictures)


def test_a_strangers_check_shows_its_gated_metrics(tmp_path):
    metrics = [results.metric("strangeness", "FAIL", "<= 0.1", 0.4, seed) for seed in (0, 1)]
    entry = results.check("FAIL", "some_package/odd", reason="it is odd", metrics=metrics)
    made = page(results.write(tmp_path, results.result([entry])))
    labels = [given["aria-label"] for tag, given in made.elements if tag == "svg" and given.get("role") == "img"]
    assert labels == ["strangeness, gate <= 0.1: estimates 0.4 to 0.4; 2 FAIL"]


def test_sizes_that_were_never_reached_are_said_in_words(tmp_path):
    made = page(html_results.folder(tmp_path, checks=["nonsense_control", "layernorm"]))
    assert "nonsense labels: target not reached" in made.text
    assert "nonsense labels reach the target with 200 nodes" in made.text
    assert "no number of nodes reaches it for 2 of 2 circuits" in made.text


def test_the_words_of_nonsense_labels_are_shown(tmp_path):
    made = page(html_results.folder(tmp_path, checks=["nonsense_control"]))
    assert re.search(r"labels\s+is\s+/\s+when", made.text)


def test_a_table_behind_a_curve_has_sizes_losses_and_edges(tmp_path):
    text = page(html_results.folder(tmp_path, checks=["sufficiency"])).text
    assert "Every size that was evaluated" in text
    assert re.search(r"Edges\s+seed 0\s+1\s+5\s+0\s+seed 0\s+10\s+1\s+4\s+seed 0\s+20\s+0.1\s+9", text)


def test_nodes_are_counted_by_what_they_mean(tmp_path):
    made = page(html_results.folder(tmp_path, checks=["node_roles"]))
    labels = [given["aria-label"] for tag, given in made.elements if tag == "svg" and given.get("role") == "img"]
    counts = "1 same meaning, 1 does the same, 0 other meaning, 1 opposite role, 1 role vanishes"
    assert labels[1:] == [f"seed {seed}: correlation over importance of 4 nodes; {counts}" for seed in (0, 1)]


def test_the_head_that_matters_most_comes_first_with_its_share_and_distance(tmp_path):
    text = page(html_results.folder(tmp_path, checks=["attention_agreement"])).text
    assert re.search(r"Head 1\.5\s+75 % of the importance, total variation 0\.7", text)
    assert text.index("Head 1.5") < text.index("Head 0.1")


def test_the_first_prompt_is_there_without_a_script(tmp_path):
    text = render(load_result(html_results.folder(tmp_path, checks=["attention_agreement"])))
    answer = text[text.index('<tr class="answer">') :]
    cells = re.findall(r"<td[^>]*>(\d*)</td>", answer[: answer.index("</tr>")])
    assert cells == ["0", "75", "0", "0", "0", "25"]


def test_nothing_of_the_page_asks_for_anything(tmp_path):
    made = page(html_results.folder(tmp_path))
    addresses = [a for name in ("href", "src", "srcset", "action", "xlink:href") for a in attributes(made, name)]
    assert {address.split(",")[0] for address in addresses if not address.startswith("#")} == {"data:"}
    text = render(load_result(tmp_path)).replace("http://www.w3.org/2000/svg", "the namespace of SVG")
    assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttpRequest|WebSocket|eval\(", text)
    handlers = [name for _, given in made.elements for name in given if name.startswith("on")]
    assert handlers == []


def test_the_policy_allows_this_script_alone(tmp_path):
    text = render(load_result(html_results.folder(tmp_path)))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1).replace("&#39;", "'")
    code = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()
    assert len(code) == 1
    assert "default-src 'none'" in policy
    assert re.search(r"script-src ([^;]*)", policy).group(1) == f"'sha256-{digest}'"


@pytest.mark.parametrize("text", HOSTILE)
def test_strings_from_outside_are_text_everywhere(tmp_path, text):
    prompts = [{"tokens": [text, "Leo", text, " ", "\n"], "target": text, "distractor": text}] * 2

    def edit(data):
        data["suite"] |= {"name": text, "about": text, "file": text}
        data["method"] = {"name": text, "parameters": {text: [text]}}
        data["model"] = {"name": text, "fingerprint": text}
        data["environment"] = {"torch": text, "device": text}
        objection = {"sentence": text, "line": 1}
        data["claim"] = {
            "text": text,
            "file": text,
            "verdicts": {text: "PASS"},
            "holds": False,
            "objections": [objection],
        }
        for circuit in data["circuits"]:
            circuit["file"] = text
        for entry in data["checks"]:
            entry |= {"reason": f"{text} (1 [0, 2], gate <= {text}) {text}", "question": text}
            for metric in entry["metrics"]:
                metric["on"] = text if metric.get("on") in ("unseen", "ln_f") else metric.get("on")
        odd = results.metric(text, "FAIL", "<= 0.1", 0.4, on=text)
        data["checks"] += [results.check("FAIL", text, text, text, metrics=[odd])]
        data["checks"] += [results.check("PASS", "sufficiency", f"b{text}", evidence={"file": text, "sha256": text})]

    def claim(data):
        data["claim"] = {"text": "x", "file": "y", "verdicts": {}, "holds": True}

    plain = page(html_results.folder(tmp_path / "plain", edit=claim))
    hostile = page(html_results.folder(tmp_path / "hostile", (text,), prompts=prompts, edit=edit))
    assert {tag for tag, _ in hostile.elements} <= {tag for tag, _ in plain.elements} | {"b"}
    names = {name for _, given in hostile.elements for name in given}
    assert names <= {name for _, given in plain.elements for name in given}
    shown = text.encode("unicode_escape").decode() if not text.isprintable() else text
    assert hostile.text.count(shown.strip()) > 20
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile.text)
    hostile_text = render(load_result(tmp_path / "hostile"))
    hostile_text.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_embedded_data_has_no_letter_of_markup_and_reads_back(text):
    made = embedded({text: [text]})
    assert not set("<>&") & set(made)
    assert json.loads(made) == {text: [text]}


def test_text_in_embedded_data_cannot_end_its_element(tmp_path):
    prompts = [{"tokens": ["</script><script>", "&", "Leo", ",", "!"], "target": "he", "distractor": "she"}] * 2
    made = page(html_results.folder(tmp_path, checks=["attention_agreement"], prompts=prompts))
    assert made.data[0]["prompts"][0]["tokens"][:2] == ["</script><script>", "&"]


def test_spaces_and_line_ends_of_tokens_are_visible(tmp_path):
    prompts = [{"tokens": ["when", " Leo", "\n", "", ","], "target": " he", "distractor": " she"}] * 2
    made = page(html_results.folder(tmp_path, checks=["attention_agreement"], prompts=prompts))
    assert made.data[0]["prompts"][0]["tokens"] == ["when", "␣Leo", "\\n", "(empty)", ","]


def _lose(folder):
    next((folder / "evidence").iterdir()).unlink()


def _change(folder):
    file = next((folder / "evidence").iterdir())
    file.write_bytes(file.read_bytes() + b" ")


@pytest.mark.parametrize(("damage", "said"), [(_lose, "is not there"), (_change, "SHA-256 differs")])
@pytest.mark.parametrize("check", ["sufficiency", "nonsense_control", "attention_agreement", "node_roles"])
def test_lost_evidence_is_said_in_the_place_of_the_picture_and_the_numbers_are_drawn(tmp_path, check, damage, said):
    folder = html_results.folder(tmp_path, checks=[check])
    damage(folder)
    made = page(folder)
    assert "The evidence is not at hand" in made.text
    assert said in made.text
    assert any(given.get("role") == "img" for _, given in made.elements)


_ONES = np.ones((2, 2))
ODD = {
    "no tensors": {},
    "other shapes": {"0/curve": np.ones(3), "0/head": _ONES, "0/r": _ONES, "0/nonsense": np.ones(2)},
    "other names": {"0/head": _ONES, "0/r": np.ones(3), "0/nonsense": _ONES, "x/curve": np.ones(2)},
    "not finite": {"0/curve": _ONES * np.nan, "0/nonsense": _ONES * np.inf, "0/task": np.ones((0, 2))},
}


@pytest.mark.parametrize("tensors", ODD.values(), ids=ODD)
def test_evidence_of_another_form_stops_no_report(tmp_path, tensors):
    def edit(data):
        for entry in data["checks"]:
            entry["evidence"] = results.evidence(tmp_path, f"odd-{entry['check']}", tensors)

    text = page(html_results.folder(tmp_path, edit=edit)).text
    assert "layernorm says so" in text


def test_an_error_shows_its_traceback_and_a_check_that_does_not_apply_says_so(tmp_path):
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "x.txt").write_text("Traceback: <boom>")
    entries = [
        results.check("ERROR", "sufficiency", details="errors/x.txt"),
        results.check("NOT_APPLICABLE", "layernorm", reason="the model has no norm"),
    ]
    text = page(results.write(tmp_path, results.result(entries))).text
    assert "Traceback: <boom>" in text
    assert "The check does not apply here" in text


@pytest.mark.parametrize("estimate", [None, 0.0, 1e308, -1e308, 1e-320])
def test_numbers_far_out_stop_no_report(tmp_path, estimate):
    metrics = [results.metric(verdict="FAIL", seed=seed) for seed in (0, 1)]
    metrics[0] |= {"estimate": estimate, "low": None, "high": None}
    checks = [results.check("FAIL", name, metrics=metrics) for name in html_results.MAKERS]
    text = page(results.write(tmp_path, results.result(checks))).text
    assert text.count("FAIL") > 7


@pytest.mark.parametrize("junk", [1e308, 10**400, -1, [], "\ud800\x00"], ids=lambda junk: ascii(junk)[:20])
def test_what_is_read_is_rendered_whatever_stands_in_the_place_of_a_part(tmp_path, junk):
    whole = json.loads((html_results.folder(tmp_path, checks=["sufficiency"], seeds=(0,)) / "result.json").read_text())
    rendered = 0
    for path in places(whole):
        data = copy.deepcopy(whole)
        reduce(lambda inside, key: inside[key], path[:-1], data)[path[-1]] = junk
        with suppress(UserError):
            found = load_result(results.write(tmp_path, data))
            rendered += bool(render(found).encode())
    assert rendered > 3


def test_nothing_at_all_is_a_page_too(tmp_path):
    assert "No check gave an answer." in page(results.write(tmp_path, results.result())).text


def test_a_given_circuit_is_no_seed(tmp_path):
    curve = {"curve": np.array([[1, 5.0], [10, 0.1]])}
    entry = results.check(metrics=[results.metric(verdict="PASS", seed=None)], evidence=None)
    entry["evidence"] = results.evidence(tmp_path, "x", curve)
    given = results.circuit(file="circuits/mine.safetensors") | {"seed": None}
    data = results.result([entry], [given], method=None)
    text = page(results.write(tmp_path, data)).text
    assert "a given circuit" in text
    assert "seed None" not in text


def test_circuits_without_an_estimate_are_missed_in_the_histogram(tmp_path):
    def edit(data):
        data["checks"][0]["metrics"][0] |= {"estimate": None, "low": None, "high": None, "reached": False}

    text = page(html_results.folder(tmp_path, checks=["generalization"], edit=edit)).text
    assert "0 of 1 estimates within the gate; 1 without an estimate" in text


def test_a_metric_without_a_seed_is_that_of_the_given_circuit_or_of_all_seeds(tmp_path):
    metrics = [results.metric(verdict="PASS", seed=None)]
    of_given = results.result([results.check(metrics=metrics)], [results.circuit() | {"seed": None}])
    given = page(results.write(tmp_path / "given", of_given)).text
    of_seeds = results.result([results.check(metrics=metrics)], [results.circuit()])
    assert "the circuit" in given
    assert "all seeds" not in given
    assert "all seeds" in page(results.write(tmp_path / "found", of_seeds)).text


def claimed(place, verdicts, holds, objections=()):
    """The page of a run that tested a claim again; it found sufficiency PASS and node_roles FAIL."""
    about = {"text": "names make <she>", "file": "claims/mine.yaml", "verdicts": verdicts, "holds": holds}
    about["objections"] = [{"sentence": sentence, "line": 7} for sentence in objections]
    entries = [results.check("PASS"), results.check("FAIL", "node_roles")]
    return page(results.write(place, results.result(entries, claim=about))).text


def test_an_interrupted_run_shows_what_it_did_not_come_to(tmp_path):
    entries = [results.check("PASS", "sufficiency", "pronoun"), results.check("PASS", "layernorm", "pronoun")]
    suite = {"tasks": [{"name": "pronoun"}, {"name": "ioi"}]}
    suite["checks"] = [{"name": name} for name in ("sufficiency", "node_roles", "layernorm")]
    text = page(results.write(tmp_path, results.result(entries, interrupted=True, suite=suite))).text
    assert "2 of 6 checks passed. 4 not finished: the run was interrupted." in text
    assert text.count("not finished") == 5
    assert "node_roles" in text
    assert "ioi" in text
    assert "on every task" not in text


def test_a_claim_that_holds_is_said_beside_the_verdict_of_the_run(tmp_path):
    text = claimed(tmp_path, {"sufficiency": "PASS", "node_roles": "FAIL"}, True)
    assert text.index("2 checks failed") < text.index("The claim holds") < text.index("Verdicts")
    assert "names make <she>" in text
    assert "claims/mine.yaml" in text
    assert "other than claimed" not in text


def test_a_claim_that_does_not_hold_says_why(tmp_path):
    text = claimed(tmp_path, {"node_roles": "PASS", "layernorm": "PASS"}, False, ["node_roles: PASS was claimed"])
    assert "The claim does not hold" in text
    assert "Line 7: node_roles: PASS was claimed" in " ".join(text.split())
    assert text.count("other than claimed") == text.count("no verdict") == 1


def test_a_run_without_a_claim_has_no_word_of_one(tmp_path):
    assert "claim" not in page(results.write(tmp_path, results.result([results.check()]))).text


def test_many_seeds_and_tasks_make_a_page_of_bearable_size(tmp_path):
    folder = html_results.folder(tmp_path, [f"task{n}" for n in range(3)], seeds=range(100))
    text = render(load_result(folder))
    assert "94 more seeds" in text
    assert len(text.encode()) < 5e6


def test_no_torch_is_imported(tmp_path):
    html_results.folder(tmp_path)
    code = (
        "import sys; from faithcheck.report.reading import load_result; from faithcheck.report.html import render;"
        f"render(load_result({str(tmp_path)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
