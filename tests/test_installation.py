"""What a user is told to type for what is not installed, by how the package was installed."""

import json
import sys

import pytest

from mien.errors import ConfigError, require
from mien.installation import install_command

METADATA = """Metadata-Version: 2.4
Name: mien
Version: 0.1.0
Requires-Dist: numpy>=2.0
Provides-Extra: extract
Requires-Dist: av>=18; extra == "extract"
Requires-Dist: soxr>=0.5; extra == "extract"
Provides-Extra: serve
Requires-Dist: mien[extract]; extra == "serve"
Requires-Dist: fastapi>=0.115; extra == "serve"
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Lay an installed mien before the real one, with what pip writes about its origin."""

    def install(origin):
        info = tmp_path / "site" / "mien-0.1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(METADATA, encoding="utf-8")
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
        monkeypatch.setattr(sys, "path", [str(info.parent), *sys.path])

    return install


def test_in_a_copy_of_the_repository_the_copy_is_installed_with_the_extra(tmp_path):
    source = tmp_path / "my copy"
    source.mkdir()
    (source / "pyproject.toml").touch()
    assert install_command("extract", source) == f"pip install --editable '{source}[extract]'"


def test_what_came_from_an_index_is_asked_of_the_index(installed, tmp_path):
    installed(None)
    assert install_command("extract", tmp_path) == "pip install 'mien[extract]'"


@pytest.mark.parametrize("name", ["copy", "mien-0.1.0-py3-none-any.whl"])
def test_what_came_from_a_folder_or_a_wheel_is_installed_from_it(installed, tmp_path, name):
    (tmp_path / name).mkdir()
    installed({"url": (tmp_path / name).as_uri(), "dir_info": {}})
    assert install_command("serve", tmp_path) == f"pip install '{tmp_path / name}[serve]'"


def test_where_the_folder_is_gone_the_packages_are_named(installed, tmp_path):
    installed({"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert install_command("extract", tmp_path) == "pip install 'av>=18' 'soxr>=0.5'"
    assert install_command("serve", tmp_path) == (
        "pip install 'av>=18' 'soxr>=0.5' 'fastapi>=0.115'"
    )


@pytest.mark.parametrize(
    ("origin", "place"),
    [
        (
            {"url": "https://host/mien.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "git+https://host/mien.git@abc",
        ),
        (
            {
                "url": "https://host/mien.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "v1"},
            },
            "git+https://host/mien.git@v1",
        ),
        ({"url": "https://host/mien.whl", "archive_info": {}}, "https://host/mien.whl"),
    ],
    ids=["commit", "revision", "wheel"],
)
def test_what_came_from_an_address_is_installed_from_it(installed, tmp_path, origin, place):
    installed(origin)
    assert install_command("onnx", tmp_path) == f"pip install 'mien[onnx] @ {place}'"


def test_a_missing_package_is_a_sentence_with_the_command():
    with pytest.raises(
        ConfigError,
        match=r"^the package 'no_such_thing' is not installed; install it with: pip install .*"
        r"\[extract\]",
    ):
        require("json", "no_such_thing", extra="extract")
