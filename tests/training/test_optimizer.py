import subprocess
import sys

import pytest
import torch
from helpers import SIZES, TEXT, make_config, make_generator, make_model
from trainings import RATES, STATES, make_trainer

import mien.training.optimizer.devices
from mien.errors import ConfigError, TrainingError
from mien.pretrained.adapters import AdaptedEncoder
from mien.pretrained.encoder_cut import cut_encoder
from mien.pretrained.text_encoder import TokenEncoder, TopLayers
from mien.tensors import find_device
from mien.training.experiment import train
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import make_accelerator, make_optimizer, norms_of, parameter_groups
from mien.training.optimizer.eager import EagerAdam, EagerAdamW
from mien.training.settings import TrainConfig

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


def make_text_encoder(name):
    """A tiny encoder of two layers: all of it, its last two layers, or adapters at them."""
    encoder = make_encoders()["mpnet"]
    if name == "all":
        return TokenEncoder(encoder)
    top = TopLayers(cut_encoder(encoder, 0))
    return top if name == "top" else AdaptedEncoder(top, top.layers, rank=2)


@pytest.mark.parametrize("name", ["all", "top", "adapters"])
def test_rates_fall_from_layer_to_layer(name):
    model = make_model(sizes={**SIZES, TEXT: 8}, text_encoder=make_text_encoder(name))
    objective = MultitaskObjective(make_generator("copy", torch.ones(3), sizes=STATES))
    config = TrainConfig(layer_decay=0.5, learning_rate=RATES | {"text": 1.0})
    groups = make_optimizer(model, objective, config).param_groups
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    for key, parameter in model.text_encoder.named_parameters():
        place = key.replace("adapters.", "layer.").replace("layers.", "layer.")
        layer = place.partition("layer.")[2][:1]
        assert rates[id(parameter)] == {"": 0.25, "0": 0.5, "1": 1.0}[layer], key
    others = {id(p) for n, p in model.named_parameters() if not n.startswith("text_encoder.")}
    assert {rates[number] for number in others} == {1e-2}


def test_rates_by_layer_are_refused_where_layers_are_not_known():
    model = make_model(text_encoder=torch.nn.Linear(6, 6))
    objective = MultitaskObjective(make_generator("copy", torch.ones(3), sizes=STATES))
    with pytest.raises(ConfigError, match=r"layer_decay: the layers of Linear are not known; use"):
        make_optimizer(model, objective, TrainConfig(layer_decay=0.9))


@pytest.mark.parametrize(("name", "kind"), [("adam", EagerAdam), ("adamw", EagerAdamW)])
def test_the_optimizer_is_the_one_that_is_named(tmp_path, name, kind):
    assert type(make_trainer(tmp_path, optimizer=name).optimizer) is kind


# --- where ----------------------------------------------------------------------------------------


def test_a_device_that_is_not_here_is_an_error():
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(TrainingError, match=rf"train\.device is '{missing}', which is not here"):
        make_accelerator(TrainConfig(device=missing))


def test_one_gpu_of_several_is_chosen_by_its_number(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    make_accelerator(TrainConfig(device="cuda:1"))
    assert taken == [torch.device("cuda:1")]
    assert find_device("auto", "device") == find_device("cuda", "device") == torch.device("cuda")
    with pytest.raises(
        TrainingError, match=r"^setting train\.device is 'cuda:2', which is not here; there are: "
        r"cpu, cuda, cuda:0, cuda:1$"
    ):  # fmt: skip
        make_accelerator(TrainConfig(device="cuda:2"))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cpu:0", "CUDA", ""])
def test_a_device_of_another_name_is_refused(device):
    with pytest.raises(ConfigError, match=r"must be auto, cpu, cuda, a GPU such as cuda:1, or mps"):
        TrainConfig(device=device)


def test_several_processes_take_a_gpu_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"but 2 processes train together, each on a GPU"):
        make_accelerator(TrainConfig(device="cuda:1"))


def test_one_process_can_train_in_one_precision_after_another(monkeypatch):
    """A second run of a notebook was refused, or kept the device of the first."""
    monkeypatch.setattr(mien.training.optimizer.devices, "has_bf16", lambda _: True)
    kinds = [make_accelerator(TrainConfig(device="cpu", precision=p)).mixed_precision
             for p in ("float32", "bf16", "float32")]  # fmt: skip
    assert kinds == ["no", "bf16", "no"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="TF32 is there")
def test_tf32_is_refused_where_there_is_no_cuda():
    with pytest.raises(TrainingError, match=r"'tf32', which CUDA alone has, and this is cpu; use"):
        make_accelerator(TrainConfig(device="cpu", precision="tf32"))


def test_on_cuda_the_precision_of_products_is_that_of_the_settings(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        for precision, kind in (("tf32", "high"), ("float32", "highest")):
            make_accelerator(TrainConfig(device="cuda", precision=precision))
            assert torch.get_float32_matmul_precision() == kind
            assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_a_processor_without_bf16_is_said_to_be_one(monkeypatch):
    """A training ended with a complaint of oneDNN about a primitive descriptor."""
    monkeypatch.setattr(mien.training.optimizer.devices, "has_bf16", lambda _: False)
    with pytest.raises(TrainingError, match=r"cannot run an LSTM; use train\.precision=float32"):
        make_accelerator(TrainConfig(device="cpu", precision="bf16"))


def test_a_device_that_is_not_here_is_refused_before_a_folder_is_made(tiny_store, tmp_path):
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(TrainingError, match=r"train\.device is .*, which is not here"):
        train(make_config(train={"device": missing}), tiny_store, tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("own", "of_torch"), [(EagerAdam, torch.optim.Adam), (EagerAdamW, torch.optim.AdamW)]
)
def test_optimizers_without_the_compiler_give_the_numbers_of_those_of_torch(own, of_torch):
    results = []
    for kind in (own, of_torch):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        optimizer = kind(layer.parameters(), lr=0.1, weight_decay=0.1, fused=True)
        for number in range(4):
            optimizer.zero_grad()
            layer(torch.ones(1, 3)).sin().sum().backward()
            optimizer.step()
            if number == 1:  # it goes on from its state
                state = optimizer.state_dict()
                optimizer = kind(layer.parameters(), lr=0.5, fused=True)
                optimizer.load_state_dict(state)
        results.append((layer.weight, optimizer.state_dict()["state"][0]["exp_avg_sq"]))
    assert all(torch.equal(mine, other) for mine, other in zip(*results, strict=True))


_WITHOUT = """
import sys, torch
from mien.training.optimizer.eager import EagerAdam
weight = torch.ones(2, requires_grad=True)
optimizer = EagerAdam([weight], fused=True)
weight.sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
print(sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


def test_a_step_does_not_import_the_compiler():
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
