"""All seeds of a run in one file: it predicts the mean, with intervals of its own."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_config, make_material
from targeted import EMOTION, VALENCE, make_targeted

import mien
from mien.cli import main
from mien.data.store_writer import write_store
from mien.errors import CheckpointError, ConfigError, OutputError
from mien.evaluation.conformal import half_width
from mien.evaluation.predictions import average_predictions
from mien.evaluation.scoring import predict
from mien.models.ensemble import Ensemble
from mien.prediction.network import load_network
from mien.prediction.onnx import export_onnx
from mien.prediction.package import pack, pack_ensemble
from mien.training.checkpoints.calibrated import calibrate_model
from mien.training.checkpoints.checkpoint import (
    add_to_header,
    read_header,
    read_tensors,
    write_tensors,
)
from mien.training.experiment import evaluate, train
from mien.training.loading import dataset_of, load_model, read_start
from mien.training.run_folder import open_run
from mien.types import Modality, Task

SEEDS = (1, 2)
CALIBRATIONS = (
    "calibration",
    "calibration_alone",
    "target_calibration",
    "target_calibration_alone",
)
SHORT = {"labels": {"generator": "copy"}, "train": {"seeds": SEEDS, "epochs": 1}}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Clips with sentiment, classes and a score, of which valid has enough for intervals."""
    material = make_targeted(
        (EMOTION, VALENCE), num_clips=(12, 24, 6), annotated=1.0, unimodal=False
    )
    return write_store(material, tmp_path_factory.mktemp("stores") / "targeted")


@pytest.fixture(scope="module")
def run(store, tiny_bert, tmp_path_factory):
    """Two seeds that train a layer of the text encoder, and know people; do not alter."""
    out = tmp_path_factory.mktemp("runs") / "r"
    text = {"input": "transcript", "name": str(tiny_bert), "mode": "last-1"}
    features = {"standardise": "speaker", "baseline_seconds": 4.0}
    return train(make_config(text_encoder=text, features=features, **SHORT), store, out)


@pytest.fixture(scope="module")
def file(run, store, tmp_path_factory):
    """The ensemble in 32 bits; do not alter."""
    out = tmp_path_factory.mktemp("files") / "ensemble.safetensors"
    return pack(run, out, ensemble=True, store=store, half=False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Two seeds of a model that reads text alone, and its store; do not alter."""
    folder = tmp_path_factory.mktemp("plain")
    material = make_material(num_clips=(8, 20, 4), missing=0.0, unimodal=False)
    text = tuple(series for series in material.series if series.name == Modality.TEXT)
    store = write_store(replace(material, series=text), folder / "store")
    return train(make_config(**SHORT), store, folder / "run"), store


@pytest.fixture
def copied(plain, tmp_path):
    """A copy of the run that reads text alone, to be altered."""
    shutil.copytree(plain[0].path, tmp_path / "copy")
    return open_run(tmp_path / "copy")


# --- what it predicts -----------------------------------------------------------------------------


def test_it_scores_clips_as_the_mean_of_the_seeds_that_tables_show(run, store, file):
    model, prepared = load_model(file, store)
    joined = predict(model, dataset_of(prepared, "test"))
    expected = average_predictions([seed.predictions("test") for seed in run.seeds])
    assert expected.values.keys() == {"emotion", "valence"}
    for task, scores in expected.scores.items():
        np.testing.assert_allclose(joined.scores[task], scores, atol=1e-6)
    for name, own in expected.values.items():
        for task, values in own.values.items():
            np.testing.assert_allclose(joined.values[name].values[task], values, atol=1e-6)
    summary = run.results().splits["valid"]["fusion"]["mae"]
    assert read_header(file)["valid"]["mae"] == pytest.approx(summary.ensemble)
    assert read_header(file)["valid_of_members"]["mae"] == pytest.approx(summary.values)
    metrics = run.results().targets["valid"]["emotion"]["fusion"]["log_loss"]
    assert read_header(file)["valid"]["emotion/log_loss"] == pytest.approx(metrics.ensemble)


def test_it_is_evaluated_as_the_mean_of_the_seeds(run, store, file):
    metrics = evaluate(file, store=store, split="valid")
    assert metrics["model"] == f"{file}, the mean of 2 models"
    of_run = run.results()
    for name, own in metrics["splits"]["valid"]["fusion"].items():
        wanted = of_run.splits["valid"]["fusion"][name].ensemble
        assert own["mean"] == pytest.approx(wanted, abs=1e-5)
    found = metrics["targets"]["splits"]["valid"]["emotion"]["fusion"]["accuracy"]["mean"]
    assert found == of_run.targets["valid"]["emotion"]["fusion"]["accuracy"].ensemble


def test_answers_and_their_explanations_are_means_too(run, file):
    ensemble = mien.load(file).network
    members = [load_network(seed.best) for seed in run.seeds]
    clip = {
        Modality.TEXT: ensemble.read_text("a very good film"),
        Modality.AUDIO: np.ones((3, 4), np.float32),
    }
    others = [ensemble.read_text("a very film"), ensemble.read_text("")]

    def collect(read):
        return [np.array(read(network)) for network in (ensemble, *members)]

    readers = [
        lambda n: list(n.score_clips([clip])[0].scores.values()),
        lambda n: list(n.score_clips([clip])[0].without.values()),
        lambda n: n.score_clips([clip])[0].targets["emotion"][Task.FUSION],
        lambda n: n.score_clips([clip])[0].attention[Modality.TEXT],
        lambda n: [
            v.score
            for v in n.predict_variants(
                clip, Modality.TEXT, others, n.score_clips([clip])[0].encoded
            )
        ],
        lambda n: [v.targets["emotion"] for v in n.predict_variants(clip, Modality.TEXT, others)],
    ]
    for read in readers:
        joined, *own = collect(read)
        assert np.ptp(own, axis=0).max() > 1e-4
        np.testing.assert_allclose(joined, np.mean(own, axis=0), atol=1e-6)


def test_a_text_is_answered_with_the_intervals_and_sets_of_the_ensemble(run, file):
    model = mien.load(file)
    answer = model.predict_text("a very good film").answers[0]
    width = model.network.calibration.unimodal[Modality.TEXT]
    assert width not in [load_network(s.best).calibration.unimodal["text"] for s in run.seeds]
    scale = model.network.scale
    assert answer.score.low == pytest.approx(max(scale.low, answer.score.value - width))
    assert answer.targets.keys() == {"emotion", "valence"}
    effects = [word.effect for word in answer.words]
    assert len(effects) == 4
    assert any(effects)


def leaves(header):
    """Return every value of the calibrations in a header, with what it is of."""
    waiting, numbers = [header[name] for name in CALIBRATIONS], []
    for value in waiting:
        waiting += list(value.values()) if isinstance(value, dict) else []
        numbers += [] if isinstance(value, dict) else [value]
    return numbers


def test_it_is_calibrated_on_the_validation_clips(run, store, file):
    model, prepared = load_model(file, store)
    assert isinstance(model, Ensemble)
    measured = calibrate_model(model, dataset_of(prepared, "valid"), prepared.scale).facts
    header = read_header(file)
    assert measured.keys() == set(CALIBRATIONS)
    assert header["calibration"] != header["calibration_alone"]
    for before, after in zip(*map(leaves, (measured, header)), strict=True):
        assert before == pytest.approx(after, abs=1e-6)
    valid = average_predictions([seed.predictions("valid") for seed in run.seeds])
    scores = np.clip(valid.scores[Task.FUSION], -3, 3)
    rows = valid.having(list(Modality))
    errors = (scores - valid.targets[Task.FUSION])[rows]
    name = "text+audio+video"
    assert header["calibration"]["fusion"][name] == pytest.approx(half_width(errors, 0.9), abs=1e-6)
    assert header["target_calibration"].keys() == {"emotion", "valence"}


def test_what_is_done_as_a_rule_changes_no_interval(run, store, file, tmp_path):
    shutil.copytree(run.path, tmp_path / "usual")
    usual = open_run(tmp_path / "usual")
    for seed in usual.seeds:
        add_to_header(seed.best, {"usual_baseline": "none"})
    packed = read_header(pack(usual, tmp_path / "e.safetensors", ensemble=True, store=store))
    expected = read_header(file)
    assert packed["usual_baseline"] == "none"
    assert [packed[name] for name in CALIBRATIONS] == [expected[name] for name in CALIBRATIONS]


def test_what_a_run_keeps_is_enough_for_sentiment_of_one_modality(plain, tmp_path):
    run, store = plain
    made = pack_ensemble(run, tmp_path / "e", half=False)
    assert made.seeds == SEEDS
    model, prepared = load_model(made.path, store)
    measured = calibrate_model(model, dataset_of(prepared, "valid"), prepared.scale).facts
    header = read_header(made.path)
    for part in ("fusion", "unimodal", "num_clips"):
        assert header["calibration"][part] == pytest.approx(measured["calibration"][part])
    assert header["calibration"]["fusion"].keys() == {"text"}


# --- the file -------------------------------------------------------------------------------------


def test_what_is_equal_in_all_seeds_is_there_once_and_shared_in_memory(run, file):
    tensors, single = read_tensors(file), read_tensors(run.seeds[0].best)
    own = {key.removeprefix("seed-1/") for key in tensors if key.startswith("seed-1/")}
    shared = {key.removeprefix("model/") for key in tensors if key.startswith("model/")}
    assert {f"model/{key}" for key in own | shared} == {k for k in single if k[:6] == "model/"}
    assert not own & shared
    assert "encoders.audio.standardise.mean" in shared
    assert "heads.fusion.enter.weight" in own
    first, second = (network.state_dict() for network in load_network(file).model.networks)
    same = {key for key in first if first[key].data_ptr() == second[key].data_ptr()}
    assert same >= {key for key in shared if first[key].numel()}
    assert not same & own


def test_it_is_written_in_16_bits_and_packed_again_as_it_is(plain, tmp_path):
    run, _ = plain
    large = pack(run, tmp_path / "large", ensemble=True, half=False)
    small = pack(run, tmp_path / "small", ensemble=True, name="x")
    assert small.stat().st_size < large.stat().st_size
    assert pack(small, tmp_path / "again").read_bytes() == small.read_bytes()
    dtypes = {p.dtype for p in load_network(small).model.parameters()}
    assert dtypes == {torch.float32}


def test_only_the_seeds_that_have_finished_are_in_it(copied, tmp_path, caplog):
    shutil.copytree(copied.seed(2).path, copied.seed(3).path)
    (copied.seed(3).path / "metrics.json").unlink()
    (copied.path / "seed-4").mkdir()
    (copied.path / "seed-4" / "failed.json").write_text('{"reason": "its loss is NaN"}')
    made = pack_ensemble(copied, tmp_path / "e")
    assert made.seeds == SEEDS
    assert "seed 3 is left out: its training has not ended" in caplog.text
    assert "seed 4 is left out: its loss is NaN" in caplog.text


# --- what is printed ------------------------------------------------------------------------------


def test_the_command_prints_what_valid_says_beside_single_seeds(run, store, tmp_path, capsys):
    out = tmp_path / "e.safetensors"
    words = ["pack", str(run.path), "--ensemble", "--store", str(store.path), "--out", str(out)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    summary = run.results().splits["valid"]["fusion"]["mae"]
    line = next(line for line in shown.splitlines() if line.startswith("mae "))
    assert line.split() == ["mae", f"{summary.mean:.3f}", f"{summary.ensemble:.3f}"]
    assert "emotion/uar %" in shown
    assert f"{out} (0." in shown
    assert "seeds 1, 2" in shown


def test_an_ensemble_that_is_no_better_is_written_and_a_warning_says_so(copied, tmp_path, caplog):
    """The members here err to the same side, so that their mean is as good as one on average."""
    for number, seed in enumerate(copied.seeds):
        table = (seed.path / "predictions-valid.csv").read_text().splitlines()
        names, *rows = (line.split(",") for line in table)
        for row in rows:
            row[names.index("score_fusion")] = str(4.0 + number)
        lines = [",".join(row) for row in (names, *rows)]
        (seed.path / "predictions-valid.csv").write_text("\n".join(lines) + "\n")
    made = pack_ensemble(copied, tmp_path / "e")
    assert made.path.is_file()
    assert "e: on valid the mean of all seeds is no better than a single seed" in caplog.text
    assert caplog.text.rstrip().endswith("by mae")


# --- what is refused ------------------------------------------------------------------------------


def test_the_store_is_asked_for_where_it_is_needed(run, tmp_path):
    with pytest.raises(ConfigError, match=r"every set of modalities; give the store .*--store STO"):
        pack(run, tmp_path / "e", ensemble=True)
    assert not (tmp_path / "e").exists()


def test_a_store_is_refused_that_is_another_or_of_no_use(run, plain, tmp_path):
    with pytest.raises(CheckpointError, match=r"store: is not the store on which .*r was trained"):
        pack(run, tmp_path / "e", ensemble=True, store=plain[1])
    with pytest.raises(ConfigError, match="store: is read for an ensemble, an average or a rank"):
        pack(run, tmp_path / "e", store=plain[1])


def test_a_file_that_is_there_is_kept_unless_told(plain, tmp_path):
    (tmp_path / "e").write_text("mine")
    with pytest.raises(OutputError, match=r"e: exists already; use --replace"):
        pack_ensemble(plain[0], tmp_path / "e")
    assert pack_ensemble(plain[0], tmp_path / "e", replace=True).path.stat().st_size > 1000


@pytest.mark.parametrize("what", ["a seed", "one seed", "no folder"])
def test_an_ensemble_is_of_the_seeds_of_a_run(copied, tmp_path, what):
    run = copied
    match what:
        case "a seed":
            path, sentence = run.seeds[0].path, r"seed-1: is the folder of one seed; give its run"
        case "one seed":
            (run.seeds[0].path / "metrics.json").unlink()
            path, sentence = (
                run.path,
                r"copy: has 1 finished seed, and a mean of several needs two; trai",
            )
        case "no folder":
            path, sentence = run.seeds[0].best, r"best\.safetensors: is not a run folder"
    with pytest.raises(CheckpointError, match=sentence):
        pack(path, tmp_path / "e", ensemble=True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda h: h["config"]["train"].update(epochs=7),
            r"copy: seeds 1 and 2 differ in more than the seed: train\.epochs is 1 in one and 7 in",
        ),
        (lambda h: h.update(init="abc"), r"than the seed: init is None in one and 'abc' in the o"),
        (lambda h: h.update(corpus="b"), r"than the seed: corpus is 'tiny' in one and 'b' in the"),
    ],
)
def test_seeds_that_were_trained_in_another_way_are_refused(copied, tmp_path, change, sentence):
    best = copied.seed(2).best
    header = read_header(best)
    change(header)
    write_tensors(best, read_tensors(best), header)
    with pytest.raises(CheckpointError, match=sentence):
        pack(copied, tmp_path / "e", ensemble=True)


def test_seeds_with_the_same_weights_are_no_ensemble(copied, tmp_path):
    first, second = (seed.best for seed in copied.seeds)
    shutil.copyfile(first, second)
    with pytest.raises(CheckpointError, match=r"copy: all seeds have the same weights, so that"):
        pack(copied, tmp_path / "e", ensemble=True)


def test_nothing_starts_from_an_ensemble(plain, tmp_path):
    run, store = plain
    made = pack(run, tmp_path / "e", ensemble=True)
    with pytest.raises(CheckpointError, match=r"e: is an ensemble of 2 models, and a training sta"):
        read_start(made, store, run.config)


def test_an_ensemble_is_not_written_as_onnx(file, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(CheckpointError, match=r"is an ensemble of 2 models, and a file of ONNX ho"):
        export_onnx(file, tmp_path / "m.onnx")


# --- files of others ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ensemble": []}, r"m: its header: format is 2, and ensemble is \[\]; is it damaged"),
        ({"ensemble": [1]}, r"m: its header: ensemble is \[1\], must be two seeds or more"),
        ({"ensemble": [1, 1]}, r"m: its header: ensemble is \[1, 1\], must be two seeds or more"),
        ({"ensemble": 10**9}, r"m: its header has 1000000000 for 'ensemble': Input should be a va"),
        ({"ensemble": [1, -2]}, r"m: its header has -2 for 'ensemble\.1': Input should be greater"),
        ({"ensemble": [1, 2.5]}, r"m: its header has 2\.5 for 'ensemble\.1': Input should be a va"),
        ({"ensemble": list(range(10**4))}, r"for 'ensemble': Tuple should have at most 100 items"),
        ({"format": 1}, r"m: its header: format is 1, and ensemble is \[1, 2\]; is it damaged"),
        ({"ensemble": [1, 2, 3]}, r"m: its header lists seed 3, of which it holds nothing; get"),
    ],
)
def test_a_header_that_cannot_be_is_a_sentence(file, tmp_path, change, sentence):
    write_tensors(tmp_path / "m", read_tensors(file), {**read_header(file), **change})
    with pytest.raises(CheckpointError, match=sentence) as raised:
        load_network(tmp_path / "m")
    assert len(str(raised.value)) < 1_000


def nothing(tensors):
    del tensors["seed-2/heads.fusion.enter.weight"]


def reshaped(tensors):
    tensors["seed-2/heads.fusion.enter.weight"] = torch.zeros(2, 2)


def not_finite(tensors):
    tensors["seed-2/heads.fusion.enter.weight"][0, 0] = float("nan")


def twice(tensors):
    tensors["seed-2/encoders.audio.standardise.mean"] = torch.zeros(4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (nothing, r"m: seed 2: lacks 'heads\.fusion\.enter\.weight', so it does not fit the model"),
        (reshaped, r"m: seed 2: 'heads\.fusion\.enter\.weight' is \(2, 2\), the model of these se"),
        (not_finite, r"m: seed 2: 'heads\.fusion\.enter\.weight' holds values that are not finit"),
        (twice, r"m: holds 'encoders\.audio\.standardise\.mean' of seed 2 and of all seeds; get t"),
    ],
)
def test_weights_that_cannot_be_are_a_sentence(file, tmp_path, change, sentence):
    tensors = read_tensors(file)
    change(tensors)
    write_tensors(tmp_path / "m", tensors, read_header(file))
    with pytest.raises(CheckpointError, match=sentence):
        load_network(tmp_path / "m")
