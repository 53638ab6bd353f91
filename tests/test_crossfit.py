"""Evidence from late-fusion models about clips that they have not seen."""

import numpy as np
import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO, make_batch, make_clip, make_config, make_material
from hypothesis import given
from hypothesis import strategies as st

from mien import crossfit
from mien.config import read_settings
from mien.crossfit import assign_folds, cross_fit
from mien.errors import TrainingError
from mien.models.late import Late
from mien.models.multitask import MultitaskConfig
from mien.preparation import prepare
from mien.store import write_store
from mien.types import Material, Task

LATENT = {"generator": "latent", "folds": 3, "evidence_epochs": 3}


pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared_of(store, **labels):
    config = make_config(labels={**LATENT, **labels})
    return prepare(store, config), config


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=30), num_folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_clips_of_a_video_share_a_fold_and_folds_are_of_like_size(counts, num_folds, seed):
    videos = [f"v{i}" for i, count in enumerate(counts) for _ in range(count)]
    folds = assign_folds(videos, num_folds, np.random.default_rng(seed))
    assert len(folds) == len(videos)
    if len(counts) < num_folds:
        return
    assert all(
        len({f for f, v in zip(folds, videos, strict=True) if v == one}) == 1 for one in videos
    )
    sizes = np.bincount(folds, minlength=num_folds)
    assert sizes.min() > 0
    assert sizes.max() - sizes.min() <= max(counts)


def test_with_fewer_videos_than_folds_neighbours_stay_together():
    folds = assign_folds(["one"] * 7, 3, np.random.default_rng(0))
    assert folds.tolist() == sorted(folds.tolist())
    assert set(folds) == {0, 1, 2}


def test_nobody_is_asked_about_a_clip_that_it_has_seen(tiny_store, monkeypatch):
    asked = []

    def look(dataset, made, epoch, seed, on_step):
        for fold in made:
            taught = {clip.id for clip in fold.stepper.train.clips}
            assert not taught & {dataset.clips[i].id for i in fold.asked}
            videos = {clip.video_id for clip in fold.stepper.train.clips}
            assert not videos & {dataset.clips[i].video_id for i in fold.asked}
        asked.append(sorted(i for fold in made for i in fold.asked))
        return run(dataset, made, epoch, seed, on_step)

    run = crossfit._run_epoch
    monkeypatch.setattr(crossfit, "_run_epoch", look)
    prepared, config = prepared_of(tiny_store)
    cross_fit(prepared, config, seed=1)
    assert len(asked) == 3
    assert all(one == list(range(20)) for one in asked)


def change_label(material, row, label):
    clips = list(material.corpus.clips)
    labels = {**clips[row].labels, Task.FUSION: label}
    clips[row] = type(clips[row])(
        id=clips[row].id, split=clips[row].split, transcript=clips[row].transcript, labels=labels
    )
    corpus = type(material.corpus)(
        name=material.corpus.name, language="en", scale=material.corpus.scale, clips=tuple(clips)
    )
    return Material(corpus=corpus, series=material.series, origin={})


def test_in_the_first_epoch_evidence_of_a_clip_knows_nothing_of_its_annotation(tmp_path):
    """Later it may, by way of labels of other clips that its annotation has moved a little."""
    material = make_material()
    found = []
    for number, label in enumerate((3.0, -3.0)):
        store = write_store(change_label(material, 4, label), tmp_path / str(number))
        prepared, config = prepared_of(store, evidence_epochs=1)
        found.append(cross_fit(prepared, config, seed=1).scores)
    for modality in (TEXT, AUDIO, VIDEO):
        same = torch.isclose(found[0][modality], found[1][modality], equal_nan=True)
        assert same[4]
        assert not same.all()


def test_clips_without_a_modality_have_no_evidence_of_it(tiny_store):
    prepared, config = prepared_of(tiny_store)
    evidence = cross_fit(prepared, config, seed=1)
    dataset = prepared.datasets["train"]
    assert list(evidence.scores) == [TEXT, AUDIO, VIDEO]
    assert sum(evidence.weights.values()) == pytest.approx(1)
    for modality, scores in evidence.scores.items():
        lengths = dataset.series[modality].lengths[dataset.rows]
        assert np.array_equal(scores.isnan().numpy(), lengths == 0)


def test_evidence_is_kept_and_taken_from_the_cache(tiny_store, monkeypatch):
    prepared, config = prepared_of(tiny_store)
    first = cross_fit(prepared, config, seed=1)
    monkeypatch.setattr(crossfit, "_fit", None)
    again = cross_fit(prepared, config, seed=1)
    assert again.weights == first.weights
    for modality, scores in first.scores.items():
        assert torch.equal(scores.nan_to_num(9), again.scores[modality].nan_to_num(9))


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"labels": {"folds": 4}}, {"labels": {"evidence_epochs": 2}},
     {"model": {"lstm_size": {"audio": 7}}}, {"features": {"video": "none"}}],
    ids=str,
)  # fmt: skip
def test_whatever_changes_the_evidence_changes_its_key(tiny_store, empty_cache, change):
    prepared, config = prepared_of(tiny_store)
    cross_fit(prepared, config, seed=1)
    change = dict(change)
    seed = change.pop("seed", 1)
    values = config.model_dump(mode="json", exclude_none=True)
    for section, settings in change.items():
        values[section] = {**values[section], **settings}
    other = read_settings(type(config), values)
    cross_fit(prepare(tiny_store, other), other, seed=seed)
    assert len(list(empty_cache.rglob("*.safetensors"))) == 2


def test_what_the_model_itself_does_leaves_the_evidence_alone(tiny_store, empty_cache):
    prepared, config = prepared_of(tiny_store)
    first = cross_fit(prepared, config, seed=1)
    model = config.model.model_copy(update={"attention": "gated", "fusion": "concat"})
    other = config.model_copy(update={"model": model})
    again = cross_fit(prepared, other, seed=1)
    assert len(list(empty_cache.rglob("*.safetensors"))) == 1
    assert again.weights == first.weights


def test_steps_of_all_folds_are_told(tiny_store):
    told = []
    prepared, config = prepared_of(tiny_store, evidence_epochs=1)
    cross_fit(prepared, config, seed=1, on_step=lambda *one: told.append(one))
    assert told[-1] == (1, 40, 40)  # three folds of 20 clips, each taught two thirds
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_evidence_that_is_no_number_ends_the_training(tiny_store, monkeypatch):
    def broken(dataset, made, *_):
        return {task: torch.full((len(dataset),), torch.nan) for task in made[0].model.tasks}

    monkeypatch.setattr(crossfit, "_run_epoch", broken)
    prepared, config = prepared_of(tiny_store)
    with pytest.raises(TrainingError, match="evidence of the modalities diverged in epoch 1"):
        cross_fit(prepared, config, seed=1)


SIZES = {TEXT: 6, AUDIO: 4, VIDEO: 5}


def make_late():
    torch.manual_seed(1)
    return Late(MultitaskConfig(), SIZES).eval()


def test_the_late_score_is_the_weighted_mean_of_the_scores_that_there_are():
    model = make_late()
    with torch.no_grad():
        model.log_weights.copy_(torch.tensor([0.0, 1.0, -1.0]))
    output = model(make_batch(make_clip(1, 3), make_clip(2, 5)))
    weights = torch.tensor([0.0, 1.0, -1.0]).softmax(dim=0)
    own = torch.stack([output.scores[t] for t in (Task.TEXT, Task.AUDIO, Task.VIDEO)])
    torch.testing.assert_close(output.scores[Task.FUSION], weights @ own)
    assert model.weights == pytest.approx(dict(zip(SIZES, weights.tolist(), strict=True)))


def test_every_parameter_of_late_fusion_learns_and_is_in_one_group():
    model = make_late().train()
    output = model(make_batch(make_clip(1, 3), make_clip(2, 5)))
    sum(score.sum() for score in output.scores.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    grouped = [name for named in model.parameter_groups().values() for name, _ in named]
    assert sorted(grouped) == sorted(name for name, _ in model.named_parameters())
