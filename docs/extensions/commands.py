"""The command line to a page: every command with its usage, help, arguments and options."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["describe_commands"]


def describe_commands(program: str = "mien") -> str:
    """Return a section in Markdown for each command that the program has now."""
    import typer

    from mien.cli.root.application import app

    return "\n\n".join(_describe(typer.main.get_command(app), [program]))


def _describe(command: Any, words: list[str], parent: Any = None) -> Iterator[str]:  # noqa: ANN401  # typer's own classes
    """Yield the parts of a command, then those of its subcommands in the order of its help."""
    context = command.make_context(words[-1], [], parent=parent, resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"## {' '.join(words)}"
    yield f"```text\n{' '.join(words)} {usage}\n```"
    if command.help:
        yield _as_markdown(command.help)
    yield from _tables(command, context)
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        child = command.get_command(context, name)
        if not child.hidden:
            yield from _describe(child, [*words, name], context)


def _as_markdown(text: str) -> str:
    """Return a help text as Markdown: paragraphs marked by a form feed or backspace as code."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text.replace("\f", "")))
    return "\n\n".join(
        f"```text\n{p.removeprefix(chr(8)).strip(chr(10))}\n```"
        if p.startswith("\b") or any(line.startswith("  ") for line in p.splitlines())
        else _escape(" ".join(p.split()))
        for p in paragraphs
    )


def _tables(command: Any, context: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield a table of the arguments and one of the options, where there are some."""
    for kind, heading in (("argument", "argument"), ("option", "option")):
        rows = []
        for parameter in command.get_params(context):
            if parameter.param_type_name == kind:
                record = parameter.get_help_record(context)
                if record is not None:
                    name, text = record
                    rows.append(f"| `{_in_cell(name)}` | {_escape(_in_cell(text))} |")
        if rows:
            yield "\n".join([f"| {heading} | |", "| :--- | :--- |", *rows])


def _in_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _escape(text: str) -> str:
    """Keep what Markdown or HTML would read as its own."""
    return re.sub(r"([*_<\[\]])", r"\\\1", text)
