"""Where a text encoder comes from: an asset, a folder, or a hub; what its texts begin with.

A model hub is asked for nothing here; transformers resolves the names of its models.
"""

import logging
import re
from pathlib import Path

from mien.errors import AssetError
from mien.files.user_folders import expand_home
from mien.pretrained.assets import find_asset
from mien.pretrained.digests import digest_of_folder, find_damage
from mien.pretrained.registry import known_assets

__all__ = [
    "DEFAULT_TEXT_ENCODER",
    "asset_prefix",
    "default_text_encoder",
    "find_local_encoder",
    "find_text_encoder",
    "fingerprint_of",
    "text_prefix",
]

logger = logging.getLogger(__name__)

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_NAME_OF_E5 = re.compile(r"(^|[^a-z0-9])e5([^a-z0-9]|$)", re.IGNORECASE)

#: Text encoder for the transcripts of a corpus, by ISO 639-1 code of their language.
DEFAULT_TEXT_ENCODER: dict[str, str] = {"en": "minilm", "zh": "e5-small"}


def default_text_encoder(language: str) -> str:
    """Return the asset that encodes text of a language: any but English gets the multilingual one.

    >>> default_text_encoder("en"), default_text_encoder("zh"), default_text_encoder("de")
    ('minilm', 'e5-small', 'e5-small')
    """
    return DEFAULT_TEXT_ENCODER.get(language, "e5-small")


def find_text_encoder(name_or_path: str) -> Path | str:
    """Return where a text encoder can be loaded from.

    Args:
        name_or_path: An asset, a folder with a model in Hugging Face's layout, or a name on a
            model hub, which is returned as it is for transformers to resolve.

    Raises:
        AssetError: If it is none of these, or an asset that is not here or is no text encoder.
    """
    if (asset := known_assets().get(name_or_path)) is not None:
        if asset.need != "text encoder":
            raise AssetError(
                f"asset {name_or_path!r} is for {asset.need}, not a text encoder; "
                f"{_describe_choice()}"
            )
        return find_asset(name_or_path)
    path = expand_home(name_or_path)
    if (path / "config.json").is_file():
        return path
    if path.exists():
        hint = "; convert it with: mien convert-bert" if _is_tensorflow_bert(path) else ""
        raise AssetError(f"{path}: is not a folder of a Hugging Face model (no config.json){hint}")
    if _HUB_NAME.fullmatch(name_or_path):
        return name_or_path
    raise AssetError(
        f"text encoder {name_or_path!r}: there is no such folder; {_describe_choice()}"
    )


def find_local_encoder(name_or_path: str) -> Path:
    """Return the folder of a text encoder on this machine; no model hub is asked.

    For names that stand in files of others, such as a checkpoint: only a name that the user typed
    may cause a download.

    Args:
        name_or_path: As for ``find_text_encoder``; one of a hub was downloaded before.

    Raises:
        AssetError: If it is not on this machine.
    """
    source = find_text_encoder(name_or_path)
    if isinstance(source, Path):
        return source
    import huggingface_hub  # takes a while to import

    try:
        return Path(huggingface_hub.snapshot_download(source, local_files_only=True))
    except (OSError, ValueError) as error:
        raise AssetError(
            f"text encoder {source!r} is not on this machine, and a name in a checkpoint downloads "
            "nothing; download it from the hub yourself, if you trust it"
        ) from error


def text_prefix(name_or_path: str) -> str:
    """Return what every text must begin with for a text encoder; mostly nothing.

    It is a matter of the weights and not of their name: a folder with the weights of an asset has
    the prefix of the asset. Of other weights it is not known.

    Args:
        name_or_path: As for ``find_text_encoder``.

    >>> text_prefix("e5-small"), text_prefix("minilm")
    ('query: ', '')
    """
    if name_or_path in known_assets():
        return asset_prefix(name_or_path)
    folder = expand_home(name_or_path)
    for asset in known_assets().values():
        if asset.prefix and not find_damage(folder, {asset.weights: asset.files[asset.weights]}):
            return asset.prefix
    if _NAME_OF_E5.search(name_or_path):
        logger.warning(
            "text encoder %r: encoders of the E5 family expect 'query: ' before every text, which "
            "is only added to the weights of the asset e5-small; these get their texts without it",
            name_or_path,
        )
    return ""


def asset_prefix(name: str) -> str:
    """Return what every text must begin with for an asset; nothing for any other name.

    >>> asset_prefix("e5-small"), asset_prefix("somebody/e5-small")
    ('query: ', '')
    """
    asset = known_assets().get(name)
    return "" if asset is None else asset.prefix


def fingerprint_of(source: Path | str) -> str:
    """Return the SHA-256 of a local encoder's files; its name for one of a hub.

    The files of a large one are hashed again only if their size or time of change is another.

    Raises:
        AssetError: If a file cannot be read.
    """
    if isinstance(source, str):
        return f"hub:{source}"
    files = sorted([*source.glob("*.safetensors"), *source.glob("*.bin"), *source.glob("*.json")])
    return digest_of_folder(source, files)


def _describe_choice() -> str:
    encoders = [asset.name for asset in known_assets().values() if asset.need == "text encoder"]
    return (
        f"give {', '.join(encoders)}, a folder with config.json, or a name on a model hub such as "
        "bert-base-uncased"
    )


def _is_tensorflow_bert(path: Path) -> bool:
    return (path / "bert_config.json").is_file()
