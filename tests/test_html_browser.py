"""The HTML report in a browser: what a click does, and that nothing is asked of anyone."""

from __future__ import annotations

import browsers
import html_results
import pytest

from faithcheck.report.html import render
from faithcheck.report.reading import load_result

NAME = "<b>\u202eodd</b>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A report of two tasks, one with a hostile name."""
    folder = html_results.folder(tmp_path_factory.mktemp("results"), ("pronoun", NAME))
    file = folder / "report.html"
    file.write_text(render(load_result(folder)), encoding="utf-8")
    return file


@pytest.fixture
def page(browser, file):
    """The report, just opened; afterwards it must have asked for nothing and complained of nothing."""
    browsers.load(browser, file.as_uri())
    yield browser
    asked = [url for url in browsers.requests(browser) if not url.startswith(("data:", "about:", file.as_uri()))]
    assert asked == []
    assert browsers.complaints(browser) == []


def one(page, selector):
    return page.find_element("css selector", selector)


def texts(element, selector):
    return [found.text for found in element.find_elements("css selector", selector)]


def choose(page, name, value):
    select = one(page, f"[data-choose={name}]")
    one(select, f"option[value='{value}']").click()


def top_of(page, selector):
    return page.execute_script("return document.querySelector(arguments[0]).getBoundingClientRect().top", selector)


def test_a_click_on_a_task_leads_to_its_section(page):
    one(page, ".matrix thead a[href='#task-2']").click()
    assert 0 <= top_of(page, "#task-2") < 200
    assert one(page, "#task-2 h2").text.endswith(r"<b>\u202eodd</b>")


def test_a_click_on_a_verdict_leads_to_its_check(page):
    one(page, ".matrix a[href='#task-1-check-5']").click()
    assert 0 <= top_of(page, "#task-1-check-5") < 200
    assert "node_roles says so" in one(page, "#task-1-check-5").text


def test_the_other_prompt_and_circuit_show_their_patterns(page):
    heads = one(page, "[data-heads]")
    first = heads.get_attribute("innerHTML")
    choose(page, "prompt", 1)
    assert texts(heads, ":scope > .heads figure:first-child .model thead th") == ["when", "Mia", "sang", ",", "sink"]
    assert texts(heads, ":scope > .heads figure:first-child .circuit .answer td") == ["75", "0", "0", "0", "25"]
    choose(page, "circuit", 1)
    assert one(page, "[data-shown]").get_attribute("textContent") == "seed 1: when Mia sang, → she. "
    choose(page, "circuit", 0)
    choose(page, "prompt", 0)
    assert heads.get_attribute("innerHTML") == first


def test_heads_that_matter_less_unfold_and_stay_open_for_the_next_prompt(page):
    details = "#task-1-check-4 [data-heads] details"
    assert "1 that matter less" in one(page, details).text
    one(page, f"{details} summary").click()
    choose(page, "prompt", 1)
    assert one(page, details).get_attribute("open") is not None
    assert "Head 0.2" in one(page, details).text


def test_without_scripts_the_first_patterns_are_there_and_nothing_that_does_nothing(page):
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    page.refresh()
    assert one(page, "[data-heads] .model .answer").text.split() == [",", "0", "75", "0", "0", "0", "25"]
    assert not one(page, ".choosers").is_displayed()
    assert not one(page, "[data-theme-toggle]").is_displayed()
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_theme_changes_with_the_button_and_back(page):
    def ground():
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    before, button = ground(), one(page, "[data-theme-toggle]")
    button.click()
    assert ground() != before
    assert button.text in ("Light", "Dark")
    button.click()
    assert ground() == before


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_follows_the_theme_of_the_system(page, theme):
    features = [{"name": "prefers-color-scheme", "value": theme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    light = int(colour.split("(")[1].split(",")[0]) > 128
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert light == (theme == "light")


def test_details_are_open_in_print_and_closed_again(page):
    count = "return document.querySelectorAll('details:not([open], .onscreen)').length"
    closed = page.execute_script(count)
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script(count) == 0
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert page.execute_script(count) == closed > 0


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_no_wider_than_its_window(page, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wide, room = page.execute_script(
        "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
    )
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide == room <= width


def test_the_script_leaves_no_name_behind(page):
    own = page.execute_script(
        "const frame = document.createElement('iframe'); document.body.append(frame);"
        "const names = Object.keys(window).filter((name) => !(name in frame.contentWindow) && isNaN(name));"
        "frame.remove(); return names"
    )
    drivers = ("cdc_", "ret_nodes")  # what chromedriver itself leaves
    assert [name for name in own if not name.startswith(drivers)] == []


def test_the_verdicts_are_reached_with_the_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    reached = []
    for _ in range(40):
        page.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.execute_script("return document.activeElement.getAttribute('href')"))
    assert "#verdicts" in reached
    assert "#task-1-check-1" in reached


def test_no_content_of_another_place_is_let_in(page):
    page.execute_script("const i = new Image(); i.src = 'file:///nowhere.png'; document.body.append(i)")
    assert any("Content Security Policy" in text for text in browsers.complaints(page))
    browsers.requests(page)
