"""Evidence from late-fusion models about clips that they have not seen."""

import itertools
import warnings
from dataclasses import replace
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO, make_batch, make_clip, make_config, make_material
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from mien.config import Settings
from mien.data.store import Store
from mien.data.store_writer import write_store
from mien.errors import ConfigError, TrainingError
from mien.labels.generator import Evidence
from mien.models.late_fusion import LateFusion
from mien.models.multitask import ModelInputs, PartsConfig
from mien.processes.threads import one_thread
from mien.training import out_of_fold
from mien.training.out_of_fold import (
    EvidenceEpoch,
    assign_folds,
    best_evidence,
    cross_fit,
    evidence_by_epoch,
    evidence_cache,
    fold_process,
    fold_team,
)
from mien.training.out_of_fold.evidence_cache import evidence_key
from mien.training.out_of_fold.evidence_settings import evidence_settings, with_frozen_text
from mien.training.out_of_fold.feedback import Feedback
from mien.training.out_of_fold.fold_team import LabelsOfFolds
from mien.training.out_of_fold.folds import FoldPlan
from mien.training.out_of_fold.sources import choose_source
from mien.training.preparation import prepare
from mien.training.settings import ExperimentConfig
from mien.training.targets.aims import Aims
from mien.types import Material, Scale, Task

LATENT = {"generator": "latent", "folds": 3, "evidence_epochs": 3}


pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared_of(store, **labels):
    config = make_config(labels={**LATENT, **labels})
    return prepare(store, config), config


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=30), num_folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_clips_of_a_video_share_a_fold_and_folds_are_of_like_size(counts, num_folds, seed):
    videos = [f"v{i}" for i, count in enumerate(counts) for _ in range(count)]
    folds = assign_folds(videos, num_folds, np.random.default_rng(seed))
    assert len(folds) == len(videos)
    if len(counts) < num_folds:
        return
    assert all(
        len({f for f, v in zip(folds, videos, strict=True) if v == one}) == 1 for one in videos
    )
    sizes = np.bincount(folds, minlength=num_folds)
    assert sizes.min() > 0
    assert sizes.max() - sizes.min() <= max(counts)


def test_with_fewer_videos_than_folds_neighbours_stay_together():
    folds = assign_folds(["one"] * 7, 3, np.random.default_rng(0))
    assert folds.tolist() == sorted(folds.tolist())
    assert set(folds) == {0, 1, 2}


def test_no_model_predicts_a_clip_that_it_has_seen(tiny_store, monkeypatch):
    held_out = []

    def look(dataset, folds, epoch, seed, on_step):
        for fold in folds:
            learned = {clip.id for clip in fold.stepper.train.clips}
            assert not learned & {dataset.clips[i].id for i in fold.held_out_rows}
            videos = {clip.video_id for clip in fold.stepper.train.clips}
            assert not videos & {dataset.clips[i].video_id for i in fold.held_out_rows}
        held_out.append(sorted(i for fold in folds for i in fold.held_out_rows))
        return run(dataset, folds, epoch, seed, on_step)

    run = fold_team.run_epoch
    monkeypatch.setattr(fold_team, "run_epoch", look)
    prepared, config = prepared_of(tiny_store)
    cross_fit(prepared, config, seed=1)
    assert len(held_out) == 3
    assert all(rows == list(range(20)) for rows in held_out)


def change_label(material, row, label):
    clips = list(material.corpus.clips)
    labels = {**clips[row].labels, Task.FUSION: label}
    clips[row] = type(clips[row])(
        id=clips[row].id, split=clips[row].split, transcript=clips[row].transcript, labels=labels
    )
    corpus = type(material.corpus)(
        name=material.corpus.name, language="en", scale=material.corpus.scale, clips=tuple(clips)
    )
    return Material(corpus=corpus, series=material.series, origin={})


def test_in_the_first_epoch_evidence_of_a_clip_knows_nothing_of_its_annotation(tmp_path):
    """Later it does, by way of labels of other clips; recipes/evidence.py measures how much."""
    material = make_material()
    found = []
    for number, label in enumerate((3.0, -3.0)):
        store = write_store(change_label(material, 4, label), tmp_path / str(number))
        prepared, config = prepared_of(store)
        first = next(evidence_by_epoch(prepared, config, seed=1))
        found.append({**first.evidence.scores, "fused": first.fused})
    for name, scores in found[0].items():
        others = found[1][name]
        assert scores[4] == others[4]
        assert not torch.equal(scores.nan_to_num(9), others.nan_to_num(9))


def test_only_what_has_shown_something_learns_from_labels_of_evidence():
    """By hand: of 100 clips the standard error is .1; what was above it once stays so."""
    annotated = torch.linspace(-3, 3, 100)
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0]).repeat(25)  # what goes with no straight line
    faint, fainter = signs + 0.07 * annotated, signs + 0.05 * annotated
    assert torch.corrcoef(torch.stack([faint, annotated]))[0, 1] > 0.1
    assert 0 < torch.corrcoef(torch.stack([fainter, annotated]))[0, 1] < 0.1
    weights = {TEXT: 0.5, AUDIO: 0.25, VIDEO: 0.25}
    scores = {TEXT: faint, AUDIO: fainter, VIDEO: -annotated}
    feedback = Feedback("correlated", annotated, 1.0)
    evidence = Evidence(scores=scores, weights=weights)
    made = feedback.make_labels(evidence)
    everything = Feedback("all", annotated, 1.0).make_labels(evidence)
    assert torch.equal(made[TEXT], everything[TEXT])
    assert not torch.equal(made[TEXT], annotated)
    for modality in (AUDIO, VIDEO):
        assert torch.equal(made[modality], annotated)
        assert not torch.equal(everything[modality], annotated)
    later = Evidence(scores={**scores, TEXT: signs}, weights=weights)
    everything = Feedback("all", annotated, 1.0).make_labels(later)
    assert torch.equal(feedback.make_labels(later)[TEXT], everything[TEXT])


def test_clips_without_annotation_or_modality_say_nothing_of_correlation():
    annotated = torch.tensor([-2.0, 2.0, torch.nan, -1.0, 1.0, torch.nan, 3.0])
    nothing = torch.full_like(annotated, torch.nan)
    scores = {TEXT: annotated.nan_to_num(9.0), AUDIO: nothing, VIDEO: torch.ones(7)}
    scores[TEXT][6] = torch.nan
    feedback = Feedback("correlated", annotated, 1.0)
    made = feedback.make_labels(Evidence(scores=scores, weights=dict.fromkeys(scores, 1 / 3)))
    for modality in (AUDIO, VIDEO):
        assert torch.equal(made[modality].nan_to_num(9.0), annotated.nan_to_num(9.0))
    assert made[TEXT].isnan().tolist() == annotated.isnan().tolist()


SAID = "evidence: mean absolute error on held-out clips"
OPTIMISTIC = " (optimistic: their annotations shaped labels of other clips)"


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [({"evidence_epochs": 1}, f"{SAID} 0.500 in epoch 1"),
     ({"evidence_patience": 1}, f"{SAID} 0.400 in epoch 2{OPTIMISTIC}"),
     ({"evidence_patience": 2}, f"{SAID} 0.300 in epoch 4{OPTIMISTIC}"),
     ({"evidence_patience": 2, "evidence_epochs": 3}, f"{SAID} 0.400 in epoch 2{OPTIMISTIC}")],
)  # fmt: skip
def test_the_best_epoch_is_taken_and_its_error_is_called_optimistic(labels, wanted, caplog):
    caplog.set_level("INFO", logger="mien")
    epochs = [
        EvidenceEpoch(
            epoch=number, evidence=Evidence(scores={}, weights={VIDEO: error}),
            fused=torch.zeros(1), error=error, models=(),
        )
        for number, error in enumerate((0.5, 0.4, 0.6, 0.3, 0.9, 0.8), start=1)
    ]  # fmt: skip
    settings = make_config(labels={**LATENT, "evidence_epochs": 9, **labels})
    best = best_evidence(iter(epochs), settings.labels)
    assert caplog.messages == [wanted]
    assert f"{SAID} {best.weights[VIDEO]:.3f} in" in wanted


def test_clips_without_a_modality_have_no_evidence_of_it(tiny_store):
    prepared, config = prepared_of(tiny_store)
    evidence = cross_fit(prepared, config, seed=1)
    dataset = prepared.datasets["train"]
    assert list(evidence.scores) == [TEXT, AUDIO, VIDEO]
    assert sum(evidence.weights.values()) == pytest.approx(1)
    for modality, scores in evidence.scores.items():
        lengths = dataset.series[modality].lengths[dataset.rows]
        assert np.array_equal(scores.isnan().numpy(), lengths == 0)


def test_evidence_is_kept_and_taken_from_the_cache(tiny_store):
    prepared, config = prepared_of(tiny_store)
    first, steps = cross_fit(prepared, config, seed=1), []
    again = cross_fit(prepared, config, seed=1, on_step=lambda *step: steps.append(step))
    assert steps == []
    assert again.weights == first.weights
    for modality, scores in first.scores.items():
        assert torch.equal(scores.nan_to_num(9), again.scores[modality].nan_to_num(9))


@pytest.mark.parametrize(
    "harm", [lambda _: b"", lambda data: data[:-9], lambda _: OTHER], ids=range(3)
)
def test_damaged_evidence_in_the_cache_is_gathered_again(tiny_store, empty_cache, caplog, harm):
    prepared, config = prepared_of(tiny_store, evidence_epochs=1, folds=2)
    first = cross_fit(prepared, config, seed=1)
    (path,) = empty_cache.rglob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    again = cross_fit(prepared, config, seed=1)
    assert again.weights == first.weights
    assert path.read_bytes() == whole
    assert "is damaged; the evidence is gathered again" in caplog.text


OTHER = save({"scores/text": torch.zeros(3), "weights": torch.ones(1)})


def test_evidence_of_another_share_of_the_rest_is_not_taken(tiny_store, monkeypatch, tmp_path):
    def take_sixth(epochs, _):
        return next(itertools.islice(epochs, 5, None)).evidence

    monkeypatch.setattr(out_of_fold, "best_evidence", take_sixth)
    found = {}
    for cache, rest in (("one", 1.0), ("one", 20.0), ("two", 20.0)):
        monkeypatch.setenv("MIEN_CACHE", str(tmp_path / cache))
        prepared, config = prepared_of(tiny_store, rest=rest, folds=2)
        found[cache, rest] = cross_fit(prepared, config, seed=1).weights
    assert found["one", 20.0] == found["two", 20.0] != found["one", 1.0]


# What makes no other evidence: the train settings are its own, as are the labels of its models.
WITHOUT_USE = {
    "corpus", "text_encoder.mode", "model.name", "model.attention", "model.fusion",
    "labels.generator", "labels.weight", "labels.warmup_epochs", "train.seeds", "train.epochs",
    "train.patience",
    "train.monitor", "train.batch_size", "train.accumulate", "train.gradient", "train.leftover",
    "train.group_lengths", "train.optimizer", "train.learning_rate", "train.layer_decay",
    "train.schedule", "train.warmup", "train.ema_decay", "train.loss", "train.lost_steps",
    "train.weight_decay", "train.clip_norm", "train.threads",
}  # fmt: skip


def names_of_settings(config):
    for section, values in config:
        if isinstance(values, Settings):
            yield from (f"{section}.{name}" for name, _ in values)
        else:
            yield section


def change_setting(settings, name):
    """Return settings in which one has another allowed value; of settings in them, all."""
    value, kind = getattr(settings, name), type(settings).model_fields[name].annotation
    if isinstance(value, Settings):
        other = value
        for inner, _ in value:
            other = change_setting(other, inner)
    elif isinstance(value, bool):
        other = not value
    elif get_origin(kind) is Literal:
        other = next((one for one in get_args(kind) if one != value), "another")
    elif isinstance(value, int | float):
        other = value + (0.25 if isinstance(value, float) else 1)
    else:
        another = "video" if name == "log_odds" else 5
        other = (*value, another) if isinstance(value, tuple) else f"{value}-another"
    return settings.model_copy(update={name: other})


@pytest.mark.parametrize("name", [*names_of_settings(ExperimentConfig())])
def test_every_setting_changes_the_key_unless_it_cannot_change_the_evidence(name):
    """What has no use is not handed on, so that it cannot have any."""
    config = ExperimentConfig()
    section, _, key = name.partition(".")
    if key:
        changed = change_setting(getattr(config, section), key)
        other = config.model_copy(update={section: changed})
    else:
        other = change_setting(config, section)
    assert other != config
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydantic, about names that there are not
        is_same = _dump(config) == _dump(other)
    assert is_same == (name in WITHOUT_USE)


def _dump(config):
    return evidence_settings(config).model_dump(mode="json")


def _with_fingerprint(store, fingerprint):
    return Store(store.path, store.meta.model_copy(update={"fingerprint": fingerprint}))


PARTS = {
    "seed": lambda _: 2,
    "dataset": lambda d: replace(d, labels={**d.labels, Task.FUSION: -d.labels[Task.FUSION]}),
    "dataset, rows": lambda d: replace(d, rows=d.rows[::-1]),
    "prepared": lambda p: replace(p, scale=Scale(-9, 9)),
    "prepared, store": lambda p: replace(p, store=_with_fingerprint(p.store, "another")),
    "text": lambda text: replace(text, key="another"),
    "text, encoder": lambda text: replace(text, fingerprint="another"),
}


@pytest.mark.parametrize("part", PARTS)
def test_other_data_change_the_key(tiny_store, part):
    prepared, config = prepared_of(tiny_store)
    settings = evidence_settings(config)
    dataset, _, text = with_frozen_text(prepared, settings)
    parts = {"prepared": prepared, "settings": settings, "dataset": dataset, "text": text}
    before = evidence_key(**parts, seed=1)
    assert evidence_key(**parts, seed=1) == before
    name = part.partition(",")[0]
    assert evidence_key(**{"seed": 1, **parts, name: PARTS[part](parts.get(name))}) != before


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [(evidence_cache, "code_fingerprint", lambda name: name),
     (evidence_cache, "versions_of", lambda *_: {"torch": "9"}),
     (torch.backends.cpu, "get_cpu_capability", lambda: "another")],
)  # fmt: skip
def test_other_code_versions_and_machines_change_the_key(
    tiny_store, monkeypatch, where, name, value
):
    prepared, config = prepared_of(tiny_store)
    settings = evidence_settings(config)
    dataset, _, text = with_frozen_text(prepared, settings)
    before = evidence_key(prepared, settings, dataset, text, 1)
    monkeypatch.setattr(where, name, value)
    assert evidence_key(prepared, settings, dataset, text, 1) != before


def test_how_the_text_encoder_is_trained_leaves_the_evidence_alone(tiny_store, tiny_bert):
    """The work that a step of text is in training once decided which clips shared a batch."""
    found = []
    for mode in ("finetune", "last-1", "frozen"):
        text = {"input": "transcript", "name": str(tiny_bert), "mode": mode}
        config = make_config(labels=LATENT, text_encoder=text)
        prepared, settings = prepare(tiny_store, config), evidence_settings(config)
        dataset, sizes, states = with_frozen_text(prepared, settings)
        key = evidence_key(prepared, settings, dataset, states, 1)
        found.append((dataset.costs.tolist(), sizes, key))
    assert found[0] == found[1] == found[2]


def test_what_the_model_itself_does_leaves_the_evidence_alone(tiny_store, empty_cache):
    prepared, config = prepared_of(tiny_store)
    first = cross_fit(prepared, config, seed=1)
    model = config.model.model_copy(update={"attention": "gated", "fusion": "concat"})
    other = config.model_copy(update={"model": model})
    again = cross_fit(prepared, other, seed=1)
    assert len(list(empty_cache.rglob("*.safetensors"))) == 1
    assert again.weights == first.weights


def test_steps_of_all_folds_are_reported(tiny_store):
    steps = []
    prepared, config = prepared_of(tiny_store, evidence_epochs=1)
    cross_fit(prepared, config, seed=1, on_step=lambda *step: steps.append(step))
    assert steps[-1] == (1, 40, 40)  # three folds of 20 clips, each trained on two thirds
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_evidence_that_is_no_number_ends_the_training(tiny_store, monkeypatch):
    def broken(dataset, folds, *_):
        return {task: torch.full((len(dataset),), torch.nan) for task in folds[0].model.tasks}

    monkeypatch.setattr(fold_team, "run_epoch", broken)
    prepared, config = prepared_of(tiny_store)
    with pytest.raises(TrainingError, match="evidence of the modalities diverged in epoch 1"):
        cross_fit(prepared, config, seed=1)


def plan_of(store):
    prepared, config = prepared_of(store)
    settings = evidence_settings(config)
    dataset, sizes, _ = with_frozen_text(prepared, settings)
    return FoldPlan(
        dataset=dataset, sizes=sizes, scale=prepared.scale, settings=settings, seed=1,
        aims=prepared.aims,
    )  # fmt: skip


def test_folds_side_by_side_give_the_same_bit_for_bit(tiny_store):
    plan = plan_of(tiny_store)
    label = LabelsOfFolds(sentiment={AUDIO: torch.linspace(-1, 1, 20)})
    found, steps = [], []
    for num in (1, 2):
        with fold_team.open_team(plan, num) as team, one_thread():
            first = team.run_epoch(1, LabelsOfFolds(), None)
            found.append((first, team.run_epoch(2, label, lambda *step: steps.append(step))))
            found[-1] += ([fold.model.state_dict() for fold in team.folds],)
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=0)
    assert steps[-1] == (2, 40, 40)
    assert not torch.equal(found[0][0][Task.AUDIO], found[0][1][Task.AUDIO])


def test_processes_are_as_many_as_threads_where_clips_are_many(tiny_store, monkeypatch):
    plan = plan_of(tiny_store)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert fold_team.count_processes(plan.dataset, plan.settings) == 1
    monkeypatch.setattr(fold_team, "MANY_CLIPS", 20)
    assert fold_team.count_processes(plan.dataset, plan.settings) == 4


def test_mapped_series_are_mapped_again_and_others_are_sent(tiny_store):
    plan = plan_of(tiny_store)
    work = fold_team.pack_work(plan, (0,))
    assert set(work.mapped) >= {AUDIO, VIDEO}
    assert all(len(work.plan.dataset.series[m].values) == 0 for m in work.mapped)
    again = fold_process.unpack_work(work).dataset
    for modality, series in plan.dataset.series.items():
        assert np.array_equal(series.values, again.series[modality].values)


def test_a_process_that_is_gone_ends_the_training(tiny_store):
    with fold_team.open_team(plan_of(tiny_store), 2) as team:
        for process in team.processes:
            process.kill()
        with pytest.raises(TrainingError, match="process that gathers evidence"):
            team.run_epoch(1, LabelsOfFolds(), None)


SIZES = {TEXT: 6, AUDIO: 4, VIDEO: 5}


def make_late():
    torch.manual_seed(1)
    return LateFusion(PartsConfig(), ModelInputs(sizes=SIZES)).eval()


def test_the_late_score_is_the_weighted_mean_of_the_scores_that_there_are():
    model = make_late()
    with torch.no_grad():
        model.log_weights.copy_(torch.tensor([0.0, 1.0, -1.0]))
    output = model(make_batch(make_clip(1, 3), make_clip(2, 5)))
    weights = torch.tensor([0.0, 1.0, -1.0]).softmax(dim=0)
    own = torch.stack([output.scores[t] for t in (Task.TEXT, Task.AUDIO, Task.VIDEO)])
    torch.testing.assert_close(output.scores[Task.FUSION], weights @ own)
    assert model.weights == pytest.approx(dict(zip(SIZES, weights.tolist(), strict=True)))


def test_every_parameter_of_late_fusion_learns_and_is_in_one_group():
    model = make_late().train()
    output = model(make_batch(make_clip(1, 3), make_clip(2, 5)))
    sum(score.sum() for score in output.scores.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    grouped = [name for named in model.parameter_groups().values() for name, _ in named]
    assert sorted(grouped) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("late", [0.0, 9.0])
def test_auto_takes_the_evidence_with_the_smaller_error(tiny_store, monkeypatch, caplog, late):
    monkeypatch.setattr(out_of_fold, "late_error", lambda *_: late)
    options = {"generator": "posterior", "folds": 2, "evidence_epochs": 1}
    found = {}
    for source in ("ridge", "auto"):
        prepared, config = prepared_of(tiny_store, evidence=source, **options)
        with caplog.at_level("INFO"):
            found[source] = cross_fit(prepared, config, seed=1)
    ridge, auto = found["ridge"], found["auto"]
    torch.testing.assert_close(ridge.halves[TEXT], auto.halves[TEXT], equal_nan=True)
    assert ridge.overlap == auto.overlap
    is_ridge = torch.equal(ridge.scores[TEXT].nan_to_num(), auto.scores[TEXT].nan_to_num())
    assert is_ridge == (late > 1)
    assert ("of late-fusion models" in caplog.text) == (late < 1)
    again = cross_fit(prepared, config, seed=1)  # from the cache
    assert torch.equal(again.halves[AUDIO].nan_to_num(), auto.halves[AUDIO].nan_to_num())
    assert again.overlap == auto.overlap
    assert set(again.alone) == (set() if is_ridge else set(ridge.scores))
    for modality, scores in again.alone.items():
        torch.testing.assert_close(scores, ridge.scores[modality], equal_nan=True)


def test_both_sources_are_joined_without_a_trial(tiny_store, monkeypatch):
    monkeypatch.setattr(out_of_fold, "late_error", lambda *_: pytest.fail("nothing is to be tried"))
    options = {"generator": "posterior", "folds": 2, "evidence_epochs": 1}
    found = {}
    for source in ("ridge", "late", "both", "kernel"):
        prepared, config = prepared_of(tiny_store, evidence=source, **options)
        found[source] = cross_fit(prepared, config, seed=1)
    assert set(found["both"].alone) == set(found["ridge"].scores)
    for modality, scores in found["both"].scores.items():
        torch.testing.assert_close(scores, found["late"].scores[modality], equal_nan=True)
        alone, expected = found["both"].alone[modality], found["ridge"].scores[modality]
        torch.testing.assert_close(alone, expected, equal_nan=True)
        kernel = found["kernel"].scores[modality]
        assert torch.equal(kernel.isnan(), expected.isnan())
    assert not torch.equal(found["kernel"].scores[TEXT], found["ridge"].scores[TEXT])
    assert found["kernel"].alone == {}


def test_the_trial_of_late_fusion_ends_in_an_error_of_the_first_fold(tiny_store, empty_cache):
    prepared, config = prepared_of(
        tiny_store, generator="posterior", evidence="auto", folds=2, evidence_epochs=1
    )
    first = cross_fit(prepared, config, seed=1)
    assert set(first.scores) == set(first.halves)
    assert len(list(empty_cache.rglob("*.safetensors"))) == 1


@pytest.mark.parametrize("source", ["ridge", "kernel"])
def test_regressions_for_anything_but_sentiment_are_refused(tiny_store, source):
    dataset = prepared_of(tiny_store)[0].datasets["train"]
    aims = Aims(has_sentiment=False, targets=())
    with pytest.raises(ConfigError, match=f"labels.evidence is '{source}', which is for sentiment"):
        choose_source(source, aims, dataset)
    assert choose_source("both", aims, dataset) == "late"
