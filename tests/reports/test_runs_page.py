"""The page of several runs: what it holds, what it leaves out, and that nothing in it acts."""

import re
import shutil

import numpy as np
import pytest
from fake_runs import EMOTION, write_run
from html_sections import Reader

from mien.cli import main
from mien.errors import StoreError
from mien.evaluation.bootstrap import SEED
from mien.evaluation.metrics import METRICS
from mien.evaluation.significance import bootstrap_interval
from mien.reports.comparison import compare_runs
from mien.reports.html_page.clip_contrasts import contrast_clips
from mien.reports.html_page.error_bins import divide_clips, evaluate_bin
from mien.reports.html_page.published_rows import read_published_rows
from mien.reports.html_page.runs_page import write_runs_page
from mien.reports.target_results.compared_scores import SeedScores
from mien.types import Modality, Scale

HOSTILE = "late <script>alert(1)<script>"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs of CMU-MOSI with emotions, one of them of a hostile name, and their page."""
    folder = tmp_path_factory.mktemp("page")
    options = {
        "corpus": "mosi",
        "is_synthetic": False,
        "seeds": (1, 2),
        "num_epochs": 2,
        "num_clips": (6, 6, 40),
        "modalities": (Modality.TEXT,),
        "has_attention": False,
        "target": EMOTION,
    }
    runs = [
        write_run(folder / name, error=error, **options)
        for name, error in (("first", 1.5), (HOSTILE, 0.3))
    ]
    config = runs[1].path / "config.toml"
    text = config.read_text()
    config.write_text(re.sub(r"(?m)^epochs = .*", "epochs = 7", text, count=1))
    path = write_runs_page(runs, folder / "out")
    return runs, path, Reader(path.read_text(encoding="utf-8"))


def test_the_page_is_whole_in_itself_and_runs_nothing(made):
    _, path, page = made
    assert page.open == []
    assert "script" not in page.names
    assert all(a.startswith(("#", "data:image/svg+xml;base64,")) for a in page.addresses)
    assert "default-src 'none'" in path.read_text(encoding="utf-8")
    assert {a[1:] for a in page.addresses if a[0] == "#"} == set(page.sections) - {""}
    assert list(path.parent.iterdir()) == [path]


def test_every_section_says_what_it_should(made):
    sections = made[2].sections
    assert list(sections) == [
        *("", "runs", "results", "differences", "errors", "clips", "curves", "figures"),
        *("settings", "environment", "metrics"),
    ]
    assert HOSTILE in sections["runs"]
    assert "corrected by Holm for the number of runs compared with first" in sections["results"]
    assert "MAE  *" not in sections["results"]
    assert "emotion, 30 clips" in sections["results"]
    for kind in ("negative", "above 1 to 2", "one contradicts", "Recall of each class of emotion"):
        assert kind in sections["errors"]
    assert "length of the transcript" not in sections["errors"]
    assert f"first and {HOSTILE}" in sections["clips"]
    assert f"Clips that {HOSTILE} alone gets" in sections["clips"]
    assert "train.epochs" in sections["settings"].partition("All settings")[0]
    assert "train.patience" not in sections["settings"].partition("All settings")[0]
    assert "Reliability of emotion" not in sections["curves"]


def test_published_rows_stand_beside_ours_with_their_protocols(made):
    results = made[2].sections["results"]
    for row in read_published_rows("mosi").rows:
        assert row.model in results
    assert "0.708 0.796 83.44 85.46" in " ".join(results.split())
    assert "Acc-2 87.20 %: how it counts is not stated" in results
    assert "Published rows are of 686 test clips, ours of 40" in results
    assert read_published_rows("planted") is None


def test_published_shares_and_columns_are_those_of_the_metrics():
    for corpus in ("mosi", "mosei", "sims"):
        family = METRICS["sims" if corpus == "sims" else "mosi"]
        for row in read_published_rows(corpus).rows:
            known = {name: value for name, value in row.values.items() if name in family}
            for name, value in known.items():
                assert (value > 1) == family[name].is_share
            assert known or row.model == "TAM-ULAG"


@pytest.mark.usefixtures("drawing")
def test_a_run_alone_has_a_page_without_comparisons(made, tmp_path, capsys):
    first = shutil.copytree(made[0][0].path, tmp_path / "first")
    out = tmp_path / "new" / "page"
    assert main(["report", str(first), "--out", str(out), "--figures", "svg"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "index.html")
    page = Reader((out / "index.html").read_text(encoding="utf-8"))
    assert not {"differences", "clips"} & set(page.sections)
    assert "corrected by Holm" not in page.sections["results"]
    drawn = {file.name for file in (out / "figures").iterdir()}
    assert {"1-learning-curves.svg", "1-confusion-1.svg", "1-reliability-1.svg"} <= drawn
    assert main(["report", str(first), "--out", str(out)]) == 2
    assert "index.html: exists already; use --replace" in capsys.readouterr().err


def test_what_cannot_be_one_page_is_refused(made, tmp_path, capsys):
    first, second = (str(run.path) for run in made[0])
    (tmp_path / "file").write_text("")
    for options, sentence in (
        ([first, second], "2 runs are given; a page of several needs --out DIR"),
        ([first, "--split", "valid"], "--split, --store and --replace go with --out DIR"),
        ([first, "--out", str(tmp_path / "file")], "file: is a file; give a folder"),
        ([first, "--out", str(tmp_path / "x"), "--split", "train"], "has no predictions on train"),
    ):
        assert main(["report", *options]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_text_of_clips_is_that_of_the_store(made, tiny_store, tmp_path, capsys):
    arguments = ["report", str(made[0][0].path), "--out", str(tmp_path), "--store"]
    assert main([*arguments, str(tiny_store.path)]) == 2
    assert "has none of the clips of these runs, such as 'test000$_$0'" in capsys.readouterr().err


def test_other_clips_of_the_same_names_are_refused(tiny_store, tmp_path):
    """A page had the words of a store that named its clips alike."""
    run = write_run(tmp_path / "run", seeds=(1,), num_clips=(6, 6, 6), num_epochs=2)
    path = run.seeds[0].path / "predictions-test.csv"
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    names = [c.id for c in tiny_store.clips if c.split == "test"]
    shown = [
        ",".join([name, *line.split(",")[1:]]) for name, line in zip(names, lines, strict=False)
    ]
    path.write_text("\n".join([header, *shown]), encoding="utf-8")
    with pytest.raises(StoreError, match=r"clip .* is annotated .* there and .* in these runs; gi"):
        write_runs_page([run], tmp_path / "page", store=tiny_store)


def scores_of(scores, targets):
    ids = tuple(f"v{number}" for number in range(len(targets)))
    return SeedScores(name="a", ids=ids, scores=np.array([scores]), targets=np.array(targets))


def test_a_clip_at_the_end_of_a_part_is_in_no_other():
    annotated = np.array([1 / 3, -2 / 3, 1.0, 0.0], dtype=np.float32).astype(float)
    (_, intensity) = divide_clips(annotated, Scale(-1, 1), truths={})
    assert np.sum([part.rows for part in intensity.bins], axis=0).tolist() == [1, 1, 1, 1]
    assert [np.flatnonzero(part.rows).tolist() for part in intensity.bins] == [[3], [0], [1], [2]]


def test_clips_are_parted_by_polarity_intensity_length_and_contradiction():
    annotated = np.array([-3.0, -0.5, 0.0, 1.0, 1.2, 3.0])
    words = np.array([0, 1, 2, 3, 4, 9])
    truths = {"text": np.array([-1.0, 1.0, 1.0, np.nan, 1.0, -2.0])}
    found = {
        division.title: {each.name: np.flatnonzero(each.rows).tolist() for each in division.bins}
        for division in divide_clips(annotated, Scale(-3, 3), truths=truths, num_words=words)
    }
    assert found == {
        "polarity": {"negative": [0, 1], "0": [2], "positive": [3, 4, 5]},
        "intensity": {
            "0": [2],
            "above 0 to 1": [1, 3],
            "above 1 to 2": [4],
            "above 2 to 3": [0, 5],
        },
        "length": {"1 to 2 words": [1, 2], "3 words": [3], "4 to 9 words": [4, 5]},
        "modalities": {"none contradicts": [0, 2, 4], "one contradicts": [1, 5]},
    }


@pytest.mark.resampled
def test_the_interval_of_a_part_is_that_of_its_clips_alone():
    rng = np.random.default_rng(3)
    targets = rng.normal(size=60)
    run = scores_of(targets + rng.normal(size=60), targets)
    rows, metric = targets > 0, METRICS["mosi"]["mae"]
    (found,) = evaluate_bin([run], rows, metric)
    assert found == bootstrap_interval(run.scores[:, rows], targets[rows], metric, seed=SEED)


def test_a_clip_is_got_by_its_sign_or_its_class():
    targets = [1.0, -1.0, 2.0, 0.0, -2.0]
    first = scores_of([0.9, 0.5, 1.0, 1.0, -0.1], targets)
    second = scores_of([-0.1, -0.5, 2.0, -1.0, 0.1], targets)
    found = contrast_clips(first, second)
    assert (found.both, found.neither) == (1, 0)
    assert (found.only_first.tolist(), found.only_second.tolist()) == ([0, 4], [1])
    shares = [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    first = scores_of([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]], shares)
    second = scores_of([[0.4, 0.6], [0.1, 0.9], [0.7, 0.3]], shares)
    found = contrast_clips(first, second)
    assert (found.both, found.neither) == (0, 1)
    assert (found.only_first.tolist(), found.only_second.tolist()) == ([0], [])


def cells_of(line):
    """How many columns a row of a table fills."""
    wide = [int(width) for width in re.findall(r"\\multicolumn\{(\d+)\}", line)]
    return len(re.findall(r"(?<!\\)&", line)) + 1 + sum(width - 1 for width in wide)


def test_latex_has_a_table_for_each_target_that_every_row_fills(made):
    text = compare_runs(made[0]).to_latex()
    tables = text.split("\\begin{tabular}")[1:]
    assert len(tables) == 3
    for table in tables:
        columns = re.match(r"\{([lc]+)\}", table)[1]
        body = table.partition("\\end{tabular}")[0]
        rows = [line for line in body.splitlines() if line.endswith(" \\\\")]
        assert {cells_of(row) for row in rows} == {len(columns)}
    assert "emotion on test, as in the table before." in text
    assert "& uar $\\uparrow$" in tables[1]
    assert "MAE" not in tables[1]
    for name in ("table*", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 3
    labels = re.findall(r"\\label\{(.*)\}", text)
    assert labels == ["tab:comparison", "tab:comparison-2", "tab:comparison-differences"]
