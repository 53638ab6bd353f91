import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import (
    AUDIO,
    SIZES,
    make_config,
    make_material,
    make_model,
    make_split,
    write_tiny_store,
)
from targeted import EMOTION, TAGS, make_targeted

from mien.cli import main
from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.data.text_settings import TextEncoderConfig
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.predictions import read_predictions
from mien.evaluation.probabilities.covered_targets import cover_targets
from mien.evaluation.scoring import SplitScorer, predict, predict_subsets
from mien.studies.robustness.conditions import INTACT, Condition, plan_stresses
from mien.studies.robustness.corruption import (
    add_noise,
    draw_for,
    drop_steps,
    lose_modalities,
    slip,
)
from mien.studies.robustness.stress_curves import HALF_WIDTH
from mien.studies.robustness.stress_page import read_stress_results
from mien.studies.robustness.stress_run import evaluate_robustness
from mien.studies.robustness.stressed_split import StressedSplit, score_changed
from mien.studies.robustness.word_errors import WordErrors, group_words
from mien.training.checkpoints.checkpoint import add_to_header, read_header
from mien.training.checkpoints.header import open_header
from mien.training.experiment import train
from mien.training.preparation import prepare
from mien.training.run_folder import open_run
from mien.types import Modality, Task

TEXT, VIDEO = Modality.TEXT, Modality.VIDEO


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_bert):
    """A store with 24 clips of validation, and a run that reads its words; do not alter."""
    base = tmp_path_factory.mktemp("robust")
    store = write_tiny_store(base / "store", num_clips=(12, 24, 9), missing=0.0)
    text = {"input": "transcript", "name": str(tiny_bert), "mode": "frozen", "summary": "mean"}
    labels = {"generator": "copy"}
    train(make_config(text_encoder=text, labels=labels, train={"epochs": 1}), store, base / "a")
    return base


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("mien.studies.robustness.stress_figures.draw_stresses", lambda *_, **__: {})


def test_words_are_between_spaces_and_tokens_of_scripts_without_spaces():
    text = "ab c\u6211\u4eec"
    tokens = [("[CLS]", 0, 0), ("a", 0, 1), ("##b", 1, 2), ("c", 3, 4), ("x", 4, 5), ("y", 5, 6)]
    assert group_words([*tokens, ("[SEP]", 0, 0)], text).tolist() == [-1, 0, 0, 1, 2, 3, -1]
    assert group_words([("a", 0, 1), ("_b", 1, 3)], "a b").tolist() == [0, 1]


def test_what_is_lost_at_a_level_is_lost_at_higher_ones():
    chances = draw_for(1, "clip", AUDIO).random(2000)
    values = np.arange(1, 2001, dtype=np.float32)[:, None]
    stay = [set(drop_steps(values, chances, share, "cut")[:, 0]) for share in (0.2, 0.5, 0.9)]
    assert stay[2] < stay[1] < stay[0]
    assert [len(s) / 2000 for s in stay] == pytest.approx([0.8, 0.5, 0.1], abs=0.03)
    zero = drop_steps(values, chances, 0.5, "zero")[:, 0]
    assert set(zero[zero != 0]) == stay[1]
    assert len(drop_steps(values, chances, 1.0, "cut")) == 1
    assert not np.array_equal(chances, draw_for(1, "clip", VIDEO).random(2000))
    assert np.array_equal(chances, draw_for(1, "clip", AUDIO).random(2000))


def test_a_clip_keeps_a_modality_that_it_has():
    present = np.array([[True, True, False], [True, False, True]])
    chances = np.array([[0.1, 0.1, 0.1], [0.2, 0.2, 0.2]])
    lost = lose_modalities(present, chances, 0.5)
    assert lost.tolist() == [[True, False, False], [False, False, False]]
    alone = np.where([[True], [False]], chances, np.inf)  # only the first may be lost
    assert lose_modalities(present, alone, 0.5).tolist() == [
        [True, False, False], [False, False, False],
    ]  # fmt: skip


def test_noise_has_the_deviation_of_each_feature_and_slips_keep_the_length():
    noisy = add_noise(
        np.zeros((4000, 2), np.float32), draw_for(1, "c", AUDIO), 2.0, np.array([1.0, 3.0])
    )
    assert noisy.std(axis=0) == pytest.approx([2, 6], rel=0.05)
    assert slip(np.arange(5)[:, None], 0.4)[:, 0].tolist() == [0, 0, 0, 1, 2]
    assert slip(np.zeros((0, 3)), 0.4).shape == (0, 3)


@pytest.mark.parametrize("name", ["tam_ulag", "mult"])
def test_a_changed_split_is_scored_as_one_that_was_so_and_the_rest_is_encoded_once(name):
    model = make_model(name).eval()
    random = np.random.default_rng(3)
    arrays = {
        m: [random.normal(size=(2 + i % 4, SIZES[m])).astype(np.float32) for i in range(9)]
        for m in Modality
    }
    other = [2 * each[::-1] for each in arrays[AUDIO]]
    dataset = make_split(np.zeros(9), arrays, "test")
    scorer, encoded, encode = SplitScorer(model, dataset), [], model.encode

    def count(modality, series):
        encoded.append(modality)
        return encode(modality, series)

    if name == "tam_ulag":
        model.encode = count
    for _ in range(2):
        same, changed = scorer.predict(), scorer.predict({AUDIO: other.__getitem__})
    lost = scorer.predict(lost={TEXT: np.ones(9, bool), VIDEO: np.arange(9) < 0})
    assert encoded in ([], [*Modality, AUDIO, AUDIO])
    wanted = (
        predict(model, dataset),
        predict(model, make_split(np.zeros(9), {**arrays, AUDIO: other}, "test")),
        predict_subsets(model, dataset, [(AUDIO, VIDEO)])[AUDIO, VIDEO],
    )
    for got, expected in zip((same, changed, lost), wanted, strict=True):
        np.testing.assert_allclose(got.scores[Task.FUSION], expected.scores[Task.FUSION], atol=1e-5)
        assert {m: list(v) for m, v in got.present.items()} == {
            m: list(v) for m, v in expected.present.items()
        }


def test_words_are_lost_replaced_and_masked_and_marks_stay(base, tiny_bert):
    store = open_store(base / "store")
    settings = TextEncoderConfig(name=str(tiny_bert), mode="finetune", summary="mean")
    prepared = prepare(store, make_config(text_encoder=settings.model_dump()))
    dataset = prepared.datasets["test"]
    errors = WordErrors(store, settings, dataset, 5)
    own = [dataset.read(TEXT, row)[:, 0].tolist() for row in range(len(dataset))]
    first, last = own[0][0], own[0][-1]
    corpus = {token for ids in own for token in ids[1:-1]}
    vocabulary = dict(zip((tiny_bert / "vocab.txt").read_text().split(), range(99), strict=False))

    def read(kind, level, *, alone=True):
        condition = Condition(kind=kind, modalities=(TEXT,), level=level)
        return [ids[:, 0].tolist() for ids in errors.read(condition, [alone] * len(dataset))]

    for kind in ("words-deleted", "words-replaced", "words-masked", "steps", "blanks"):
        assert read(kind, 0.0) == own
        some, every = read(kind, 0.5), read(kind, 1.0)
        assert some != own
        assert all((ids[0], ids[-1]) == (first, last) for ids in (*some, *every))
    assert {len(ids) for ids in read("words-deleted", 1.0)} <= set(range(3, 6))  # a word stays
    assert all(ids == [] for ids in read("words-deleted", 1.0, alone=False))
    assert {len(ids) for ids in read("steps", 1.0)} == {3}
    for ids, masked, blank, replaced in zip(
        own,
        *(read(kind, 1.0) for kind in ("words-masked", "blanks", "words-replaced")),
        strict=True,
    ):
        assert masked[1:-1] == [vocabulary["[MASK]"]] * (len(ids) - 2)
        assert blank[1:-1] == [vocabulary["[UNK]"]] * (len(ids) - 2)
        assert set(replaced[1:-1]) <= corpus
        assert replaced != ids


def test_conditions_do_what_they_say_to_the_split_alone(base):
    run, store = open_run(base / "a"), open_store(base / "store")
    prepared = prepare(store, run.config)
    stressed = StressedSplit(prepared, "test", run.config, 1)
    dataset = stressed.dataset
    assert (stressed.apply(INTACT).series, stressed.apply(INTACT).texts) == ({}, None)
    changes = stressed.apply(Condition(kind="steps", modalities=(AUDIO, TEXT), level=1.0))
    assert list(changes.series) == [AUDIO]
    assert len(changes.series[AUDIO](0, dataset.read(AUDIO, 0))) == 1
    assert all(len(text) == 3 for text in changes.texts)
    quiet = stressed.apply(Condition(kind="noise", modalities=(VIDEO,), level=1e-9))
    np.testing.assert_allclose(
        quiet.series[VIDEO](0, dataset.read(VIDEO, 0)), dataset.read(VIDEO, 0), atol=1e-6
    )
    lost = stressed.apply(Condition(kind="clips", modalities=tuple(Modality), level=0.9)).lost
    assert (np.stack(list(lost.values())).sum(axis=0) < 3).all()


@pytest.mark.usefixtures("quick")
def test_a_test_gives_what_the_run_has_and_areas_and_goes_on_where_it_stopped(
    base, tmp_path, monkeypatch
):
    shutil.copytree(base / "a", tmp_path / "twin")
    options = {"kinds": ["sets", "steps", "words-masked"], "levels": [0.5, 0.8], "seed": 3}

    def test(*runs, **changes):
        out = tmp_path / "out"
        return evaluate_robustness(runs, base / "store", out, **{**options, **changes}).results

    results = test(base / "a", tmp_path / "twin")
    seed = open_run(base / "a").seed(1).results()
    audio = results.stresses["steps-audio"]
    assert (audio.levels, audio.points) == ((0.0, 0.5, 0.8), ("0", "0.5", "0.8"))
    for metric in ("mae", "corr", "acc2_has0"):
        assert audio.metrics[metric]["a"].points[0].mean == pytest.approx(
            seed.splits["test"][Task.FUSION][metric], abs=1e-6
        )
    assert audio.metrics["coverage"]["a"].points[0].mean == pytest.approx(
        seed.coverage.splits["test"][Task.FUSION].share
    )
    curve = audio.metrics["mae"]["a"]
    heights = [point.mean for point in curve.points]
    area = 0.5 * (heights[0] + heights[1]) / 2 + 0.3 * (heights[1] + heights[2]) / 2
    assert curve.area.mean == pytest.approx(area / 0.8)
    assert curve.average.mean == pytest.approx(np.mean(heights))
    twin = audio.metrics["mae"]["twin"]
    assert (twin.area.less["a"].difference, twin.p_corrected) == (0.0, 1.0)
    assert len(results.stresses["sets"].points) == 7
    assert "words-masked" in results.stresses
    assert read_stress_results(tmp_path / "out") == results
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    (row,) = (r for r in rows if (r["run"], r["stress"], r["point"], r["metric"])
              == ("a", "steps-audio", "area", "mae"))  # fmt: skip
    assert float(row["mean"]) == curve.area.mean
    page = (tmp_path / "out" / "index.md").read_text()
    assert "| steps-audio | twin |" in page
    assert "knew nothing of loss" in page

    scored = []
    real = score_changed
    monkeypatch.setattr(
        "mien.studies.robustness.stress_run.score_changed",
        lambda *given: scored.append(1) or real(*given),
    )
    (tmp_path / "out" / "predictions" / "a" / "0" / "steps-audio-0.5.csv").unlink()
    assert test(base / "a", tmp_path / "twin") == results
    assert len(scored) == 1
    with pytest.raises(CheckpointError, match="belongs to a test of other weights"):
        test(base / "a", seed=4)


@pytest.mark.usefixtures("quick")
def test_sets_of_classes_have_coverage_and_size_whatever_is_lost(tmp_path):
    material = make_targeted((EMOTION, TAGS), num_clips=(12, 24, 12), missing=0.0)
    spoken = [replace(c, speaker=f"who{at % 5}") for at, c in enumerate(material.corpus.clips)]
    corpus = replace(material.corpus, clips=tuple(spoken))
    store = write_store(replace(material, corpus=corpus), tmp_path / "store")
    fixed = {"labels": {"generator": "copy"}, "train": {"epochs": 1}}
    run = train(make_config(targets={"with_sentiment": False}, **fixed), store, tmp_path / "a")
    out = tmp_path / "out"
    results = evaluate_robustness([run.path], store.path, out, kinds=["sets"]).results
    assert (results.coverage_level, results.set_levels) == (None, {"emotion": 0.9, "tags": 0.9})
    sets, seed = results.stresses["sets"], run.seed(1)
    calibrations = open_header(seed.best).target_calibration
    voice = read_predictions(out / "predictions" / "a" / "0" / "sets-audio.csv", [EMOTION, TAGS])
    for point, covered in (
        ("text+audio+video", seed.results().target_coverage["test"]),
        ("audio", cover_targets(calibrations, voice)),
    ):
        for name in ("emotion", "tags"):
            share, size = (
                sets.metrics[f"{name}/{own}"]["a"].points[sets.points.index(point)].mean
                for own in ("coverage", "set_size")
            )
            assert share == pytest.approx(covered[name].share)
            assert size == pytest.approx(covered[name].size)
    point = sets.metrics["emotion/accuracy"]["a"].points[sets.points.index("text+audio+video")]
    accuracy = run.results().targets["test"]["emotion"]["fusion"]["accuracy"]
    assert (results.unit, results.num_units) == ("speaker", accuracy.num_speakers)
    assert (point.low, point.high) == (accuracy.low_speakers, accuracy.high_speakers)
    page = (out / "index.md").read_text()
    assert "12 clips in 5 speakers of test" in page
    assert "| emotion: coverage % |" in page
    assert "Sets of classes were made likewise (90 % for emotion, 90 % for tags)" in page
    assert read_stress_results(out) == results


def test_what_cannot_be_tested_is_refused_in_one_sentence(base, tmp_path, finished_embeddings):
    with pytest.raises(ConfigError, match="--only 'nois': "):
        plan_stresses((TEXT,), kinds=["nois"])
    with pytest.raises(ConfigError, match="none below 0 or above 1 for steps"):
        plan_stresses((TEXT,), kinds=["steps"], levels=[0.5, 2.0])
    with pytest.raises(ConfigError, match="reads texts as states"):
        evaluate_robustness(
            [finished_embeddings], base / "store", tmp_path / "out", kinds=["words-deleted"]
        )
    with pytest.raises(ConfigError, match="two runs are called 'a'"):
        evaluate_robustness([base / "a", base / "a"], base / "store", tmp_path / "out")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["no series", "no steps"])
def test_a_voice_that_no_clip_has_is_not_lost(base, tmp_path, how):
    material = make_material(num_clips=(12, 24, 9), missing=0.0)
    series = (
        tuple(s for s in material.series if s.name != "audio")
        if how == "no series"
        else tuple(
            replace(s, read=lambda s=s: (a[:0] for a in s.read())) if s.name == "audio" else s
            for s in material.series
        )
    )
    store = write_store(replace(material, series=series), tmp_path / "store")
    report = evaluate_robustness(
        [base / "a"], store, tmp_path / "out", split="valid", kinds=["sets", "noise"], levels=[1.0]
    )
    conditions = sorted(path.stem for path in (tmp_path / "out/predictions/a/0").iterdir())
    assert conditions == ["intact", "noise-video-1", "sets-text", "sets-video"]
    left_out = {"noise-audio": "no clip of valid has audio"}
    left_out["noise-audio+video"] = left_out["noise-audio"]
    assert report.results.runs["a"].left_out == left_out
    assert "`noise-audio` was left out: no clip of valid has audio." in report.page.read_text()


@pytest.mark.usefixtures("quick")
def test_steps_are_not_lost_where_each_clip_has_a_single_one(base, tmp_path):
    """Nothing would change, and the page would call that robust."""
    material = make_material(num_clips=(12, 24, 9), missing=0.0)
    series = tuple(
        replace(s, read=lambda s=s: (a[:1] for a in s.read())) if s.name == "audio" else s
        for s in material.series
    )
    store = write_store(replace(material, series=series), tmp_path / "store")
    report = evaluate_robustness(
        [base / "a"], store, tmp_path / "out", kinds=["steps", "slip"], levels=[0.5]
    )
    single = "no clip of test has more than one step of audio, of which none can be"
    assert report.results.runs["a"].left_out == {
        f"{kind}-audio": f"{single} {how}" for kind, how in (("steps", "cut out"), ("slip", "late"))
    }
    assert {"steps-text+audio+video", "steps-video", "slip-video"} <= set(report.results.stresses)
    assert "`slip-audio` was left out: no clip of test" in report.page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("quick")
def test_intervals_are_of_clips_that_are_read_in_the_same_way(base, tmp_path):
    config = make_config(
        features={"standardise": "speaker", "baseline_seconds": 4.0},
        labels={"generator": "copy"},
        train={"epochs": 1},
    )
    train(config, base / "store", tmp_path / "b")
    best = tmp_path / "b" / "seed-1" / "best.safetensors"
    alone = {"fusion": dict.fromkeys(open_header(best).calibration.fusion, 5.0)}
    alone["unimodal"] = dict.fromkeys(open_header(best).calibration.unimodal, 5.0)
    calibration = {**open_header(best).calibration.model_dump(mode="json"), **alone}
    add_to_header(best, {"calibration_alone": calibration})

    def test(out, **options):
        report = evaluate_robustness(
            [best], base / "store", tmp_path / out, kinds=["noise"], levels=[1.0], **options
        )
        metrics = report.results.stresses["noise-audio"].metrics
        (run,) = report.results.runs.values()
        shown = {name: metrics[name][best.name].points[0].mean for name in ("mae", HALF_WIDTH)}
        return run.baseline, shown, report.page.read_text()

    use, own, page = test("speaker")
    assert use == "speaker"
    assert own[HALF_WIDTH] < 5
    assert "Baseline speaker: every clip is read against" in page
    use, read_alone, page = test("none", baseline="none")
    assert use == "none"
    assert read_alone[HALF_WIDTH] == 5
    assert read_alone["mae"] != own["mae"]
    assert "Baseline none" in page
    add_to_header(best, {"usual_baseline": "none"})
    assert test("usual") == ("none", read_alone, page)
    with pytest.raises(CheckpointError, match="of other weights, clips, baselines"):
        test("usual", baseline="speaker")
    with pytest.raises(ConfigError, match="leave --baseline out"):
        evaluate_robustness([base / "a"], base / "store", tmp_path / "x", baseline="none")


@pytest.mark.usefixtures("quick")
def test_what_is_left_out_is_read_of_no_clip_and_nothing_is_done_to_it(base, tmp_path):
    def test(out, runs=("a",), **options):
        return evaluate_robustness(
            [base / run for run in runs], base / "store", tmp_path / out, levels=(0.5,),
            kinds=("sets", "clips"), **options,
        )  # fmt: skip

    everything, report = test("all"), test("fewer", without=["video"])
    whole = everything.results.stresses["sets"]
    fewer = report.results.stresses["sets"]
    same = {point: place for place, point in enumerate(whole.points)}
    assert set(fewer.points) == {point for point in same if "video" not in point}
    for place, point in enumerate(fewer.points):
        expected = whole.metrics["mae"]["a"].points[same[point]].mean
        assert fewer.metrics["mae"]["a"].points[place].mean == pytest.approx(expected)
    assert not any("video" in name for name in report.results.stresses)
    page = report.page.read_text()
    assert "Without video: every clip is read as if it had none." in page
    assert "`clips-video` was left out: video is left out." in page
    assert test("fewer", without=["video"]).page.read_text() == page
    with pytest.raises(CheckpointError, match="of other weights, clips, baselines, --without"):
        test("fewer")
    with pytest.raises(CheckpointError, match="of other weights, clips, baselines, --without"):
        test("all", without=["audio"])
    with pytest.raises(ConfigError, match="reads nothing else; leave something in"):
        test("none", without=["text", "audio", "video"])


@pytest.mark.usefixtures("quick")
def test_of_several_runs_those_that_read_it_are_without(base, tmp_path):
    words = make_config(
        text_encoder=open_run(base / "a").config.text_encoder.model_dump(),
        features={"audio": "none", "video": "none"},
        labels={"generator": "copy"},
        train={"epochs": 1},
    )
    train(words, base / "store", tmp_path / "words")
    report = evaluate_robustness(
        [base / "a", tmp_path / "words"], base / "store", tmp_path / "out", kinds=("steps",),
        levels=(0.5,), without=["audio", "video"],
    )  # fmt: skip
    facts = report.results.runs
    assert (facts["a"].without, facts["words"].without) == (("audio", "video"), ())
    with pytest.raises(ConfigError, match="--without audio: no run reads it"):
        evaluate_robustness([tmp_path / "words"], base / "store", tmp_path / "x", without=["audio"])


@pytest.fixture
def finished_embeddings(base, tmp_path):
    """The run, as if its text were given as states."""
    shutil.copytree(base / "a", tmp_path / "states")
    best = tmp_path / "states" / "seed-1" / "best.safetensors"
    config = read_header(best)["config"]
    config["text_encoder"]["input"] = "embeddings"
    add_to_header(best, {"config": config})
    return tmp_path / "states"


@pytest.mark.drawn
@pytest.mark.usefixtures("quick")
def test_the_command_writes_the_page_and_says_what_it_tested(base, tmp_path, capsys):
    out = tmp_path / "page"
    run = shutil.copytree(base / "a", tmp_path / "a <b>|`c")
    given = [str(run), "--store", str(base / "store"), "--out", str(out)]
    assert main(["robustness", *given, "--protocol", "lnln", "--levels", "0.4"]) == 0
    printed = capsys.readouterr().out
    assert "blanks-text+audio+video" in printed
    assert str(out / "index.md") in printed
    values = json.loads((out / "results.json").read_text())
    assert list(values["stresses"]) == ["blanks-text+audio+video"]
    command = "mien robustness 'a <b>|`c' --store STORE --protocol lnln"
    assert command in values["command"]
    page = (out / "index.md").read_text()
    assert r"# Robustness of a \<b\>\|\`c" in page
    assert f"Written by `` {command}" in page
    assert main(["robustness", *given, "--protocol", "none"]) == 2
    assert "--protocol 'none'" in capsys.readouterr().err
