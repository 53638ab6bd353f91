"""The stage of the model that ships in which voice and face are read against the person."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import make_config, make_material, recipe_modules

from mien.data.store_writer import write_store
from mien.evaluation.scoring import predict
from mien.training.checkpoints.checkpoint import add_to_header, read_header
from mien.training.experiment import train
from mien.training.loading import load_model
from mien.types import Modality, SeriesSource, Task

RECIPE = Path(__file__).parents[1] / "recipes" / "default_model"
NAMES = ("faces", "items", "compose", "corpus", "widths", "persons", "tables", "baselines")


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


@pytest.fixture(scope="module")
def models(recipe, tiny_bert, tmp_path_factory):
    """A model that reads words by adapters, one trained on its states, stores; do not alter."""
    folder = tmp_path_factory.mktemp("stages")
    material = make_material()
    store = write_store(material, folder / "store")
    fixed = {"train": {"epochs": 1}, "labels": {"generator": "copy"}}
    adapted = {"input": "transcript", "name": str(tiny_bert), "mode": "lora", "rank": 2}
    words = train(make_config(text_encoder=adapted, **fixed), store, folder / "words").seed(1).best
    states = dict(recipe.persons.read_words(words, store))
    nothing = np.empty((0, 16), np.float32)
    said = SeriesSource(
        name="text",
        size=16,
        dtype="float32",
        extractor="made/1",
        read=lambda: (states.get(clip.id, nothing) for clip in material.corpus.clips),
    )
    others = [one for one in material.series if one.name != "text"]
    read = write_store(replace(material, series=(said, *others)), folder / "read")
    config = make_config(features={"standardise": "speaker"}, **fixed)
    trained = train(config, read, folder / "persons", init=words).seed(1).best
    return SimpleNamespace(words=words, store=store, trained=trained, read=read)


def test_the_model_that_is_written_reads_words_as_before_and_the_rest_as_trained(
    recipe, models, tmp_path
):
    joint = tmp_path / "joint.safetensors"
    recipe.persons.join_words(models.trained, models.words, joint)
    own, as_trained, as_before = (
        predict(model, prepared.datasets["valid"])
        for model, prepared in (
            load_model(joint, models.store),
            load_model(models.trained, models.read),
            load_model(models.words, models.store),
        )
    )
    for task in (Task.AUDIO, Task.VIDEO):
        np.testing.assert_allclose(own.scores[task], as_trained.scores[task], atol=1e-5)
    np.testing.assert_allclose(own.scores[Task.TEXT], as_before.scores[Task.TEXT], atol=1e-5)
    far = [np.abs(own.scores[Task.FUSION] - o.scores[Task.FUSION]) for o in (as_trained, as_before)]
    assert far[0].max() < far[1].max()  # but for the attention to words, what was trained
    header = read_header(joint)
    assert header["config"]["text_encoder"] == read_header(models.words)["config"]["text_encoder"]
    assert header["config"]["features"]["standardise"] == "speaker"
    assert Modality.TEXT not in header["series"]
    add_to_header(joint, {"usual_baseline": "none"})  # as of what ships
    assert load_model(joint, models.store)[1].datasets["valid"].baselines == {}
    assert load_model(joint, models.store, baseline="speaker")[1].datasets["valid"].baselines


def test_all_other_clips_of_a_person_are_the_baseline_of_an_evaluation(recipe, models):
    dataset = load_model(models.trained, models.read)[1].datasets["valid"]
    persons = [name.split("$_$")[0] for name in dataset.ids]
    read_against = recipe.baselines.read_against
    every = read_against(dataset, persons, persons, lambda _clip, _other: True).baselines
    nobody = read_against(dataset, persons, persons, lambda _clip, _other: False).baselines
    for modality, known in dataset.baselines.items():
        assert known.shares.any()
        np.testing.assert_allclose(every[modality].shares, known.shares)
        np.testing.assert_allclose(every[modality].centres, known.centres, rtol=1e-5, atol=1e-6)
        assert not nobody[modality].shares.any()
