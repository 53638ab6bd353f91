"""Token ids of transcripts that are made once and read from the cache."""

import numpy as np
import pytest
from texts import TRANSCRIPTS, make_settings, make_store

from mien.data import token_cache
from mien.data.clips.clip_columns import as_clips
from mien.data.text import prepare_text
from mien.data.text_reader import TextReader
from mien.data.token_cache import read_tokens
from mien.types import Clip


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tokenised(monkeypatch):
    """How many texts were tokenised, of every call."""
    calls, tokenise = [], TextReader.tokenise

    def counted(reader, texts):
        calls.append(len(texts))
        return tokenise(reader, texts)

    monkeypatch.setattr(TextReader, "tokenise", counted)
    return calls


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", [*TRANSCRIPTS, ""])


def test_tokens_of_many_transcripts_are_made_once_per_texts_and_tokenizer(
    store, tiny_bert, tokenised, monkeypatch, tmp_path, own_cache
):
    plain = prepare_text(store, make_settings(tiny_bert))
    assert not own_cache.exists()  # few are not kept
    monkeypatch.setattr(token_cache, "MANY", 0)
    tokenised.clear()
    for _ in range(2):
        text = prepare_text(store, make_settings(tiny_bert))
        np.testing.assert_array_equal(text.series.values, plain.series.values)
        np.testing.assert_array_equal(text.series.offsets, plain.series.offsets)
    assert tokenised == [5]
    cut = prepare_text(store, make_settings(tiny_bert, max_tokens=4))
    assert (cut.series.lengths.max(), cut.num_truncated) == (4, 3)
    other = make_store(tmp_path / "other", [*TRANSCRIPTS, "bad"])
    assert prepare_text(other, make_settings(tiny_bert)).series.lengths[-1] > 0
    assert tokenised == [5, 5, 5]


@pytest.mark.parametrize("name", ["values.npy", "offsets.npy"])
def test_damaged_tokens_are_made_again(
    store, tiny_bert, tokenised, monkeypatch, own_cache, name, caplog
):
    monkeypatch.setattr(token_cache, "MANY", 0)
    text = prepare_text(store, make_settings(tiny_bert))
    (file,) = own_cache.glob(f"tokens/*/{name}")
    file.write_bytes(file.read_bytes()[:-4])
    again = prepare_text(store, make_settings(tiny_bert))
    np.testing.assert_array_equal(again.series.values, text.series.values)
    assert tokenised == [5, 5]
    assert "is damaged" in caplog.text


def test_texts_are_tokenised_part_by_part(tiny_bert, tokenised):
    transcripts = [TRANSCRIPTS[row % 4] if row % 7 else "" for row in range(4100)]
    clips = [
        Clip(id=str(row), split="train", transcript=text, labels={})
        for row, text in enumerate(transcripts)
    ]
    reader = TextReader(make_settings(tiny_bert), "en")
    parts = read_tokens(reader, as_clips(clips).transcripts)
    assert tokenised == [4096, 4]
    at_once = reader.tokenise(transcripts)
    np.testing.assert_array_equal(parts.values, at_once.values)
    np.testing.assert_array_equal(parts.offsets, at_once.offsets)
