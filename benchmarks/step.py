"""Measure a training step without padding against one padded as the released program pads.

    python benchmarks/step.py                        # BERT-base of random weights, 12 layers
    python benchmarks/step.py --layers 3 --corpora mosi

Model, label generator, loss, optimiser and settings are those of tam_ulag-mosi, -sims and -mosei
(their `batch_size` and `accumulate`), the code is that of `mien train`. The padded step pads every
series of a batch to the length to which the released program pads (and tells the encoder so), as
its data loader does. The clips are synthetic: random values, lengths drawn from a gamma
distribution with the published mean number of tokens. Both ways take turns in one process and CPU
time is counted; printed are the ratios of each round. The bound is the ratio of padded to real
tokens: what leaving out all padding could give if text were everything and all sizes of matrices
ran at one rate. That rate is printed beside it, and the share of a packed step that dropout takes:
what a step costs less when none is drawn. Last stands what a packed step wins with
train.precision=bf16, where the processor has it.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from mien import read_config
from mien.data.dataset import ClipDataset, make_dataset
from mien.data.store import Series
from mien.labels import build_labels
from mien.labels.generator import LabelInputs
from mien.models import build_model
from mien.models.multitask import ModelInputs
from mien.pretrained.text_encoder import TokenEncoder
from mien.tensors import Batch, PaddedSeries, Targets
from mien.training.loop import Stepper
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import has_bf16
from mien.training.settings import ExperimentConfig
from mien.types import Clip, Modality, Scale, Task

_VOCABULARY = 30522


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How long the series of a corpus are.

    Attributes:
        tokens: Mean number of tokens of a clip.
        padded: Steps of text, audio and video to which the released program pads.
        sizes: Values of a step of audio and video.
        scale: Range of the annotations.
    """

    tokens: float
    padded: tuple[int, int, int]
    sizes: tuple[int, int]
    scale: tuple[float, float]


#: Padded lengths and sizes: the published feature files, as the released program reads them.
SHAPES = {
    "mosi": Shape(tokens=14.0, padded=(50, 375, 500), sizes=(5, 20), scale=(-3, 3)),
    "sims": Shape(tokens=17.3, padded=(39, 400, 55), sizes=(33, 709), scale=(-1, 1)),
    "mosei": Shape(tokens=25.5, padded=(50, 500, 375), sizes=(74, 35), scale=(-3, 3)),
}


class PaddedEncoder(nn.Module):
    """A text encoder over all steps of a batch, padding among them."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, series: PaddedSeries) -> Tensor:
        """Return the states."""
        ids = series.values.squeeze(-1).long()
        states: Tensor = self.backbone(
            input_ids=ids, attention_mask=series.mask.long()
        ).last_hidden_state
        return states


class PaddedClips(ClipDataset):
    """Clips that are padded to one length in every batch."""

    lengths: dict[Modality, int]

    def batch(self, index: np.ndarray) -> tuple[Batch, Targets]:
        """Read and pad the clips at ``index``."""
        batch, targets = super().batch(index)
        sequences = {
            modality: PaddedSeries(
                nn.functional.pad(values, (0, 0, 0, self.lengths[modality] - values.shape[1])),
                nn.functional.pad(mask, (0, self.lengths[modality] - mask.shape[1])),
            )
            for modality, (values, mask) in batch.sequences.items()
        }
        return Batch(index=batch.index, sequences=sequences), targets


def read_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the options, with those of all benchmarks of an encoder, and set the threads."""
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    return options


def main() -> None:
    """Print the ratios of each corpus."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpora", nargs="+", choices=SHAPES, default=list(SHAPES))
    options = read_options(parser)
    print(
        f"torch {torch.__version__}, {options.threads} threads, BERT of {options.layers} layers, "
        "synthetic clips"
    )
    for name in options.corpora:
        compare(name, SHAPES[name], options.layers, options.rounds)


def compare(name: str, shape: Shape, layers: int, rounds: int) -> None:
    """Take turns and print the ratio of CPU time, padded to packed, beside what is possible."""
    config = read_config(f"tam_ulag-{name}")
    num_clips = config.train.batch_size * config.train.accumulate
    series = draw_series(shape, num_clips)
    steppers = {
        is_padded: make_stepper(config, series, shape, layers, is_padded=is_padded)
        for is_padded in (True, False)
    }
    ratios = take_turns(steppers[True], steppers[False], num_clips, rounds)
    packed = run(steppers[False], num_clips)
    share = measure_dropout(steppers[False], num_clips, rounds)
    won = "not on this processor"
    if has_bf16(config.train):
        less = read_config(f"tam_ulag-{name}", overrides=["train.precision=bf16"])
        in_bf16 = make_stepper(less, series, shape, layers, is_padded=False)
        won = show(take_turns(steppers[False], in_bf16, num_clips, rounds))
    tokens = series[Modality.TEXT].lengths
    print(
        f"{name}: {num_clips} clips a step, {tokens.mean():.1f} tokens a clip; padded / packed "
        f"{show(ratios)}; bound "
        f"{shape.padded[0] / tokens.mean():.2f}; {packed / num_clips * 1e3:.0f} ms a clip, "
        f"{share:.1%} of it dropout; "
        f"matrices {measure_rate(int(tokens.mean() * config.train.batch_size)):.0f} GF/s packed, "
        f"{measure_rate(shape.padded[0] * config.train.batch_size):.0f} padded; "
        f"float32 / bf16, both packed, {won}"
    )


def make_stepper(
    config: ExperimentConfig,
    series: dict[Modality, Series],
    shape: Shape,
    layers: int,
    *,
    is_padded: bool,
) -> Stepper:
    """Make a training of settings on the series, padded as the released program pads, or not."""
    torch.manual_seed(1)
    dataset = make_clips(series, shape, len(series[Modality.TEXT].lengths), is_padded=is_padded)
    settings = transformers.BertConfig(vocab_size=_VOCABULARY, num_hidden_layers=layers)
    backbone = transformers.BertModel(settings, add_pooling_layer=False)
    encoder = PaddedEncoder(backbone) if is_padded else TokenEncoder(backbone)
    sizes = {m: s.values.shape[1] for m, s in series.items()} | {Modality.TEXT: 768}
    model = build_model(config.model, ModelInputs(sizes=sizes, text_encoder=encoder))
    inputs = LabelInputs(
        labels=dataset.labels, scale=Scale(*shape.scale), state_sizes=model.state_sizes
    )
    objective = MultitaskObjective(build_labels(config.labels, inputs))
    return Stepper(model=model, objective=objective, train=dataset, config=config.train)


def take_turns(slow: Stepper, fast: Stepper, num_clips: int, rounds: int) -> list[float]:
    """Return how many times as long steps of one take as those of another, by turns."""
    ratios = []
    for turn in range(rounds + 1):
        ratio = run(slow, num_clips) / run(fast, num_clips)
        if turn:  # the first warms up
            ratios.append(ratio)
    return ratios


def show(ratios: list[float]) -> str:
    """Return ratios and their median as text."""
    listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"{listed} (median {statistics.median(ratios):.2f})"


def draw_series(shape: Shape, num_clips: int) -> dict[Modality, Series]:
    """Draw random series, as long as the corpus has them relative to its text."""
    drawn = np.random.default_rng(1)
    longest = shape.padded[0]
    tokens = drawn.gamma(3.0, (shape.tokens - 3) / 3.0, num_clips).round() + 3
    while abs(tokens.clip(3, longest).mean() - shape.tokens) > 0.2:  # cutting makes it shorter
        tokens = tokens * shape.tokens / tokens.clip(3, longest).mean()
    tokens = tokens.clip(3, longest).round().astype(int)
    result = {}
    for modality, padded, size in zip(Modality, shape.padded, (1, *shape.sizes), strict=True):
        lengths = np.maximum(1, tokens * padded // longest)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = (
            drawn.integers(1000, _VOCABULARY, (offsets[-1], 1), dtype=np.int32)
            if modality is Modality.TEXT
            else drawn.standard_normal((offsets[-1], size), dtype=np.float32)
        )
        result[modality] = Series(values, offsets.astype(np.int64))
    return result


def make_clips(
    series: dict[Modality, Series], shape: Shape, num_clips: int, *, is_padded: bool
) -> ClipDataset:
    """Join the series and random labels."""
    drawn = np.random.default_rng(2)
    clips = tuple(
        Clip(
            id=str(i),
            split="train",
            transcript="",
            labels={Task.FUSION: float(drawn.uniform(*shape.scale))},
        )
        for i in range(num_clips)
    )
    made = make_dataset(clips, np.arange(num_clips), series, {Modality.TEXT: 100.0})
    if not is_padded:
        return made
    padded = PaddedClips(
        clips=made.clips, rows=made.rows, series=made.series, labels=made.labels, costs=made.costs
    )
    object.__setattr__(padded, "lengths", dict(zip(Modality, shape.padded, strict=True)))
    return padded


def run(stepper: Stepper, num_clips: int) -> float:
    """Take one step over all clips; return its CPU seconds."""
    start = time.process_time()
    stepper.run_order(np.arange(num_clips), 1)
    return time.process_time() - start


def measure_dropout(stepper: Stepper, num_clips: int, rounds: int) -> float:
    """Return the share of a step that dropout takes: steps with and without it take turns."""
    layers = [layer for layer in stepper.model.modules() if isinstance(layer, nn.Dropout)]
    rates = [layer.p for layer in layers]
    shares = []
    for _ in range(rounds):
        drawn = run(stepper, num_clips)
        for layer in layers:
            layer.p = 0.0
        none = run(stepper, num_clips)
        for layer, rate in zip(layers, rates, strict=True):
            layer.p = rate
        shares.append(1 - none / drawn)
    return statistics.median(shares)


def measure_rate(num_rows: int) -> float:
    """Return the median rate of the layers' largest product, in GF/s of CPU time."""
    left, right = torch.randn(num_rows, 768), torch.randn(768, 3072)
    rates = []
    for _ in range(15):
        start = time.process_time()
        left @ right
        rates.append(2e-9 * num_rows * 768 * 3072 / (time.process_time() - start))
    return statistics.median(rates)


if __name__ == "__main__":
    main()
