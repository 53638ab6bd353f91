"""Models of transformers, loaded from a folder or a hub without running code of others."""

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError  # named, to be caught; nothing is unpickled here
from typing import Any, Literal, NamedTuple

from safetensors import SafetensorError

from mien.errors import AssetError
from mien.files.reading import require_regular

__all__ = ["Part", "TransformersModel", "Use", "cannot_load", "load_model", "load_part"]

Part = Literal["AutoConfig", "AutoFeatureExtractor", "AutoModel", "AutoTokenizer"]
Use = Literal["audio encoder", "text encoder"]

_REMEDIES: dict[Use, str] = {
    "audio encoder": "give a local folder, or a hub name where a hub can be reached",
    "text encoder": (
        "give a local folder, a name that mien assets lists, or a hub name where a hub can be "
        "reached"
    ),
}
_DAMAGE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError, UnpicklingError)


class TransformersModel(NamedTuple):
    """A model of transformers.

    Attributes:
        model: The model, in float32.
        missing: Names of its weights that the files lack; transformers made up random ones.
    """

    model: Any
    missing: Sequence[str]


def load_part(source: Path | str, part: Part, use: Use, **options: bool) -> Any:
    """Load a part of a pretrained model; code that comes with it is not run.

    Args:
        source: A folder, of which nothing is looked up on a hub, or a name on a hub.
        part: What of it to load, by the class of transformers.
        use: What the model is for, in errors.
        **options: Further options of ``from_pretrained``.

    Raises:
        AssetError: If it cannot be loaded.
    """
    import transformers  # takes seconds

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if isinstance(source, Path) and source.is_dir():
        require_regular(source, AssetError)
    try:
        return getattr(transformers, part).from_pretrained(
            str(source),
            trust_remote_code=False,
            local_files_only=isinstance(source, Path),
            **options,
        )
    except _DAMAGE as error:
        reason = str(error).strip() or type(error).__name__
        raise cannot_load(source, use, reason.splitlines()[0]) from error


def load_model(source: Path | str, use: Use) -> TransformersModel:
    """Load a pretrained model in float32, and say which weights its files lack.

    Args:
        source: As for ``load_part``.
        use: What the model is for, in errors.

    Raises:
        AssetError: If it cannot be loaded.
    """
    model, details = load_part(source, "AutoModel", use, output_loading_info=True)
    return TransformersModel(model.float(), sorted(details["missing_keys"]))


def cannot_load(source: Path | str, use: Use, reason: str) -> AssetError:
    """Return the error about a model that cannot be loaded."""
    return AssetError(f"{use} {str(source)!r} cannot be loaded ({reason}); {_REMEDIES[use]}")
