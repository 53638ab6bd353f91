import pickle
from dataclasses import replace

import helpers
import numpy as np
import pytest

from mien.corpora.npz_features import read_arrays
from mien.corpora.published.reader import read_published
from mien.corpora.table import read_table
from mien.data.export.layouts import export_store
from mien.data.export.pickle_writer import StreamedArray, write_pickle
from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.errors import StoreError
from mien.types import (
    Clip,
    Corpus,
    Material,
    Scale,
    SeriesSource,
    Target,
    TargetKind,
    Task,
    Word,
)


@pytest.fixture
def store(tmp_path):
    """A store with clips that lack a modality, and a text series that is not one per token."""
    return write_store(helpers.make_material(name="mosi", missing=0.2), tmp_path / "store")


def load(path):
    with path.open("rb") as file:
        return pickle.load(file)


def same_series(one, other, names):
    for name in names:
        np.testing.assert_array_equal(one.series(name).offsets, other.series(name).offsets)
        np.testing.assert_array_equal(one.series(name).values, other.series(name).values)


def test_an_exported_pickle_is_imported_to_the_same_store(tmp_path, store, tiny_bert):
    lost = export_store(store, tmp_path / "out.pkl", encoder=str(tiny_bert))
    again = write_store(read_published(tmp_path / "out.pkl", "mosi"), tmp_path / "again")
    same_series(store, again, ("audio", "video"))
    for one, other in zip(store.clips, again.clips, strict=True):
        assert (one.id, one.split, one.transcript) == (other.id, other.split, other.transcript)
        assert dict(one.labels) == dict(other.labels)
    assert again.meta.series["tokens"].num_steps == again.meta.series["text"].num_steps
    assert (
        "the series text: its steps are not those of text_bert (--tokenizer none keeps it)" in lost
    )


def test_without_token_ids_the_states_of_the_text_make_the_round_trip_too(tmp_path, store):
    export_store(store, tmp_path / "out.pkl", encoder="none")
    again = write_store(read_published(tmp_path / "out.pkl", "mosi"), tmp_path / "again")
    same_series(store, again, ("text", "audio", "video"))
    assert list(again.meta.series) == ["audio", "video", "text"]


def test_an_imported_pickle_is_exported_and_imported_to_the_same_store(tmp_path, store, tiny_bert):
    export_store(store, tmp_path / "1.pkl", encoder=str(tiny_bert))
    first = write_store(read_published(tmp_path / "1.pkl", "mosi"), tmp_path / "first")
    export_store(first, tmp_path / "2.pkl")
    second = write_store(read_published(tmp_path / "2.pkl", "mosi"), tmp_path / "second")
    assert second.meta.fingerprint == first.meta.fingerprint


def test_the_pickle_has_the_published_layout(tmp_path, store, tiny_bert):
    export_store(store, tmp_path / "out.pkl", encoder=str(tiny_bert))
    data = load(tmp_path / "out.pkl")
    assert list(data) == ["train", "valid", "test"]
    part, rows = data["train"], store.rows("train").tolist()
    assert len(part["id"]) == len(part["raw_text"]) == len(rows) == 20
    for name, key in (("audio", "audio"), ("video", "vision")):
        series = store.series(name)
        assert part[key].shape == (20, series.lengths.max(), series.values.shape[1])
        assert part[key].dtype == np.float32
        assert part[key].flags.writeable
        assert part[f"{key}_lengths"] == series.lengths[rows].tolist()
        for row, padded, length in zip(rows, part[key], part[f"{key}_lengths"], strict=True):
            np.testing.assert_array_equal(padded[:length], series[row])
            assert not padded[length:].any()
    ids, mask, segments = part["text_bert"].transpose(1, 0, 2)
    assert (ids[:, 0] == 2).all()  # [CLS]
    assert ((ids == 3).sum(axis=1) == 1).all()  # [SEP]
    assert ((ids > 0) == (mask == 1)).all()
    assert not segments.any()
    assert part["text"].shape == (*ids.shape, 16)
    assert ((part["text"] != 0).any(axis=2) == (mask == 1)).all()
    labels = np.array([store.clips[row].labels[Task.FUSION] for row in rows])
    np.testing.assert_array_equal(part["regression_labels"], labels)
    np.testing.assert_array_equal(part["classification_labels"], np.sign(labels) + 1)
    words = dict(zip((-1, 0, 1), ("Negative", "Neutral", "Positive"), strict=True))
    assert part["annotations"] == [words[int(np.sign(label))] for label in labels]
    assert len(part["regression_labels_T"]) == 20


def test_the_pickle_needs_nothing_but_numpy_to_be_loaded(tmp_path, store):
    export_store(store, tmp_path / "out.pkl", encoder="none")

    class Closed(pickle.Unpickler):
        def find_class(self, module, name):
            assert (module, name) in {
                ("numpy.core.multiarray", "_reconstruct"),
                ("numpy", "ndarray"),
                ("numpy", "dtype"),
            }
            return super().find_class(module, name)

    with (tmp_path / "out.pkl").open("rb") as file:
        assert set(Closed(file).load()) == {"train", "valid", "test"}


def test_series_are_cut_to_a_limit_and_that_is_said(tmp_path, store):
    lost = export_store(store, tmp_path / "out.pkl", encoder="none", max_steps=3)
    part = load(tmp_path / "out.pkl")["train"]
    assert part["audio"].shape[1] == 3
    assert max(part["audio_lengths"]) == 3
    num_cut = int((store.series("audio").lengths > 3).sum())
    assert f"the ends of {num_cut} series of audio" in lost


def test_labels_that_some_clips_lack_are_left_out_and_that_is_said(tmp_path):
    made = helpers.make_material(name="mosi")
    first = made.corpus.clips[0]
    clips = (
        Clip(id=first.id, split=first.split, transcript="", labels={Task.FUSION: 0.0}),
        *made.corpus.clips[1:],
    )
    corpus = Corpus(name="mosi", language="en", scale=Scale(-3, 3), clips=clips)
    store = write_store(
        Material(corpus=corpus, series=made.series, origin={}), tmp_path / "store"
    )  # fmt: skip
    lost = export_store(store, tmp_path / "out.pkl", encoder="none")
    assert "labels that not every clip has: text, audio, video" in lost
    assert "regression_labels_A" not in load(tmp_path / "out.pkl")["train"]


def test_clips_without_labels_or_a_modality_do_not_fit_the_published_layout(tmp_path, store):
    source = SeriesSource(
        name="audio",
        size=1,
        dtype="float32",
        extractor="x/1",
        read=lambda: iter([np.zeros((1, 1))]),
    )
    clip = Clip(id="a$_$1", split="test", transcript="", labels={})
    corpus = Corpus(
        name="own", language="en", scale=Scale(-1, 1), clips=(clip,), is_annotated=False
    )
    bare = write_store(Material(corpus=corpus, series=(source,), origin={}), tmp_path / "bare")
    with pytest.raises(StoreError, match=r"no labels.*use --format npz or parquet"):
        export_store(bare, tmp_path / "out.pkl")
    assert not (tmp_path / "out.pkl").exists()
    export_store(store, tmp_path / "out.pkl", encoder="none")
    with pytest.raises(StoreError, match="already exists"):
        export_store(store, tmp_path / "out.pkl", encoder="none")
    export_store(store, tmp_path / "out.pkl", encoder="none", replace=True)


def test_an_exported_npz_is_imported_to_the_same_store(tmp_path, store):
    export_store(store, tmp_path / "out", form="npz")
    features = {name: tmp_path / "out" / f"{name}.npz" for name in ("text", "audio", "video")}
    material = read_table(
        tmp_path / "out" / "clips.csv",
        features=features,
        name="mosi",
        language="en",
        scale=Scale(-3, 3),
    )
    again = write_store(material, tmp_path / "again")
    assert again.meta.fingerprint == store.meta.fingerprint


@pytest.fixture
def timed(tmp_path):
    """Clips without labels, with words, names of features and times of steps."""
    clips = (
        Clip(id="v$_$1", split="test", transcript="so", labels={}, words=(Word("so", 0.0, 0.5),)),
        Clip(id="v$_$2", split="test", transcript="", labels={}),
    )
    values = [np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.zeros((0, 2), np.float32)]
    source = SeriesSource(
        name="audio",
        size=2,
        dtype="float32",
        extractor="made/1",
        read=lambda: iter(values),
        feature_names=("f0", "loudness"),
        step_seconds=0.1,
        read_times=lambda: iter([np.array([0.05, 0.15, 0.25]), np.zeros(0)]),
    )
    corpus = Corpus(name="own", language="en", scale=Scale(-1, 1), clips=clips, is_annotated=False)
    return write_store(Material(corpus=corpus, series=(source,), origin={}), tmp_path / "timed")


def test_parquet_has_a_row_per_step_with_its_time_and_named_columns(tmp_path, timed):
    pq = pytest.importorskip("pyarrow.parquet")
    export_store(timed, tmp_path / "out", form="parquet")
    table = pq.read_table(tmp_path / "out" / "audio.parquet")
    assert table.column_names == ["id", "step", "time", "f0", "loudness"]
    assert table["id"].to_pylist() == ["v$_$1"] * 3
    assert table["step"].to_pylist() == [0, 1, 2]
    assert table["time"].to_pylist() == [0.05, 0.15, 0.25]
    assert table["loudness"].to_pylist() == [2, 4, 6]
    assert table.schema.metadata[b"extractor"] == b"made/1"
    clips = pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    assert [clip["id"] for clip in clips] == ["v$_$1", "v$_$2"]
    assert clips[0]["words"] == [{"text": "so", "start": 0.0, "end": 0.5}]


def test_npz_keeps_names_and_steps_of_a_series(tmp_path, timed):
    export_store(timed, tmp_path / "out", form="npz")
    source = read_arrays(tmp_path / "out" / "audio.npz", name="audio", ids=["v$_$1", "v$_$2"])
    assert (source.feature_names, source.step_seconds) == (("f0", "loudness"), 0.1)
    with np.load(tmp_path / "out" / "audio.npz") as file:
        assert file["times"].tolist() == [0.05, 0.15, 0.25]
        assert file["length"].tolist() == [3, 0]


def test_a_folder_that_is_no_export_is_not_replaced(tmp_path, timed):
    export_store(timed, tmp_path / "out", form="npz")
    with pytest.raises(StoreError, match="already exists"):
        export_store(timed, tmp_path / "out", form="npz")
    export_store(timed, tmp_path / "out", form="parquet", replace=True)
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "audio.parquet",
        "clips.parquet",
    ]
    (tmp_path / "mine").mkdir()
    with pytest.raises(StoreError, match="is not an export; it will not be replaced"):
        export_store(timed, tmp_path / "mine", form="npz", replace=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mine", "out", "timed"]


def test_rows_that_do_not_fit_the_shape_of_an_array_are_a_mistake(tmp_path):
    with (tmp_path / "x").open("wb") as file, pytest.raises(ValueError, match="rows have 8 bytes"):
        write_pickle(StreamedArray((2, 2), "<f4", iter([np.zeros(2)])), file)
    with (tmp_path / "x").open("wb") as file, pytest.raises(ValueError, match="a row has shape"):
        write_pickle(StreamedArray((2, 2), "<f4", iter([np.zeros(3)])), file)


def test_opening_a_store_with_times_gives_them_back(timed):
    assert open_store(timed.path).series("audio").times.tolist() == [0.05, 0.15, 0.25]


def test_targets_and_speakers_come_back_from_npz_and_parquet(tmp_path):
    made = helpers.make_material()
    targets = (
        Target(name="emotion", kind=TargetKind.CLASS, classes=("angry", "happy")),
        Target(name="mood", kind=TargetKind.LABELS, classes=("a, b", "c")),
        Target(name="valence", kind=TargetKind.SCORE, scale=Scale(1, 5)),
    )
    clips = tuple(
        replace(
            clip,
            speaker=f"s{at % 3}",
            targets={
                "emotion": {Task.FUSION: (0.25, 0.75), Task.AUDIO: (1.0, 0.0)},
                "mood": {Task.FUSION: (1.0, float(at % 2))},
            }
            if at
            else {"valence": {Task.VIDEO: (2.5,)}},
        )
        for at, clip in enumerate(made.corpus.clips)
    )
    material = replace(made, corpus=replace(made.corpus, clips=clips, targets=targets))
    store = write_store(material, tmp_path / "store")
    export_store(store, tmp_path / "out", form="npz")
    assert export_store(store, tmp_path / "out", form="npz", replace=True) == (
        "what mood is (import it with --target 'mood=a, b|c')",
        "what valence is (import it with --target valence=1:5)",
    )
    again = read_table(
        tmp_path / "out" / "clips.csv",
        features={},
        name="own",
        language="en",
        scale=store.scale,
        targets=["valence=1:5", "mood=a, b|c"],
    ).corpus
    assert set(again.targets) == set(targets)
    assert [clip.targets for clip in again.clips] == [clip.targets for clip in clips]
    assert [clip.speaker for clip in again.clips] == [clip.speaker for clip in clips]
    parquet = pytest.importorskip("pyarrow.parquet")
    export_store(store, tmp_path / "columns", form="parquet")
    columns = parquet.read_table(tmp_path / "columns" / "clips.parquet").to_pydict()
    assert columns["emotion_audio:angry"][:2] == [None, 1.0]
    assert columns["valence_video"][:2] == [2.5, None]
    assert "the target mood" in export_store(store, tmp_path / "out.pkl", encoder="none")


@pytest.mark.parametrize("classes", [("sad", "angry"), ("Joy", "sad"), ("angry", "none"), ("A",)])
def test_emotions_that_a_table_would_call_otherwise_are_told_of(tmp_path, classes):
    made = helpers.make_material()
    target = Target(name="emotion", kind=TargetKind.CLASS, classes=classes)
    values = {"emotion": {Task.FUSION: tuple(float(not at) for at in range(len(classes)))}}
    clips = tuple(replace(clip, targets=values) for clip in made.corpus.clips)
    material = replace(made, corpus=replace(made.corpus, clips=clips, targets=(target,)))
    store = write_store(material, tmp_path / "store")
    (told,) = export_store(store, tmp_path / "out", form="npz")
    stated = f"emotion={','.join(classes)}{',' * (len(classes) == 1)}"
    assert told == f"what emotion is (import it with --target {stated})"
    table = tmp_path / "out" / "clips.csv"
    options = {"features": {}, "name": "own", "language": "en", "scale": store.scale}
    again = read_table(table, **options, targets=[stated]).corpus
    assert again.targets == (target,)
    assert [clip.targets for clip in again.clips] == [clip.targets for clip in clips]
