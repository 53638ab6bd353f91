"""What is evaluated together: the seeds of a run, or a model of one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.config import read_toml
from mien.training.checkpoints.header import describe_settings, open_header
from mien.training.checkpoints.shipped_models import find_shipped, name_weights
from mien.training.run_folder import RunFolder, SeedFolder

__all__ = ["ModelSet", "find_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSet:
    """What is evaluated together.

    Attributes:
        checkpoints: Where each model is.
        settings: Those of the training.
        seeds: The seed of each; none of a file.
        failed_seeds: Why seeds of the run diverged.
        name: What the file is called; None for a run.
    """

    checkpoints: tuple[Path, ...]
    settings: Mapping[str, Any]
    seeds: tuple[int, ...] = ()
    failed_seeds: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None

    @classmethod
    def of_run(cls, run: RunFolder, seeds: Sequence[SeedFolder]) -> "ModelSet":
        """Return the seeds of a run that have finished."""
        return cls(
            checkpoints=tuple(seed.path for seed in seeds),
            settings=read_toml(run.path / "config.toml"),
            seeds=tuple(seed.seed for seed in seeds),
            failed_seeds=run.failed_seeds,
        )

    @classmethod
    def of_file(cls, file: Path) -> "ModelSet":
        """Return the model of a file, under its name."""
        header = open_header(file)
        members = f", the mean of {len(header.ensemble)} models" if header.ensemble else ""
        if header.averaged:
            members = f", the mean of the weights of {len(header.averaged)} seeds"
        return cls(
            checkpoints=(file,),
            settings=describe_settings(header.read_config(file)),
            name=f"{name_weights(file, header.name or str(file))}{members}",
        )


def find_file(run: RunFolder | str | Path) -> Path | None:
    """Return the file of a model that is one file; None for a run."""
    if isinstance(run, RunFolder):
        return None
    path = find_shipped(run) or Path(run)
    return path if path.is_file() else None
