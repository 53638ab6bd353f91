"""Multimodal sentiment and emotion recognition from what is said, how it sounds, how faces move.

The public names, each what the command of the same name does:

    store = mien.write_store(mien.read_published("unaligned_50.pkl", "mosi"), "stores/mosi")
    run = mien.train(mien.read_config("tam_ulag-mosi"), store, "runs/mosi")
    metrics = mien.evaluate(run, split="test")
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.corpora import register_corpus
    from mien.corpora.planted.corpus import make_planted
    from mien.corpora.planted.planted_config import PlantedConfig
    from mien.corpora.published.reader import read_published
    from mien.corpora.table import read_table
    from mien.data.store import open_store
    from mien.data.store_writer import write_store
    from mien.errors import MienError
    from mien.extraction.extractors import register_extractor
    from mien.models import register_model
    from mien.prediction.predictor import load
    from mien.reports.comparison import compare_runs as compare
    from mien.reports.page import write_report
    from mien.training.experiment import evaluate, train
    from mien.training.run_folder import open_run
    from mien.training.settings import read_config

    __version__: str

__all__ = [
    "MienError",
    "PlantedConfig",
    "compare",
    "evaluate",
    "load",
    "make_planted",
    "open_run",
    "open_store",
    "read_config",
    "read_published",
    "read_table",
    "register_corpus",
    "register_extractor",
    "register_model",
    "train",
    "write_report",
    "write_store",
]

#: Where each public name is defined; modules are imported when a name is first used.
_HOMES = {
    "MienError": ("mien.errors", "MienError"),
    "PlantedConfig": ("mien.corpora.planted.planted_config", "PlantedConfig"),
    "compare": ("mien.reports.comparison", "compare_runs"),
    "evaluate": ("mien.training.experiment", "evaluate"),
    "load": ("mien.prediction.predictor", "load"),
    "make_planted": ("mien.corpora.planted.corpus", "make_planted"),
    "open_run": ("mien.training.run_folder", "open_run"),
    "open_store": ("mien.data.store", "open_store"),
    "read_config": ("mien.training.settings", "read_config"),
    "read_published": ("mien.corpora.published.reader", "read_published"),
    "read_table": ("mien.corpora.table", "read_table"),
    "register_corpus": ("mien.corpora", "register_corpus"),
    "register_extractor": ("mien.extraction.extractors", "register_extractor"),
    "register_model": ("mien.models", "register_model"),
    "train": ("mien.training.experiment", "train"),
    "write_report": ("mien.reports.page", "write_report"),
    "write_store": ("mien.data.store_writer", "write_store"),
}


#: Earlier names, and what they are called now.
_RENAMED = {"read_released": "read_published"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever the name stands for
    """Import the module of a public name when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mien")
    if name in _RENAMED:
        warnings.warn(
            f"mien.{name} is now called mien.{_RENAMED[name]}; the earlier name will go",
            DeprecationWarning,
            stacklevel=2,
        )
        name = _RENAMED[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
