"""A store of another kind than that on which a checkpoint was trained is refused, or warned of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import SIZES, make_config, make_material, write_tiny_store

from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.errors import CheckpointError, ConfigError
from mien.prediction.predictor import load
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.matching import check_targets
from mien.training.experiment import evaluate, train
from mien.training.loading import load_model
from mien.types import Corpus, Material, Scale, Target, TargetKind, Task

NAMES = {name: tuple(f"{name}-{i}" for i in range(size)) for name, size in SIZES.items()}


def write_variant(path, *, scale=None, annotated=True, prefix="v", **changes):
    """Write the tiny store with named features; ``changes`` alter its series by name."""
    material = make_material(video_prefix=prefix)
    series = tuple(
        replace(s, **{"feature_names": NAMES[s.name], **changes.get(s.name, {})})
        for s in material.series
    )
    corpus = material.corpus
    if scale is not None:
        third = tuple(
            replace(c, labels={t: v / 3 for t, v in c.labels.items()}) for c in corpus.clips
        )
        corpus = replace(corpus, scale=scale, clips=third)
    if not annotated:
        clips = tuple(replace(c, labels={}) for c in corpus.clips)
        corpus = replace(corpus, clips=clips, is_annotated=False)
    return write_store(Material(corpus=corpus, series=series, origin={}), path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on the tiny store with named features; do not alter."""
    folder = tmp_path_factory.mktemp("matching")
    config = make_config(train={"epochs": 1, "seeds": [1, 2]})
    train(config, write_variant(folder / "s"), folder / "r")
    return folder / "r"


def other_names(name, *, order):
    names = NAMES[name]
    return (*names[:1], *reversed(names[1:])) if order else (*names[:-1], "something else")


def test_a_store_on_another_scale_is_refused(run, tmp_path):
    """A model of -3 to 3 was measured against labels of -1 to 1, without a word."""
    store = write_variant(tmp_path / "s", scale=Scale(-1, 1))
    message = r"best\.safetensors: was trained on labels from -3 to 3, those of .* go from -1 to 1;"
    for use in (
        lambda: evaluate(run, store=store),
        lambda: load(run).score_store(store),
        lambda: train(make_config(), store, tmp_path / "r", init=run),
    ):
        with pytest.raises(CheckpointError, match=message):
            use()
    assert not (tmp_path / "r").exists()


def test_clips_without_labels_are_on_no_scale(run, tmp_path):
    store = write_variant(tmp_path / "s", scale=Scale(-1, 1), annotated=False)
    assert len(load(run).score_store(store)) == 8


def test_clips_are_scored_without_what_is_left_out(run, tmp_path):
    store, model = write_variant(tmp_path / "s"), load(run)
    scores = [
        model.score_store(store, without=names).scores[Task.FUSION] for names in ((), "audio")
    ]
    assert not np.array_equal(*scores)
    again = model.score_store(store, without=["audio"]).scores[Task.FUSION]
    assert np.array_equal(scores[1], again)
    with pytest.raises(ConfigError, match="--without 'speech': must be text, audio or video"):
        model.score_store(store, without=["speech"])


@pytest.mark.parametrize("order", [True, False], ids=["order", "names"])
@pytest.mark.parametrize("name", ["audio", "text"])
def test_features_of_other_names_or_in_another_order_are_refused(run, tmp_path, name, order):
    changed = {"feature_names": other_names(name, order=order)}
    store = write_variant(tmp_path / "s", **{name: changed})
    place = 2 if order else len(NAMES[name])
    what = "the same features in another order" if order else "other features"
    message = (
        rf"was trained on {what} of {name} than .* has: feature {place} was '{name}-{place - 1}', "
        r"there it is .*; make the store with 'made/1', or train on it"
    )
    with pytest.raises(CheckpointError, match=message):
        evaluate(run, store=store)
    if name == "audio" and order:
        with pytest.raises(CheckpointError, match=message):
            train(make_config(), store, tmp_path / "r", init=run)


def test_another_extractor_is_warned_of_once_for_all_seeds(run, tmp_path, caplog):
    store = write_variant(
        tmp_path / "s", audio={"extractor": "another/9"}, video={"step_seconds": 0.5}
    )
    caplog.clear()
    with caplog.at_level("WARNING"):
        evaluate(run, store=store)
    assert [record.getMessage() for record in caplog.records] == [
        f"{store.path}: audio was made by 'another/9', that of the training by 'made/1'; where "
        "their values differ, the model does not fit them"
    ]
    caplog.clear()
    other = write_variant(tmp_path / "o", prefix="w", audio={"extractor": "another/9"})
    with caplog.at_level("WARNING"):
        train(make_config(train={"epochs": 1}), other, tmp_path / "r", init=run)
    assert "audio was made by 'another/9'" in caplog.text


def test_series_that_the_model_does_not_read_do_not_count(tmp_path, caplog):
    config = make_config(features={"audio": "none"}, train={"epochs": 1})
    train(config, write_variant(tmp_path / "s"), tmp_path / "r")
    changed = {"extractor": "another/9", "feature_names": other_names("audio", order=True)}
    store = write_variant(tmp_path / "o", audio=changed)
    caplog.clear()
    with caplog.at_level("WARNING"):
        load_model(tmp_path / "r", store)
    assert not caplog.records


def test_a_series_of_another_name_in_the_place_of_the_first_is_compared(run, tmp_path):
    names = other_names("audio", order=True)
    store = write_variant(tmp_path / "s", audio={"name": "voice", "feature_names": names})
    config = make_config(features={"audio": "voice"})
    with pytest.raises(CheckpointError, match=r"in another order of audio"):
        train(config, store, tmp_path / "r", init=run)


def test_what_an_earlier_checkpoint_does_not_say_is_not_compared(run, tmp_path):
    store = write_variant(tmp_path / "s", audio={"feature_names": other_names("audio", order=True)})
    best = run / "seed-1" / "best.safetensors"
    header = read_header(best)
    for one in header["series"].values():
        one.pop("feature_names", None)
        del one["extractor"]
    write_tensors(tmp_path / "old", read_tensors(best), header)
    load_model(tmp_path / "old", store)
    del header["series"], header["scale"]
    write_tensors(tmp_path / "older", read_tensors(best), header)
    load_model(tmp_path / "older", store)
    plain = open_store(write_tiny_store(tmp_path / "unnamed").path)
    assert plain.meta.series["audio"].feature_names is None
    load_model(run, plain)


def test_evaluation_on_videos_that_were_trained_on_is_warned_of(tmp_path, caplog):
    """Numbers on clips that the model has learned by heart were given without a word."""
    store = write_tiny_store(tmp_path / "store")
    run = train(make_config(), store, tmp_path / "run")
    evaluate(run, store=store)
    assert "were trained on" not in caplog.text
    evaluate(run, store=store, split="train")
    assert "of the" in caplog.text
    assert "videos evaluated here" in caplog.text
    assert "were trained on" in caplog.text


def test_videos_are_excluded_by_the_names_by_which_they_are_compared(tmp_path):
    """The remedy for a leak compared names as they stand, and left nothing out."""
    store = write_tiny_store(tmp_path / "store")
    videos = {clip.video_id for clip in store.clips if clip.split == "train"}
    chosen = min(videos)
    other = write_tiny_store(tmp_path / "other", video_prefix="x")
    clips = [replace(other.clips[0], id=f"{chosen.upper()}.MP4$_$1")]
    material = Material(
        corpus=Corpus(name="own", language="en", scale=store.scale, clips=tuple(clips)),
        series=(),
        origin={},
    )
    write_store(material, tmp_path / "excluded")
    run = train(make_config(), store, tmp_path / "run", exclude=[tmp_path / "excluded"])
    learned = read_header(run.seeds[0].best)["videos"]
    assert chosen not in learned
    assert len(learned) == len(videos) - 1


@pytest.mark.parametrize(
    ("classes", "unknown"),
    [
        (("disgusted", "Sad"), None),
        (("disgust",), None),
        (("disgusted", "disgust"), "disgusted"),  # two classes of the store are not made one
        (("sad", "proud"), "proud"),
    ],
)
def test_classes_are_matched_by_what_they_stand_for(tmp_path, classes, unknown, caplog):
    """The model that comes with mien says disgust, and mien import says disgusted."""
    caplog.set_level("INFO")
    then, now = (
        Target(name="emotion", kind=TargetKind.CLASS, classes=own)
        for own in (("sad", "disgust", "calm"), classes)
    )
    material = make_material()
    corpus = replace(material.corpus, targets=(now,))
    store = write_store(Material(corpus=corpus, series=material.series, origin={}), tmp_path / "s")
    if unknown is None:
        check_targets(Path("model"), [then], store)
        assert ("emotion reads 'disgusted' as 'disgust', 'Sad' as 'sad'" in caplog.text) == (
            "Sad" in classes
        )
    else:
        with pytest.raises(CheckpointError, match=f"has the class '{unknown}', which the model"):
            check_targets(Path("model"), [then], store)
