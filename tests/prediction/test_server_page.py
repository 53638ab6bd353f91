"""The page of ``mien serve`` in headless Chromium: a sentence, a recording, an error."""

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
    """The page; nothing is asked of another address or not found, and no script may fail."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(15000)
    elsewhere, missing, errors = [], [], []

    def look(request):
        if urlsplit(request.url).scheme != "blob" and not request.url.startswith(f"{server.url}/"):
            elsewhere.append(request.url)

    def look_at_answer(response):
        if response.status == 404:
            missing.append(response.url)

    context.on("request", look)
    context.on("response", look_at_answer)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    yield page
    context.close()
    assert not elsewhere
    assert not missing
    assert not errors


def test_a_sentence_is_judged_and_nothing_of_it_becomes_markup(page):
    page.fill("#sentence", "I did not expect <b>that</b>.")
    page.get_by_role("button", name="Predict the sentence").click()
    page.locator("#result .verdict").wait_for()
    assert page.locator("#result b:text-is('that')").count() == 0


def test_a_word_that_was_not_read_says_so_and_has_no_weight(page):
    page.fill("#sentence", "I did not get unread")
    page.get_by_role("button", name="Predict the sentence").click()
    page.locator("#result .verdict").wait_for()
    word = page.locator("#result .what span", has_text="unread")
    assert word.get_attribute("title") == "not read by the model"
    assert page.locator("#result .what span[title$='times the average']").count() == 4


def test_a_sentence_is_sent_by_keyboard_and_the_focus_goes_to_the_answer(page):
    page.focus("#sentence")
    page.keyboard.press("Control+Enter")
    assert page.locator("#empty").inner_text() == "Please type a sentence first."
    assert page.locator("#wait").is_hidden()
    page.keyboard.type("so good")
    assert page.locator("#empty").inner_text() == ""
    page.keyboard.press("Control+Enter")
    page.locator(".head-card:focus-visible").wait_for()
    assert "+1.30 on a scale from" in page.locator(".head-card:focus").inner_text()
    page.keyboard.press("Tab")
    assert page.locator(":focus").get_attribute("download") == "sentence.mien.json"


def test_blanks_are_no_sentence(page):
    page.fill("#sentence", "  \n ")
    page.get_by_role("button", name="Predict the sentence").click()
    assert page.locator("#empty").inner_text() == "Please type a sentence first."
    assert page.locator("#error").is_hidden()


def test_the_headline_says_that_a_score_is_uncertain_only_where_it_is(page):
    page.fill("#sentence", "perhaps good")
    page.keyboard.press("Control+Enter")
    page.locator("#result .doubt").wait_for()
    verdict = page.locator("#result .verdict").inner_text()
    assert verdict.startswith("Neutral, but uncertain (\u22120.6 to +1.2)")
    page.fill("#sentence", "so good")
    page.keyboard.press("Control+Enter")
    page.get_by_text("+1.30 on a scale from").wait_for()
    assert page.locator("#result .doubt").count() == 0


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
    page.locator(".moments canvas.still").first.wait_for()
    assert "wonderful" in page.locator(".moments").inner_text()
    names = {}
    for kind in ("JSON", "CSV", "PNG"):
        with page.expect_download() as waiting:
            page.locator(f"[aria-label='Download {kind}']").click()
        names[kind] = waiting.value.suggested_filename
        content = Path(waiting.value.path()).read_bytes()
        assert content.startswith({"JSON": b"{", "CSV": b"source,", "PNG": b"\x89PNG"}[kind])
    assert names == {kind: f"talk.mien.{kind.lower()}" for kind in ("JSON", "CSV", "PNG")}


def test_a_single_utterance_has_dots_with_intervals_and_no_curves(page):
    page.set_input_files("#file", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"fine"})
    page.locator("#result .verdict").wait_for()
    assert page.locator("svg.timeline .curve").count() == 0
    assert page.locator(".apart circle").count() == page.locator(".apart line.span").count() == 4


def test_curves_are_told_apart_without_their_colour_and_the_mean_says_why_it_has_no_interval(page):
    given = {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"utterances 3"}
    page.set_input_files("#file", given)
    page.locator("svg.timeline .curve").first.wait_for()
    how = """all => all.map((one) => {
      const { strokeDasharray, strokeWidth } = getComputedStyle(one);
      return `${strokeDasharray} ${strokeWidth}`;
    })"""
    styles = page.locator("svg.timeline .curve").evaluate_all(how)
    assert len(set(styles)) == len(styles) == 4
    assert "no prediction interval for the mean" in page.locator(".head-card").inner_text()
    assert page.locator(".facts").first.inner_text().count(" to ") == 3


def test_the_model_card_opens(page):
    page.get_by_role("link", name="Model card").first.click()
    page.locator("main.prose h1").wait_for()
    assert "non-commercial use" in page.locator("main").inner_text()


def test_words_that_were_not_typed_are_asked_for_and_not_recognised_instead(page):
    """A recording given with "these words" and none typed was answered from recognised ones."""
    page.click("summary")
    page.check("input[value=given]")
    file = {"name": "one.wav", "mimeType": "audio/wav", "buffer": b"RIFF"}
    page.set_input_files("#file", file)
    assert page.inner_text("#no-words").startswith("Please type the words first")
    assert page.evaluate("document.activeElement.id") == "words"
    assert not page.is_visible("#wait")
    assert not page.is_visible("#error")
    page.check("input[value=none]")
    assert page.inner_text("#no-words") == ""


def test_a_file_just_above_the_limit_does_not_seem_to_be_at_it(page):
    """A file of 5.0004 MB was said to have 5 MB, where the limit is 5 MB."""
    page.wait_for_selector("#limits:has-text('Up to 5 MB')")
    page.set_input_files("#file", {"name": "a.mp4", "mimeType": "", "buffer": b"0" * 5_000_400})
    assert page.inner_text("#sentence-of-error") == "a.mp4 has 5.001 MB; the limit is 5 MB."


def test_a_server_that_stops_while_the_model_loads_is_noticed_and_found_again(server, browser):
    """The page said for ever that the model is loading."""
    page = browser.new_page()
    page.route("**/health", lambda route: route.abort())
    page.goto(server.url)
    page.wait_for_selector("#model:has-text('The server cannot be reached')")
    page.unroute("**/health")
    page.wait_for_selector("#model.is-ready")
    assert page.inner_text("#model").startswith("Model: ")
    page.close()


def test_several_files_at_once_are_declined(page):
    drop = """names => {
      const files = new DataTransfer();
      for (const name of names) files.items.add(new File(["fine"], name, { type: "video/mp4" }));
      const event = new DragEvent("drop", { dataTransfer: files, bubbles: true });
      document.querySelector("#drop").dispatchEvent(event);
    }"""
    page.evaluate(drop, ["a.mp4", "b.mp4"])
    assert "One recording at a time" in page.get_by_role("alert").inner_text()


def test_what_cannot_be_read_is_said_in_place(page):
    bad = {"name": "photo.mp4", "mimeType": "video/mp4", "buffer": b"not media"}
    page.set_input_files("#file", bad)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "photo.mp4: holds neither sound nor a moving picture" in alert.inner_text()
    assert page.get_by_role("button", name="Try again").count() == 0  # it would end likewise


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
        page.get_by_text("Model: stand-in.safetensors").wait_for()
        page.close()
