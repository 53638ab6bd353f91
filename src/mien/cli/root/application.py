"""The application of typer: a command's module is imported when that command is called."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from mien.cli.options import (
    QuietOption,
    Stopped,
    VerboseOption,
    second_interrupt_ends,
    set_quiet,
)
from mien.cli.root.catalogue import COMMANDS, DESCRIPTION, Command, describe
from mien.cli.root.command_help import ExplainedCommand
from mien.errors import MienError

__all__ = ["app", "run"]

logger = logging.getLogger(__name__)

#: What a command returns after Ctrl-C, and after what the user can mend.
_INTERRUPTED, _MISUSED = 130, 2

_CONTEXT = {"help_option_names": ["-h", "--help"]}


class LazyCommands(Mapping[str, Any]):
    """Typer's form of each command of the catalogue, by name, made when it is first needed."""

    def __init__(self) -> None:
        self._entries = {command.name: command for command in COMMANDS}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # a class that typer does not name
        """Import a command and return typer's form of it."""
        return _load(self._entries[name])

    def __iter__(self) -> Iterator[str]:
        """Go through the names, in the order of the help."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return how many commands there are."""
        return len(self._entries)


class LazyGroup(TyperGroup):
    """The command ``mien``: only the command that is called is imported."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # those of typer
        super().__init__(**options)
        self.commands = LazyCommands()  # type: ignore[assignment]  # nothing is added to it

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401, ARG002  # as typer calls it
        """Return the help, which imports no command."""
        return describe()


@cache
def _load(command: Command) -> Any:  # noqa: ANN401
    """Import a command and make typer's form of it."""
    function = getattr(import_module(f"mien.cli.{command.module}"), command.function)
    if isinstance(function, typer.Typer):
        group = typer.main.get_command(function)
        group.name = command.name
        return group
    alone = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings=_CONTEXT)
    alone.command(command.name, cls=ExplainedCommand)(function)
    made = typer.main.get_command(alone)
    made.params += _shared_options()
    return made


@cache
def _shared_options() -> list[Any]:
    """Return the options that every command has."""
    alone = typer.Typer(add_completion=False)
    alone.command()(root)
    return list(typer.main.get_command(alone).params)


app = typer.Typer(
    cls=LazyGroup,
    help=DESCRIPTION,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
)


@app.callback()
def root(*, verbose: VerboseOption = False, quiet: QuietOption = False) -> None:
    """Have options of its own, and leave everything else to its commands."""


class _Formatter(logging.Formatter):
    """Writes out what would steer a terminal: messages hold names of files, and text of them."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # as logging has it
        """Return the message of a record in characters that can be shown."""
        from mien.files.reading import as_printable  # imports what --help does without

        return as_printable(super().formatMessage(record))


def run(words: list[str]) -> int:
    """Run a command; return what the process ends with, as ``mien.cli.main`` says."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("matplotlib", "fontTools", "PIL", "httpx", "urllib3", "faster_whisper"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    set_quiet(quiet=False)
    how = ""
    try:
        with second_interrupt_ends():
            code = app(args=words, prog_name="mien", standalone_mode=False)
    except (MienError, typer.TyperException) as error:
        _complain(error)
        return _MISUSED
    except (KeyboardInterrupt, typer.Abort, Stopped) as stop:
        code = _INTERRUPTED
        how = f"; {stop}" if isinstance(stop, Stopped) else ""
    except OSError as error:
        prefix = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or f"a file cannot be read or written ({error})"
        print(f"mien: {prefix}{reason}", file=sys.stderr)
        logger.debug("where it was", exc_info=True)
        return _MISUSED
    if code == _INTERRUPTED:  # typer takes Ctrl-C inside a command for an exit with this code
        print(f"mien: stopped{how}", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _complain(error: MienError | typer.TyperException) -> None:
    """Print what is wrong in one sentence."""
    from mien.files.reading import as_printable

    sentence = str(error) if isinstance(error, MienError) else _reword(error.format_message())
    if sentence:
        print(f"mien: {as_printable(sentence)}", file=sys.stderr)


def _reword(sentence: str) -> str:
    """Return a sentence of typer about a wrong value in the style of all others.

    >>> _reword("Invalid value for '--jobs': Input should be greater than or equal to 1")
    '--jobs: must be greater than or equal to 1'
    """
    sentence = re.sub(r"^Invalid value for '([^']*)': ", r"\1: ", sentence)
    sentence = sentence.replace("Value error, ", "").replace("Input should be", "must be")
    return re.sub(r", unable to parse string as an? \w+$", "", sentence)
