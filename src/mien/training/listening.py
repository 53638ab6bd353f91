"""What a run reports while it goes on, and to whom: the methods of a listener."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mien.training.settings import ExperimentConfig, TrainConfig
from mien.types import Split, Target

__all__ = ["EpochRecord", "RunListener", "RunPlan", "TrainingListener", "join_listeners"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """What one epoch gave; a line of ``epochs.jsonl``.

    Attributes:
        epoch: Counted from 1.
        losses: Mean training loss per task.
        valid: Validation metrics of the multimodal task.
        clipped: Share of proposed labels that left the scale and were cut.
        is_best: Whether it is the best epoch so far.
        seconds: Time it took.
        learning_rates: Rate of each group of parameters in the last step of the epoch; where the
            layers of a text encoder have rates of their own, the highest. None are known of a model
            that is fitted at once, and of epochs that earlier versions trained.
    """

    epoch: int
    losses: dict[str, float]
    valid: dict[str, float]
    clipped: float
    is_best: bool
    seconds: float
    learning_rates: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for ``epochs.jsonl``."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run is going to do; known before its data and models are loaded.

    Attributes:
        folder: The run folder.
        store: Path of the store.
        config: The settings.
        text_encoder: Name of the text encoder; None where the text is left out, or is given as
            states.
        device: Where it computes, such as ``cpu`` or ``cuda``.
        num_clips: Clips of each split that are used; a split without any is absent.
        seeds: Every seed, in the order in which they are trained.
        ended: Those that an earlier start of the run has trained.
        jobs: How many seeds are trained at the same time, in processes of their own; 0 where they
            are trained one after the other in this one.
        processes: Processes that train each seed together.
        has_sentiment: Whether sentiment is learned.
        targets: What is learned besides.
    """

    folder: Path
    store: Path
    config: ExperimentConfig
    text_encoder: str | None
    device: str
    num_clips: Mapping[Split, int]
    seeds: tuple[int, ...]
    ended: tuple[int, ...]
    jobs: int = 0
    processes: int = 1
    has_sentiment: bool = True
    targets: tuple[Target, ...] = ()


@runtime_checkable
class TrainingListener(Protocol):
    """Is notified of the progress of a training."""

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Note that ``done`` of the ``total`` clips of an epoch have been trained on."""

    def on_evidence(self, epoch: int, done: int, total: int) -> None:
        """Note the same while evidence of the modalities is gathered, before training."""

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Note that an epoch has ended."""


class RunListener:
    """Is notified of everything in a run: the base class of a listener; its methods do nothing.

    A listener of another class need not have all of them: of those that it has, each is called.

    Where seeds are trained side by side, ``on_resume``, ``on_evidence``, ``on_step`` and
    ``on_epoch`` are not called, but ``on_seed_epoch``, which names the seed.
    """

    def on_folds(self, folder: Path, plans: Sequence[RunPlan]) -> None:
        """Note that a run over folds begins, in ``folder``, and what the run of each fold does."""

    def on_fold(self, fold: str) -> None:
        """Note that what comes next is of this fold, until another one is named."""

    def on_begin(self, plan: RunPlan) -> None:
        """Note that nothing speaks against the run, and that its data are loaded next."""

    def on_stage(self, what: str) -> None:
        """Note that something else begins that takes its time, such as ``loading the data``."""

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Note that the training of a seed begins, the ``number``-th of ``total``, from 1."""

    def on_resume(self, records: Sequence[EpochRecord]) -> None:
        """Note that the training of the seed goes on after these epochs of an earlier start."""

    def on_evidence(self, epoch: int, done: int, total: int) -> None:
        """Note how many clips of an epoch the models have seen that gather evidence for labels.

        That is before training, and only where the label generator needs it.
        """

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Note that ``done`` of the ``total`` clips of an epoch have been trained on."""

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Note that an epoch has ended."""

    def on_seed_epoch(self, seed: int, record: EpochRecord, config: TrainConfig) -> None:
        """Note that an epoch of a seed has ended, beside which others are trained."""

    def on_seed_end(self, seed: int, number: int, total: int) -> None:
        """Note that a seed is trained and evaluated, or diverged; the arguments of ``on_seed``."""

    def on_end(self, folder: Path) -> None:
        """Note that a run has ended, and that what its seeds gave together is in its folder.

        Of a run over folds that is so once for each fold, and then for all folds together.
        """


class _Joined(RunListener):
    def __init__(self, listeners: Sequence[object]) -> None:
        for name in dir(RunListener):
            if name.startswith("on_"):
                methods = [getattr(listener, name, None) for listener in listeners]
                called = [method for method in methods if callable(method)]
                if called:
                    setattr(self, name, called[0] if len(called) == 1 else _call_in_turn(called))


def _call_in_turn(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def call(*given: object, **named: object) -> None:
        for method in methods:
            method(*given, **named)

    return call


def join_listeners(*listeners: object) -> RunListener:
    """Return a listener that has every method, and calls those that ``listeners`` have in turn."""
    return _Joined(listeners)
