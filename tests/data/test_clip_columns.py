"""Clips as columns: of small files in memory, of large ones mapped from the user's cache."""

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from stored import CLIPS, VALUES, material, source

from mien.data.clips import clip_index
from mien.data.clips.clip_columns import as_clips
from mien.data.store import Series, open_store
from mien.data.store_writer import write_store
from mien.data.summary import summarise
from mien.errors import StoreError
from mien.types import Clip, Modality, Task, Word

ODD = [
    Clip(
        id=f"Ü{row % 3}$_${row}",
        split=("train", "test")[row % 2],
        transcript=("", "a b", "\U0001f600 é\u2028")[row % 3],
        labels={Task.FUSION: row / 10} if row % 4 else {},
        start=0.5 if row % 2 else None,
        media=Path("a.wav") if row % 3 else None,
        moments={Modality.TEXT: (0, 1)} if row % 5 == 0 else {},
        words=(Word("a", 0.0, 0.5),) if row % 2 else (),
        speaker=(None, "Éa", "b, c")[row % 3],
    )
    for row in range(9)
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path):
    given = source([np.ones((1, 2), np.float32)] * len(ODD))
    return write_store(material(given, clips=ODD), tmp_path / "store")


@pytest.fixture
def large(store, monkeypatch):
    """A store whose columns are kept, as those of large ones are."""
    monkeypatch.setattr(clip_index, "LARGE", 0)
    return store


@pytest.fixture
def gathered(monkeypatch):
    """The calls that read all lines of a large file."""
    calls, gather = [], clip_index.gather_columns

    def counted(*args):
        calls.append(args)
        return gather(*args)

    monkeypatch.setattr(clip_index, "gather_columns", counted)
    return calls


def test_clips_of_a_large_store_are_those_of_a_small_one(store, monkeypatch):
    small, summary = open_store(store.path).clips, summarise(store.path)
    monkeypatch.setattr(clip_index, "LARGE", 0)
    for _ in ("made", "mapped"):
        clips = open_store(store.path).clips
        assert clips == small == tuple(ODD)
        assert clips[-1] == ODD[-1]
        assert clips[2:5] == tuple(ODD[2:5])
        assert list(clips.ids) == [clip.id for clip in ODD]
        assert list(clips.transcripts[::2]) == [clip.transcript for clip in ODD[::2]]
        assert summarise(store.path) == summary
        assert pickle.loads(pickle.dumps(clips)) == small
    with pytest.raises(IndexError):
        clips[9]
    assert clips != tuple(ODD[:-1])
    assert clips != "clips"


def test_columns_of_some_clips_are_those_of_these_clips():
    rows = np.array([7, 2, 5])
    some, clips = as_clips(ODD).take(rows), [ODD[row] for row in rows]
    assert some == clips
    assert some.take(np.array([2, 0])) == [clips[2], clips[0]]
    assert [some.videos[number] for number in some.video_numbers] == [c.video_id for c in clips]
    assert some.videos == ("Ü1", "Ü2")
    assert some.speakers == ("Éa", "b, c", "b, c")
    assert as_clips(ODD).take(np.array([0, 3])).speakers == ()
    assert some.have_moment(Modality.TEXT).tolist() == [False, False, True]
    wanted = [clip.labels.get(Task.FUSION, np.nan) for clip in clips]
    np.testing.assert_array_equal(some.labels(Task.FUSION), wanted)
    assert [some.are_in("test").tolist()[row] for row in range(3)] == [True, False, True]


def test_lines_are_read_once_and_again_when_the_file_is_another(large, gathered):
    for _ in range(2):
        assert open_store(large.path).clips == tuple(ODD)
    assert len(gathered) == 1
    lines = large.path / "clips.jsonl"
    before = lines.stat()
    lines.write_bytes(lines.read_bytes().replace(b'"a b"', b'"b a"'))
    os.utime(lines, ns=(before.st_atime_ns, before.st_mtime_ns))  # neither size nor time tells
    assert open_store(large.path).clips[1].transcript == "b a"
    assert open_store(large.path).clips.transcripts[1] == "b a"
    assert len(gathered) == 2


def test_a_file_that_changes_under_an_open_store_is_an_error(large):
    store = open_store(large.path)
    assert store[0] == ODD[0]
    with (large.path / "clips.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(StoreError, match=r"clips\.jsonl: was changed while it was read"):
        store[0]


@pytest.mark.parametrize("content", [b"", b"x" * 200])
def test_damaged_columns_are_made_again(large, gathered, caplog, tmp_path, content):
    assert open_store(large.path).clips == tuple(ODD)
    (labels,) = (tmp_path / "cache" / "clips").glob("*/labels.npy")
    labels.write_bytes(content)
    assert open_store(large.path).clips == tuple(ODD)
    assert len(gathered) == 2
    assert "is damaged" in caplog.text


def test_where_columns_cannot_be_kept_they_are_made_each_time(large, tmp_path, caplog):
    (tmp_path / "cache").write_text("no folder")
    assert open_store(large.path).clips == tuple(ODD)
    assert "are not kept" in caplog.text


def test_damaged_lines_of_a_large_store_are_refused(large):
    with (large.path / "clips.jsonl").open("a") as file:
        file.write('{"id": 1}\n')
    with pytest.raises(StoreError, match=r"clips\.jsonl: is damaged .* import the corpus again"):
        _ = open_store(large.path).clips


def test_a_store_holds_no_columns(tmp_path):
    made = write_store(material(source(VALUES)), tmp_path / "store")
    assert open_store(made.path).clips == CLIPS
    assert sorted(file.name for file in made.path.iterdir()) == [
        "audio",
        "clips.jsonl",
        "meta.json",
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("rows", [[], [0], [0, 1, 2, 3, 4], [4, 1, 2], [1, 1], [3, 0, 4]])
def test_blocks_are_the_steps_of_the_clips_end_to_end(rows, size):
    values = np.arange(24.0).reshape(12, 2)
    series = Series(values, np.array([0, 3, 3, 8, 9, 12]))
    blocks = list(series.blocks(np.array(rows, dtype=np.int64), size))
    wanted = np.concatenate([np.zeros((0, 2)), *(series[row] for row in rows)])
    np.testing.assert_array_equal(np.concatenate([wanted[:0], *blocks]), wanted)
    assert all(len(block) == size for block in blocks[:-1])


def test_a_large_series_gives_its_memory_back(tmp_path, monkeypatch):
    """What was read is read again from the file, so that nothing depends on when it is released."""
    array = np.arange(1 << 16, dtype=np.float32).reshape(-1, 4)
    np.save(tmp_path / "values.npy", array)
    series = Series(np.load(tmp_path / "values.npy", mmap_mode="r"), np.array([0, len(array)]))
    monkeypatch.setattr("mien.data.store.LARGE_SERIES", 0)
    series.release()
    np.testing.assert_array_equal(series.values, array)
    own = dataclasses.replace(series, values=array.copy())
    own.release()
    np.testing.assert_array_equal(own.values, array)
