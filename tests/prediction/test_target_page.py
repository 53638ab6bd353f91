"""Emotions on the page of ``mien serve`` and in its API, with sentiment and without it."""

import csv
import io
import shutil

import pytest
from served import served
from stand_in_emotions import EMOTIONS

pytest.importorskip("playwright", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def server():
    with served(loader="stand_in_emotions:load_emotional", max_upload_mb=5.0) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("needs the system's chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def page(server, browser):
    context = browser.new_context(viewport={"width": 1100, "height": 1400})
    page, errors = context.new_page(), []
    page.set_default_timeout(15000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    yield page
    context.close()
    assert not errors


def test_the_api_answers_with_targets(server):
    status, _, told = server.say("I like it", **{"X-Ticket": "0123456789abcdef"})
    assert status == 200
    emotion = told["answers"][0]["targets"]["emotion"]["overall"]
    assert sum(emotion["probabilities"].values()) == pytest.approx(1)
    assert set(emotion["possible"]) <= set(EMOTIONS)
    assert told["targets"][0]["level"] == 0.9
    assert server.get("/model")["targets"][0]["classes"] == list(EMOTIONS)
    rows = server.get("/answers/0123456789abcdef/csv").decode()
    row = next(csv.DictReader(io.StringIO(rows)))
    assert row["emotion/fusion"] == emotion["name"]
    assert server.get("/answers/0123456789abcdef/png").startswith(b"\x89PNG")
    _, _, alone = server.say("this alone")
    assert not {"scale", "overall"} & set(alone)
    assert "score" not in alone["answers"][0]


def test_a_sentence_has_bars_with_its_set(page):
    page.fill("#sentence", "I did not expect that.")
    page.get_by_role("button", name="Predict the sentence").click()
    card = page.locator("#result .target").first
    card.wait_for()
    assert card.locator(".rail-of").count() == len(EMOTIONS)
    ruled_out = card.locator("svg[aria-label$='ruled out']:not([aria-label*='cannot'])").count()
    assert 0 < ruled_out < len(EMOTIONS)
    assert card.locator(".verdict .aside").inner_text() == "90 % set"
    assert card.locator("circle").count() == 0  # of the text alone, which is the overall answer
    values = [float(text) for text in card.locator(".apart > span").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    assert "cannot tell" in page.locator("#result .target").nth(3).inner_text()
    assert page.locator("#result .gauge").count() == 1


def test_each_modality_has_its_set_and_probabilities(page, tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"fine")
    page.set_input_files("#file", path)
    card = page.locator("#result .target").first
    card.wait_for()
    keys = card.locator(".keys li").all_inner_texts()
    assert [key.split(" alone ")[0] for key in keys] == ["● Text", "● Voice", "● Face"]
    assert all("(90 % set), " in key for key in keys)
    assert card.locator("svg[aria-label*='; voice alone 0.']").count() == len(EMOTIONS)
    assert card.locator(".moments h3").inner_text().startswith("What moved “")
    moved = card.locator(".moments button").all_inner_texts()
    said, *shown = [text.split() for text in moved]
    assert said == ["“And”", "0:00.2", "+0.20"]
    assert shown == [["0:01.2", "+0.12"], ["0:01.2", "−0.08"]]
    words = card.locator(".shaded > span")
    name = card.locator(".moments h3").inner_text().split("“")[1].split("”")[0]
    assert words.first.inner_text() == "And"
    assert words.first.get_attribute("title").startswith(f"the probability of “{name}” minus")
    assert "--raise" in words.first.get_attribute("style")
    assert "--lower" in words.nth(2).get_attribute("style")
    card.locator(".moments button").nth(1).click()
    assert page.locator("svg.timeline").get_attribute("aria-valuenow") == "1.2"
    assert page.locator("#what").inner_text() == "Sentiment, emotion, tags, valence, and moods"
    assert page.locator("#card").get_attribute("href") == "/model-card/default"


def test_a_recording_without_sentiment_shows_emotions_over_time(page, tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"utterances 5")
    page.locator(".options summary").click()
    page.fill("#words", "these words alone")
    page.set_input_files("#file", path)
    page.locator("#result .strip").first.wait_for()
    assert page.locator("#result .strip").first.locator(".cell").count() == 5 * len(EMOTIONS)
    assert page.locator("#result .strip").first.locator(".cell.open").count() > 5
    assert page.locator("#result .strip").first.locator("text").first.text_content() == "0:00"
    first = page.locator("#result .answers li").first.locator(".what span").first
    assert first.get_attribute("title").startswith("the probability of “")
    assert (
        "make the likeliest class of emotion more probable" in page.locator("#result").inner_text()
    )
    page.locator("svg.timeline").focus()
    page.keyboard.press("End")
    assert page.locator("#result .strip .playhead").first.get_attribute("x1") == "100%"
    text = page.locator("#result").inner_text().lower()
    assert "emotion" in text
    assert "voice" in text
    for word in ("sentiment", "positive", "negative", "overall score", "the score", "raise"):
        assert word not in text
