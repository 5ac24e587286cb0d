"""What a reader does with the circuit viewer, in a browser: select nodes, follow edges, turn from circuit to model."""

import browsers
import numpy as np
import pytest
from viewer_results import PROMPTS, circuit_tensors, result_of, role_tensors

from faithcheck.report.html import render, room

NODE = np.array([[4, 5], [5, 5], [6, 3], [7, 2], [9, 60], [13, 5]])
"""0.attn_out 5, 0.mlp_in 5, 0.mlp_neuron 3, 0.mlp_out 2, 1.attn_q 60 of head 1, 1.mlp_in 5."""
HOSTILE = "</script><script>document.title='taken'</script>\u202e\x07"


def small_circuit():
    """Of six nodes whose names, edges and activations the tests know."""
    activation = np.zeros((2, 6, 2, 5), np.float32)
    activation[0, 2, 0, 3], activation[1, 2, 0, 3] = 1.5, -3.0
    activation[1, 2, 1, 0] = np.nan
    return {
        "node": NODE,
        "head": np.array([-1, -1, -1, -1, 1, -1]),
        "edge": np.array([[1, 2], [2, 3]]),
        "weight": np.array([0.5, -0.25], np.float32),
        "activation/circuit": activation[0],
        "activation/model": activation[1],
    }


def small_roles():
    about = {"importance": np.array([0.1, 0.2, 4.0, 0.3, 0.0, 0.4]), "r": np.array([0.9, 0.8, -0.7, 0.1, 0.2, 0.3])}
    return role_tensors(NODE) | about | {"swapped": np.full(6, 2.0), "flips": np.arange(6) == 2}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as driver:
        resize(driver, 1440, 900)
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The file of a report with a small circuit, one of 40 nodes and one of 600."""
    folder = tmp_path_factory.mktemp("result")
    circuits = {0: small_circuit(), 1: circuit_tensors(40), 2: circuit_tensors(600)}
    roles = {seed: role_tensors(of["node"]) for seed, of in circuits.items()} | {0: small_roles()}
    prompts = [PROMPTS[0], PROMPTS[1] | {"target": HOSTILE}]
    return written(folder, result_of(folder, circuits=circuits, roles=roles, prompts=prompts))


@pytest.fixture
def open_page(driver, page):
    browsers.load(driver, page)
    yield driver
    assert [url for url in browsers.requests(driver) if not url.startswith(("data:", page))] == []
    assert browsers.complaints(driver) == []


def resize(driver, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def written(folder, loaded):
    (folder / "report.html").write_text(render(loaded), encoding="utf-8")
    return (folder / "report.html").as_uri()


def one(driver, selector):
    return driver.find_element("css selector", f"[data-viewer] {selector}")


def many(driver, selector):
    return driver.find_elements("css selector", f"[data-viewer] {selector}")


def card(driver):
    return one(driver, ".cv-card").text


def choose(driver, name, text):
    from selenium.webdriver.support.ui import Select

    Select(one(driver, f"[data-choose={name}]")).select_by_visible_text(text)


def press(driver, toggle, value):
    one(driver, f"[data-toggle={toggle}] button[value='{value}']").click()


def keys(driver, name):
    from selenium.webdriver.common.keys import Keys

    driver.switch_to.active_element.send_keys(getattr(Keys, name))


def test_the_node_that_matters_most_is_selected_at_first(open_page):
    said = card(open_page)
    assert "0.mlp_neuron 3" in said
    assert "Opposite role" in said
    assert "4 nats, 80 % of the circuit's" in said
    assert "in its place\n2 nats" in said
    assert "−0.7" in said


def test_a_click_on_a_node_shows_its_card(open_page):
    one(open_page, "[data-node='4']").click()
    said = card(open_page)
    assert "1.attn_q 60" in said
    assert "head 1" in said
    assert "goes into the attention pattern of head 1" in said


def test_neighbours_are_named_with_their_weights_and_can_be_followed(open_page):
    one(open_page, "[data-node='2']").click()
    assert "0.mlp_in 5 +0.5" in card(open_page)
    assert "0.mlp_out 2 −0.25" in card(open_page)
    one(open_page, ".cv-card [data-to='3']").click()
    assert one(open_page, ".cv-card h4").text == "0.mlp_out 2"
    assert open_page.switch_to.active_element.text == "0.mlp_out 2"
    assert "cv-near" in one(open_page, "[data-node='2']").get_attribute("class")


def test_what_reads_a_residual_channel_is_linked_to_what_writes_it(open_page):
    one(open_page, "[data-node='0']").click()
    readers = card(open_page).split("Read from its residual channel by (2)")[1]
    assert "0.mlp_in 5" in readers
    assert "1.mlp_in 5" in readers
    assert len(many(open_page, ".cv-link.cv-channel")) == 2


def test_circuit_and_model_have_other_signs_at_the_answer(open_page):
    press(open_page, "mode", "circuit")
    assert "cv-negative" not in one(open_page, "[data-node='2']").get_attribute("class")
    assert "cv-differs" in one(open_page, "[data-node='2']").get_attribute("class")
    press(open_page, "mode", "model")
    assert "cv-negative" in one(open_page, "[data-node='2']").get_attribute("class")
    press(open_page, "token", "0")
    assert "cv-negative" not in one(open_page, "[data-node='2']").get_attribute("class")


def test_activations_stand_under_the_tokens_of_circuit_and_model(open_page):
    words = many(open_page, ".cv-sentence .cv-word")
    assert [word.text.split("\n")[0] for word in words[:4]] == ["when", "Mia", "slept", ","]
    assert words[3].text.split("\n") == [",", "−3.0", "1.5"]
    assert "cv-answer" in words[3].get_attribute("class")
    assert words[4].text.split("\n") == ["when", "?", "·"]
    press(open_page, "sides", "circuit")
    assert many(open_page, ".cv-sentence .cv-word")[3].text.split("\n") == [",", "1.5"]


def test_another_seed_shows_its_circuit(open_page):
    choose(open_page, "circuit", "seed 1 (40 nodes)")
    assert "Seed 1: 40 nodes" in one(open_page, "[data-said]").text
    assert len(many(open_page, "[data-node]")) == 40


def test_of_many_nodes_300_are_drawn_at_first_and_all_when_asked(open_page):
    choose(open_page, "circuit", "seed 2 (600 nodes)")
    assert len(many(open_page, "[data-node]")) == 300
    assert "Not drawn: 300 nodes and" in one(open_page, "[data-said]").text
    choose(open_page, "nodes", "all 600")
    assert len(many(open_page, "[data-node]")) == 600


def test_a_selected_node_is_drawn_also_where_it_matters_little(open_page):
    choose(open_page, "circuit", "seed 2 (600 nodes)")
    choose(open_page, "nodes", "30 that matter most")
    followed = next(link for link in many(open_page, ".cv-card [data-to]") if int(link.get_attribute("data-to")) > 40)
    node = followed.get_attribute("data-to")
    followed.click()
    assert "cv-chosen" in one(open_page, f"[data-node='{node}']").get_attribute("class")
    assert len(many(open_page, "[data-node]")) == 31


def test_the_picture_can_be_walked_by_keyboard(open_page):
    assert len(many(open_page, "[data-node][tabindex='0']")) == 1
    open_page.execute_script("document.querySelector('[data-viewer] [data-node=\"2\"]').focus()")
    keys(open_page, "ARROW_DOWN")
    assert open_page.switch_to.active_element.get_attribute("data-node") == "3"
    assert "0.mlp_out 2" in one(open_page, ".cv-tip").text
    keys(open_page, "ENTER")
    assert one(open_page, ".cv-card h4").text == "0.mlp_out 2"
    assert open_page.switch_to.active_element.get_attribute("aria-pressed") == "true"
    keys(open_page, "ARROW_LEFT")
    assert open_page.switch_to.active_element.get_attribute("data-node") == "2"


def test_the_table_selects_what_is_clicked_in_it(open_page):
    one(open_page, ".cv-list summary").click()
    one(open_page, ".cv-list [data-to='5']").click()
    assert one(open_page, ".cv-card h4").text == "1.mlp_in 5"


def test_hostile_text_stays_text(open_page):
    assert "</script><script>document.title='taken'</script>\\u202e\\x07" in card(open_page)
    assert open_page.title != "taken"


@pytest.mark.parametrize("tensors", [circuit_tensors(0), {"node": NODE[:1], "head": np.array([-1])}], ids=["0", "1"])
def test_a_circuit_of_hardly_any_node_opens(driver, tmp_path, tensors):
    browsers.load(driver, written(tmp_path, result_of(tmp_path, circuits={0: tensors}, roles=None)))
    assert len(many(driver, "[data-node]")) == len(tensors["node"])
    assert ("This circuit keeps no node." in card(driver)) == (len(tensors["node"]) == 0)
    assert browsers.complaints(driver) == []


def test_a_narrow_window_needs_no_scrolling_sideways(driver, page):
    resize(driver, 390, 844)
    try:
        browsers.load(driver, page)
        choose(driver, "circuit", "seed 1 (40 nodes)")
        assert (
            driver.execute_script(
                "const {scrollWidth, clientWidth} = document.documentElement; return scrollWidth - clientWidth"
            )
            == 0
        )
        picture, beside = one(driver, ".cv-graph").rect, one(driver, ".cv-card").rect
        assert beside["y"] >= picture["y"] + picture["height"]
    finally:
        resize(driver, 1440, 900)


def test_in_a_narrow_window_a_selected_nodes_card_comes_into_view_and_leads_back(driver, page):
    resize(driver, 390, 844)
    in_view = "const {top} = arguments[0].getBoundingClientRect(); return top >= 0 && top + 20 <= innerHeight"
    try:
        browsers.load(driver, page)
        choose(driver, "circuit", "seed 1 (40 nodes)")
        driver.execute_script("window.scrollTo(0, 0)")
        assert not driver.execute_script(in_view, one(driver, ".cv-card h4"))
        one(driver, "[data-node='3']").click()
        assert driver.execute_script(in_view, one(driver, ".cv-card h4"))
        one(driver, ".cv-back").click()
        assert driver.switch_to.active_element.get_attribute("data-node") == "3"
        assert driver.execute_script(in_view, one(driver, "[data-node='3']"))
    finally:
        resize(driver, 1440, 900)


def test_what_the_page_does_not_have_is_not_called_all(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "NODES", 100)
    monkeypatch.setattr(room, "EDGES", 10)
    browsers.load(driver, written(tmp_path, result_of(tmp_path, circuits={0: circuit_tensors(200)})))
    choose(driver, "nodes", "100 that matter most")
    choose(driver, "edges", "10 heaviest")
    said = one(driver, "[data-said]").text
    assert "Not drawn: 100 nodes and 390 edges; those of the selected node that this page has always are" in said
    assert "This page has 10 of its 400 edges" in said
