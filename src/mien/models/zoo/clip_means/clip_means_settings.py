"""The settings of the regressions on clip means; reading imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from mien.models.model_settings import NetworkConfig

__all__ = ["RidgeConfig", "TreesConfig"]

_Penalty = Annotated[float, Field(gt=0, le=1e12)]
_Depth = Annotated[int, Field(ge=1, le=8)]


class RidgeConfig(NetworkConfig):
    """Settings of ridge regression.

    Attributes:
        name: ``ridge``.
        penalties: Those that are tried; the one that is best on valid is used. They are what
            squares of the coefficients of features in standard units are multiplied by, beside the
            sum of the errors over the clips.
    """

    name: Literal["ridge"] = "ridge"
    penalties: Annotated[tuple[_Penalty, ...], Field(min_length=1, max_length=100)] = (
        *(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
        *(1e3, 3e3, 1e4, 3e4, 1e5),
    )


class TreesConfig(NetworkConfig):
    """Settings of boosted trees.

    Attributes:
        name: ``trees``.
        rounds: Most trees, one after the other; as many are kept as are best on valid.
        depths: Depths of the trees that are tried; the one that is best on valid is used.
        rate: By what each tree is multiplied.
        clip_share: Share of the clips, drawn anew, that each tree is fitted to.
        feature_share: Share of the features, drawn anew, among which each split is chosen.
        fewest: Clips that a leaf has at least.
    """

    name: Literal["trees"] = "trees"
    rounds: int = Field(200, ge=1, le=5000)
    depths: Annotated[tuple[_Depth, ...], Field(min_length=1, max_length=8)] = (2, 4)
    rate: float = Field(0.05, gt=0, le=1)
    clip_share: float = Field(0.5, gt=0, le=1)
    feature_share: float = Field(0.1, gt=0, le=1)
    fewest: int = Field(5, ge=1)
