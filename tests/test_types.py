import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from mien.tensors import Batch, Output, PaddedSeries, Targets
from mien.types import (
    SPLITS,
    Clip,
    Corpus,
    Material,
    Modality,
    Scale,
    SeriesSource,
    Target,
    TargetKind,
    Task,
    video_of,
)


def test_modalities_and_tasks_have_one_order_everywhere():
    assert list(Modality) == ["text", "audio", "video"]
    assert list(Task) == ["fusion", "text", "audio", "video"]
    assert SPLITS == ("train", "valid", "test")


@pytest.mark.parametrize("modality", Modality)
def test_every_modality_has_its_task(modality):
    assert Task(modality).value == modality.value


@pytest.mark.parametrize(
    ("clip_id", "video_id"),
    [("03bSnISJMiM$_$1", "03bSnISJMiM"), ("a_b$_$c_d", "a_b"), ("alone", "alone")],
)
def test_a_clip_knows_its_video(clip_id, video_id):
    clip = Clip(id=clip_id, split="train", transcript="", labels={Task.FUSION: 0.0})
    assert clip.video_id == video_id


def test_clips_do_not_share_their_moments():
    one, other = (Clip(id=i, split="test", transcript="", labels={}) for i in "ab")
    assert one.moments == {}
    assert one.moments is not other.moments


@pytest.mark.parametrize("kind", [Clip, Corpus, SeriesSource, Material, Batch, Targets, Output])
def test_values_between_stages_are_frozen_slotted_and_named(kind):
    assert kind.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(kind))
    assert "__slots__" in vars(kind)


def test_a_clip_cannot_be_changed():
    clip = Clip(id="a", split="test", transcript="", labels={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        clip.split = "train"


def test_a_batch_moves_as_a_whole():
    sequence = PaddedSeries(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    batch = Batch(index=torch.arange(2), sequences={Modality.AUDIO: sequence})
    moved = batch.to("meta")
    tensors = [moved.index, *moved.sequences[Modality.AUDIO]]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.sequences[Modality.AUDIO].values.shape == (2, 3, 4)
    assert batch.index.device.type == "cpu"


def test_a_batch_holds_no_labels():
    """Labels travel in ``Targets``, so that no model can read them."""
    assert {field.name for field in dataclasses.fields(Batch)} == {"index", "sequences"}


def test_a_scale_unpacks_and_clips():
    assert np.clip([-5, 0.5, 5], *Scale(-1, 1)).tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize("module", [
    "mien.extraction.processes.worker", "mien.extraction.pipeline",
    "mien.corpora.published.reader", "mien.data.store_writer",
])  # fmt: skip
def test_corpora_stores_and_extraction_do_without_torch(module):
    """It takes seconds to import, and every worker of an extraction would pay them."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_scale_cuts_arrays_and_tensors():
    scale, values = Scale(-1, 2), [-3.0, -1.0, 0.5, 2.5]
    wanted = [-1.0, -1.0, 0.5, 2.0]
    assert scale.clip(np.array(values)).tolist() == wanted
    assert scale.clip(torch.tensor(values)).tolist() == wanted


@pytest.mark.parametrize(
    ("clip_id", "video"),
    [("v$_$3", "v"), ("a/b$_$c", "a/b"), ("alone", "alone"), ("v$_$1$_$2", "v")],
)
def test_the_video_of_a_clip_is_what_stands_before_the_separator(clip_id, video):
    assert video_of(clip_id) == video


@pytest.mark.parametrize(("num", "told"), [
    (3, "one of c0, c1, c2"), (20, "c18, c19"), (200, "c10, c11 and 188 others"),
])  # fmt: skip
def test_of_many_classes_the_first_are_named(num, told):
    classes = tuple(f"c{number}" for number in range(num))
    described = Target(name="mood", kind=TargetKind.CLASS, classes=classes).describe()
    assert described.endswith(told)
    assert described.startswith("one of c0, c1")
