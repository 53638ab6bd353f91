import pytest
from fake_runs import write_run

from mien.cli import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    write_run(folder / "a", seeds=(1, 2), num_epochs=2)
    write_run(folder / "b", seeds=(1, 2), num_epochs=2, error=1.5)
    return folder


@pytest.fixture
def pair(folders, monkeypatch):
    monkeypatch.chdir(folders)
    return ["compare", "a", "b"]


def test_a_comparison_is_printed_in_the_format_that_is_given(pair, capsys):
    assert main([*pair, "--format", "markdown"]) == 0
    assert "| run | seeds | MAE ↓ |" in capsys.readouterr().out


@pytest.mark.drawn
def test_the_table_and_the_picture_are_written_where_they_should_be(pair, tmp_path, capsys):
    table, picture = tmp_path / "table.tex", tmp_path / "forest.svg"
    options = ["--out", str(table), "--plot", str(picture)]
    assert main([*pair, *options]) == 0
    assert capsys.readouterr().out.split() == [str(table), str(picture)]
    assert "\\toprule" in table.read_text(encoding="utf-8")
    assert picture.read_bytes().startswith(b"<?xml")
    assert main([*pair, *options]) == 2
    assert f"{table}: exists already" in capsys.readouterr().err
    assert main([*pair, *options, "--replace"]) == 0


def test_a_picture_beside_a_printed_table_does_not_disturb_it(pair, tmp_path, capsys):
    picture = tmp_path / "forest.png"
    assert main([*pair, "--format", "json", "--plot", str(picture)]) == 0
    printed = capsys.readouterr()
    assert printed.out.rstrip().endswith("}")
    assert printed.err.strip() == str(picture)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--format", "html"], "--format 'html': must be one of text, markdown, csv, json, latex"),
        (["--out", "a.xls"], "--out a.xls: its name must end in .txt, .md, .csv, .json, .tex"),
        (["--plot", "a.jpg"], "--plot a.jpg: its name must end in .png, .pdf or .svg"),
    ],
)
def test_a_format_that_does_not_exist_is_refused_before_anything_is_read(
    pair, options, sentence, capsys
):
    assert main([*pair[:1], "nowhere", "there", *options]) == 2
    assert sentence in capsys.readouterr().err


def test_a_report_has_vector_figures_for_papers(pair, folders, capsys):
    assert pair
    assert main(["report", "a", "--figures", "pdf"]) == 0
    assert capsys.readouterr().out.strip() == "a/report.md"
    figures = folders / "a" / "figures"
    assert {p.stem for p in figures.glob("*.pdf")} == {p.stem for p in figures.glob("*.png")}
    assert ".pdf" not in (folders / "a" / "report.md").read_text(encoding="utf-8")
