import json
import math

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
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mien.tensors
import mien.training.loop
import mien.training.trainer
from mien.data.dataset import batches
from mien.errors import CheckpointError, TrainingError
from mien.pretrained.text_encoder import TokenEncoder
from mien.tensors import has_float64, move_to, precise
from mien.training.checkpoints.checkpoint import read_header, read_tensors
from mien.training.loop import (
    TrainConfig,
    make_accelerator,
    make_optimizer,
    norms_of,
    parameter_groups,
)
from mien.training.objective import MultitaskObjective
from mien.training.trainer import Trainer
from mien.types import Modality, Task

STATES = dict(zip(Task, (12, 8, 8, 8), strict=True))
RATES = {"text": 1e-2, "audio": 1e-2, "video": 1e-2, "rest": 1e-2, "labels": 1e-2}


def make_clips(seed, num_clips, *, missing=False):
    random = np.random.default_rng(seed)
    arrays = {
        m: [
            random.normal(
                size=(0 if missing and m is AUDIO and i % 3 == 0 else 1 + i % 4, SIZES[m])
            ).astype(np.float32)
            for i in range(num_clips)
        ]
        for m in Modality
    }
    return make_split(make_annotation(seed, num_clips).tolist(), arrays)


def make_trainer(folder, *, generator="ulag", seed=1, missing=False, model=None, **options):
    train = make_clips(1, 14, missing=missing)
    config = TrainConfig(
        **{"epochs": 3, "batch_size": 3, "accumulate": 2, "device": "cpu",
           "learning_rate": RATES, **options}
    )  # fmt: skip
    annotated = train.labels[Task.FUSION]
    labels = make_generator(generator, annotated, sizes=STATES, seed=seed)
    folder.mkdir(exist_ok=True)
    return Trainer(
        model=model or make_model(seed=seed),
        objective=MultitaskObjective(labels),
        train=train,
        valid=make_clips(2, 7, missing=missing),
        family="mosi",
        config=config,
        seed=seed,
        folder=folder,
        header={"corpus": "tiny"},
    )


class Steps:
    """Record the gradient of every optimizer step, or what is told to a listener."""

    def __init__(self, trainer):
        self.gradients, self.told = [], []
        trainer.optimizer.register_step_pre_hook(self.record)
        self.parameters = [p for g in trainer.optimizer.param_groups for p in g["params"]]

    def record(self, *_):
        self.gradients.append(
            [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.parameters]
        )

    def on_step(self, epoch, done, total):
        self.told.append((epoch, done, total))

    def on_evidence(self, epoch, done, total):
        pass

    def on_epoch(self, record, config):
        self.told.append((record, config))


# --- groups ---------------------------------------------------------------------------------------


def test_every_parameter_is_in_one_group_with_its_rate_and_decay():
    decays = {"text": 0.5, "audio": 0.1, "video": 0.2, "rest": 0.3, "labels": 0.4}
    rates = {"text": 1.0, "audio": 2.0, "video": 3.0, "rest": 4.0, "labels": 5.0}
    encoder = torch.nn.Sequential()
    encoder.add_module("LayerNorm", torch.nn.LayerNorm(6))
    encoder.add_module("dense", torch.nn.Linear(6, 6))
    model = make_model(text_encoder=encoder)
    objective = MultitaskObjective(make_generator("ulag", torch.ones(3), sizes=STATES))
    config = TrainConfig(learning_rate=rates, weight_decay=decays)
    groups = make_optimizer(model, objective, config).param_groups
    where = {id(p): g for g in groups for p in g["params"]}
    named = [*model.named_parameters(), *objective.named_parameters()]
    assert sum(len(g["params"]) for g in groups) == len(named) == len(where)
    for name, parameter in named:
        kind = {"text_encoder": "text", "labels": "labels"}.get(name.split(".")[0], "rest")
        if name.startswith("encoders."):
            kind = name.split(".")[1]
        is_bare = kind == "text" and (name.endswith("bias") or "LayerNorm" in name)
        group = where[id(parameter)]
        assert group["lr"] == rates[kind]
        assert group["weight_decay"] == (0.0 if is_bare else decays[kind])


def make_encoders():
    """Tiny encoders of several families, with random weights."""
    from transformers import (
        BertConfig,
        BertModel,
        ModernBertConfig,
        ModernBertModel,
        MPNetConfig,
        MPNetModel,
    )

    sizes = {"vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes["intermediate_size"] = 8
    modern = ModernBertConfig(**sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                              cls_token_id=1, sep_token_id=2)  # fmt: skip
    return {
        "bert": BertModel(BertConfig(**sizes), add_pooling_layer=False),
        "mpnet": MPNetModel(MPNetConfig(**sizes), add_pooling_layer=False),
        "modernbert": ModernBertModel(modern),
    }


@pytest.mark.parametrize("name", ["bert", "mpnet", "modernbert"])
def test_norms_have_no_weight_decay_whatever_an_encoder_calls_them(name):
    """Those of ModernBERT (attn_norm, final_norm) had: names were looked at, not types."""
    encoder = make_encoders()[name]
    model = make_model(sizes={**SIZES, TEXT: 8}, text_encoder=TokenEncoder(encoder))
    objective = MultitaskObjective(make_generator("copy", torch.ones(3), sizes=STATES))
    config = TrainConfig(weight_decay={"text": 0.5})
    groups = {g["name"]: g for g in make_optimizer(model, objective, config).param_groups}
    bare = {id(p) for p in groups["text-bare"]["params"]}
    assert groups["text-bare"]["weight_decay"] == 0
    assert groups["text"]["weight_decay"] == 0.5
    named = dict(model.text_encoder.named_parameters())
    norms = {key for key, p in named.items() if "norm" in key.lower() and p.ndim == 1}
    expected = norms | {key for key in named if key.endswith("bias")}
    assert {key for key, p in named.items() if id(p) in bare} == expected
    assert len(norms) >= 4
    assert all(p.ndim >= 2 for p in groups["text"]["params"])


def test_norms_of_every_kind_are_known():
    class OddRMSNorm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

    kinds = [torch.nn.LayerNorm(2), torch.nn.RMSNorm(2), torch.nn.GroupNorm(1, 2),
             torch.nn.BatchNorm1d(2), OddRMSNorm()]  # fmt: skip
    found = norms_of(torch.nn.Sequential(*kinds, torch.nn.Linear(2, 2)))
    assert found == {id(p) for kind in kinds for p in kind.parameters()}


def test_a_parameter_in_two_groups_is_a_programmers_error():
    one = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=r"parameter 'b' is in more than one group"):
        parameter_groups({"rest": [("a", one)], "audio": [("b", one)]}, TrainConfig())


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimizer_is_the_one_that_is_named(tmp_path, name, kind):
    assert type(make_trainer(tmp_path, optimizer=name).optimizer) is kind


# --- steps ----------------------------------------------------------------------------------------


def first_gradients(folder, batch_size, accumulate, order, **options):
    trainer = make_trainer(folder, batch_size=batch_size, accumulate=accumulate, **options)
    steps = Steps(trainer)
    trainer.run_order(order, 1)
    return steps.gradients


SPLITS_OF_6 = [(6, 1), (3, 2), (2, 3), (1, 6), (4, 2), (5, 2)]


@pytest.mark.parametrize("split", SPLITS_OF_6[1:4], ids=str)
@pytest.mark.parametrize("generator", ["ulag", "distance", "copy"])
def test_the_gradient_of_a_step_does_not_depend_on_how_it_is_cut_into_batches(
    tmp_path, generator, split
):
    """Steps of six clips; the first of them, before weights differ by rounding."""
    order = np.random.default_rng(1).permutation(14)
    whole = first_gradients(tmp_path / "a", 6, 1, order, generator=generator, missing=True)
    parts = first_gradients(tmp_path / "b", *split, order, generator=generator, missing=True)
    assert len(whole) == len(parts) == 3
    torch.testing.assert_close(parts[0], whole[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("split", SPLITS_OF_6[4:], ids=str)
def test_the_clips_left_at_the_end_of_an_epoch_are_stepped_on_with_their_mean(tmp_path, split):
    """Six clips do not fill a window of 8 or 10; the mean over them is that of one batch of 6."""
    order = np.arange(6)
    whole = first_gradients(tmp_path / "a", 6, 1, order, generator="copy")
    parts = first_gradients(tmp_path / "b", *split, order, generator="copy")
    assert len(whole) == len(parts) == 1
    torch.testing.assert_close(parts[0], whole[0], rtol=1e-4, atol=1e-6)


def own_gradients(trainer, batches_of_step, epoch):
    """Gradients of the generator's parameters, summed over batches as a step sums them."""
    num_clips = sum(len(index) for index in batches_of_step)
    trainer.optimizer.zero_grad()
    for index in batches_of_step:
        trainer._step(index, epoch, len(index) / num_clips)
    return [p.grad.clone() for p in trainer.objective.labels.parameters()]


def judged_gradients(folder, index, *, missing):
    trainer = make_trainer(folder, missing=missing)
    trainer.run_order(np.arange(14), 1)
    trainer.objective.finish_epoch(1)
    return own_gradients(trainer, index, 2)


CUT = [np.arange(14)], [np.arange(3), np.arange(3, 14)]


@pytest.mark.parametrize("missing", [False, True], ids=["all present", "some missing"])
def test_the_gradient_of_the_generator_does_not_depend_on_how_a_step_is_cut(tmp_path, missing):
    whole, parts = (
        judged_gradients(tmp_path / name, index, missing=missing)
        for name, index in zip("ab", CUT, strict=True)
    )
    assert any(g.any() for g in whole)
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-6)


@given(batch_size=st.integers(1, 5), accumulate=st.integers(1, 4))
@settings(max_examples=8)
def test_an_epoch_takes_one_step_per_window_the_last_one_included(
    tmp_path_factory, batch_size, accumulate
):
    trainer = make_trainer(
        tmp_path_factory.mktemp("t"), generator="copy", batch_size=batch_size, accumulate=accumulate
    )
    steps = Steps(trainer)
    trainer.run_order(np.arange(14), 1, steps.on_step)
    assert len(steps.gradients) == math.ceil(14 / (batch_size * accumulate))
    done = [told[1] for told in steps.told]
    assert done == sorted(set(done))
    assert done[-1] == 14
    assert {told[2] for told in steps.told} == {14}


def test_the_rest_of_an_epoch_is_dropped_where_the_settings_say_so(tmp_path):
    order = np.arange(14)  # 3 + 3 | 3 + 3 | 2
    dropped = first_gradients(tmp_path, 3, 2, order, leftover="drop", generator="copy")
    assert len(dropped) == 2


def test_a_sum_of_batches_is_as_many_times_the_mean(tmp_path):
    order = np.arange(6)
    options = {"generator": "copy", "group_lengths": False}
    mean = first_gradients(tmp_path / "a", 2, 3, order, **options)[0]
    total = first_gradients(tmp_path / "b", 2, 3, order, gradient="sum", **options)[0]
    torch.testing.assert_close(total, [3 * g for g in mean], rtol=1e-4, atol=1e-6)


def test_grouping_by_length_changes_no_gradient(tmp_path):
    order = np.random.default_rng(3).permutation(14)
    first, second = (
        first_gradients(tmp_path / str(is_grouped), 2, 4, order, group_lengths=is_grouped)[0]
        for is_grouped in (True, False)
    )
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


def test_gradients_of_a_step_do_not_leak_into_the_next(tmp_path):
    """With rates of 0 the weights stay, so the same window gives the same gradient twice."""
    still = dict.fromkeys(RATES, 0.0)
    trainer = make_trainer(tmp_path, generator="copy", learning_rate=still)
    steps = Steps(trainer)
    for _ in range(2):
        trainer.run_order(np.arange(6), 1)
    torch.testing.assert_close(steps.gradients[0], steps.gradients[1], rtol=0, atol=0)


def test_long_gradients_are_cut_where_the_settings_say_so(tmp_path):
    for number, (limit, is_cut) in enumerate(((1e-3, True), (1e6, False), (0.0, False))):
        trainer = make_trainer(tmp_path / str(number), generator="copy", clip_norm=limit)
        steps = Steps(trainer)
        trainer.run_order(np.arange(14), 1)
        norm = torch.cat([g.flatten() for g in steps.gradients[0]]).norm()
        assert (norm <= 1.001e-3) == is_cut


def test_the_losses_of_an_epoch_are_means_over_its_clips(tmp_path):
    still = dict.fromkeys(RATES, 0.0)
    losses = [
        make_trainer(
            tmp_path / str(n), generator="copy", learning_rate=still, batch_size=n
        ).run_order(np.arange(14), 1)
        for n in (1, 5, 14)
    ]
    for task in Task:
        assert losses[0][task] == pytest.approx(losses[1][task], abs=1e-5)
        assert losses[0][task] == pytest.approx(losses[2][task], abs=1e-5)


def test_every_parameter_that_is_trained_moves(tmp_path):
    trainer = make_trainer(tmp_path, missing=True, epochs=4)
    modules = {"model": trainer.model, "objective": trainer.objective}
    before = {
        (n, k): p.clone() for n, module in modules.items() for k, p in module.named_parameters()
    }
    trainer.run()
    still = [
        key
        for key, old in before.items()
        if torch.equal(old, dict(modules[key[0]].named_parameters())[key[1]])
    ]
    # text and video are missing from no clip, so nothing has to stand in for them
    assert still == [("model", "absent.text.vector"), ("model", "absent.video.vector")]


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

    def __init__(self, dataset, tell):
        self.dataset, self.tell = dataset, tell
        self.costs, self.labels = dataset.costs, dataset.labels

    def __len__(self):
        return len(self.dataset)

    def batch(self, index):
        self.tell(index)
        return self.dataset.batch(index)


def test_validation_sees_every_clip_once_and_changes_nothing(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.run_order(np.arange(14), 1)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    labels = {k: v.clone() for k, v in trainer.objective.state_dict().items()}
    first, second = trainer._validate(1), trainer._validate(1)
    assert first == second
    assert trainer.model.training
    assert all(torch.equal(before[k], v) for k, v in trainer.model.state_dict().items())
    assert all(torch.equal(labels[k], v) for k, v in trainer.objective.state_dict().items())


def test_validation_is_a_metric_over_the_split_not_a_mean_over_batches(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path)
    whole = trainer._validate(1)
    monkeypatch.setattr("mien.evaluation.scoring._BATCH_SIZE", 2)
    for name, value in trainer._validate(1).items():
        assert value == pytest.approx(whole[name], abs=1e-5)
    scores = torch.cat(
        [trainer.model.eval()(b).scores[Task.FUSION] for b, _ in batches(trainer.valid, 7)]
    )
    targets = torch.cat([t.labels[Task.FUSION] for _, t in batches(trainer.valid, 7)])
    assert whole["mae"] == pytest.approx((scores - targets).abs().mean().item(), abs=1e-6)


def script_validation(trainer, values, monitor="mae"):
    """Let validation give these values, epoch by epoch."""
    plain = trainer._validate

    def scripted(epoch):
        return {**plain(epoch), monitor: values[epoch - 1]}

    trainer._validate = scripted


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
    assert best.keys() == kept[2].keys()
    assert all(torch.equal(best[k], kept[2][k]) for k in best)
    assert any(not torch.equal(best[k], kept[3][k]) for k in best)
    trainer.load_best()
    assert all(torch.equal(v, best[f"model/{k}"]) for k, v in trainer.model.state_dict().items())


def test_every_epoch_leaves_a_line_and_the_labels_that_were_trained_on(tmp_path):
    trainer = make_trainer(tmp_path, generator="ulag", epochs=3)
    listener = Steps(trainer)
    trainer.run(listener)
    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [set(line) for line in lines] == [
        {"epoch", "losses", "valid", "clipped", "is_best", "seconds"}
    ] * 3
    assert lines[0]["clipped"] == 0
    assert 0 < lines[1]["clipped"] < 1
    assert set(lines[0]["losses"]) == set(Task)
    records = [told[0] for told in listener.told if len(told) == 2]
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


class Stop:
    """Interrupt a training after an epoch, or inside one after some clips."""

    def __init__(self, epoch, done=None):
        self.epoch, self.done = epoch, done

    def on_step(self, epoch, done, total):
        assert done <= total
        if (epoch, done) == (self.epoch, self.done):
            raise KeyboardInterrupt

    def on_evidence(self, epoch, done, total):
        pass

    def on_epoch(self, record, config):
        assert config.epochs
        if self.done is None and record.epoch == self.epoch:
            raise KeyboardInterrupt


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
        trainer._validate(4)


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


# --- float64 ------------------------------------------------------------------------------------


class RefuseFloat64(TorchDispatchMode):
    """Fail wherever a tensor of float64 is made or used, as a device of Apple does."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in tree_leaves((args, kwargs, result)):
            if isinstance(one, torch.Tensor) and one.dtype == torch.float64:
                raise AssertionError(f"{function} met float64 among {types}")
        return result


@pytest.mark.parametrize("generator", ["ulag", "distance", "latent", "copy"])
def test_a_device_without_float64_trains_in_float32(tmp_path, monkeypatch, generator, caplog):
    """MPS has none, and moving the class centres there was an error. Simulated on the CPU."""
    options = {"generator": generator, "missing": True, "epochs": 2}
    usual = make_trainer(tmp_path / "a", **options)
    usual.run()
    monkeypatch.setattr(mien.tensors, "has_float64", lambda _: False)
    with caplog.at_level("INFO"):
        trainer = make_trainer(tmp_path / "b", **options)
    has_centres = generator in ("ulag", "distance")
    assert ("has no float64" in caplog.text) == has_centres
    run_order = trainer.run_order

    def refusing(*args):
        with RefuseFloat64():
            return run_order(*args)

    monkeypatch.setattr(trainer, "run_order", refusing)
    trainer.run()
    states = [{**t.model.state_dict(), **t.objective.state_dict()} for t in (usual, trainer)]
    assert all(one.dtype != torch.float64 for one in states[1].values())
    for key, one in states[0].items():
        torch.testing.assert_close(states[1][key].to(one), one, rtol=1e-3, atol=1e-4, msg=key)
    again = make_trainer(tmp_path / "b", **options)
    again.resume()
    assert len(again.history) == 2


def test_float64_stays_where_the_device_has_it():
    one = torch.nn.Module()
    one.register_buffer("sums", torch.zeros(2, dtype=torch.float64))
    assert not move_to(one, torch.device("cpu"))
    assert one.sums.dtype == precise(torch.ones(2)).dtype == torch.float64
    assert [has_float64(torch.device(d)) for d in ("cpu", "cuda", "mps")] == [True, True, False]


# --- where ----------------------------------------------------------------------------------------


def test_a_device_that_is_not_here_is_an_error():
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(TrainingError, match=rf"train\.device is '{missing}', which is not here"):
        make_accelerator(TrainConfig(device=missing))


def test_several_processes_are_refused(monkeypatch):
    class Several:
        num_processes = 2

    monkeypatch.setattr(mien.training.loop, "Accelerator", lambda **_: Several())
    with pytest.raises(TrainingError, match=r"2 processes train together"):
        make_accelerator(TrainConfig(device="cpu"))


def test_one_process_can_train_in_one_precision_after_another(monkeypatch):
    """A second run of a notebook was refused, or kept the device of the first."""
    monkeypatch.setattr(mien.training.loop, "has_bf16", lambda _: True)
    kinds = [make_accelerator(TrainConfig(device="cpu", precision=p)).mixed_precision
             for p in ("float32", "bf16", "float32")]  # fmt: skip
    assert kinds == ["no", "bf16", "no"]


def test_a_processor_without_bf16_is_said_to_be_one(monkeypatch):
    """A training ended with a complaint of oneDNN about a primitive descriptor."""
    monkeypatch.setattr(mien.training.loop, "has_bf16", lambda _: False)
    with pytest.raises(TrainingError, match=r"cannot run an LSTM; say train\.precision=float32"):
        make_accelerator(TrainConfig(device="cpu", precision="bf16"))


@pytest.mark.skipif(
    not mien.training.loop.has_bf16(TrainConfig(device="cpu")),
    reason="this processor has no LSTM in bf16",
)
def test_a_training_in_lower_precision_keeps_its_labels_in_full(tmp_path):
    trainer = make_trainer(tmp_path, precision="bf16", epochs=2)
    trainer.run()
    assert trainer.objective.labels.bank(TEXT).dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert math.isfinite(trainer.history[-1].valid["mae"])


def test_a_bank_lives_for_every_modality(tmp_path):
    labels = make_trainer(tmp_path).objective.labels
    assert {len(labels.bank(m)) for m in (TEXT, AUDIO, VIDEO)} == {14}
    assert set(STATE_SIZES) == set(labels.state_sizes)
