"""Models evaluated on stores that do not fit them, or not quite, and where the results go."""

import json
import shutil
from dataclasses import replace

import pytest
from helpers import make_config, make_material
from targeted import EMOTION, make_targeted, values_of

from mien.cli import main
from mien.config import read_toml
from mien.data.store_writer import write_store
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.metrics_file.evaluation_folder import EvaluationFolder
from mien.reports.run_text import format_rounding, format_run
from mien.training.experiment import evaluate, evaluate_rounding, train
from mien.training.loading import load_model
from mien.training.run_folder import open_run
from mien.types import Modality, Task


@pytest.fixture(scope="module")
def of_voices(tmp_path_factory):
    """A run that predicts emotions from voice and face alone, and its store; do not alter."""
    folder = tmp_path_factory.mktemp("voices")
    store = write_store(make_targeted((EMOTION,), sentiment=0), folder / "store")
    config = make_config(labels={"generator": "copy"}, text_encoder={"input": "none"})
    return train(config, store, folder / "run"), store


def _without_steps(material, names, is_lost):
    """Return series of some names without the steps of the clips whose place is lost."""
    series = tuple(
        replace(s, read=lambda s=s: (a[:0] if is_lost(i) else a for i, a in enumerate(s.read())))
        if s.name in names
        else s
        for s in material.series
    )
    return replace(material, series=series)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("run", "is of a run, whose own results would be lost"),
        ("run/seed-1", "is of a run, whose own results would be lost"),
        ("store", "is a store; name another folder"),
        ("file", "is a file; name a folder"),
    ],
)
def test_an_evaluation_is_not_written_over_anything_else(
    finished, tiny_store, tmp_path, place, what
):
    shutil.copytree(finished, tmp_path / "run")
    shutil.copytree(tiny_store.path, tmp_path / "store")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    for command in (evaluate, evaluate_rounding):
        with pytest.raises(ConfigError, match=f"--out .*{place}: {what}"):
            command(finished, split="valid", store=tiny_store, out=tmp_path / place)
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before
    assert evaluate(finished, split="valid", out=tmp_path / "run" / "valid")["splits"]["valid"]
    assert open_run(tmp_path / "run").results().seeds == (1,)


def test_an_evaluation_holds_what_was_evaluated_and_how_often_promises_held(of_voices, tmp_path):
    run, store = of_voices
    evaluate(run, store=store, out=tmp_path / "anew")
    evaluate(run, out=tmp_path / "own")
    evaluate(run.seeds[0].best, store=store, out=tmp_path / "file")
    evaluate(run, store=store, split="valid", out=tmp_path / "valid")
    anew, own, file, valid = (
        EvaluationFolder(tmp_path / name).model() for name in ("anew", "own", "file", "valid")
    )
    known = tuple(seed.results().covered for seed in run.seeds)
    assert known[0].targets["test"]["emotion"].num_clips > 0
    assert anew.coverage == own.coverage == file.coverage == known
    assert valid.coverage == ()  # there training made the sets
    assert anew.settings == own.settings == read_toml(run.path / "config.toml")
    assert file.settings["model"] == own.settings["model"]
    assert own.environment == run.environment()
    for key in ("versions", "store", "text_encoder"):
        assert anew.environment[key] == file.environment[key] == own.environment[key]
    assert anew.environment["num_clips"] == {"test": own.environment["num_clips"]["test"]}


@pytest.mark.parametrize("name", ["seed-check", "seed-7", "seeds"])
def test_an_evaluation_may_be_called_as_a_seed_where_there_is_no_run(finished, tmp_path, name):
    """A folder ``seed-check`` was written, and then refused as no run by what reads it."""
    evaluate(finished, out=tmp_path / name)
    assert EvaluationFolder.find(tmp_path / name) is not None
    shutil.copytree(finished, tmp_path / "run")
    out = tmp_path / "run" / name
    if name == "seed-7":
        with pytest.raises(ConfigError, match="is of a run, whose own results would be lost"):
            evaluate(finished, out=out)
    else:
        evaluate(finished, out=out)
        assert EvaluationFolder.find(out) is not None
    assert EvaluationFolder.find(tmp_path / "run" / "seed-1") is None


def test_another_scale_is_refused_before_anything_is_prepared(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.training.loading.prepare", lambda *_, **__: pytest.fail("prepared"))
    material = make_material()
    corpus = replace(
        material.corpus,
        scale=type(material.corpus.scale)(-1, 1),
        clips=tuple(replace(c, labels={Task.FUSION: 0.0}) for c in material.corpus.clips),
    )
    store = write_store(replace(material, corpus=corpus), tmp_path / "s")
    with pytest.raises(CheckpointError, match=r"was trained on labels from -3 to 3, those of"):
        load_model(finished, store)


def test_transcripts_in_another_language_are_told_of(finished, of_voices, tmp_path, caplog):
    material = make_material()
    chinese = replace(material, corpus=replace(material.corpus, language="zh"))
    with caplog.at_level("WARNING"):
        load_model(finished, write_store(chinese, tmp_path / "s"))
    assert "its transcripts are in language 'zh', those of the training were in 'en'" in caplog.text
    caplog.clear()
    run, _ = of_voices
    material = make_targeted((EMOTION,), sentiment=0)
    chinese = replace(material, corpus=replace(material.corpus, language="zh"))
    load_model(run.path, write_store(chinese, tmp_path / "t"))
    assert "language" not in caplog.text  # nothing of it is read


def test_a_store_that_is_annotated_for_other_things_alone_is_refused(
    finished, of_voices, tiny_store
):
    run, store = of_voices
    with pytest.raises(CheckpointError, match=r"predicts scores of sent.* for 'emotion' alone"):
        evaluate(finished, store=store)
    with pytest.raises(CheckpointError, match=r"predicts 'emotion', and .* for scores of .* alone"):
        evaluate(run, store=tiny_store)


def test_classes_that_are_called_sentiment_are_not_what_scores_of_it_are_compared_with(
    finished, tmp_path
):
    """As in MELD: a model of scores had no clips in test of such a store."""
    named = replace(EMOTION, name="sentiment")
    material = make_targeted(
        (named,), sentiment=0, values=lambda label: {"sentiment": values_of(label)["emotion"]}
    )
    store = write_store(material, tmp_path / "s")
    with pytest.raises(CheckpointError, match=r"predicts scores of sent.*for 'sentiment' alone; t"):
        evaluate(finished, store=store)


def test_clips_without_all_that_a_model_reads_are_no_evaluation(of_voices, tmp_path, caplog):
    run, _ = of_voices
    material = make_targeted((EMOTION,), sentiment=0)
    words = replace(material, series=tuple(s for s in material.series if s.name == "text"))
    with pytest.raises(CheckpointError, match=r"reads audio and video alone, and .* has no audio"):
        evaluate(run, store=write_store(words, tmp_path / "words"))
    silent = _without_steps(material, ("audio", "video"), lambda _: True)
    store = write_store(silent, tmp_path / "silent")
    with pytest.raises(CheckpointError, match=r"test have nothing of what the model reads \(audio"):
        evaluate(run, store=store)
    clips = [c for c in material.corpus.clips if c.split == "test"]
    lost = {material.corpus.clips.index(c) for c in clips if c.targets}
    lost = set(sorted(lost)[:3])
    some = write_store(
        _without_steps(material, ("audio", "video"), lost.__contains__), tmp_path / "some"
    )
    with caplog.at_level("WARNING"):
        evaluate(run, store=some)
    assert "3 of" in caplog.text
    assert "so that all of these are predicted alike" in caplog.text


def test_only_the_split_that_is_evaluated_is_spoken_of(of_voices, caplog):
    run, store = of_voices
    with caplog.at_level("INFO"):
        evaluate(run, store=store, split="train")
    assert "clips of train that have no multimodal label" in caplog.text
    assert "clips of test" not in caplog.text


def test_tables_of_one_file_say_nothing_of_seeds(of_voices):
    run, store = of_voices
    alone = evaluate(run.seeds[0].best, store=store)
    assert "emotion, unimodal tasks\n" in format_run(alone)
    assert "over the seeds" not in format_run(alone)
    assert "unimodal tasks, mean over the seeds\n" in format_run(evaluate(run, store=store))


def test_an_evaluation_on_train_is_printed(of_voices):
    """Only the names of the metrics were."""
    text = format_run(evaluate(of_voices[0], store=of_voices[1], split="train"))
    assert "train of tiny (synthetic corpus), emotion, multimodal task" in text


def test_what_8_bits_cost_is_shown_of_targets_too(of_voices):
    before = evaluate(of_voices[0])
    after = json.loads(json.dumps(before))
    after["targets"]["splits"]["test"]["emotion"]["fusion"]["uar"]["mean"] += 0.25
    lines = format_rounding(before, after).splitlines()
    assert [line.split()[1] for line in lines[2:]] == [
        "accuracy", "uar", "f1_weighted", "f1_macro", "log_loss"
    ]  # fmt: skip
    uar = before["targets"]["splits"]["test"]["emotion"]["fusion"]["uar"]["mean"]
    assert lines[3].split() == [
        "emotion:", "uar", "(UA)", "%", f"{100 * uar:.2f}", f"{100 * uar + 25:.2f}", "25.00"
    ]  # fmt: skip


def _narrow(material, name):
    """Return series of which one has other features than those that a model was trained on."""
    series = tuple(
        replace(s, size=2, feature_names=None, read=lambda s=s: (a[:, :2] for a in s.read()))
        if s.name == name
        else s
        for s in material.series
    )
    return replace(material, series=series)


@pytest.mark.parametrize("without", [("audio",), ("video", "audio"), ("text",)])
def test_what_is_left_out_is_as_if_the_store_had_none(finished, tmp_path, without):
    material = make_material()
    store = write_store(_narrow(material, without[0]), tmp_path / "other")
    with pytest.raises(CheckpointError, match=rf"leave out what differs .*--without {without[0]}"):
        evaluate(finished, store=store)
    given = evaluate(finished, store=store, without=without, out=tmp_path / "given")
    names = [str(m) for m in Modality if m in without]
    assert given["without"] == names
    assert list(EvaluationFolder(tmp_path / "given").results().without) == names
    assert f"Without {' and '.join(names)}: every clip is read as if it" in format_run(given)
    lacking = replace(material, series=tuple(s for s in material.series if s.name not in without))
    if "text" in without:  # states, which a store must have, be it for no clip
        lacking = _without_steps(material, without, lambda _: True)
    wanted = evaluate(
        finished, store=write_store(lacking, tmp_path / "lacking"), out=tmp_path / "wanted"
    )
    assert given["splits"] == wanted["splits"]
    name = "predictions-test-1.csv"
    assert (tmp_path / "given" / name).read_bytes() == (tmp_path / "wanted" / name).read_bytes()
    file = evaluate(finished / "seed-1" / "best.safetensors", store=store, without=without)
    assert file["splits"] == given["splits"]


def test_of_what_is_left_out_nothing_is_read(of_voices, monkeypatch):
    run, store = of_voices
    whole = evaluate(run, store=store)
    read = type(store).series
    monkeypatch.setattr(
        type(store),
        "series",
        lambda self, name: pytest.fail("read") if name == "audio" else read(self, name),
    )
    given = evaluate(run, store=store, without=["audio"])
    assert (
        given["targets"]["splits"]["test"]["emotion"]["fusion"]
        != (whole["targets"]["splits"]["test"]["emotion"]["fusion"])
    )
    assert "audio" not in given["targets"]["splits"]["test"]["emotion"]


def test_what_cannot_be_left_out_is_refused_in_a_sentence(
    finished, of_voices, tiny_store, tmp_path, capsys
):
    run, store = of_voices
    for model, data, given, sentence in (
        (finished, tiny_store, "voice", "--without 'voice': must be text, audio or video"),
        (finished, tiny_store, "text,audio,video", "reads nothing else; leave something in"),
        (run.path, store, "text", "reads audio and video alone; name something that it reads"),
        (finished, None, "audio", "--without audio: predictions without are made anew; give the"),
    ):
        at = [] if data is None else ["--store", str(data.path)]
        assert main(["evaluate", str(model), *at, "--without", given]) == 2
        assert sentence in capsys.readouterr().err
    options = ["--without", "video", "--without", "text", "--int8"]
    assert main(["evaluate", str(finished), "--store", str(tiny_store.path), *options]) == 2
    assert "--int8: computes the text encoder in 8 bits, and the" in capsys.readouterr().err
    material = make_targeted((EMOTION,), sentiment=0)
    heard = replace(material, series=tuple(s for s in material.series if s.name != "video"))
    of_heard = write_store(heard, tmp_path / "heard")
    with pytest.raises(CheckpointError, match=r"where audio is left out, .* has no video; take"):
        evaluate(run, store=of_heard, without=["audio"])


def test_series_that_a_model_was_not_trained_on_are_not_read(tmp_path):
    """A model of a store without video was refused on one that has some."""
    material = make_material()
    heard = replace(material, series=tuple(s for s in material.series if s.name != "video"))
    of_heard = write_store(heard, tmp_path / "heard")
    run = train(make_config(labels={"generator": "copy"}), of_heard, tmp_path / "run")
    store = write_store(material, tmp_path / "seen")
    assert evaluate(run, store=store)["splits"] == evaluate(run, store=of_heard)["splits"]
