import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from mien.cli import main
from mien.data.store import open_store

TINY = ["--set", "num_clips=60", "--set", "seed=3"]
QUICK = [
    *("--set", "text_encoder.input=none"),
    *("--set", "train.epochs=2"),
    *("--set", "model.lstm_size.audio=4"),
    *("--set", "model.lstm_size.video=4"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def planted(here):
    assert main(["planted", *TINY]) == 0
    return here / "stores" / "planted"


def said(capsys):
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_help_names_every_command_and_loads_no_heavy_library():
    code = (
        "import sys\nfrom mien.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'pydantic', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    commands = ("import", "planted", "info", "configs", "train", "evaluate", "compare", "report")
    others = ("extract", "extractors", "export", "assets", "convert-bert")
    assert all(name in done.stdout for name in (*commands, *others))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian"], "No such command 'trian'"),
        (["train", "tam_ulag-planted", "--sed", "x"], "No such option"),
        (["train", "tam_ulag-plantd"], "neither a file nor a known configuration"),
        (["train", "tam_ulag-planted", "--set", "train.sede=1"], "did you mean train.seeds?"),
        (["train", "tam_ulag-planted", "--seeds", "1,one"], "--seeds '1,one': must be whole"),
        (["train", "tam_ulag-planted", "--seeds", "1,1"], "--seeds '1,1': names 1 twice"),
        (["train", "tam_ulag-planted", "--store", "nowhere"], "nowhere: is not a store"),
        (["train", "tam_ulag-mosi"], "there is no stores/mosi"),
        (["info", "nowhere"], "nowhere: is not a store"),
        (["evaluate", "nowhere"], "is not a run folder"),
        (["evaluate", "nowhere", "--split", "tset"], "must be one of train, valid, test"),
        (["compare", "nowhere", "there"], "is not a run folder"),
        (["report", "nowhere"], "is not a run folder"),
        (["import", "nothing.pkl", "--out", "x"], "--corpus: a feature file needs it"),
        (["import", "nothing.pkl", "--corpus", "mosy", "--out", "x"], "mosy"),
        (["import", "nothing.pkl", "--corpus", "mosi", "--out", "x"], "nothing.pkl"),
        (["import", "nothing.csv", "--out", "x"], "nothing.csv: is not there"),
        (["import", "nothing.csv", "--scale", "3,-3", "--out", "x"], "LOW must be below HIGH"),
        (["import", "nothing.csv", "--scale=-inf,inf", "--out", "x"], "'-inf,inf': must be finite"),
        (["import", "a\x1b[31m\n.csv", "--scale=-3,3", "--out", "x"], r"a\x1b[31m\n.csv: is not"),
        (
            ["import", "a.pkl", "--corpus", "sims2", "--encoding", "gbk", "--out", "x"],
            "with a .csv",
        ),
        (
            ["import", "n.csv", "--corpus", "mosi", "--features", "a", "--out", "x"],
            "--features 'a'",
        ),
        (["import", ".", "--corpus", "meld", "--out", "x"], "has none of train_sent_emo.csv"),
        (["import", ".", "--corpus", "ravdess", "--scale=-1,1", "--out", "x"], "do not go with"),
        (["import", "n.csv", "--fold", "1", "--out", "x"], "--fold goes with the folder of"),
        (["import", "n.pkl", "--corpus", "mosi", "--target", "a=1:2", "--out", "x"], "a .csv"),
        (["extract", ".", "--corpus", "mer", "--target", "a=1:2"], "mer has no such target"),
        (["extract", "n.csv", "--fold", "1"], "--fold goes with the folder of"),
        (["import", "n.csv", "--target", "a", "--out", "x"], "--target 'a': must be"),
        (["folds", "nowhere", "x"], "nowhere: is not a store"),
        (["planted", "--set", "num_clip=3"], "did you mean"),
        (["assets", "get", "minilmm"], "minilmm"),
        (["convert-bert", "nowhere", "x"], "nowhere"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(here, capsys, arguments, sentence):
    assert main(arguments) == 2
    out, err = said(capsys)
    assert sentence in err
    assert err.startswith("mien: ")
    assert err.count("\n") == 1
    assert out == ""
    assert list(here.iterdir()) == []


def test_clips_of_an_emotion_corpus_that_nobody_annotated_are_dropped_if_that_is_stated(here):
    folder = here / "mer"
    folder.mkdir()
    (folder / "train-label.csv").write_text("name,discrete\na,happy\nb,\nc,sad\n")
    (folder / "transcription.csv").write_text("name,sentence\na,so\nb,so\nc,so\n")
    command = ["import", str(folder), "--corpus", "mer"]
    assert main([*command, "--out", "kept"]) == 0
    assert main([*command, "--out", "dropped", "--unlabelled", "drop"]) == 0
    assert [len(open_store(name).clips) for name in ("kept", "dropped")] == [3, 2]


def test_info_describes_a_store_and_verify_finds_damage(planted, capsys):
    assert main(["info", str(planted), "--verify"]) == 0
    out, _ = said(capsys)
    assert "planted" in out
    assert "nothing is damaged" in out
    values = np.lib.format.open_memmap(planted / "audio" / "values.npy", mode="r+")
    values[0, 0] += 1
    values.flush()
    assert main(["info", str(planted), "--verify"]) == 2
    assert "fingerprint" in said(capsys)[1]


def test_train_evaluate_compare_and_report_work_one_after_the_other(planted, capsys, request):
    words = ["--set", "labels.evidence_epochs=2", "--set", "labels.folds=2", "--out", "runs/a"]
    assert main(["train", "tam_ulag-planted", *QUICK, *words]) == 0
    assert list(planted.parents[1].glob("runs/a/figures/*.png"))
    first = said(capsys)[1].splitlines()
    assert first[0] == "tam_ulag-planted: model tam_ulag, labels latent, no text, on cpu"
    assert "seed 1111 (1 of 1)" in first
    log = (planted.parents[1] / "runs" / "a" / "train.log").read_text(encoding="utf-8").splitlines()
    assert [line for line in log if "/2 " in line] == [line for line in first if "/2 " in line]
    request.getfixturevalue("undrawn")
    assert main(["train", "self_mm-planted", *QUICK, "--out", "runs/b"]) == 0
    out, err = said(capsys)
    assert "synthetic" in out
    assert "1/2" in err
    for command in (
        ["evaluate", "runs/a"],
        ["evaluate", "runs/a", "--split", "train", "--store", str(planted), "--out", "judged"],
        ["compare", "runs/a", "runs/b"],
        ["report", "runs/a"],
    ):
        assert main(command) == 0, command
    out, _ = said(capsys)
    assert "acc2_has0" in out
    assert "acc2_non0" in out
    report = (planted.parents[1] / "runs" / "a" / "report.md").read_text(encoding="utf-8")
    assert "synthetic" in report
    metrics = json.loads((planted.parents[1] / "judged" / "metrics.json").read_text())
    assert list(metrics["splits"]) == ["train"]


@pytest.mark.usefixtures("undrawn")
def test_one_command_trains_on_every_fold_and_gives_results_over_them(planted, here, capsys):
    folds = str(here / "folds")
    assert main(["folds", str(planted), folds, "--by", "video", "--folds", "3"]) == 0
    command = ["train", "self_mm-planted", "--folds", folds, *QUICK, "--out", "runs/a"]
    assert main([*command, "--store", str(planted)]) == 2
    assert "--folds: has its own stores; leave --store out" in said(capsys)[1]
    assert main(command) == 0
    out, err = said(capsys)
    assert "each fold of planted (synthetic corpus), multimodal task" in out
    assert "fold-3, seed 1111 (1 of 1)" in err
    log = (here / "runs/a/train.log").read_text(encoding="utf-8")
    assert log.count("seed 1111 (1 of 1)") == 3
    assert len([*(here / "runs/a").glob("fold-*/report.md")]) == 3
    assert main(["evaluate", "runs/a"]) == 0
    assert out.startswith(said(capsys)[0])
    assert main(["compare", "runs/a", "runs/a"]) == 0
    assert main(["evaluate", "runs/a", "--store", str(planted)]) == 2
    assert "planted: is one store, not a folder of folds; make them with: mien" in said(capsys)[1]
    assert main(["labels", "runs/a"]) == 2
    assert "is a run over folds, whose models are in the runs of" in said(capsys)[1]


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_not_written_over_and_goes_on_with_resume(planted, capsys):
    command = ["train", "tam_ulag-planted", *QUICK, "--out", "runs/a"]
    assert main(command) == 0
    metrics = planted.parents[1] / "runs" / "a" / "metrics.json"
    before = metrics.read_bytes()
    assert main(command) == 2
    assert "use --resume" in said(capsys)[1]
    assert main([*command, "--resume"]) == 0
    assert metrics.read_bytes() == before


def test_own_features_are_imported(here, capsys):
    rows = [("v1", "1", "good", 2.0, "train"), ("v2", "1", "bad", -1.0, "valid")]
    with (here / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "clip_id", "text", "label", "mode"])
        writer.writerows(rows)
    np.savez(here / "audio.npz", id=["v1$_$1", "v2$_$1"], values=np.ones((2, 3), np.float32))
    command = ["import", "clips.csv", "--scale", "-3,3", "--features", "audio=audio.npz"]
    assert main([*command, "--out", "own"]) == 0
    assert "audio · 3 values a step" in said(capsys)[0]
    assert main([*command, "--out", "own"]) == 2
    assert main([*command, "--out", "own", "--replace"]) == 0


def test_assets_are_listed_with_licence_hash_and_place(capsys):
    assert main(["assets"]) == 0
    out, _ = said(capsys)
    for word in ("minilm", "e5-small", "licence", "sha256", "mien assets get NAME"):
        assert word in out


def test_configs_are_listed_with_what_they_are(capsys):
    assert main(["configs"]) == 0
    assert "TAM-ULAG on CMU-MOSI, published settings" in said(capsys)[0]


def test_a_table_of_another_program_becomes_a_store_of_train_clips_and_others(here, capsys):
    rows = "Video;Clip;Text;Score;Split\nv;1;schön;1,5;train\nw;1;übel;;\nx;1;gut;1;Test\n"
    (here / "clips.csv").write_text(rows, encoding="latin-1")
    command = ["import", "clips.csv", "--scale=-3,3", "--encoding", "latin-1"]
    assert main([*command, "--out", "kept"]) == 0
    clips = open_store(here / "kept").clips
    assert [(clip.transcript, clip.split, len(clip.labels)) for clip in clips] == [
        ("schön", "train", 1),
        ("übel", "train", 0),
        ("gut", "test", 1),
    ]
    assert main([*command, "--unlabelled", "drop", "--out", "left"]) == 0
    assert len(open_store(here / "left").clips) == 2
    assert main([*command[:3], "--out", "x"]) == 2
    assert "state its encoding, for example --encoding latin-1" in said(capsys)[1]


def test_without_a_command_the_commands_are_listed(capsys):
    assert main([]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("Usage: ")
    assert any(line.split()[:1] == ["train"] for line in said)
