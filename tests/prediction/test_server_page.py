"""The page of ``mien serve`` in headless Chromium: a sentence, a recording, an error."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from served import served
from talking import write_clip

pytest.importorskip("playwright", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the system's chromium")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def server():
    with served(queue=2, max_upload_mb=5.0, time_limit=30.0) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(server, browser):
    """The page; no request may leave for another address, and no script may fail."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(15000)
    elsewhere, errors = [], []

    def look(request):
        if urlsplit(request.url).scheme != "blob" and not request.url.startswith(f"{server.url}/"):
            elsewhere.append(request.url)

    context.on("request", look)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    yield page
    context.close()
    assert not elsewhere
    assert not errors


def test_a_sentence_is_judged_and_nothing_of_it_becomes_markup(page):
    page.fill("#sentence", "I did not expect <b>that</b>.")
    page.get_by_role("button", name="Judge the sentence").click()
    page.locator("#result .verdict").wait_for()
    assert page.locator("#result b:text-is('that')").count() == 0


def test_a_word_that_was_not_read_says_so_and_has_no_weight(page):
    page.fill("#sentence", "I did not get unread")
    page.get_by_role("button", name="Judge the sentence").click()
    page.locator("#result .verdict").wait_for()
    word = page.locator("#result .what span", has_text="unread")
    assert word.get_attribute("title") == "not read by the model"
    assert page.locator("#result .what span[title$='times the average']").count() == 4


def test_a_recording_becomes_a_timeline_that_seeks_and_a_file(page, tmp_path):
    clip = write_clip(tmp_path / "talk.mp4", seconds=4.0, size=(320, 240))
    page.set_input_files("#file", str(clip))
    page.locator("#result .verdict").wait_for()
    assert page.locator("svg.timeline rect.raise, svg.timeline rect.lower").count() > 10
    assert page.locator("h2:text-is('What moved the score most')").count() == 1
    assert page.locator(".apart").inner_text().count("contribution") == 3
    page.locator("svg.timeline").focus()
    page.keyboard.press("Home")
    assert page.locator("svg.timeline").get_attribute("aria-valuenow") == "0.0"
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download JSON").click()
    assert json.loads(Path(waiting.value.path()).read_text())["source"] == "talk.mp4"


def test_what_cannot_be_read_is_said_in_place(page):
    bad = {"name": "photo.mp4", "mimeType": "video/mp4", "buffer": b"not media"}
    page.set_input_files("#file", bad)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "photo.mp4: holds neither sound nor a moving picture" in alert.inner_text()


def test_a_mark_of_disagreement_is_not_hidden_by_the_play_position(page):
    page.set_input_files(
        "#file", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"utterances 2"}
    )
    mark = page.locator("svg.timeline .clash").first
    mark.wait_for()
    page.locator("svg.timeline").focus()
    for _ in range(4):  # the middle of the first utterance is at 3.9 seconds
        page.keyboard.press("ArrowRight")
    box = mark.bounding_box()
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.7]
    top = "([x, y]) => document.elementFromPoint(x, y).classList.value"
    assert page.evaluate(top, middle) == "clash"


def test_the_page_says_that_the_model_is_loading_until_it_is_ready(browser, tmp_path):
    gate = tmp_path / "gate"
    with served(is_awaited=False, loader="stand_in_models:load_when_told", model=gate) as one:
        page = browser.new_page()
        page.set_default_timeout(15000)
        page.goto(one.url)
        page.get_by_text("Loading the model").wait_for()
        gate.touch()
        page.get_by_text("Model stand-in.safetensors").wait_for()
        page.close()
