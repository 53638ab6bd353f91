import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import write_run

from mien.errors import ConfigError
from mien.reports.comparison import compare_runs
from mien.reports.comparison_tables import (
    choose_format,
    comparison_rows,
    format_comparison_as,
    is_marked,
)
from mien.reports.run_text import format_comparison
from mien.types import Scale

HOSTILE = "=b_%$x$|\\input{y}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return {
        "good": write_run(folder / "good", seeds=(1, 2, 3), error=0.2),
        "bad": write_run(folder / HOSTILE, seeds=(1, 2, 3), error=1.5),
        "single": write_run(folder / "single", seeds=(1,), error=0.1),
        "sims": write_run(
            folder / "sims", corpus="sims", is_synthetic=False, scale=Scale(-1, 1), seeds=(1, 2)
        ),
    }


@pytest.fixture(scope="module")
def worse(runs):
    """A run compared with one that is clearly better."""
    return compare_runs([runs["good"], runs["bad"]])


@pytest.fixture(scope="module")
def better(runs):
    return compare_runs([runs["bad"], runs["good"]])


def test_a_worse_run_is_never_marked_and_its_baseline_is(worse, better):
    for metric in ("mae", "corr"):
        assert not is_marked(worse, metric, 1)
        assert is_marked(worse, metric, 0)
        assert not is_marked(better, metric, 0)
        assert is_marked(better, metric, 1)


def test_nothing_is_marked_where_the_interval_holds_0_or_the_seeds_are_not_covered(runs):
    same = compare_runs([runs["good"], runs["good"]])
    single = compare_runs([runs["bad"], runs["single"]])
    less = single.metrics["mae"][1].to_first
    assert less is not None
    assert less.high < 0
    for comparison in (same, single):
        assert not any(is_marked(comparison, "mae", number) for number in (0, 1))


def test_only_the_best_of_several_is_marked(runs):
    result = compare_runs([runs["bad"], runs["good"], runs["good"]])
    metrics = {**result.metrics}
    bad, good, other = metrics["mae"]
    metrics["mae"] = (bad, replace(good, seeds=replace(good.seeds, mean=0.01)), other)
    changed = replace(result, metrics=metrics)
    assert [is_marked(changed, "mae", number) for number in range(3)] == [False, True, False]
    undefined = replace(good, seeds=replace(good.seeds, mean=math.nan))
    gap = replace(result, metrics={"mae": (bad, undefined, other)})
    assert not any(is_marked(gap, "mae", number) for number in range(3))


def test_text_is_what_it_always_was(worse):
    assert format_comparison_as(worse, "text") == format_comparison(worse)


def test_markdown_names_metrics_as_papers_do_and_escapes_the_runs(better):
    text = format_comparison_as(better, "markdown")
    head = next(line for line in text.splitlines() if line.startswith("| run |"))
    assert "| MAE ↓ | Corr ↑ | Acc-2 (has0) ↑ | Acc-2 (non0) ↑ | F1 (has0) ↑ |" in head
    row = next(line for line in text.splitlines() if line.startswith("| good | 3 |"))
    mae = better.metrics["mae"][1].seeds
    assert f"| **{mae.mean:.3f} ± {mae.deviation:.3f}** |" in row
    assert r"| =b\_%\$x\$&#124;\\input{y} | 3 |" in text
    assert "planted (synthetic corpus), 40 clips." in text
    assert "(3 of each run)" in text
    assert "Acc-2 (non0) and F1 (non0): clips annotated 0 are left out" in text


def test_latex_has_two_tables_with_what_they_rest_on(better):
    text = format_comparison_as(better, "latex")
    assert text.count("\\begin{table*}") == text.count("\\end{table*}") == 2
    assert "\\input{y}" not in text
    assert r"=b\_\%\$x\$\textbar{}\textbackslash{}input\{y\} & 3 &" in text
    mae = better.metrics["mae"][1]
    assert f"$\\mathbf{{{mae.seeds.mean:.3f}}}_{{\\pm {mae.seeds.deviation:.3f}}}$" in text
    assert mae.to_first is not None
    assert f"MAE & good & ${mae.to_first.difference:.3f}$ & $[" in text
    assert "40 clips. Mean $\\pm$ standard deviation over the seeds (3 of each run)" in text


def test_the_seeds_of_each_run_are_in_the_caption_where_they_differ(runs):
    text = format_comparison_as(compare_runs([runs["good"], runs["single"]]), "markdown")
    assert "over the seeds (good: 3, single: 1)" in text
    assert "a comparison of these weights" in text
    assert "**" not in text


def test_sims_has_its_own_metrics(runs):
    text = format_comparison_as(compare_runs([runs["sims"]] * 2), "latex")
    assert "Run & Seeds & MAE $\\downarrow$ & Corr $\\uparrow$ & Acc-2 $\\uparrow$" in text
    assert "Acc-2 and F1: a 0 counts as negative" in text


def test_csv_and_json_hold_the_unrounded_numbers(better):
    rows = list(csv.DictReader(io.StringIO(better.to_csv())))
    values = json.loads(format_comparison_as(better, "json"))
    assert values == better.to_dict()
    mae = better.metrics["mae"][1]
    assert mae.to_first is not None
    row = next(row for row in rows if row["metric"] == "mae" and row["run"] == "good")
    one = values["metrics"]["mae"][1]
    for numbers in (row, one):
        assert float(numbers["mean"]) == mae.seeds.mean
        assert float(numbers["difference_low"]) == mae.to_first.low
        assert float(numbers["p_corrected"]) == mae.p_corrected
    assert (row["name"], row["baseline"], row["num_clips"]) == ("MAE", HOSTILE, "40")
    assert values["metrics"]["mae"][0]["difference"] is None
    assert len(rows) == len(comparison_rows(better)) == 2 * len(better.metrics)
    assert [run["num_seeds"] for run in values["runs"]] == [3, 3]


@pytest.mark.parametrize(
    ("chosen", "out", "kind"),
    [
        (None, None, "text"),
        ("latex", None, "latex"),
        (None, "a.TEX", "latex"),
        (None, "a.md", "markdown"),
        ("csv", "a.txt", "csv"),
        ("md", None, "markdown"),
        ("tex", "a.txt", "latex"),
    ],
)
def test_the_format_is_what_is_given_or_what_the_name_says(chosen, out, kind):
    assert choose_format(chosen, None if out is None else Path(out)) == kind


def test_a_format_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"--format 'html': must be one of text, markdown"):
        choose_format("html", None)
    with pytest.raises(ConfigError, match=r"--out a\.xls: its name must end in \.txt, \.md"):
        choose_format(None, Path("a.xls"))


def test_the_methods_give_what_the_command_writes(better):
    assert better.to_markdown() == format_comparison_as(better, "markdown")
    assert better.to_latex() == format_comparison_as(better, "latex")


def test_latex_has_intervals_and_stars_that_its_caption_explains(better, runs):
    text = format_comparison_as(better, "latex")
    mae = better.metrics["mae"][1]
    assert mae.p_corrected < 0.05
    rows = text.partition("\\midrule")[2].partition("\\bottomrule")[0].strip().splitlines()
    assert len(rows) == 4
    assert f"_{{\\pm {mae.seeds.deviation:.3f}}}$\\textsuperscript{{*}} &" in rows[2]
    assert rows[3].startswith(f" &  & {{\\scriptsize $[{mae.low:.3f}, {mae.high:.3f}]$}} &")
    assert all(row.count(" & ") == len(better.metrics) + 1 for row in rows)
    caption = text.partition("\\caption{")[2].partition("\\label")[0]
    assert "{*}: differs from" in caption
    assert "corrected by Holm for the number of runs compared with" in caption
    assert "Below each mean its 95 \\% interval over the clips" in caption
    single = format_comparison_as(compare_runs([runs["bad"], runs["single"]]), "latex")
    assert "textsuperscript" not in single
