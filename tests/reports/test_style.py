import pytest

from mien.reports.figures.style import make_figure, save_figure, style_axes

pytestmark = pytest.mark.drawn


def test_a_long_title_is_broken_and_dollars_are_no_formula(tmp_path):
    figure = make_figure("a $_$ b " * 12, 4.0, 3.0)
    save_figure(figure, tmp_path / "long.png")
    title = figure.texts[0]
    assert title.get_text().count("\n") >= 2
    assert title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("x", b"\x89PNG")],
)
def test_the_same_figure_gives_the_same_bytes_and_leaves_nothing_beside(tmp_path, suffix, start):
    first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
    for path in (first, second, first):
        figure = make_figure("t", 2.0, 2.0)
        style_axes(figure.subplots(), "a", across="b", up="c")
        save_figure(figure, path)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(start)
    assert not any(word in first.read_bytes() for word in (b"CreationDate", b"<dc:date>"))
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    figure = make_figure("t", 2.0, 2.0)
    figure.text(0.5, 0.5, r"$\unknown$")
    with pytest.raises(ValueError, match="unknown"):
        save_figure(figure, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"
