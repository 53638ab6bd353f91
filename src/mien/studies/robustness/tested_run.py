"""A run that is tested: its checkpoints, what is done to its clips, and where predictions lie."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.data.store import Store
from mien.errors import CheckpointError
from mien.evaluation.conformal import Calibration
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.probabilities.target_calibration import TargetCalibration
from mien.files.hashing import hash_file
from mien.studies.robustness.conditions import Condition, Stress, plan_stresses
from mien.studies.robustness.stress_values import RunFacts
from mien.studies.robustness.stressed_split import reads_words
from mien.training.checkpoints.baseline_use import BaselineUse, find_use
from mien.training.checkpoints.header import Header, open_header
from mien.training.checkpoints.matching import find_absent
from mien.training.run_folder import find_checkpoint, open_run
from mien.training.settings import ExperimentConfig
from mien.types import Modality, Split

__all__ = ["TestedRun", "open_tested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedRun:
    """A run with what is done to it.

    Attributes:
        name: What it is called.
        facts: What results hold of it.
        checkpoints: One of each seed.
        headers: Their headers.
        config: The settings of its training.
        stresses: How it is tested.
        folder: Where its predictions lie.
        baseline: Whether clips are read against their speakers; None if the models know none.
        without: What is left out, as if no clip had it.
    """

    name: str
    facts: RunFacts
    checkpoints: tuple[Path, ...]
    headers: tuple[Header, ...]
    config: ExperimentConfig
    stresses: tuple[Stress, ...]
    folder: Path
    baseline: BaselineUse | None = None
    without: tuple[Modality, ...] = ()

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that is done, each once."""
        return tuple(dict.fromkeys(c for stress in self.stresses for c in stress.conditions))

    def file(self, number: int, condition: Condition) -> Path:
        """Return where the predictions of a checkpoint lie."""
        return self.folder / str(number) / f"{condition.name}.csv"

    def is_done(self, condition: Condition) -> bool:
        """Return whether every checkpoint was tested so."""
        numbers = range(len(self.checkpoints))
        return all(self.file(number, condition).is_file() for number in numbers)

    def read(self, condition: Condition) -> list[Predictions]:
        """Return what every checkpoint predicts under a condition."""
        targets = self.headers[0].targets
        numbers = range(len(self.checkpoints))
        return [read_predictions(self.file(number, condition), targets) for number in numbers]

    @property
    def calibrations(self) -> list[Calibration] | None:
        """Widths of the intervals of every checkpoint, as clips are read; None if one has none."""
        of_each = [each.calibrations(alone=self.baseline == "none")[0] for each in self.headers]
        known = [widths for widths in of_each if widths is not None]
        return known if len(known) == len(of_each) else None

    @property
    def target_calibrations(self) -> dict[str, list[TargetCalibration]]:
        """By target, what validation said of it in every checkpoint, where each has that."""
        of_each = [each.calibrations(alone=self.baseline == "none")[1] for each in self.headers]
        return {
            name: [known[name] for known in of_each]
            for name in of_each[0]
            if all(name in known for known in of_each)
        }


def open_tested(
    path: Path,
    out: Path,
    store: Store,
    split: Split,
    protocol: str,
    kinds: Sequence[str],
    levels: Sequence[float],
    baseline: BaselineUse | None = None,
    without: Collection[Modality] = (),
) -> TestedRun:
    """Read what a run is, and plan how it is tested.

    Voice or face that no clip of the split has cannot be lost, and is left out; so are losses and
    slips of steps where each clip has a single one.

    Args:
        path: Its folder, or a checkpoint.
        out: Folder of the test.
        store: The clips.
        split: Which of them.
        protocol: As in ``plan_stresses``.
        kinds: As in ``plan_stresses``.
        levels: As in ``plan_stresses``.
        baseline: As in ``evaluate_robustness``; a model that knows none reads everybody alike.
        without: What is left out of what the model reads.

    Raises:
        ConfigError: As ``plan_stresses``; if nothing of what the model reads is left in.
        CheckpointError: If there is no sound checkpoint.
    """
    is_run = (path / "config.toml").is_file()
    seeds = [seed for seed in open_run(path).seeds if seed.is_finished] if is_run else []
    if is_run and not seeds:
        raise CheckpointError(f"{path}: no seed has finished; train it first")
    checkpoints = tuple(seed.best for seed in seeds) or (find_checkpoint(path),)
    headers = tuple(map(open_header, checkpoints))
    config = headers[0].read_config(checkpoints[0])
    chosen = None if config.features.standardise == "train" else baseline
    use = find_use(checkpoints[0], headers[0], config, chosen)
    modalities = tuple(m for m in Modality if m in headers[0].sizes)
    unread = tuple(m for m in modalities if m in without)
    lacking = _find_lacking(checkpoints[0], headers[0], config, store, split, unread)
    there = [m for m in modalities if m not in lacking]
    planned = plan_stresses(there, protocol, kinds=kinds, levels=levels)
    tested = {stress.name for stress in planned}
    why = [f"{' and '.join(unread)} {'are' if unread[1:] else 'is'} left out"] if unread else []
    nowhere = [m for m in lacking if m not in unread]
    why += [f"no clip of {split} has {' or '.join(nowhere)}"] if nowhere else []
    left_out = {
        stress.name: ", and ".join(why)
        for stress in plan_stresses(modalities, protocol, kinds=kinds, levels=levels)
        if stress.name not in tested
    }
    left_out |= {} if reads_words(config) else {
        stress.name: f"{path.name} reads texts as states that the store gives, not as words"
        for stress in planned if stress.kind.startswith("words")
    }  # fmt: skip
    single = _find_single(config, there, store, split)
    left_out |= {
        stress.name: f"no clip of {split} has more than one step of {stress.suffering}, of which "
        f"none can be {'late' if stress.kind == 'slip' else 'cut out'}"
        for stress in planned
        if stress.kind in ("steps", "slip") and single.issuperset(stress.modalities)
    }
    return TestedRun(
        name=path.name,
        facts=RunFacts(
            path=str(path),
            model=config.model.name,
            seeds=tuple(seed.seed for seed in seeds),
            checkpoints=tuple(hash_file(checkpoint, CheckpointError) for checkpoint in checkpoints),
            trained_on_loss=_loss_in_training(config),
            left_out=left_out,
            baseline=use,
            without=unread,
        ),
        checkpoints=checkpoints,
        headers=headers,
        config=config,
        stresses=tuple(stress for stress in planned if stress.name not in left_out),
        folder=out / "predictions" / path.name,
        baseline=use,
        without=unread,
    )


def _find_lacking(
    checkpoint: Path,
    header: Header,
    config: ExperimentConfig,
    store: Store,
    split: Split,
    without: Collection[Modality],
) -> list[Modality]:
    """Return what is left out, and voice and face that a model reads and no clip has."""
    lacking = set(find_absent(checkpoint, header, store, config, without))
    for modality in (Modality.AUDIO, Modality.VIDEO):
        name = str(getattr(config.features, modality))
        is_there = modality in header.sizes and name in store.meta.series
        if is_there and not store.series(name).lengths[store.rows(split)].any():
            lacking.add(modality)
    return [modality for modality in Modality if modality in lacking]


def _find_single(
    config: ExperimentConfig, modalities: Sequence[Modality], store: Store, split: Split
) -> set[Modality]:
    """Return the modalities of which each clip has a single step, such as means over the clip."""
    names: dict[Modality, str] = {
        m: str(getattr(config.features, m)) for m in modalities if m is not Modality.TEXT
    }
    if Modality.TEXT in modalities and not reads_words(config):
        names[Modality.TEXT] = "text"
    names = {m: name for m, name in names.items() if name in store.meta.series}
    lengths = {m: store.series(name).lengths[store.rows(split)] for m, name in names.items()}
    return {m for m, own in lengths.items() if own.max(initial=0) <= 1}


def _loss_in_training(config: ExperimentConfig) -> dict[str, float]:
    """Return the settings by which a training lost modalities or steps, as far as it did."""
    shares = {"model.modality_dropout": config.model.modality_dropout}
    shares |= {
        f"train.lost_steps.{name}": share for name, share in config.train.lost_steps.shares.items()
    }
    shares["model.missing_share"] = getattr(config.model, "missing_share", 0.0)
    return {name: share for name, share in shares.items() if share}
