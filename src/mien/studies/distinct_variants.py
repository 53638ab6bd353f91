"""What a study compares must differ, and be told apart: by name, in files, and in its settings."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated

from pydantic import AfterValidator

from mien.config import Settings
from mien.errors import ConfigError
from mien.training.settings import ExperimentConfig

__all__ = ["Changes", "TableName", "check_places", "name_picture", "refuse_alike", "refuse_seeds"]

#: What is not in the name of a picture: what paths, links of Markdown and shells take otherwise.
_UNFIT = re.compile(r"[^\w.-]+")


def _check_name(name: str) -> str:
    if name != name.strip() or not name.isprintable() or not name:
        raise ValueError("must be a name on one line, without blanks around it")
    return name


#: What something is called in tables.
TableName = Annotated[str, AfterValidator(_check_name)]


def refuse_seeds(changes: Sequence[str]) -> None:
    """Refuse a change of the seeds, which would be without effect: a study has its own.

    Args:
        changes: As ``--set`` takes them.

    Raises:
        ConfigError: If one is of the seeds.
    """
    if "train.seeds" in [change.partition("=")[0].strip() for change in changes]:
        raise ConfigError(
            "train.seeds has no effect on the runs of a study; give seeds in its file, or --seeds"
        )


def _check_changes(changes: tuple[str, ...]) -> tuple[str, ...]:
    refuse_seeds(changes)
    return changes


#: Changes to settings, ``SECTION.SETTING=VALUE``, but of the seeds.
Changes = Annotated[tuple[str, ...], AfterValidator(_check_changes)]


def name_picture(name: str, what: str) -> str:
    """Return the name of the file of a picture, beside the page whatever ``name`` has in it.

    >>> name_picture("planted-7", "scores"), name_picture("../my corpus", "scores")
    ('planted-7-scores.png', '_my_corpus-scores.png')
    """
    return f"{_UNFIT.sub('_', name).lstrip('.')}-{what}.png"


def check_places(sweep: str, points: Sequence[Mapping[str, object]]) -> None:
    """Check that every point of a sweep says where on the axis it lies.

    Raises:
        ValueError: If one has no place, or its place is no number.
    """
    for point in points:
        if "at" not in point:
            raise ValueError(f"sweep {sweep}: point {point!r} has no at, its place")
        at = point["at"]
        if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
            raise ValueError(f"sweep {sweep}: at is {at!r}, must be a number")


def refuse_alike(compared: Mapping[str, Settings], where: str) -> None:
    """Refuse two that are the same: their rows, or points, would compare runs with themselves.

    Args:
        compared: Settings of each variant of a corpus, or of each point of a sweep. Seeds, threads
            and corpus of a variant are those of the study, whatever it has.
        where: Where they are compared.

    Raises:
        ConfigError: If two have the same settings.
    """
    own = {name: _leave_out_shared(settings) for name, settings in compared.items()}
    for first, second in combinations(own, 2):
        if own[first] == own[second]:
            raise ConfigError(
                f"{where}: {second!r} has the same settings as {first!r}, so that there is nothing "
                "to compare; change one, or leave it out (in a study, what --set changes comes "
                "after what the file has)"
            )


def _leave_out_shared(settings: Settings) -> Settings:
    if not isinstance(settings, ExperimentConfig):
        return settings
    train = settings.train.model_copy(update={"seeds": (), "threads": None})
    return settings.model_copy(update={"corpus": "", "train": train})
