import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import with_extended
from helpers import write_tiny_store

import mien.studies.runner
from mien.cli import main
from mien.errors import CheckpointError, ConfigError, OutputError, TrainingError
from mien.evaluation.label_agreement import agreement
from mien.files.source_code import code_fingerprint, modules_of
from mien.processes.work_pool import side_by_side
from mien.studies.corpora import prepare_corpora
from mien.studies.plan import describe_studies, list_studies, read_study
from mien.studies.results.results_file import dump_results, read_results
from mien.studies.runner import plan_jobs, run_jobs
from mien.studies.study import refuse_other_data, run_study
from mien.studies.study_page import write_page
from mien.training.run_folder import open_run
from mien.types import Modality, Task

TINY = """
title = "Tiny"
question = "Does it run?"
config = "tam_ulag-planted"
set = ["text_encoder.input=none", "train.epochs=2", "model.lstm_size.audio=4",
       "model.lstm_size.video=4"]
seeds = [1, 2]
measures = ["labels", "attention", "scores"]
baseline = "copy"
against = ["distance"]

[[variant]]
name = "copy"
set = ["labels.generator=copy"]

[[variant]]
name = "distance"
set = ["labels.generator=distance", "labels.weight=difference"]

[[variant]]
name = "wild"
set = ["labels.generator=copy", "train.learning_rate.rest=1e30"]

[[corpus]]
name = "planted-3"
planted = { seed = 3, num_clips = 60 }

[[corpus]]
name = "real"
set = ["text_encoder.input=embeddings"]
seeds = [5]
variants = ["copy"]
references = ["ridge"]

[[sweep]]
name = "burst"
across = "length of a burst"
planted = { num_clips = 40 }
points = [{ at = 0.05, burst_high = 0.05 }, { at = 0.1, burst_high = 0.1 }]
seeds = [1]
variants = ["copy"]
"""


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A folder of its own with the tiny study and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def write(base, *changes):
    text = TINY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (base / "tiny.toml").write_text(text)
    return base / "tiny.toml"


class Trainings:
    """Counts the trainings that are begun, and can stop one before it begins."""

    def __init__(self, monkeypatch):
        self.begun, self.stop_at = [], None
        real = mien.studies.runner.train

        def train(config, store, out, **options):
            if self.stop_at is not None and len(self.begun) == self.stop_at:
                raise KeyboardInterrupt
            self.begun.append(out)
            return real(config, store, out, **options)

        monkeypatch.setattr(mien.studies.runner, "train", train)


@pytest.fixture
def trainings(monkeypatch):
    return Trainings(monkeypatch)


class Notes:
    def __init__(self):
        self.stages, self.done = {}, []

    def on_stage(self, what, total):
        self.stages[what] = total

    def on_done(self, what):
        self.done.append(what)


def test_what_a_variant_sets_comes_after_corpus_and_study_and_before_the_command_line(base):
    path = write(
        base,
        ('set = ["labels.generator=copy"]', 'set = ["train.epochs=5", "train.patience=3"]'),
        ("seed = 3, num_clips = 60 }", "seed = 3, num_clips = 60 }\nset = ['train.epochs=4']"),
    )
    study = read_study(path, overrides=["train.patience=7", "planted.num_clips=30"])
    config = study.corpora[0].configs["copy"]
    assert (config.train.epochs, config.train.patience) == (5, 7)
    assert study.corpora[0].configs["distance"].train.epochs == 4
    assert (study.corpora[0].planted.num_clips, study.corpora[0].planted.seed) == (30, 3)


def test_corpora_have_their_own_seeds_and_variants_and_sweeps_are_corpora(base):
    study = read_study(base / "tiny.toml")
    assert [corpus.name for corpus in study.corpora] == [
        "planted-3",
        "real",
        "burst-0.05",
        "burst-0.1",
    ]
    assert [corpus.seeds for corpus in study.corpora] == [(1, 2), (5,), (1,), (1,)]
    assert list(study.corpora[1].configs) == ["copy"]
    assert [corpus.at for corpus in study.corpora] == [None, None, 0.05, 0.1]
    assert study.corpora[3].planted.burst_high == 0.1


def test_the_command_line_keeps_variants_corpora_and_seeds(base):
    study = read_study(base / "tiny.toml", only=["wild"], corpora=["burst", "real"], seeds=[9])
    assert [corpus.name for corpus in study.corpora] == ["real", "burst-0.05", "burst-0.1"]
    assert {corpus.seeds for corpus in study.corpora} == {(9,)}
    study = read_study(base / "tiny.toml", only=["wild"], corpora=["planted-3"])
    assert list(study.corpora[0].configs) == ["copy", "wild"]


def test_a_store_takes_the_place_of_a_planted_corpus(base):
    study = read_study(base / "tiny.toml", stores={"planted-3": base / "mine"})
    assert (study.corpora[0].planted, study.corpora[0].store) == (None, base / "mine")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'baseline = "copy"',
            'baseline = "coppy"',
            r"no variant is called 'coppy'; did you mean 'copy'",
        ),
        ('variants = ["copy"]', 'variants = ["ulag"]', r"no variant is called 'ulag'"),
        ('name = "wild"', 'name = "copy"', r"two variants are called 'copy'"),
        ('name = "wild"', 'name = "ridge"', r"a variant is called 'ridge', which is a reference"),
        ('name = "real"', 'name = "burst-0.1"', r"two corpora are called 'burst-0\.1'"),
        ("seeds = [1, 2]", "sedes = [1, 2]", r"there is no setting sedes; did you mean seeds\?"),
        ("{ at = 0.05, ", "{ ", r"sweep burst: point .* has no at"),
        ("{ at = 0.05, ", "{ at = nan, ", r"sweep burst: at is nan, must be a number"),
        ("{ at = 0.05, ", '{ at = "a", ', r"sweep burst: at is 'a', must be a number"),
        ('name = "real"', 'name = "burst"', r"two corpora or sweeps are called 'burst'"),
        (
            'name = "real"',
            'name = "planted/3"\n[[corpus]]\nname = "planted_3"',
            r"two files of fig",
        ),
        ('name = "wild"', 'name = "  "', r"variant\.2\.name is '  ', must be a name on one line"),
        ('name = "wild"', 'name = "a\\nb"', r"must be a name on one line"),
        ('"train.learning_rate.rest=1e30"', '"train.seeds=[3]"', r"train\.seeds has no effect"),
        ("burst_high = 0.05 }", "burst_hihg = 0.05 }", r"did you mean sweep burst\.burst_high\?"),
        ("train.epochs=2", "train.epoch=2", r"variant copy on planted-3: .*train\.epochs\?"),
        ("seed = 3, num", "sede = 3, num", r"there is no setting corpus.*planted\.sede"),
    ],
)
def test_a_mistake_in_a_study_is_a_sentence(base, old, new, message):
    with pytest.raises(ConfigError, match=message):
        read_study(write(base, (old, new)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["ulag"]}, r"--only ulag: the study has nothing with that name; there are: copy"),
        ({"corpora": ["x"]}, r"--corpus x: .*there are: planted-3, real, burst-0\.05, burst"),
        ({"stores": {"x": Path("y")}}, r"--store x: the study has nothing with that name"),
    ],
)
def test_a_name_that_the_study_has_not_is_a_sentence(base, options, message):
    with pytest.raises(ConfigError, match=message):
        read_study(base / "tiny.toml", **options)


def test_an_unknown_study_is_a_sentence():
    with pytest.raises(ConfigError, match=r"'label' is neither a file nor a known study; .*labels"):
        read_study("label")


@pytest.mark.parametrize("name", list_studies())
def test_a_study_of_the_package_can_be_read_and_has_a_question(name):
    study = read_study(name)
    assert describe_studies()[name] == study.config.title
    assert "?" in study.config.question
    assert all(study.config.baseline in corpus.configs for corpus in study.corpora)


def test_settings_beside_the_study_are_found(base):
    (base / "own.toml").write_text("[train]\nepochs = 3\n")
    path = write(
        base,
        ('config = "tam_ulag-planted"', 'config = "own.toml"'),
        ('"train.epochs=2", ', ""),
    )
    assert read_study(path).corpora[0].configs["copy"].train.epochs == 3


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    """The tiny study, carried out on a planted corpus, a store and a sweep."""
    base = tmp_path_factory.mktemp("study")
    patch = pytest.MonkeyPatch()
    patch.setenv("MIEN_CACHE", str(base / "cache"))
    (base / "tiny.toml").write_text(TINY)
    write_tiny_store(base / "store")
    study = read_study(base / "tiny.toml", stores={"real": base / "store"})
    report = run_study(study, base / "out", command="mien study tiny.toml")
    yield base, report
    patch.undo()


@pytest.mark.slow
def test_a_run_of_a_study_is_an_ordinary_run_and_its_labels_are_evaluated(carried_out):
    base, report = carried_out
    corpus = report.results.corpora["planted-3"]
    runs = corpus.variants["distance"].runs
    for number, seed in enumerate((1, 2)):
        folder = open_run(base / "cache" / "runs" / runs[str(seed)].run).seed(seed)
        clips, trajectory = folder.train_clips(), folder.label_trajectory()
        truth = np.array([np.nan if v is None else v for v in clips["truth"]["audio"]])
        known = ~np.isnan(truth)
        labels = trajectory[folder.metrics()["best_epoch"] - 1, 0].astype(np.float64)
        expected = agreement(labels[known], truth[known], np.array(clips["annotated"])[known])
        for part in ("everywhere", "conflicting"):
            result = corpus.label_sources(Modality.AUDIO, part, "pearson")["distance"]
            assert result.values[number] == pytest.approx(getattr(expected, part).pearson)
        stored = folder.metrics()["labels"]["audio"]["generated"]["everywhere"]["pearson"]
        assert stored == pytest.approx(expected.everywhere.pearson)


@pytest.mark.slow
def test_scores_are_those_of_the_runs_and_the_best_on_validation_is_named(carried_out):
    base, report = carried_out
    corpus = report.results.corpora["planted-3"]
    for split in ("test", "valid"):
        sources = corpus.task_sources(split, Task.FUSION, "mae")
        for name in ("copy", "distance"):
            runs = [run.run for run in corpus.variants[name].runs.values()]
            values = [
                open_run(base / "cache" / "runs" / run).metrics()["splits"][split]["fusion"]["mae"]
                for run in runs
            ]
            assert sources[name].values == pytest.approx([metric["mean"] for metric in values])
    means = {name: result.mean for name, result in sources.items()}
    assert corpus.scores.best_on_valid == min(means, key=means.get)


@pytest.mark.slow
def test_attention_inside_the_moments_is_that_of_the_runs(carried_out):
    base, report = carried_out
    corpus = report.results.corpora["planted-3"]
    run = open_run(base / "cache" / "runs" / corpus.variants["copy"].runs["2"].run)
    stored = run.seed(2).metrics()["attention"]["test"]["audio"]
    inside = corpus.attention_sources("test", Modality.AUDIO, "inside")["copy"]
    assert inside.values[1] == pytest.approx(stored["inside"], rel=1e-4)
    ratio = corpus.attention_sources("test", Modality.AUDIO, "ratio")["copy"]
    assert ratio.values[1] == pytest.approx(stored["ratio"], rel=1e-4)


@pytest.mark.slow
def test_a_run_that_diverged_is_named_and_in_no_mean(carried_out):
    base, report = carried_out
    corpus = report.results.corpora["planted-3"]
    assert {run.status for run in corpus.variants["wild"].runs.values()} == {"diverged"}
    assert "wild" not in corpus.task_sources("test", Task.FUSION, "mae")
    assert len(report.unfinished) == 2
    page = (base / "out" / "index.md").read_text()
    assert "**`wild`, seed 2 diverged**: training diverged in epoch 1" in page


@pytest.mark.slow
def test_a_corpus_that_is_given_is_evaluated_and_its_unfit_reference_is_named(carried_out):
    base, report = carried_out
    corpus = report.results.corpora["real"]
    assert corpus.corpus == "tiny"
    assert set(corpus.labels) == {"text", "audio", "video"}
    assert "one vector" in corpus.labels["audio"].unfit_references["ridge"]
    assert "A reference was left out" in (base / "out" / "index.md").read_text()


@pytest.mark.slow
def test_every_table_says_corpus_seeds_clips_and_command(carried_out):
    base, _ = carried_out
    page = (base / "out" / "index.md").read_text()
    tables = [part for part in page.split("\n\n") if part.startswith("| ")]
    captions = [part for part in page.split("\n\n") if part.startswith("*")]
    assert len(tables) > len(captions) > 8
    captions = [text for text in captions if "mien study tiny.toml" in text]
    assert len(captions) > 8
    assert all("clips of" in text for text in captions)
    assert all("synthetic" in text for text in captions if text.startswith("*planted-3"))


@pytest.mark.slow
def test_a_table_of_a_sweep_says_how_many_clips_its_points_have(carried_out):
    """It named those of the first point, also where points differ in their number."""
    _, report = carried_out
    corpora = dict(report.results.corpora)
    num_clips = {**corpora["burst-0.1"].num_clips, "test": 99}
    corpora["burst-0.1"] = dataclasses.replace(corpora["burst-0.1"], num_clips=num_clips)
    own = corpora["burst-0.05"].num_clips["test"]
    page = write_page(dataclasses.replace(report.results, corpora=corpora), {})
    assert f"*synthetic corpora; {own} to 99 clips of test; 1 seed;" in page


@pytest.mark.slow
def test_every_figure_of_the_page_is_there(carried_out):
    base, _ = carried_out
    page = (base / "out" / "index.md").read_text()
    files = [line.split("(")[1].rstrip(")") for line in page.splitlines() if line[:2] == "!["]
    assert {"planted-3-labels.png", "burst-scores.png", "burst-attention.png"} <= set(files)
    for file in files:
        assert (base / "out" / file).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_results_are_numbers_that_json_holds(carried_out):
    base, report = carried_out
    read = json.loads((base / "out" / "results.json").read_text())
    assert read == json.loads(json.dumps(dump_results(report.results), allow_nan=False))
    assert dump_results(read_results(base / "out")) == dump_results(report.results)
    points = [(point["at"], point["corpus"]) for point in read["sweeps"][0]["points"]]
    assert points == [(0.05, "burst-0.05"), (0.1, "burst-0.1")]


@pytest.mark.slow
def test_models_say_how_many_parameters_they_have(carried_out):
    _, report = carried_out
    variants = report.results.corpora["planted-3"].variants
    assert variants["copy"].num_parameters == variants["distance"].num_parameters > 1000


@pytest.fixture
def without_figures(monkeypatch):
    """Leave the figures of a study's page out, which ``carried_out`` has."""
    monkeypatch.setattr("mien.studies.figures.draw_corpus", lambda *_: [])


def few(base, **options):
    options = {"only": ["copy"], "corpora": ["planted-3"], **options}
    return read_study(base / "tiny.toml", **options)


def carry_out(study, notes=None):
    """Make the runs of a study in this process, and evaluate nothing."""
    notes = notes or Notes()
    prepared = prepare_corpora(study, study.corpora, num_workers=1, listener=notes)
    return run_jobs(study.name, plan_jobs(study, prepared), num_workers=1, listener=notes)


def test_what_is_cached_is_not_trained_again(base, trainings):
    first = carry_out(few(base))
    assert len(trainings.begun) == 2
    notes = Notes()
    again = carry_out(few(base), notes)
    assert len(trainings.begun) == 2
    assert notes.stages["tiny: runs"] == 0
    assert [outcome.job for outcome in again] == [outcome.job for outcome in first]
    assert [outcome.is_cached for outcome in (*first, *again)] == [False, False, True, True]


def test_a_study_that_was_stopped_goes_on(base, trainings):
    trainings.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        carry_out(few(base))
    trainings.stop_at = None
    assert [outcome.status for outcome in carry_out(few(base))] == ["finished", "finished"]
    assert len(set(trainings.begun)) == len(trainings.begun) == 2


def test_a_run_killed_before_it_began_is_made(base, trainings):
    carry_out(few(base, seeds=[1]))
    folder = trainings.begun[0]
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / ".config.toml.half").write_text("")
    carry_out(few(base, seeds=[1]))
    assert trainings.begun == [folder, folder]


def test_other_settings_seeds_or_data_are_other_runs(base, trainings):
    carry_out(few(base, seeds=[1]))
    for options in (
        {"seeds": [3]},
        {"seeds": [1], "overrides": ["train.batch_size=7"]},
        {"seeds": [1], "overrides": ["planted.seed=4"]},
    ):
        before = len(trainings.begun)
        carry_out(few(base, **options))
        assert len(trainings.begun) == before + 1


def test_a_run_that_diverged_is_not_tried_again(base, trainings):
    wild = few(base, seeds=[1], overrides=["train.learning_rate.rest=1e30"])
    for is_cached in (False, True):
        (outcome,) = carry_out(wild)
        assert (outcome.status, outcome.is_cached) == ("diverged", is_cached)
        assert outcome.reason.startswith("training diverged in epoch 1")
    assert len(trainings.begun) == 1


def test_corpora_with_the_same_data_and_settings_share_a_run(base, trainings):
    write(base, ('name = "real"', 'name = "again"\nplanted = { seed = 3, num_clips = 60 }'),
          ('set = ["text_encoder.input=embeddings"]\nseeds = [5]\n', ""))  # fmt: skip
    outcomes = carry_out(few(base, corpora=["planted-3", "again"], seeds=[1]))
    assert len(trainings.begun) == 1
    assert [outcome.job.corpus for outcome in outcomes] == ["planted-3", "again"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["labels.generator=copy"], r"on planted-3: 'distance' has the same settings as 'copy'"),
        (["planted.burst_high=0.2"], r"sweep burst: 'burst-0\.1' has the same settings as 'burst"),
        (["train.seeds=[7]"], r"train\.seeds has no effect .*--seeds"),
    ],
)
def test_what_makes_all_rows_alike_is_refused(base, overrides, message):
    """``--set`` comes last: it made variants that compared a run with itself under two names."""
    write(base, ('"labels.generator=distance", "labels.weight=difference"',
                 '"labels.generator=distance"'))  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        read_study(base / "tiny.toml", overrides=overrides)


def test_points_of_a_sweep_take_any_planted_setting_and_stand_along_the_axis(base):
    path = write(base, ("{ at = 0.05, burst_high = 0.05 }", '{ at = 3, mixing = "irony" }'))
    corpora = read_study(path).corpora[2:]
    assert [(each.name, each.at) for each in corpora] == [("burst-0.1", 0.1), ("burst-3", 3.0)]
    assert corpora[1].planted.mixing == "irony"


@pytest.mark.usefixtures("without_figures")
def test_the_page_says_what_differs_and_what_had_no_effect(base):
    """An idle setting had a row with differences of its own, and no page named the settings."""
    write(base, ('"labels.generator=distance", "labels.weight=difference"',
                 '"labels.generator=copy", "train.patience=1000"'))  # fmt: skip
    report = run_study(few(base, only=["distance"], seeds=[1]), base / "out")
    assert report.results.corpora["planted-3"].alike == (("copy", "distance"),)
    page = (base / "out" / "index.md").read_text()
    assert "| distance | `train.patience=1000` |" in page
    assert "- `copy`, `distance` predict the same, to the last bit" in page
    assert read_results(base / "out").corpora["planted-3"].alike == (("copy", "distance"),)


@pytest.mark.usefixtures("without_figures")
def test_a_page_that_cannot_be_written_is_said_before_anything_is_trained(base, trainings):
    (base / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file: cannot be written"):
        run_study(few(base), base / "file")
    assert trainings.begun == []


@pytest.mark.usefixtures("without_figures")
def test_other_code_makes_its_own_runs_unless_any_will_do(base, trainings, monkeypatch):
    carry_out(few(base, seeds=[1]))
    for module in ("mien.studies.runner", "mien.studies.study"):
        monkeypatch.setattr(
            f"{module}.code_fingerprint", lambda name: f"changed{code_fingerprint(name)}"
        )
    report = run_study(few(base, seeds=[1]), base / "out", code="any")
    assert len(trainings.begun) == 1
    assert report.results.num_other_code == 1
    assert (
        "**1 of the 1 runs were trained with an earlier version"
        in (base / "out" / "index.md").read_text()
    )
    carry_out(few(base, seeds=[1]))
    assert len(trainings.begun) == 2


def test_references_of_a_corpus_can_be_subtracted(base):
    write(base, ('against = ["distance"]', 'against = ["ridge"]'))
    assert few(base).against == ("copy", "ridge")
    write(base, ('against = ["distance"]', 'against = ["trees_mean"]'))
    with pytest.raises(ConfigError, match="no variant is called 'trees_mean'"):
        few(base)


def test_a_run_that_cannot_be_written_ends_the_study_and_is_not_refused(base, monkeypatch):
    def fail(*_, **__):
        raise OutputError("run: cannot be written (No space left on device)")

    monkeypatch.setattr(mien.studies.runner, "train", fail)
    study = read_study(base / "tiny.toml", only=["copy"], corpora=["planted-3"], seeds=[1])
    with pytest.raises(OutputError, match="No space left"):
        run_study(study, base / "out", command="mien study tiny.toml")


@pytest.mark.usefixtures("without_figures")
def test_a_variant_that_does_not_fit_is_refused_and_the_others_go_on(base):
    write(
        base,
        ('"labels.weight=difference"', '"features.audio=nothing"'),
        ('against = ["distance"]', ""),
    )
    report = run_study(few(base, only=["distance"], seeds=[1]), base / "out")
    variants = report.results.corpora["planted-3"].variants
    assert "has no series 'nothing'" in variants["distance"].refusal
    assert variants["copy"].runs["1"].status == "finished"
    page = (base / "out" / "index.md").read_text()
    assert "`distance` does not fit this corpus" in page


@pytest.mark.usefixtures("without_figures")
def test_a_folder_keeps_the_results_of_its_data(base):
    run_study(few(base, only=["copy"], seeds=[1]), base / "out")
    before = (base / "out" / "results.json").read_bytes()
    other = few(base, only=["copy"], seeds=[1], overrides=["planted.num_clips=61"])
    with pytest.raises(CheckpointError, match="holds results on another store of planted-3"):
        run_study(other, base / "out")
    assert (base / "out" / "results.json").read_bytes() == before
    run_study(other, base / "elsewhere")
    refuse_other_data(base / "out", ["planted-3", "planted-4"], {})
    with pytest.raises(CheckpointError, match="holds results on planted-3, and would be written"):
        refuse_other_data(base / "out", ["planted-4"], {})


@pytest.mark.usefixtures("without_figures")
def test_the_command_says_by_its_exit_code_that_something_is_missing(base, capsys):
    write(
        base,
        ('"labels.weight=difference"', '"features.audio=nothing"'),
        ('against = ["distance"]', ""),
    )
    words = ["study", "tiny.toml", "--corpus", "planted-3", "--seeds", "1", "--jobs", "1"]
    assert main([*words, "--only", "distance"]) == 1
    assert "not finished: planted-3, distance:" in capsys.readouterr().out
    assert main([*words, "--only", "wild"]) == 1
    assert "not finished: planted-3, wild, seed 1 diverged:" in capsys.readouterr().out
    assert main([*words, "--only", "copy"]) == 0
    assert "not finished" not in capsys.readouterr().out


def test_a_study_of_which_nothing_finished_is_a_sentence(base):
    study = few(base, overrides=["train.learning_rate.rest=1e30"])
    with pytest.raises(TrainingError, match=r"tiny: no run finished; the first: training diverged"):
        run_study(study, base / "out")


@pytest.mark.usefixtures("without_figures")
def test_corpora_that_are_not_given_are_named_and_without_any_there_is_a_sentence(base, caplog):
    study = read_study(base / "tiny.toml", only=["copy"], corpora=["planted-3", "real"], seeds=[1])
    run_study(study, base / "out")
    assert "real is left out" in caplog.text
    assert (
        "`real` was left out: no store was given (--store real=PATH)"
        in (base / "out" / "index.md").read_text()
    )
    with pytest.raises(TrainingError, match=r"no corpus is there; give .*--store real=PATH"):
        run_study(few(base, corpora=["real"]), base / "out")


def test_the_key_of_a_run_is_the_same_in_every_plan(base):
    study = few(base)
    prepared = prepare_corpora(study, study.corpora, num_workers=1, listener=Notes())
    first, second = plan_jobs(study, prepared), plan_jobs(study, prepared)
    assert first == second
    assert len({job.folder for job in first}) == len(first) == 2
    assert all(job.config.train.threads == 1 for job in first)


def test_code_is_known_by_what_a_training_imports_and_not_by_its_pages():
    modules = modules_of("mien.training.experiment")
    assert {
        "mien.labels",
        "mien.models.encoders",
        "mien.training.trainer",
        "mien.labels.distance",
    } <= set(modules)
    assert not {
        "mien.reports.page",
        "mien.reports.figures.style",
        "mien.cli",
        "mien.studies.study",
    } & set(modules)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", with_extended([2], [1]))
def test_work_is_begun_in_its_order_and_no_more_than_there_are_workers(num_workers):
    begun, done, most = [], {}, 0
    for item, result in side_by_side(abs, [-1, -2, -3, -4], num_workers, begun.append):
        most = max(most, len(begun) - len(done))
        done[item] = result
    assert done == {-1: 1, -2: 2, -3: 3, -4: 4}
    assert begun == [-1, -2, -3, -4]
    assert most == num_workers


def test_a_listener_that_has_the_method_is_notified_of_every_run_that_begins(base, trainings):
    class Starts(Notes):
        def __init__(self):
            super().__init__()
            self.started = []

        def on_start(self, what):
            self.started.append(what)

    notes = Starts()
    carry_out(few(base), notes)
    assert len(trainings.begun) == 2
    assert notes.started[0] == "planted-3"
    assert notes.done == [notes.started[0], *(f"{run}: finished" for run in notes.started[1:])]


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:ray")
@pytest.mark.usefixtures("without_figures")
def test_a_cluster_makes_the_same_runs(base, trainings, monkeypatch, cluster):
    (here,) = carry_out(few(base, seeds=[1]))
    monkeypatch.setenv("MIEN_CACHE", "elsewhere")
    report = run_study(few(base, seeds=[1]), base / "out", num_workers=2, **cluster)
    assert len(trainings.begun) == 1
    run = report.results.corpora["planted-3"].variants["copy"].runs["1"].run
    assert run == here.job.folder.name
    there = open_run(base / "elsewhere" / "runs" / run).seed(1)
    assert there.metrics()["splits"] == here.job.seed_folder.metrics()["splits"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--backend", "dask"], "--address: the dask backend needs it, such as tcp://HOST:8786"),
        (["--address", "here:1"], "--address: is for --backend dask or ray; leave it out"),
    ],
)
@pytest.mark.usefixtures("base")
def test_a_cluster_that_is_not_told_is_a_sentence(capsys, options, sentence):
    assert main(["study", "tiny.toml", *options]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_that_is_killed_is_a_sentence():
    with pytest.raises(TrainingError, match=r"a process was killed"):
        list(side_by_side(os._exit, [1, 1], 2))


@pytest.mark.slow
@pytest.mark.drawn
def test_the_command_trains_side_by_side_and_writes_the_page(base, capsys):
    words = ["study", "tiny.toml", "--corpus", "planted-3", "--only", "distance", "--jobs", "2"]
    words += ["--seeds", "1"]
    assert main([*words, "--set", "planted.num_clips=40", "--out", "page"]) == 0
    printed, shown = capsys.readouterr()
    assert printed.strip() == "page/index.md"
    assert "2/2" in shown
    page = (base / "page" / "index.md").read_text()
    assert (
        "`mien study tiny.toml --seeds 1 --only distance --corpus planted-3 "
        "--set planted.num_clips=40`" in page
    )


def test_the_command_lists_studies(capsys):
    assert main(["study"]) == 0
    assert "labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--store", "real"], "--store 'real': must be NAME=PATH"),
        (["--seeds", "one"], "--seeds 'one': must be whole numbers"),
    ],
)
@pytest.mark.usefixtures("base")
def test_an_option_that_cannot_be_read_is_a_sentence(capsys, words, message):
    assert main(["study", "tiny.toml", *words]) == 2
    assert message in capsys.readouterr().err
