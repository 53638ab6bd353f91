"""The average of the weights: its formula, where it is used, and how a training goes on with it."""

import pytest
import torch
from trainings import make_trainer

from mien.training.checkpoints.checkpoint import read_tensors, split_states
from mien.training.optimizer import WeightAverage
from mien.training.settings import TrainConfig


def test_the_average_is_that_of_its_formula() -> None:
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(requires_grad=False)
    average = WeightAverage(layer, 0.5)
    expected, weights = layer.weight.detach().clone(), []
    for step in range(1, 12):
        with torch.no_grad():
            layer.weight.add_(float(step))
            layer.bias.add_(1.0)
        average.update()
        weights.append(layer.weight.detach().clone())
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights[-1]
    last_bias = layer.bias.clone()
    with average.applied():
        torch.testing.assert_close(layer.weight, expected)
        assert torch.equal(layer.bias, last_bias)
    assert torch.equal(layer.weight, weights[-1])


def test_weights_return_when_what_is_done_with_the_average_fails() -> None:
    layer = torch.nn.Linear(2, 1)
    average = WeightAverage(layer, 0.9)
    with torch.no_grad():
        layer.weight.add_(1.0)
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="stop"), average.applied():
        raise ValueError("stop")
    assert torch.equal(layer.weight, before)


def test_validation_and_the_best_checkpoint_have_the_average(tmp_path) -> None:
    trainer = make_trainer(tmp_path, epochs=1, ema_decay=0.9)
    trainer.run()
    last, best = (read_tensors(tmp_path / f"{name}.safetensors") for name in ("last", "best"))
    average = split_states(last, "average")
    raw, kept = split_states(last, "model"), split_states(best, "model")
    trained = set(average) - {"num_steps"}
    assert trained == {name for name, _ in trainer.model.named_parameters()}
    for name in trained:
        assert torch.equal(kept[name], average[name])
    assert any(not torch.equal(raw[name], kept[name]) for name in trained)
    valid = trainer.history[0].valid
    assert trainer.validate(1) == valid
    trainer.load_best()
    trainer.average = None
    assert trainer.validate(1) == valid


def test_the_average_does_not_change_how_the_weights_are_trained(tmp_path) -> None:
    plain, averaged = (
        make_trainer(tmp_path / str(decay), epochs=2, ema_decay=decay) for decay in (0.0, 0.9)
    )
    plain.run()
    averaged.run()
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(averaged.model.state_dict()[name], tensor)


def test_a_training_goes_on_with_its_average(tmp_path) -> None:
    at_once = make_trainer(tmp_path / "once", epochs=3, ema_decay=0.9)
    at_once.run()
    begun = make_trainer(tmp_path / "twice", epochs=1, ema_decay=0.9)
    begun.run()
    later = make_trainer(tmp_path / "twice", epochs=3, ema_decay=0.9)
    later.resume()
    later.run()
    best = [(tmp_path / where / "best.safetensors").read_bytes() for where in ("once", "twice")]
    assert best[0] == best[1]
    one, other = (read_tensors(tmp_path / w / "last.safetensors") for w in ("once", "twice"))
    assert all(torch.equal(other[key], tensor) for key, tensor in one.items())


def test_rates_rise_over_the_share_of_steps_that_is_set(tmp_path) -> None:
    """14 clips in steps of 6 are 3 steps an epoch."""

    def rates(**options: object) -> list[float]:
        name = "-".join(map(str, options.values()))
        trainer = make_trainer(tmp_path / name, schedule="linear", epochs=3, **options)
        seen, step = [], trainer.optimizer.step

        def record() -> None:
            seen.append(trainer.optimizer.param_groups[0]["lr"])
            step()

        trainer.optimizer.step = record
        trainer.run()
        return seen

    half = rates(warmup=0.5)
    assert half == pytest.approx([1e-2 * n / 5 for n in (1, 2, 3, 4, 5, 4, 3, 2, 1)])
    assert rates(warmup=0.0) == pytest.approx([1e-2 * (10 - n) / 10 for n in range(1, 10)])
    assert TrainConfig().warmup == 0.1
