import json

import numpy as np
import pytest
from fake_runs import write_run

from mien.evaluation.label_agreement import agreement
from mien.reports.figures.run import _curves, draw_figures
from mien.reports.finished_run import read_labels, read_run
from mien.types import Modality, Scale


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", num_epochs=3)


def test_agreement_by_epoch_is_that_of_the_label_trajectory(run):
    finished = read_run(run)
    curves = _curves(finished, Modality.AUDIO)
    seed = finished.seeds[1]
    labels = read_labels(seed)
    truth = labels.truth[Modality.AUDIO]
    expected = agreement(seed.label_trajectory()[2, 1].astype(np.float64), truth, labels.annotated)
    assert curves.generated[1112][0][2] == pytest.approx(expected.everywhere.pearson)
    assert curves.generated[1112][1][2] == pytest.approx(expected.conflicting.pearson)
    assert curves.num_disagreeing == expected.conflicting.num_clips
    copied = run.metrics()["labels"]["audio"]["copy"]
    assert curves.copies == pytest.approx(
        [copied[part]["pearson"]["mean"] for part in ("everywhere", "conflicting")]
    )


def test_a_truth_that_is_partly_known_is_compared_where_it_is(run):
    for seed in run.seeds:
        path = seed.path / "train.json"
        clips = json.loads(path.read_text())
        clips["truth"]["text"][:20] = [None] * 20
        path.write_text(json.dumps(clips))
    seed = read_run(run).seeds[0]
    labels = read_labels(seed)
    given = seed.label_trajectory()[0, 0, 20:].astype(np.float64)
    expected = agreement(given, labels.truth[Modality.TEXT][20:], labels.annotated[20:])
    curves = _curves(read_run(run), Modality.TEXT)
    assert curves.generated[1111][0][0] == pytest.approx(expected.everywhere.pearson)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (
            {},
            ["learning-curves", "scores", "generated-labels", "agreement-with-truth", "attention"],
        ),
        (
            {"has_truth": False, "has_attention": False, "modalities": (Modality.TEXT,)},
            ["learning-curves", "scores", "generated-labels"],
        ),
        (
            {"splits": ("valid",), "has_truth": False, "corpus": "mine", "scale": Scale(-2, 2)},
            ["learning-curves", "scores", "generated-labels", "attention"],
        ),
    ],
)
def test_a_figure_with_nothing_to_show_is_left_out_and_an_old_one_removed(tmp_path, options, names):
    run = write_run(tmp_path / "run", seeds=(1,), num_epochs=2, **options)
    (run.path / "figures").mkdir()
    for old in ("attention", "agreement-with-truth"):
        (run.path / "figures" / f"{old}.png").write_bytes(b"old")
    pictures = draw_figures(read_run(run))
    assert [one.file for one in pictures] == [f"figures/{name}.png" for name in names]
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
    assert len(titles) == 5
    assert all("synthetic corpus" in " ".join(title.split()) for title in titles)
