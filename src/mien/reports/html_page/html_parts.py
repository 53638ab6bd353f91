"""Tables, figures and the frame of a page in HTML; every text is escaped, and nothing is loaded."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, NamedTuple

from matplotlib.figure import Figure

from mien.reports.figures.style import render_svg

__all__ = [
    "Content",
    "DrawnFigure",
    "Html",
    "Section",
    "details",
    "join",
    "page",
    "paragraph",
    "show_figure",
    "table",
    "tag",
]

_STYLE: Final = """
:root { --ink: #222; --muted: #5f6368; --line: #dfdfda; --soft: #f4f6f9; --accent: #0b5cad; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.25rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 3rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p, li { max-width: 52rem; }
p { margin: .5rem 0; }
a { color: var(--accent); }
nav ol { columns: 2; column-gap: 3.5rem; padding-left: 1.4rem; max-width: 50rem; margin: 1rem 0; }
nav li { break-inside: avoid; }
.lead { font-size: 1.05rem; }
.note, figcaption, caption { color: var(--muted); font-size: .9rem; }
.warning { font-weight: 650; }
.scroll { overflow-x: auto; margin: .75rem 0 1.25rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; padding-bottom: .4rem; max-width: 52rem; }
th, td { padding: .38rem .6rem; text-align: right; vertical-align: top; white-space: nowrap; }
th.word, td.word { text-align: left; white-space: normal; overflow-wrap: anywhere; }
td.word { min-width: 8rem; max-width: 32rem; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; font-weight: 650; }
tbody tr { border-bottom: 1px solid var(--line); }
tbody tr:hover { background: var(--soft); }
tr.published { color: var(--muted); background: #faf9f5; }
sup { line-height: 0; color: var(--accent); font-weight: 650; }
small { display: block; font-weight: 400; color: var(--muted); font-size: .8rem; }
figure { margin: 1rem 0 1.75rem; }
figure img { max-width: 100%; height: auto; }
figcaption { max-width: 52rem; }
details { border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem;
  margin: .75rem 0; }
summary { cursor: pointer; font-weight: 600; }
pre { background: var(--soft); padding: .8rem 1rem; overflow-x: auto; border-radius: 8px;
  font-size: .85rem; }
footer { margin: 3rem 0 2rem; color: var(--muted); font-size: .85rem; }
@media print { nav { display: none; } details:not([open]) { display: none; }
  h2 { break-after: avoid; } figure, tr { break-inside: avoid; } .scroll { overflow: visible; } }
""".strip()
#: Nothing but what is in the page itself may be shown, and no script runs.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True)
class Html:
    """Text that is HTML already; every other text is escaped where it is put into a page."""

    markup: str


Content = str | Html


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of a page.

    Attributes:
        name: What a link to it is called; letters and hyphens.
        title: What stands above it.
        content: What is in it; a section without any is left out.
    """

    name: str
    title: str
    content: tuple[Html, ...]


class DrawnFigure(NamedTuple):
    """A figure of a page.

    Attributes:
        name: Of its file, where it is written beside the page, without an ending.
        title: What it is called.
        drawn: The figure.
        caption: What it shows.
    """

    name: str
    title: str
    drawn: Figure
    caption: str


def join(parts: Iterable[Content], between: str = "") -> Html:
    """Return parts behind each other; text is escaped."""
    return Html(between.join(_markup(part) for part in parts))


def tag(name: str, *content: Content, **attributes: str) -> Html:
    """Return an element; an underline after the name of an attribute is dropped.

    >>> tag("b", "1 < 2", class_="x").markup
    '<b class="x">1 &lt; 2</b>'
    """
    named = "".join(f' {key.rstrip("_")}="{escape(text)}"' for key, text in attributes.items())
    return Html(f"<{name}{named}>{join(content).markup}</{name}>")


def paragraph(*content: Content, kind: str = "") -> Html:
    """Return a paragraph, of a class of the style where one is given."""
    return tag("p", *content, **({"class_": kind} if kind else {}))


def details(summary: str, *content: Content) -> Html:
    """Return content that is folded up below its summary."""
    return tag("details", tag("summary", summary), *content)


def table(
    heading: Sequence[Content],
    rows: Sequence[Sequence[Content]],
    *,
    caption: str = "",
    words: Iterable[int] = (0,),
    kinds: Mapping[int, str] | None = None,
) -> Html:
    """Return a table that scrolls to the side where it is too wide.

    Args:
        heading: Names of the columns.
        rows: Their cells.
        caption: What stands above it.
        words: Columns, from 0, that hold words; the others hold numbers, set to the right.
        kinds: The class of some rows, by their numbers from 0.
    """
    of_words, kinds = frozenset(words), kinds or {}

    def cells(name: str, row: Sequence[Content]) -> Html:
        return join(
            tag(name, cell, **({"class_": "word"} if number in of_words else {}))
            for number, cell in enumerate(row)
        )

    body = [
        tag("tr", cells("td", row), **({"class_": kinds[number]} if number in kinds else {}))
        for number, row in enumerate(rows)
    ]
    parts = [tag("caption", caption)] if caption else []
    parts += [tag("thead", tag("tr", cells("th", heading))), tag("tbody", *body)]
    return tag("div", tag("table", *parts), class_="scroll")


def show_figure(figure: DrawnFigure) -> Html:
    """Return a drawn figure within the page, with its caption."""
    data = base64.b64encode(render_svg(figure.drawn)).decode("ascii")
    image = Html(f'<img alt="{escape(figure.title)}" src="data:image/svg+xml;base64,{data}">')
    return tag("figure", image, tag("figcaption", figure.caption))


def page(title: str, head: Sequence[Html], sections: Sequence[Section]) -> str:
    """Return a page with a list of its sections.

    Args:
        title: Stands above it.
        head: What stands between the title and that list.
        sections: What is in it.
    """
    shown = [section for section in sections if section.content]
    links = [tag("li", tag("a", each.title, href=f"#{each.name}")) for each in shown]
    header = tag("header", tag("h1", title), *head, tag("nav", tag("ol", *links)))
    body = [tag("section", tag("h2", each.title), *each.content, id=each.name) for each in shown]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        f"{header.markup}\n{tag('main', join(body, chr(10))).markup}\n</body>\n</html>\n"
    )


def _markup(part: Content) -> str:
    return part.markup if isinstance(part, Html) else escape(part)
