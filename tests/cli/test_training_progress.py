"""What a training prints: what it does, for how long at most, and where it is; and its log."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import make_config
from targeted import EMOTION, VALENCE

from mien.cli.progress import TrainingProgress
from mien.cli.progress.pace import EpochPace
from mien.cli.progress.plan_lines import format_bound
from mien.pretrained.registry import known_assets
from mien.training.listening import EpochRecord, RunPlan
from mien.training.settings import TrainConfig, list_configs, read_config, read_recipe

VALID = {"mae": 0.9, "corr": 0.5}


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """What torch knows of the processor: nothing, unless a test adds to it."""
    has = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    return has


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless ``now`` is set."""
    now = SimpleNamespace(now=100.0)
    frozen = SimpleNamespace(monotonic=lambda: now.now, strftime=lambda _: "started")
    monkeypatch.setattr("mien.cli.progress.training_progress.time", frozen)
    monkeypatch.setattr("mien.cli.progress.seeds_board.time", frozen)
    return now


def make_plan(
    folder, *, encoder="minilm", seeds=(1, 2), ended=(), jobs=0, text_encoder=None, **train
):
    config = make_config(
        train={"epochs": 10, "patience": 3, "seeds": list(seeds), **train},
        text_encoder=text_encoder or {"name": "minilm"},
    )
    return RunPlan(
        folder=folder,
        store=Path("stores/own"),
        config=config,
        text_encoder=encoder,
        device="cpu",
        num_clips={"train": 1284, "valid": 229},
        seeds=seeds,
        ended=ended,
        jobs=jobs,
    )


def make_record(epoch, seconds=2.0, *, is_best=True):
    return EpochRecord(
        epoch=epoch,
        losses={"fusion": 0.5},
        valid=VALID,
        clipped=0.0,
        is_best=is_best,
        seconds=seconds,
    )


def printed(capsys):
    return capsys.readouterr().err.splitlines()


def begin(name="own", *, encoder, folder=Path("runs/own"), published=None, **plan):
    with TrainingProgress(name, published) as progress:
        progress.on_begin(make_plan(folder, encoder=encoder, **plan))


def test_a_training_begins_with_what_it_does(capsys):
    begin(encoder="minilm")
    first, second = printed(capsys)
    assert first == "own: model tam_ulag, labels ulag, text encoder minilm (finetune), on cpu"
    assert second == "stores/own: 1,284 train, 229 valid clips; 2 seeds: 1, 2; to runs/own"
    begin(encoder=None, seeds=tuple(range(10)), ended=(0, 1))
    first, second = printed(capsys)
    assert "text as given states" in first
    assert "10 seeds, 0 to 9, 2 of them trained already" in second
    begin(encoder=None, seeds=(1,), ended=(1,))
    assert "; seed 1, trained already; to" in printed(capsys)[1]


@pytest.mark.parametrize(
    ("targets", "has_sentiment", "line"),
    [
        ({}, True, "learns sentiment, emotion, valence; sentiment alone: --set targets.use=[]"),
        ({"use": ["emotion", "valence"]}, True, "learns sentiment, emotion, valence"),
        ({}, False, "learns emotion, valence"),
    ],
)
def test_a_training_begins_with_what_it_learns_besides_sentiment(
    capsys, targets, has_sentiment, line
):
    plan = make_plan(Path("runs/own"))
    plan = replace(
        plan,
        config=make_config(targets=targets),
        targets=(EMOTION, VALENCE),
        has_sentiment=has_sentiment,
    )
    with TrainingProgress("own", None) as progress:
        progress.on_begin(plan)
    assert printed(capsys)[2] == line


def test_classes_that_are_called_sentiment_are_told_apart_from_scores_of_it(capsys):
    named = replace(EMOTION, name="sentiment")
    plan = replace(make_plan(Path("runs/own")), targets=(named,), has_sentiment=True)
    with TrainingProgress("own", None) as progress:
        progress.on_begin(plan)
    assert printed(capsys)[2] == (
        "learns sentiment, sentiment (one of neg, neu, pos); sentiment alone: --set targets.use=[]"
    )


def test_the_small_encoder_that_nobody_chose_is_named_with_what_a_larger_one_costs(capsys):
    begin(encoder="minilm", text_encoder={"name": "auto"})
    _, _, note, remedy = printed(capsys)
    assert note.startswith("note: minilm is small; mpnet, of base size, takes 8 times the arith")
    assert "(docs/results.md)" in note
    assert remedy.strip() == (
        "to use it: mien assets get mpnet (439 MB), and --set text_encoder.name=mpnet"
    )
    assert known_assets()["minilm"].larger in known_assets()


@pytest.mark.parametrize(
    ("encoder", "text"),
    [
        ("minilm", {"name": "minilm"}),
        ("minilm", {"mode": "frozen"}),
        ("e5-small", {"name": "auto"}),
        ("models/bert-base-uncased", {"name": "auto"}),
        (None, {"name": "auto"}),
    ],
)
def test_a_larger_encoder_is_not_named_where_it_is_no_choice(capsys, encoder, text):
    begin(encoder=encoder, text_encoder=text)
    assert len(printed(capsys)) == 2


@pytest.mark.parametrize("instruction", ["avx512_bf16", "amx_bf16", "bf16"])
def test_bf16_is_named_where_the_processor_multiplies_in_it(capsys, processor, instruction):
    processor[instruction] = True
    begin(encoder="mpnet", text_encoder={"mode": "lora-6"})
    assert "bf16: --set train.precision=bf16 takes about half of the time" in printed(capsys)[2]
    begin(encoder="mpnet", text_encoder={"mode": "frozen"})
    begin(encoder=None)
    begin(encoder="mpnet", precision="bf16")
    begin(encoder="mpnet", ended=(1,))  # with another precision it would be another run
    processor[instruction] = False
    begin(encoder="mpnet")
    assert len(printed(capsys)) == 10


@pytest.mark.parametrize("encoder", ["minilm", None])
def test_published_settings_without_their_encoder_say_what_to_type(capsys, encoder):
    begin("tam_ulag-mosi", encoder=encoder, published=read_recipe("tam_ulag-mosi"))
    _, _, note, remedy = printed(capsys)
    assert "made with bert-base-uncased" in note
    assert "not comparable" in note
    assert "--set text_encoder.name=FOLDER" in remedy
    assert "=bert-base-uncased" in remedy
    assert remedy.endswith(": tam_ulag-mosi-ours")


def test_published_settings_with_an_encoder_of_the_users_say_no_more(capsys):
    published = read_recipe("tam_ulag-mosi")
    for encoder in ("models/bert-base-uncased", "bert-base-uncased"):
        begin("tam_ulag-mosi", encoder=encoder, published=published)
        assert len(printed(capsys)) == 2


@pytest.mark.parametrize("name", list_configs())
def test_the_settings_that_are_published_say_so_and_name_ours(name):
    published = read_recipe(name)
    own = ("-ours", "-base", "-planted", "-planted-emotions", "-text", "-text-finetuned", "-audio")
    is_own = name.endswith((*own, "-video"))
    is_published = read_config(name).model.name in ("tam_ulag", "self_mm") and not is_own
    assert (published is not None) == is_published  # the field's models have one file for all
    if published is not None:
        ours, theirs = read_config(published.ours), read_config(name)
        assert (ours.corpus, ours.model.name) == (theirs.corpus, theirs.model.name)


def test_the_time_is_said_once_enough_steps_were_measured(capsys, clock, tmp_path):
    with TrainingProgress("own") as progress:
        progress.on_begin(make_plan(tmp_path))
        progress.on_seed(1, 1, 2)
        clock.now += 20  # evidence, or whatever comes before the epochs
        for step in range(1, 9):
            clock.now += 30 if step == 1 else 2
            progress.on_step(1, 10 * step, 100)
            lines = printed(capsys)
            if step < 4:
                assert not any("an epoch" in line for line in lines)
            elif step == 4:
                # 2 s for 10 clips of 100; the first step took longer
                left = 10 * 20 + (50 + 10 * 20)
                assert lines == [
                    "about 20 s an epoch; at most 10 epochs, so at most "
                    f"{left // 60}:{left % 60:02d} for 2 seeds; stops early after 3 epochs without "
                    "improvement"
                ]
            else:
                assert lines == []


@pytest.mark.parametrize(
    ("num_left", "patience", "expected"),
    [
        (1, 1, "at most 1 more epoch, so at most 0:02; stops early after 1 epoch without"),
        (2, 3, "at most 2 more epochs, so at most 0:02; stops early after 3 epochs without"),
    ],
)
def test_one_epoch_is_no_epochs(num_left, patience, expected):
    config = TrainConfig(epochs=10, patience=patience)
    times = {"epoch_seconds": 2.0, "run_seconds": 2.0, "num_seeds": 1}
    assert expected in format_bound(config, num_left=num_left, **times)


@pytest.mark.usefixtures("clock")
def test_the_time_of_short_epochs_is_said_when_the_first_has_ended(capsys, tmp_path):
    plan = make_plan(tmp_path, seeds=(1,), patience=10)
    with TrainingProgress("own") as progress:
        progress.on_begin(plan)
        progress.on_seed(1, 1, 1)
        progress.on_step(1, 100, 100)
        progress.on_epoch(make_record(1), plan.config.train)
        progress.on_epoch(make_record(2, 4.0, is_best=False), plan.config.train)
    *_, header, bound, _, heading, first, second = printed(capsys)
    assert header == "seed 1 (1 of 1)"
    assert bound.startswith("about 2.0 s an epoch; at most 9 more epochs, so at most 0:18")
    assert heading.split() == ["epoch", "fusion", "mae", "corr", "best"]
    assert first.split()[:5] == ["1/10", "0.500", "0.900", "0.500", "1*"]
    assert first.endswith("2.0 s, at most 0:18 left")
    assert second.split()[4] == "1"
    assert second.endswith("4.0 s, at most 0:24 left")


def test_a_seed_begins_with_its_number_and_the_time_of_the_run(capsys, clock, tmp_path):
    with TrainingProgress("own") as progress:
        progress.on_begin(make_plan(tmp_path, seeds=(1, 2, 3, 4), ended=(1,)))
        for seed in (2, 3, 4):
            progress.on_seed(seed, seed, 4)
            clock.now += 60
    headers = [line for line in printed(capsys) if line.startswith("seed")]
    assert headers == [
        "seed 2 (2 of 4)",
        "seed 3 (3 of 4), 1:00 so far, about 2:00 left",
        "seed 4 (4 of 4), 2:00 so far, about 1:00 left",
    ]


def test_a_seed_that_goes_on_knows_its_best_epoch(capsys, clock, tmp_path):
    with TrainingProgress("own") as progress:
        progress.on_begin(make_plan(tmp_path, seeds=(1,)))
        progress.on_seed(1, 1, 1)
        progress.on_resume((make_record(1), make_record(2, is_best=False)))
        clock.now += 1
        progress.on_epoch(make_record(3, is_best=False), make_plan(tmp_path).config.train)
    lines = printed(capsys)
    assert "goes on after epoch 2; the best so far is 1" in lines
    assert lines[-1].split()[4] == "1"


def test_of_seeds_side_by_side_every_line_names_its_own(capsys, clock, tmp_path):
    plan = make_plan(tmp_path, seeds=(1, 2, 3), jobs=2)
    with TrainingProgress("own") as progress:
        progress.on_begin(plan)
        progress.on_seed(1, 1, 3)
        progress.on_seed(2, 2, 3)
        progress.on_seed_epoch(2, make_record(1), plan.config.train)
        progress.on_seed_epoch(1, make_record(1), plan.config.train)
        progress.on_seed_epoch(2, make_record(2, 12.0, is_best=False), plan.config.train)
        clock.now += 60
        progress.on_seed_end(2, 2, 3)
        progress.on_seed(3, 3, 3)
        clock.now += 60
        progress.on_seed_end(1, 1, 3)
        progress.on_seed_end(3, 3, 3)
    _, what, *begun, _, heading, first, second, third, end, _, _, last = printed(capsys)
    assert "3 seeds: 1, 2, 3, 2 at a time" in what
    assert begun == ["seed 1 (1 of 3) begins", "seed 2 (2 of 3) begins"]
    assert heading.split() == ["epoch", "fusion", "mae", "corr", "best"]
    assert first.split()[:5] == ["seed", "2", "(2", "of", "3)"]
    assert first.split()[5:] == ["1/10", "0.500", "0.900", "0.500", "1*", "2.0", "s"]
    assert second.startswith("seed 1 (1 of 3)  1/10")
    assert third.endswith(" 1  12 s")
    assert end == "seed 2 (2 of 3) has ended, 1:00 so far, about 2:00 left"
    assert last == "seed 3 (3 of 3) has ended, 2:00 so far"


def test_the_lines_and_the_log_are_kept_in_the_run_folder_and_added_to(capsys, clock, tmp_path):
    folder = tmp_path / "r"
    with TrainingProgress("own") as progress:
        progress.on_begin(make_plan(folder))
    assert not folder.exists()  # nothing of a run that ended before it had a folder
    before = printed(capsys)
    for start in (1, 2):
        with TrainingProgress("own") as progress:
            progress.on_begin(make_plan(folder))
            progress.on_stage("loading the data")
            folder.mkdir(exist_ok=True)
            progress.on_seed(start, start, 2)
            logging.getLogger("mien.training").warning("a warning of %s", start)
            clock.now += 1
    logging.getLogger("mien.training").warning("nobody listens")
    lines = (folder / "train.log").read_text(encoding="utf-8").splitlines()
    each = ["started", *before, "loading the data"]
    assert lines == [
        *each, "seed 1 (1 of 2)", "a warning of 1", *each, "seed 2 (2 of 2)", "a warning of 2",
    ]  # fmt: skip
    assert [line for line in printed(capsys) if line.startswith("seed")] == [
        "seed 1 (1 of 2)",
        "seed 2 (2 of 2)",
    ]


def test_the_pace_of_whole_epochs_is_that_of_the_last_three():
    pace = EpochPace()
    assert pace.epoch_seconds is None
    for seconds in (50.0, 1.0, 2.0, 3.0):
        pace.note_epoch(seconds)
    assert pace.epoch_seconds == 2.0
