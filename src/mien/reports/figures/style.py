"""How every figure looks, and how it is saved; never through pyplot."""

import io
import textwrap
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mien.files.atomic import write_bytes
from mien.types import Task

__all__ = [
    "COLOURS",
    "DASHED",
    "GRID",
    "INK",
    "MUTED",
    "legend_style",
    "make_figure",
    "render_figure",
    "render_png",
    "render_svg",
    "save_figure",
    "series_colour",
    "series_marker",
    "style_axes",
]

#: One colour per task, the same in every figure. Source: okabe2008, safe for colour-blind readers.
COLOURS: Final[dict[Task, str]] = {
    Task.FUSION: "#222222",
    Task.TEXT: "#0072B2",
    Task.AUDIO: "#D55E00",
    Task.VIDEO: "#009E73",
}
INK: Final = "#222222"
MUTED: Final = "#6e6e6e"
GRID: Final = "#e6e6e6"
DASHED: Final = (0, (4, 2))
_DPI: Final = 130
#: Colours of variants or seeds in their order. Source: okabe2008.
_SERIES: Final = (
    "#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8c6d31",
)  # fmt: skip
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
#: What a file of each vector format would say of when it was written.
_DATES: Final = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
#: Ids that do not change from run to run, and fonts that publishers take.
_VECTORS: Final[Any] = {"svg.hashsalt": "mien", "pdf.fonttype": 42}


def make_figure(title: str, width: float, height: float) -> Figure:
    """Return an empty figure with a title, sizes in inches; every part is laid out by itself."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    lines = textwrap.fill(title, round(width / 0.105))  # a character takes about a tenth of an inch
    figure.suptitle(
        lines, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK, parse_math=False
    )
    return figure


def style_axes(axes: Axes, title: str = "", *, across: str = "", up: str = "") -> None:
    """Give axes their title and labels, and take away what carries no information."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, parse_math=False)
    axes.set_xlabel(across, fontsize=9.5, color=INK)
    axes.set_ylabel(up, fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, color=MUTED, labelcolor=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure beside ``path`` and rename it; the same figure gives the same bytes.

    A name that ends in ``.svg`` or ``.pdf`` gives a vector figure, every other one a PNG.
    """
    suffix = path.suffix.lower().removeprefix(".")
    write_bytes(path, render_figure(figure, suffix if suffix in _DATES else "png"))


def render_png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    return render_figure(figure, "png")


def render_svg(figure: Figure) -> bytes:
    """Return a figure as SVG."""
    return render_figure(figure, "svg")


def render_figure(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file of a kind: ``png``, ``svg`` or ``pdf``."""
    picture, layout = io.BytesIO(), figure.get_layout_engine()
    if figure.axes and layout is not None:  # once for all formats, and not by drawing it for that
        layout.execute(figure)
        figure.set_layout_engine("none")
    with rc_context(_VECTORS):
        figure.savefig(picture, format=kind, dpi=_DPI, facecolor="white", metadata=_DATES.get(kind))
    return picture.getvalue()


def series_colour(number: int) -> str:
    """Return the colour of a variant or a seed, by its number from 0."""
    return _SERIES[number % len(_SERIES)]


def series_marker(number: int) -> str:
    """Return its marker; the two together repeat after 64."""
    return _MARKERS[(number + number // len(_SERIES)) % len(_MARKERS)]


def legend_style() -> dict[str, Any]:
    """Return how a legend looks."""
    return {"fontsize": 8.5, "frameon": False, "labelcolor": INK, "handlelength": 1.6}
