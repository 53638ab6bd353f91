"""The cards of the models that come with the package, as HTML."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mien.training.checkpoints.shipped_models import DEFAULT_MODEL, SHIPPED_MODELS, find_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

__all__ = ["CARD", "render_card"]

#: The card, as Markdown: the same text as docs/model-card.md, beside the weights.
CARD: Final = Path(__file__).parents[2] / "weights" / "MODEL_CARD.md"


@cache
def render_card(name: str = DEFAULT_MODEL.stem) -> str:
    """Return a card as the HTML of an article, without styles; tables are in scrolled boxes.

    Args:
        name: Of the model that comes with the package.
    """
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    path = find_card(SHIPPED_MODELS[name]) or CARD
    tokens = markdown.parse(path.read_text(encoding="utf-8"))
    for token in tokens:
        style = token.attrs.pop("style", "")  # pages of the server forbid styles in elements
        if style == "text-align:right":
            token.attrSet("class", "number")
        if token.children is not None:
            token.children = _only_web_links(token.children)
    card = str(markdown.renderer.render(tokens, markdown.options, {}))
    card = card.replace("<table>", '<div class="wide" tabindex="0"><table>')
    return card.replace("</table>", "</table></div>")


def _only_web_links(tokens: "Sequence[Token]") -> "list[Token]":
    """Leave out links to other pages of the documentation, which do not come with the package."""
    result: list[Token] = []
    are_kept: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            are_kept.append(str(token.attrGet("href")).startswith(("https://", "http://")))
        if token.type not in ("link_open", "link_close") or are_kept[-1]:
            result.append(token)
        if token.type == "link_close":
            are_kept.pop()
    return result
