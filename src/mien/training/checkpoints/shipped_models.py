"""The models that come with the package, by their names."""

from pathlib import Path
from typing import Final

__all__ = [
    "DEFAULT_MODEL",
    "SHIPPED_MODELS",
    "companion_of",
    "find_card",
    "find_shipped",
    "name_weights",
]

_WEIGHTS: Final = Path(__file__).parents[2] / "weights"

#: What comes with the package: ``default`` reads words with an encoder of base size, ``small`` with
#: one of a fifth of that; ``emotions`` tells emotions from voice and face. Beside each lies its
#: card.
SHIPPED_MODELS: Final = {
    name: _WEIGHTS / f"{name}.safetensors" for name in ("default", "small", "emotions")
}

#: The model that is used where none is named.
DEFAULT_MODEL: Final = SHIPPED_MODELS["default"]


def find_shipped(name: str | Path) -> Path | None:
    """Return the weights of a model that comes with the package; None for any other name.

    What lies in the folder under such a name comes first, as for any other path.
    """
    return None if Path(name).exists() else SHIPPED_MODELS.get(str(name))


def name_weights(weights: Path, stated: str) -> str:
    """Return what weights are called in answers.

    Args:
        weights: A checkpoint.
        stated: What its header calls it, which may be of before it came with the package.
    """
    shipped = (name for name, path in SHIPPED_MODELS.items() if path == weights)
    return next(shipped, None) or stated or weights.name


def companion_of(weights: Path) -> Path | None:
    """Return what answers emotions beside a model that comes with the package; None for others."""
    is_of_sentiment = weights in (SHIPPED_MODELS["default"], SHIPPED_MODELS["small"])
    return SHIPPED_MODELS["emotions"] if is_of_sentiment else None


def find_card(weights: Path) -> Path | None:
    """Return the model card that lies beside weights; None if there is none.

    ``MODEL_CARD-NAME.md`` is that of ``NAME.safetensors`` alone, ``MODEL_CARD.md`` of all others.
    """
    names = (f"MODEL_CARD-{weights.stem}.md", "MODEL_CARD.md")
    beside = (weights.with_name(name) for name in names)
    return next((card for card in beside if card.is_file()), None)
