"""A headless Chromium for tests of the HTML report, that is watched for requests and console errors."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
)


@contextmanager
def chromium(profile):
    """A browser with a fresh profile; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    binary, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def load(browser, address):
    """Open a page, and wait until all of it is there and its script has run; what was asked for before is forgotten."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get("about:blank")
    requests(browser)
    browser.get(address)
    loaded = "return document.readyState === 'complete' && location.href !== 'about:blank'"
    WebDriverWait(browser, 60).until(lambda page: page.execute_script(loaded))


def requests(browser):
    """The addresses that pages asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def complaints(browser):
    """What the console holds since the last call: errors of scripts, refusals of the content policy."""
    return [entry["message"] for entry in browser.get_log("browser")]
