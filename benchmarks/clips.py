"""Measure what a store costs against the number of its clips.

    python benchmarks/clips.py                              # 1 k, 10 k, 100 k and 1 M clips
    python benchmarks/clips.py --clips 1000000 --size 250 --train 2000

Each store is made for the purpose: synthetic clips, a transcript of some twenty words, and one
series of audio with 30 steps a clip. Above 200,000 clips the audio is a sparse file of zeros, so
that a store of 30 GB takes little of the disk; below, it is drawn at random. Every line is a stage:
its CPU seconds, and the most memory the process had by then (RSS, of which about 240 MB are the
imports); each store has its own process. `first` reads clips whose columns are not in the cache
yet, `again` those that are. Where the way of before is still at hand, it takes its turn in the same
process and the ratio before / now is printed: clips as objects, and moments summed clip by clip.
`--train` takes so many batches of a small model with label generator `copy`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_STEPS = 30
_MOST_DRAWN = 200_000  # clips; more of them would take GBs, as sound and as objects
_TEXT = "the film was rather slow but I liked how it ended and what she said about him there"
_WORDS = _TEXT.split()


def main() -> None:
    """Measure each number of clips in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", nargs="+", type=int, default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--size", type=int, default=5, help="values of a step")
    parser.add_argument("--train", type=int, default=0, help="batches of training")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.store is not None:
        measure(options.store, options.train)
        return
    for num_clips in options.clips:
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store"
            write(store, num_clips, options.size)
            size = num_clips * _STEPS * options.size * 4 / 1e9
            print(f"{num_clips} clips, {size:.3g} GB of audio", flush=True)
            subprocess.run(
                [sys.executable, __file__, "--store", store, "--train", str(options.train)],
                check=True,
                env={**os.environ, "MIEN_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"},
            )


def write(folder: Path, num_clips: int, size: int) -> None:
    """Write a store, without making its clips."""
    random = np.random.default_rng(1)
    (folder / "audio").mkdir(parents=True)
    labels = random.uniform(-3, 3, num_clips).round(1).tolist()
    splits = np.array(["train", "valid", "test"])[random.choice(3, num_clips, p=[0.98, 0.01, 0.01])]
    with (folder / "clips.jsonl").open("w") as file:
        for row, (label, split) in enumerate(zip(labels, splits.tolist(), strict=True)):
            first = row % len(_WORDS)
            clip = {
                "id": f"video{row // 20:06d}$_${row % 20}",
                "split": split,
                "transcript": " ".join(_WORDS[first:] + _WORDS[:first]),
                "labels": {"fusion": label},
            }
            file.write(json.dumps(clip) + "\n")
    num_steps = num_clips * _STEPS
    np.save(folder / "audio" / "offsets.npy", np.arange(num_clips + 1) * _STEPS)
    with (folder / "audio" / "values.npy").open("wb") as values:
        header = {"descr": "<f4", "fortran_order": False, "shape": (num_steps, size)}
        np.lib.format.write_array_header_1_0(values, header)
        if num_clips > _MOST_DRAWN:
            values.truncate(values.tell() + num_steps * size * 4)
        else:
            random.normal(5, 2, (num_steps, size)).astype("<f4").tofile(values)
    audio = {
        "size": size, "dtype": "float32", "extractor": "benchmark", "num_steps": num_steps,
        "num_missing": 0,
    }  # fmt: skip
    meta = {
        "format": 1, "name": "benchmark", "language": "en", "scale": [-3, 3], "is_synthetic": True,
        "num_clips": {s: int((splits == s).sum()) for s in ("train", "valid", "test")},
        "labels": ["fusion"], "series": {"audio": audio}, "origin": {}, "fingerprint": "0" * 64,
    }  # fmt: skip
    (folder / "meta.json").write_text(json.dumps(meta))


def timed(what: str, work: Callable[[], T], before: float | None = None) -> tuple[T, float]:
    """Do something, and print its CPU seconds and the memory of the process."""
    start = time.process_time()
    result = work()
    taken = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio = "" if before is None else f"   before / now {before / taken:6.1f}"
    print(f"  {what:<34}{taken:9.3f} s {memory:8.0f} MB{ratio}", flush=True)
    return result, taken


def measure(path: Path, num_steps: int) -> None:
    """Open, describe and prepare a store, and train on it."""
    import torch

    from mien import open_store
    from mien.data.clips.clip_lines import clip_from_line
    from mien.data.summary import summarise
    from mien.data.text_settings import TextEncoderConfig
    from mien.labels.reference import CopyConfig
    from mien.models.tam_ulag import TamUlagConfig
    from mien.training.preparation import build, fit_scales, measure_moments, prepare
    from mien.training.settings import ExperimentConfig
    from mien.types import Modality

    torch.set_num_threads(1)
    timed("(imports)", lambda: None)
    timed("clips, first", lambda: len(open_store(path).clips))
    _, opening = timed("clips, again", lambda: len(open_store(path).clips))
    timed("info", lambda: summarise(path))
    config = ExperimentConfig(
        text_encoder=TextEncoderConfig(input="none"), labels=CopyConfig(), model=TamUlagConfig()
    )
    prepared, _ = timed("prepare", lambda: prepare(open_store(path), config))
    train = prepared.datasets["train"]
    model = build(prepared, config)
    _, scales = timed("scales", lambda: fit_scales(model, train))
    order = np.random.default_rng(1).permutation(len(train))
    timed("100 batches of 32", lambda: [train.batch(i) for i in np.array_split(order[:3200], 100)])
    if num_steps:
        _train(prepared, config, model, order[: num_steps * 32])
    if len(train) > _MOST_DRAWN:
        return

    def as_objects() -> int:
        with (path / "clips.jsonl").open() as file:
            return len(tuple(clip_from_line(line) for line in file))

    _, before = timed("before: clips as objects", as_objects)
    print(f"    before / now {before / opening:.1f}")

    def clip_by_clip() -> tuple[np.ndarray, np.ndarray]:
        return moments_by_clip(train.series[Modality.AUDIO], train.rows)

    old, before = timed("before: moments clip by clip", clip_by_clip)
    new = measure_moments(train, Modality.AUDIO)
    print(f"    before / now {before / scales:.1f}")
    if not all(np.allclose(a, b, rtol=1e-6) for a, b in zip(old, new, strict=True)):
        raise SystemExit("the moments differ")


def _train(prepared, config, model, order) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    from mien.labels import build_labels
    from mien.labels.generator import LabelInputs
    from mien.training.loop import Stepper
    from mien.training.objective import MultitaskObjective

    train = prepared.datasets["train"]
    inputs = LabelInputs(labels=train.labels, scale=prepared.scale, state_sizes=model.state_sizes)
    objective = MultitaskObjective(build_labels(config.labels, inputs))
    stepper = Stepper(model=model, objective=objective, train=train, config=config.train)
    timed(f"{len(order) // 32} batches of training", lambda: stepper.run_order(order, 1))


def moments_by_clip(series, rows) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Return mean and deviation, merged clip by clip."""
    count, size = 0, series.values.shape[1]
    mean, squares = np.zeros(size), np.zeros(size)
    for row in rows.tolist():
        part = np.asarray(series[row], dtype=np.float64)
        middle = part.mean(axis=0)
        delta, total = middle - mean, count + len(part)
        squares += ((part - middle) ** 2).sum(axis=0) + delta**2 * count * len(part) / total
        mean += delta * len(part) / total
        count = total
    return mean.astype(np.float32), np.sqrt(squares / max(count, 1)).astype(np.float32)


if __name__ == "__main__":
    main()
