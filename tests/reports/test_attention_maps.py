import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from mien.reports.figures.attention_maps import can_draw_words, draw_attention, words_of
from mien.reports.figures.style import COLOURS, save_figure
from mien.types import Task

LONG = "this clip goes on and on " * 12


def make_example(text="I am un ##happy now", weights=None, moment=None, **more):
    tokens = text.split()
    weights = [1 / len(tokens)] * len(tokens) if weights is None else weights
    return {
        "id": "video$_$7",
        "transcript": text,
        "target": -1.4,
        "scores": {"fusion": -1.0, "text": 0.5},
        "attention": {"text": {"weights": weights, "tokens": tokens, "moment": moment}, **more},
    }


def shades(figure):
    axes = next(a for a in figure.axes if a.patches and isinstance(a.patches[0], Rectangle))
    return {text.get_text(): patch for text, patch in zip(axes.texts, axes.patches, strict=True)}


def keys(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_word_is_shaded_by_the_sum_of_its_pieces_relative_to_the_largest():
    drawn = shades(draw_attention([make_example(weights=[0.1, 0.0, 0.2, 0.2, 0.5])], "t"))
    assert list(drawn) == ["I", "am", "unhappy", "now"]
    alphas = {word: patch.get_alpha() for word, patch in drawn.items()}
    assert alphas["unhappy"] / alphas["now"] == pytest.approx(0.4 / 0.5)
    assert alphas["am"] == 0


def test_a_negative_weight_has_a_colour_of_its_own_that_is_explained():
    figure = draw_attention([make_example(weights=[0.1, -0.2, 0.0, 0.0, 0.3])], "t")
    drawn = shades(figure)
    assert drawn["I"].get_facecolor()[:3] == to_rgb(COLOURS[Task.TEXT])
    assert drawn["am"].get_facecolor()[:3] != drawn["I"].get_facecolor()[:3]
    assert "negative weight" in keys(figure)
    assert "negative weight" not in keys(draw_attention([make_example()], "t"))


def test_words_stay_on_the_page_and_do_not_overlap(tmp_path):
    figure = draw_attention([make_example(LONG)], "t")
    save_figure(figure, tmp_path / "long.png")
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len({round(box.y0) for box in boxes}) >= 3
    for box in boxes:
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
    for one, other in itertools.pairwise(boxes):
        assert one.x1 <= other.x0 or other.y1 <= one.y0 + 1


def test_clips_do_not_overlap_each_other():
    strip = {"weights": [0.1, 0.3], "moment": None}
    figure = draw_attention([make_example(LONG, audio=strip), make_example(video=strip)], "t")
    boxes = [axes.get_position() for axes in figure.axes]
    for one, other in itertools.combinations(boxes, 2):
        assert not (one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 - 1e-9
                    and other.y0 < one.y1 - 1e-9)  # fmt: skip
        assert one.y0 > 0


def test_a_known_moment_is_drawn_behind_its_steps_and_under_its_words():
    strip = {"weights": [0.25] * 4, "moment": [1, 3]}
    figure = draw_attention([make_example(moment=[2, 4], audio=strip)], "t")
    words, audio = figure.axes
    (line,) = words.lines
    patch = shades(figure)["unhappy"]
    assert line.get_xdata()[0] == patch.get_x()
    assert line.get_xdata()[1] == pytest.approx(patch.get_x() + patch.get_width())
    span = next(p for p in audio.patches if isinstance(p, Rectangle))
    assert (span.get_x(), span.get_width()) == (1, 2)
    assert "known moment" in keys(figure)


def test_equal_weights_are_drawn_where_weights_sum_to_one():
    for weights, num in (([0.5, 0.3, 0.2], 1), ([0.5, 0.3, 0.9], 0), ([1.5, -0.3, -0.2], 0)):
        strip = {"weights": weights, "moment": None}
        axes = draw_attention([make_example(audio=strip)], "t").axes[1]
        assert [float(line.get_ydata()[0]) for line in axes.lines] == [1 / 3] * num


def test_weights_are_drawn_step_by_step():
    strip = {"weights": [0.5, -0.25, 0.75], "moment": None}
    axes = draw_attention([make_example(video=strip)], "t").axes[1]
    drawn = sum(patch.get_data().values for patch in axes.patches)
    assert np.allclose(drawn, [0.5, -0.25, 0.75])


def test_text_whose_tokens_are_not_known_is_drawn_over_its_steps():
    example = make_example()
    del example["attention"]["text"]["tokens"]
    figure = draw_attention([example], "t")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["text, weight of each step"]
    assert keys(figure) == ["equal weights"]
    assert words_of(example) == []


def test_words_without_a_font_are_drawn_by_position(tmp_path):
    example = make_example("\U0010fffd ok now")
    assert not can_draw_words(example)
    figure = draw_attention([example], "t")
    save_figure(figure, tmp_path / "boxes.png")  # a missing glyph would be a warning, so an error
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["text, weight of each token"]


def test_a_clip_that_lacks_a_modality_says_so(tmp_path):
    figure = draw_attention([make_example(audio={"weights": [], "moment": None})], "t")
    save_figure(figure, tmp_path / "none.png")
    assert figure.axes[1].texts[0].get_text() == "no audio"


def test_the_title_of_a_clip_gives_its_id_label_and_scores_as_they_are(tmp_path):
    figure = draw_attention([make_example()], "t")
    save_figure(figure, tmp_path / "title.png")
    (title,) = [t for t in figure.texts if "video" in t.get_text()]
    assert title.get_text() == "1.  video$_$7   label -1.40   score fusion -1.00, text +0.50"
    assert not title.get_parse_math()


def test_weights_that_are_all_zero_can_be_drawn(tmp_path):
    example = make_example(weights=[0.0] * 5, audio={"weights": [0.0, 0.0], "moment": None})
    save_figure(draw_attention([example], "t"), tmp_path / "zero.png")
    assert (tmp_path / "zero.png").is_file()
