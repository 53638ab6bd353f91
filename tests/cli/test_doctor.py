"""``mien doctor``: what it finds, what it says to do, and when it fails."""

import json
import socket
import sys
from importlib import metadata
from pathlib import Path

import pytest

from mien.cli import doctor, main

NAMES = {"mien", "Python", "needed by all", "CPU", "CUDA", "cache", "pretrained models"}


def checks_of(capsys):
    code = main(["doctor", "--json"])
    return code, {check["name"]: check for check in json.loads(capsys.readouterr().out)}


def take_away(package, monkeypatch):
    """Let a package be missing, and every other one be there."""

    def version(name):
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)


def test_a_sound_installation_is_listed_and_ends_with_0(capsys):
    code, checks = checks_of(capsys)
    assert code == 0
    assert set(checks) >= NAMES
    assert f"torch {metadata.version('torch')}" in checks["needed by all"]["detail"]
    assert checks["mien"]["detail"].startswith(metadata.version("mien"))


def test_the_table_has_every_check_and_no_line_beyond_the_page(capsys):
    _, checks = checks_of(capsys)
    main(["doctor"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in checks)
    for check in checks.values():
        assert check["remedy"] in shown


def test_no_network_is_used(capsys, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert checks_of(capsys)[0] == 0


def test_a_package_that_every_command_needs_is_missed(capsys, monkeypatch):
    take_away("safetensors", monkeypatch)
    code, checks = checks_of(capsys)
    assert code == 1
    assert checks["needed by all"]["state"] == "missing"
    assert "safetensors" in checks["needed by all"]["detail"]


def test_an_extra_that_is_not_installed_is_optional(capsys, monkeypatch):
    take_away("ray", monkeypatch)
    code, checks = checks_of(capsys)
    assert code == 0
    assert checks["extra ray"]["state"] == "optional"
    assert "[ray]" in checks["extra ray"]["remedy"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries of Linux")
def test_a_system_library_that_is_missing_is_named_with_its_package(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "SYSTEM_LIBRARIES", {"libnowhere.so.9": "libnowhere9"})
    code, checks = checks_of(capsys)
    assert code == 0
    check = checks["for faces in videos"]
    assert check["state"] == "optional"
    assert "libnowhere.so.9" in check["detail"]
    assert "libnowhere9" in check["remedy"]


def test_a_folder_that_cannot_be_written_is_a_problem(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    code, checks = checks_of(capsys)
    assert code == 1
    assert checks["cache"]["state"] == "broken"
    assert "MIEN_CACHE" in checks["cache"]["remedy"]


def test_the_libraries_are_those_that_the_repository_installs():
    listed = (Path(__file__).parents[2] / ".ci" / "system").read_text()
    for library, package in doctor.SYSTEM_LIBRARIES.items():
        assert f"{library} {package}\n" in listed
