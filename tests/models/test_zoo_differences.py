"""What the field's models do, and what their published programs do in its place."""

import contextlib

import numpy as np
import pytest
import torch
from helpers import (
    AUDIO,
    TEXT,
    VIDEO,
    generator,
    make_batch,
    make_clip,
    make_config,
    make_model,
    open_up,
)
from zoo_goldens import ZOO

import mien
from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.zoo.crossmodal.crossmodal_encoder import sinusoids
from mien.models.zoo.step_alignment import align, align_as_published, stretch
from mien.tensors import pad
from mien.training.loop import check_batches
from mien.types import Task

#: Models whose published programs read padding, so that a clip's score depends on its company.
READS_PADDING = (
    "lf_dnn",
    "tfn",
    "lmf",
    "mfn",
    "graph_mfn",
    "mult",
    "almt",
    "tetfn",
    "cenet",
)

beside_the_repository = pytest.mark.skipif(
    not ZOO.is_dir(), reason="the goldens are not beside the repository"
)


def score_beside(model, *, other_steps):
    """Score a clip of three steps that is batched with one of so many."""
    batch = make_batch(make_clip(1, 3), make_clip(2, other_steps))
    with torch.no_grad():
        return model(batch).scores[Task.FUSION][0].item()


@pytest.mark.parametrize("name", READS_PADDING)
def test_a_published_score_depends_on_the_length_of_others_and_ours_does_not(name):
    for published, is_same in ((False, True), (True, False)):
        model = open_up(make_model(name, published=published, standardise=False)).eval()
        apart = abs(score_beside(model, other_steps=3) - score_beside(model, other_steps=6))
        assert (apart < 1e-5) == is_same


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("lmf", "weights"),
        ("lmf", "bias"),
        ("graph_mfn", "graph.nodes.text_audio.0.weight"),
        ("graph_mfn", "graph.nodes.text_audio_video.1.bias"),
    ],
)
def test_parts_that_the_published_program_never_trains_are_trained(name, part):
    ours, published = (
        dict(make_model(name, published=p).named_parameters())[part] for p in (False, True)
    )
    assert ours.requires_grad
    assert not published.requires_grad


@pytest.mark.parametrize(
    "name", [n for n in MODELS if "published" in MODELS[n].config.model_fields]
)
def test_a_published_model_says_whether_it_can_be_trained_on_one_clip(name):
    model = make_model(name, published=True).train()
    needs_two = pytest.raises(ValueError, match="more than 1 value")
    with contextlib.nullcontext() if model.least_batch == 1 else needs_two:
        model(make_batch(make_clip(1, 3)))
    assert make_model(name).least_batch == 1


@pytest.mark.parametrize("name", ["lf_dnn", "mtfn", "tfr_net"])
def test_a_last_batch_that_is_too_small_is_refused_before_anything_is_trained(
    name, tiny_store, tmp_path
):
    """In the last batch of the first epoch torch raised an error, which ended a tuning as well."""
    model = {"name": name, "published": True, "standardise": False}
    changes = {"labels": {"generator": "copy"}, "train": {"batch_size": 19, "epochs": 1}}
    with pytest.raises(
        ConfigError,
        match=r"setting train\.batch_size is 19, so that of 20 clips of train the last batch has 1",
    ):
        mien.train(make_config(model=model, **changes), tiny_store, tmp_path / "run")


@pytest.mark.parametrize(
    ("num_clips", "num_processes", "last"),
    [(24, 2, None), (20, 2, None), (21, 1, 1), (23, 2, 3), (22, 2, 2), (17, 2, 1), (23, 3, 3)],
)
def test_processes_that_share_the_last_batch_have_enough_of_it(num_clips, num_processes, last):
    """One process had a single clip of three, and ended with an error of torch."""
    model, train = make_model("lf_dnn", published=True), make_config(train={"batch_size": 4}).train
    if last is None:
        check_batches(model, train, num_clips, num_processes)
        return
    shared = f", which {num_processes} processes share" if num_processes > 1 else ""
    with pytest.raises(ConfigError, match=f"the last batch has {last}{shared}, and a model"):
        check_batches(model, train, num_clips, num_processes)


def test_published_efficacies_have_no_sigmoid():
    ours, published = (make_model("graph_mfn", published=p).graph for p in (False, True))
    open_up(ours)
    published.load_state_dict(ours.state_dict())
    singles = {
        m: torch.randn(1, 2, n, generator=generator(1))
        for m, n in zip((TEXT, AUDIO, VIDEO), (4, 5, 3), strict=True)
    }
    _, bounded = ours(singles)
    _, linear = published(singles)
    torch.testing.assert_close(torch.sigmoid(linear), bounded)


def test_published_misa_reads_as_many_frames_as_the_text_has_tokens():
    clip = make_clip(1, text=2, audio=5, video=6)
    changed = {**clip, VIDEO: torch.cat([clip[VIDEO][:2], clip[VIDEO][2:] + 1.0])}
    for published in (False, True):
        model = open_up(make_model("misa", published=published, standardise=False)).eval()
        scores = [model(make_batch(c)).scores[Task.FUSION].item() for c in (clip, changed)]
        assert (scores[0] == scores[1]) == published


def test_losses_of_misa_count_clips_that_have_the_modalities_alone():
    model = open_up(make_model("misa")).eval()
    both = make_clip(1, 3), make_clip(2, 4)
    terms = model(make_batch(*both)).terms
    assert set(terms) == {"difference", "similarity", "reconstruction"}
    assert all(term > 0 for term in terms.values())
    more = model(make_batch(*both, make_clip(3, 0))).terms
    for name, term in terms.items():
        torch.testing.assert_close(more[name], term)
    alone = model(make_batch(make_clip(1, 3))).terms  # of one clip there is no distribution
    assert all(torch.isfinite(term) for term in alone.values())
    with torch.no_grad():
        assert model(make_batch(*both)).terms == {}


def test_a_series_is_stretched_by_means_of_what_each_new_step_overlaps():
    steps = pad([torch.arange(6.0).unsqueeze(1)])
    # six steps on four: each is the mean of those that it overlaps
    stretched = stretch(steps, torch.tensor([4]))
    torch.testing.assert_close(stretched.values.flatten(), torch.tensor([0.5, 1.5, 3.5, 4.5]))
    # two on four: each twice
    few = stretch(pad([torch.tensor([[1.0], [5.0]])]), torch.tensor([4]))
    assert few.values.flatten().tolist() == [1.0, 1.0, 5.0, 5.0]


def test_series_are_brought_to_the_steps_of_the_first_modality_that_a_clip_has():
    series = {
        TEXT: pad([torch.ones(2, 1), torch.ones(1, 1)]),
        AUDIO: pad([torch.ones(4, 1), torch.ones(3, 1)]),
    }
    present = {TEXT: torch.tensor([True, False]), AUDIO: torch.tensor([True, True])}
    aligned = align(series, present)
    assert {m: s.mask.sum(dim=1).tolist() for m, s in aligned.items()} == {
        TEXT: [2, 3],
        AUDIO: [2, 3],
    }


@beside_the_repository
@pytest.mark.parametrize("case", ["mixed", "multiple", "shorter", "single"])
@pytest.mark.parametrize("modality", ["audio", "video"])
def test_published_alignment_averages_windows_of_padded_series(case, modality):
    with np.load(ZOO / "align_average_pool.npz", allow_pickle=False) as file:
        given, wanted = (
            torch.from_numpy(file[f"{case}/{way}_{modality}"]) for way in ("in", "out")
        )
        steps = int(file[f"{case}/text_steps"])
    torch.testing.assert_close(align_as_published(given, steps), wanted)


@beside_the_repository
@pytest.mark.parametrize("size", [4, 6, 7, 10])
def test_places_are_those_of_the_published_program(size):
    with np.load(ZOO / "sinusoidal_positions.npz", allow_pickle=False) as file:
        wanted = torch.from_numpy(file[f"dim_{size}"])
    torch.testing.assert_close(
        sinusoids(torch.ones(1, 7, dtype=torch.bool), size)[0], wanted, rtol=0, atol=1e-5
    )
