"""Networks as ONNX: the numbers of torch, at any length, with any modality missing."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import pair_up, with_extended
from helpers import SIZES, limit_files, make_config, write_tiny_store
from tokenizers import Tokenizer

import mien.prediction.onnx
from mien.cli import main
from mien.errors import CheckpointError
from mien.models import build_model
from mien.models.attention import ATTENTIONS
from mien.models.fusion import FUSIONS
from mien.models.multitask import ModelInputs
from mien.prediction.network import load_network
from mien.prediction.onnx import (
    OPSET,
    OnnxNetwork,
    check_difference,
    compare_with_torch,
    export_onnx,
    write_graph,
)
from mien.training.experiment import train
from mien.types import Modality, Task

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

TEXT, AUDIO, VIDEO = Modality


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_tiny_store(tmp_path_factory.mktemp("stores") / "tiny")


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """Gives the folder of a run of one epoch with these settings; do not alter."""
    made = {}

    def make(**settings):
        key = json.dumps(settings, sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("runs") / "r"
            train(make_config(train={"epochs": 1}, **settings), store, made[key])
        return made[key]

    return make


@pytest.fixture(scope="module")
def reads_text(trained, tiny_bert):
    """A run whose text encoder, token ids to states, has one trained layer of two."""
    return trained(text_encoder={"input": "transcript", "name": str(tiny_bert), "mode": "last-1"})


@pytest.fixture(scope="module")
def exported(reads_text, tmp_path_factory):
    """That run as ONNX, in 32 and in 8 bits; do not alter."""
    return export_onnx(reads_text, tmp_path_factory.mktemp("onnx") / "m.onnx", int8=True)


def open_session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def about(path):
    return json.loads(next(p.value for p in onnx.load(path).metadata_props if p.key == "mien"))


def feed(clips, modalities=tuple(Modality)):
    """Pad clips of series, each at least a step long, into the inputs of a file."""
    feeds = {}
    for m in modalities:
        longest = max(1, *(len(clip[m]) for clip in clips))
        first = next(clip[m] for clip in clips)
        values = np.zeros((len(clips), longest, *first.shape[1:]), first.dtype)
        mask = np.zeros((len(clips), longest), bool)
        for row, clip in enumerate(clips):
            values[row, : len(clip[m])] = clip[m]
            mask[row, : len(clip[m])] = True
        feeds |= {str(m): values, f"{m}_mask": mask}
    return feeds


def draw(seed, text, audio, video):
    drawn = np.random.default_rng(seed)
    return {
        TEXT: drawn.integers(5, 55, text),
        AUDIO: drawn.normal(size=(audio, SIZES[AUDIO])).astype(np.float32),
        VIDEO: drawn.normal(size=(video, SIZES[VIDEO])).astype(np.float32),
    }


def as_read(clip):
    """A clip as ``Network.judge`` takes it."""
    return {**clip, TEXT: clip[TEXT].astype(np.int32)[:, None]}


# --- the numbers are those of torch ---------------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [[(1, 1, 1)], [(30, 2, 70)], [(4, 7, 5), (9, 3, 1), (2, 2, 8)], [(6, 0, 3)], [(0, 4, 0)]],
    ids=["a step", "long", "three clips", "no voice", "voice alone"],
)
def test_scores_and_weights_are_those_of_prediction(exported, reads_text, steps):
    whole = load_network(reads_text / "seed-1" / "best.safetensors")
    whole.text.layer = None  # read token ids, for the comparison
    whole.model.text_encoder = OnnxNetwork(load_network(whole.checkpoint)).model.text_encoder
    clips = [draw(seed, *one) for seed, one in enumerate(steps)]
    session = open_session(exported.path)
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, feed(clips)), strict=True))
    for row, judged in enumerate(whole.score_clips([as_read(clip) for clip in clips])):
        for task, score in judged.scores.items():
            assert found[f"score_{task}"][row] == pytest.approx(score, abs=1e-5)
        for modality, weights in judged.attention.items():
            given = found[f"weights_{modality}"][row]
            np.testing.assert_allclose(given[: len(weights)], weights, atol=1e-5)
            assert not given[len(weights) :].any()


def test_a_modality_alone_has_one_score(exported):
    session = open_session(exported.path)
    names = [f"score_{task}" for task in Task]
    clips = [draw(1, 6, 0, 0), draw(2, 0, 9, 0), draw(3, 0, 0, 4), draw(4, 6, 9, 4)]
    scores = dict(zip(names, session.run(names, feed(clips)), strict=True))
    for row, modality in enumerate(Modality):
        assert scores["score_fusion"][row] == scores[f"score_{modality}"][row]
    assert all(scores["score_fusion"][3] != scores[f"score_{m}"][3] for m in Modality)


def test_padding_changes_nothing(exported):
    session = open_session(exported.path)
    short, long = draw(1, 3, 4, 5), draw(2, 40, 60, 50)
    names = [f"score_{task}" for task in Task]
    alone = session.run(names, feed([short]))
    beside = session.run(names, feed([short, long]))
    for one, other in zip(alone, beside, strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-5)
        assert one[0] != pytest.approx(other[1], abs=1e-5)  # the other clip is another one


@pytest.fixture
def make_network(reads_text):
    """Gives a network with random weights, which reads states of the text."""
    loaded = load_network(reads_text / "seed-1" / "best.safetensors")

    def make(model=None, modalities=tuple(Modality)):
        torch.manual_seed(3)
        sizes = {m: SIZES[m] for m in modalities}
        built = build_model(make_config(model=model or {}).model, ModelInputs(sizes=sizes))
        return replace(loaded, sizes=sizes, text=None, model=built.eval())

    return make


#: Each attention with a fusion, until each of both was there; and each beside what is usual.
PAIRED = [
    {"attention": attention, "fusion": fusion}
    for attention, fusion in pair_up(list(ATTENTIONS), list(FUSIONS))
]
ALONE = [
    *({"attention": name} for name in ATTENTIONS),
    *({"fusion": name} for name in FUSIONS),
]


@pytest.mark.parametrize(
    "settings",
    [
        *PAIRED,
        {"encoder": "steps", "log_odds": ("video",)},
        {"num_layers": 2},
        {"name": "self_mm"},
        *with_extended([], [*ALONE, {"encoder": "steps"}]),
    ],
    ids=lambda one: "-".join(map(str, one.values())),
)
def test_every_model_can_be_written(settings, make_network, tmp_path):
    graph, path = OnnxNetwork(make_network(settings)), tmp_path / "m.onnx"
    write_graph(graph, path, {}, tmp_path)
    assert compare_with_torch(graph, path).largest < 1e-6
    given = {one.name for one in open_session(path).get_outputs()}
    has_weights = settings.get("attention") != "none" and settings.get("name") != "self_mm"
    weights = {f"weights_{m}" for m in Modality} if has_weights else set()
    assert given == {f"score_{task}" for task in Task} | weights


@pytest.mark.parametrize("modalities", [(TEXT,), (AUDIO, VIDEO), (TEXT, AUDIO)])
def test_a_model_has_inputs_for_its_own_modalities(modalities, make_network, tmp_path):
    graph, path = OnnxNetwork(make_network(modalities=modalities)), tmp_path / "m.onnx"
    write_graph(graph, path, {}, tmp_path)
    assert compare_with_torch(graph, path).largest < 1e-6
    inputs = [one.name for one in open_session(path).get_inputs()]
    assert inputs == [name for m in modalities for name in (str(m), f"{m}_mask")]


@pytest.mark.parametrize("mode", with_extended(["frozen", "lora-1"], ["finetune"]))
def test_the_whole_text_encoder_is_inside(mode, trained, tiny_bert, tmp_path):
    text = {"input": "transcript", "name": str(tiny_bert), "mode": mode}
    made = export_onnx(trained(text_encoder=text), tmp_path / "m.onnx")
    assert made.difference.largest < 1e-5
    [ids] = [one for one in open_session(made.path).get_inputs() if one.name == "text"]
    assert (ids.type, len(ids.shape)) == ("tensor(int64)", 2)


# --- 8 bits ---------------------------------------------------------------------------------------


def test_matrices_are_in_8_bits_and_scores_are_near(exported):
    whole = {one.data_type for one in onnx.load(exported.path).graph.initializer}
    made = [one for one in onnx.load(exported.int8).graph.initializer if len(one.dims) > 1]
    assert onnx.TensorProto.INT8 not in whole
    assert sum(one.data_type == onnx.TensorProto.INT8 for one in made) > 10
    assert exported.difference.largest < exported.int8_difference.largest
    assert exported.int8_difference.mean < 0.05
    kinds = {one.op_type for one in onnx.load(exported.int8).graph.node}
    assert kinds >= {"MatMulInteger", "DynamicQuantizeLSTM"}
    assert about(exported.int8) == about(exported.path)
    session = open_session(exported.int8)
    scores = session.run(["score_fusion"], feed([draw(1, 3, 4, 5), draw(2, 40, 60, 50)]))[0]
    assert np.isfinite(scores).all()


# --- what lies in and beside the file -------------------------------------------------------------


def test_the_file_says_what_it_needs(exported, reads_text):
    said = about(exported.path)
    assert said["scale"] == [-3, 3]
    assert said["corpus"] == "tiny"
    assert list(said["modalities"]) == ["text", "audio", "video"]
    assert said["modalities"]["text"]["input"] == "token ids"
    assert said["modalities"]["audio"]["size"] == SIZES[AUDIO]
    network = load_network(reads_text / "seed-1" / "best.safetensors")
    assert said["checkpoint_sha256"] == network.facts.sha256
    assert said["modalities"]["text"]["sha256"] == network.text.fingerprint
    assert [one.version for one in onnx.load(exported.path).opset_import if not one.domain] == [
        OPSET
    ]


def test_the_tokenizer_beside_it_makes_the_same_ids(exported, reads_text):
    network = load_network(reads_text / "seed-1" / "best.safetensors")
    tokenizer = Tokenizer.from_file(str(exported.tokenizer))
    for text in ("the film was not very good", "a book " * 300):
        wanted = network.text.tokenise([text])[0][:, 0].tolist()
        encoding = tokenizer.encode(network.text.prefix + text)
        assert encoding.ids == wanted
        assert bool(encoding.overflowing) == (not network.text.fits(text))


def test_the_page_shows_how_to_use_it_without_us(exported, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "howto" / "onnx.md"
    [code] = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    for file in (exported.path, exported.tokenizer):
        (tmp_path / file.name.replace("m.", "mosi.")).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})  # noqa: S102  # our own page
    assert re.fullmatch(r"[+-]\d\.\d\d on a scale from -3.* to 3.*\n", capsys.readouterr().out)


# --- what is refused ------------------------------------------------------------------------------


def test_a_file_that_differs_from_torch_is_not_written(reads_text, tmp_path, monkeypatch):
    def write_another(graph, path, *rest):
        with torch.no_grad():
            weight = graph.model.heads["audio"].leave.bias
            weight += 0.01
            write_graph(graph, path, *rest)
            weight -= 0.01

    monkeypatch.setattr(mien.prediction.onnx, "write_graph", write_another)
    with pytest.raises(CheckpointError, match=r"as ONNX, a score differs from torch by 0\.17%"):
        export_onnx(reads_text, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_8_bits_that_are_too_rough_are_not_written(reads_text, tmp_path, monkeypatch):
    monkeypatch.setattr(mien.prediction.onnx, "ROUGH", 0.0)
    with pytest.raises(CheckpointError, match=r"in 8 bits, the mean score differs from torch"):
        export_onnx(reads_text, tmp_path / "m.onnx", int8=True)
    assert not list(tmp_path.iterdir())


def test_a_network_beyond_what_a_file_holds_is_refused(reads_text, tmp_path, monkeypatch):
    monkeypatch.setattr(mien.prediction.onnx, "LARGEST_BYTES", 1000)
    with pytest.raises(CheckpointError, match=r"GB of weights; a file of ONNX holds 2 GB"):
        export_onnx(reads_text, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_what_the_exporter_cannot_write_is_a_sentence(reads_text, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise torch.onnx.errors.UnsupportedOperatorError("aten::strange", 17, None)

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(CheckpointError, match=r"cannot be written as ONNX \(.*aten::strange"):
        export_onnx(reads_text, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command_says_how_near_it_is_and_replaces_only_on_demand(trained, tmp_path, capsys):
    run, out = trained(model={"attention": "softmax"}), tmp_path / "new" / "m.onnx"
    assert main(["export-onnx", str(run), str(out), "--int8"]) == 0
    said = capsys.readouterr().out
    assert f"{out} (0." in said
    assert f"{out.with_name('m.int8.onnx')} (0." in said
    assert main(["export-onnx", str(run), str(out)]) == 2
    assert "exists already; use --replace" in capsys.readouterr().err
    assert main(["export-onnx", str(run), str(out), "--replace"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_without_room_it_is_a_sentence_and_nothing_is_left(trained, tmp_path, capsys):
    run = trained(model={"attention": "softmax"})
    with limit_files(3000):
        assert main(["export-onnx", str(run), str(tmp_path / "m.onnx")]) == 2
    assert "m.onnx: cannot be written (File too large)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_the_packages_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mien.errors.find_spec", lambda _: None)
    assert main(["export-onnx", "run", str(tmp_path / "m.onnx")]) == 2
    assert "[onnx]" in capsys.readouterr().err


def test_difference_is_worst_and_mean(reads_text, exported, monkeypatch):
    graph = OnnxNetwork(load_network(reads_text / "seed-1" / "best.safetensors"))
    off = SimpleNamespace(
        run=lambda names, feeds: [np.full(len(feeds["text"]), np.nan, np.float32) for _ in names]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: off)
    found = compare_with_torch(graph, exported.path)
    with pytest.raises(CheckpointError, match="differs from torch by nan"):
        check_difference(found.largest, 1.0, "x")


def test_a_model_that_knows_people_is_written_as_it_reads_clips_without_one(
    trained, tmp_path, caplog
):
    run = trained(features={"standardise": "speaker"}, text_encoder={"input": "none"})
    made = export_onnx(run, tmp_path / "m.onnx")
    assert "what is written reads them without one" in caplog.text
    network = load_network(run / "seed-1" / "best.safetensors")
    alone = network.calibration_alone.settle().model_dump(mode="json")
    assert about(made.path)["calibration"] == alone
    clip = {m: values for m, values in draw(3, 1, 4, 6).items() if m is not TEXT}
    [score] = open_session(made.path).run(["score_fusion"], feed([clip], (AUDIO, VIDEO)))
    [scores] = network.score_clips([clip])
    assert score == pytest.approx([scores.scores[Task.FUSION]], abs=1e-4)
