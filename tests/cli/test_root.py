"""The command ``mien`` itself: its help, its version, and commands that are not there."""

import subprocess
import sys

import pytest
import typer

import mien
from mien.cli import main
from mien.cli.root.application import app
from mien.cli.root.catalogue import COMMANDS

GROUP = typer.main.get_command(app)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_catalogue_says_what_each_command_says(command):
    made = GROUP.commands[command.name]
    assert made.name == command.name
    assert made.help.partition("\n")[0] == command.summary


def test_all_functions_that_are_commands_are_in_the_catalogue():
    assert list(GROUP.commands) == [command.name for command in COMMANDS]
    assert len(GROUP.commands) == len({command.name for command in COMMANDS})


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_in_its_group(words, capsys):
    assert main(words) == 0
    shown = capsys.readouterr().out
    for group in {command.group for command in COMMANDS}:
        assert f"\n{group}:\n" in shown
    for command in COMMANDS:
        assert f"  {command.name:<14}{command.summary}\n" in shown
    assert "..." not in shown.replace("[ARGS]...", "")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_help_fits_the_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("  mien ")) <= width


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys; from mien.cli import main; main(['--help']); main(['--version'])\n"
        "heavy = {'typer', 'rich', 'torch', 'numpy', 'pydantic', 'logging'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-2:] == [f"mien {mien.__version__}", "[]"]


def test_a_command_imports_no_other():
    code = (
        "import sys; from mien.cli import main; main(['info', '--help'])\n"
        "print(sorted(name for name in sys.modules if name.startswith('mien.cli.')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = run.stdout.splitlines()[-1]
    assert "mien.cli.data" in imported
    assert "mien.cli.train" not in imported


def test_help_that_nobody_reads_to_its_end_is_no_traceback():
    command = f"{sys.executable} -m mien --help | true"
    run = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert run.stderr == ""


def test_a_command_that_is_nearly_right_is_suggested(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "mien: No such command 'trian'. Did you mean 'train'?\n"


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert mien.__version__ == version("mien")
