"""Measure what commands take to start, in units of a bare interpreter.

    python benchmarks/startup.py [--rounds 5] [--clip CLIP] [--encoder NAME] [--only predict]

Runs each command several times, a bare interpreter (``python -c pass``) before each, and prints the
median seconds of the processor, system time and worker processes included, their ratio to a bare
start, and what is left of it without ``import torch`` for commands that compute. ``train`` runs on
60 clips of the planted corpus (synthetic), for one epoch, with a frozen text encoder and with a
fine-tuned one, and ends at its first batch. With ``--clip`` a recording is predicted too. Threads
are set to one; the shipped model and its text encoder must be here (``mien assets get minilm``).
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: Ends a training at its first batch: what is measured is the way there.
_UNTIL_FIRST_BATCH = """
import os, sys
from mien.cli import main
from mien.models.multitask import MultimodalModel

ordinary = MultimodalModel.present

def present(model, batch):
    if model.training:
        sys.stdout.flush()
        os._exit(0)
    return ordinary(model, batch)

MultimodalModel.present = present
sys.exit(main(sys.argv[1:]))
"""


def seconds_of(command: Sequence[str], folder: Path) -> float:
    """Return the seconds of the processor that a command takes, with its child processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled once, not each time
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, check=False
    )
    if done.returncode not in (0, 2):
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(clip: str | None, encoder: str) -> dict[str, list[str]]:
    """Return what is measured, by what is printed."""
    words = {
        "--help": ["--help"],
        "--version": ["--version"],
        "configs": ["configs"],
        "info --help": ["info", "--help"],
        "train --help": ["train", "--help"],
        "info STORE": ["info", "store"],
        "assets": ["assets"],
        "doctor": ["doctor"],
        "a setting that is not there": ["train", "tam_ulag-planted", "--set", "train.sede=1"],
        "a recording that is not there": ["predict", "no.mp4"],
        "predict --text": ["predict", "--text", "I loved it, and so did everybody else."],
    }
    if clip is not None:
        words["predict CLIP"] = ["predict", str(Path(clip).absolute())]
    made = {name: ["-m", "mien", *given] for name, given in words.items()}
    base = ["train", "tam_ulag-planted", "--store", "store", "--set", "train.epochs=1"]
    base += ["--set", "labels.generator=copy", "--set", "labels.weight=one"]
    tuned = ["--set", "text_encoder.mode=finetune", "--set", f"text_encoder.name={encoder}"]
    for name, more in (("frozen", []), ("fine-tuned", [*tuned])):
        given = [*base, *more, "--out", f"run-{name}"]
        made[f"train, {name}, to the first batch"] = ["-c", _UNTIL_FIRST_BATCH, *given]
    return made


def main() -> None:
    """Measure every command."""
    parser = argparse.ArgumentParser(description="Measure what commands take to start.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip", help="a recording, for predict CLIP")
    parser.add_argument("--encoder", default="minilm", help="text encoder that train fine-tunes")
    parser.add_argument("--only", default="", help="measure commands in which this occurs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        planted = ["planted", "--out", "store", "--set", "num_clips=60"]
        seconds_of(["-m", "mien", *planted], folder)
        chosen = commands(given.clip, given.encoder)
        chosen = {label: command for label, command in chosen.items() if given.only in label}
        measured = {"import torch": ["-c", "import torch"], **chosen}
        times: dict[str, list[float]] = {label: [] for label in measured}
        bare: list[float] = []
        for command in measured.values():
            clear_runs(folder)
            seconds_of(command, folder)  # compiles modules, and keeps the states of the corpus
        for _ in range(given.rounds):
            for label, command in measured.items():
                clear_runs(folder)
                bare.append(seconds_of(["-c", "pass"], folder))
                times[label].append(seconds_of(command, folder))
    unit, torch = statistics.median(bare), statistics.median(times["import torch"])
    print(f"a bare interpreter takes {unit:.3f} s of the processor (median of {len(bare)})")
    for label, taken in times.items():
        middle = statistics.median(taken)
        rest = f", {middle / torch:5.2f} x import torch" if middle > torch else ""
        print(f"{label:36} {middle:7.3f} s {middle / unit:7.1f} x{rest}")


def clear_runs(folder: Path) -> None:
    """Take away what trainings left, which would not be trained again."""
    for run in folder.glob("run-*"):
        for file in sorted(run.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        run.rmdir()


if __name__ == "__main__":
    main()
