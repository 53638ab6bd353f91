"""The settings of further targets: which are learned, with what loss, and how much each counts."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from mien.config import Settings
from mien.errors import ConfigError
from mien.types import Target, TargetKind

__all__ = ["LossSettings", "TargetsConfig", "TermSettings"]

_BALANCES: dict[float | str, float] = {"none": 0.0, "balanced": 1.0}


class LossSettings(Settings):
    """The loss of a target, or of all targets of a kind; what is not set is as for the kind.

    Attributes:
        weight: How much it counts beside sentiment and the other targets; 1 if it is not set.
        class_weights: ``balanced`` lets every class count alike, however rare it is, as
            scikit-learn does; of labels, that a class is there and that it is not. ``none``, if it
            is not set, is by frequency; a number from 0 to 1 is in between: the exponent of the
            weights of ``balanced``. For classes and labels.
        focusing: Exponent of the focal loss, by which clips that are predicted well count less; 0,
            if it is not set, is cross-entropy. For classes and labels.
    """

    weight: float | None = Field(None, gt=0, le=1e6)
    class_weights: (
        Literal["none", "balanced"] | Annotated[float, Field(ge=0, le=1, strict=True)] | None
    ) = None
    focusing: float | None = Field(None, ge=0, le=100)


class TargetsConfig(Settings):
    """What is learned besides sentiment.

    The loss of a target is cross-entropy for one of several classes, whose labels may be shares of
    votes; binary cross-entropy for several labels; absolute error for scores and intensities.

    Attributes:
        use: Names of the targets that are learned; all that the store has, if it is not set.
        with_sentiment: Whether sentiment is learned as well, where the store has it.
        sentiment_weight: How much sentiment counts beside the targets.
        kinds: Losses by kind of target: ``score``, ``class``, ``labels`` or ``intensities``.
        named: Losses by name of target, before those of its kind.
    """

    use: tuple[str, ...] | None = None
    with_sentiment: bool = True
    sentiment_weight: float = Field(1.0, gt=0, le=1e6)
    kinds: dict[TargetKind, LossSettings] = Field({})
    named: dict[str, LossSettings] = Field({})

    def __hash__(self) -> int:
        """Return a number that is the same for equal settings, as all settings of a run have it."""
        losses = (frozenset(self.kinds.items()), frozenset(self.named.items()))
        return hash((self.use, self.with_sentiment, self.sentiment_weight, *losses))

    def of(self, target: Target) -> "TermSettings":
        """Return the settings of a target.

        Raises:
            ConfigError: If one is set that its kind does not have.
        """
        named = self.named.get(target.name, LossSettings())
        kind = self.kinds.get(target.kind, LossSettings())
        for where, given in ((f"named.{target.name}", named), (f"kinds.{target.kind}", kind)):
            alien = [n for n in ("class_weights", "focusing") if getattr(given, n) is not None]
            if alien and not target.has_shares:
                raise ConfigError(
                    f"setting targets.{where}.{alien[0]} is for classes and labels, "
                    f"{target.name!r} is a target of kind {target.kind}; leave it out"
                )

        def first(name: str, default: float | str) -> float | str:
            values = (getattr(named, name), getattr(kind, name), default)
            return next(value for value in values if value is not None)

        weights = first("class_weights", "none")
        return TermSettings(
            weight=float(first("weight", 1.0)),
            balance=float(_BALANCES.get(weights, weights)),
            focusing=float(first("focusing", 0.0)),
        )


class TermSettings(NamedTuple):
    """The settings of one target, with nothing left open.

    Attributes:
        weight: How much it counts.
        balance: Exponent of weights with which every class counts alike: 1 if it does.
        focusing: Exponent of the focal loss.
    """

    weight: float = 1.0
    balance: float = 0.0
    focusing: float = 0.0
