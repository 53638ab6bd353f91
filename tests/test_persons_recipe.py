"""The stage of the model that ships in which voice and face are read against the person."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import make_config, make_material, recipe_modules

from mien.data.store_writer import write_store
from mien.evaluation.scoring import predict
from mien.training.checkpoints.checkpoint import read_header
from mien.training.experiment import train
from mien.training.loading import load_model
from mien.types import Modality, SeriesSource, Task

RECIPE = Path(__file__).parents[1] / "recipes" / "default_model"
NAMES = ("faces", "items", "compose", "corpus", "widths", "persons")


@pytest.fixture(scope="module")
def recipe():
    """The modules of the recipe, which import each other by bare names."""
    with recipe_modules(RECIPE, NAMES) as modules:
        yield modules


def make_items(recipe):
    """Two voices of an actor, a face of a performer, a picture and a text."""
    common = {"split": "train", "label": 0.0}
    voices = [
        recipe.items.Voice(
            name=f"v{take}", source="ravdess", group="actor02", values=np.zeros((1, 1)), **common
        )
        for take in range(2)
    ]
    face = recipe.items.Look(name="t1", source="taiwan", group="taiwan-s1", **common)
    picture = recipe.items.Look(name="p1", source="ferplus", group="ferplus-1", **common)
    text = recipe.items.Text(name="m1", source="mosi", group="video", words="so", **common)
    return (*voices, face, picture, text)


def test_no_clip_is_read_against_its_twin_or_against_two_people(recipe):
    first, second, face, picture, text = make_items(recipe)
    joined = [
        recipe.compose.Joined(name=f"c{place}", kind="made", **items)
        for place, items in enumerate([
            {"text": text, "voice": first},
            {"voice": first},
            {"voice": second},
            {"voice": first},
            {"look": face},
            {"look": picture},
            {"look": picture},
            {"voice": first, "look": face},
            {"text": text},
        ])
    ]  # fmt: skip
    speakers = recipe.compose.name_speakers(joined)
    assert speakers[:5] == ["actor02-3", "actor02-1", "actor02-1", "actor02-2", "taiwan-s1-1"]
    assert len(set(speakers[5:])) == 4
    assert not set(speakers[5:]) & set(speakers[:5])
    heard = defaultdict(list)
    for one, speaker in zip(joined, speakers, strict=True):
        heard[speaker] += [item.name for item in one.items.values()]
    assert all(len(set(names)) == len(names) for names in heard.values())


def test_the_model_that_is_written_reads_words_as_before_and_is_the_one_that_was_trained(
    recipe, tiny_bert, tmp_path
):
    material = make_material()
    store = write_store(material, tmp_path / "store")
    fixed = {"train": {"epochs": 1}, "labels": {"generator": "copy"}}
    adapted = {"input": "transcript", "name": str(tiny_bert), "mode": "lora", "rank": 2}
    words = train(make_config(text_encoder=adapted, **fixed), store, tmp_path / "words")
    before = words.seed(1).best
    states = dict(recipe.persons.read_words(before, store))
    nothing = np.empty((0, 16), np.float32)
    said = SeriesSource(
        name="text",
        size=16,
        dtype="float32",
        extractor="made/1",
        read=lambda: (states.get(clip.id, nothing) for clip in material.corpus.clips),
    )
    others = [one for one in material.series if one.name != "text"]
    read = write_store(replace(material, series=(said, *others)), tmp_path / "read")
    config = make_config(features={"standardise": "speaker"}, **fixed)
    trained = train(config, read, tmp_path / "persons", init=before).seed(1).best
    joint = tmp_path / "joint.safetensors"
    recipe.persons.join_words(trained, before, joint)
    own, of_states, as_before = (
        predict(model, prepared.datasets["valid"])
        for model, prepared in (
            load_model(joint, store),
            load_model(trained, read),
            load_model(before, store),
        )
    )
    for task in (Task.AUDIO, Task.VIDEO):
        np.testing.assert_allclose(own.scores[task], of_states.scores[task], atol=1e-5)
    np.testing.assert_allclose(own.scores[Task.TEXT], as_before.scores[Task.TEXT], atol=1e-5)
    alike = [
        np.abs(own.scores[Task.FUSION] - o.scores[Task.FUSION]) for o in (of_states, as_before)
    ]
    assert alike[0].max() < alike[1].max()  # but for the attention to words, what was trained
    header = read_header(joint)
    assert header["config"]["text_encoder"] == read_header(before)["config"]["text_encoder"]
    assert header["config"]["features"]["standardise"] == "speaker"
    assert Modality.TEXT not in header["series"]
