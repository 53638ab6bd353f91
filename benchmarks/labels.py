"""Measure what a step costs a label generator, beside the formula of the released program.

    python benchmarks/labels.py
    python benchmarks/labels.py --clips 1284 16326 --generators ulag distance

A step is what training does with a batch of 32 clips of three modalities besides the model:
`generate`, `weights` and `observe`, and for `ulag` the gradient of its confidence. The released
program computes every class centre anew from all clips at every step; its formula (the centres and
labels of Self-MM, and the similarities of TAM-ULAG) is written out below, so that both run on the
same states in one process. They take turns, CPU time is counted, and the ratio of each generator to
that formula is the median over the rounds: below 1, ours is cheaper. States and labels are
synthetic, of the published sizes.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from mien.labels import GENERATORS, build_labels
from mien.labels.generator import Evidence, LabelGenerator, LabelInputs
from mien.tensors import Output
from mien.types import Modality, Scale, Task

_SIZES = {Task.FUSION: 128, Task.TEXT: 64, Task.AUDIO: 16, Task.VIDEO: 32}
_BATCH = 32
_EXPERT = 16
_EPOCH = 3  # after every warm-up


def main() -> None:
    """Print CPU time and ratios for each number of clips."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", nargs="+", type=int, default=[1284, 16326, 100_000, 1_000_000])
    parser.add_argument("--generators", nargs="+", default=["ulag", "distance", "latent"])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, a step of {_BATCH} clips, CPU ms, median of the rounds")
    print(f"{'clips':>9}  {'formula':>8}  " + "  ".join(f"{n:>16}" for n in options.generators))
    for num_clips in options.clips:
        torch.manual_seed(1)
        annotated = (6 * torch.rand(num_clips) - 3).round(decimals=1)
        ways = {"formula": ReleasedFormula(annotated).step}
        ways |= {name: _stepper(name, annotated) for name in options.generators}
        taken = _take_turns(ways, num_clips, options.rounds)
        base = taken.pop("formula")
        cells = [
            f"{statistics.median(times):7.2f} x {_ratio(times, base):6.3f}"
            for times in taken.values()
        ]
        print(f"{num_clips:>9}  {statistics.median(base):8.2f}  " + "  ".join(cells), flush=True)


def _ratio(times: list[float], base: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(times, base, strict=True))


def _take_turns(
    ways: dict[str, Callable[[Output, Tensor], None]], num_clips: int, rounds: int
) -> dict[str, list[float]]:
    """Return the CPU milliseconds of a step of each way, in every round but the first."""
    repeats = 20 if num_clips > 50_000 else 60
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, step in ways.items():
            batches = [(_output(), torch.randperm(num_clips)[:_BATCH]) for _ in range(repeats)]
            start = time.process_time()
            for output, index in batches:
                step(output, index)
            if number:
                taken[name].append((time.process_time() - start) * 1e3 / repeats)
    return taken


def _output() -> Output:
    """Return what a model might give for a batch."""
    return Output(
        scores={t: torch.randn(_BATCH) for t in Task},
        states={t: torch.randn(_BATCH, size) for t, size in _SIZES.items()},
        attention={},
        present={m: torch.ones(_BATCH, dtype=torch.bool) for m in Modality},
    )


def _stepper(name: str, annotated: Tensor) -> Callable[[Output, Tensor], None]:
    """Return a step of a generator of this project, which has seen every clip."""
    scores = {m: annotated + torch.randn(len(annotated)) for m in Modality}
    inputs = LabelInputs(
        labels={Task.FUSION: annotated},
        scale=Scale(-3, 3),
        state_sizes=_SIZES,
        evidence=Evidence(scores=scores, weights=dict.fromkeys(Modality, 1 / 3)),
    )
    labels: LabelGenerator = build_labels(GENERATORS[name].config(generator=name), inputs)
    for index in torch.arange(len(annotated)).split(4096):
        output = Output(
            scores={},
            states={t: torch.randn(len(index), size) for t, size in _SIZES.items()},
            attention={},
            present={m: torch.ones(len(index), dtype=torch.bool) for m in Modality},
        )
        labels.observe(output, index, 1)
    labels.finish_epoch(1)

    def step(output: Output, index: Tensor) -> None:
        generated = labels.generate(output, index, _EPOCH)
        labels.weights(index)
        if generated.own_loss.requires_grad:
            for parameter in labels.parameters():
                parameter.grad = None
            generated.own_loss.backward()
        labels.observe(output, index, _EPOCH)

    return step


class ReleasedFormula:
    """Centres over all clips at every step, and the labels made with them.

    Source: yu2021, eqs. 8 to 13; sun2024, inter-modal similarity, as the released programs do it.
    """

    def __init__(self, annotated: Tensor) -> None:
        self.states = {t: torch.randn(len(annotated), size) for t, size in _SIZES.items()}
        self.labels = {t: annotated.clone() for t in Task}
        self.experts = {t: torch.nn.Linear(size, _EXPERT) for t, size in _SIZES.items()}
        self.scores = {
            m: torch.nn.Sequential(torch.nn.Linear(_EXPERT, _EXPERT), torch.nn.Linear(_EXPERT, 1))
            for m in Modality
        }
        self.centres: dict[Task, tuple[Tensor, Tensor]] = {}
        self._find_centres()

    def _find_centres(self) -> None:
        for task in Task:
            positive, negative = self.labels[task] > 0, self.labels[task] < 0
            states = self.states[task]
            self.centres[task] = states[positive].mean(dim=0), states[negative].mean(dim=0)

    def _difference(self, task: Task, states: Tensor) -> Tensor:
        positive, negative = self.centres[task]
        near, far = (states - positive).norm(dim=-1), (states - negative).norm(dim=-1)
        return (far - near) / (near + 1e-8)

    def step(self, output: Output, index: Tensor) -> None:
        """Make the targets of a batch, and move its labels."""
        experts = {t: torch.relu(self.experts[t](output.states[t])) for t in Task}
        stacked = torch.stack(list(experts.values()), dim=1)
        for modality in Modality:
            own = experts[Task(modality)]
            merged = torch.einsum("bm,bme->be", torch.einsum("bme,be->bm", stacked, own), stacked)
            score = self.scores[modality](merged).squeeze(-1)
            proposal = self.labels[Task.FUSION][index] * torch.tanh(score / 2)
            (self.labels[Task(modality)][index] + proposal) / 2  # the target
        with torch.no_grad():
            for task in Task:
                self.states[task][index] = output.states[task]
            self._find_centres()
            fused = self._difference(Task.FUSION, output.states[Task.FUSION])
            y = self.labels[Task.FUSION][index]
            for modality in Modality:
                own = self._difference(Task(modality), output.states[Task(modality)])
                new = 0.5 * own / (fused + 1e-8) * y + 0.5 * (y + own - fused)
                bank = self.labels[Task(modality)]
                rate = 2 / (_EPOCH + 1)
                bank[index] = (1 - rate) * bank[index] + rate * new.clamp(-3, 3)


if __name__ == "__main__":
    main()
