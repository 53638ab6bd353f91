"""Where text encoders are found, and what their texts begin with."""

import hashlib
import os

import pytest

from mien.errors import AssetError
from mien.pretrained.encoder_source import (
    DEFAULT_TEXT_ENCODER,
    asset_prefix,
    find_text_encoder,
    fingerprint_of,
    text_prefix,
)
from mien.pretrained.registry import Asset, AssetFile, known_assets

WEIGHTS = b"weights " * 1000


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))


def make_probe(prefix: str = "") -> Asset:
    """Return a text encoder that is nothing but weights."""
    return Asset(
        name="probe",
        need="text encoder",
        summary="a probe",
        licence="none",
        packages=(),
        files={"model.bin": AssetFile(len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())},
        weights="model.bin",
        folder="mien_probe/model",
        prefix=prefix,
    )


def test_a_text_encoder_is_an_asset_a_folder_or_a_name_on_a_hub(monkeypatch, tmp_path):
    monkeypatch.setitem(known_assets(), "probe", make_probe())
    (own := tmp_path / "data" / "assets" / "probe").mkdir(parents=True)
    (own / "model.bin").write_bytes(WEIGHTS)
    assert find_text_encoder("probe") == own
    (folder := tmp_path / "mine").mkdir()
    (folder / "config.json").write_text("{}")
    assert find_text_encoder(str(folder)) == folder
    for name in ("bert-base-uncased", "hfl/chinese-roberta-wwm-ext", "a.b/c_d"):
        assert find_text_encoder(name) == name


@pytest.mark.parametrize(
    "path", ["./gone", "../gone", "/gone", "~/gone", "~nobody-at-all/x", "a/b/c", "a\\b", "-x"]
)
def test_a_path_that_does_not_exist_is_no_name_on_a_hub(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        AssetError, match=r"give minilm, mpnet, e5-small, a folder with config\.json, or"
    ):
        find_text_encoder(path)


def test_a_folder_without_a_model_says_what_it_lacks(tmp_path):
    with pytest.raises(
        AssetError, match=r"is not a folder of a Hugging Face model \(no config\.json\)$"
    ):
        find_text_encoder(str(tmp_path))
    (tmp_path / "bert_config.json").write_text("{}")
    with pytest.raises(AssetError, match=r"no config\.json\); convert it with: mien convert-bert$"):
        find_text_encoder(str(tmp_path))


def test_an_asset_for_something_else_is_no_text_encoder():
    with pytest.raises(AssetError, match="'silero-vad' is for voice activity, not a text encoder"):
        find_text_encoder("silero-vad")


def test_text_encoders_can_be_opened_by_transformers():
    encoders = [asset for asset in known_assets().values() if asset.need == "text encoder"]
    assert {*DEFAULT_TEXT_ENCODER.values()} <= {asset.name for asset in encoders}
    for asset in encoders:
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= asset.files.keys()
    assert text_prefix("e5-small") == "query: "
    assert text_prefix("somebody/else") == ""


def test_a_prefix_belongs_to_the_weights_and_not_to_their_name(monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(known_assets(), "probe", make_probe(prefix="query: "))
    folder = tmp_path / "my encoder"
    folder.mkdir()
    (folder / "model.bin").write_bytes(WEIGHTS)
    assert text_prefix(str(folder)) == "query: "
    (folder / "model.bin").write_bytes(WEIGHTS[::-1])
    assert text_prefix(str(folder)) == ""
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["intfloat/multilingual-e5-base", "models/E5", "e5-small-mine"])
def test_an_encoder_that_may_need_a_prefix_is_warned_of(name, caplog):
    assert text_prefix(name) == ""
    assert f"text encoder {name!r}: encoders of the E5 family expect 'query: '" in caplog.text


@pytest.mark.parametrize("name", ["minilm", "bert-base-uncased", "models/e50", "some/he5"])
def test_other_encoders_are_taken_without_a_word(name, caplog):
    assert text_prefix(name) == ""
    assert caplog.text == ""


def test_an_old_header_has_the_prefix_that_belonged_to_the_name():
    prefixes = {name: asset_prefix(name) for name in (*known_assets(), "models/e5-small")}
    assert {name: prefix for name, prefix in prefixes.items() if prefix} == {"e5-small": "query: "}


def test_the_fingerprint_of_a_large_encoder_is_computed_once_until_a_file_changes(
    monkeypatch, tmp_path
):
    (folder := tmp_path / "mine").mkdir()
    parts = {"config.json": b"{}", "model.safetensors": WEIGHTS}
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    small = fingerprint_of(folder)
    expected = hashlib.sha256(b"config.json{}model.safetensors" + WEIGHTS).hexdigest()
    assert small == expected
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr("mien.pretrained.digests.REMEMBERED_FROM", len(WEIGHTS))
    assert fingerprint_of(folder) == expected
    monkeypatch.setattr("mien.pretrained.digests.hash_files", lambda *_, **__: "hashed again")
    assert fingerprint_of(folder) == expected
    os.utime(folder / "config.json", ns=(1, 1))
    assert fingerprint_of(folder) == "hashed again"
