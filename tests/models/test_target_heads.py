"""What models predict besides sentiment."""

import re
from typing import Literal

import pytest
import torch
from helpers import SIZES, TINY, TINY_OF, make_batch, make_clip, open_up
from targeted import EMOTION, MOODS, TARGETS, VALENCE

from mien.models import MODELS, ModelEntry, build_model
from mien.models.late_fusion import LateFusion
from mien.models.model_settings import NetworkConfig, PartsConfig
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.tensors import Output, as_shares, reported_values
from mien.types import Modality, Task

TEXT, AUDIO, VIDEO = Modality


#: What teaches parts that learn from nothing else.
LEARNING_OF = {"tfr_net": {"missing_share": 0.7}}


def build(name, **facts):
    torch.manual_seed(1)
    inputs = ModelInputs(sizes=SIZES, targets=TARGETS, **facts)
    if name == "late_fusion":
        return LateFusion(PartsConfig(**TINY), inputs).eval()
    tiny = {**TINY_OF.get(name, TINY), **LEARNING_OF.get(name, {})}
    return build_model(MODELS[name].config(**tiny), inputs).eval()


#: What models of the field read a score with, from a state; without sentiment it stays as it is.
SCORING = re.compile(r"\b(leave|middle|output)\.|^(weights|bias)$")
#: Models of the package's own parts.
NAMES = ("tam_ulag", "self_mm", "late_fusion")


def some_clips():
    """Clips of which every modality is there and is missing."""
    lacking = make_clip(3, 2, text=0), make_clip(4, audio=0, video=0)
    return make_batch(make_clip(1, 3), make_clip(2, 5), *lacking)


@pytest.mark.parametrize("has_sentiment", [True, False])
@pytest.mark.parametrize("name", [*MODELS, "late_fusion"])
def test_every_task_of_every_model_predicts_every_target_and_all_of_it_learns(name, has_sentiment):
    model = build(name, has_sentiment=has_sentiment).train()
    output = model(some_clips())
    assert list(output.scores) == (list(model.tasks) if has_sentiment else [])
    shapes = {n: {t: tuple(v.shape) for t, v in own.items()} for n, own in output.targets.items()}
    assert shapes == {t.name: dict.fromkeys(model.tasks, (4, t.size)) for t in TARGETS}
    parts = [v.square().sum() for own in output.targets.values() for v in own.values()]
    parts += [*(s.sum() for s in output.scores.values()), *output.terms.values()]
    sum(parts).backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    stand_ins = {n for n in idle if name == "late_fusion" and n.startswith("absent.")}
    scoring = {n for n in idle if not has_sentiment and SCORING.search(n)}
    assert idle == stand_ins | scoring


@pytest.mark.parametrize("name", MODELS)
def test_targets_of_a_clip_without_a_modality_do_not_depend_on_its_company(name):
    model, alone = open_up(build(name)), make_clip(5, 3, audio=0)
    with torch.no_grad():
        own = model(make_batch(alone)).targets["emotion"][Task.FUSION]
        together = model(make_batch(make_clip(1, 6), alone)).targets["emotion"][Task.FUSION]
        full = model(make_batch(make_clip(5, 3))).targets["emotion"][Task.FUSION]
    torch.testing.assert_close(together[1:], own, rtol=1e-4, atol=1e-4)
    assert own.isfinite().all()
    assert not torch.allclose(own, full, atol=1e-3)


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


def test_a_model_of_another_package_with_a_forward_of_its_own_predicts_targets_too():
    """Whatever a model computes, calling it adds what is read from the states of its tasks."""

    class Own(MultimodalModel):
        def __init__(self, config, inputs):
            super().__init__(config, inputs, attention=None)
            self.encoders, self.tasks = torch.nn.ModuleDict(), (Task.FUSION,)
            self.state_sizes = {Task.FUSION: 2}

        def forward(self, batch):
            states = torch.stack([s.values.sum(dim=(1, 2)) for s in batch.sequences.values()][:2])
            scores = {Task.FUSION: states[0]}
            present = self.present(batch)
            return Output(
                scores=scores, states={Task.FUSION: states.T}, attention={}, present=present
            )

    class OwnConfig(NetworkConfig):
        name: Literal["own"] = "own"

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "own", ModelEntry(OwnConfig, Own))
        inputs = ModelInputs(sizes=SIZES, targets=(EMOTION,), has_sentiment=False)
        output = build_model(OwnConfig(), inputs)(some_clips())
    assert output.targets["emotion"][Task.FUSION].shape == (4, 3)
    assert output.scores == {}
