"""Every command with its group and its summary, so that ``mien --help`` imports none of them."""

import shutil
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from mien.configs import describe_configs

__all__ = [
    "COMMANDS",
    "DESCRIPTION",
    "Command",
    "describe",
    "describe_settings",
    "format_rows",
    "terminal_width",
]

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
        examples: Command lines, as the end of its help shows them.
    """

    name: str
    group: str
    module: str
    function: str
    summary: str
    examples: tuple[str, ...]


_PREDICT = "Predict"
_DATA = "Data"
_TRAIN = "Train and evaluate"
_SETUP = "Installation"

#: In the order in which ``mien --help`` lists them.
COMMANDS = (
    Command(
        "predict", _PREDICT, "predict", "predict",
        "Predict the sentiment of recordings or of a sentence.",
        (
            'mien predict interview.mp4',
            'mien predict talks/*.mp4 --json answers.jsonl --csv answers.csv',
            'mien predict --text "It was better than I had expected."',
        ),
    ),
    Command(
        "serve", _PREDICT, "serve", "serve",
        "Serve a page and an HTTP API for predictions.",
        (
            'mien serve',
            'mien serve --model runs/mosi --port 8080',
        ),
    ),
    Command(
        "pack", _PREDICT, "ship", "pack",
        "Write what prediction needs of a run as one small file.",
        (
            'mien pack runs/mosi mosi.safetensors --licence MIT',
            'mien pack runs/mosi mosi.safetensors --ensemble --store stores/mosi',
            'mien pack runs/tuned tuned.safetensors --average --store stores/mosi',
        ),
    ),
    Command(
        "export-onnx", _PREDICT, "ship", "export_onnx",
        "Write a trained network as ONNX, checked against torch.",
        (
            'mien export-onnx runs/mosi mosi.onnx --int8',
            'mien export-onnx default default.onnx',
        ),
    ),
    Command(
        "import", _DATA, "data", "import_",
        "Read a feature file, or your own features, into a store.",
        (
            'mien import unaligned_50.pkl --corpus mosi',
            'mien import clips.csv --corpus talks --scale -3,3 --features audio=audio.npz',
        ),
    ),
    Command(
        "extract", _DATA, "extract", "extract",
        "Extract features from recordings into a store.",
        (
            'mien extract talks/ --out stores/talks',
            'mien extract clips.csv --audio egemaps --video none --out stores/talks',
            'mien extract clip.mp4 --inspect seen.png',
        ),
    ),
    Command(
        "extractors", _DATA, "extract", "extractors",
        "List the features that can be extracted.",
        (
            'mien extractors',
        ),
    ),
    Command(
        "planted", _DATA, "data", "planted",
        "Make a synthetic corpus with known unimodal labels.",
        (
            'mien planted --out stores/planted',
            'mien planted --out stores/large --set num_clips=2000',
            'mien planted --emotions --out stores/planted-emotions',
        ),
    ),
    Command(
        "info", _DATA, "data", "info",
        "Show what is in a store, how far a run is, or what a model is.",
        (
            'mien info stores/planted',
            'mien info stores/planted --verify',
            'mien info runs/first',
            'mien info default',
        ),
    ),
    Command(
        "folds", _DATA, "data", "folds",
        "Write a store for each fold of a store.",
        (
            'mien folds stores/iemocap stores/iemocap-folds --by speaker',
            'mien folds stores/talks stores/talks-folds --by video --folds 5 --seed 1',
        ),
    ),
    Command(
        "export", _DATA, "data", "export",
        "Write a store as published pickle, npz or parquet.",
        (
            'mien export stores/mosi mosi.pkl',
            'mien export stores/mosi mosi-npz --format npz',
        ),
    ),
    Command(
        "configs", _TRAIN, "train", "configs",
        "List the settings that come with the package.",
        (
            'mien configs',
        ),
    ),
    Command(
        "train", _TRAIN, "train", "train",
        "Train, evaluate, and write a run folder with a report.",
        (
            'mien train tam_ulag-planted --store stores/planted',
            'mien train tam_ulag-mosi-ours --store stores/mosi --seeds 1111-1115 --jobs 5',
            'mien train tam_ulag-mosi-ours --set labels.generator=ulag --out runs/ulag',
            'mien train tam_ulag-planted --log tensorboard',
        ),
    ),
    Command(
        "evaluate", _TRAIN, "train", "evaluate",
        "Evaluate a run, or a model of one file, on a split of a store.",
        (
            'mien evaluate runs/mosi',
            'mien evaluate runs/mosi --split valid',
            'mien evaluate default --store stores/mine --out evaluations/default',
            'mien evaluate default --store stores/mine --without audio,video',
        ),
    ),
    Command(
        "compare", _TRAIN, "report", "compare",
        "Compare runs on the same clips, with intervals and p values.",
        (
            'mien compare runs/a runs/b',
            'mien compare runs/a evaluations/default',
            'mien compare runs/a runs/b --out table.tex --plot differences.pdf',
        ),
    ),
    Command(
        "report", _TRAIN, "report", "report",
        "Write a run's report again, or one page of several.",
        (
            'mien report runs/mosi',
            'mien report runs/mosi --figures pdf',
            'mien report runs/a runs/b --out comparison --store stores/mosi --figures svg',
            'mien report evaluations/a evaluations/default --out page',
        ),
    ),
    Command(
        "labels", _TRAIN, "report", "labels",
        "Measure how well generated labels agree with annotated ones.",
        (
            'mien labels runs/planted',
        ),
    ),
    Command(
        "study", _TRAIN, "study", "study",
        "Run a study or an ablation: train, then tables and figures.",
        (
            'mien study',
            'mien study labels --corpus planted-7 --jobs 2',
            'mien study my-ablation.toml --store mosi=stores/mosi',
        ),
    ),
    Command(
        "tune", _TRAIN, "train", "tune",
        "Choose settings on validation; test is not read.",
        (
            'mien tune tam_ulag-planted --store stores/planted --trials 20 --jobs 2',
            'mien tune mult tfn misa --store stores/mosi --trials 50 --seeds 1111-1113',
            'mien tune tam_ulag-mosi-ours --space space.toml --folds 5 --storage sqlite:///tuning.db',
            'mien tune tam_ulag-mosi-ours --show-space',
        ),
    ),
    Command(
        "ablate", _TRAIN, "study", "ablate",
        "Train settings and variants of them: an ablation table.",
        (
            'mien ablate tam_ulag-mosi-ours --store stores/mosi --seeds 1111-1115 --jobs 2',
            'mien ablate mult --store stores/mosi --variants variants.toml',
        ),
    ),
    Command(
        "robustness", _TRAIN, "study", "robustness",
        "Test models on clips with losses, noise, slips, wrong words.",
        (
            'mien robustness runs/mosi',
            'mien robustness runs/a runs/b --store stores/mosi --protocol lnln',
            'mien robustness runs/mosi --only noise --only words-deleted --levels 0.1,0.3',
            'mien robustness runs/mosi --without video',
        ),
    ),
    Command(
        "doctor", _SETUP, "doctor", "doctor",
        "Check the installation and what is missing.",
        (
            'mien doctor',
            'mien doctor --json',
        ),
    ),
    Command(
        "assets", _SETUP, "assets", "assets_app",
        "List and download pretrained models.",
        (
            'mien assets',
            'mien assets get minilm',
            'mien assets get all',
        ),
    ),
    Command(
        "cache", _SETUP, "assets", "cache",
        "Show and clear what is computed once and kept.",
        (
            'mien cache',
            'mien cache --limit 5GB',
            'mien cache states tokens --clear',
        ),
    ),
    Command(
        "convert-bert", _SETUP, "assets", "convert_bert",
        "Convert a TensorFlow 1 BERT checkpoint published by Google.",
        (
            'mien convert-bert uncased_L-12_H-768_A-12 bert-base',
        ),
    ),
)  # fmt: skip

_OPTIONS = (
    ("-v, --verbose", "Print more about what is done; also after the command."),
    ("-q, --quiet", "Print results and problems only; also after the command."),
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

_NARROWEST, _USUAL, _WIDEST = 40, 80, 100


def describe() -> str:
    """Return the help of ``mien`` itself, wrapped to the width of the terminal."""
    width = terminal_width()
    lines = ["Usage: mien [OPTIONS] COMMAND [ARGS]...", ""]
    lines += textwrap.wrap(DESCRIPTION, width - 2, initial_indent="  ", subsequent_indent="  ")
    left = max(len(command.name) for command in COMMANDS) + 2
    for group in dict.fromkeys(command.group for command in COMMANDS):
        rows = [(c.name, c.summary) for c in COMMANDS if c.group == group]
        lines += ["", f"{group}:", *format_rows(rows, width, left)]
    lines += ["", "Options:", *format_rows(_OPTIONS, width, left), "", "Examples:"]
    for example, purpose in _EXAMPLES:
        lines += [
            f"  {example}",
            *textwrap.wrap(f"# {purpose}", width - 6, initial_indent="      "),
        ]
    return "\n".join(lines)


def describe_settings() -> str:
    """Return what ``mien configs`` prints: the settings that come with the package."""
    return "\n".join(f"{name:28} {text}" for name, text in describe_configs().items())


def format_rows(rows: Sequence[tuple[str, str]], width: int, left: int = 0) -> list[str]:
    """Return the lines of a table of names and what they are; nothing is cut.

    Args:
        rows: Name and text of each row.
        width: Columns of the terminal.
        left: Columns of the names; by default as many as they need, up to a third of the width. A
            name that needs more has a line of its own.
    """
    left = left or min(max(len(name) for name, _ in rows) + 2, width // 3)
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, width - left - 2, break_on_hyphens=False) or [""]
        first = f"  {name:<{left}}"
        lines += [f"  {name}"] if len(name) > left - 2 else [first + wrapped.pop(0)]
        lines += [f"  {'':<{left}}{line}" for line in wrapped]
    return [line.rstrip() for line in lines]


def terminal_width() -> int:
    """Return how wide help is: as the terminal, from 40 to 100 columns; 80 where there is none."""
    return max(_NARROWEST, min(shutil.get_terminal_size((_USUAL, 24)).columns, _WIDEST))
