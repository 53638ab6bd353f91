"""The command line: each command is a few lines around one public function."""

import logging
import sys
from collections.abc import Sequence

import typer

from mien.cli import assets, data, extract, predict, report, serve, ship, study, train
from mien.cli.options import Stopped, second_interrupt_ends
from mien.errors import MienError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Multimodal sentiment and emotion recognition from what is said, how it sounds and how "
    "the face moves.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# In the order in which ``mien --help`` lists them.
app.command()(predict.predict)
app.command("import")(data.import_)
app.command()(extract.extract)
app.command()(extract.extractors)
app.command()(data.export)
app.command()(data.planted)
app.command()(data.info)
app.command()(train.configs)
app.command()(train.train)
app.command()(train.evaluate)
app.command()(report.compare)
app.command()(report.report)
app.command()(report.labels)
app.command()(study.study)
app.command()(ship.pack)
app.command("export-onnx")(ship.export_onnx)
app.command()(serve.serve)
app.command("convert-bert")(assets.convert_bert)
app.add_typer(assets.assets_app, name="assets")


logger = logging.getLogger(__name__)


class _Formatter(logging.Formatter):
    """Writes out what would steer a terminal: messages hold names of files, and text of them."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # as logging has it
        """Return the message of a record in characters that can be shown."""
        from mien.files.reading import as_printable  # imports what --help does without

        return as_printable(super().formatMessage(record))


#: What the command returns after Ctrl-C.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 if all is well; 1 if too many clips failed in an extraction, or a seed of a training
        diverged and is missing from its numbers; 2, after one sentence on stderr, for what the user
        can mend; 130 after Ctrl-C.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("matplotlib", "fontTools", "PIL", "httpx", "urllib3", "faster_whisper"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    how = ""
    try:
        with second_interrupt_ends():
            code = app(args=None if argv is None else list(argv), standalone_mode=False)
    except (MienError, typer.TyperException) as error:
        _complain(error)
        return 2
    except (KeyboardInterrupt, typer.Abort, Stopped) as stop:
        code = _INTERRUPTED
        how = f"; {stop}" if isinstance(stop, Stopped) else ""
    except OSError as error:
        prefix = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or f"a file cannot be read or written ({error})"
        print(f"mien: {prefix}{reason}", file=sys.stderr)
        logger.debug("where it was", exc_info=True)
        return 2
    if code == _INTERRUPTED:  # typer takes Ctrl-C inside a command for an exit with this code
        print(f"mien: stopped{how}", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _complain(error: MienError | typer.TyperException) -> None:
    """Print what is wrong in one sentence; where only a command is missing, which there are."""
    from mien.files.reading import as_printable

    if not isinstance(error, typer.TyperException):
        print(f"mien: {as_printable(str(error))}", file=sys.stderr)
    elif type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
    elif sentence := error.format_message():
        print(f"mien: {as_printable(sentence)}", file=sys.stderr)
