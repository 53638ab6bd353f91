"""The model card that comes with the package."""

from pathlib import Path

from mien.prediction.presentation.model_card import CARD, render_card

DOCS = Path(__file__).parents[2] / "docs"


def test_the_card_beside_the_weights_is_the_one_of_the_documentation():
    assert CARD.read_text() == (DOCS / "model-card.md").read_text()


def test_the_card_becomes_an_article_without_styles_and_without_links_that_lead_nowhere():
    card = render_card()
    title = CARD.read_text().splitlines()[0].removeprefix("# ")
    assert f"<h1>{title}</h1>" in card
    assert "non-commercial use" in card
    assert card.count("<table>") == card.count('<div class="wide" tabindex="0">') > 3
    assert "style=" not in card
    assert 'href="papers.md' not in card
