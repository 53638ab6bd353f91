"""The picture of an answer: dots for one utterance, told-apart lines for several."""

import json

import pytest
from matplotlib.colors import to_hex
from stand_in_emotions import Emotional, add_targets
from stand_in_models import FACTS, SCALE, answer, score

from mien.prediction.presentation.colored_words import LOWERS, RAISES
from mien.prediction.result import Prediction
from mien.prediction.target_answers.target_words import summarise_targets
from mien.reports.figures.style import render_png
from mien.types import Modality


def predict(count, **changes):
    answers = [answer(i, start=8.0 * i, end=8.0 * i + 7.6) for i in range(count)]
    answers[0] = answers[0].model_copy(update=changes)
    return Prediction(
        source="a.mp4",
        seconds=8.0 * count,
        scale=SCALE,
        level=0.9,
        answers=tuple(answers),
        model=FACTS,
    )


def test_a_single_utterance_is_four_dots_each_with_its_interval():
    lines = [line for axes in predict(1).plot().axes for line in axes.lines]
    dots = [line for line in lines if line.get_marker() == "o"]
    intervals = [line for line in lines if line.get_linewidth() == 7]
    assert len(dots) == len(intervals) == 4
    for dot, interval in zip(dots, intervals, strict=True):
        low, high = interval.get_xdata()
        assert low < float(dot.get_xdata()[0]) < high


def test_the_legend_has_what_is_drawn():
    def keys(given):
        return [text.get_text() for text in given.plot().legends[0].get_texts()]

    assert keys(predict(1))[:2] == ["overall", "text alone"]
    silent = {"unimodal": {Modality.TEXT: score(1.0)}, "steps": {}}
    assert keys(predict(1, **silent))[0] == "text alone"


def test_lines_over_time_are_told_apart_without_their_colour():
    scores = predict(2).plot().axes[0]
    looks = {(line.get_linestyle(), line.get_linewidth()) for line in scores.lines[1:5]}
    assert len(looks) == 4


@pytest.mark.parametrize(
    ("value", "doubt"), [(0.3, "but uncertain (-0.6 to +1.2)"), (1.3, None), (-2.5, None)]
)
def test_the_title_says_that_a_score_is_uncertain_only_where_it_is(value, doubt):
    texts = [text.get_text() for text in predict(1, score=score(value)).plot().texts]
    heads = [text for text in texts if text.startswith("a.mp4: ")]
    assert len(heads) == 1
    assert ("uncertain" in heads[0]) == (doubt is not None)
    assert doubt is None or heads[0].endswith(doubt)


def test_without_sentiment_words_are_coloured_by_what_they_do_to_the_likeliest_class():
    told = add_targets(answer(0, start=0.0, end=7.6), 0, has_sentiment=False)
    given = predict(1).model_copy(
        update={
            "answers": (told,),
            "scale": None,
            "level": None,
            "targets": Emotional.network.targets,
        }
    )
    figure = given.plot()
    effects = [word.effect for word in told.targets["emotion"].words]
    wanted = [RAISES if effect > 0 else LOWERS for effect in effects if abs(effect) > 0.014]
    written = [axes for axes in figure.axes if len(axes.texts) > 2][-2:]
    colours = [
        to_hex(patch.get_facecolor())
        for axes in written
        for patch in axes.patches
        if to_hex(patch.get_facecolor()) in (RAISES, LOWERS)
    ]
    assert colours == wanted
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "colour of a word: what the probability of the likeliest class would change" in texts


@pytest.mark.drawn
def test_no_name_of_a_class_is_read_as_a_formula():
    told = add_targets(answer(0, start=0.0, end=7.6), 0, has_sentiment=True)
    given = predict(1).model_copy(update={"answers": (told,), "targets": Emotional.network.targets})
    name = Emotional.network.targets[0].classes[0]
    text = given.model_dump_json().replace(json.dumps(name), json.dumps(r"$\frac$"))
    figure = Prediction.model_validate_json(text).plot()
    render_png(figure)
    labels = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert r"$\frac$" in labels


def test_the_line_above_the_words_has_whole_parts_and_first_what_is_lacking():
    told = add_targets(answer(0, start=0.0, end=7.6), 0, has_sentiment=True)
    told = told.model_copy(update={"absent": {Modality.VIDEO: "no face"}})
    targets = tuple(f.model_copy(update={"name": f.name * 9}) for f in Emotional.network.targets)
    named = {facts.name * 9: told.targets[facts.name] for facts in Emotional.network.targets}
    told = told.model_copy(update={"targets": named})
    given = predict(1).model_copy(update={"answers": (told,), "targets": targets})
    (head,) = [t.get_text() for t in given.plot().texts if "no video: no face" in t.get_text()]
    shown = head.split("   ")
    parts = summarise_targets(targets, named)
    assert shown[1:3] == ["text and audio disagree", "no video: no face"]
    assert shown[3:] == [*[part for part in parts if part in shown], "…"]
    assert 0 < len(shown) - 4 < len(parts)


@pytest.mark.parametrize("has_sentiment", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_no_part_ends_below_the_picture(count, has_sentiment):
    told = [
        add_targets(answer(i, start=8.0 * i, end=8.0 * i + 7.6), i, has_sentiment=has_sentiment)
        for i in range(count)
    ]
    changes = {"answers": tuple(told), "targets": Emotional.network.targets}
    if not has_sentiment:
        changes |= {"scale": None, "level": None}
    for given in (predict(count), predict(count).model_copy(update=changes)):
        figure = given.plot()
        lowest = min(axes.get_position().y0 for axes in figure.axes) * figure.get_figheight()
        assert 0.05 <= lowest <= 0.3  # inches: as near as the margins are, and inside
