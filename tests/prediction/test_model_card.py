"""The model card that comes with the package."""

import shutil
from pathlib import Path

import pytest

import mien
from mien.cli import main
from mien.prediction.presentation.model_card import CARD, render_card
from mien.training.checkpoints.checkpoint import read_header
from mien.training.checkpoints.shipped_models import DEFAULT_MODEL

DOCS = Path(__file__).parents[2] / "docs"
SOURCE = CARD.parents[3]
#: Sources of voices and of faces in the table of baselines.
_SOURCES = (["ravdess"], ["taiwan"])


def test_the_card_beside_the_weights_is_the_one_of_the_documentation():
    page = (DOCS / "model-card.md").read_text()
    assert page == f"<!-- insert: {CARD.relative_to(SOURCE)} -->\n"


def test_the_card_becomes_an_article_without_styles_and_without_links_that_lead_nowhere():
    card = render_card()
    assert "<h1>Model card of the bundled model</h1>" in card
    assert "non-commercial use" in card
    assert card.count("<table>") == card.count('<div class="wide" tabindex="0">') > 3
    assert "style=" not in card
    assert 'href="' not in card


def test_the_bundled_model_knows_where_its_card_and_licence_are(tmp_path):
    assert mien.load().card == CARD
    assert mien.load("small").card == CARD.with_name("MODEL_CARD-small.md")
    assert mien.load("emotions").card == CARD.with_name("MODEL_CARD-emotions.md")
    assert CARD.with_name("LICENSE").is_file()
    shutil.copy(DEFAULT_MODEL, tmp_path)
    assert mien.load(tmp_path / DEFAULT_MODEL.name).card is None


def test_pages_have_the_widths_and_the_size_of_the_weights_that_ship():
    widths = read_header(DEFAULT_MODEL)["calibration_alone"]["unimodal"]
    faq = " ".join((DOCS / "faq.md").read_text().split())
    said = f"half width is {widths['text']:.2f} on a scale from -3 to 3, with a voice alone"
    assert f"{said} {widths['audio']:.2f}" in faq
    card = CARD.read_text()
    intervals = card[card.index("## Intervals") :]
    for modality in ("text", "audio", "video"):
        start = f"| {modality} | {modality} |"
        row = next(line for line in intervals.splitlines() if line.startswith(start))
        assert f"| {widths[modality]:.2f} |" in row
    assert f"of {DEFAULT_MODEL.stat().st_size / 1e6:.1f} MB" in card


def test_the_guide_has_the_errors_against_baselines_that_the_card_has():
    guide = " ".join((DOCS / "howto" / "predict.md").read_text().split())
    rows = [[cell.strip() for cell in line.split("|")] for line in CARD.read_text().splitlines()]
    errors = {
        tuple(row[1:3]): f"{float(row[4]):.2f}"
        for row in rows
        if row[2:3] in _SOURCES and len(row) == 7
    }
    kinds = ("nobody", "neutral clips", "those of the same emotion")
    face, voice = (
        [errors[kind, source].removeprefix("0") for kind in kinds]
        for source in ("taiwan", "ravdess")
    )
    assert f"error of the face is {face[0]} without a baseline, {face[1]} with" in guide
    assert f"and {face[2]} with those that show the same emotion" in guide
    assert f"of the voice {voice[0]}, {voice[1]} and {voice[2]}." in guide


@pytest.mark.slow
def test_a_prediction_says_once_where_the_card_is_and_what_the_weights_may_be_used_for(capsys):
    assert main(["predict", "--text", "so good", "--no-fetch"]) == 0
    said = capsys.readouterr().out
    assert said.count(str(CARD)) == 1
    assert "model: default; research and other non-commercial use, share alike\n" in said
