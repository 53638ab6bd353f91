"""Every model of the package as ONNX: the numbers of prediction, whatever was traced."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import with_extended
from helpers import AUDIO, SIZES, TEXT, make_config, make_model, open_up, write_tiny_store

from mien.cli import main
from mien.models import MODELS
from mien.models.zoo.averaged.lf_dnn import LfDnn
from mien.prediction.network import load_network
from mien.prediction.onnx import CLOSE, OnnxNetwork, export_onnx, write_graph
from mien.training.experiment import train
from mien.types import Modality, Scale, Target, TargetKind

pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

#: Steps of text, audio and video of clips that are read together; 7, 11 and 13 are traced.
CLIPS = [
    [(1, 1, 1)],
    [(2, 19, 5)],
    [(30, 2, 24)],
    [(4, 7, 5), (9, 3, 1), (2, 2, 8), (1, 11, 13), (0, 3, 2), (3, 0, 4)],
    [(0, 4, 9), (0, 2, 3)],
    [(5, 0, 0)],
]
PUBLISHED = [
    (name, {"published": True})
    for name in MODELS
    if "published" in MODELS[name].config.model_fields
]
#: What else a model may be told that is computed in another way.
TOLD = [
    ("ef_lstm", {"num_layers": 2}),
    ("ef_lstm", {"published": True, "padded_steps": 30}),
    ("mfn", {"repeated_means": True}),
    ("mult", {"looks_ahead": True}),
    ("tfr_net", {"gate_layers": 2}),
    ("mmim", {"num_layers": 2}),
]


def name_case(value):
    return value if isinstance(value, str) else "-".join(map(str, value))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_tiny_store(tmp_path_factory.mktemp("stores") / "tiny")


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """A trained network, which tests give their own model; do not alter."""
    run = tmp_path_factory.mktemp("runs") / "r"
    train(make_config(train={"epochs": 1}), store, run)
    return load_network(run / "seed-1" / "best.safetensors")


def make_quick(**sections):
    return make_config(train={"epochs": 1}, labels={"generator": "copy"}, **sections)


def draw(seed, steps, sizes=SIZES):
    drawn = np.random.default_rng(seed)
    lengths = dict(zip(Modality, steps, strict=True))
    return {m: drawn.normal(size=(lengths[m], sizes[m])).astype(np.float32) for m in sizes}


def feed(clips):
    """Pad clips into the inputs of a file."""
    feeds = {}
    for m in clips[0]:
        longest = max(1, *(len(clip[m]) for clip in clips))
        values = np.zeros((len(clips), longest, clips[0][m].shape[1]), np.float32)
        for row, clip in enumerate(clips):
            values[row, : len(clip[m])] = clip[m]
        lengths = np.array([len(clip[m]) for clip in clips])
        feeds |= {str(m): values, f"{m}_mask": np.arange(longest) < lengths[:, None]}
    return feeds


def check(network, path):
    """Write a network, and compare its scores with those that prediction gives the same clips.

    Random weights give scores far beyond a scale; with one so wide none is cut.
    """
    network = replace(network, scale=Scale(-1e6, 1e6))
    write_graph(OnnxNetwork(network), path, {}, path.parent)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = [each.name for each in session.get_outputs()]
    apart, scores = [], []
    for seed, steps in enumerate(CLIPS):
        clips = [draw([seed, row], each, network.sizes) for row, each in enumerate(steps)]
        clips = [clip for clip in clips if any(len(values) for values in clip.values())]
        if not clips:
            continue
        found = dict(zip(outputs, session.run(outputs, feed(clips)), strict=True))
        for row, each in enumerate(network.score_clips(clips)):
            assert each.scores or each.targets
            for task, score in each.scores.items():
                apart.append(abs(found[f"score_{task}"][row] - score))
                scores.append(score)
            for number, of_target in enumerate(each.targets.values()):
                for task, values in of_target.items():
                    given = found[f"target_{number}_{task}"][row]
                    apart.append(np.abs(given - values).max())
                    scores += values.tolist()
    assert max(scores) > min(scores)
    assert max(apart) <= CLOSE * (max(scores) - min(scores))
    return outputs


@pytest.mark.parametrize(
    ("name", "settings"),
    with_extended([*((name, {}) for name in MODELS), *TOLD[1:3]], [*PUBLISHED, TOLD[0], *TOLD[3:]]),
    ids=name_case,
)
def test_every_model_has_the_scores_of_prediction(name, settings, trained, tmp_path):
    model = open_up(make_model(name, seed=3, **settings)).eval()
    config = trained.config.model_copy(update={"model": MODELS[name].config(**settings)})
    outputs = check(replace(trained, model=model, config=config), tmp_path / "m.onnx")
    assert [each for each in outputs if "score" in each] == [f"score_{t}" for t in model.tasks]


TARGETS = (
    Target(name="emotion", kind=TargetKind.CLASS, classes=("calm", "glad", "sad")),
    Target(name="valence", kind=TargetKind.SCORE, scale=Scale(-1, 1)),
)


@pytest.mark.parametrize(
    ("name", "has_sentiment"),
    with_extended(
        [("mfn", False), ("misa", True), ("ridge", False)],
        [(name, False) for name in MODELS if name not in ("mfn", "ridge")],
    ),
)
def test_further_targets_are_those_of_prediction(name, has_sentiment, trained, tmp_path):
    model = make_model(name, seed=3, targets=TARGETS, has_sentiment=has_sentiment)
    network = replace(trained, model=open_up(model).eval())
    outputs = check(network, tmp_path / "m.onnx")
    assert any(each.startswith("score_") for each in outputs) == has_sentiment
    assert {f"target_{i}_{t}" for i in (0, 1) for t in model.tasks} <= set(outputs)


@pytest.mark.parametrize(
    ("name", "modalities"),
    with_extended([("graph_mfn", (TEXT, AUDIO)), ("mmim", (AUDIO,))], [("tetfn", (TEXT,))]),
    ids=name_case,
)
def test_models_of_other_modalities_have_inputs_for_these(name, modalities, trained, tmp_path):
    sizes = {m: SIZES[m] for m in modalities}
    model = open_up(make_model(name, seed=3, sizes=sizes)).eval()
    check(replace(trained, model=model, sizes=sizes), tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("name", "mode", "settings"),
    with_extended(
        [("bert_mag", "finetune", {}), ("cenet", "last-1", {})],
        [
            ("bert_mag", "frozen", {}),
            ("cenet", "lora-1", {}),
            ("mult", "finetune", {"published": True}),
            ("mfn", "last-1", {}),
            ("trees", "frozen", {}),
        ],
    ),
)
def test_the_text_encoder_is_inside(name, mode, settings, store, tiny_bert, tmp_path):
    text = {"input": "transcript", "name": str(tiny_bert), "mode": mode}
    model = {"name": name, **settings}
    train(make_quick(model=model, text_encoder=text), store, tmp_path / "r")
    made = export_onnx(tmp_path / "r", tmp_path / "m.onnx", int8=True)
    assert made.difference.largest < 1e-5
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(int64)"


# --- what cannot be written -----------------------------------------------------------------------


def sort_scores(output, _):
    scores = {task: torch.sort(s, stable=True)[0] for task, s in output.scores.items()}
    return replace(output, scores=scores)


def read_step_by_step(output, batch):
    values = batch.sequences[TEXT].values
    score = sum(values[:, step, 0] for step in range(values.shape[1]))
    return replace(output, scores=dict.fromkeys(output.scores, score))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (sort_scores, r"the model 'lf_dnn' cannot be written as ONNX \(.*Sort.* not supported\)"),
        (read_step_by_step, "'lf_dnn' cannot be written as ONNX: its steps depend on how long"),
    ],
)
def test_a_model_that_cannot_be_written_is_one_sentence(
    change, sentence, store, tmp_path, capfd, monkeypatch
):
    """A user saw hundreds of lines of the exporter's graph before the sentence."""
    train(make_quick(model={"name": "lf_dnn"}), store, tmp_path / "r")
    fuse = LfDnn.forward
    monkeypatch.setattr(LfDnn, "forward", lambda self, batch: change(fuse(self, batch), batch))
    capfd.readouterr()
    assert main(["export-onnx", str(tmp_path / "r"), str(tmp_path / "o" / "m.onnx")]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    [line] = [each for each in said.err.splitlines() if "writing ONNX" not in each]
    assert re.search(sentence, line)
    assert line.endswith("predict with mien, or train another model")
    assert not list((tmp_path / "o").iterdir())


def test_the_page_lists_the_models_of_the_package():
    page = Path(__file__).parents[2] / "docs" / "howto" / "onnx.md"
    [listed] = re.findall(
        r"^Every model of the package.*?\n\n", page.read_text("utf-8"), re.M | re.S
    )
    assert re.findall(r"`(\w+)`", listed) == list(MODELS)
