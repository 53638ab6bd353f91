"""Checkpoints for prediction alone: small, and the same model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import SIZES, make_config, make_material, write_tiny_store

import mien.training.checkpoints.videos
from mien.cli import main
from mien.data.store_writer import write_store
from mien.errors import CheckpointError, OutputError, TrainingError
from mien.evaluation.scoring import predict
from mien.prediction.network import load_network
from mien.prediction.package import pack
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.videos import knows_all_videos, videos_seen
from mien.training.experiment import train
from mien.training.loading import dataset_of, load_model
from mien.types import Corpus, Material, Modality, Task


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_tiny_store(tmp_path_factory.mktemp("stores") / "tiny")


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    """A run of two epochs on states of the text; do not alter."""
    out = tmp_path_factory.mktemp("runs") / "r"
    train(make_config(), store, out)
    return out


@pytest.fixture(scope="module")
def fine_tuned(store, tiny_bert, tmp_path_factory):
    """A run whose text encoder was trained with the rest; do not alter."""
    out = tmp_path_factory.mktemp("runs") / "bert"
    text = {"input": "transcript", "name": str(tiny_bert)}
    train(make_config(text_encoder=text), store, out)
    return out


@pytest.mark.parametrize("run", ["finished", "fine_tuned"])
def test_a_packed_model_scores_as_the_run_does(run, store, tmp_path, request):
    run = request.getfixturevalue(run)
    packed = pack(run, tmp_path / "m.safetensors")
    model, prepared = load_model(run, store)
    small, _ = load_model(packed, store)
    dataset = dataset_of(prepared, "test")
    before, after = predict(model, dataset), predict(small, dataset)
    low, high = prepared.scale
    for task in Task:
        assert np.abs(before.scores[task] - after.scores[task]).max() <= 0.01 * (high - low)
    assert any(np.abs(before.scores[t] - after.scores[t]).max() > 0 for t in Task)  # it was halved


def test_full_precision_keeps_every_bit(finished, store, tmp_path):
    packed = pack(finished, tmp_path / "m.safetensors", half=False)
    whole, small = read_tensors(finished / "seed-1" / "best.safetensors"), read_tensors(packed)
    assert small.keys() == {key for key in whole if key.startswith("model/")}
    assert all(torch.equal(small[key], whole[key]) for key in small)
    model, _ = load_model(packed, store)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_what_only_training_needs_is_left_out(finished, tmp_path):
    packed = pack(finished, tmp_path / "m.safetensors")
    source = finished / "seed-1" / "best.safetensors"
    assert any(not key.startswith("model/") for key in read_tensors(source))
    assert all(key.startswith("model/") for key in read_tensors(packed))
    assert packed.stat().st_size < source.stat().st_size


def test_a_network_for_recordings_is_loaded_from_it_in_32_bits(fine_tuned, tmp_path):
    packed = pack(fine_tuned, tmp_path / "m", licence="CC BY 4.0", name="small")
    network = load_network(packed)
    assert {p.dtype for p in network.model.parameters()} == {torch.float32}
    assert (network.facts.name, network.facts.licence) == ("small", "CC BY 4.0")
    assert (
        network.calibration == load_network(fine_tuned / "seed-1" / "best.safetensors").calibration
    )
    clip = {Modality.TEXT: network.read_text("a very good film")}
    assert np.isfinite(network.score_clips([clip])[0].scores[Task.FUSION])


def test_matrices_are_halved_unless_that_would_lose_them(tmp_path, finished):
    source = finished / "seed-1" / "best.safetensors"
    made = {
        "model/usual": torch.randn(3, 4),
        "model/vector": torch.randn(4),
        "model/large": torch.full((2, 2), 1e5),
        "model/tiny": torch.full((2, 2), 1e-7),
        "model/zero": torch.zeros(2, 2),
        "model/whole": torch.ones(2, 2, dtype=torch.int64),
        "model/empty": torch.zeros(0, 3),
        "objective/bank": torch.zeros(5),
    }
    write_tensors(tmp_path / "made", made, read_header(source))
    found = read_tensors(pack(tmp_path / "made", tmp_path / "m"))
    assert {key for key, one in found.items() if one.dtype == torch.float16} == {"model/usual"}
    assert found.keys() == made.keys() - {"objective/bank"}


def test_packing_twice_is_packing_once(finished, tmp_path):
    once = pack(finished, tmp_path / "a", name="x")
    twice = pack(once, tmp_path / "b")
    assert once.read_bytes() == twice.read_bytes()


# --- the videos that it was trained on ------------------------------------------------------------


def test_few_videos_are_named_and_many_are_hashed(finished, tmp_path, monkeypatch):
    source = read_header(finished / "seed-1" / "best.safetensors")
    assert read_header(pack(finished, tmp_path / "a"))["videos"] == source["videos"]
    monkeypatch.setattr(mien.training.checkpoints.videos, "MOST_NAMES", 10)
    header = read_header(pack(finished, tmp_path / "b"))
    assert "videos" not in header
    assert len(header["video_hashes"]) == len(source["videos"])
    seen = [*source["videos"][:2], "never-seen"]
    assert videos_seen(header, seen) == videos_seen(source, seen) == set(source["videos"][:2])


def test_hashed_videos_are_still_refused_as_a_start(store, tmp_path, monkeypatch):
    material = make_material()
    turned = {"train": "test", "test": "train", "valid": "valid"}
    clips = tuple(
        type(c)(id=c.id, split=turned[c.split], transcript="", labels=c.labels)
        for c in material.corpus.clips
    )
    corpus = Corpus(name="tiny", language="en", scale=material.corpus.scale, clips=clips)
    other = write_store(Material(corpus=corpus, series=material.series, origin={}), tmp_path / "t")
    train(make_config(train={"epochs": 1}), other, tmp_path / "first")
    monkeypatch.setattr(mien.training.checkpoints.videos, "MOST_NAMES", 10)
    packed = pack(tmp_path / "first", tmp_path / "packed")
    with pytest.raises(TrainingError, match=r"packed: was trained on 3 of the 6 videos in valid"):
        train(make_config(), store, tmp_path / "second", init=packed)


# --- what is refused ------------------------------------------------------------------------------


def test_a_file_that_is_there_is_kept_unless_told(finished, tmp_path):
    out = tmp_path / "m"
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"m: exists already; use --replace"):
        pack(finished, out)
    assert out.read_text() == "mine"
    assert read_tensors(pack(finished, out, replace=True))


def test_a_checkpoint_without_a_network_is_refused(tmp_path):
    write_tensors(tmp_path / "x", {"objective/bank": torch.zeros(2)}, {"videos": []})
    with pytest.raises(CheckpointError, match=r"x: holds no network; give a run"):
        pack(tmp_path / "x", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_packs_and_says_how_large_it_is(finished, tmp_path, capsys):
    out = tmp_path / "new" / "m.safetensors"
    assert main(["pack", str(finished), str(out), "--licence", "CC0", "--name", "small"]) == 0
    assert f"{out} (0." in capsys.readouterr().out
    header = read_header(out)
    assert (header["licence"], header["name"]) == ("CC0", "small")
    assert header["sizes"] == {str(m): size for m, size in SIZES.items()}
    assert main(["pack", str(finished), str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


# --- the videos of the weights that it started from -----------------------------------------------


def write_turned(path, prefix):
    """A store whose test clips are those that are in train of the store with this prefix."""
    material = make_material(video_prefix=prefix)
    turned = {"train": "test", "test": "train", "valid": "valid"}
    clips = tuple(replace(c, split=turned[c.split]) for c in material.corpus.clips)
    corpus = replace(material.corpus, clips=clips)
    return write_store(Material(corpus=corpus, series=material.series, origin={}), path)


@pytest.fixture(scope="module")
def chain(finished, tmp_path_factory):
    """Weights that went from the tiny store over one of other videos; do not alter."""
    folder = tmp_path_factory.mktemp("chain")
    other = write_tiny_store(folder / "s", seed=5, video_prefix="w")
    train(make_config(train={"epochs": 1}), other, folder / "r", init=finished)
    return folder / "r"


@pytest.mark.parametrize("form", ["run", "packed", "hashed", "packed twice", "parent hashed"])
def test_what_the_weights_before_have_seen_is_refused_too(
    finished, chain, tmp_path, monkeypatch, form
):
    """A -> B -> C: B was trained on other videos, and C was judged on those of A."""
    start, options = chain, make_config(train={"epochs": 1})
    if form in ("hashed", "parent hashed"):
        monkeypatch.setattr(mien.training.checkpoints.videos, "MOST_NAMES", 10)
    if form == "parent hashed":
        other = write_tiny_store(tmp_path / "s", seed=5, video_prefix="w")
        start = train(options, other, tmp_path / "r", init=pack(finished, tmp_path / "a")).path
        header = read_header(start / "seed-1" / "best.safetensors")
        assert {"videos", "video_hashes"} <= header.keys()
    if form != "run":
        start = pack(start, tmp_path / "b")
    if form == "packed twice":
        start = pack(start, tmp_path / "c")
    for prefix in ("v", "w"):
        judge = write_turned(tmp_path / f"turned-{prefix}", prefix)
        with pytest.raises(
            TrainingError,
            match=rf"was trained on 7 of the 10 videos in valid and test of .*, such as "
            rf"'{prefix}-train-0'; train it again with --exclude .*, and so the weights that it",
        ):
            train(options, judge, tmp_path / "never", init=start)
    assert not (tmp_path / "never").exists()


def test_a_checkpoint_that_forgot_the_videos_before_is_warned_of(chain, tmp_path, caplog):
    """So did earlier versions; what cannot be checked is said, also of what started from it."""
    best = chain / "seed-1" / "best.safetensors"
    header = read_header(best)
    assert knows_all_videos(header)
    del header["videos_of_init"]
    write_tensors(tmp_path / "old", read_tensors(best), header)
    config = make_config(train={"epochs": 1})
    start = tmp_path / "old"
    for prefix in ("x", "y"):
        store = write_tiny_store(tmp_path / prefix, seed=6, video_prefix=prefix)
        with caplog.at_level("WARNING"):
            start = train(config, store, tmp_path / f"r-{prefix}", init=start).path
        assert "does not list the videos of the weights that it started from" in caplog.text
        caplog.clear()
