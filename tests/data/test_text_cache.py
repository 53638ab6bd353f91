"""States of transcripts that are computed once and read from the cache."""

import dataclasses
import shutil

import numpy as np
import pytest
from helpers import write_tiny_bert
from texts import TRANSCRIPTS, make_settings, make_store, reference_states

import mien.data.text_states
from mien.data import text_cache
from mien.data.store import Series
from mien.data.text import check_encoder, prepare_text
from mien.data.text_cache import LowerLayers, states_key
from mien.errors import CheckpointError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", TRANSCRIPTS)


def count_computations(monkeypatch):
    calls = []
    compute = text_cache.compute_states

    def counted(*args, **options):
        calls.append(args[3])
        return compute(*args, **options)

    monkeypatch.setattr(text_cache, "compute_states", counted)
    return calls


def test_states_are_computed_once_per_store_encoder_and_depth(
    store, tiny_bert, monkeypatch, tmp_path
):
    calls = count_computations(monkeypatch)
    for mode in ("frozen", "last-1", "frozen", "last-1", "last-2", "frozen"):
        prepare_text(store, make_settings(tiny_bert, mode=mode))
    assert calls == [2, 1, 0]
    prepare_text(store, make_settings(tiny_bert, mode="frozen", max_tokens=4))
    other = write_tiny_bert(tmp_path / "other", seed=2)
    prepare_text(store, make_settings(other, mode="frozen"))
    longer = make_store(tmp_path / "longer", [*TRANSCRIPTS, "bad"])
    prepare_text(longer, make_settings(tiny_bert, mode="frozen"))
    assert calls == [2, 1, 0, 2, 2, 2]


def test_states_are_computed_only_of_the_texts_that_are_read(store, tiny_bert, monkeypatch):
    config = make_settings(tiny_bert, mode="frozen")
    some = prepare_text(store, config, rows=np.array([2, 0])).series
    calls = count_computations(monkeypatch)
    whole = prepare_text(store, config).series
    for row in range(len(whole)):
        expected = whole[row] if row in {0, 2} else whole[row][:0]
        np.testing.assert_allclose(some[row], expected, atol=1e-6)
    assert calls == [2]
    again = prepare_text(store, config, rows=np.array([1])).series  # all are there by now
    assert np.array_equal(again.values, whole.values)
    assert calls == [2]


def test_states_from_the_cache_are_those_that_were_computed(store, tiny_bert):
    first = prepare_text(store, make_settings(tiny_bert, mode="frozen"))
    again = prepare_text(store, make_settings(tiny_bert, mode="frozen"))
    assert np.array_equal(first.series.values, again.series.values)
    assert first.fingerprint == again.fingerprint != ""


def test_a_cache_that_was_left_half_written_is_not_taken(store, tiny_bert, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mien.data.text_states, "states_of", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare_text(store, make_settings(tiny_bert, mode="frozen"))
    assert [path for path in (tmp_path / "cache" / "states").iterdir() if path.is_dir()] == []
    calls = count_computations(monkeypatch)
    prepare_text(store, make_settings(tiny_bert, mode="frozen"))
    assert calls == [2]


def test_states_of_texts_with_a_prefix_are_not_those_of_texts_without(
    store, tiny_bert, monkeypatch
):
    """The prefix is none of the settings: the same encoder may have one by one of its names."""
    settings = make_settings(tiny_bert, mode="frozen")
    bare = prepare_text(store, settings)
    monkeypatch.setattr("mien.data.text_reader.text_prefix", lambda _: "so good ")
    text = prepare_text(store, settings)
    assert (text.prefix, bare.prefix) == ("so good ", "")
    assert text.key != bare.key
    ids = prepare_text(store, make_settings(tiny_bert))
    assert np.array_equal(text.series.offsets, ids.series.offsets)
    for row, wanted in enumerate(reference_states(tiny_bert, ids, range(4))):
        np.testing.assert_allclose(text.series[row], wanted.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"fingerprint": "other"}, {"revision": "abc"}, {"layer": 1}, {"ids": [[2], [11], [3]]},
     {"offsets": [0, 1, 3]}, {"code": "other"}, {"torch": "9"}, {"transformers": "9"}],
    ids=str,
)  # fmt: skip
def test_whatever_changes_the_states_changes_their_key(change, monkeypatch):
    def key(fingerprint="f", revision=None, layer=2, ids=((2,), (10,), (3,)), offsets=(0, 2, 3),
            code="c", **versions):  # fmt: skip
        monkeypatch.setattr(text_cache, "code_fingerprint", lambda _: code)
        monkeypatch.setattr(text_cache, "versions_of", lambda *n: dict.fromkeys(n, 1) | versions)
        layers = LowerLayers(
            source="e", layer=layer, size=8, fingerprint=fingerprint, revision=revision
        )
        return states_key(Series(np.array(ids), np.array(offsets)), layers)

    assert key() == key()
    assert key(**change) != key()


def cut_short(folder):
    values = folder / "values.npy"
    values.write_bytes(values.read_bytes()[:-40])


def lose_values(folder):
    (folder / "values.npy").unlink()


def empty_folder(folder):
    for file in folder.iterdir():
        file.unlink()


def lose_a_row(folder):
    np.save(folder / "values.npy", np.load(folder / "values.npy")[1:])


def change_type(folder):
    np.save(folder / "values.npy", np.load(folder / "values.npy").astype(np.float64))


@pytest.mark.parametrize(
    "harm", [cut_short, lose_values, empty_folder, lose_a_row, change_type],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_damaged_states_in_the_cache_are_computed_again(
    store, tiny_bert, monkeypatch, tmp_path, caplog, harm
):
    settings = make_settings(tiny_bert, mode="frozen")
    wanted = np.array(prepare_text(store, settings).series.values)
    harm(next(p for p in (tmp_path / "cache" / "states").iterdir() if p.is_dir()))
    calls = count_computations(monkeypatch)
    for _ in range(2):
        assert np.array_equal(prepare_text(store, settings).series.values, wanted)
    assert calls == [2]
    assert "is damaged; its text states are computed again" in caplog.text


def test_another_weight_file_is_another_fingerprint(store, tiny_bert, tmp_path):
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    same = prepare_text(store, make_settings(copy)).fingerprint
    assert same == prepare_text(store, make_settings(tiny_bert)).fingerprint
    write_tiny_bert(copy, seed=2)
    assert prepare_text(store, make_settings(copy)).fingerprint != same


def test_a_checkpoint_is_read_with_the_prefix_of_its_training(store, tiny_bert, tmp_path):
    text = dataclasses.replace(prepare_text(store, make_settings(tiny_bert)), prefix="query: ")
    header = {"text_encoder": "e5-small", "text_encoder_fingerprint": text.fingerprint}
    check_encoder(tmp_path, header, text)  # of a time when the name decided
    check_encoder(tmp_path, {**header, "text_encoder": "f", "text_prefix": "query: "}, text)
    for old in ({**header, "text_encoder": "f"}, {**header, "text_prefix": ""}):
        with pytest.raises(
            CheckpointError, match=r"was trained on texts that begin with '', text encoder .* now "
            r"gets them with 'query: '; train it again",
        ):  # fmt: skip
            check_encoder(tmp_path, old, text)
    with pytest.raises(CheckpointError, match=r"was trained with other weights of text encoder"):
        check_encoder(tmp_path, {**header, "text_encoder_fingerprint": "other"}, text)
