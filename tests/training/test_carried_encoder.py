"""What a text encoder has learned reaches the same layers, however they are trained next."""

import logging

import pytest
import torch
from helpers import make_config, write_tiny_bert, write_tiny_store
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.pretrained.text_encoder import (
    GivenStates,
    StackedEncoder,
    TokenEncoder,
    load_adapted,
    load_backbone,
    load_bottom,
    load_top,
)
from mien.tensors import PaddedSeries
from mien.training.checkpoints.carried_encoder import carry_encoder
from mien.training.experiment import train
from mien.training.loading import load_model, read_start, take_over

LAYERS = 3
HEAD = "heads.text.enter.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An encoder of three layers, with weights of chance; do not alter."""
    folder = tmp_path_factory.mktemp("encoders") / "three"
    return write_tiny_bert(folder, num_layers=LAYERS)


def build(source, mode: str, rank: int = 2) -> nn.Module:
    """Return what is trained of an encoder in a mode."""
    kind, _, number = mode.partition("-")
    layers = int(number) if number else None
    if kind == "lora":
        return load_adapted(source, rank, layers)
    if kind == "last":
        return load_top(source, layers)
    return TokenEncoder(load_backbone(source)) if kind == "finetune" else GivenStates()


def learn(encoder: nn.Module) -> None:
    drawn = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in encoder.parameters():
            if weight.requires_grad:
                weight += torch.randn(weight.shape, generator=drawn) * 0.1


def read(source, mode: str, trained: nn.Module) -> Tensor:
    """Return the states of two texts, through all layers."""
    number = mode.partition("-")[2]
    if number:
        trained = StackedEncoder(load_bottom(source, LAYERS - int(number)), trained)
    ids = torch.tensor([[2, 9, 12, 30, 3], [2, 40, 3, 0, 0]]).unsqueeze(-1)
    mask = ids[:, :, 0] > 0
    with torch.no_grad():
        return trained.eval()(PaddedSeries(ids, mask))[mask]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("lora-1", "lora-1"), ("lora-1", "lora-2"), ("lora-2", "lora"), ("lora", "lora"),
        ("lora-1", "last-1"), ("lora-1", "last-2"), ("lora-2", "finetune"), ("lora", "finetune"),
        ("last-1", "last-1"), ("last-1", "last-2"), ("finetune", "finetune"),
    ],
)  # fmt: skip
def test_the_encoder_reads_as_it_did_after_its_training(source, then, now):
    before, after = build(source, then), build(source, now)
    learn(before)
    untrained = read(source, now, after)
    carried = carry_encoder(after, before.state_dict())
    after.load_state_dict({**after.state_dict(), **carried})
    wanted = read(source, then, before)
    assert not torch.allclose(untrained, wanted, atol=0.05)
    torch.testing.assert_close(read(source, now, after), wanted, atol=1e-5, rtol=1e-5)


def test_adapters_fill_a_higher_rank_and_go_on_learning_in_all_of_it(source):
    before, after = build(source, "lora", rank=2), build(source, "lora", rank=5)
    learn(before)
    carried = carry_encoder(after, before.state_dict())
    after.load_state_dict(carried)
    torch.testing.assert_close(read(source, "lora", after), read(source, "lora", before))
    down = after.get_parameter("adapters.0-output-dense.down")
    assert (down.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        ("lora-2", "lora-1", "2 layers of the encoder were trained, here 1 are"),
        ("last-2", "lora", "the last layers were trained, which are not trained by themselves"),
        ("last-2", "finetune", "the last layers were trained, which are not trained by themselves"),
        ("finetune", "lora", "all of the encoder was trained, of which a part is trained here"),
        ("finetune", "last-1", "all of the encoder was trained, of which a part is trained here"),
        ("lora", "frozen", "none of the encoder is trained here"),
    ],
)
def test_what_has_no_place_is_refused_with_the_reason(source, then, now, why):
    before, after = build(source, then), build(source, now)
    with pytest.raises(ConfigError, match=why):
        carry_encoder(after, before.state_dict())


def test_adapters_of_a_higher_rank_have_no_place_in_a_lower_one(source):
    before, after = build(source, "lora", rank=3), build(source, "lora", rank=2)
    with pytest.raises(ConfigError, match="adapters of rank 3 were trained, here they have 2"):
        carry_encoder(after, before.state_dict())


@pytest.fixture(scope="module")
def adapted(source, tmp_path_factory):
    """A run that trained adapters of the last layer, on other videos; do not alter."""
    folder = tmp_path_factory.mktemp("adapted")
    store = write_tiny_store(folder / "store", seed=5, video_prefix="w")
    return train(_settings(source, "lora-1"), store, folder / "run")


def _settings(source, mode):
    text = {"input": "transcript", "name": str(source), "mode": mode, "rank": 2}
    rates = dict.fromkeys(("text", "audio", "video", "rest", "labels"), 0.0)
    rates |= {"text": 0.5} if mode == "lora-1" else {}
    rest = {"learning_rate": rates, "weight_decay": dict.fromkeys(rates, 0.0)}
    return make_config(text_encoder=text, train={"epochs": 1, **rest})


def test_a_training_of_more_layers_begins_with_the_adapters_in_their_places(
    source, adapted, tiny_store, tmp_path
):
    run = train(_settings(source, "lora"), tiny_store, tmp_path / "run", init=adapted)
    before, _ = load_model(adapted.path, tiny_store)
    after, _ = load_model(run.path, tiny_store)
    wanted = before.text_encoder.get_parameter("adapters.0-output-dense.up")
    assert wanted.abs().max() > 0
    found = after.text_encoder.get_parameter("adapters.2-output-dense.up")
    torch.testing.assert_close(found, wanted)
    assert not after.text_encoder.get_parameter("adapters.0-output-dense.up").any()


def test_an_encoder_that_cannot_be_taken_over_is_named_and_the_rest_is(
    source, adapted, tiny_store, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        run = train(_settings(source, "frozen"), tiny_store, tmp_path / "run", init=adapted)
    assert "is not taken over (none of the encoder is trained here)" in caplog.text
    before, _ = load_model(adapted.path, tiny_store)
    after, _ = load_model(run.path, tiny_store)
    torch.testing.assert_close(after.state_dict()[HEAD], before.state_dict()[HEAD])


def test_an_encoder_with_other_weights_takes_nothing_over(adapted, source, tiny_store, caplog):
    model, _ = load_model(adapted.path, tiny_store)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    start = read_start(adapted.path, tiny_store, _settings(source, "lora-1"))
    with caplog.at_level(logging.WARNING):
        take_over(model, start, "0" * 64)
    assert "it is another encoder, or has other weights" in caplog.text
    assert not any(weight.any() for weight in model.text_encoder.parameters())
    torch.testing.assert_close(model.state_dict()[HEAD], start.tensors[HEAD])
