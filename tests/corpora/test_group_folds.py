"""Folds: nothing that must stay together is in two of them, and classes are shared out alike."""

from dataclasses import replace

import numpy as np
import pytest

from mien.corpora.group_folds import assign_splits, make_folds
from mien.errors import CorpusError
from mien.types import Clip, Task


def clip(name, speaker=None, emotion=None, label=None, classes=3):
    values = None if emotion is None else tuple(float(at == emotion) for at in range(classes))
    return Clip(
        id=name,
        split="train",
        transcript="",
        labels={} if label is None else {Task.FUSION: label},
        speaker=speaker,
        targets={} if values is None else {"emotion": {Task.FUSION: values}},
    )


def corpus(num_speakers=12, seed=0):
    random = np.random.default_rng(seed)
    return [
        clip(f"v{s}-{v}$_${c}", f"s{s}", int(random.choice(3, p=[0.7, 0.2, 0.1])))
        for s in range(num_speakers)
        for v in range(2)
        for c in range(int(random.integers(3, 12)))
    ]


@pytest.mark.parametrize("by", ["speaker", "video", "clip"])
def test_what_stays_together_is_in_one_fold_and_classes_are_alike(by):
    clips = corpus()
    folds = make_folds(clips, target="emotion", by=by, num_folds=4, seed=3)
    assert set(folds.tolist()) == {1, 2, 3, 4}
    for key in (
        (lambda c: c.speaker, lambda c: c.video_id)
        if by == "speaker"
        else ((lambda c: c.video_id,) if by == "video" else ())
    ):
        seen = {}
        assert all(seen.setdefault(key(c), f) == f for c, f in zip(clips, folds, strict=True))
    classes = np.array([np.argmax(c.targets["emotion"][Task.FUSION]) for c in clips])
    shares = np.array([np.mean(classes[folds == fold] == 0) for fold in range(1, 5)])
    assert np.ptp(shares) < 0.25
    sizes = np.bincount(folds)[1:]
    assert sizes.max() < 2 * sizes.min()


def test_folds_depend_on_the_seed_alone():
    clips = corpus()
    first = make_folds(clips, target="emotion", num_folds=3, seed=1)
    assert (make_folds(clips, target="emotion", num_folds=3, seed=1) == first).all()
    assert any(
        (make_folds(clips, target="emotion", num_folds=3, seed=seed) != first).any()
        for seed in range(2, 6)
    )


def test_speakers_whom_a_video_joins_stay_together():
    """IEMOCAP: both speakers of a session are in one fold, and no other is."""
    clips = [
        clip(f"Ses0{n}{d}_impro0{k}$_${who}{at}", f"Ses0{n}{who}", at % 3)
        for n in range(1, 6)
        for d in "FM"
        for k in (1, 2)
        for who in "FM"
        for at in range(3)
    ]
    folds = make_folds(clips, by="speaker")
    sessions = [int(c.id[4]) for c in clips]
    assert folds.tolist() == sessions
    assert (
        len(
            set(
                zip(
                    make_folds(clips, target="emotion", num_folds=5, seed=9).tolist(),
                    sessions,
                    strict=True,
                )
            )
        )
        == 5
    )
    splits = dict(zip(sessions, assign_splits(folds, 1), strict=True))
    assert splits == {1: "test", 2: "train", 3: "train", 4: "train", 5: "valid"}


def test_without_classes_the_scores_are_shared_out_alike():
    clips = [clip(f"v{at}$_$1", label=at / 30) for at in range(90)] + [clip("w$_$1")]
    folds = make_folds(clips, by="video", num_folds=3, seed=2)[:-1]
    means = [np.mean(np.arange(90)[folds == fold]) for fold in (1, 2, 3)]
    assert np.ptp(means) < 12
    assert [int(np.sum(folds == fold)) for fold in (1, 2, 3)] == [30, 30, 30]


def test_the_classes_of_the_target_that_is_named_are_shared_out_not_the_first_of_a_clip():
    """What each clip lists first does not matter, nor do clips that lack the target."""
    tempers = np.random.default_rng(5).permutation(np.arange(60) % 3 == 0)
    clips = [
        replace(
            clip(f"v{at}$_$1", label=at / 60),
            targets={
                **({"other": {Task.FUSION: (1.0, 0.0)}} if at % 2 == 0 else {}),
                "emotion": {Task.FUSION: (0.0, 1.0) if rare else (1.0, 0.0)},
            },
        )
        for at, rare in enumerate(tempers)
    ]
    folds = make_folds(clips, target="emotion", by="clip", num_folds=5, seed=2)
    assert [int(tempers[folds == fold].sum()) for fold in range(1, 6)] == [4] * 5
    by_label = make_folds(clips, by="clip", num_folds=3, seed=2)
    assert sorted(int(np.sum(by_label[:20] == fold)) for fold in (1, 2, 3)) == [6, 7, 7]
    scores = [
        replace(c, targets={"valence": {Task.FUSION: (at / 30,)}} if at < 30 else {})
        for at, c in enumerate(clips)
    ]
    of_scores = make_folds(scores, target="valence", by="clip", num_folds=5, seed=2)
    assert [int(np.sum(of_scores[:10] == fold)) for fold in range(1, 6)] == [2] * 5


def test_two_folds_have_no_valid():
    assert assign_splits(np.array([1, 2, 2]), 2) == ["train", "test", "test"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_folds": 13}, "13 folds by speaker: the clips are of 12 groups .*, use by video"),
        ({"num_folds": 1}, "1 folds by speaker: must be 2 to 1000"),
        ({"num_folds": 100, "by": "video"}, "100 folds by video: the clips are of 24 groups"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(options, message):
    with pytest.raises(CorpusError, match=message):
        make_folds(corpus(), **options)
    with pytest.raises(CorpusError, match="fold 3: there are folds 1 to 2"):
        assign_splits(np.array([1, 2]), 3)


def test_folds_are_as_even_as_those_of_scikit_learn():
    model_selection = pytest.importorskip("sklearn.model_selection")
    for seed in range(5):
        clips = corpus(20, seed)
        classes = np.array([np.argmax(c.targets["emotion"][Task.FUSION]) for c in clips])
        groups = [c.speaker for c in clips]

        def spread(folds, classes=classes):
            counts = np.array([np.bincount(classes[folds == f], minlength=3) for f in range(5)])
            return np.mean(np.std(counts / counts.sum(axis=0), axis=0))

        theirs = np.empty(len(clips), dtype=int)
        splitter = model_selection.StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(classes, classes, groups)):
            theirs[test] = fold
        ours = make_folds(clips, target="emotion", num_folds=5, seed=seed) - 1
        assert spread(ours) == pytest.approx(spread(theirs), abs=0.02)


def test_speakers_who_are_in_all_videos_leave_no_folds():
    clips = [clip(f"v{at}$_$1", "ross") for at in range(5)]
    with pytest.raises(
        CorpusError, match=r"all clips are of one group .*; videos join .* by video"
    ):
        make_folds(clips, by="speaker")
    assert sorted(make_folds(clips, by="video").tolist()) == [1, 2, 3, 4, 5]
