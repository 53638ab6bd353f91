import numpy as np
import pytest

import mien
from mien.corpora.emotion_layouts.layout_reader import read_layout
from mien.corpora.table import join_features
from mien.data.context.neighbours import find_neighbours
from mien.data.export.fold_stores import write_folds
from mien.data.store_writer import write_store
from mien.data.summary import verify
from mien.errors import CorpusError, StoreError
from mien.types import Clip, Corpus, Material, Scale, SeriesSource, Target, TargetKind, Task


@pytest.fixture
def store(tmp_path):
    clips = tuple(
        Clip(
            id=f"{who}-{video}$_${at}",
            split="train",
            transcript=f"word {at}",
            labels={Task.FUSION: float(at - 1)},
            speaker=who,
            targets={"emotion": {Task.FUSION: (1.0, 0.0) if at % 2 else (0.0, 1.0)}},
        )
        for who in ("ann", "bea", "cyd", "dan")
        for video in range(2)
        for at in range(3)
    )
    series = SeriesSource(
        name="audio", size=2, dtype="float32", extractor="test/1",
        read=lambda: iter([np.full((at % 3, 2), at, np.float32) for at in range(len(clips))]),
    )  # fmt: skip
    corpus = Corpus(
        name="own", language="en", scale=Scale(-1, 1), clips=clips,
        targets=(Target(name="emotion", kind=TargetKind.CLASS, classes=("a", "b")),),
    )  # fmt: skip
    material = Material(corpus=corpus, series=(series,), origin={"file": "own.csv"})
    return write_store(material, tmp_path / "own")


def test_each_fold_is_a_store_with_the_same_series(store, tmp_path):
    folds = write_folds(store, tmp_path / "folds", num_folds=4, seed=3)
    assert [fold.path.name for fold in folds] == ["fold-1", "fold-2", "fold-3", "fold-4"]
    tested = []
    for fold in folds:
        verify(fold)
        assert fold.meta.num_clips == {"train": 12, "valid": 6, "test": 6}
        assert [clip.id for clip in fold.clips] == [clip.id for clip in store.clips]
        assert fold.clips[1].targets == store.clips[1].targets
        splits = {clip.speaker: {c.split for c in fold.clips if c.speaker == clip.speaker}
                  for clip in fold.clips}  # fmt: skip
        assert all(len(own) == 1 for own in splits.values())
        tested += [who for who, own in splits.items() if own == {"test"}]
        assert (fold.path / "audio/values.npy").samefile(store.path / "audio/values.npy")
        assert fold.meta.fingerprint != store.meta.fingerprint
    assert sorted(tested) == ["ann", "bea", "cyd", "dan"]
    assert folds[0].meta.origin == {"file": "own.csv", "fold": "1 of 4 by speaker, seed 3"}
    assert len(mien.write_folds(store.path, tmp_path / "videos", by="video")) == 8


def test_clips_of_which_nobody_says_who_speaks_are_told_of_in_folds_by_speaker(tmp_path, caplog):
    clips = tuple(
        Clip(id=f"v{at}$_$1", split="train", transcript="so", labels={Task.FUSION: 0.0},
             speaker="ann" if at < 2 else None)
        for at in range(6)
    )  # fmt: skip
    corpus = Corpus(name="own", language="en", scale=Scale(-1, 1), clips=clips)
    store = write_store(Material(corpus=corpus, series=(), origin={}), tmp_path / "own")
    write_folds(store, tmp_path / "videos", by="video", num_folds=2)
    assert "speaker" not in caplog.text
    write_folds(store, tmp_path / "speakers", num_folds=2)
    assert "own: 4 of 6 clips have no speaker; each of their videos counts as a sp" in caplog.text


def test_folds_that_are_there_or_cannot_be_made_are_refused(store, tmp_path):
    write_folds(store, tmp_path / "folds", num_folds=2)
    with pytest.raises(StoreError, match="fold-1"):
        write_folds(store, tmp_path / "folds", num_folds=2)
    write_folds(store, tmp_path / "folds", num_folds=2, seed=1, replace=True)
    with pytest.raises(CorpusError, match="5 folds by speaker: the clips are of 4 groups"):
        write_folds(store, tmp_path / "other", num_folds=5)


def test_utterances_of_meld_and_turns_of_iemocap_are_read_with_those_before_them(tmp_path):
    """Dialogues in the order of their numbers and times, with the speakers of the corpus."""
    rows = [
        f"{at},u{at},{who},joy,positive,3,{at}\n"
        for at, who in ((10, "Ross"), (2, "Joey"), (0, "All"))
    ]
    meld = tmp_path / "meld"
    meld.mkdir()
    (meld / "train_sent_emo.csv").write_text(
        "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n" + "".join(rows)
    )
    dialog = tmp_path / "iemocap" / "Session5" / "dialog"
    turns = (("F000", 1.5, 2.5), ("M000", 0.5, 1.0), ("F001", 3.0, 4.0))
    for folder in ("EmoEvaluation", "transcriptions"):
        (dialog / folder).mkdir(parents=True)
    name = "Ses05F_impro01"
    (dialog / "EmoEvaluation" / f"{name}.txt").write_text(
        "".join(f"[{s} - {e}]\t{name}_{turn}\tneu\t[2, 2, 2]\n" for turn, s, e in turns)
    )
    (dialog / "transcriptions" / f"{name}.txt").write_text(
        "".join(f"{name}_{turn} [{s}-{e}]: u{turn}\n" for turn, s, e in turns)
    )
    expected = {"meld": ["u0", "u2", "u10"], "iemocap": ["uM000", "uF000", "uF001"]}
    for corpus, texts in expected.items():
        read = read_layout(corpus, tmp_path / corpus)
        material = join_features(read.corpus, {}, path=tmp_path, origin=read.origin)
        clips = write_store(material, tmp_path / f"{corpus}-store").clips
        order = find_neighbours(clips, np.ones(3, dtype=bool), before=1, after=0)
        assert [clips[int(row)].transcript for row in order.rows] == texts
        assert (order.ends - order.firsts).tolist() == [1, 2, 2]
        assert clips[0].speaker in ("All", "Ses05M")
