"""A run over folds: one run for each, and above them what all of them predict together."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import make_config
from targeted import EMOTION, VALENCE, make_targeted

from mien.data.export.fold_stores import write_folds
from mien.data.store_writer import write_store
from mien.errors import CheckpointError, ConfigError, StoreError, TrainingError
from mien.evaluation.bootstrap import draw_units, resample
from mien.evaluation.evaluate import evaluated_rows
from mien.evaluation.metrics_file.evaluation_folder import EvaluationFolder
from mien.evaluation.metrics_file.run_metrics import run_metrics_from_json, run_metrics_to_json
from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.evaluation.scoring import as_reported
from mien.evaluation.target_metrics.target_table import TARGET_METRICS
from mien.reports.comparison import compare_runs
from mien.reports.fold_results.fold_tables import iterate_tables
from mien.reports.html_page.runs_page import write_runs_page
from mien.reports.page import write_report
from mien.reports.run_text import format_run
from mien.reports.text import format_interval
from mien.training.checkpoints.header import open_header
from mien.training.cross_validation.fold_data import open_folds
from mien.training.cross_validation.fold_training import train_folds
from mien.training.cross_validation.pooled_results import pool_folds, pool_predictions
from mien.training.experiment import evaluate, train
from mien.training.listening import RunListener
from mien.training.run_folder import find_checkpoint, open_run
from mien.types import Modality, TargetKind, Task, video_of

SEEDS = (1, 2)
TWO = (EMOTION, VALENCE)


def config_of(**train):
    return make_config(
        train={"seeds": SEEDS, "epochs": 1, "threads": 1, **train}, labels={"generator": "copy"}
    )


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    material = make_targeted(TWO, num_clips=(24, 12, 12), unimodal=False)
    clips = [
        replace(clip, speaker=None if row % 7 == 0 else f"who,{row % 5}")
        for row, clip in enumerate(material.corpus.clips)
    ]
    material = replace(material, corpus=replace(material.corpus, clips=tuple(clips)))
    store = write_store(material, folder / "whole")
    write_folds(store, folder / "folds", by="clip", num_folds=3)
    return folder / "folds"


class Notes(RunListener):
    def __init__(self):
        self.lines, self.plans = [], []

    def on_folds(self, folder, plans):
        self.plans = [folder.name, *(plan.folder.name for plan in plans)]

    def on_fold(self, fold):
        self.lines.append(fold)

    def on_seed(self, seed, number, total):
        self.lines.append((seed, number, total))


@pytest.fixture(scope="module")
def pooled(folds, tmp_path_factory):
    """A run over three folds; do not alter."""
    out, notes = tmp_path_factory.mktemp("runs") / "pooled", Notes()
    run = train_folds(config_of(), folds, out, listener=notes)
    assert notes.plans == ["pooled", "fold-1", "fold-2", "fold-3"]
    seeds = [(1, 1, 2), (2, 2, 2)]
    assert notes.lines == ["fold-1", *seeds, "fold-2", *seeds, "fold-3", *seeds]
    return run


def test_every_clip_is_predicted_by_the_model_that_has_not_seen_it(pooled, folds):
    opened = open_folds(folds)
    order = [clip.id for clip in opened[0].store.clips]
    for seed in SEEDS:
        read = pooled.seed(seed).predictions("test")
        assert list(read.ids) == [name for name in order if name in set(read.ids)]
        parts = [run.seed(seed).predictions("test") for run in pooled.folds]
        assert sum(map(len, parts)) == len(read)
        row_of = {name: row for row, name in enumerate(read.ids)}
        for fold, part in zip(opened, parts, strict=True):
            assert set(part.ids) <= set(fold.tested)
            rows = [row_of[name] for name in part.ids]
            np.testing.assert_array_equal(read.scores[Task.FUSION][rows], part.scores[Task.FUSION])
            for name, own in part.values.items():
                for task, truths in own.truths.items():
                    joined = read.values[name]
                    np.testing.assert_array_equal(joined.values[task][rows], own.values[task])
                    np.testing.assert_array_equal(joined.truths[task][rows], truths)


def test_metrics_are_those_of_all_clips_and_of_each_fold(pooled):
    results = pooled.results()
    read = [pooled.seed(seed).predictions("test").values["emotion"] for seed in SEEDS]
    truths = read[0].truths[Task.FUSION]
    known = ~np.isnan(truths).any(axis=1)
    for name, metric in TARGET_METRICS[TargetKind.CLASS].items():
        expected = [metric(each.values[Task.FUSION][known], truths[known]) for each in read]
        summary = results.targets["test"]["emotion"][Task.FUSION][name]
        np.testing.assert_allclose(summary.values, expected)
        assert summary.num_clips == known.sum()
        of_folds = results.folds.targets["emotion"][Task.FUSION][name]
        means = [
            run.results().targets["test"]["emotion"][Task.FUSION][name].mean for run in pooled.folds
        ]
        np.testing.assert_allclose(of_folds.values, means)
        assert of_folds.mean == pytest.approx(np.mean(means))
        assert of_folds.deviation == pytest.approx(np.std(means, ddof=1))
    assert set(results.folds.targets) == {"emotion", "valence"}
    assert results.folds.tasks[Task.FUSION]["mae"].values == tuple(
        run.results().splits["test"][Task.FUSION]["mae"].mean for run in pooled.folds
    )
    assert sum(results.folds.num_clips) == 48


def test_each_fold_is_said_to_have_the_clips_that_are_annotated_for_what_is_measured(pooled):
    results = pooled.results()
    for table in iterate_tables(results):
        annotated = [
            int((~np.isnan(own.values[table.title].truths[Task.FUSION]).any(axis=1)).sum())
            if table.title in own.values
            else int((~np.isnan(own.targets[Task.FUSION])).sum())
            for own in (run.seed(1).predictions("test") for run in pooled.folds)
        ]
        assert [row[1] for row in table.rows] == [*map(str, annotated), "", ""]
        assert (sum(annotated) < 48) == (table.title in ("emotion", "valence"))
    earlier = run_metrics_to_json(results)
    del earlier["folds"]["task_clips"], earlier["folds"]["target_clips"]
    _, of_emotion, _ = iterate_tables(run_metrics_from_json(earlier))
    counts = [*map(str, results.folds.num_clips), "", ""]
    assert [row[1] for row in of_emotion.rows] == counts


def test_intervals_are_over_speakers_of_all_folds_and_of_one(pooled, folds, tmp_path):
    who = {clip.id: clip.speaker or "" for fold in open_folds(folds) for clip in fold.store.clips}
    for run in (pooled, pooled.folds[0]):
        read = [run.seed(seed).predictions("test") for seed in SEEDS]
        assert read[0].speakers == tuple(who[name] for name in read[0].ids)
        rows = evaluated_rows(read[0], Task.FUSION, "emotion")
        pairs = [
            (own, video_of(name)) for own, name in zip(read[0].speakers, read[0].ids, strict=True)
        ]
        people = np.array([own or f"in {video}" for own, video in pairs])[rows]
        values = np.stack([each.values["emotion"].values[Task.FUSION][rows] for each in read])
        truths = read[0].values["emotion"].truths[Task.FUSION][rows]
        metric = TARGET_METRICS[TargetKind.CLASS]["accuracy"]
        expected = resample(values, truths, metric, draw_units(len(people), people)).interval()
        summary = run.results().targets["test"]["emotion"][Task.FUSION]["accuracy"]
        unit, *ends, count = summary.widest
        assert ends == pytest.approx([expected.low, expected.high])
        assert (unit, count) == ("speaker", len(set(people)))
        assert summary.num_videos is not None
        for text in (format_run(run.metrics()), write_report(run).read_text()):
            assert f", {len(set(people))} speakers (few: t" in " ".join(text.split())
            assert "interval, speakers" in text
            assert "interval, videos" not in text
    comparison = compare_runs([pooled, pooled])
    of_pooled = pooled.results().targets["test"]["emotion"][Task.FUSION]["accuracy"]
    compared = comparison.metrics["emotion/accuracy"][0]
    assert comparison.unit == "speaker"
    assert [compared.low, compared.high] == pytest.approx(of_pooled.widest[1:3])
    by_clip = compare_runs([pooled, pooled], by="clip")
    first = by_clip.metrics["emotion/accuracy"][0]
    assert by_clip.unit == "clip"
    assert [first.low, first.high] == pytest.approx([of_pooled.low, of_pooled.high])
    page = write_runs_page([pooled.path], tmp_path).read_text()
    shown = format_interval(
        compared.low, compared.high, TARGET_METRICS[TargetKind.CLASS]["accuracy"]
    )
    assert shown in page


def test_runs_whose_speakers_are_not_known_are_compared_by_video(pooled, tmp_path):
    shutil.copytree(pooled.path, tmp_path / "run")
    for seed in SEEDS:
        file = tmp_path / "run" / f"seed-{seed}" / "predictions-test.csv"
        rows = list(csv.reader(file.read_text().splitlines()))
        assert rows[0][1] == "speaker"
        with file.open("w", newline="") as out:
            csv.writer(out).writerows([row[:1] + row[2:] for row in rows])
    older = open_run(tmp_path / "run")
    assert compare_runs([older, older]).unit == "video"
    assert compare_runs([older, pooled]).unit == "speaker"
    with pytest.raises(CheckpointError, match=r"compare by speaker: .*; compare by clip or video$"):
        compare_runs([older, older], by="speaker")


def test_sets_and_intervals_hold_what_those_of_each_fold_hold_in_its_clips(pooled, tmp_path):
    seed = pooled.seed(1).results()
    inside, sizes = [], []
    for fold in pooled.folds:
        held_out = fold.seed(1)
        calibration = open_header(held_out.best).target_calibration["emotion"]
        read = as_reported(held_out.predictions("test"))
        values, truths = (
            getattr(read.values["emotion"], n)[Task.FUSION] for n in ("values", "truths")
        )
        for row in np.flatnonzero(~np.isnan(truths).any(axis=1)):
            present = [m for m in Modality if read.present[m][row]]
            [possible] = calibration.of(present).sets(EMOTION, values[[row]])
            inside.append(possible[truths[row].argmax()])
            sizes.append(possible.sum())
    covered = seed.target_coverage["test"]["emotion"]
    assert covered.num_clips == len(inside)
    assert covered.share == pytest.approx(np.mean(inside))
    assert covered.size == pytest.approx(np.mean(sizes))
    of_folds = [fold.seed(1).results().coverage.splits["test"] for fold in pooled.folds]
    covered = seed.coverage.splits["test"][Task.FUSION]
    assert covered.num_clips == sum(each[Task.FUSION].num_clips for each in of_folds)
    held = sum(each[Task.FUSION].share * each[Task.FUSION].num_clips for each in of_folds)
    assert covered.share == pytest.approx(held / covered.num_clips)
    assert "Intervals and sets" in write_runs_page([pooled.path], tmp_path).read_text()


def test_what_reads_runs_reads_runs_over_folds(pooled, folds, tmp_path):
    assert set(evaluate(pooled, out=tmp_path / "evaluated")["splits"]) == {"test"}
    with pytest.raises(CheckpointError, match=r"no predictions on valid; .* such as .*fold-1$"):
        evaluate(pooled, split="valid")
    assert (tmp_path / "evaluated" / "predictions-test-2.csv").is_file()
    text = format_run(pooled.metrics())
    assert "2 seeds (1, 2), 3 folds, each clip" in text
    assert "each fold of tiny (synthetic corpus), emotion" in text
    assert "uar (UA) %" in text
    assert max(map(len, text.splitlines())) <= 80
    shutil.copytree(pooled.path, tmp_path / "run")
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "Trained once for each of 3 folds: [fold-1](fold-1/report.md)" in page
    assert "mien train config.toml --folds FOLDS" in page
    assert page.count("**each fold of ") == 3
    assert "annotated classes in rows" in page
    several = write_runs_page([tmp_path / "run"], tmp_path / "page").read_text(encoding="utf-8")
    assert "Each fold on the clips that it held out" in several
    assert several.count("<td>fold-3</td>") + several.count('<td class="word">fold-3</td>') == 3
    with pytest.raises(CheckpointError, match=r"is a run over folds.* give one of them, such"):
        find_checkpoint(pooled.path)
    one = open_folds(folds)[0].store
    with pytest.raises(StoreError, match=r"fold-1: is one store, not a folder of folds; give .*s$"):
        evaluate(pooled.path, store=one)
    assert find_checkpoint(pooled.folds[1].path).is_file()


def test_runs_over_the_same_folds_are_compared_clip_by_clip(pooled, tmp_path):
    other = open_run(shutil.copytree(pooled.path, tmp_path / "other"))
    comparison = compare_runs([pooled, other])
    of_uar = pooled.results().targets["test"]["emotion"][Task.FUSION]["uar"]
    assert comparison.target_clips["emotion"] == of_uar.num_clips
    first, second = comparison.metrics["emotion/uar"]
    assert first.seeds.mean == pytest.approx(of_uar.mean)
    assert second.to_first.difference == 0
    facts = json.loads((other.path / "environment.json").read_text())
    facts["folds"][0]["clips"] = "others"
    (other.path / "environment.json").write_text(json.dumps(facts))
    for run in (other, other.folds[0]):
        with pytest.raises(CheckpointError, match=r"was not trained on the folds of .*pooled; c"):
            compare_runs([pooled, run])


def in_this_process(work, items, num_workers, on_start, on_tick):
    assert num_workers == 2
    for item in items:
        on_start(item)
        result = work(item)
        on_tick()
        yield item, result


def test_a_run_over_folds_goes_on_and_with_jobs_is_the_same(pooled, folds, tmp_path, monkeypatch):
    class Stop(RunListener):
        count = 0

        def on_seed_end(self, *_):
            self.count += 1
            if self.count == 3:
                raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_folds(config_of(), folds, out, listener=Stop())
    assert not (out / "metrics.json").exists()
    with pytest.raises(TrainingError, match="already holds a run; use --resume"):
        train_folds(config_of(), folds, out)
    monkeypatch.setattr("mien.processes.clusters.side_by_side", in_this_process)
    notes = Notes()
    run = train_folds(config_of(), folds, out, resume=True, jobs=2, listener=notes)
    begun = ["fold-2", (2, 2, 2), "fold-3", (1, 1, 2), (2, 2, 2)]
    assert notes.lines == ["fold-1", "fold-2", "fold-3", *begun, "fold-1", "fold-2", "fold-3"]
    assert run.metrics() == pooled.metrics()
    assert run.environment() == pooled.environment()
    with pytest.raises(CheckpointError, match=r"run was begun on another store"):
        train(config_of(), open_folds(folds)[0].store, out, resume=True)


def test_a_seed_that_diverged_in_a_fold_is_in_no_pooled_number(pooled, folds, tmp_path):
    run = open_run(shutil.copytree(pooled.path, tmp_path / "run"))

    def fail(fold, seed):
        folder = run.folds[fold].seed(seed).path
        (folder / "metrics.json").unlink()
        (folder / "failed.json").write_text(json.dumps({"reason": "the loss is nan"}))

    fail(1, 2)
    pool_folds(run.path, open_folds(folds))
    results = run.results()
    assert results.seeds == (1,)
    assert results.failed_seeds == {"2": "fold-2: the loss is nan"}
    of_all = pooled.results()
    for name, summary in of_all.splits["test"][Task.FUSION].items():
        values = results.splits["test"][Task.FUSION][name].values
        assert values == (summary.values[0],)
        of_folds = results.folds.tasks[Task.FUSION][name].values
        firsts = [each.results().splits["test"]["fusion"][name].values[0] for each in run.folds]
        assert of_folds == tuple(firsts)
    fail(0, 1)
    with pytest.raises(TrainingError, match="seed diverged in some fold: seed 1: fold-1: the los"):
        pool_folds(run.path, open_folds(folds))
    shutil.copytree(pooled.path / "fold-2", run.path / "fold-2", dirs_exist_ok=True)
    (run.folds[1].seed(2).path / "failed.json").unlink()  # trained again
    pool_folds(run.path, open_folds(folds))
    assert run.results().seeds == (2,)


def test_what_a_part_lacks_is_unknown_where_parts_are_joined():
    """A fold none of whose clips is annotated for a task, or has a modality."""
    target = EMOTION
    parts = [
        Predictions(
            ids=("c", "a"),
            scores={Task.FUSION: np.array([3.0, 1.0]), Task.TEXT: np.array([0.3, 0.1])},
            targets={Task.FUSION: np.array([3.5, 1.5]), Task.TEXT: np.array([0.5, 0.2])},
            present={Modality.TEXT: np.array([True, True])},
            values={
                "emotion": TargetPredictions(
                    target=target,
                    values={Task.FUSION: np.eye(3)[:2]},
                    truths={Task.FUSION: np.eye(3)[1:]},
                )
            },
        ),
        Predictions(
            ids=("b",),
            scores={Task.FUSION: np.array([2.0])},
            targets={Task.FUSION: np.array([2.5])},
            present={},
            values={
                "emotion": TargetPredictions(
                    target=target, values={Task.FUSION: np.eye(3)[2:]}, truths={}
                )
            },
        ),
    ]
    pooled = pool_predictions(parts, {"a": 0, "b": 1, "c": 2})
    assert pooled.ids == ("a", "b", "c")
    np.testing.assert_array_equal(pooled.scores[Task.TEXT], [0.1, np.nan, 0.3])
    np.testing.assert_array_equal(pooled.targets[Task.FUSION], [1.5, 2.5, 3.5])
    assert pooled.present[Modality.TEXT].tolist() == [True, False, True]
    own = pooled.values["emotion"]
    np.testing.assert_array_equal(own.values[Task.FUSION], [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(own.truths[Task.FUSION], [[0, 0, 1], [np.nan] * 3, [0, 1, 0]])


def spoil_missing(folder):
    shutil.rmtree(folder / "fold-3")


def spoil_gap(folder):
    shutil.rmtree(folder / "fold-2")


def spoil_overlap(folder):
    shutil.rmtree(folder / "fold-2")
    shutil.copytree(folder / "fold-1", folder / "fold-2")


def spoil_clips(folder):
    shutil.rmtree(folder / "fold-2")
    write_store(
        make_targeted(TWO, num_clips=(24, 12, 12), unimodal=False, video_prefix="w"),
        folder / "fold-2",
    )


def spoil_targets(folder):
    shutil.rmtree(folder / "fold-2")
    write_store(make_targeted(TWO[:1], num_clips=(24, 12, 12), unimodal=False), folder / "fold-2")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, r"folds: fold-3 of 3 folds is not there; write them again with: mien fold"),
        (spoil_gap, r"folds: fold-2 of 3 folds is not there"),
        (spoil_overlap, r"fold-2: clip '.*' is in test, as in fold-1; a clip must be test in one"),
        (spoil_clips, r"fold-2: its clips are not those of .*fold-1: .* is in one of them only"),
        (spoil_targets, r"fold-2: its targets are not those of .*fold-1"),
        (shutil.rmtree, r"folds: must have a store for each fold, .* there is none; make them wit"),
    ],
)
def test_folds_that_do_not_fit_are_refused(folds, tmp_path, spoil, message):
    copied = shutil.copytree(folds, tmp_path / "folds")
    spoil(copied)
    with pytest.raises(StoreError, match=message):
        train_folds(config_of(), copied, tmp_path / "run")
    with pytest.raises(StoreError, match=r"whole: is one store, not a folder of folds; make them"):
        open_folds(folds.parent / "whole")
    assert not (tmp_path / "run").exists()


def test_a_run_over_folds_is_evaluated_anew_by_the_models_of_each_fold(pooled, folds, tmp_path):
    again = evaluate(pooled, store=folds, out=tmp_path / "again")
    known = pooled.metrics()
    for key in ("corpus", "seeds", "splits", "targets", "folds", "failed_seeds"):
        assert again[key] == known[key]
    model = EvaluationFolder(tmp_path / "again").model()
    covered = [seed.results().covered for seed in pooled.seeds]
    assert [each.targets for each in model.coverage] == [each.targets for each in covered]
    assert model.environment["folds"] == pooled.environment()["folds"]
    assert model.environment["num_clips"] == pooled.environment()["num_clips"]
    result = compare_runs([pooled, tmp_path / "again"])
    for metric, (_, other) in result.metrics.items():
        assert other.to_first.difference == pytest.approx(0, abs=1e-9), metric
    without = evaluate(pooled, store=folds, without=["audio"])
    assert without["without"] == ["audio"]
    assert "audio" not in without["splits"]["test"]
    with pytest.raises(ConfigError, match="every clip is test in one; choose --split test"):
        evaluate(pooled, store=folds, split="valid")
    with pytest.raises(StoreError, match="is one store, not a folder of folds"):
        evaluate(pooled, store=folds / "fold-1")
    write_folds(open_folds(folds)[0].store, tmp_path / "others", by="clip", num_folds=3, seed=5)
    with pytest.raises(StoreError, match="its folds are not those of"):
        evaluate(pooled, store=tmp_path / "others")


def test_a_run_over_folds_is_evaluated_without_baselines(folds, tmp_path):
    config = make_config(
        train={"seeds": (1,), "epochs": 1, "threads": 1},
        labels={"generator": "copy"},
        features={"standardise": "speaker"},
    )
    run = train_folds(config, folds, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"give the folder of the stores of its folds \(--store"):
        evaluate(run, baseline="none")
    alone = evaluate(run, store=folds, baseline="none")
    assert alone["baseline"] == "none"
    part = evaluate(run.folds[1], store=folds / "fold-2", baseline="none")
    of_fold = alone["folds"]["tasks"]["fusion"]["mae"]["values"][1]
    assert of_fold == part["splits"]["test"]["fusion"]["mae"]["mean"]
    assert evaluate(run, store=folds)["splits"] == run.metrics()["splits"] != alone["splits"]
