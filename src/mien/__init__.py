"""Multimodal sentiment recognition from what is said, how it sounds and how faces move.

    run = mien.train("tam_ulag-planted", "stores/planted", "runs/planted")
    prediction = mien.load(run).predict("interview.mp4")

In the order of use; runs, stores and settings are taken as such, or by their path or name:

    read_published    read a feature file in the field's layout
    read_table        read your own clips (CSV) and features (npz)
    make_planted      make the synthetic corpus
    write_store       write what one of these returned as a store
    extract           extract features of recordings into a store; list_extractors names them
    open_store        open a store; len(), loops, to_pandas()
    summarise_store   count what is in a store
    export_store      write a store as pickle, npz or parquet
    write_folds       write a store for each fold of a store, without speakers in two splits

    read_config       read settings, by name or from TOML; list_configs names them
    train             train with every seed, evaluate, and write a run folder
    train_folds       train on every fold, and evaluate on all clips, each held out once
    open_run          open a run folder: config, seeds, metrics(), to_pandas()
    evaluate          evaluate a run, or a model of one file, on a split of a store
    compare           compare runs on the same clips, with intervals and p values
    write_report      write the report and figures of a run
    report_labels     measure how well generated labels agree with annotated ones
    run_study         run a study of many settings; read_study reads and changes one

    load              open a trained model: predict, predict_many, predict_text, score_store
    pack              write what prediction needs of a model as one small file
    export_onnx       write a trained network as ONNX

    list_assets       list pretrained models; get_asset downloads one
    convert_bert      convert a TensorFlow 1 BERT checkpoint
    register_model    add a model; register_corpus and register_extractor add those

Types for annotations are here too: Store, RunFolder, TrainedModel, Prediction, Score, ...;
``dir(mien)`` lists them. Errors that a user can fix are ``MienError``. ``mien serve`` is a command
only; ``mien.tuning`` and ``mien.studies`` have the functions of tune, ablate and robustness.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.corpora import Facts as Facts
    from mien.corpora import register_corpus as register_corpus
    from mien.corpora.planted.corpus import make_planted as make_planted
    from mien.corpora.planted.planted_config import PlantedConfig as PlantedConfig
    from mien.corpora.published.reader import read_published as read_published
    from mien.corpora.table import read_table as read_table
    from mien.data.dataset import ClipDataset as ClipDataset
    from mien.data.export.fold_stores import write_folds as write_folds
    from mien.data.export.layouts import export_store as export_store
    from mien.data.store import Store as Store
    from mien.data.store import open_store as open_store
    from mien.data.store_writer import write_store as write_store
    from mien.data.summary import StoreSummary as StoreSummary
    from mien.data.summary import summarise as summarise_store
    from mien.errors import AssetError as AssetError
    from mien.errors import CheckpointError as CheckpointError
    from mien.errors import ConfigError as ConfigError
    from mien.errors import CorpusError as CorpusError
    from mien.errors import DivergenceError as DivergenceError
    from mien.errors import ExtractionError as ExtractionError
    from mien.errors import FeatureError as FeatureError
    from mien.errors import MediaError as MediaError
    from mien.errors import MetricError as MetricError
    from mien.errors import MienError as MienError
    from mien.errors import OutputError as OutputError
    from mien.errors import PluginError as PluginError
    from mien.errors import StoreError as StoreError
    from mien.errors import TrainingError as TrainingError
    from mien.evaluation.predictions import Predictions as Predictions
    from mien.extraction.extract import extract_recordings as extract
    from mien.extraction.extractors import ExtractorEntry as ExtractorEntry
    from mien.extraction.extractors import register_extractor as register_extractor
    from mien.extraction.request import ExtractorStatus as ExtractorStatus
    from mien.extraction.request import list_extractors as list_extractors
    from mien.models import register_model as register_model
    from mien.prediction.answer import Answer as Answer
    from mien.prediction.answer import Moment as Moment
    from mien.prediction.answer import Score as Score
    from mien.prediction.answer import WordWeight as WordWeight
    from mien.prediction.onnx import Exported as Exported
    from mien.prediction.onnx import export_onnx as export_onnx
    from mien.prediction.package import pack as pack
    from mien.prediction.predictor import TrainedModel as TrainedModel
    from mien.prediction.predictor import load as load
    from mien.prediction.result import FailedPrediction as FailedPrediction
    from mien.prediction.result import Prediction as Prediction
    from mien.prediction.result import PredictionList as PredictionList
    from mien.pretrained.assets import AssetStatus as AssetStatus
    from mien.pretrained.assets import get_asset as get_asset
    from mien.pretrained.assets import list_assets as list_assets
    from mien.pretrained.conversion.tensorflow_bert import convert_tensorflow_bert as convert_bert
    from mien.reports.comparison import RunComparison as RunComparison
    from mien.reports.comparison import compare_runs as compare
    from mien.reports.labels import LabelReport as LabelReport
    from mien.reports.labels import report_labels as report_labels
    from mien.reports.page import write_report as write_report
    from mien.studies.plan import Study as Study
    from mien.studies.plan import read_study as read_study
    from mien.studies.study import StudyReport as StudyReport
    from mien.studies.study import run_study as run_study
    from mien.training.cross_validation.fold_training import train_folds as train_folds
    from mien.training.experiment import evaluate as evaluate
    from mien.training.experiment import train as train
    from mien.training.run_folder import RunFolder as RunFolder
    from mien.training.run_folder import SeedFolder as SeedFolder
    from mien.training.run_folder import open_run as open_run
    from mien.training.settings import ExperimentConfig as ExperimentConfig
    from mien.training.settings import TrainConfig as TrainConfig
    from mien.training.settings import list_configs as list_configs
    from mien.training.settings import read_config as read_config
    from mien.types import Clip as Clip
    from mien.types import Corpus as Corpus
    from mien.types import Material as Material
    from mien.types import Modality as Modality
    from mien.types import Scale as Scale
    from mien.types import Task as Task
    from mien.types import Word as Word

    __version__: str

#: The functions: what ``help(mien)`` explains and ``from mien import *`` takes. The types are left
#: out there, for help would list every method that they inherit.
__all__ = [
    "compare",
    "convert_bert",
    "evaluate",
    "export_onnx",
    "export_store",
    "extract",
    "get_asset",
    "list_assets",
    "list_configs",
    "list_extractors",
    "load",
    "make_planted",
    "open_run",
    "open_store",
    "pack",
    "read_config",
    "read_published",
    "read_study",
    "read_table",
    "register_corpus",
    "register_extractor",
    "register_model",
    "report_labels",
    "run_study",
    "summarise_store",
    "train",
    "train_folds",
    "write_folds",
    "write_report",
    "write_store",
]

#: Where each public name is defined; modules are imported when a name is first used.
_HOMES = {
    "Answer": ("mien.prediction.answer", "Answer"),
    "AssetError": ("mien.errors", "AssetError"),
    "AssetStatus": ("mien.pretrained.assets", "AssetStatus"),
    "CheckpointError": ("mien.errors", "CheckpointError"),
    "Clip": ("mien.types", "Clip"),
    "ClipDataset": ("mien.data.dataset", "ClipDataset"),
    "ConfigError": ("mien.errors", "ConfigError"),
    "Corpus": ("mien.types", "Corpus"),
    "CorpusError": ("mien.errors", "CorpusError"),
    "DivergenceError": ("mien.errors", "DivergenceError"),
    "ExperimentConfig": ("mien.training.settings", "ExperimentConfig"),
    "Exported": ("mien.prediction.onnx", "Exported"),
    "ExtractionError": ("mien.errors", "ExtractionError"),
    "ExtractorEntry": ("mien.extraction.extractors", "ExtractorEntry"),
    "ExtractorStatus": ("mien.extraction.request", "ExtractorStatus"),
    "Facts": ("mien.corpora", "Facts"),
    "FailedPrediction": ("mien.prediction.result", "FailedPrediction"),
    "FeatureError": ("mien.errors", "FeatureError"),
    "LabelReport": ("mien.reports.labels", "LabelReport"),
    "Material": ("mien.types", "Material"),
    "MediaError": ("mien.errors", "MediaError"),
    "MetricError": ("mien.errors", "MetricError"),
    "MienError": ("mien.errors", "MienError"),
    "Modality": ("mien.types", "Modality"),
    "Moment": ("mien.prediction.answer", "Moment"),
    "OutputError": ("mien.errors", "OutputError"),
    "PlantedConfig": ("mien.corpora.planted.planted_config", "PlantedConfig"),
    "PluginError": ("mien.errors", "PluginError"),
    "Prediction": ("mien.prediction.result", "Prediction"),
    "PredictionList": ("mien.prediction.result", "PredictionList"),
    "Predictions": ("mien.evaluation.predictions", "Predictions"),
    "RunComparison": ("mien.reports.comparison", "RunComparison"),
    "RunFolder": ("mien.training.run_folder", "RunFolder"),
    "Scale": ("mien.types", "Scale"),
    "Score": ("mien.prediction.answer", "Score"),
    "SeedFolder": ("mien.training.run_folder", "SeedFolder"),
    "Store": ("mien.data.store", "Store"),
    "StoreError": ("mien.errors", "StoreError"),
    "StoreSummary": ("mien.data.summary", "StoreSummary"),
    "Study": ("mien.studies.plan", "Study"),
    "StudyReport": ("mien.studies.study", "StudyReport"),
    "Task": ("mien.types", "Task"),
    "TrainConfig": ("mien.training.settings", "TrainConfig"),
    "TrainedModel": ("mien.prediction.predictor", "TrainedModel"),
    "TrainingError": ("mien.errors", "TrainingError"),
    "Word": ("mien.types", "Word"),
    "WordWeight": ("mien.prediction.answer", "WordWeight"),
    "compare": ("mien.reports.comparison", "compare_runs"),
    "convert_bert": ("mien.pretrained.conversion.tensorflow_bert", "convert_tensorflow_bert"),
    "evaluate": ("mien.training.experiment", "evaluate"),
    "export_onnx": ("mien.prediction.onnx", "export_onnx"),
    "export_store": ("mien.data.export.layouts", "export_store"),
    "extract": ("mien.extraction.extract", "extract_recordings"),
    "get_asset": ("mien.pretrained.assets", "get_asset"),
    "list_assets": ("mien.pretrained.assets", "list_assets"),
    "list_configs": ("mien.training.settings", "list_configs"),
    "list_extractors": ("mien.extraction.request", "list_extractors"),
    "load": ("mien.prediction.predictor", "load"),
    "make_planted": ("mien.corpora.planted.corpus", "make_planted"),
    "open_run": ("mien.training.run_folder", "open_run"),
    "open_store": ("mien.data.store", "open_store"),
    "pack": ("mien.prediction.package", "pack"),
    "read_config": ("mien.training.settings", "read_config"),
    "read_published": ("mien.corpora.published.reader", "read_published"),
    "read_study": ("mien.studies.plan", "read_study"),
    "read_table": ("mien.corpora.table", "read_table"),
    "register_corpus": ("mien.corpora", "register_corpus"),
    "register_extractor": ("mien.extraction.extractors", "register_extractor"),
    "register_model": ("mien.models", "register_model"),
    "report_labels": ("mien.reports.labels", "report_labels"),
    "run_study": ("mien.studies.study", "run_study"),
    "summarise_store": ("mien.data.summary", "summarise"),
    "train": ("mien.training.experiment", "train"),
    "train_folds": ("mien.training.cross_validation.fold_training", "train_folds"),
    "write_folds": ("mien.data.export.fold_stores", "write_folds"),
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
    """Return the public names: functions, types and the version."""
    return sorted([*_HOMES, "__version__"])
