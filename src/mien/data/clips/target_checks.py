"""Whether the values of clips are those of the targets of their corpus."""

import math
from collections import Counter

from mien.errors import CorpusError, name_known
from mien.types import Corpus, Target, TargetKind

__all__ = ["ROUNDING", "check_targets"]

#: How far the shares of classes may be from 1 together.
ROUNDING = 1e-3


def check_targets(corpus: Corpus) -> None:
    """Check that every clip has values that its corpus's targets can have.

    Raises:
        CorpusError: If a target is there twice, or a clip has values of an unknown one, another
            number of them, values off the scale, or shares that do not sum to 1.
    """
    twice = [name for name, num in Counter(t.name for t in corpus.targets).items() if num > 1]
    if twice:
        raise CorpusError(f"corpus {corpus.name!r}: target {twice[0]!r} is there twice")
    known = {target.name: target for target in corpus.targets}
    for clip in corpus.clips:
        for name, tasks in clip.targets.items():
            if name not in known:
                hint = name_known(name, list(known))
                raise CorpusError(f"clip {clip.id!r}: the corpus has no target {name!r}; {hint}")
            for task, values in tasks.items():
                fault = _find_fault(values, known[name])
                if fault:
                    raise CorpusError(f"clip {clip.id!r}: {name} of {task} {fault}")


def _find_fault(values: tuple[float, ...], target: Target) -> str:
    """Return what is wrong with the values of a clip; empty if nothing is."""
    if len(values) != target.size:
        return f"has {len(values)} values, must have {target.size}"
    low, high = target.bounds
    for value in values:
        if not low <= value <= high:
            return f"has the value {value!r}, must be a number from {low:g} to {high:g}"
    total = math.fsum(values)
    if target.kind is TargetKind.CLASS and abs(total - 1) > ROUNDING:
        return f"has shares that sum to {total:g}, must be 1"
    return ""
