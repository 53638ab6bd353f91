"""What commands share: options and how they are read, a sign of life, and what Ctrl-C does."""

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from mien.errors import ConfigError

if TYPE_CHECKING:
    from mien.training.checkpoints.baseline_use import BaselineUse
    from mien.types import Scale, Split

__all__ = [
    "INCOMPLETE",
    "AddressOption",
    "BaselineUseOption",
    "CorpusOption",
    "EncodingOption",
    "FoldOption",
    "OutOption",
    "QuietOption",
    "ReplaceOption",
    "RunArgument",
    "ScaleOption",
    "SetOption",
    "Stopped",
    "StoreOption",
    "TargetOption",
    "UnlabelledOption",
    "VerboseOption",
    "WithoutOption",
    "busy",
    "choose_out",
    "default_store",
    "is_quiet",
    "read_baseline",
    "read_names",
    "read_numbers",
    "read_scale",
    "read_seeds",
    "read_split",
    "require_trained",
    "second_interrupt_ends",
    "set_quiet",
    "stoppable",
]

#: What a command returns where a run diverged or was refused, and others are in the numbers.
INCOMPLETE = 1

StoreOption = Annotated[
    Path | None,
    typer.Option("--store", metavar="STORE", help="Store to evaluate on [default: the run's own]."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="OUT", help="The same as the argument OUT.")
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace what is already there.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change a setting; repeatable."),
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run folder, as mien train makes it.")
]
CorpusOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="mosi, mosei, sims, sims2; iemocap, meld, mosei-emotions, mer, ravdess, cremad with "
        "a folder; or a name of your own.",
    ),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Address of the Dask scheduler or the Ray cluster.")
]
BaselineUseOption = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="none|speaker",
        help="Read clips by themselves, or against the other clips of their speaker.",
    ),
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="text|audio|video",
        help="Leave this out, as if no clip had it; repeatable, or with commas.",
    ),
]
ScaleOption = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Range of the labels of your own corpus.")
]
EncodingOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Encoding of a .csv, such as gb18030 or latin-1 [default: found out]."
    ),
]
UnlabelledOption = Annotated[
    Literal["keep", "drop"],
    typer.Option(help="What becomes of clips without a label where others have one."),
]
FoldOption = Annotated[
    int | None,
    typer.Option(min=1, help="With iemocap and mer: which fold is tested [default: the last one]."),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME=...",
        help="A column besides the label: LOW:HIGH, CLASS,CLASS, CLASS|CLASS for labels, or a "
        "scheme such as iemocap4; names with commas in quotes; repeatable.",
    ),
]

_MOST_SEEDS = 1000  # that a range may name

_quiet = threading.Event()  # set while a command prints results and problems only


def set_quiet(*, quiet: bool) -> None:
    """Decide whether progress, and messages that are no problems, are left out."""
    if quiet:
        _quiet.set()
        logging.getLogger().setLevel(logging.WARNING)
    else:
        _quiet.clear()


def is_quiet() -> bool:
    """Return whether progress is left out."""
    return _quiet.is_set()


def _on_quiet(value: bool) -> None:  # noqa: FBT001  # as typer calls it
    if value:
        set_quiet(quiet=True)


def _on_verbose(value: bool) -> None:  # noqa: FBT001
    if value:
        logging.getLogger("mien").setLevel(logging.DEBUG)


QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print results and problems only.",
        callback=_on_quiet,
        expose_value=False,
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Print more about what is done.",
        callback=_on_verbose,
        expose_value=False,
    ),
]


def choose_out(argument: Path | None, option: Path | None) -> Path:
    """Return where to write, which may be given as the argument OUT or with --out.

    Raises:
        ConfigError: If it is given twice, or not at all.
    """
    if argument is not None and option is not None:
        raise ConfigError("--out: OUT is given already; give it once")
    chosen = option if argument is None else argument
    if chosen is None:
        raise ConfigError("OUT is missing; give the file or folder to write")
    return chosen


def read_scale(text: str | None) -> "Scale":
    """Return the range that ``LOW,HIGH`` stands for."""
    from mien.types import Scale

    try:
        low, high = (float(part) for part in (text or "").split(","))
    except ValueError:
        raise ConfigError(f"--scale {text!r}: must be LOW,HIGH, for example -3,3") from None
    if not low < high:
        raise ConfigError(f"--scale {text!r}: LOW must be below HIGH")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"--scale {text!r}: must be finite, for example -3,3")
    return Scale(low, high)


def read_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that ``1111,1112`` or ``1111-1115`` names; both may be mixed."""
    from mien.config import LARGEST_SEED

    seeds: list[int] = []
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        numbers = [int(end) for end in ends if end.isascii() and end.isdecimal()]
        first, last = (numbers[0], numbers[-1]) if len(numbers) == len(ends) <= 2 else (1, 0)
        if not first <= last <= LARGEST_SEED or last - first >= _MOST_SEEDS:
            raise ConfigError(
                f"--seeds {text!r}: must be whole numbers from 0 to 2**63 - 1, or ranges of at "
                f"most {_MOST_SEEDS}, such as 1111,1112 or 1111-1115"
            )
        seeds += range(first, last + 1)
    twice = [seed for index, seed in enumerate(seeds) if seed in seeds[:index]]
    if twice:
        raise ConfigError(f"--seeds {text!r}: names {twice[0]} twice; give every seed once")
    return tuple(seeds)


def read_numbers(option: str, text: str | None) -> tuple[float, ...]:
    """Return the numbers that are given with commas between them; none for None."""
    try:
        return () if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} {text!r}: must be numbers, such as 0.1,0.5") from None


def default_store(corpus: str | None) -> Path:
    """Return the folder in which the store of a corpus lies if none is given.

    Raises:
        ConfigError: If there is none.
    """
    path = Path("stores") / (corpus or "")
    if corpus is None or not path.exists():
        name = corpus or "NAME"
        how = "mien planted" if corpus == "planted" else f"mien import FILE --corpus {name}"
        raise ConfigError(
            f"--store: not given, and there is no stores/{name}; give one, or make it with: "
            f"{how} --out stores/{name}"
        )
    return path


def read_baseline(given: str | None) -> "BaselineUse | None":
    """Return against whom the clips of a store are read."""
    if given not in (None, "none", "speaker"):
        raise ConfigError(
            f"--baseline is {given!r}, must be none or speaker; another recording of the same "
            "person is for mien predict"
        )
    return cast("BaselineUse | None", given)


def read_names(options: Sequence[str] | None) -> list[str]:
    """Return the names of an option that is repeated, or has several with commas."""
    return [name.strip() for names in options or () for name in names.split(",")]


def read_split(text: str) -> "Split":
    """Return the split of this name."""
    from mien.types import SPLITS

    for split in SPLITS:
        if text == split:
            return split
    raise ConfigError(f"--split {text!r}: must be one of {', '.join(SPLITS)}")


class Stopped(Exception):  # noqa: N818  # the user's wish, not a fault
    """Ctrl-C ended a command; the message says what is kept and how to go on."""


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show that something takes its time; where there is no terminal, only if it takes long."""
    from mien.cli.progress.live_line import LiveLine

    with LiveLine() as line:
        line.show(what, total=None)
        yield


@contextmanager
def stoppable(describe: Callable[[], str]) -> Iterator[None]:
    """Let a command say after Ctrl-C what is kept and how to go on.

    Raises:
        Stopped: After Ctrl-C, with what ``describe`` returns.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(describe()) from None


@contextmanager
def second_interrupt_ends() -> Iterator[None]:
    """Let the first Ctrl-C end a command in good order, and a second one end the process at once.

    Where Ctrl-C is ignored, or somebody else handles it, nothing changes.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the protocol's
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def require_trained(trained: Path) -> None:
    """Refuse what holds no trained model, before seconds go into importing what would load it.

    Raises:
        CheckpointError: If it is no run folder, no seed's folder and no file.
    """
    from mien.training.run_folder import find_checkpoint

    find_checkpoint(trained)
