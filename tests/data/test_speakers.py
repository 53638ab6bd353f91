from dataclasses import replace

import numpy as np
import pytest
from cases import examples
from helpers import AUDIO, VIDEO, make_config, make_material
from hypothesis import given
from hypothesis import strategies as st

from mien.data.clips.clip_columns import gather_columns
from mien.data.speakers.speaker_baseline import Moments, Units, measure, share_of, shrink
from mien.data.speakers.speaker_moments import SpeakerMoments
from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.errors import ConfigError
from mien.training.preparation import check_settings, prepare
from mien.types import Clip

UNITS = Units(np.array([3.0, -1.0, 5.0], np.float32), np.array([0.5, 2.0, 0.0], np.float32))
RELATIVE = {"standardise": "speaker", "baseline_seconds": 8.0}


def draw_series(seed, lengths):
    random = np.random.default_rng(seed)
    values = [random.normal(2, 3, size=(n, 3)) for n in lengths]
    for one in values:
        one[:, 2] = 5.0  # constant in train
    return [one.astype(np.float32) for one in values]


def as_speakers(series, speakers, half_seconds=8.0):
    return SpeakerMoments(
        speakers=np.array(speakers),
        moments={AUDIO: measure(series, [4.0] * len(series), UNITS)},
        units={AUDIO: UNITS},
        half_seconds=half_seconds,
        rows=np.arange(len(series)),
    )


# --- who speaks -----------------------------------------------------------------------------------


def test_a_speaker_is_not_a_video_of_the_same_name():
    named = [("v1$_$1", None), ("v1$_$2", None), ("v2$_$1", "v1"), ("v3$_$1", "v1")]
    clips = [Clip(id=i, split="train", transcript="", labels={}, speaker=s) for i, s in named]
    assert gather_columns(clips).speakers.tolist() == [0, 0, 1, 1]


# --- the formula ----------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=6), half=st.floats(0.1, 100))
@examples(30)
def test_own_moments_are_mixed_with_those_of_train(lengths, half):
    series = draw_series(len(lengths), lengths)
    moments = measure(series, [4.0] * len(series), UNITS).total()
    baseline = shrink(moments, UNITS, half)
    seconds = 4.0 * sum(n > 0 for n in lengths)
    share = seconds / (seconds + half)
    assert baseline.shares == pytest.approx([share])
    if not share:
        return
    steps = np.concatenate(series).astype(np.float64)
    # a mixture of the person and of train, weighted by the share
    mean = share * steps.mean(axis=0) + (1 - share) * UNITS.mean
    spread = np.array([2.0, 0.5, 0.0])  # of train
    square = share * np.square(steps).mean(axis=0) + (1 - share) * (spread**2 + UNITS.mean**2)
    deviation = np.sqrt(square - mean**2, where=spread > 0, out=np.zeros(3))
    values = draw_series(99, [5])[0]
    read = (baseline.apply(values, 0) - UNITS.mean) * UNITS.scale
    standard = (values - mean)[:, :2] / deviation[:2]
    np.testing.assert_allclose(read[:, :2], standard, rtol=1e-3, atol=1e-3)
    assert (read[:, 2] == 0).all()
    assert baseline.apply(values, 0).dtype == np.float32


def test_without_anything_of_a_person_values_stay_as_they_are_and_little_changes_little():
    values = draw_series(1, [4])[0]
    nothing = Moments(
        seconds=np.zeros(1),
        counts=np.zeros(1, int),
        sums=np.zeros((1, 3)),
        squares=np.zeros((1, 3)),
    )
    assert shrink(nothing, UNITS, 8.0).apply(values, 0).tobytes() == values.tobytes()
    apart = []
    for seconds in (1e-6, 1.0, 10.0, 100.0):
        moments = measure(draw_series(2, [6]), [seconds], UNITS)
        apart.append(np.abs(shrink(moments, UNITS, 8.0).apply(values, 0) - values)[:, :2].mean())
    assert apart[0] < 1e-4
    assert apart == sorted(apart)
    assert share_of(np.array([8.0]), 8.0).tolist() == [0.5]


# --- the clips of a speaker -----------------------------------------------------------------------


def test_a_clip_is_read_against_all_others_of_its_speaker_and_never_against_itself():
    series = draw_series(3, [2, 5, 1, 3, 0, 4])
    speakers = as_speakers(series, [7, 2, 7, 7, 2, 9])
    baselines = speakers.all_others()[AUDIO]
    for row, others in enumerate([[2, 3], [4], [0, 3], [0, 2], [1], []]):
        own = measure([series[i] for i in others], [4.0] * len(others), UNITS)
        known = shrink(own.total(), UNITS, 8.0)
        np.testing.assert_allclose(baselines.centres[row], known.centres[0], rtol=1e-5)
        np.testing.assert_allclose(baselines.gains[row], known.gains[0], rtol=1e-5)
    assert baselines.shares[5] == 0  # a speaker of one clip
    assert baselines.shares[1] == 0  # the other clip has no step


def test_an_epoch_draws_nothing_some_or_all_of_a_speaker():
    num = 600
    speakers = as_speakers(draw_series(4, [1] * num), [0] * num)
    drawn = speakers.draw(np.random.default_rng(5))[AUDIO]
    again = speakers.draw(np.random.default_rng(5))[AUDIO]
    other = speakers.draw(np.random.default_rng(6))[AUDIO]
    assert drawn.centres.tobytes() == again.centres.tobytes() != other.centres.tobytes()
    clips = np.rint(8.0 * drawn.shares / (1 - drawn.shares) / 4.0)
    counts = [np.mean(clips == 0), np.mean(clips == num - 1)]
    assert counts == pytest.approx([1 / 3, 1 / 3], abs=0.07)
    some = clips[(clips > 0) & (clips < num - 1)]
    assert 10 < np.median(some) < 60  # few are as likely as many
    assert some.max() > 300


# --- stores ---------------------------------------------------------------------------------------


def write(path, change, **options):
    """Write the tiny store with its clips changed."""
    made = make_material(**options)
    clips = tuple(change(number, clip) for number, clip in enumerate(made.corpus.clips))
    annotated = any(clip.labels for clip in clips)
    corpus = replace(made.corpus, clips=clips, is_annotated=annotated)
    return write_store(replace(made, corpus=corpus), path)


def read_all(store, split="train"):
    dataset = prepare(store, make_config(features=RELATIVE)).datasets[split]
    return [dataset.read(m, row) for m in (AUDIO, VIDEO) for row in range(len(dataset))]


def same(first, second):
    return all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_no_label_moves_a_baseline(tmp_path, tiny_store):
    wanted = read_all(open_store(tiny_store), "valid")
    labels = [clip.labels for clip in open_store(tiny_store).clips]
    permuted = write(tmp_path / "permuted", lambda n, clip: replace(clip, labels=labels[::-1][n]))
    unlabelled = write(tmp_path / "none", lambda _, clip: replace(clip, labels={}))
    assert same(read_all(permuted, "valid"), wanted)
    assert same(read_all(unlabelled, "valid"), wanted)
    plain = prepare(open_store(tiny_store), make_config()).datasets["valid"]
    assert not same([plain.read(m, r) for m in (AUDIO, VIDEO) for r in range(len(plain))], wanted)


def test_clips_without_a_label_tell_of_their_speaker_too(tmp_path, tiny_store):
    """In valid, where the units of train are not moved by what is left out."""
    wanted = prepare(open_store(tiny_store), make_config(features=RELATIVE)).datasets["valid"]
    half = write(
        tmp_path / "half",
        lambda n, clip: replace(clip, labels={}) if clip.split == "valid" and n % 2 else clip,
    )
    left = prepare(half, make_config(features=RELATIVE)).datasets["valid"]
    assert 0 < len(left) < len(wanted)
    for row, name in enumerate(left.ids):
        own = list(wanted.ids).index(name)
        assert left.read(AUDIO, row).tobytes() == wanted.read(AUDIO, own).tobytes()


def test_the_speaker_is_the_video_unless_the_clip_says_otherwise(tmp_path, tiny_store):
    videos = open_store(tiny_store).clips
    named = write(tmp_path / "named", lambda _, clip: replace(clip, speaker=clip.video_id))
    assert same(read_all(named), read_all(open_store(tiny_store)))
    assert named.clips.speaker_numbers.tolist() == videos.speaker_numbers.tolist()
    assert named.clips[0].speaker == videos[0].video_id
    joined = write(tmp_path / "joined", lambda _, clip: replace(clip, speaker="one"))
    assert not same(read_all(joined), read_all(named))
    alone = write(tmp_path / "alone", lambda n, clip: replace(clip, speaker=f"s{n}"))
    plain = prepare(alone, make_config()).datasets["train"]
    assert same(read_all(alone), [plain.read(m, r) for m in (AUDIO, VIDEO) for r in range(20)])


def test_speakers_that_nothing_would_be_read_against_are_refused(tiny_store):
    store = open_store(tiny_store)
    with pytest.raises(ConfigError, match=r"model\.standardise=true"):
        check_settings(store, make_config(features=RELATIVE, model={"standardise": False}))
    without = {**RELATIVE, "audio": "none", "video": "none"}
    with pytest.raises(ConfigError, match="neither audio nor video"):
        check_settings(store, make_config(features=without))
