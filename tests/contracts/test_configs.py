"""What every settings file that comes with the package promises."""

import re
from pathlib import Path

import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO, make_annotation, make_evidence

import mien
from mien.config import dump_toml, read_toml
from mien.corpora import KNOWN
from mien.corpora.emotion_layouts.layout_reader import LAYOUTS
from mien.errors import ConfigError
from mien.labels import build_labels
from mien.labels.generator import LabelInputs
from mien.models import MODELS, build_model
from mien.models.multitask import ModelInputs
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import make_optimizer
from mien.training.settings import (
    ExperimentConfig,
    describe_configs,
    list_configs,
    read_config,
)
from mien.types import Scale, Task

FOLDER = Path(mien.__file__).parent / "configs"
#: Feature sizes of the published files; a corpus that is not among them takes small ones.
SIZES = {
    "mosi": {TEXT: 768, AUDIO: 5, VIDEO: 20},
    "mosei": {TEXT: 768, AUDIO: 74, VIDEO: 35},
    "sims": {TEXT: 768, AUDIO: 33, VIDEO: 709},
}

every_config = pytest.mark.parametrize("name", list_configs())
#: Those that have a file, and those that stand in the file of their model.
FILES = sorted(path.stem for path in FOLDER.glob("*.toml"))
IN_FILES = [name for name in list_configs() if name not in FILES]


def test_there_are_settings_for_every_model():
    assert {read_config(name).model.name for name in list_configs()} == set(MODELS)


def test_every_file_of_the_folder_is_listed():
    files = [p for p in FOLDER.iterdir() if p.is_file() and p.suffix != ".py"]
    assert sorted(p.stem for p in files) == FILES
    assert sorted([*FILES, *IN_FILES]) == list(list_configs())


@pytest.mark.parametrize("name", IN_FILES)
def test_what_differs_on_a_corpus_is_in_the_file_of_the_model(name):
    stem, _, corpus = name.rpartition("-")
    config = read_config(name)
    assert config == read_config(stem, [f"corpus={corpus}"])
    assert config.corpus == corpus
    with torch.device("meta"):
        build_model(config.model, ModelInputs(sizes=SIZES[corpus]))


def test_overrides_come_after_what_differs_on_a_corpus():
    assert read_config("tfn-mosei").train.batch_size != read_config("tfn").train.batch_size
    assert read_config("tfn-mosei", ["train.batch_size=7"]).train.batch_size == 7
    assert read_config("tfn-mosei", ["train.learning_rate.text=.5"]).train.learning_rate.text == 0.5


@pytest.mark.parametrize("text", ["corpora = 3", "[corpora]\nmosi = 3"])
def test_a_file_whose_corpora_are_no_tables_is_a_sentence(text, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"write \[corpora\.NAME\.SECTION\]"):
        read_config(path)


@pytest.mark.parametrize("name", FILES)
def test_settings_load_and_build_a_model_that_can_be_trained(name):
    config = read_config(name)
    sizes = SIZES.get(config.corpus, {TEXT: 12, AUDIO: 5, VIDEO: 6})
    torch.manual_seed(1)
    model = build_model(config.model, ModelInputs(sizes=sizes))
    annotated = make_annotation(1, 20)
    labels = dict.fromkeys(Task, annotated)
    evidence = make_evidence(model.modalities, 20)
    inputs = LabelInputs(
        labels=labels, scale=Scale(-3, 3), state_sizes=model.state_sizes, evidence=evidence
    )
    generator = build_labels(config.labels, inputs)
    optimizer = make_optimizer(model, MultitaskObjective(generator), config.train)
    grouped = sum(len(group["params"]) for group in optimizer.param_groups)
    trained = [p for p in generator.parameters() if p.requires_grad]
    assert grouped == len(list(model.parameters())) + len(trained)


@every_config
def test_settings_say_which_model_and_corpus_they_are_for(name):
    config = read_config(name)
    model, _, corpus = name.partition("-")
    assert config.model.name == model
    if config.corpus is not None:
        assert config.corpus in {*KNOWN, *LAYOUTS}
        assert f"{corpus}-".startswith(f"{config.corpus}-")


@every_config
def test_settings_are_explained_in_their_first_line(name):
    assert re.match(r"\S.{20,}", describe_configs()[name])


@every_config
def test_settings_that_are_written_out_are_read_back_the_same(name, tmp_path):
    config = read_config(name)
    path = tmp_path / "config.toml"
    path.write_text(dump_toml(config), encoding="utf-8")
    assert read_config(path) == config
    assert ExperimentConfig.model_validate(read_toml(path)) == config
