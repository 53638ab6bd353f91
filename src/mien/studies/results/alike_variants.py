"""Variants whose settings differ and whose predictions do not: what differs had no effect."""

import hashlib
from collections.abc import Iterator, Mapping

from mien.evaluation.predictions import Predictions
from mien.studies.results.target_measures import PredictionsOfVariants
from mien.types import Split

__all__ = ["find_alike"]


def find_alike(splits: Mapping[Split, PredictionsOfVariants]) -> tuple[tuple[str, ...], ...]:
    """Return every group of variants that predict the same, to the last bit, with every seed.

    Args:
        splits: What the seeds of each variant predict, by split.
    """
    names = dict.fromkeys(name for predictions in splits.values() for name in predictions)
    groups: dict[bytes, list[str]] = {}
    for name in names:
        digest = hashlib.sha256()
        for split, predictions in splits.items():
            for seed in predictions.get(name, ()):
                for part in (str(split).encode(), *_parts(seed)):
                    digest.update(len(part).to_bytes(8, "big") + part)
        groups.setdefault(digest.digest(), []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _parts(seed: Predictions) -> Iterator[bytes]:
    """Yield all that a seed predicts, and of what."""
    yield "\n".join(seed.ids).encode()
    for task, scores in seed.scores.items():
        yield str(task).encode()
        yield scores.tobytes()
    for name, predicted in seed.values.items():
        for task, values in predicted.values.items():
            yield f"{name} {task}".encode()
            yield values.tobytes()
