"""What the shipped studies of parts promise: everything competes, with as many parameters."""

from pathlib import Path

import pytest
import torch

import mien
from mien.models import build_model
from mien.models.attention import ATTENTIONS
from mien.models.fusion import FUSIONS
from mien.models.multitask import ModelInputs
from mien.studies.plan import read_study
from mien.types import Modality, Task

TEXT, AUDIO, VIDEO = Modality
PLANTED = {TEXT: 384, AUDIO: 33, VIDEO: 35}
SIZES = {
    "planted-7": PLANTED,
    "planted-sum-3": PLANTED,
    "ravdess": {AUDIO: 40, VIDEO: 35},
    "mmmo": {AUDIO: 74, VIDEO: 36},
}
FOLDER = Path(mien.__file__).parent / "configs" / "studies"
WITHIN = 0.02


def build_variants(study, corpus):
    """The models of a study on one of its corpora, by the names of the variants."""
    configs = next(one.configs for one in read_study(study).corpora if one.name == corpus)
    torch.manual_seed(1)
    return {
        name: build_model(config.model, ModelInputs(sizes=SIZES[corpus]))
        for name, config in configs.items()
    }


def count(*parts):
    """How many parameters are trained."""
    return sum(p.numel() for part in parts for p in part.parameters() if p.requires_grad)


@pytest.mark.parametrize("corpus", ["planted-7", "ravdess", "mmmo"])
def test_every_attention_has_as_many_parameters_in_the_encoders_of_series(corpus):
    models = build_variants("attention", corpus)
    counts = {name: count(model.encoders) for name, model in models.items()}
    for number in counts.values():
        assert abs(number / counts["softmax"] - 1) < WITHIN


def test_the_attention_study_says_how_many_parameters_there_are():
    said = (FOLDER / "attention.toml").read_text(encoding="utf-8")
    for name, model in build_variants("attention", "planted-7").items():
        if name != "max":  # said together with mean
            assert str(count(model.encoders)) in said


def test_every_fusion_has_as_many_parameters_up_to_the_multimodal_score():
    models = build_variants("fusion", "planted-sum-3")
    counts = {n: count(m.fusion, m.heads[Task.FUSION]) for n, m in models.items()}
    for number in counts.values():
        assert abs(number / counts["dimension"] - 1) < WITHIN


def test_the_fusion_study_says_how_many_parameters_there_are():
    said = (FOLDER / "fusion.toml").read_text(encoding="utf-8")
    for name, model in build_variants("fusion", "planted-sum-3").items():
        assert f"{name} {count(model.fusion, model.heads[Task.FUSION])}" in said.replace("\n#", "")


def test_every_attention_and_every_fusion_competes():
    attentions = {m.name for m in read_study("attention").config.variant}
    fusions = {m.name for m in read_study("fusion").config.variant}
    assert attentions == set(ATTENTIONS) - {"released"}
    assert fusions == set(FUSIONS)
