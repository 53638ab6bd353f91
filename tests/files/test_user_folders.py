"""Where data and caches of a user lie."""

import os
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from mien.files.user_folders import cache_folder, data_folder, expand_home

VARIABLES = ("MIEN_DATA", "MIEN_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME")


@pytest.fixture
def platform(monkeypatch, tmp_path):
    """Return a function that sets a platform and the environment, and nothing else in it."""

    def choose(kind, settings):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in (settings | {"HOME": str(tmp_path)}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(platformdirs, "PlatformDirs", kind)

    return choose


@pytest.mark.skipif(os.name != "posix", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("kind", "settings", "folder"),
    [
        (Unix, {}, "HOME/.local/share/mien"),
        (Unix, {"XDG_DATA_HOME": "/shared"}, "/shared/mien"),
        (Unix, {"XDG_DATA_HOME": "not/absolute"}, "HOME/.local/share/mien"),
        (Unix, {"XDG_DATA_HOME": "/shared", "MIEN_DATA": "/chosen"}, "/chosen"),
        (Unix, {"MIEN_DATA": "~/chosen"}, "HOME/chosen"),
        (MacOS, {}, "HOME/Library/Application Support/mien"),
        (MacOS, {"MIEN_DATA": "/chosen"}, "/chosen"),
    ],
)
def test_the_data_folder_of_each_platform(platform, tmp_path, kind, settings, folder):
    platform(kind, settings)
    assert data_folder() == Path(folder.replace("HOME", str(tmp_path)))


@pytest.mark.skipif(os.name != "posix", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("kind", "settings", "folder"),
    [
        (Unix, {}, "HOME/.cache/mien"),
        (Unix, {"XDG_CACHE_HOME": "/somewhere"}, "/somewhere/mien"),
        (Unix, {"XDG_CACHE_HOME": "/somewhere", "MIEN_CACHE": "/chosen"}, "/chosen"),
        (MacOS, {}, "HOME/Library/Caches/mien"),
    ],
)
def test_the_cache_folder_of_each_platform(platform, tmp_path, kind, settings, folder):
    platform(kind, settings)
    assert cache_folder() == Path(folder.replace("HOME", str(tmp_path)))


def test_a_data_folder_is_absolute(platform, monkeypatch, tmp_path):
    platform(platformdirs.PlatformDirs, {"MIEN_DATA": "here"})
    monkeypatch.chdir(tmp_path)
    assert data_folder() == tmp_path / "here"


@pytest.mark.skipif(os.name != "posix", reason="Windows asks itself for its folders")
def test_the_folders_of_windows(platform, monkeypatch):
    platform(Windows, {})
    monkeypatch.setattr(
        "platformdirs.windows.get_win_folder", {"CSIDL_LOCAL_APPDATA": "/local"}.get
    )
    assert data_folder() == Path("/local/mien")
    assert cache_folder() == Path("/local/mien/Cache")


@pytest.mark.skipif(os.name != "posix", reason="homes of POSIX")
def test_the_home_of_nobody_stays_as_it_is_written(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home("~/a") == Path("/home/me/a")
    assert expand_home("~no-such-user/a") == Path("~no-such-user/a")
