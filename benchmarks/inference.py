"""Measure inference without padding, and in 8 bits, against float32 with padding.

    python benchmarks/inference.py                   # BERT-base of random weights, 12 layers
    python benchmarks/inference.py --layers 3

The code is that of `mien evaluate`, with and without `--int8`; the model is that of
tam_ulag-mosi. Padded, the encoder computes every clip to the length to which the released program
pads. The clips are synthetic: random values, with the lengths of CMU-MOSI (``benchmarks/step.py``).
The three ways take turns in one process and CPU time is counted; printed are the ratios of each
round, and how far scores of random weights move in 8 bits.
"""

import argparse
import copy
import statistics
import time

import numpy as np
import torch
import transformers
from step import SHAPES, PaddedEncoder, draw_series, make_clips, read_options

from mien import read_config
from mien.data.dataset import ClipDataset
from mien.evaluation.scoring import predict
from mien.models import build_model
from mien.models.eight_bits import round_text_encoder
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.pretrained.text_encoder import TokenEncoder
from mien.types import Modality, Task


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", choices=SHAPES, default="mosi")
    parser.add_argument("--clips", type=int, default=128)
    options = read_options(parser)
    torch.manual_seed(1)
    shape = SHAPES[options.corpus]
    series = draw_series(shape, options.clips)
    settings = transformers.BertConfig(num_hidden_layers=options.layers)
    backbone = transformers.BertModel(settings, add_pooling_layer=False)
    sizes = {m: s.values.shape[1] for m, s in series.items()} | {Modality.TEXT: 768}
    inputs = ModelInputs(sizes=sizes, text_encoder=TokenEncoder(backbone))
    packed = build_model(read_config(f"tam_ulag-{options.corpus}").model, inputs).eval()
    padded, rounded = copy.deepcopy(packed), copy.deepcopy(packed)
    padded.text_encoder = PaddedEncoder(copy.deepcopy(backbone))
    round_text_encoder(rounded)
    clips = {
        is_padded: make_clips(series, shape, options.clips, is_padded=is_padded)
        for is_padded in (True, False)
    }
    rounds: list[tuple[float, float]] = []
    for turn in range(options.rounds + 1):
        base, exact = run(padded, clips[True])
        seconds, same = run(packed, clips[False])
        fewer_bits, near = run(rounded, clips[False])
        if turn:  # the first warms up
            rounds.append((base / seconds, base / fewer_bits))
    print(
        f"{options.corpus}, {options.clips} synthetic clips, BERT of {options.layers} layers, "
        f"{options.threads} threads, torch {torch.__version__}"
    )
    for name, ratios in zip(("packed", "8 bits"), zip(*rounds, strict=True), strict=True):
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"padded / {name}: {shown} (median {statistics.median(ratios):.2f})")
    print(
        f"scores: packed {np.abs(same - exact).max():.1e} from padded at most; 8 bits "
        f"{np.abs(near - same).mean():.1e} from packed on average"
    )


def run(model: MultimodalModel, clips: ClipDataset) -> tuple[float, np.ndarray]:
    """Score all clips; return the CPU seconds and the multimodal scores."""
    start = time.process_time()
    scores = predict(model, clips).scores[Task.FUSION]
    return time.process_time() - start, scores


if __name__ == "__main__":
    main()
