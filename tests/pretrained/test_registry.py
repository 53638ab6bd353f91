"""The pretrained models that are known, as the file lists them."""

import io
import zipfile

import pytest

from mien.pretrained.registry import known_assets


@pytest.mark.parametrize("name", known_assets())
def test_an_entry_of_the_table_is_complete(name):
    asset = known_assets()[name]
    assert asset.name == name
    assert asset.weights in asset.files
    for file in [*asset.files.values(), *asset.members.values(), *asset.packages]:
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.size > 0
    modules = {member.split("/")[0] for member in asset.members}
    assert modules == {package.module for package in asset.packages}
    names = [member.split("/")[-1] for member in asset.members]
    assert len(set(names)) == len(names)
    assert bool(asset.folder) != bool(asset.build)
    assert asset.summary
    assert asset.licence


def test_models_are_listed_in_the_order_of_the_file():
    assert list(known_assets()) == [
        "minilm",
        "mpnet",
        "e5-small",
        "whisper-tiny-en",
        "whisper-base",
        "silero-vad",
        "face-landmarker",
        "expression",
    ]
    assert known_assets() is known_assets()


def test_the_halves_of_whisper_are_joined_in_order(tmp_path):
    (parts := tmp_path / "parts").mkdir()
    asset = known_assets()["whisper-base"]
    names = [member.split("/")[-1] for member in asset.members]
    for name in names:
        (parts / name).write_text(name)
    asset.build(parts, tmp_path / "out", asset.files)
    out = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert out.keys() == asset.files.keys()
    assert out["model.bin"] == "model.bin.part1model.bin.part2"


def test_an_archive_cut_in_pieces_is_unpacked_to_the_files_of_its_topmost_folder(tmp_path):
    asset = known_assets()["mpnet"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (*asset.files, "inner/config.json", "desktop.ini"):
            archive.writestr(f"model/{name}", name)
    (parts := tmp_path / "parts").mkdir()
    for number, piece in enumerate((packed.getvalue()[:100], packed.getvalue()[100:])):
        (parts / f"model.zip.00{number}").write_bytes(piece)
    asset.build(parts, tmp_path / "out", asset.files)
    out = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert out == {name: name for name in asset.files}
    assert len(list(parts.iterdir())) == 2
