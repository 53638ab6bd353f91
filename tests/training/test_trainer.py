import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import (
    AUDIO,
    SIZES,
    STATE_SIZES,
    TEXT,
    VIDEO,
    make_annotation,
    make_generator,
    make_model,
    make_split,
)
from trainings import RATES, STATES, Steps, Stop, make_trainer

import mien.tensors
import mien.training.trainer
from mien.data.dataset import batches
from mien.data.speakers.speaker_baseline import Units, measure
from mien.data.speakers.speaker_moments import SpeakerMoments
from mien.errors import CheckpointError, TrainingError
from mien.training.checkpoints.checkpoint import (
    join_states,
    read_header,
    read_tensors,
    write_tensors,
)
from mien.training.checkpoints.header import describe_settings
from mien.training.settings import ExperimentConfig
from mien.types import Modality, Task

# --- epochs ---------------------------------------------------------------------------------------


def test_every_epoch_sees_the_clips_in_another_order_and_a_seed_always_in_the_same(tmp_path):
    orders = {}
    for number, seed in enumerate((1, 1, 2)):
        trainer = make_trainer(tmp_path / str(number), seed=seed, generator="copy")
        seen = []
        batch = trainer.train.batch
        object.__setattr__(
            trainer, "train", _Spy(trainer.train, lambda index, seen=seen: seen.append(index))
        )
        trainer.run()
        assert batch is not None
        orders[number] = np.concatenate(seen).reshape(3, 14).tolist()
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(epoch) == list(range(14)) for epoch in orders[0])
    assert len({tuple(epoch) for epoch in orders[0]}) == 3


class _Spy:
    """A dataset that tells which clips are read."""

    def __init__(self, dataset, on_read):
        self.dataset, self.on_read = dataset, on_read
        self.costs, self.labels = dataset.costs, dataset.labels

    def __len__(self):
        return len(self.dataset)

    def batch(self, index):
        self.on_read(index)
        return self.dataset.batch(index)

    def targets(self, index):
        return self.dataset.targets(index)

    def draw_baselines(self, _rng):
        return self

    def shuffle(self, rng):
        return self.dataset.shuffle(rng)


def test_validation_sees_every_clip_once_and_changes_nothing(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.run_order(np.arange(14), 1)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    labels = {k: v.clone() for k, v in trainer.objective.state_dict().items()}
    first, second = trainer.validate(1), trainer.validate(1)
    assert first == second
    assert trainer.model.training
    assert all(torch.equal(before[k], v) for k, v in trainer.model.state_dict().items())
    assert all(torch.equal(labels[k], v) for k, v in trainer.objective.state_dict().items())


def test_validation_is_a_metric_over_the_split_not_a_mean_over_batches(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path)
    whole = trainer.validate(1)
    monkeypatch.setattr("mien.evaluation.scoring.BATCH_SIZE", 2)
    for name, value in trainer.validate(1).items():
        assert value == pytest.approx(whole[name], abs=1e-5)
    scores = torch.cat(
        [trainer.model.eval()(b).scores[Task.FUSION] for b, _ in batches(trainer.valid, 7)]
    )
    targets = torch.cat([t.labels[Task.FUSION] for _, t in batches(trainer.valid, 7)])
    assert whole["mae"] == pytest.approx((scores - targets).abs().mean().item(), abs=1e-6)


def script_validation(trainer, values, monitor="mae"):
    """Let validation give these values, epoch by epoch."""
    plain = trainer.validate

    def scripted(epoch):
        return {**plain(epoch), monitor: values[epoch - 1]}

    trainer.validate = scripted


NAN = math.nan
COURSES = [
    ("mae", [3.0, 2.0, 2.5, 2.0, 1.0], 9, [1, 2, 5], 5),
    ("mae", [3.0, 2.0, 2.5, 2.6, 1.0], 2, [1, 2], 4),
    ("mae", [1.0, 1.0, 1.0], 2, [1], 3),
    ("corr", [0.1, 0.3, 0.2, 0.4, 0.0], 2, [1, 2, 4], 5),
    ("corr", [NAN, 0.1, NAN, -0.1, 0.2], 9, [1, 2, 5], 5),
    ("corr", [0.2, NAN, NAN, 0.5, 0.1], 2, [1], 3),
    ("corr", [NAN, NAN, NAN], 2, [1], 3),
    ("mae", [1.0, 2.0], 1, [1], 2),
]


@pytest.mark.parametrize(("monitor", "values", "patience", "best", "num_epochs"), COURSES)
def test_the_best_epoch_is_picked_by_the_monitor_and_patience_ends_training(
    tmp_path, monitor, values, patience, best, num_epochs
):
    trainer = make_trainer(
        tmp_path, generator="copy", monitor=monitor, patience=patience, epochs=len(values)
    )
    script_validation(trainer, values, monitor)
    trainer.run()
    assert [r.epoch for r in trainer.history if r.is_best] == best
    assert trainer.best_epoch == best[-1]
    assert len(trainer.history) == num_epochs
    assert trainer.is_finished
    assert read_header(tmp_path / "best.safetensors")["epoch"] == best[-1]


def test_the_best_checkpoint_holds_the_weights_and_labels_of_the_best_epoch(tmp_path):
    trainer = make_trainer(tmp_path, epochs=3)
    script_validation(trainer, [3.0, 1.0, 2.0])
    kept = {}

    class Keep(Steps):
        def on_evidence(self, epoch, done, total):
            pass

        def on_epoch(self, record, config):
            assert config is trainer.config
            modules = {"model": trainer.model, "objective": trainer.objective}
            kept[record.epoch] = {
                f"{n}/{k}": v.clone() for n, m in modules.items() for k, v in m.state_dict().items()
            }

    trainer.run(Keep(trainer))
    best = read_tensors(tmp_path / "best.safetensors")
    centres = {key for key in kept[2] if key.startswith("objective/labels.centres.")}
    assert best.keys() == kept[2].keys() - centres  # which grow with the clips, to go on with
    assert read_tensors(tmp_path / "last.safetensors").keys() >= kept[2].keys() > centres > set()
    assert all(torch.equal(best[k], kept[2][k]) for k in best)
    assert any(not torch.equal(best[k], kept[3][k]) for k in best)
    for tensors in (best, kept[2]):  # the latter as earlier versions wrote it
        write_tensors(tmp_path / "best.safetensors", tensors, {})
        trainer.load_best()
        loaded = join_states({"model": trainer.model, "objective": trainer.objective})
        assert all(torch.equal(loaded[key], value) for key, value in tensors.items())
        trainer.resume()


def test_every_epoch_leaves_a_line_and_the_labels_that_were_trained_on(tmp_path):
    trainer = make_trainer(tmp_path, generator="ulag", epochs=3)
    listener = Steps(trainer)
    trainer.run(listener)
    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [set(line) for line in lines] == [
        {"epoch", "losses", "valid", "clipped", "is_best", "seconds", "learning_rates"}
    ] * 3
    assert lines[0]["clipped"] == 0
    assert 0 < lines[1]["clipped"] < 1
    assert set(lines[0]["losses"]) == set(Task)
    records = [step[0] for step in listener.progress if len(step) == 2]
    assert [r.to_json() for r in records] == lines
    labels = [np.load(tmp_path / "labels" / f"epoch-{e:03d}.npy") for e in (1, 2, 3)]
    assert all(one.shape == (3, 14) for one in labels)
    assert np.array_equal(labels[0], np.stack([trainer.train.labels[Task.FUSION].numpy()] * 3))
    assert not np.array_equal(labels[1], labels[2])
    assert not np.array_equal(labels[0], labels[1])


# --- going on -------------------------------------------------------------------------------------


def state_of(trainer, folder):
    tensors = read_tensors(folder / "last.safetensors")
    best = (folder / "best.safetensors").read_bytes()
    return tensors, best, [r.to_json() | {"seconds": 0} for r in trainer.history]


def make_dropping_model(seed=1):
    drops = {"fusion": 0.2, "text": 0.2, "audio": 0.2, "video": 0.2}
    return make_model(dropout=drops, modality_dropout=0.2, encoder_dropout=0.1, seed=seed)


STOPS = [(1,), (2,), (3,), (1, 3), (2, 6), (3, 14)]


@pytest.mark.parametrize(
    ("generator", "stop"), [*(("ulag", stop) for stop in STOPS), ("ulag_released", (2, 6))]
)
def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path, stop, generator):
    def start(folder):
        return make_trainer(
            folder, generator=generator, epochs=4, missing=True, model=make_dropping_model()
        )

    whole = start(tmp_path / "whole")
    whole.run()
    interrupted = start(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(Stop(*stop))
    torch.rand(7)  # whatever else the process draws changes nothing
    again = start(tmp_path / "parts")
    again.resume()
    assert len(again.history) == (stop[0] if len(stop) == 1 else stop[0] - 1)
    again.run()
    tensors, best, history = state_of(again, tmp_path / "parts")
    wanted, wanted_best, wanted_history = state_of(whole, tmp_path / "whole")
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[k], wanted[k]) for k in wanted)
    assert best == wanted_best
    assert history == wanted_history
    for name in ("epoch-001.npy", "epoch-004.npy"):
        first, second = (tmp_path / n / "labels" / name for n in ("whole", "parts"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_between_the_files_of_an_epoch_loses_that_epoch_and_no_more(
    tmp_path, monkeypatch, number
):
    """Best, epochs.jsonl and last are written one after the other; a kill can come between."""
    whole = make_trainer(tmp_path / "whole")
    whole.run()
    interrupted = make_trainer(tmp_path / "parts")
    written = []

    def counting(write):
        def counted(path, *rest):
            if interrupted.history[1:]:  # in the second epoch
                written.append(path)
                if len(written) == number:
                    raise KeyboardInterrupt
            return write(path, *rest)

        return counted

    with monkeypatch.context() as patched:
        for name in ("write_tensors", "write_text"):
            patched.setattr(
                mien.training.trainer, name, counting(getattr(mien.training.trainer, name))
            )
        script_validation(interrupted, [3.0, 2.0, 1.0])
        with pytest.raises(KeyboardInterrupt):
            interrupted.run()
    again = make_trainer(tmp_path / "parts")
    again.resume()
    assert len(again.history) == 1
    again.history[0] = whole.history[0]  # undo the script of validation
    again.run()
    tensors, best, history = state_of(again, tmp_path / "parts")
    wanted, wanted_best, wanted_history = state_of(whole, tmp_path / "whole")
    assert all(torch.equal(tensors[k], wanted[k]) for k in wanted)
    assert (best == wanted_best) or not whole.history[0].is_best
    assert history == wanted_history


def test_everything_is_restored_from_the_files_optimizer_included(tmp_path):
    trainer = make_trainer(tmp_path, epochs=2)
    trainer.run()
    twin = make_trainer(tmp_path, epochs=2, seed=1, model=make_model(seed=9))
    twin.resume()
    for name in ("model", "objective"):
        ours, theirs = (getattr(t, name).state_dict() for t in (trainer, twin))
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    ours, theirs = (t.optimizer.state_dict() for t in (trainer, twin))
    assert ours["param_groups"] == theirs["param_groups"]
    assert ours["state"].keys() == theirs["state"].keys()
    for number, state in ours["state"].items():
        assert all(torch.equal(theirs["state"][number][k], v) for k, v in state.items())
    assert twin.is_finished


def test_the_files_of_another_training_are_refused(tmp_path):
    trainer = make_trainer(tmp_path, epochs=1)
    trainer.run()
    other = make_trainer(tmp_path, epochs=1, seed=2)
    with pytest.raises(CheckpointError, match=r"last\.safetensors: was made with another seed"):
        other.resume()


@pytest.mark.parametrize(("key", "value"), [("ema_decay", None), ("ema_decay", 0.5)])
def test_a_training_that_an_earlier_version_began_goes_on(tmp_path, key, value):
    """It was refused as one of other settings, for it lacks those that came later."""
    trainer = make_trainer(tmp_path, epochs=1)
    trainer.header["config"] = describe_settings(ExperimentConfig())
    trainer.run()
    path = tmp_path / "last.safetensors"
    header = read_header(path)
    train = {k: v for k, v in header["config"]["train"].items() if k != key}
    train |= {} if value is None else {key: value}
    header["config"] = {**header["config"], "train": train}
    write_tensors(path, read_tensors(path), header)
    later = make_trainer(tmp_path, epochs=2)
    later.header["config"] = describe_settings(ExperimentConfig())
    if value is None:
        later.resume()
        assert len(later.history) == 1
    else:
        with pytest.raises(CheckpointError, match=r"was made with another config"):
            later.resume()


@pytest.mark.parametrize("config", [None, [], "tam_ulag", 7])
def test_settings_of_a_damaged_file_are_those_of_another_training(tmp_path, config):
    trainer = make_trainer(tmp_path, epochs=1)
    trainer.header["config"] = describe_settings(ExperimentConfig())
    trainer.run()
    path = tmp_path / "last.safetensors"
    write_tensors(path, read_tensors(path), {**read_header(path), "config": config})
    with pytest.raises(CheckpointError, match=r"was made with another config"):
        trainer.resume()


def test_there_is_nothing_to_resume_at_the_start(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.resume()
    assert trainer.history == []
    assert not trainer.is_finished


# --- divergence -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_a_training_that_diverges_says_so(tmp_path, rate):
    trainer = make_trainer(tmp_path, learning_rate=dict.fromkeys(RATES, rate))
    with pytest.raises(
        TrainingError,
        match=r"training diverged in epoch 1: .*; lower train\.learning_rate, or set "
        r"train\.clip_norm=1",
    ):
        trainer.run()
    assert not (tmp_path / "best.safetensors").exists()
    assert not (tmp_path / "epochs.jsonl").exists()


def test_scores_on_validation_that_are_no_numbers_are_a_divergence(tmp_path):
    """Whatever the loss was: the last step of an epoch can break the weights."""
    trainer = make_trainer(tmp_path)
    with torch.no_grad():
        trainer.model.heads[Task.FUSION].leave.bias.fill_(math.inf)
    with pytest.raises(TrainingError, match=r"epoch 4: 7 validation scores are not finite"):
        trainer.validate(4)


@pytest.mark.parametrize("labels", ["zero", "positive", "negative", "equal"])
@pytest.mark.parametrize("generator", ["ulag", "distance", "copy", "ulag_released"])
def test_labels_of_one_kind_and_constant_features_train_without_a_fault(
    tmp_path, generator, labels
):
    values = {
        "zero": [0.0] * 14,
        "positive": np.linspace(0.3, 3, 14).tolist(),
        "negative": np.linspace(-3, -0.3, 14).tolist(),
        "equal": [1.0] * 14,
    }[labels]
    trainer = make_trainer(tmp_path, generator=generator, epochs=2)
    arrays = {m: [np.ones((2, SIZES[m]), np.float32)] * 14 for m in Modality}
    trainer.train = trainer.valid = make_split(values, arrays)
    trainer.objective.labels = make_generator(generator, torch.tensor(values), sizes=STATES)
    trainer.run()
    assert len(trainer.history) == 2
    assert all(math.isfinite(x) for r in trainer.history for x in r.losses.values())
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_a_training_learns(tmp_path):
    """Features that say the label: the validation error falls."""
    annotated = make_annotation(1, 40)
    arrays = {
        m: [np.full((2, SIZES[m]), float(y), np.float32) for y in annotated] for m in Modality
    }
    trainer = make_trainer(tmp_path, epochs=8, generator="copy", batch_size=8)
    trainer.train = trainer.valid = make_split(annotated.tolist(), arrays)
    trainer.objective.labels = make_generator("copy", annotated, sizes=STATES)
    trainer.run()
    course = [r.valid["mae"] for r in trainer.history]
    assert min(course) < 0.5 * course[0]


def test_a_bank_lives_for_every_modality(tmp_path):
    labels = make_trainer(tmp_path).objective.labels
    assert {len(labels.bank(m)) for m in (TEXT, AUDIO, VIDEO)} == {14}
    assert set(STATE_SIZES) == {Task.FUSION, *map(Task, labels.modalities)}


def test_an_interrupted_training_against_speakers_draws_the_same_baselines_again(tmp_path):
    def start(folder):
        trainer = make_trainer(folder, epochs=3, generator="copy")
        series = trainer.train.series[AUDIO]
        units = Units(np.zeros(SIZES[AUDIO], np.float32), np.ones(SIZES[AUDIO], np.float32))
        clips = [series[row] for row in range(len(series))]
        speakers = SpeakerMoments(
            speakers=np.arange(len(series)) % 3,
            moments={AUDIO: measure(clips, [4.0] * len(series), units)},
            units={AUDIO: units},
            half_seconds=4.0,
            rows=np.arange(len(series)),
        )
        trainer.train = replace(trainer.train, speakers=speakers)
        return trainer

    whole, plain = start(tmp_path / "whole"), make_trainer(tmp_path / "plain", generator="copy")
    whole.run()
    plain.run()
    interrupted = start(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(Stop(2, 6))
    again = start(tmp_path / "parts")
    again.resume()
    again.run()
    for name in ("best.safetensors", "last.safetensors"):
        first, second = (tmp_path / n / name for n in ("whole", "parts"))
        tensors, wanted = read_tensors(second), read_tensors(first)
        assert all(torch.equal(tensors[k], wanted[k]) for k in wanted)
    assert again.history[-1].losses == whole.history[-1].losses != plain.history[-1].losses
