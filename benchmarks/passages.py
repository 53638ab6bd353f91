"""Measure what it costs a text encoder to read clips in passages, or each with a context.

    python benchmarks/passages.py
    python benchmarks/passages.py --layers 12 --clips 12

An encoder of BERT's base size with random weights goes forwards and backwards over clips of some
videos (synthetic: random tokens, lengths drawn from a gamma distribution with the mean number of
tokens of CMU-MOSI), in batches of 32: every clip by itself, with the two before it
(`text_encoder.context=2`), and in passages (`text_encoder.passage=200`). The ways take turns in one
process, CPU time is counted, and printed are the ratios of each round to clips by themselves.
"""

import argparse
import statistics
import time

import numpy as np
import torch
import transformers

from mien.data.context.passages import cut_passages, join_passage
from mien.data.context.second_segment import SegmentMarks, add_segment
from mien.pretrained.text_encoder import TokenEncoder
from mien.tensors import PaddedSeries, pad

_VOCABULARY = 30522
_TOKENS = 14.0  # mean of a clip of CMU-MOSI, with two marks
_BATCH = 32


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=3, help="layers of the encoder")
    parser.add_argument("--videos", type=int, default=16, help="videos")
    parser.add_argument("--clips", type=int, default=24, help="clips of each video")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way takes its turn")
    given = parser.parse_args()
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=_VOCABULARY, num_hidden_layers=given.layers)
    encoder = TokenEncoder(transformers.BertModel(config, add_pooling_layer=False)).train()
    videos = draw_videos(given.videos, given.clips)
    ways = {"alone": read_alone, "context=2": read_with_two, "passage=200": read_in_passages}
    read = {name: [clip for video in videos for clip in way(video)] for name, way in ways.items()}
    for name, clips in read.items():
        print(f"{name}: {measure_tokens(clips):,} tokens go through the encoder")
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    run(encoder, read["alone"][: 2 * _BATCH])
    for _ in range(given.rounds):
        seconds = {name: run(encoder, clips) for name, clips in read.items()}
        for name, value in seconds.items():
            ratios[name].append(value / seconds["alone"])
    for name, values in ratios.items():
        rounds = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name} / alone: {statistics.median(values):.2f} (rounds: {rounds})")


def draw_videos(num_videos: int, num_clips: int) -> list[list[np.ndarray]]:
    """Return token ids of the clips of each video, ``(T, 1)``."""
    rng = np.random.default_rng(0)
    lengths = rng.gamma(3.0, (_TOKENS - 2) / 3.0, (num_videos, num_clips)).astype(int) + 3
    return [
        [rng.integers(1000, _VOCABULARY, (length, 1), dtype=np.int32) for length in video]
        for video in lengths.tolist()
    ]


def read_alone(video: list[np.ndarray]) -> list[np.ndarray]:
    """Return every clip by itself."""
    return video


def read_with_two(video: list[np.ndarray]) -> list[np.ndarray]:
    """Return every clip with the two before it as a second segment."""
    marks = SegmentMarks(first=(), last=(102,), type=1)
    return [
        add_segment(
            clip,
            [other[1:-1, 0] for other in video[max(0, row - 2) : row]],
            [],
            marks=marks,
            most=128,
            reads_both_sides=False,
        )
        for row, clip in enumerate(video)
    ]


def read_in_passages(video: list[np.ndarray]) -> list[np.ndarray]:
    """Return every clip with the passage that it is in."""
    starts = cut_passages(np.array([len(clip) for clip in video]), 200).tolist()
    clips = []
    for first, end in zip(starts, [*starts[1:], len(video)], strict=True):
        ids = [clip[:, 0] for clip in video[first:end]]
        clips += [
            join_passage(clip, ids[:row], ids[row + 1 :])
            for row, clip in enumerate(video[first:end])
        ]
    return clips


def batches(clips: list[np.ndarray]) -> list[PaddedSeries]:
    """Return the clips in padded batches."""
    return [
        pad(
            [torch.from_numpy(clip) for clip in clips[start : start + _BATCH]],
            has_context=clips[0].shape[1] > 1,
        )
        for start in range(0, len(clips), _BATCH)
    ]


def measure_tokens(clips: list[np.ndarray]) -> int:
    """Return how many tokens an encoder computes."""
    if clips[0].shape[1] < 3:
        return sum(map(len, clips))
    return sum(
        len(clip)
        for batch in range(0, len(clips), _BATCH)
        for clip in {
            np.sort(own[:, 1] * _VOCABULARY + own[:, 0]).tobytes(): own
            for own in clips[batch : batch + _BATCH]
        }.values()
    )


def run(encoder: TokenEncoder, clips: list[np.ndarray]) -> float:
    """Return the CPU seconds of going forwards and backwards over clips."""
    series = batches(clips)
    start = time.process_time()
    for batch in series:
        states = encoder(batch)
        states[batch.mask].mean().backward()
        encoder.zero_grad(set_to_none=True)
    return time.process_time() - start


if __name__ == "__main__":
    main()
