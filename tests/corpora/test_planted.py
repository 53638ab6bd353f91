import hashlib
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from mien.config import read_settings
from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig
from mien.corpora.planted.sentences import GRADES, phrases, vocabulary, write_sentence
from mien.corpora.planted.signals import make_rotation
from mien.data.store_writer import write_store
from mien.errors import AssetError, ConfigError
from mien.evaluation.significance import bootstrap_interval
from mien.pretrained.assets import find_asset
from mien.training.out_of_fold import assign_folds
from mien.types import SPLITS, Modality, Scale, Task

SMALL = PlantedConfig(num_clips=40)
SERIES = (Modality.AUDIO, Modality.VIDEO)


@pytest.fixture(scope="module")
def material():
    return make_planted(PlantedConfig())


rotation_of = cache(make_rotation)


_READ = {}


def series_of(material, modality):
    """Read a series once, however many tests look at it."""
    key = id(material.series), modality
    if key not in _READ:
        _READ[key] = material.series, _read(material, modality)  # the former keeps its id taken
    return _READ[key][1]


def _read(material, modality):
    return list(next(one for one in material.series if one.name == modality).read())


def labels_of(material, task):
    return np.array([clip.labels.get(task, np.nan) for clip in material.corpus.clips])


def in_world(series, modality):
    """Undo the rotation: column 0 is the cue, 1 the lure's, 2 the valence."""
    return series @ rotation_of(modality, series.shape[1]).T


def test_the_same_settings_give_the_same_bytes_on_every_machine():
    digest = hashlib.sha256()
    material = make_planted(SMALL)
    for clip in material.corpus.clips:
        digest.update(repr((clip.id, clip.transcript, sorted(clip.labels.items()))).encode())
    for modality in SERIES:
        for series in series_of(material, modality):
            digest.update(series.astype("<f4").tobytes())
    assert digest.hexdigest() == "ce89618670f42a8dc04909fa321f845d4307e2292bfe9b3c35a6721145e03126"


def test_the_default_corpus_is_the_one_that_results_were_measured_on(material):
    """A new setting may not change, by its default, what was measured without it."""
    digest = hashlib.sha256()
    for clip in material.corpus.clips:
        moments = sorted((str(m), span) for m, span in clip.moments.items())
        labels = sorted((str(t), label) for t, label in clip.labels.items())
        kept = clip.id, clip.split, clip.transcript, labels, clip.start, clip.end, moments
        digest.update(repr(kept).encode())
    for modality in SERIES:
        for series in series_of(material, modality):
            digest.update(series.astype("<f4").tobytes())
    assert digest.hexdigest() == "00a455aedddbd50f23da1048198acb2684f732bade42feaabddd3c1877b155bc"


def test_values_leave_room_for_sums_in_another_order():
    """A value of float32 that is a multiple of 1/1024 is the same however it was summed."""
    values = np.concatenate(series_of(make_planted(SMALL), Modality.AUDIO))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values * 1024, np.round(values * 1024))


def test_a_second_pass_over_a_series_gives_the_same_values():
    source = make_planted(SMALL).series[0]
    for first, second in zip(source.read(), source.read(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_is_other_clips_of_the_same_world():
    one, other = (make_planted(PlantedConfig(num_clips=40, seed=seed)) for seed in (0, 1))
    assert one.corpus.clips[0].transcript != other.corpus.clips[0].transcript
    for material in (one, other):
        assert burst_means(material, Modality.AUDIO)[:, 0].mean() == pytest.approx(5, abs=0.5)


def test_one_setting_does_not_disturb_what_another_drew():
    plain = make_planted(SMALL)
    changes = {"gain": 1.0, "noise": 2.0, "num_lures": 1, "audio_size": 5}
    other = make_planted(SMALL.model_copy(update=changes))
    for before, after in zip(plain.corpus.clips, other.corpus.clips, strict=True):
        assert before.labels == after.labels
        assert before.transcript == after.transcript


def test_it_says_that_it_is_made(material):
    assert material.corpus.is_synthetic
    assert material.corpus.scale == Scale(-3, 3)
    assert material.corpus.language == "en"
    assert "made" in material.origin["made by"]
    changed = make_planted(PlantedConfig(num_clips=40, gain=1.5))
    assert changed.origin["settings"] == "num_clips=40, gain=1.5"
    assert material.origin["settings"] == "defaults"


def test_splits_have_their_shares_and_no_video_is_in_two(material):
    clips = material.corpus.clips
    assert [sum(c.split == split for c in clips) for split in SPLITS] == [960, 240, 300]
    videos = [{c.video_id for c in clips if c.split == split} for split in SPLITS]
    assert [len(of_split) for of_split in videos] == [64, 16, 20]
    assert all(not one & other for one, other in combinations(videos, 2))
    assert len({clip.id for clip in clips}) == 1500


def test_clips_follow_one_another_in_their_video(material):
    first, second = material.corpus.clips[:2]
    assert (first.id, second.id) == ("video-0001$_$1", "video-0001$_$2")
    assert first.start == 0
    assert second.start == first.end
    steps = len(series_of(make_planted(SMALL), Modality.AUDIO)[0])
    assert steps == int((first.end - first.start) / 0.05)


def test_labels_are_multiples_of_their_step_on_the_scale(material):
    for task in Task:
        labels = labels_of(material, task)
        labels = labels[~np.isnan(labels)]
        assert (abs(labels) <= 3).all()
        np.testing.assert_allclose(labels / 0.2, np.round(labels / 0.2), atol=1e-9)
        assert not np.signbit(labels[labels == 0]).any()
    assert 0.04 < (labels_of(material, Task.FUSION) == 0).mean() < 0.12


def test_modalities_that_agree_correlate_as_they_are_told_to():
    material = make_planted(PlantedConfig(disagreement=0, missing=0, agreement=0.6))
    for one, other in combinations(Modality, 2):
        found = np.corrcoef(labels_of(material, Task(one)), labels_of(material, Task(other)))[0, 1]
        assert found == pytest.approx(0.6, abs=0.06)


def test_full_agreement_says_the_same_in_every_modality():
    material = make_planted(PlantedConfig(num_clips=100, disagreement=0, missing=0, agreement=1))
    text, audio, video = (labels_of(material, Task(m)) for m in Modality)
    np.testing.assert_array_equal(audio, video)
    assert abs(text - audio).max() <= 0.4 + 1e-9  # text has steps of 0.6, audio of 0.2


def test_disagreement_turns_one_modality_against_the_two_others():
    material = make_planted(PlantedConfig(num_clips=300, disagreement=1, missing=0, agreement=1))
    labels = np.stack([labels_of(material, Task(m)) for m in Modality])
    is_clear = (abs(labels) >= 0.6).all(axis=0)
    signs = np.sign(labels[:, is_clear])
    assert is_clear.sum() > 150
    assert set(abs(signs.sum(axis=0))) == {1}
    odd = np.argmax(signs != np.sign(signs.sum(axis=0)), axis=0)
    assert (np.bincount(odd, minlength=3) / len(odd) > 0.2).all()


def test_the_share_of_disagreement_is_what_was_asked_for():
    material = make_planted(PlantedConfig(disagreement=0.3, missing=0, agreement=1))
    labels = np.stack([labels_of(material, Task(m)) for m in Modality])
    apart = np.ptp(labels, axis=0) > 0.41
    assert apart.mean() == pytest.approx(0.3, abs=0.04)


def test_the_multimodal_label_is_the_weighted_mean_of_what_the_clip_has():
    settings = PlantedConfig(num_clips=200, label_noise=0, missing=0.3)
    weights = {Task.TEXT: 0.45, Task.AUDIO: 0.3, Task.VIDEO: 0.25}
    for clip in make_planted(settings).corpus.clips:
        parts = {task: label for task, label in clip.labels.items() if task in weights}
        mean = sum(weights[t] * label for t, label in parts.items()) / sum(
            weights[t] for t in parts
        )
        assert abs(clip.labels[Task.FUSION] - mean) <= 0.1 + 1e-9


MIXINGS = ("sum", "strongest", "irony")


def mixed(mixing, **changes):
    """Labels of a corpus without noise or missing series, as columns."""
    settings = PlantedConfig(num_clips=900, mixing=mixing, label_noise=0, missing=0, **changes)
    material = make_planted(settings)
    return {task: labels_of(material, task) for task in Task}


@pytest.mark.parametrize("mixing", MIXINGS)
def test_what_each_modality_says_is_the_same_however_the_label_is_mixed(mixing):
    plain, other = (make_planted(SMALL.model_copy(update={"mixing": m})) for m in ("sum", mixing))
    for one, two in zip(plain.corpus.clips, other.corpus.clips, strict=True):
        for task in set(Task) - {Task.FUSION}:
            assert one.labels.get(task) == two.labels.get(task)
        assert (one.transcript, one.moments) == (two.transcript, two.moments)
    for modality in SERIES:
        for one, two in zip(*(series_of(m, modality) for m in (plain, other)), strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_strongest_modality_carries_the_label_whatever_its_weight():
    labels = mixed("strongest", text_weight=0.9, audio_weight=0.05, video_weight=0.05)
    parts = np.stack([labels[Task(m)] for m in Modality])
    strongest = parts[abs(parts).argmax(axis=0), np.arange(900)]
    np.testing.assert_allclose(labels[Task.FUSION], strongest, atol=1e-9)
    is_clear = np.sort(abs(parts), axis=0)[1] < abs(parts).max(axis=0)
    share = np.bincount(abs(parts).argmax(axis=0)[is_clear], minlength=3) / is_clear.sum()
    assert share.min() > 0.2


def test_under_irony_words_that_the_voice_contradicts_count_the_other_way_round():
    labels = mixed("irony")
    text, audio, video = (labels[Task(m)] for m in Modality)
    is_ironic = text * audio < 0
    assert 0.15 < is_ironic.mean() < 0.5
    meant = np.where(is_ironic, -text, text)
    wanted = 0.45 * meant + 0.3 * audio + 0.25 * video
    assert abs(labels[Task.FUSION] - wanted).max() <= 0.1 + 1e-9
    np.testing.assert_array_equal(meant[audio != 0], (abs(text) * np.sign(audio))[audio != 0])


def test_without_a_voice_words_mean_what_they_say():
    settings = {"num_clips": 300, "missing": 0.5, "label_noise": 0}
    plain, ironic = (make_planted(PlantedConfig(mixing=m, **settings)) for m in ("sum", "irony"))
    silent = [
        (one.labels[Task.FUSION], two.labels[Task.FUSION])
        for one, two in zip(plain.corpus.clips, ironic.corpus.clips, strict=True)
        if Task.AUDIO not in one.labels
    ]
    assert len(silent) > 100
    assert all(one == two for one, two in silent)


def explained_by_a_sum(labels):
    """Share of the label's variance that the best sum of a function of each modality explains.

    A function of a modality is any: an indicator of each value that it takes.
    """
    columns = [
        (labels[Task(m)][:, None] == np.unique(labels[Task(m)])).astype(float) for m in Modality
    ]
    inputs, label = np.concatenate(columns, axis=1), labels[Task.FUSION]
    weights, *_ = np.linalg.lstsq(inputs, label, rcond=None)
    return 1 - np.var(label - inputs @ weights) / np.var(label)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_only_the_sum_is_a_sum(mixing):
    """The promise of the mixings: what only adds up misses an interaction, however it bends."""
    weights = {"text_weight": 0.7, "audio_weight": 0.15, "video_weight": 0.15}
    found = explained_by_a_sum(mixed(mixing, disagreement=0.6, **weights))
    assert found > 0.99 if mixing == "sum" else found < 0.85


def test_a_missing_modality_has_no_step_no_label_and_no_moment():
    material = make_planted(PlantedConfig(num_clips=300, missing=0.2))
    for modality in SERIES:
        series = series_of(material, modality)
        missing = [row for row, values in enumerate(series) if not len(values)]
        assert 0.12 < len(missing) / 300 < 0.28
        for row, clip in enumerate(material.corpus.clips):
            assert (Task(modality) in clip.labels) == (row not in missing)
            assert (modality in clip.moments) == (row not in missing)


def burst_means(material, modality):
    spans = [clip.moments.get(modality) for clip in material.corpus.clips]
    return np.stack([
        in_world(values, modality)[slice(*span)].mean(axis=0)
        for values, span in zip(series_of(material, modality), spans, strict=True)
        if span
    ])  # fmt: skip


@pytest.mark.parametrize("modality", SERIES)
def test_the_burst_holds_cue_and_sentiment_where_the_clip_says(material, modality):
    means = burst_means(material, modality)
    labels = labels_of(material, Task(modality))
    labels = labels[~np.isnan(labels)]
    assert means[:, 0].mean() == pytest.approx(5, abs=0.1)
    assert means[:, 1].mean() == pytest.approx(0, abs=0.1)
    slope, offset = np.polyfit(labels, means[:, 2], 1)
    assert slope == pytest.approx(2, abs=0.1)
    assert offset == pytest.approx(0, abs=0.1)
    assert np.corrcoef(labels, means[:, 2])[0, 1] > 0.95


@pytest.mark.parametrize("modality", SERIES)
def test_lures_look_alike_but_have_another_cue_and_an_unrelated_value(modality):
    settings = PlantedConfig(num_clips=200, missing=0, cue=20, gain=2)
    material = make_planted(settings)
    labels, values = [], []
    for clip, series in zip(material.corpus.clips, series_of(material, modality), strict=True):
        steps = in_world(series, modality)
        is_lure = steps[:, 1] > 10
        assert not is_lure[slice(*clip.moments[modality])].any()
        edges = np.flatnonzero(np.diff(np.r_[False, is_lure, False].astype(int)))
        assert len(edges) == 2 * settings.num_lures
        labels.append(clip.labels[Task(modality)])
        values.append(steps[edges[0] : edges[1], 2].mean())
    assert abs(np.corrcoef(labels, values)[0, 1]) < 0.2
    assert np.std(values) > 2


def test_lengths_and_bursts_are_short_and_ragged(material):
    for modality, low, high in ((Modality.AUDIO, 60, 200), (Modality.VIDEO, 37, 125)):
        lengths = [len(values) for values in series_of(material, modality) if len(values)]
        assert low <= min(lengths) < max(lengths) <= high
        spans = [clip.moments.get(modality) for clip in material.corpus.clips]
        sizes = [end - begin for begin, end in filter(None, spans)]
        share = np.array(sizes) / lengths
        assert 0.04 <= sum(sizes) / sum(lengths) <= 0.08
        assert (abs(share - 0.06) <= 0.02 + 0.5 / np.array(lengths) + 1e-9).all()
        begins = np.array([span[0] for span in spans if span]) / lengths
        assert np.histogram(begins, 5, (0, 1))[0].min() > 0.1 * len(begins)


THIRDS = {"start": (0, 1 / 3), "middle": (1 / 3, 2 / 3), "end": (2 / 3, 1)}


@pytest.mark.parametrize("position", THIRDS)
@pytest.mark.parametrize("longest", [0.08, 0.5, 1.0])
def test_bursts_lie_in_the_third_that_was_asked_for(position, longest):
    settings = PlantedConfig(
        num_clips=100, missing=0, burst_position=position, burst_low=0.04, burst_high=longest
    )
    material = make_planted(settings)
    low, high = THIRDS[position]
    for modality in SERIES:
        for clip, series in zip(material.corpus.clips, series_of(material, modality), strict=True):
            begin, end = clip.moments[modality]
            free = len(series) - (end - begin)
            assert end <= len(series)
            assert low * free - 0.5 <= begin <= high * free + 0.5


@pytest.mark.parametrize("position", THIRDS)
def test_lures_keep_apart_from_a_burst_whose_place_was_asked_for(position):
    settings = PlantedConfig(
        num_clips=100, missing=0, cue=20, burst_position=position, burst_high=0.2
    )
    material = make_planted(settings)
    found = []
    for clip, series in zip(material.corpus.clips, series_of(material, "audio"), strict=True):
        is_lure = in_world(series, Modality.AUDIO)[:, 1] > 10
        begin, end = clip.moments[Modality.AUDIO]
        assert not is_lure[max(0, begin - 1) : end + 1].any()
        edges = np.flatnonzero(np.diff(np.r_[False, is_lure, False].astype(int)))
        found.append(len(edges) // 2)
    assert max(found) == settings.num_lures
    assert np.mean(found) > 0.9 * settings.num_lures


def test_noise_is_the_deviation_of_the_background():
    changes = {"num_clips": 40, "cue": 0, "gain": 0, "num_lures": 0, "missing": 0}
    for noise in (0.0, 0.5, 2.0):
        series = series_of(make_planted(PlantedConfig(noise=noise, **changes)), Modality.AUDIO)
        assert np.concatenate(series).std() == pytest.approx(noise, abs=0.05 * noise)


def test_noise_leaves_the_burst_as_it_is():
    changes = {"num_clips": 40, "missing": 0}
    quiet = make_planted(PlantedConfig(noise=0, **changes))
    means = burst_means(quiet, Modality.AUDIO)
    labels = labels_of(quiet, Task.AUDIO)
    np.testing.assert_allclose(means[:, 0], 5, atol=0.01)
    np.testing.assert_allclose(means[:, 2], 2 * labels, atol=0.01)


def test_a_series_too_short_for_its_lures_keeps_its_burst():
    settings = PlantedConfig(
        num_clips=20, shortest_seconds=0.06, longest_seconds=0.2, num_lures=5, missing=0
    )
    material = make_planted(settings)
    for clip, values in zip(material.corpus.clips, series_of(material, "video"), strict=True):
        begin, end = clip.moments[Modality.VIDEO]
        assert 0 <= begin < end <= len(values)


def test_the_background_remembers_the_step_before():
    settings = PlantedConfig(num_clips=60, cue=0, gain=0, num_lures=0, missing=0, persistence=0.9)
    series = series_of(make_planted(settings), Modality.AUDIO)
    now = np.concatenate([values[1:] for values in series])
    before = np.concatenate([values[:-1] for values in series])
    assert now.std() == pytest.approx(1, abs=0.05)
    assert (now * before).mean() == pytest.approx(0.9, abs=0.05)
    first = np.stack([values[0] for values in series])
    assert first.std() == pytest.approx(1, abs=0.05)


def test_audio_and_video_of_a_clip_have_backgrounds_of_their_own():
    settings = PlantedConfig(
        num_clips=20,
        cue=0,
        gain=0,
        num_lures=0,
        missing=0,
        persistence=0,
        audio_size=9,
        video_size=9,
    )
    material = make_planted(settings)
    for audio, video in zip(*(series_of(material, m) for m in SERIES), strict=True):
        size = min(len(audio), len(video))
        one, other = (
            in_world(v, m)[:size].ravel() for v, m in zip((audio, video), SERIES, strict=True)
        )
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


def ridge_correlation(inputs, labels, is_train, penalty=10.0):
    inputs = (inputs - inputs[is_train].mean(axis=0)) / inputs[is_train].std(axis=0)
    train, mean = inputs[is_train], labels[is_train].mean()
    gram = train.T @ train + penalty * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, train.T @ (labels[is_train] - mean))
    return np.corrcoef(inputs[~is_train] @ weights, labels[~is_train])[0, 1]


@pytest.mark.parametrize("modality", SERIES)
def test_only_the_moment_tells(material, modality):
    """The promise of the instrument: pooled series say little, last steps nothing, bursts all."""
    clips, series = material.corpus.clips, series_of(material, modality)
    rows = [row for row, values in enumerate(series) if len(values)]
    labels = np.array([clips[row].labels[Task(modality)] for row in rows])
    is_train = np.array([clips[row].split == "train" for row in rows])

    def correlate(pool):
        inputs = np.stack([pool(series[row], clips[row].moments[modality]) for row in rows])
        return ridge_correlation(inputs, labels, is_train)

    assert correlate(lambda values, span: values[slice(*span)].mean(axis=0)) > 0.9
    assert 0.05 < correlate(lambda values, _: values.mean(axis=0)) < 0.4
    assert abs(correlate(lambda values, _: values[-1])) < 0.2


@pytest.mark.extended
@pytest.mark.slow
def test_attention_finds_the_moments_that_the_last_state_loses(material):
    clips, series = material.corpus.clips, series_of(material, Modality.VIDEO)
    rows = [row for row, values in enumerate(series) if len(values)]
    error = {pool: train_reader(pool, clips, series, rows) for pool in ("softmax", "last")}
    assert error["softmax"][0] < 0.6 * error["last"][0]
    assert error["softmax"][1] > 5  # times as much attention in the burst as if it were even


class Reader(nn.Module):
    """An LSTM whose states are weighed by attention, or of which the last is taken."""

    def __init__(self, size, pool):
        super().__init__()
        self.encoder, self.pool = nn.LSTM(size, 32, batch_first=True), pool
        self.gate = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
        self.head = nn.Linear(32, 1)

    def forward(self, values, lengths):
        states, _ = self.encoder(values)
        steps = torch.arange(values.shape[1])
        if self.pool == "last":
            weights = (steps == lengths[:, None] - 1).float()
        else:
            logits = self.gate(states).squeeze(-1)
            weights = logits.masked_fill(steps >= lengths[:, None], -1e9).softmax(dim=1)
        return self.head((weights[..., None] * states).sum(dim=1)).squeeze(-1), weights


def train_reader(pool, clips, series, rows):
    torch.manual_seed(0)
    reader = Reader(series[rows[0]].shape[1], pool)
    optimizer = torch.optim.Adam(reader.parameters(), 2e-3)
    train = [row for row in rows if clips[row].split == "train"]
    test = [row for row in rows if clips[row].split == "test"]

    def predict(some):
        values = [torch.from_numpy(series[row]) for row in some]
        lengths = torch.tensor([len(one) for one in values])
        scores, weights = reader(nn.utils.rnn.pad_sequence(values, batch_first=True), lengths)
        return scores, weights, torch.tensor([clips[row].labels[Task.VIDEO] for row in some])

    for _ in range(12):
        order = torch.randperm(len(train)).tolist()
        for first in range(0, len(order), 32):
            scores, _, labels = predict([train[one] for one in order[first : first + 32]])
            optimizer.zero_grad()
            (scores - labels).abs().mean().backward()
            optimizer.step()
    with torch.no_grad():
        scores, weights, labels = predict(test)
    spans = [clips[row].moments[Modality.VIDEO] for row in test]
    inside = sum(float(w[slice(*span)].sum()) for w, span in zip(weights, spans, strict=True))
    even = sum((e - b) / len(series[r]) for r, (b, e) in zip(test, spans, strict=True))
    return float((scores - labels).abs().mean()), inside / even


def test_the_store_takes_it(tmp_path):
    store = write_store(make_planted(SMALL), tmp_path / "planted")
    assert store.meta.is_synthetic
    assert store.meta.series["audio"].size == 33
    assert store.meta.series["video"].step_seconds == 0.08
    assert store.clips == make_planted(SMALL).corpus.clips


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"train": 0.9, "valid": 0.1},
            r"^settings of planted: train and valid together must leave",
        ),
        ({"num_clips": 20, "valid": 0.02}, "must leave a clip for every split"),
        ({"shortest_seconds": 11}, "shortest_seconds must not be above longest_seconds"),
        ({"burst_low": 0.5}, "burst_low must not be above burst_high"),
        ({"mixing": "product"}, r"setting planted\.mixing is 'product'"),
        ({"burst_position": "left"}, r"setting planted\.burst_position is 'left'"),
        ({"text_weight": 0}, r"setting planted\.text_weight is 0, should be greater than 0"),
        ({"lures": 2}, r"there is no setting planted\.lures; did you mean planted\.num_lures\?"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(PlantedConfig, values, "planted")


def test_wording_carries_the_sentiment_at_the_place_that_is_named(material):
    for clip in material.corpus.clips:
        begin, end = clip.moments[Modality.TEXT]
        said = clip.transcript[begin:end]
        assert said.lower() in {phrase for _, phrase in phrases(clip.labels[Task.TEXT])}
    assert len({clip.transcript for clip in material.corpus.clips}) > 1450


def test_no_wording_has_two_grades():
    wordings = [wording for grade in GRADES for wording in phrases(grade)]
    assert len(set(wordings)) == len(wordings)
    assert all(len(phrases(grade)) >= 8 for grade in GRADES)


@pytest.mark.parametrize(
    ("phrase", "grade"),
    [
        (("was", "utterly terrible"), -3.0),
        (("i", "hated"), -2.4),
        (("was", "not good at all"), -1.8),
        (("was", "not good"), -1.2),
        (("was", "not great"), -0.6),
        (("was", "about average"), 0.0),
        (("was", "not bad"), 0.6),
        (("was", "not bad at all"), 1.2),
        (("was", "very interesting"), 1.8),
        (("was", "really good"), 2.4),
        (("i", "really loved"), 3.0),
    ],
)
def test_words_are_graded(phrase, grade):
    assert phrase in phrases(grade)


def test_hearsay_is_somebody_elses_opinion_before_the_speakers_own():
    generator = np.random.default_rng(0)
    told = [write_sentence(0.0, generator, hearsay=1.0) for _ in range(50)]
    assert all(" that " in one.text or " told me " in one.text for one in told)
    assert all(one.text.index(" but ") < one.span[0] for one in told)
    plain = [write_sentence(0.0, generator, hearsay=0.0) for _ in range(50)]
    assert not any(" told me " in one.text or " said that " in one.text for one in plain)


def test_every_word_that_can_be_written_is_in_the_vocabulary(material):
    said = {
        word.strip(".,").lower() for c in material.corpus.clips for word in c.transcript.split()
    }
    assert said <= vocabulary()


def test_a_small_english_encoder_knows_every_word():
    try:
        folder = find_asset("minilm")
    except AssetError as error:
        pytest.skip(f"needs the words of an encoder: {error}")
    known = set((folder / "vocab.txt").read_text(encoding="utf-8").split())
    assert vocabulary() - known == set()


# --- clips of one video ---------------------------------------------------------------------------

OF_VIDEOS = {"num_clips": 1000, "clips_per_video": 10, "train": 0.8, "valid": 0.1, "missing": 0}


@cache
def labels_by_video(video_effect):
    """Labels of the train clips by task, one row a video."""
    settings = PlantedConfig(
        **OF_VIDEOS, video_effect=video_effect, disagreement=0, spread=0.8, agreement=0.5
    )
    clips = [c for c in make_planted(settings).corpus.clips if c.split == "train"]
    videos = np.array([clip.video_id for clip in clips]).reshape(-1, 10)
    assert (videos == videos[:, :1]).all()
    return {t: np.array([c.labels[t] for c in clips]).reshape(-1, 10) for t in Task}


def intraclass(values):
    """Correlation of two clips of one video, by one-way analysis of variance."""
    num = values.shape[1]
    between = values.mean(axis=1).var(ddof=1) * num
    within = values.var(axis=1, ddof=1).mean()
    return (between - within) / (between + (num - 1) * within)


def test_clips_of_a_video_share_as_much_as_the_setting_says():
    """80 videos of 10 clips: the standard error of the correlation is about .05."""
    for task in Task:
        assert abs(intraclass(labels_by_video(0.0)[task])) < 0.1
        assert intraclass(labels_by_video(0.5)[task]) == pytest.approx(0.5, abs=0.13)
    spreads = [labels_by_video(effect)[Task.AUDIO].std() for effect in (0.0, 0.5)]
    assert spreads == pytest.approx([0.8, 0.8], rel=0.12)


def test_intervals_over_videos_are_wider_where_clips_of_a_video_share_something():
    """By hand: a mean over videos of m clips varies 1 + (m - 1) r times as much as over clips."""
    for effect in (0.0, 0.5):
        targets = labels_by_video(effect)[Task.AUDIO]
        flat, videos = targets.ravel(), np.repeat(np.arange(len(targets)), 10)

        def bias(scores, targets):
            return float((scores - targets).mean())

        widths = []
        for clusters in (None, videos):
            interval = bootstrap_interval(
                np.zeros(len(flat)), flat, bias, seed=1, resamples=500, clusters=clusters
            )
            widths.append(interval.high - interval.low)
        by_hand = np.sqrt(1 + 9 * intraclass(targets))
        assert widths[1] / widths[0] == pytest.approx(by_hand, rel=0.15)


def test_folds_by_video_keep_from_a_clip_what_its_video_shares():
    """The mean label of the other clips of a fold's video tells a label only if they are taught."""
    labels = labels_by_video(0.5)[Task.FUSION]
    flat, videos = labels.ravel(), np.repeat(np.arange(len(labels)), 10)
    by_video = assign_folds([str(v) for v in videos], 5, np.random.default_rng(1))
    by_clip = np.random.default_rng(1).permutation(len(flat)) % 5
    told = {}
    for name, folds in (("video", by_video), ("clip", by_clip)):
        guess = np.empty(len(flat))
        for row in range(len(flat)):
            taught = flat[(folds != folds[row]) & (videos == videos[row])]
            guess[row] = taught.mean() if len(taught) else flat[folds != folds[row]].mean()
        told[name] = np.corrcoef(guess, flat)[0, 1]
    assert told["clip"] > 0.5
    assert told["video"] < 0.1


def test_a_corpus_without_the_effect_is_the_one_of_before():
    """Its default changes no byte of a planted corpus."""
    plain, same, other = (
        [clip.labels for clip in make_planted(settings).corpus.clips]
        for settings in (SMALL, *(PlantedConfig(num_clips=40, video_effect=e) for e in (0.0, 0.3)))
    )
    assert plain == same
    assert plain != other
