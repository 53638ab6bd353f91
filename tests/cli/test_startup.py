"""What commands import: nothing that takes seconds before it is needed."""

import json
import os
import subprocess
import sys

import pytest

from mien.cli import main
from mien.errors import AssetError
from mien.pretrained.encoder_source import find_text_encoder

#: What takes a tenth of a second or more to import.
HEAVY = {
    *("accelerate", "av", "cv2", "faster_whisper", "matplotlib", "mediapipe", "numpy", "pandas"),
    *("pydantic", "scipy", "sympy", "torch", "torch._dynamo", "transformers", "typer"),
}
#: What typer needs, and what reads settings and descriptions of stores.
LIGHT = {"numpy", "pydantic", "typer"}
REFUSED = [
    ["train", "tam_ulag-planted", "--set", "train.sede=1"],
    ["train", "no-such-settings"],
    ["train", "tam_ulag-planted", "--store", "no/store"],
    ["evaluate", "no/run", "--split", "first"],
    ["evaluate", "no/run"],
    ["compare", "no/run", "no/other"],
    ["labels", "no/run"],
    ["study", "no-such-study"],
    ["predict", "no.mp4"],
    ["predict", "no.mp4", "--text", "good"],
    ["predict", "--text", "good", "--model", "no/run"],
    ["pack", "no/run", "out.safetensors"],
    ["export-onnx", "no/run", "out.onnx"],
    ["serve", "--model", "no/run"],
    ["export", "no/store", "out.pkl"],
    ["info", "no/store"],
    ["import", "no.pkl", "--corpus", "mosi"],
    ["extract", "no/folder"],
]

PROGRAM = """
import contextlib, io, json, sys
from mien.cli import main

def run(words):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(words)
    return [words, code, [name for name in heavy if name in sys.modules]]

heavy, commands = json.loads(sys.argv[1])
print(json.dumps([run(words) for words in commands]))
"""


def run_all(commands, folder):
    """Run commands in one process; give what each returned, and what is imported after it."""
    given = json.dumps([sorted(HEAVY), commands])
    done = subprocess.run([sys.executable, "-c", PROGRAM, given], cwd=folder, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_lists_and_refusals_import_no_more_than_they_need(tmp_path):
    light = [["--help"], ["--version"], ["configs"]]
    helps = [["train", "--help"], ["predict", "--help"], ["info", "--help"]]
    for words, code, imported in run_all([*light, *helps, *REFUSED], tmp_path):
        if words in light:
            assert (code, imported) == (0, []), words
        elif words in helps:
            assert (code, imported) == (0, ["pydantic", "typer"]), words
        else:
            assert (code, set(imported)) == (2, set(imported) & LIGHT), words


def test_a_text_is_predicted_without_what_recordings_and_training_need(tmp_path):
    try:
        find_text_encoder("minilm")
    except AssetError:
        pytest.skip("minilm is not here")
    ((_, code, imported),) = run_all([["predict", "--text", "It was no good at all."]], tmp_path)
    assert (code, set(imported)) == (0, {*LIGHT, "torch"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_that_wait_do_not_take_the_cores_unless_that_is_wanted(
    monkeypatch, given, expected
):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what the command sets is taken back
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main(["cache", "--help"]) == 0
    assert os.environ.get("GOMP_SPINCOUNT") == expected
