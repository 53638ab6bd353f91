"""The late-fusion models of all folds: one after the other here, or side by side in processes.

Each model computes with one thread in either case, so that the numbers are the same, bit for bit.
"""

import pickle
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Float

from mien.data.dataset import ClipDataset
from mien.data.store import Series
from mien.errors import MienError, TrainingError
from mien.processes import python_command, safe_environment
from mien.training.optimizer import make_accelerator
from mien.training.out_of_fold.evidence_settings import EvidenceSettings
from mien.training.out_of_fold.folds import (
    Fold,
    FoldPlan,
    HeldOut,
    OnStep,
    make_folds,
    run_epoch,
    set_labels,
    set_target_labels,
)
from mien.types import Modality

__all__ = [
    "MANY_CLIPS",
    "FoldTeam",
    "FoldWork",
    "LabelsOfFolds",
    "ProcessTeam",
    "TrainedFolds",
    "count_processes",
    "open_team",
    "pack_work",
    "receive",
    "send",
]

#: Clips of train from which on processes are worth their start, which takes seconds each.
MANY_CLIPS = 400
_LENGTH = 8  # bytes that say how long a message is


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsOfFolds:
    """What unimodal tasks learn from, of every train clip.

    Attributes:
        sentiment: Labels of each modality.
        targets: Those of further targets, by name.
    """

    sentiment: Mapping[Modality, Float[torch.Tensor, " N"]] = field(default_factory=dict)
    targets: Mapping[str, Mapping[Modality, Float[torch.Tensor, "N K"]]] = field(
        default_factory=dict
    )

    def put(self, folds: list[Fold], plan: FoldPlan) -> None:
        """Let the models learn from them from now on."""
        if self.sentiment:
            set_labels(folds, self.sentiment, plan.scale)
        for name, made in self.targets.items():
            set_target_labels(folds, name, made)


class FoldTeam:
    """The models of all folds, trained one after the other in this process.

    Args:
        plan: How they are made.

    Attributes:
        folds: Them, in the state after the last epoch.
    """

    def __init__(self, plan: FoldPlan) -> None:
        self._plan = plan
        self.folds = list(make_folds(plan))

    def run_epoch(self, epoch: int, labels: LabelsOfFolds, on_step: OnStep | None) -> HeldOut:
        """Train every model for an epoch, and return the scores of the clips held out.

        Args:
            epoch: Counted from 1.
            labels: What unimodal tasks learn from; where there are none yet, annotations.
            on_step: Is called as the training goes on.
        """
        labels.put(self.folds, self._plan)
        return run_epoch(self._plan.dataset, self.folds, epoch, self._plan.seed, on_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldWork:
    """What a process is given to do.

    Attributes:
        plan: How the models are made; series that are mapped from files are empty in it.
        mapped: Where these lie: file, place in it, type and shape.
        numbers: The folds whose models the process trains.
    """

    plan: FoldPlan
    mapped: Mapping[Modality, tuple[str, int, str, tuple[int, ...]]]
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedFolds:
    """What a process answers after an epoch.

    Attributes:
        held_out: Scores of the clips of its folds, among zeros for all others.
        states: Parameters and buffers of the model of each fold.
    """

    held_out: HeldOut
    states: Mapping[int, Mapping[str, torch.Tensor]]


class ProcessTeam(FoldTeam):
    """The same, in processes that each train the models of some folds and keep them.

    Args:
        plan: How the models are made.
        num_processes: How many, at most one for each fold.

    Attributes:
        processes: Them.
    """

    def __init__(self, plan: FoldPlan, num_processes: int) -> None:
        super().__init__(plan)
        self._shares = [
            tuple(range(first, len(self.folds), num_processes)) for first in range(num_processes)
        ]
        self.processes = [
            subprocess.Popen(  # noqa: S603  # our own module
                python_command("mien.training.out_of_fold.fold_process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=safe_environment() | {"OMP_NUM_THREADS": "1"},
            )
            for _ in self._shares
        ]
        for process, numbers in zip(self.processes, self._shares, strict=True):
            send(process.stdin, pack_work(plan, numbers))

    def run_epoch(self, epoch: int, labels: LabelsOfFolds, on_step: OnStep | None) -> HeldOut:
        """Train every model for an epoch, as the class above does."""
        for process in self.processes:
            send(process.stdin, (epoch, labels, on_step is not None))
        total = sum(len(fold.stepper.train) for fold in self.folds)
        done = [0] * len(self.processes)
        joined: HeldOut = {}
        left = dict(enumerate(self.processes))
        while left:
            for number, process in list(left.items()):
                answer = self._read(process)
                if isinstance(answer, MienError):
                    raise answer
                if isinstance(answer, TrainedFolds):
                    self._take(answer, self._shares[number], joined)
                    del left[number]
                    continue
                done[number] = answer
                if on_step is not None:
                    on_step(epoch, sum(done), total)
        return joined

    def _take(self, answer: TrainedFolds, numbers: tuple[int, ...], joined: HeldOut) -> None:
        for number in numbers:
            fold = self.folds[number]
            fold.model.load_state_dict(answer.states[number])
            rows = torch.from_numpy(fold.held_out_rows)
            for key, values in answer.held_out.items():
                joined.setdefault(key, torch.zeros_like(values))[rows] = values[rows]

    def _read(self, process: "subprocess.Popen[bytes]") -> Any:  # noqa: ANN401
        try:
            return receive(process.stdout)
        except EOFError as error:
            raise TrainingError(
                "a process that gathers evidence was killed, perhaps because memory ran out; go on "
                "with train.threads=1, which takes one process"
            ) from error

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # what nobody reads any more
                    if stream is not None:
                        stream.close()


@contextmanager
def open_team(plan: FoldPlan, num_processes: int) -> Iterator[FoldTeam]:
    """Give the models of all folds, in so many processes; these end with the block."""
    num = min(num_processes, plan.num_folds)
    if num < 2:
        yield FoldTeam(plan)
        return
    team = ProcessTeam(plan, num)
    try:
        yield team
    finally:
        team.close()


def count_processes(dataset: ClipDataset, settings: EvidenceSettings) -> int:
    """Return how many processes gather evidence: as many as this one may use threads.

    Few clips are not worth a start, and on a GPU models take turns.
    """
    is_on_cpu = make_accelerator(settings.train).device.type == "cpu"
    return torch.get_num_threads() if is_on_cpu and len(dataset) >= MANY_CLIPS else 1


def send(stream: IO[bytes] | None, message: object) -> None:
    """Write a message, if there is somebody who reads it."""
    if stream is None:
        raise ValueError("there is no stream to write to")
    data = pickle.dumps(message)
    try:
        stream.write(len(data).to_bytes(_LENGTH, "little") + data)
        stream.flush()
    except BrokenPipeError as error:
        raise TrainingError("a process that gathers evidence has ended") from error


def receive(stream: IO[bytes] | None) -> Any:  # noqa: ANN401  # whatever was sent
    """Read a message that ``send`` wrote.

    Raises:
        EOFError: If nobody writes any more.
    """
    if stream is None:
        raise ValueError("there is no stream to read from")
    size = int.from_bytes(_read_all(stream, _LENGTH), "little")
    return pickle.loads(_read_all(stream, size))  # noqa: S301  # of a process that is ours


def _read_all(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def pack_work(plan: FoldPlan, numbers: tuple[int, ...]) -> FoldWork:
    """Return work of which arrays that are mapped are not copied."""
    series = dict(plan.dataset.series)
    mapped: dict[Modality, tuple[str, int, str, tuple[int, ...]]] = {}
    for modality, own in plan.dataset.series.items():
        values = own.values
        if isinstance(values, np.memmap) and values.filename is not None and _is_plain(values):
            place = Path(values.filename).absolute()
            mapped[modality] = str(place), values.offset, values.dtype.str, values.shape
            series[modality] = Series(values[:0].copy(), own.offsets, None, own.has_context)
    dataset = replace(plan.dataset, series=series)
    return FoldWork(plan=replace(plan, dataset=dataset), mapped=mapped, numbers=numbers)


def _is_plain(values: "np.memmap[Any, Any]") -> bool:
    """Whether an array is all that is mapped, from its offset on, in the order of the file."""
    return bool(values.flags.c_contiguous) and not isinstance(values.base, np.memmap)
