"""Every command with its group and its summary, so that ``mien --help`` imports none of them."""

import os
import textwrap
from typing import NamedTuple

__all__ = ["COMMANDS", "DESCRIPTION", "Command", "describe"]

DESCRIPTION = (
    "Multimodal sentiment analysis: predict from what is said, how it sounds and how the face "
    "moves, with a model that comes with the package or one that you train."
)


class Command(NamedTuple):
    """A command.

    Attributes:
        name: Its name.
        group: Heading under which the help lists it.
        module: Module of ``mien.cli`` that defines it.
        function: Its function there, or its ``typer.Typer`` if it has commands of its own.
        summary: First sentence of its help.
    """

    name: str
    group: str
    module: str
    function: str
    summary: str


_PREDICT = "Predict"
_DATA = "Data"
_TRAIN = "Train and evaluate"
_SETUP = "Installation"

#: In the order in which ``mien --help`` lists them.
COMMANDS = (
    Command(
        "predict", _PREDICT, "predict", "predict",
        "Predict the sentiment of recordings or of a sentence.",
    ),
    Command(
        "serve", _PREDICT, "serve", "serve",
        "Serve a page and an HTTP API for predictions.",
    ),
    Command(
        "pack", _PREDICT, "ship", "pack",
        "Write what prediction needs of a run as one small file.",
    ),
    Command(
        "export-onnx", _PREDICT, "ship", "export_onnx",
        "Write a trained network as ONNX, checked against torch.",
    ),
    Command(
        "import", _DATA, "data", "import_",
        "Read a feature file, or your own features, into a store.",
    ),
    Command(
        "extract", _DATA, "extract", "extract",
        "Extract features from recordings into a store.",
    ),
    Command(
        "extractors", _DATA, "extract", "extractors",
        "List the features that can be extracted.",
    ),
    Command(
        "planted", _DATA, "data", "planted",
        "Make a synthetic corpus with known unimodal labels.",
    ),
    Command(
        "info", _DATA, "data", "info",
        "Show what is in a store.",
    ),
    Command(
        "export", _DATA, "data", "export",
        "Write a store as published pickle, npz or parquet.",
    ),
    Command(
        "configs", _TRAIN, "train", "configs",
        "List the settings that come with the package.",
    ),
    Command(
        "train", _TRAIN, "train", "train",
        "Train, evaluate, and write a run folder with a report.",
    ),
    Command(
        "evaluate", _TRAIN, "train", "evaluate",
        "Evaluate a run on a split of its store or of another one.",
    ),
    Command(
        "compare", _TRAIN, "report", "compare",
        "Compare runs on the same clips, with intervals and p values.",
    ),
    Command(
        "report", _TRAIN, "report", "report",
        "Write a run's report and figures again from its files.",
    ),
    Command(
        "labels", _TRAIN, "report", "labels",
        "Measure how well generated labels agree with annotated ones.",
    ),
    Command(
        "study", _TRAIN, "study", "study",
        "Run a study or an ablation: train, then tables and figures.",
    ),
    Command(
        "doctor", _SETUP, "doctor", "doctor",
        "Check the installation and what is missing.",
    ),
    Command(
        "assets", _SETUP, "assets", "assets_app",
        "List and download pretrained models.",
    ),
    Command(
        "convert-bert", _SETUP, "assets", "convert_bert",
        "Convert a TensorFlow 1 BERT checkpoint published by Google.",
    ),
)  # fmt: skip

_OPTIONS = (
    ("--version", "Show the version."),
    ("--install-completion", "Install completion of commands and options for your shell."),
    ("--show-completion", "Show the completion script, to copy or change it."),
    ("-h, --help", "Show this help; mien COMMAND --help explains a command."),
)

_EXAMPLES = (
    ("mien predict video.mp4", "predict with the model that comes with the package"),
    ("mien planted --out stores/planted", "make a small synthetic corpus"),
    ("mien train tam_ulag-planted --store stores/planted", "train on it, and write a report"),
)

_WIDEST = 100


def describe() -> str:
    """Return the help of ``mien`` itself, wrapped to the width of the terminal."""
    width = max(40, min(_width(), _WIDEST))
    lines = ["Usage: mien [OPTIONS] COMMAND [ARGS]...", ""]
    lines += textwrap.wrap(DESCRIPTION, width - 2, initial_indent="  ", subsequent_indent="  ")
    for group in dict.fromkeys(command.group for command in COMMANDS):
        rows = [(c.name, c.summary) for c in COMMANDS if c.group == group]
        lines += ["", f"{group}:", *_table(rows, width)]
    lines += ["", "Options:", *_table(_OPTIONS, width), "", "Examples:"]
    for example, purpose in _EXAMPLES:
        lines += [
            f"  {example}",
            *textwrap.wrap(f"# {purpose}", width - 6, initial_indent="      "),
        ]
    return "\n".join(lines)


def _table(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...], width: int) -> list[str]:
    left = max(len(command.name) for command in COMMANDS) + 2
    lines = []
    for name, text in rows:
        is_long = len(name) > left - 2
        wrapped = textwrap.wrap(text, width - left - 2)
        if is_long:
            lines.append(f"  {name}")
        else:
            lines.append(f"  {name:<{left}}{wrapped.pop(0)}")
        lines += [f"  {'':<{left}}{line}" for line in wrapped]
    return lines


def _width() -> int:
    """Return the width of the terminal; 80 where there is none."""
    if columns := os.environ.get("COLUMNS", ""):
        return int(columns) if columns.isascii() and columns.isdecimal() else 80
    try:
        return os.get_terminal_size().columns or 80
    except OSError:  # not a terminal
        return 80
