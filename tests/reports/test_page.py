import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from cases import with_extended
from fake_runs import CHINESE, EMOTION, write_run

from mien.errors import CheckpointError
from mien.evaluation.metrics import METRICS
from mien.reports.comparison import compare_runs
from mien.reports.page import write_report
from mien.training.run_folder import RunFolder
from mien.types import Modality, Scale


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A run with everything, and its report; not to be changed."""
    run = write_run(tmp_path_factory.mktemp("reported") / "run", clips_per_video=5, num_epochs=3)
    return run, write_report(run).read_text(encoding="utf-8")


@pytest.fixture
def copied(reported, tmp_path):
    """A copy of it, of which a test may change the files."""
    shutil.copytree(reported[0].path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def tables_of(text):
    """Return each table as the line above it and its rows of cells."""
    tables, lines = [], text.splitlines()
    for place, line in enumerate(lines):
        if line.startswith("| :---"):
            rows = [lines[place - 1]]
            for row in lines[place + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(row)
            cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
            above = next((x for x in reversed(lines[: place - 1]) if x), "")
            tables.append((above, cells))
    return tables


def find_table(text, caption):
    return next(rows for above, rows in tables_of(text) if caption in above)


def test_the_headline_names_model_corpus_seeds_and_says_synthetic(reported):
    _, text = reported
    assert text.startswith("# tam_ulag on planted (synthetic corpus)\n")
    assert "**Synthetic corpus: its clips were made by a program.**" in text
    assert "2 seeds (1111, 1112)" in text


def test_the_main_table_holds_the_numbers_of_the_metrics_in_percent_for_shares(reported):
    run, text = reported
    head, *rows = find_table(text, "**test of planted (synthetic corpus), 40 clips")
    intervals = ["95 % interval, clips", "95 % interval, videos"]
    assert head[1:] == ["mean", "deviation", "ensemble", *intervals]
    metrics = run.metrics()["splits"]["test"]["fusion"]
    assert [row[0] for row in rows] == [
        f"`{name}` %" if METRICS["mosi"][name].is_share else f"`{name}`" for name in metrics
    ]
    mae, corr, accuracy = metrics["mae"], metrics["corr"], metrics["acc2_has0"]
    keys = ("mean", "deviation", "ensemble")
    assert rows[0][1:4] == [f"{mae[key]:.3f}" for key in keys]
    assert rows[1][5] == f"[{corr['low_videos']:.3f}, {corr['high_videos']:.3f}]"
    assert rows[2][4] == f"[{100 * accuracy['low']:.2f}, {100 * accuracy['high']:.2f}]"


@pytest.mark.usefixtures("undrawn")
def test_numbers_of_an_earlier_version_are_said_to_have_narrow_intervals(reported, tmp_path):
    run, text = reported
    assert "of an earlier version" not in text
    shutil.copytree(run.path, tmp_path / "run")
    metrics = run.metrics()
    for one in metrics["splits"]["test"]["fusion"].values():
        del one["num_clips"], one["num_videos"]
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    older = write_report(RunFolder(tmp_path / "run")).read_text()
    assert "**test of planted (synthetic corpus), 40 clips**" in older
    assert "of an earlier version, whose intervals are percentiles however few" in older


def test_every_seed_has_its_row_with_its_best_epoch(reported):
    run, text = reported
    metrics = run.metrics()
    head, *rows = find_table(text, "**test of planted (synthetic corpus), every seed**")
    assert [row[:2] for row in rows] == [
        [str(seed), str(best)]
        for seed, best in zip(metrics["seeds"], metrics["best_epochs"], strict=True)
    ]
    column = head.index("`acc2_non0` %")
    values = metrics["splits"]["test"]["fusion"]["acc2_non0"]["values"]
    assert [row[column] for row in rows] == [f"{100 * value:.2f}" for value in values]


def test_every_reading_of_two_class_accuracy_says_what_becomes_of_zeros(reported):
    _, text = reported
    assert (
        "- `acc2_has0`: share of clips with the annotated polarity; a 0 counts as positive" in text
    )
    assert (
        "- `acc2_non0`: share of clips with the annotated polarity; clips annotated 0 are left out"
        in text
    )


def test_synthetic_is_said_beside_every_table_of_results(reported):
    _, text = reported
    results = text[: text.index("## Environment")]
    assert len(tables_of(results)) == 10
    for above, _ in tables_of(results):
        assert "(synthetic corpus)" in above
    assert "synthetic corpus" in text[text.index("## Environment") :]


def test_unimodal_tasks_are_beside_each_other(reported):
    run, text = reported
    section = text[text.index("## Unimodal tasks") :]
    head, first, *_ = find_table(section, "**valid of planted")
    assert head == ["metric", "text", "audio", "video"]
    one = run.metrics()["splits"]["valid"]["video"]["mae"]
    assert first == ["`mae`", *first[1:3], f"{one['mean']:.3f} ± {one['deviation']:.3f}"]


@pytest.mark.parametrize(
    ("part", "caption"),
    [("everywhere", "all clips"), ("conflicting", "clips in which the modality contradicts")],
)
def test_generated_labels_stand_beside_copies(reported, part, caption):
    run, text = reported
    _, generated, copied, *_ = find_table(text, f"train of planted (synthetic corpus), {caption}")
    truth = run.metrics()["labels"]["text"]
    assert generated[:2] == ["text", "generated"]
    assert copied[:2] == ["text", "copied annotation"]
    for row, given in ((generated, "generated"), (copied, "copy")):
        one = truth[given][part]
        assert row[2] == f"{one['num_clips']['mean']:.0f}"
        means = [one[name]["mean"] for name in ("pearson", "spearman", "mae")]
        assert [cell.split(" ±")[0] for cell in row[3:6]] == [f"{mean:.3f}" for mean in means]
        assert row[6].split(" ±")[0] == f"{100 * one['sign']['mean']:.2f}"
    assert "±" in generated[3]
    assert "±" not in copied[3]


def test_attention_stands_beside_equal_weights(reported):
    run, text = reported
    section = text[text.index("## Attention inside known moments") :]
    head, row, *_ = find_table(section, "**test of planted")
    one = run.metrics()["attention"]["test"]["text"]
    assert head == ["modality", "clips", "inside %", "equal weights %", "ratio"]
    assert row[2].startswith(f"{100 * one['inside']['mean']:.2f} ± ")
    assert row[3] == "20.00"


def test_every_figure_that_is_named_is_there_and_has_a_sentence(reported):
    run, text = reported
    named = re.findall(r"!\[[^\]]+\]\((.+?)\)\n\n\*[A-Z][^*]+\.\*", text)
    assert len(named) == 5
    for file in named:
        assert (run.path / file).is_file()
    assert sorted(named) == sorted(f"figures/{p.name}" for p in (run.path / "figures").iterdir())


def test_the_environment_and_the_command_to_repeat_are_there(reported):
    run, text = reported
    assert f"`{run.environment()['store']['fingerprint']}`" in text
    assert ["clips in train", "60"] in tables_of(text)[-1][1]
    assert "\nmien train config.toml --store STORE --out FOLDER\n" in text
    assert str(run.path) not in text


#: A run with few figures, and one with all.
FEW = {"seeds": (1111,), "modalities": (Modality.AUDIO,), "has_truth": False}


@pytest.mark.drawn
@pytest.mark.parametrize("options", with_extended([FEW], [{}]))
def test_the_report_is_made_from_the_files_alone_and_is_the_same_every_time(tmp_path, options):
    """By a process that needs neither torch nor pyplot for it."""
    run, copied = (
        write_run(tmp_path / name, clips_per_video=5, num_epochs=3, **options)
        for name in ("other", "run")
    )
    text = write_report(run).read_text(encoding="utf-8")
    (copied.path / "report.md").write_text("old")
    (copied.path / "figures").mkdir()
    (copied.path / "figures" / "scores.png").write_bytes(b"old")
    code = (
        "import sys; from mien.reports.page import write_report;"
        "from mien.training.run_folder import open_run;"
        "assert 'matplotlib' not in sys.modules;"
        f"write_report(open_run({str(copied.path)!r}));"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert (copied.path / "report.md").read_text(encoding="utf-8") == text
    assert (run.path / "figures" / "attention.png").is_file()
    for file in (run.path / "figures").iterdir():
        assert (copied.path / "figures" / file.name).read_bytes() == file.read_bytes()
    left = [p.name for p in copied.path.rglob("*") if p.name.startswith(".")]
    assert left == []


@pytest.mark.usefixtures("undrawn")
def test_weights_to_start_from_and_left_out_videos_are_in_the_command(copied):
    path = copied.path / "environment.json"
    facts = {"init": "ef" * 32, "num_left_out": 12, "num_truncated_transcripts": 3}
    path.write_text(json.dumps({**copied.environment(), **facts}))
    text = write_report(copied).read_text(encoding="utf-8")
    assert "--out FOLDER --init CHECKPOINT --exclude OTHER_STORE\n" in text
    assert f"`{'ef' * 32}`" in text
    assert "| clips left out of train and valid | 12 |" in text
    assert "| clips with a transcript cut short | 3 |" in text


@pytest.mark.usefixtures("undrawn")
def test_a_diverged_and_an_unfinished_seed_are_named_with_the_reason(copied):
    for seed in (1113, 1114):
        copied.seed(seed).path.mkdir()
    (copied.seed(1113).path / "failed.json").write_text(json.dumps({"reason": "the loss is nan"}))
    text = write_report(copied).read_text(encoding="utf-8")
    assert "**Seed 1113 is not in the numbers:** the loss is nan." in text
    assert "**Seed 1114 is not in the numbers:** its training has not finished" in text
    assert "2 seeds (1111, 1112)" in text


@pytest.mark.usefixtures("undrawn")
def test_a_run_with_little_has_a_report_without_the_rest(tmp_path):
    run = write_run(
        tmp_path / "run",
        corpus="mine",
        is_synthetic=False,
        scale=Scale(-2, 2),
        seeds=(7,),
        num_epochs=1,
        modalities=(Modality.TEXT,),
        has_truth=False,
        has_attention=False,
    )
    text = write_report(run).read_text(encoding="utf-8")
    assert "synthetic" not in text
    assert "1 seed (7), best epoch on validation 1." in text
    for absent in ("## Unimodal", "## Generated labels", "## Attention", "### Clips", "videos |"):
        assert absent not in text
    assert all(row[2] == "-" for row in find_table(text, "**test of mine, 40 clips**")[1:])


def test_sentiment_is_shown_on_the_first_split_on_which_it_is_annotated(tmp_path):
    run = write_run(tmp_path / "run", num_epochs=2, target=EMOTION, unlabelled=("test",))
    metrics = run.results()
    assert metrics.has_sentiment
    assert "fusion" not in metrics.splits["test"]
    text = write_report(run).read_text(encoding="utf-8")
    assert f"On valid: `mae` {metrics.splits['valid']['fusion']['mae'].mean:.3f}" in text
    assert "On test:" not in text
    assert "Score against annotated label on valid" in text
    assert "**test of planted (synthetic corpus), multimodal task, 30 clips**" in text


@pytest.mark.usefixtures("undrawn")
def test_words_without_a_font_stand_in_the_text_with_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mien.reports.figures.attention_maps.find_font",
        lambda characters: None if any(ord(c) > 0x2E80 for c in characters) else _OWN,
    )
    run = write_run(
        tmp_path / "run", corpus="sims", is_synthetic=False, scale=Scale(-1, 1), seeds=(1,),
        num_epochs=1, sentences=(CHINESE[0], "fine * by me"), has_moments=False,
    )  # fmt: skip
    text = write_report(run).read_text(encoding="utf-8")
    assert "Install a font with Chinese characters, such as Noto Sans CJK" in text
    assert text.count("Words and their weights:") == 1
    tokens, weights = (
        run.seeds[0].examples()[0]["attention"]["text"][k] for k in ("tokens", "weights")
    )
    assert f"{tokens[1]} ({weights[1]:.3f})" in text
    assert r"2. `video1$_$1`: fine \* by me" in text
    assert "`acc2`: share of clips with the annotated polarity; a 0 counts as negative" in text


def test_a_run_that_has_not_ended_has_no_report(copied):
    (copied.path / "metrics.json").unlink()
    (copied.path / "report.md").unlink()
    with pytest.raises(CheckpointError, match="is not there; has the training finished"):
        write_report(copied)
    assert not (copied.path / "report.md").exists()


@pytest.mark.slow
def _own_font():
    from matplotlib.font_manager import FontProperties, findfont

    return findfont(FontProperties())


_OWN = _own_font()


def test_names_of_corpora_clips_and_targets_are_text_wherever_they_stand(tmp_path, monkeypatch):
    """No name makes another heading, row, emphasis or element of a page or a table."""
    monkeypatch.setattr("mien.reports.figures.run.draw_figures", lambda *_: [])
    corpus = "a_b_ *c* <script>x</script> | #1"
    target = replace(EMOTION, name="feeling|<i>_now_")
    run = write_run(tmp_path / "run", corpus=corpus, target=target, clips_per_video=4)
    for seed in run.seeds:
        file = seed.path / "examples.json"
        examples = json.loads(file.read_text())
        file.write_text(json.dumps([{**each, "id": "a`<b>|clip"} for each in examples]))
    write_run(tmp_path / "other", corpus=corpus, target=target, clips_per_video=4, error=1.2)
    page = write_report(run).read_text(encoding="utf-8")
    table = compare_runs([run, tmp_path / "other"]).to_markdown()
    for text in (page, table):
        assert "a\\_b\\_ \\*c\\* \\<script\\>x\\</script\\> \\| \\#1 (synthetic corpus)" in text
        assert not re.search(r"(?<!\\)<(script|i)>|(?<![\\a-z])\*c\*|(?<!\\)_now_", text)
        for _, (heading, *rows) in tables_of(text):
            assert {len(row) for row in rows} == {len(heading)}
    assert "feeling&#124;\\<i\\>\\_now\\_: accuracy" in table
    assert "`` a`<b>|clip ``: " in page
