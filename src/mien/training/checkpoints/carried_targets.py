"""What a model has learned of classes, carried over to one that has others, or another order."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mien.corpora.class_names.naming import match_classes
from mien.models.encoders import TargetHeads
from mien.models.multitask import MultimodalModel
from mien.types import Target

__all__ = ["carry_targets"]

_HEADS = "target_heads"


def carry_targets(
    model: MultimodalModel, given: Mapping[str, Tensor], before: Sequence[Target]
) -> dict[str, Tensor]:
    """Return weights to start from, with those of each class where the model has that class.

    Classes are the same if their names stand for the same (``match_classes``), wherever they are in
    the order. A class that is new begins as the model has it, and so does a target of another kind.

    Args:
        model: The network, as it is before its training.
        given: The weights, by their names.
        before: The targets of the model that they are of.
    """
    tensors = dict(given)
    heads = getattr(model, _HEADS, None)
    if not isinstance(heads, TargetHeads):
        return tensors
    known = {target.name: target for target in before}
    own = model.state_dict()
    for target in heads.targets:
        then = known.get(target.name)
        if then is None:
            continue
        places = _find_rows(target, then)
        for name in heads.names_of(target):
            key = f"{_HEADS}.{name}"
            learned = tensors.pop(key, None)
            if learned is not None and places and learned.shape[1:] == own[key].shape[1:]:
                carried = own[key].clone()
                carried[list(places)] = learned[list(places.values())].to(carried)
                tensors[key] = carried
    return tensors


def _find_rows(target: Target, then: Target) -> dict[int, int]:
    """Return which row of the weights before each row is, as far as there is one."""
    if target.kind is not then.kind:
        return {}
    if not target.classes:
        return {0: 0}
    named = match_classes(then.classes, target.classes)
    return {
        target.classes.index(own): at
        for at, name in enumerate(then.classes)
        if (own := named[name]) is not None
    }
