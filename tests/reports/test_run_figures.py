import json

import pytest
from fake_runs import EMOTION, settle_labels, write_run

from mien.reports.figures.run import draw_figures
from mien.reports.finished_run import read_run
from mien.types import Modality, Scale, Target, TargetKind


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", num_epochs=3)


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        pytest.param({"target": EMOTION}, set(), marks=pytest.mark.drawn),
        (
            {"has_truth": False, "has_attention": False, "modalities": (Modality.TEXT,)},
            {"agreement-with-truth", "attention"},
        ),
        (
            {"splits": ("valid",), "has_truth": False, "corpus": "mine", "scale": Scale(-2, 2)},
            {"agreement-with-truth"},
        ),
    ],
)
def test_a_figure_with_nothing_to_show_is_left_out_and_an_old_one_removed(tmp_path, options, gone):
    run = write_run(tmp_path / "run", seeds=(1,), num_epochs=2, **options)
    (run.path / "figures").mkdir()
    for old in ("attention", "agreement-with-truth"):
        (run.path / "figures" / f"{old}.png").write_bytes(b"old")
    pictures = draw_figures(read_run(run))
    names = [one.file.removeprefix("figures/").removesuffix(".png") for one in pictures]
    known = ["learning-curves", "scores", "generated-labels", "agreement-with-truth", "attention"]
    assert [name for name in names if name in known] == [n for n in known if n not in gone]
    assert {p.stem for p in (run.path / "figures").iterdir()} == set(names)
    for one in pictures:
        assert (run.path / one.file).read_bytes().startswith(b"\x89PNG")
        assert one.caption.endswith(".")


def test_synthetic_is_said_in_the_title_of_every_figure(run, monkeypatch):
    titles = []
    monkeypatch.setattr(
        "mien.reports.figures.run.save_figure",
        lambda figure, _: titles.append(figure.get_suptitle()),
    )
    draw_figures(read_run(run))
    assert len(titles) >= 5
    assert all("synthetic corpus" in " ".join(title.split()) for title in titles)


def test_labels_that_no_longer_change_are_drawn_once_with_intervals(run, monkeypatch):
    settle_labels(run)
    for seed in run.seeds:
        path = seed.path / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epoch": 3}))
    path = run.path / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epochs": [3, 3]}))
    figures = {}
    monkeypatch.setattr(
        "mien.reports.figures.run.save_figure",
        lambda figure, path: figures.__setitem__(path.stem, figure),
    )
    captions = {picture.title: picture.caption for picture in draw_figures(read_run(run))}
    assert len(figures["generated-labels"].axes) == 3
    assert "from epoch 2 of seed 1111 on" in captions["Generated labels"]
    axes = figures["agreement-with-truth"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["generated", "copy"]
    assert "no longer changed" in captions["Agreement with truth"]


@pytest.mark.usefixtures("drawing")
def test_figures_are_also_written_in_another_format_and_kept_up_to_date(tmp_path):
    run = write_run(
        tmp_path / "run", seeds=(1,), num_epochs=2, has_truth=False, has_attention=False
    )
    pictures = draw_figures(read_run(run), "svg")
    figures = run.path / "figures"
    assert all(picture.file.endswith(".png") for picture in pictures)
    assert sorted(p.suffix for p in figures.iterdir()) == [".png"] * 3 + [".svg"] * 3
    first = (figures / "scores.svg").read_bytes()
    (figures / "scores.svg").write_bytes(b"old")
    draw_figures(read_run(run))
    assert (figures / "scores.svg").read_bytes() == first
    assert not list(figures.glob("*.pdf"))


@pytest.mark.usefixtures("drawing")
def test_targets_have_a_confusion_and_a_reliability_curve(tmp_path):
    run = write_run(tmp_path / "run", seeds=(1,), num_epochs=2, target=EMOTION)
    drawn = {one.file: one for one in draw_figures(read_run(run))}
    confusion = drawn["figures/confusion-1.png"]
    assert confusion.title == "Confusion of emotion"
    assert "emotion are taken for which on test: each row is an" in confusion.caption
    assert "the likeliest class of emotion" in drawn["figures/reliability-1.png"].caption
    labels = Target(name="emotion", kind=TargetKind.LABELS, classes=EMOTION.classes)
    run = write_run(tmp_path / "labels", seeds=(1,), num_epochs=2, target=labels)
    names = {one.file for one in draw_figures(read_run(run))}
    assert "figures/reliability-1.png" in names
    assert "figures/confusion-1.png" not in names
