"""What models predict besides sentiment."""

import pytest
import torch
from helpers import SIZES, TINY, make_batch, make_clip, open_up
from targeted import EMOTION, MOODS, TARGETS, VALENCE

from mien.errors import ConfigError
from mien.models import MODELS, build_model
from mien.models.late_fusion import LateFusion
from mien.models.model_settings import PartsConfig
from mien.models.multitask import ModelInputs
from mien.tensors import as_shares, reported_values
from mien.types import Modality, Task

TEXT, AUDIO, VIDEO = Modality


def build(name, **facts):
    torch.manual_seed(1)
    inputs = ModelInputs(sizes=SIZES, targets=TARGETS, **facts)
    if name == "late_fusion":
        return LateFusion(PartsConfig(**TINY), inputs).eval()
    return build_model(MODELS[name].config(**TINY), inputs).eval()


NAMES = ("tam_ulag", "self_mm", "late_fusion")


@pytest.mark.parametrize("has_sentiment", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_task_predicts_every_target_and_all_of_it_learns(name, has_sentiment):
    model = open_up(build(name, has_sentiment=has_sentiment)).train()
    output = model(make_batch(make_clip(1, 3), make_clip(2, 5)))
    assert list(output.scores) == (list(Task) if has_sentiment else [])
    shapes = {n: {t: tuple(v.shape) for t, v in own.items()} for n, own in output.targets.items()}
    assert shapes == {t.name: dict.fromkeys(Task, (2, t.size)) for t in TARGETS}
    parts = [v.square().sum() for own in output.targets.values() for v in own.values()]
    sum([*parts, *(s.sum() for s in output.scores.values())]).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    absent = [n for n in idle if n.startswith("absent.")]  # no clip lacks a modality here
    assert idle == absent


def test_without_targets_a_model_has_the_parameters_that_it_always_had():
    torch.manual_seed(1)
    plain = build_model(MODELS["tam_ulag"].config(**TINY), ModelInputs(sizes=SIZES))
    assert not [name for name in plain.state_dict() if "target" in name]
    assert plain(make_batch(make_clip(1))).targets == {}


@pytest.mark.parametrize("name", NAMES)
def test_targets_can_be_finished_with_modalities_taken_away(name):
    model, batch = open_up(build(name)), make_batch(make_clip(1, 3), make_clip(2, 5))
    clips = model.encode_once(batch)
    for kept in ((TEXT,), (AUDIO, VIDEO)):
        once, anew = model.finish(clips.keep(kept)).targets, model(batch.keep(kept)).targets
        for target in TARGETS:
            torch.testing.assert_close(
                once[target.name][Task.FUSION], anew[target.name][Task.FUSION]
            )


def test_a_target_of_one_modality_is_reported_as_that_modality_has_it():
    model = open_up(build("tam_ulag"))
    output = model(make_batch(make_clip(1, 3), make_clip(2, 5, text=0, video=0)))
    values = output.targets["emotion"]
    reported = reported_values(values, output.present)[Task.FUSION]
    assert torch.equal(reported[0], values[Task.FUSION][0])
    assert torch.equal(reported[1], values[Task.AUDIO][1])


def test_late_fusion_pools_probabilities_and_values():
    model = open_up(build("late_fusion"))
    output = model(make_batch(make_clip(1, 3), make_clip(2, 5, audio=0)))
    for target in TARGETS:
        weights = model.target_weights(target)
        own = output.targets[target.name]
        scaled = {t: as_shares(target, v) if target.has_shares else v for t, v in own.items()}
        for row, there in enumerate(((TEXT, AUDIO, VIDEO), (TEXT, VIDEO))):
            total = sum(weights[m] for m in there)
            pooled = sum(weights[m] * scaled[Task(m)][row] for m in there) / total
            torch.testing.assert_close(scaled[Task.FUSION][row], pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
def test_a_model_can_begin_at_given_values_whatever_the_scale(target):
    model = build("self_mm")
    start = torch.linspace(1.2, 2.8, target.size)
    model.target_heads.start_at(target, start)
    with torch.no_grad():
        for task in Task:
            model.target_heads.layer(target, task).weight.zero_()
    values = model(make_batch(make_clip(1)))
    torch.testing.assert_close(values.targets[target.name][Task.AUDIO], start.unsqueeze(0))


def test_values_are_probabilities_or_lie_on_the_scale():
    raw = torch.tensor([[-9.0, 0.0, 9.0]])
    torch.testing.assert_close(as_shares(EMOTION, raw).sum(), torch.tensor(1.0))
    assert as_shares(VALENCE, raw).tolist() == [[1.0, 1.0, 5.0]]
    assert as_shares(MOODS, raw).tolist() == [[0.0, 0.0, 3.0]]


def test_a_model_that_reads_no_targets_is_refused_where_there_are_some():
    inputs = ModelInputs(sizes=SIZES, targets=(EMOTION, VALENCE))
    model = build_model(MODELS["lf_dnn"].config(), inputs)
    with pytest.raises(
        ConfigError, match=r"'LfDnn' predicts sentiment alone, not emotion, valence; set targets"
    ):
        model.require_targets()
    build("tam_ulag").require_targets()
