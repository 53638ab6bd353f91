"""The help of one command: every word of it, as wide as the terminal, with examples."""

import inspect
import re
import textwrap
from typing import Any

from typer.core import TyperArgument, TyperCommand

from mien.cli.root.catalogue import COMMANDS, format_rows, terminal_width

__all__ = ["ExplainedCommand"]

#: What typer calls a value by its type, and what the help calls it.
_VALUES = {"path": "PATH", "str": "TEXT", "int": "N", "float": "X"}


class ExplainedCommand(TyperCommand):
    """A command whose help names values by words, and ends with the examples of the catalogue."""

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401  # a class that typer does not name
        """Return the help."""
        width = terminal_width()
        params = self.get_params(ctx)
        arguments = [p for p in params if isinstance(p, TyperArgument)]
        path = ctx.command_path
        pieces = [_usage_of(argument) for argument in arguments]
        lines = [" ".join(["Usage:", path, "[OPTIONS]", *pieces]), ""]
        for paragraph in inspect.cleandoc(self.help or "").split("\n\n"):
            lines += [*_wrap(" ".join(paragraph.split()), width), ""]
        rows = [(_value_of(p), _explain(p, ctx)) for p in arguments]
        if rows:
            lines += ["Arguments:", *format_rows(rows, width), ""]
        options = [(_name_of(p, ctx), _explain(p, ctx)) for p in params if p not in arguments]
        lines += ["Options:", *format_rows(options, width)]
        examples = [e for c in COMMANDS for e in c.examples if _is_of(e, path)]
        if examples:
            lines += ["", "Examples:", *(f"  {example}" for example in examples)]
        return "\n".join(lines)


def _is_of(example: str, path: str) -> bool:
    return example == path or example.startswith(f"{path} ")


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _value_of(argument: Any) -> str:  # noqa: ANN401
    """Return what the help calls an argument: ``STORE``, or ``VIDEO...`` for any number."""
    name = str(argument.metavar or argument.name.upper())
    return f"{name}..." if argument.nargs == -1 and not name.endswith("...") else name


def _usage_of(argument: Any) -> str:  # noqa: ANN401
    value = _value_of(argument)
    return value if argument.required else f"[{value}]"


def _name_of(option: Any, ctx: Any) -> str:  # noqa: ANN401
    """Return the names of an option, and what its value is called."""
    name = option.get_help_record(ctx)[0]

    def rename(match: re.Match[str]) -> str:
        kind = match.group(1).removesuffix(" range").lower()
        kind = re.sub(r"^list\[(.*)\]$", r"\1", kind)
        return _VALUES.get(kind, kind)

    return re.sub(r"<([^>]*)>", rename, name)


def _explain(param: Any, ctx: Any) -> str:  # noqa: ANN401
    """Return the explanation of a parameter; its default and its limits are at the end."""
    if param.name == "help":
        return "Show this help."
    text: str = param.get_help_record(ctx)[1]
    text = re.sub(r"x>=([\d.]+)", lambda m: f"at least {float(m.group(1)):g}", text)
    text = re.sub(r"([\d.]+)<=x<=([\d.]+)", r"from \1 to \2", text)
    default = re.search(r" (\[default: [^]]*\])\.", text)
    if default is not None:
        text = f"{text[: default.start()]}.  {default.group(1)}{text[default.end() :]}"
    return text.replace("]  [", "; ")
