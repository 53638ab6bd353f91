import numpy as np
import pytest
import torch
from cases import examples
from helpers import (
    AUDIO,
    TEXT,
    VIDEO,
    make_config,
    make_split,
)
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import (
    ConfigError,
    StoreError,
)
from mien.training.checkpoints.checkpoint import read_tensors
from mien.training.experiment import train
from mien.training.loading import load_model
from mien.training.preparation import measure_moments, prepare
from mien.types import Task


@given(
    seed=st.integers(0, 999),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    lengths=st.lists(st.integers(0, 5), min_size=2, max_size=8),
)
@examples(25)
def test_moments_are_those_of_all_real_steps_in_one_pass(seed, offset, lengths):
    random = np.random.default_rng(seed)
    arrays = [(random.normal(size=(n, 3)) + offset).astype(np.float32) for n in lengths]
    dataset = make_split([0.0] * len(lengths), {AUDIO: arrays})
    mean, deviation = measure_moments(dataset, AUDIO)
    steps = np.concatenate(arrays).astype(np.float64)
    if len(steps):
        np.testing.assert_allclose(mean, steps.mean(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(deviation, steps.std(axis=0), rtol=1e-5, atol=1e-6)


def test_moments_of_shares_are_those_of_their_log_odds():
    arrays = [np.array([[0.5], [0.1]], np.float32), np.array([[0.9]], np.float32)]
    dataset = make_split([0.0, 1.0], {AUDIO: arrays})
    mean, deviation = measure_moments(dataset, AUDIO, has_log_odds=True)
    assert mean == pytest.approx([0.0], abs=1e-6)
    assert deviation == pytest.approx([np.log(9) * np.sqrt(2 / 3)], rel=1e-5)


def test_log_odds_of_what_is_no_share_are_refused(tiny_store, tmp_path):
    config = make_config(model={"log_odds": ["video"]}, train={"epochs": 1})
    with pytest.raises(
        ConfigError,
        match=r"setting model\.log_odds: video has values from -\S+ to \S+, which are no shares",
    ):
        train(config, tiny_store, tmp_path / "r")
    config = make_config(
        model={"log_odds": ["video"]}, features={"standardise": "speaker"}, train={"epochs": 1}
    )
    with pytest.raises(ConfigError, match="baselines are of the features themselves; leave model"):
        train(config, tiny_store, tmp_path / "s")


def test_features_are_standardised_by_train_alone(finished, tiny_store):
    tensors = read_tensors(finished / "seed-1" / "best.safetensors")
    series, rows = tiny_store.series("audio"), tiny_store.rows("train").tolist()
    steps = np.concatenate([np.array(series[row]) for row in rows])
    mean = tensors["model/encoders.audio.standardise.mean"].numpy()
    scale = tensors["model/encoders.audio.standardise.scale"].numpy()
    np.testing.assert_allclose(mean, steps.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scale, 1 / steps.std(axis=0), rtol=1e-4)


def test_features_can_be_taken_as_they_are(tiny_store, tmp_path):
    config = make_config(model={"standardise": False}, train={"epochs": 1})
    train(config, tiny_store, tmp_path / "r")
    tensors = read_tensors(tmp_path / "r" / "seed-1" / "best.safetensors")
    assert (tensors["model/encoders.audio.standardise.scale"] == 1).all()
    assert (tensors["model/encoders.audio.standardise.mean"] == 0).all()


def test_leaving_everything_out_is_an_error(tiny_store):
    config = make_config(
        features={"audio": "none", "video": "none"}, text_encoder={"input": "none"}
    )
    with pytest.raises(
        ConfigError, match=r"nothing is left to learn from: no text, audio or video"
    ):
        prepare(tiny_store, config)


def test_a_series_that_the_store_does_not_have_is_an_error_if_it_is_asked_for(tiny_store):
    with pytest.raises(StoreError, match=r"has no series 'egemaps'; there are: text, audio, video"):
        prepare(tiny_store, make_config(features={"audio": "egemaps"}))


def test_long_series_can_be_cut(tiny_store):
    prepared = prepare(tiny_store, make_config(features={"max_steps": 2}))
    plain = tiny_store.series("audio")
    for dataset in prepared.datasets.values():
        series = dataset.series[AUDIO]
        for row in dataset.rows.tolist():
            assert np.array_equal(series[row], plain[row][:2])
    longest = int(plain.lengths.max())
    whole = prepare(tiny_store, make_config(features={"max_steps": longest}))
    assert whole.datasets["train"].series[AUDIO].values is not None
    assert np.array_equal(whole.datasets["train"].series[AUDIO].lengths, plain.lengths)


def test_a_store_of_another_corpus_is_refused(tiny_store):
    with pytest.raises(
        ConfigError,
        match=r"the settings are for corpus 'mosi', .* holds 'tiny'; .* set corpus=tiny",
    ):
        prepare(tiny_store, make_config(corpus="mosi"))


@pytest.mark.parametrize(
    ("sections", "modalities"),
    [
        ({"features": {"audio": "none"}}, (TEXT, VIDEO)),
        ({"features": {"video": "none"}, "text_encoder": {"input": "none"}}, (AUDIO,)),
        ({"features": {"audio": "none", "video": "none"}}, (TEXT,)),
    ],
)
@pytest.mark.parametrize("generator", ["latent", "ulag", "human"])
def test_a_run_may_leave_modalities_out(tiny_store, tmp_path, sections, modalities, generator):
    labels = {"generator": generator}
    if generator == "latent":
        labels |= {"folds": 2, "evidence_epochs": 1}
    config = make_config(**sections, labels=labels, train={"epochs": 1})
    run = train(config, tiny_store, tmp_path / "r")
    predictions = run.seeds[0].predictions("test")
    assert set(predictions.scores) == {Task.FUSION, *(Task(m) for m in modalities)}
    assert set(run.seeds[0].metrics()["splits"]["test"]) == set(predictions.scores)
    model, _ = load_model(run.path, tiny_store)
    assert model.modalities == modalities


def test_finetuning_changes_the_encoder_and_keeps_it_in_the_checkpoint(
    tiny_store, tiny_bert, tmp_path
):
    text = {"input": "transcript", "name": str(tiny_bert), "mode": "finetune"}
    run = train(make_config(text_encoder=text, train={"epochs": 1}), tiny_store, tmp_path / "r")
    prepared = prepare(tiny_store, make_config(text_encoder=text))
    fresh = prepared.text.build().state_dict()
    kept = read_tensors(run.seeds[0].best)
    moved = [k for k in fresh if not torch.equal(kept[f"model/text_encoder.{k}"], fresh[k])]
    assert len(moved) > 20
