import math

from mien.evaluation.significance import MetricResults, SourceResults
from mien.reports.figures.label_panels import (
    COURSES,
    LabelCourses,
    draw_agreement,
    draw_courses,
    marks_of,
)
from mien.reports.figures.style import save_figure
from mien.reports.label_trajectories import LabelTrajectory


def make_trajectory(everywhere, conflicting):
    num = 2 if everywhere is None else len(everywhere)
    return LabelTrajectory(
        best_epoch=num,
        clipped=(0.0,) * num,
        flipped=(0.25,) * num,
        moved=(0.5,) * num,
        everywhere=everywhere,
        conflicting=conflicting,
    )


def make_results(num_clips, **means):
    return MetricResults(
        num_clips=num_clips,
        num_clusters=num_clips,
        metrics={
            "pearson": {
                name: SourceResults(
                    mean=mean, deviation=None, values=(mean,), low=None, high=None, less={}
                )
                for name, mean in means.items()
            }
        },
    )


def drawn(axes):
    return [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 1]


def visible(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def test_generated_labels_are_drawn_beside_copies():
    agreement = {
        "everywhere": make_results(40, generated=0.6, copy=0.5),
        "conflicting": make_results(17, generated=0.1, copy=-0.95),
    }
    courses = LabelCourses(
        trajectories={"ulag": [make_trajectory((0.5, 0.6), (-0.9, 0.1))]},
        marks=marks_of(agreement, 0.3),
        num_clips={"everywhere": 40, "conflicting": 17},
    )
    figure = draw_courses({"text": courses}, ("everywhere", "conflicting", "flipped"), "t")
    top, middle, bottom = figure.axes
    assert drawn(top) == [[0.5, 0.5], [0.5, 0.6]]
    assert drawn(middle) == [[-0.95, -0.95], [-0.9, 0.1]]
    assert drawn(bottom) == [[0.3, 0.3], [0.25, 0.25]]
    assert middle.get_title(loc="left") == "text, 17 clips, contradicting"
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "epoch"]


def test_undefined_agreement_leaves_a_gap(tmp_path):
    courses = LabelCourses(
        trajectories={"ulag": [make_trajectory((0.5,), (None,))]}, marks={"everywhere": 0.5}
    )
    figure = draw_courses({"text": courses}, ("everywhere", "conflicting"), "t")
    assert math.isnan(figure.axes[1].lines[0].get_ydata()[0])
    save_figure(figure, tmp_path / "gap.png")
    assert (tmp_path / "gap.png").is_file()


def test_what_is_not_known_of_any_modality_has_no_row():
    courses = LabelCourses(trajectories={"ulag": [make_trajectory(None, None)]}, marks={})
    figure = draw_courses({"audio": courses}, tuple(COURSES), "t")
    assert visible(figure) == [
        f"audio, {COURSES[key][0]}" for key in ("moved", "flipped", "clipped")
    ]


def test_each_part_of_the_clips_has_its_panel_with_every_source():
    agreement = {
        "audio": {
            "everywhere": make_results(40, generated=0.6, copy=0.5),
            "conflicting": MetricResults(num_clips=0, num_clusters=0, metrics={}),
        }
    }
    figure = draw_agreement(agreement, "t")
    assert visible(figure) == ["audio, 40 clips, all", "audio, 0 clips, contradicting"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["generated", "copy"]
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [0.6, 0.5]
