import json

import numpy as np
import pytest

from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig
from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.data.summary import format_summary, summarise, verify
from mien.errors import StoreError
from mien.types import (
    Clip,
    Corpus,
    Material,
    Modality,
    Scale,
    SeriesSource,
    Target,
    TargetKind,
    Task,
)


def clip(name, split, label, transcript="it was good", **others):
    labels = {Task.FUSION: label} | {Task(task): value for task, value in others.items()}
    return Clip(id=name, split=split, transcript=transcript, labels=labels)


CLIPS = (
    clip("a$_$1", "train", -3.0, text=-1.0),
    clip("a$_$2", "train", -2.5, text=0.0),
    clip("b$_$1", "train", 0.0, text=1.0),
    clip("b$_$2", "test", 0.5, transcript=""),
    clip("c$_$1", "test", 3.0, transcript="one two three four five"),
)
STEPS = (4, 0, 7, 2, 3)


def make_store(folder, clips=CLIPS, steps=STEPS, language="en", scale=Scale(-3, 3), **facts):  # noqa: B008
    def read():
        return (np.ones((count, 2), np.float32) for count in steps)

    series = (
        SeriesSource(name="audio", size=2, dtype="float32", extractor="e/1", read=read, **facts),
    )
    corpus = Corpus(name="own", language=language, scale=scale, clips=clips)
    material = Material(
        corpus=corpus, series=series, origin={"file": "label.csv", "sha256": "f" * 64}
    )
    return write_store(material, folder / "store")


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path, step_seconds=0.05)


def test_clips_and_videos_are_counted_per_split(store):
    summary = summarise(store)
    assert summary.num_clips == {"train": 3, "valid": 0, "test": 2}
    assert summary.num_videos == {"train": 2, "valid": 0, "test": 2}
    assert (summary.num_all_videos, summary.num_shared_videos) == (3, 1)
    assert (summary.num_transcripts, summary.num_words) == (4, 3)


def test_characters_are_counted_where_words_are_not_parted(tmp_path):
    clips = (clip("a$_$1", "train", 0.0, transcript="闭嘴，不是"),)
    summary = summarise(make_store(tmp_path, clips, (1,), language="zh"))
    assert summary.num_words == 5
    assert "characters of a transcript, median" in format_summary(summary)


def test_lengths_leave_out_clips_without_the_series(store):
    (series,) = summarise(store).series
    assert (series.name, series.size, series.extractor) == ("audio", 2, "e/1")
    assert list(series.lengths) == ["train", "test"]
    train = series.lengths["train"]
    assert (train.shortest, train.median, train.longest) == (4, 5.5, 7)
    assert (train.num_clips, train.num_missing) == (2, 1)
    assert series.lengths["test"].num_missing == 0


def test_a_series_that_no_clip_of_a_split_has_is_counted_as_missing(tmp_path):
    (series,) = summarise(make_store(tmp_path, steps=(0, 0, 0, 1, 1))).series
    train = series.lengths["train"]
    assert (train.shortest, train.median, train.longest) == (0, 0, 0)
    assert (train.num_clips, train.num_missing) == (0, 3)


def test_labels_fall_into_the_classes_of_seven_class_accuracy(store):
    fusion = summarise(store).labels[Task.FUSION]
    assert fusion.centres == (-3, -2, -1, 0, 1, 2, 3)
    assert fusion.counts == (1, 1, 0, 2, 0, 0, 1)  # -2.5 and 0.5 go to the even class
    assert (fusion.share_negative, fusion.share_zero, fusion.share_positive) == (0.4, 0.2, 0.4)
    assert fusion.mean == pytest.approx(-0.4)
    assert fusion.deviation == pytest.approx(np.std([-3, -2.5, 0, 0.5, 3]))
    assert fusion.agreement is None


def test_unimodal_labels_count_the_clips_that_have_them(store):
    text = summarise(store).labels[Task.TEXT]
    assert text.num_clips == {"train": 3, "valid": 0, "test": 0}
    assert sum(text.counts) == 3
    assert text.agreement == pytest.approx(np.corrcoef([-1, 0, 1], [-3, -2.5, 0])[0, 1])


def test_labels_that_are_all_the_same_have_no_correlation(tmp_path):
    clips = tuple(clip(f"a$_${n}", "train", 1.0, text=n / 5) for n in range(3))
    labels = summarise(make_store(tmp_path, clips, (1, 1, 1))).labels
    assert labels[Task.TEXT].agreement is None


def test_seven_classes_span_any_scale(tmp_path):
    clips = tuple(clip(f"a$_${n}", "train", n) for n in (1.0, 2.4, 5.0))
    labels = summarise(make_store(tmp_path, clips, (1, 1, 1), scale=Scale(1, 5))).labels
    np.testing.assert_allclose(labels[Task.FUSION].centres, np.linspace(1, 5, 7))
    assert labels[Task.FUSION].counts == (1, 0, 1, 0, 0, 0, 1)


def test_the_text_says_it_all_in_80_columns(store):
    text = format_summary(summarise(store))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "own · 5 clips · language en · labels -3 to 3"
    assert "made by a program" not in text
    cells = [line.split() for line in lines]
    assert ["clips", "3", "0", "2", "5"] in cells
    assert ["videos", "in", "more", "than", "one", "split", "1"] in cells
    assert [
        "audio",
        "·",
        "2",
        "values",
        "a",
        "step",
        "·",
        "float32",
        "·",
        "0.05",
        "s",
        "a",
        "step",
    ] in cells
    assert ["clips", "without", "it", "1", "0"] in cells
    assert ["steps,", "median", "5.5", "2.5"] in cells
    assert ["exactly", "0", "20.0%", "33.3%"] in cells
    assert ["sha256", "f" * 64] in cells
    assert ["fingerprint", store.meta.fingerprint] in cells


def test_bars_are_as_long_as_their_counts(store):
    lines = format_summary(summarise(store)).splitlines()
    rows = {
        line.split()[0]: line[14:31] for line in lines if line.startswith(("  +", "  -", "  0"))
    }
    assert rows["0"].strip() == "2 ████████"
    assert rows["-3"].strip() == "1 ████"
    assert rows["+1"].strip() == "0"


def test_a_label_that_is_rare_still_shows(tmp_path):
    clips = tuple(clip(f"a$_${n}", "train", 0.0 if n else 3.0) for n in range(300))
    text = format_summary(summarise(make_store(tmp_path, clips, (1,) * 300)))
    assert "1 ▏" in text


def test_a_long_origin_is_broken_below_itself(tmp_path):
    corpus = Corpus(name="own", language="en", scale=Scale(-3, 3), clips=CLIPS)
    origin = {"settings": ", ".join(f"setting_{n}=0.{n}" for n in range(30)), "note": ""}
    store = write_store(Material(corpus=corpus, series=(), origin=origin), tmp_path / "s")
    lines = format_summary(summarise(store)).splitlines()
    assert max(map(len, lines)) <= 80
    first = next(n for n, line in enumerate(lines) if line.startswith("  settings"))
    assert lines[first].index("setting_0") == len(lines[first + 1]) - len(lines[first + 1].lstrip())


def test_a_made_corpus_says_so_and_knows_its_moments(tmp_path):
    store = write_store(make_planted(PlantedConfig(num_clips=30, missing=0.2)), tmp_path / "p")
    summary = summarise(store)
    assert summary.is_synthetic
    assert summary.num_moments[Modality.TEXT] == 30
    assert summary.num_moments[Modality.AUDIO] == 30 - store.meta.series["audio"].num_missing < 30
    text = format_summary(summary)
    assert "synthetic: results on it tell you about methods, not about people" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_store_as_it_was_written_is_verified(store):
    verify(store)


@pytest.mark.parametrize("file", ["clips.jsonl", "audio/values.npy", "audio/offsets.npy"])
def test_a_changed_file_is_found(store, file):
    path = store.path / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"fingerprint is .* meta\.json says .* import the corpus"):
        verify(store)


def test_a_changed_fingerprint_is_found(store):
    meta = json.loads((store.path / "meta.json").read_text(encoding="utf-8"))
    meta["fingerprint"] = "0" * 64
    (store.path / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    with pytest.raises(StoreError, match=r"meta\.json says 000000000000"):
        verify(open_store(store.path))


def test_a_missing_file_is_found(store):
    (store.path / "audio" / "values.npy").unlink()
    with pytest.raises(StoreError, match=r"cannot be read .*values\.npy"):
        verify(store)


def test_classes_and_scores_are_counted_per_split(tmp_path):
    many = tuple(f"c{at:02d}" for at in range(25))
    targets = (
        Target(name="emotion", kind=TargetKind.CLASS, classes=("sad", "happy")),
        Target(name="mood", kind=TargetKind.LABELS, classes=many),
        Target(name="valence", kind=TargetKind.SCORE, scale=Scale(1, 5)),
    )
    given = [
        ("train", {"emotion": {Task.FUSION: (0.25, 0.75), Task.AUDIO: (1.0, 0.0)}}),
        ("train", {"emotion": {Task.FUSION: (1.0, 0.0)}, "valence": {Task.FUSION: (2.0,)}}),
        ("test", {"mood": {Task.FUSION: tuple(float(at == 24) for at in range(25))}}),
    ]
    clips = tuple(
        Clip(id=f"v$_${at}", split=split, transcript="a", labels={}, targets=values)
        for at, (split, values) in enumerate(given)
    )
    corpus = Corpus(name="own", language="en", scale=Scale(-1, 1), clips=clips, targets=targets)
    summary = summarise(
        write_store(Material(corpus=corpus, series=(), origin={}), tmp_path / "store")
    )
    assert [(each.target.name, each.task) for each in summary.targets] == [
        ("emotion", "fusion"), ("emotion", "audio"), ("mood", "fusion"), ("valence", "fusion"),
    ]  # fmt: skip
    assert summary.targets[0].counts["train"] == (1.25, 0.75)
    assert summary.targets[3].mean == {"train": 2.0}
    text = format_summary(summary)
    assert text.startswith("own · 3 clips · language en · emotion · mood · valence\n")
    assert "emotion of fusion · one of 2 classes" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["sad", "1.2", "0", "0", "1.2"] in rows
    assert ["c24", "0", "0", "1", "1"] in rows
    assert "and 5 classes more" in text
