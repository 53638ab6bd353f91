"""Compare a network in torch with the same in ONNX, in 32 and in 8 bits, on real sentences.

    python benchmarks/runtimes.py TABLE [--model RUN_OR_FILE]

TABLE is a CSV with the columns ``text``, ``label`` and ``mode``, such as CMU-MOSI's ``label.csv``;
the sentences of test are read one at a time, as they are in use, in turns in one process. Printed
are each way's time as a ratio to torch's, how far its scores are from torch's, and how far from the
annotations.
"""

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from mien.models.eight_bits import round_linear_layers
from mien.prediction.network import load_network
from mien.prediction.onnx import OnnxNetwork, export_onnx
from mien.training.checkpoints.shipped_models import SHIPPED_MODELS
from mien.training.loading import find_checkpoint
from mien.types import Modality

Way = Callable[[dict[str, np.ndarray]], float]


def main() -> None:
    """Print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--model", type=Path, default=SHIPPED_MODELS["small"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with options.table.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["mode"] == "test"]
    labels = np.array([float(row["label"]) for row in rows])
    checkpoint = find_checkpoint(options.model)
    network = load_network(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        made = export_onnx(checkpoint, Path(folder) / "m.onnx", int8=True)
        sizes = [made.path.stat().st_size, made.int8.stat().st_size]
        graph, rounded = OnnxNetwork(network), OnnxNetwork(load_network(checkpoint))
        round_linear_layers(rounded.model.text_encoder)
        clips = [make_inputs(graph, network.text.tokenise([row["text"]])[0]) for row in rows]
        ways = {
            "torch": run_torch(graph),
            "torch, 8 bits": run_torch(rounded),
            "onnx, 32 bits": run_onnx(made.path, options.threads),
            "onnx, 8 bits": run_onnx(made.int8, options.threads),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        scores: dict[str, list[float]] = {name: [] for name in ways}
        for clip in clips:
            for name, way in ways.items():
                start = time.perf_counter()
                scores[name].append(way(clip))
                seconds[name].append(time.perf_counter() - start)
    print(f"{len(rows)} sentences, {options.threads} threads, torch {torch.__version__}, ", end="")
    print(
        f"onnxruntime {onnxruntime.__version__}; {sizes[0] / 1e6:.1f} and {sizes[1] / 1e6:.1f} MB"
    )
    whole, width = np.array(scores["torch"]), network.scale.high - network.scale.low
    for name in ways:
        found = np.array(scores[name])
        apart = np.abs(found - whole) / width
        ratio = statistics.median(seconds[name]) / statistics.median(seconds["torch"])
        print(
            f"{name:14} time {ratio:5.2f} of torch's; from torch {apart.mean():.1e} of the scale "
            f"on average, {apart.max():.1e} at most; MAE {np.abs(found - labels).mean():.3f}, "
            f"Corr {np.corrcoef(found, labels)[0, 1]:.3f}"
        )


def make_inputs(graph: OnnxNetwork, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs of a sentence without a voice and a face."""
    inputs = {}
    for modality in graph.modalities:
        is_text = modality is Modality.TEXT
        values = np.zeros((1, 1, graph.sizes[modality]), np.float32)
        inputs[str(modality)] = ids[:, 0].astype(np.int64)[None] if is_text else values
        inputs[f"{modality}_mask"] = np.full(inputs[str(modality)].shape[:2], is_text)
    return inputs


def run_torch(graph: OnnxNetwork) -> Way:
    """Return what scores a clip in torch."""

    @torch.inference_mode()
    def run(clip: dict[str, np.ndarray]) -> float:
        return float(graph(*(torch.from_numpy(clip[name]) for name in graph.inputs))[0])

    return run


def run_onnx(path: Path, threads: int) -> Way:
    """Return what scores a clip in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda clip: float(session.run(["score_fusion"], clip)[0][0])


if __name__ == "__main__":
    main()
