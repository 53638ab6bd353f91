"""The pretrained models that are known, as the file lists them."""

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
    asset.build(parts, tmp_path / "out")
    out = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert out.keys() == asset.files.keys()
    assert out["model.bin"] == "model.bin.part1model.bin.part2"
