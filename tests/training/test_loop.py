import math

import numpy as np
import pytest
import torch
from cases import examples
from helpers import TEXT, make_config, make_model
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from trainings import RATES, Steps, make_trainer

import mien.tensors
from mien.errors import ConfigError, DivergenceError
from mien.tensors import has_float64, move_to, precise
from mien.training.experiment import train
from mien.training.loop import check_steps
from mien.training.optimizer import has_bf16
from mien.training.settings import TrainConfig
from mien.types import Task


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
        trainer.add_gradient(trainer.read(index), epoch, len(index) / num_clips)
    return [p.grad.clone() for p in trainer.objective.labels.parameters()]


def generator_gradients(folder, index, *, missing):
    trainer = make_trainer(folder, missing=missing)
    trainer.run_order(np.arange(14), 1)
    trainer.objective.finish_epoch(1)
    return own_gradients(trainer, index, 2)


CUT = [np.arange(14)], [np.arange(3), np.arange(3, 14)]


@pytest.mark.parametrize("missing", [False, True], ids=["all present", "some missing"])
def test_the_gradient_of_the_generator_does_not_depend_on_how_a_step_is_cut(tmp_path, missing):
    whole, parts = (
        generator_gradients(tmp_path / name, index, missing=missing)
        for name, index in zip("ab", CUT, strict=True)
    )
    assert any(g.any() for g in whole)
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-6)


@given(batch_size=st.integers(1, 5), accumulate=st.integers(1, 4))
@examples(8)
def test_an_epoch_takes_one_step_per_window_the_last_one_included(
    tmp_path_factory, batch_size, accumulate
):
    trainer = make_trainer(
        tmp_path_factory.mktemp("t"), generator="copy", batch_size=batch_size, accumulate=accumulate
    )
    steps = Steps(trainer)
    trainer.run_order(np.arange(14), 1, steps.on_step)
    assert len(steps.gradients) == math.ceil(14 / (batch_size * accumulate))
    done = [step[1] for step in steps.progress]
    assert done == sorted(set(done))
    assert done[-1] == 14
    assert {step[2] for step in steps.progress} == {14}


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


def test_steps_that_no_epoch_fills_are_refused_before_a_folder_is_made(tiny_store, tmp_path):
    """Such a training ended without having learned anything, and did not say so."""
    config = make_config(train={"leftover": "drop", "batch_size": 4, "accumulate": 6})
    with pytest.raises(
        ConfigError,
        match=r"train\.leftover is 'drop', but 20 clips of train make 5 batches and a step takes 6",
    ):
        train(config, tiny_store, tmp_path / "r")
    assert not (tmp_path / "r").exists()
    check_steps(make_config(train={"leftover": "drop", "accumulate": 5}).train, 20)
    check_steps(make_config(train={"accumulate": 6}).train, 20)


class RefuseFloat64(TorchDispatchMode):
    """Fail wherever a tensor of float64 is made or used, as a device of Apple does."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in tree_leaves((args, kwargs, result)):
            if isinstance(one, torch.Tensor) and one.dtype == torch.float64:
                raise AssertionError(f"{function} met float64 among {types}")
        return result


@pytest.mark.parametrize("generator", ["ulag", "distance", "latent", "posterior", "copy"])
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


class CountReads(TorchDispatchMode):
    """Count how often a number of a tensor is read, for which a GPU would have to be waited for."""

    def __init__(self):
        super().__init__()
        self.num_reads = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.num_reads += str(function) == "aten._local_scalar_dense.default"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "generator", ["copy", "latent", "posterior", "distance", "ulag", "ulag_released"]
)
def test_on_a_gpu_no_number_is_read_batch_by_batch(tmp_path, generator):
    """Simulated on the CPU, where losses are read as they come."""
    usual, trainer = (make_trainer(tmp_path / n, generator=generator) for n in "ab")
    assert usual.reads_every_loss
    trainer.reads_every_loss = False
    for epoch in (1, 2):
        with CountReads() as counted:
            losses = trainer.run_order(np.arange(14), epoch)
        assert counted.num_reads <= 2 + len(losses) < 5 * len(losses)
        assert losses == usual.run_order(np.arange(14), epoch)
        for each in (usual, trainer):
            each.objective.finish_epoch(epoch)


def test_a_loss_that_is_read_at_the_end_of_an_epoch_is_a_divergence_too(tmp_path):
    trainer = make_trainer(tmp_path, generator="copy", learning_rate={"rest": 1e30})
    trainer.reads_every_loss = False
    with pytest.raises(DivergenceError, match=r"diverged in epoch 1: the loss is (nan|inf)"):
        trainer.run_order(np.arange(14), 1)


def test_float64_stays_where_the_device_has_it():
    one = torch.nn.Module()
    one.register_buffer("sums", torch.zeros(2, dtype=torch.float64))
    assert not move_to(one, torch.device("cpu"))
    assert one.sums.dtype == precise(torch.ones(2)).dtype == torch.float64
    assert [has_float64(torch.device(d)) for d in ("cpu", "cuda", "mps")] == [True, True, False]


@pytest.mark.skipif(
    not has_bf16(TrainConfig(device="cpu")),
    reason="this processor has no LSTM in bf16",
)
def test_a_training_in_lower_precision_keeps_its_labels_in_full(tmp_path):
    trainer = make_trainer(tmp_path, precision="bf16", epochs=2)
    trainer.run()
    assert trainer.objective.labels.bank(TEXT).dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert math.isfinite(trainer.history[-1].valid["mae"])


def test_what_a_model_adds_to_the_loss_is_minimised(tmp_path):
    """MISA's reconstructions are in no score: nothing but a term of its own trains them."""
    model = make_model("misa")
    before = {name: p.clone() for name, p in model.recover.named_parameters()}
    make_trainer(tmp_path / "run", generator="copy", model=model, epochs=1).run()
    after = dict(model.recover.named_parameters())
    assert before
    assert not any(torch.equal(p, after[name]) for name, p in before.items())
    assert np.load(tmp_path / "run" / "labels" / "epoch-001.npy").shape == (0, 14)
