"""What lies in the cache: listed, held while in use, and pushed out when there is too much."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mien.cli import main
from mien.errors import ConfigError
from mien.files.cache import read_or_make
from mien.files.cache_entries import (
    cache_limit,
    clear_cache,
    evict,
    list_cache,
    mark_used,
    read_size,
)

HOLD = """
import sys
from pathlib import Path
from mien.files.cache_entries import mark_used
mark_used(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MIEN_CACHE_LIMIT", raising=False)
    return tmp_path / "cache"


def put(folder, kind, name, *, size, used):
    path = folder / kind / name
    if kind == "evidence":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    else:
        path.mkdir(parents=True)
        (path / "values.npy").write_bytes(b"x" * size)
    os.utime(path, (used, used))
    return path


@pytest.fixture
def full(folder):
    return {
        "old": put(folder, "states", "old", size=100, used=1000),
        "run": put(folder, "runs", "run", size=100, used=1),
        "new": put(folder, "states", "new", size=100, used=3000),
        "file": put(folder, "evidence", "file.safetensors", size=100, used=2000),
    }


def names():
    return [entry.path.name for entry in list_cache()]


@pytest.mark.usefixtures("full")
def test_the_cache_is_listed_the_last_used_first(folder):
    (folder / "states" / ".old.lock").touch()
    (folder / "stores").mkdir()
    (folder / "stores" / "planted-1.lock").touch()
    entries = list_cache()
    assert names() == ["new", "file.safetensors", "old", "run"]
    assert [entry.size for entry in entries] == [100] * 4
    assert entries[-1].kind == "runs"
    assert entries[-1].age > 1e9


def test_a_cache_that_is_not_there_is_empty():
    assert list_cache() == evict(0) == []


def test_what_was_not_used_for_longest_goes_first_and_runs_stay(full, folder):
    assert evict(400) == []
    assert [entry.path for entry in evict(250)] == [full["old"], full["file"]]
    assert [entry.path for entry in evict(0)] == [full["new"]]
    assert names() == ["run"]
    assert not list(folder.glob("*/.*partial"))


def test_using_something_makes_it_the_last_used(full):
    mark_used(full["file"])
    mark_used(full["old"])
    assert set(names()[:2]) == {"old", "file.safetensors"}


def test_what_another_process_uses_stays(full):
    command = [sys.executable, "-c", HOLD, str(full["old"])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        assert "old" not in [entry.path.name for entry in evict(0)]
        removed, stayed = clear_cache()
        assert (removed, [entry.path.name for entry in stayed]) == ([], ["old"])
        process.stdin.close()
        process.wait(timeout=60)
    assert [entry.path.name for entry in clear_cache()[0]] == ["old"]


@pytest.mark.usefixtures("full")
def test_runs_are_cleared_only_by_their_name():
    assert len(clear_cache()[0]) == 3
    assert names() == ["run"]
    assert len(clear_cache(["runs"])[0]) == 1


@pytest.mark.usefixtures("full")
def test_what_is_made_pushes_out_what_is_old(folder, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE_LIMIT", "300")
    path = folder / "states" / "made"

    def make():
        put(folder, "states", "made", size=100, used=1)
        return "made"

    assert read_or_make(path, lambda: None, make) == "made"
    assert "old" not in names()
    assert names()[0] == "made"
    assert read_or_make(path, lambda: "read", make) == "read"
    evict(0)
    assert names() == ["made", "run"]  # this process uses it


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20e9), ("1.5 m", 1.5e6), ("0", 0), ("7kb", 7e3), ("12B", 12)]
)
def test_a_size_is_a_number_with_a_unit(text, size):
    assert read_size(text, "--limit") == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "20 furlongs", "1e9", "٣GB" * 50])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError, match=r"^--limit is .*, must be a size such as 20GB or 500MB"):
        read_size(text, "--limit")


def test_the_limit_comes_from_the_environment(monkeypatch):
    assert cache_limit() == 20e9
    monkeypatch.setenv("MIEN_CACHE_LIMIT", "5GB")
    assert cache_limit() == 5e9
    monkeypatch.setenv("MIEN_CACHE_LIMIT", "much")
    with pytest.raises(ConfigError, match="MIEN_CACHE_LIMIT is 'much'"):
        cache_limit()


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("full")
def test_the_command_shows_and_removes(capsys, folder):
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "400 B" in shown.splitlines()[-1]
    assert str(folder) in shown
    assert main(["cache", "--limit", "350", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [Path(entry["path"]).name for entry in answer["removed"]] == ["old"]
    assert {entry["kind"] for entry in answer["entries"]} == {"states", "evidence", "runs"}
    assert main(["cache", "states", "--clear"]) == 0
    assert capsys.readouterr().out.startswith("removed 1, 100 B\n")
    assert names() == ["file.safetensors", "run"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["state"], "nothing in the cache is 'state'; did you mean 'states'?"),
        (["--limit", "5", "--clear"], "--limit is about all of the cache; give it alone"),
        (["--limit", "much"], "--limit is 'much', must be a size such as 20GB or 500MB"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(capsys, arguments, sentence):
    assert main(["cache", *arguments]) == 2
    assert sentence in capsys.readouterr().err
