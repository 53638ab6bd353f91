"""What ``mien info`` says of a run and of a model is what their files hold."""

import shutil

import pytest

from mien.cli import main
from mien.prediction.presentation.model_summary import describe_model, describe_run


@pytest.fixture(scope="module")
def run(tiny_store, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = ["text_encoder.input=embeddings", "train.epochs=2", "targets.use=[]"]
    given = [f"--set={setting}" for setting in [*settings, "corpus=tiny"]]
    command = [
        "train",
        "ridge",
        "--store",
        str(tiny_store.path),
        "--out",
        str(out),
        "--seeds",
        "1-2",
    ]
    assert main([*command, *given]) == 0
    return out


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "default",
            ["predicts    sentiment, -3 to 3", "mpnet, adapters of rank 24 in all layers",
             "2.80 for audio", "research and other non-commercial use", "MODEL_CARD.md"],
        ),
        ("small", ["minilm, the last 2 layers trained", "made by blendshapes/1"]),
        ("emotions", ["predicts    emotion, one of neutral, happy", "MODEL_CARD-emotions.md"]),
    ],
)  # fmt: skip
def test_a_model_that_comes_with_the_package_is_described(name, parts, capsys):
    assert main(["info", name]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(part.split()) in told for part in parts), told


def test_a_model_without_sentiment_has_no_intervals_of_it():
    assert "intervals" not in describe_model("emotions")


def test_a_run_says_how_far_each_seed_is(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "seed-2" / "metrics.json").unlink()
    settings = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(settings.replace("    2,\n", "    2,\n    3,\n    4,\n", 1))
    (copy / "seed-3").mkdir()
    (copy / "seed-3" / "failed.json").write_text('{"reason": "the loss was not finite"}')
    lines = describe_run(copy).splitlines()
    assert lines[0] == f"{copy} · a run of ridge on tiny"
    assert lines[2:6] == [
        "  seed 1      finished, epoch 1 of 1 is the best",
        "  seed 2      1 epoch so far; mien train --resume goes on",
        "  seed 3      the loss was not finite",
        "  seed 4      not begun",
    ]


def test_a_run_that_saved_no_model_yet_says_so(run, tmp_path):
    shutil.copyfile(run / "config.toml", tmp_path / "config.toml")
    assert describe_run(tmp_path).splitlines()[-1] == "no model has been saved yet"


def test_an_evaluation_shows_its_metrics(run, tiny_store, tmp_path, capsys):
    out = tmp_path / "evaluation"
    command = ["evaluate", str(run), "--store", str(tiny_store.path), "--out", str(out)]
    assert main(command) == 0
    capsys.readouterr()
    assert main(["info", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{out} · an evaluation of ridge"
    assert lines[2] == "tiny (synthetic corpus): 2 seeds (1, 2)"
    assert any(line.split()[:1] == ["mae"] for line in lines)


def test_what_is_no_store_is_not_verified(run, capsys):
    assert main(["info", str(run), "--verify"]) == 2
    assert "--verify checks a store" in capsys.readouterr().err


def test_a_path_that_is_none_of_them_is_refused(tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == 2
    assert "is neither a store nor a run folder" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("nothing")
    assert main(["info", str(tmp_path / "notes.txt")]) == 2
    assert "notes.txt" in capsys.readouterr().err
