import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import write_tiny_store

import mien.studies.runner
from mien.cli import main
from mien.errors import ConfigError, OutputError, TrainingError
from mien.evaluation.label_agreement import agreement
from mien.files.source_code import code_fingerprint, modules_of
from mien.studies.corpora import prepare_corpora
from mien.studies.plan import describe_studies, list_studies, read_study
from mien.studies.runner import plan_jobs, run_jobs
from mien.studies.study import run_study
from mien.studies.workers import side_by_side
from mien.training.run_folder import open_run

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
def place(tmp_path, monkeypatch):
    """A folder of its own with the tiny study, an empty cache and quick intervals."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mien.evaluation.evaluate._RESAMPLES", 40)
    monkeypatch.setattr("mien.evaluation.contrast._RESAMPLES", 40)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def write(place, *changes):
    text = TINY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (place / "tiny.toml").write_text(text)
    return place / "tiny.toml"


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


def test_what_a_variant_sets_comes_after_corpus_and_study_and_before_the_command_line(place):
    path = write(
        place,
        ('set = ["labels.generator=copy"]', 'set = ["train.epochs=5", "train.patience=3"]'),
        ("seed = 3, num_clips = 60 }", "seed = 3, num_clips = 60 }\nset = ['train.epochs=4']"),
    )
    study = read_study(path, overrides=["train.patience=7", "planted.num_clips=30"])
    config = study.corpora[0].configs["copy"]
    assert (config.train.epochs, config.train.patience) == (5, 7)
    assert study.corpora[0].configs["distance"].train.epochs == 4
    assert (study.corpora[0].planted.num_clips, study.corpora[0].planted.seed) == (30, 3)


def test_corpora_have_their_own_seeds_and_variants_and_sweeps_are_corpora(place):
    study = read_study(place / "tiny.toml")
    assert [one.name for one in study.corpora] == ["planted-3", "real", "burst-0.05", "burst-0.1"]
    assert [one.seeds for one in study.corpora] == [(1, 2), (5,), (1,), (1,)]
    assert list(study.corpora[1].configs) == ["copy"]
    assert [one.at for one in study.corpora] == [None, None, 0.05, 0.1]
    assert study.corpora[3].planted.burst_high == 0.1


def test_the_command_line_keeps_variants_corpora_and_seeds(place):
    study = read_study(place / "tiny.toml", only=["wild"], corpora=["burst", "real"], seeds=[9])
    assert [one.name for one in study.corpora] == ["real", "burst-0.05", "burst-0.1"]
    assert {one.seeds for one in study.corpora} == {(9,)}
    study = read_study(place / "tiny.toml", only=["wild"], corpora=["planted-3"])
    assert list(study.corpora[0].configs) == ["copy", "wild"]


def test_a_store_takes_the_place_of_a_planted_corpus(place):
    study = read_study(place / "tiny.toml", stores={"planted-3": place / "mine"})
    assert (study.corpora[0].planted, study.corpora[0].store) == (None, place / "mine")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('baseline = "copy"', 'baseline = "coppy"', r"no variant is called 'coppy'; there are: c"),
        ('variants = ["copy"]', 'variants = ["ulag"]', r"no variant is called 'ulag'"),
        ('name = "wild"', 'name = "copy"', r"two variants are called 'copy'"),
        ('name = "wild"', 'name = "ridge"', r"a variant is called 'ridge', which is a reference"),
        ('name = "real"', 'name = "burst-0.1"', r"two corpora are called 'burst-0\.1'"),
        ("seeds = [1, 2]", "sedes = [1, 2]", r"there is no setting sedes; did you mean seeds\?"),
        ("{ at = 0.05, ", "{ ", r"sweep burst: point .* has no at"),
        ("burst_high = 0.05 }", "burst_hihg = 0.05 }", r"did you mean sweep burst\.burst_high\?"),
        ("train.epochs=2", "train.epoch=2", r"variant copy on planted-3: .*train\.epochs\?"),
        ("seed = 3, num", "sede = 3, num", r"there is no setting corpus.*planted\.sede"),
    ],
)
def test_a_mistake_in_a_study_is_a_sentence(place, old, new, message):
    with pytest.raises(ConfigError, match=message):
        read_study(write(place, (old, new)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["ulag"]}, r"--only ulag: the study has nothing of that name; there are: copy"),
        ({"corpora": ["x"]}, r"--corpus x: .*there are: planted-3, real, burst-0\.05, burst"),
        ({"stores": {"x": Path("y")}}, r"--store x: the study has nothing of that name"),
    ],
)
def test_a_name_that_the_study_has_not_is_a_sentence(place, options, message):
    with pytest.raises(ConfigError, match=message):
        read_study(place / "tiny.toml", **options)


def test_an_unknown_study_is_a_sentence():
    with pytest.raises(ConfigError, match=r"'label' is neither a file nor a known study; .*labels"):
        read_study("label")


@pytest.mark.parametrize("name", list_studies())
def test_a_study_of_the_package_can_be_read_and_asks_something(name):
    study = read_study(name)
    assert describe_studies()[name] == study.config.title
    assert "?" in study.config.question
    assert all(study.config.baseline in one.configs for one in study.corpora)


def test_settings_beside_the_study_are_found(place):
    (place / "own.toml").write_text("[train]\nepochs = 3\n")
    path = write(
        place, ('config = "tam_ulag-planted"', 'config = "own.toml"'), ('"train.epochs=2", ', "")
    )
    assert read_study(path).corpora[0].configs["copy"].train.epochs == 3


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    """The tiny study, carried out on a planted corpus, a store and a sweep."""
    place = tmp_path_factory.mktemp("study")
    patch = pytest.MonkeyPatch()
    patch.setenv("MIEN_CACHE", str(place / "cache"))
    patch.setattr("mien.evaluation.evaluate._RESAMPLES", 40)
    patch.setattr("mien.evaluation.contrast._RESAMPLES", 40)
    (place / "tiny.toml").write_text(TINY)
    write_tiny_store(place / "store")
    study = read_study(place / "tiny.toml", stores={"real": place / "store"})
    report = run_study(study, place / "out", command="mien study tiny.toml")
    yield place, report
    patch.undo()


@pytest.mark.slow
def test_a_run_of_a_study_is_an_ordinary_run_and_its_labels_are_judged(carried_out):
    place, report = carried_out
    corpus = report.results["corpora"]["planted-3"]
    runs = corpus["variants"]["distance"]["runs"]
    for number, seed in enumerate((1, 2)):
        folder = open_run(place / "cache" / "runs" / runs[str(seed)]["run"]).seed(seed)
        clips, trajectory = folder.train_clips(), folder.label_trajectory()
        truth = np.array([np.nan if v is None else v for v in clips["truth"]["audio"]])
        kept = ~np.isnan(truth)
        labels = trajectory[folder.metrics()["best_epoch"] - 1, 0].astype(np.float64)
        expected = agreement(labels[kept], truth[kept], np.array(clips["annotated"])[kept])
        judged = corpus["labels"]["audio"]["agreement"]
        for part in ("everywhere", "conflicting"):
            entry = judged[part]["metrics"]["pearson"]["distance"]
            assert entry["values"][number] == pytest.approx(getattr(expected, part).pearson)
        stored = folder.metrics()["labels"]["audio"]["generated"]["everywhere"]["pearson"]
        assert stored == pytest.approx(expected.everywhere.pearson)


@pytest.mark.slow
def test_scores_are_those_of_the_runs_and_the_best_on_validation_is_named(carried_out):
    place, report = carried_out
    corpus = report.results["corpora"]["planted-3"]
    for split in ("test", "valid"):
        entries = corpus["scores"][split]["fusion"]["metrics"]["mae"]
        for name in ("copy", "distance"):
            runs = [one["run"] for one in corpus["variants"][name]["runs"].values()]
            values = [
                open_run(place / "cache" / "runs" / run).metrics()["splits"][split]["fusion"]["mae"]
                for run in runs
            ]
            assert entries[name]["values"] == pytest.approx([one["mean"] for one in values])
    means = {name: one["mean"] for name, one in entries.items()}
    assert corpus["best_on_valid"] == min(means, key=means.get)


@pytest.mark.slow
def test_attention_inside_the_moments_is_that_of_the_runs(carried_out):
    place, report = carried_out
    corpus = report.results["corpora"]["planted-3"]
    run = open_run(place / "cache" / "runs" / corpus["variants"]["copy"]["runs"]["2"]["run"])
    stored = run.seed(2).metrics()["attention"]["test"]["audio"]
    metrics = corpus["attention"]["test"]["audio"]["metrics"]
    assert metrics["inside"]["copy"]["values"][1] == pytest.approx(stored["inside"], rel=1e-4)
    assert metrics["ratio"]["copy"]["values"][1] == pytest.approx(stored["ratio"], rel=1e-4)


@pytest.mark.slow
def test_a_run_that_diverged_is_named_and_in_no_mean(carried_out):
    place, report = carried_out
    corpus = report.results["corpora"]["planted-3"]
    assert {one["status"] for one in corpus["variants"]["wild"]["runs"].values()} == {"diverged"}
    assert "wild" not in corpus["scores"]["test"]["fusion"]["metrics"]["mae"]
    assert len(report.unfinished) == 2
    page = (place / "out" / "index.md").read_text()
    assert "**`wild`, seed 2 diverged**: training diverged in epoch 1" in page


@pytest.mark.slow
def test_a_corpus_that_is_given_is_judged_and_its_unfit_reference_is_said(carried_out):
    place, report = carried_out
    corpus = report.results["corpora"]["real"]
    assert corpus["corpus"] == "tiny"
    assert set(corpus["labels"]) == {"text", "audio", "video"}
    assert "one vector" in corpus["labels"]["audio"]["unfit_references"]["ridge"]
    assert "A reference was left out" in (place / "out" / "index.md").read_text()


@pytest.mark.slow
def test_every_table_says_corpus_seeds_clips_and_command(carried_out):
    place, _ = carried_out
    page = (place / "out" / "index.md").read_text()
    tables = [part for part in page.split("\n\n") if part.startswith("| ")]
    captions = [part for part in page.split("\n\n") if part.startswith("*")]
    assert len(tables) > len(captions) > 8
    captions = [one for one in captions if "mien study tiny.toml" in one]
    assert len(captions) > 8
    assert all("clips of" in one for one in captions)
    assert all("synthetic" in one for one in captions if one.startswith("*planted-3"))


@pytest.mark.slow
def test_every_figure_of_the_page_is_there(carried_out):
    place, _ = carried_out
    page = (place / "out" / "index.md").read_text()
    files = [line.split("(")[1].rstrip(")") for line in page.splitlines() if line[:2] == "!["]
    assert {"planted-3-labels.png", "burst-scores.png", "burst-attention.png"} <= set(files)
    for file in files:
        assert (place / "out" / file).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_results_are_numbers_that_json_holds(carried_out):
    place, report = carried_out
    read = json.loads((place / "out" / "results.json").read_text())
    assert read == json.loads(json.dumps(report.results))
    points = [(one["at"], one["corpus"]) for one in read["sweeps"][0]["points"]]
    assert points == [(0.05, "burst-0.05"), (0.1, "burst-0.1")]


@pytest.mark.slow
def test_models_say_how_many_parameters_they_have(carried_out):
    _, report = carried_out
    variants = report.results["corpora"]["planted-3"]["variants"]
    assert variants["copy"]["num_parameters"] == variants["distance"]["num_parameters"] > 1000


def few(place, **options):
    options = {"only": ["copy"], "corpora": ["planted-3"], **options}
    return read_study(place / "tiny.toml", **options)


def carry_out(study, notes=None):
    """Make the runs of a study in this process, and judge nothing."""
    notes = notes or Notes()
    prepared = prepare_corpora(study, study.corpora, num_workers=1, listener=notes)
    return run_jobs(study.name, plan_jobs(study, prepared), num_workers=1, listener=notes)


def test_what_is_cached_is_not_trained_again(place, trainings):
    first = carry_out(few(place))
    assert len(trainings.begun) == 2
    notes = Notes()
    again = carry_out(few(place), notes)
    assert len(trainings.begun) == 2
    assert notes.stages["tiny: runs"] == 0
    assert [one.job for one in again] == [one.job for one in first]
    assert [one.is_cached for one in (*first, *again)] == [False, False, True, True]


def test_a_study_that_was_stopped_goes_on(place, trainings):
    trainings.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        carry_out(few(place))
    trainings.stop_at = None
    assert [one.status for one in carry_out(few(place))] == ["finished", "finished"]
    assert len(set(trainings.begun)) == len(trainings.begun) == 2


def test_a_run_killed_before_it_began_is_made(place, trainings):
    carry_out(few(place, seeds=[1]))
    folder = trainings.begun[0]
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / ".config.toml.half").write_text("")
    carry_out(few(place, seeds=[1]))
    assert trainings.begun == [folder, folder]


def test_other_settings_seeds_or_data_are_other_runs(place, trainings):
    carry_out(few(place, seeds=[1]))
    for options in (
        {"seeds": [3]},
        {"seeds": [1], "overrides": ["train.batch_size=7"]},
        {"seeds": [1], "overrides": ["planted.seed=4"]},
    ):
        before = len(trainings.begun)
        carry_out(few(place, **options))
        assert len(trainings.begun) == before + 1


def test_a_run_that_diverged_is_not_tried_again(place, trainings):
    wild = few(place, seeds=[1], overrides=["train.learning_rate.rest=1e30"])
    for is_cached in (False, True):
        (outcome,) = carry_out(wild)
        assert (outcome.status, outcome.is_cached) == ("diverged", is_cached)
        assert outcome.reason.startswith("training diverged in epoch 1")
    assert len(trainings.begun) == 1


def test_variants_with_the_same_settings_share_a_run(place, trainings):
    write(place, ('set = ["labels.generator=distance", "labels.weight=difference"]', "set = []"))
    same = ["labels.generator=copy"]
    study = few(place, only=["distance"], seeds=[1], overrides=same)
    results = run_study(study, place / "out").results
    assert len(trainings.begun) == 1
    entries = results["corpora"]["planted-3"]["scores"]["test"]["fusion"]["metrics"]["mae"]
    assert entries["copy"]["mean"] == entries["distance"]["mean"]
    assert entries["distance"]["less"]["copy"]["difference"] == 0


def test_other_code_makes_its_own_runs_unless_any_will_do(place, trainings, monkeypatch):
    carry_out(few(place, seeds=[1]))
    for module in ("mien.studies.runner", "mien.studies.study"):
        monkeypatch.setattr(
            f"{module}.code_fingerprint", lambda name: f"changed{code_fingerprint(name)}"
        )
    report = run_study(few(place, seeds=[1]), place / "out", code="any")
    assert len(trainings.begun) == 1
    assert report.results["num_other_code"] == 1
    assert "**1 of 1 runs were made by other code" in (place / "out" / "index.md").read_text()
    carry_out(few(place, seeds=[1]))
    assert len(trainings.begun) == 2


def test_a_run_that_cannot_be_written_ends_the_study_and_is_not_refused(place, monkeypatch):
    def fail(*_, **__):
        raise OutputError("run: cannot be written (No space left on device)")

    monkeypatch.setattr(mien.studies.runner, "train", fail)
    study = read_study(place / "tiny.toml", only=["copy"], corpora=["planted-3"], seeds=[1])
    with pytest.raises(OutputError, match="No space left"):
        run_study(study, place / "out", command="mien study tiny.toml")


def test_a_variant_that_does_not_fit_is_refused_and_the_others_go_on(place):
    write(
        place,
        ('"labels.weight=difference"', '"features.audio=nothing"'),
        ('against = ["distance"]', ""),
    )
    report = run_study(few(place, only=["distance"], seeds=[1]), place / "out")
    variants = report.results["corpora"]["planted-3"]["variants"]
    assert "has no series 'nothing'" in variants["distance"]["refusal"]
    assert variants["copy"]["runs"]["1"]["status"] == "finished"
    page = (place / "out" / "index.md").read_text()
    assert "`distance` does not fit this corpus" in page


def test_a_study_of_which_nothing_finished_is_a_sentence(place):
    study = read_study(
        place / "tiny.toml", corpora=["planted-3"], overrides=["train.learning_rate.rest=1e30"]
    )
    with pytest.raises(TrainingError, match=r"tiny: no run finished; the first: training diverged"):
        run_study(study, place / "out")


def test_corpora_that_are_not_given_are_said_and_without_any_there_is_a_sentence(place, caplog):
    study = read_study(place / "tiny.toml", only=["copy"], corpora=["planted-3", "real"], seeds=[1])
    run_study(study, place / "out")
    assert "real is left out" in caplog.text
    assert (
        "`real` was left out: no store was given (--store real=PATH)"
        in (place / "out" / "index.md").read_text()
    )
    with pytest.raises(TrainingError, match=r"no corpus is there; give .*--store real=PATH"):
        run_study(few(place, corpora=["real"]), place / "out")


def test_the_key_of_a_run_is_the_same_in_every_plan(place):
    study = few(place)
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
        "mien.labels.centroids",
    } <= set(modules)
    assert not {
        "mien.reports.page",
        "mien.reports.figures.style",
        "mien.cli",
        "mien.studies.study",
    } & set(modules)


@pytest.mark.slow
def test_work_is_done_side_by_side_in_other_processes():
    found = dict(side_by_side(abs, [-1, -2, -3], 2))
    assert found == {-1: 1, -2: 2, -3: 3}


@pytest.mark.slow
def test_a_process_that_is_killed_is_a_sentence():
    with pytest.raises(TrainingError, match=r"a process of the study was killed"):
        list(side_by_side(os._exit, [1, 1], 2))


@pytest.mark.slow
def test_the_command_trains_side_by_side_and_writes_the_page(place, capsys):
    words = ["study", "tiny.toml", "--corpus", "planted-3", "--only", "distance", "--jobs", "2"]
    words += ["--seeds", "1"]
    assert main([*words, "--set", "planted.num_clips=40", "--out", "page"]) == 0
    printed, shown = capsys.readouterr()
    assert printed.strip() == "page/index.md"
    assert "2/2" in shown
    page = (place / "page" / "index.md").read_text()
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
@pytest.mark.usefixtures("place")
def test_an_option_that_cannot_be_read_is_a_sentence(capsys, words, message):
    assert main(["study", "tiny.toml", *words]) == 2
    assert message in capsys.readouterr().err
