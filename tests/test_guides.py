"""The guides for models and the like of one's own, followed to the letter in an empty folder.

Blocks with a title are laid where it says; then what the guide promises is run, each command in a
process of its own, as a reader would.
"""

import os
import shutil
import subprocess
import sys
import wave
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers import write_tiny_store
from pages import ROOT, apply_diff, read_blocks, write_block
from running import run_commands
from sharing import make_once
from talking import voice

import mien
from mien.types import Scale

GUIDES = ROOT / "docs" / "howto"
SOURCE = Path(mien.__file__).parent
GUIDES_OF_PACKAGES = ("add-a-model.md", "add-a-corpus.md", "add-an-extractor.md")

pytestmark = pytest.mark.slow


def run(folder, *words, path, code=0):
    """Run a program in a folder, with ``path`` before all else on Python's path."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def blocks_of(guide):
    return [block for block in read_blocks(GUIDES / guide) if block.title]


def lay_package(guide, folder):
    """Lay the files of a package of one's own."""
    folder.mkdir()
    for block in blocks_of(guide):
        if "/" not in block.title:
            write_block(block, folder)
    return folder


def mien_commands(folder, *commands, path):
    """Run commands of mien one after the other; returns what all of them said."""
    answers = run_commands(folder, *commands, path=path)
    for words, answer in zip(commands, answers, strict=True):
        assert answer.code == 0, f"{words}\n{answer.out[-3000:]}\n{answer.err[-3000:]}"
    return "".join(answer.out for answer in answers)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A store of a few clips."""
    return write_tiny_store(tmp_path_factory.mktemp("stores") / "tiny").path


def training(config, store, out, *settings):
    """The command that trains one short epoch."""
    short = ["corpus=tiny", "text_encoder.input=embeddings", "train.epochs=1"]
    given = [word for one in [*short, *settings] for word in ("--set", one)]
    return ["train", config, "--store", store, "--out", out, "--seeds", "1", *given]


COPIED = ["labels.generator=copy", "labels.weight=one"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory, tiny):
    """A folder in which the packages of the guides were used; with what the commands said."""
    return make_once(tmp_path_factory, "installed", lambda folder: use_packages(folder, tiny))


def use_packages(folder, store):
    site = folder / "site"
    packages = [lay_package(guide, folder / guide) for guide in GUIDES_OF_PACKAGES]
    words = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    run(folder, "-m", "pip", *words, "--target", site, *packages, path=[SOURCE.parent])
    rows = ["video_id,clip_id,text,label,mode"]
    rows += [f"v{i},{i},so it is,{i - 2},{m}" for i, m in enumerate(["train", "valid", "test"])]
    (folder / "clips.csv").write_text("\n".join(rows), encoding="utf-8")
    commands = [
        training("self_mm-planted", store, "mine", "model.name=corrected_mean", *COPIED),
        ["evaluate", "mine", "--split", "valid"],
        ["import", "clips.csv", "--corpus", "talks", "--out", "talks"],
    ]
    if find_spec("av"):
        write_wave(folder / "recordings" / "clip.wav")
        words = ["--audio", "loudness/1", "--video", "none", "--text", "none", "--out", "store"]
        commands += [["extractors"], ["extract", "recordings", "--jobs", "1", *words]]
    said = mien_commands(folder, *commands, path=[site, SOURCE.parent])
    (folder / "said.txt").write_text(said, encoding="utf-8")


def write_wave(file):
    file.parent.mkdir()
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes(np.round(32767 * voice(2.0, 16000)).astype("<i2"))


def test_a_model_of_a_package_of_ones_own_is_trained_by_the_command_line(installed):
    said = (installed / "mine" / "config.toml").read_text(encoding="utf-8")
    assert 'name = "corrected_mean"' in said


@pytest.mark.skipif(find_spec("av") is None, reason="the extra extract is not installed")
def test_an_extractor_of_a_package_of_ones_own_is_used_by_the_command_line(installed):
    assert "loudness/1" in (installed / "said.txt").read_text(encoding="utf-8")
    assert mien.open_store(installed / "store").meta.series["audio"].extractor == "loudness/1"


def test_a_corpus_of_a_package_of_ones_own_needs_no_scale(installed):
    assert mien.open_store(installed / "talks").scale == Scale(-3, 3)


# --- in a copy of the repository ------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository in which everything of the guides was done."""
    return make_once(tmp_path_factory, "copy", follow_guides)


def follow_guides(folder):
    # Compiled modules are kept, so that only what the guides change is compiled; but not halves.
    unneeded = shutil.ignore_patterns("*.safetensors", "static", "*.pyc.*")
    shutil.copytree(SOURCE, folder / "src" / "mien", ignore=unneeded)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=unneeded)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for guide in GUIDES_OF_PACKAGES:
        for block in blocks_of(guide):
            follow(block, folder)
    configs = folder / "src" / "mien" / "configs"
    text = (configs / "self_mm-planted.toml").read_text(encoding="utf-8")
    first, rest = text.split("\n", 1)
    assert first.startswith("# ")
    rest = rest.replace('name = "self_mm"', 'name = "corrected_mean"')
    first = "# The corrected mean on the planted corpus (synthetic)."
    (configs / "corrected_mean-planted.toml").write_text(f"{first}\n{rest}", encoding="utf-8")
    (configs / "unexplained.toml").write_text('corpus = "planted"', encoding="utf-8")


PLACES = {
    "corrected_mean.py": "src/mien/models",
    "loudness.py": "src/mien/extraction/extractors",
}


def follow(block, folder):
    """Do with a block what the guide says of a copy of the repository."""
    if block.language == "diff":
        apply_diff(block, folder)
    elif block.title.endswith(", before ATTENTIONS"):
        file = folder / block.title.removesuffix(", before ATTENTIONS")
        before, table, after = file.read_text(encoding="utf-8").partition("ATTENTIONS: ")
        file.write_text(f"{before}{block.text}\n\n{table}{after}", encoding="utf-8")
    elif "/" in block.title:
        write_block(block, folder)
    elif block.title in PLACES:
        write_block(block, folder / PLACES[block.title])


@pytest.mark.extended
def test_the_contracts_hold_for_what_the_guides_add(copy):
    """They take the package of the copy, not the installed one."""
    path = [copy / "src"]
    where = run(copy, "-c", "import mien; print(mien.__file__)", path=path)
    assert Path(where.strip()).is_relative_to(copy)
    names = "corrected_mean or self_trained or energy or no_two_forms or settings_for_every_model"
    if find_spec("av"):
        run(copy, "tests/contracts/test_extractors.py", "loudness/1", path=path)
        names += " or loudness"
    words = ["-q", "-p", "no:cacheprovider", "tests/contracts", "-k", names]
    assert "failed" not in run(copy, "-m", "pytest", *words, path=path)


def test_everything_can_be_trained_in_the_copy_and_tam_ulag_as_before(copy, tiny, tmp_path):
    said = mien_commands(
        tmp_path,
        ["configs"],
        training("corrected_mean-planted", tiny, "model", *COPIED),
        training("self_mm-planted", tiny, "labels", "labels.generator=self_trained"),
        training("tam_ulag-planted", tiny, "attention", "model.attention=energy", *COPIED),
        training("tam_ulag-planted", tiny, "r", "labels.evidence_epochs=1", "labels.folds=2"),
        path=[copy / "src"],
    )
    assert "The corrected mean on the planted corpus (synthetic)" in said
    assert "unexplained" in said  # a file without a comment at its top does not end the list
    assert (tmp_path / "r" / "metrics.json").is_file()
