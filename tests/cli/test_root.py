"""The command ``mien`` itself: its help, its version, and commands that are not there."""

import re
import shlex
import subprocess
import sys

import pytest
import typer

import mien
from mien.cli import main
from mien.cli.options import is_quiet
from mien.cli.root.application import app
from mien.cli.root.catalogue import COMMANDS
from mien.configs import list_configs
from mien.studies.plan import list_studies

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


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("width", [60, 100])
def test_the_help_of_a_command_explains_everything(command, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([*command.name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert command.summary in " ".join(shown.split())
    if command.name == "assets":
        return  # a group, which typer explains
    assert not re.search(r"<[a-z]|\[Path\]|int range|\{\w+\}", shown)
    table = shown.partition("\nExamples:\n")[0]
    assert max(map(len, table.splitlines()[1:])) <= width
    for parameter in GROUP.commands[command.name].params:
        assert parameter.help, parameter.name
        assert parameter.help.split()[0] in table
    for example in command.examples:
        assert f"  {example}\n" in f"{shown}\n"


@pytest.mark.parametrize(
    "example", [example for command in COMMANDS for example in command.examples]
)
def test_examples_are_commands_with_their_options(example):
    words = shlex.split(example)
    assert words.pop(0) == "mien"
    made, context = GROUP, None
    while hasattr(made, "resolve_command"):
        name, made, words = made.resolve_command(context, words)
        if not words:
            break
    with made.make_context(name, list(words)) as context:
        given = context.params
    known = list_studies() if name == "study" else list_configs()
    named = [given.get("name") if name == "study" else given.get("config")]
    named += given.get("configs") or []
    for each in filter(None, named):
        assert str(each).endswith(".toml") or str(each) in known


@pytest.mark.parametrize("words", [["-q", "planted"], ["planted", "-q"], ["planted", "--quiet"]])
def test_quiet_leaves_progress_out(words, capsys, tmp_path):
    assert main([*words, "--out", str(tmp_path / "s"), "--set", "num_clips=40"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "40 clips" in captured.out


def test_quiet_is_of_one_call(capsys):
    main(["-q", "configs"])
    assert is_quiet()
    main(["-v", "configs"])
    assert not is_quiet()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["predict", "a.mp4", "--jobs", "0"], "--jobs: must be greater than or equal to 1"),
        (["predict", "a.mp4", "--jobs", "two"], "--jobs: must be a valid integer"),
        (["serve", "--port", "99999"], "--port: must be less than or equal to 65535"),
        (["export", "a", "b", "--out", "c"], "--out: OUT is given already; give it once"),
        (["export", "a"], "OUT is missing; give the file or folder to write"),
        (["pack", "a"], "OUT is missing; give the file or folder to write"),
        (["export", "a", "b", "--format", "csv"], "'csv' is not one of 'pickle', 'npz', 'parquet'"),
    ],
)
def test_a_wrong_value_is_named_by_its_option(words, sentence, capsys):
    assert main(words) == 2
    assert sentence in capsys.readouterr().err
