"""The corpora of a study prepared: stores, text states, and a check of every variant."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from mien.config import Settings
from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig
from mien.data.store import Store, open_store
from mien.data.store_writer import write_store
from mien.errors import MienError, OutputError
from mien.files.cache_entries import mark_used
from mien.files.hashing import hash_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder
from mien.processes.work_pool import side_by_side
from mien.studies.plan import Study, StudyCorpus
from mien.studies.study_listener import StudyListener
from mien.training.preparation import Prepared, build, prepare
from mien.training.seeds.registered import with_registered
from mien.training.settings import ExperimentConfig

__all__ = ["PreparedCorpus", "PreparedVariant", "plain_settings", "prepare_corpora"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedVariant:
    """A variant on a corpus before it is trained.

    Attributes:
        config: Its settings, with one thread and the corpus of the store.
        text: Fingerprint of the text encoder; None without one.
        num_parameters: Parameters of the model, the trained part of its text encoder included.
        refusal: Why the settings do not fit the corpus; None if they do.
    """

    config: ExperimentConfig
    text: str | None = None
    num_parameters: int | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCorpus:
    """A corpus of a study whose store is there, and its variants.

    Attributes:
        corpus: The corpus as the study names it.
        store: Path of the store.
        fingerprint: That of the store.
        variants: Its variants by name.
    """

    corpus: StudyCorpus
    store: Path
    fingerprint: str
    variants: Mapping[str, PreparedVariant]


def prepare_corpora(
    study: Study, corpora: Sequence[StudyCorpus], *, num_workers: int, listener: StudyListener
) -> list[PreparedCorpus]:
    """Make the planted stores and text states, and check every variant, without training.

    Raises:
        MienError: If a store is not what it should be.
    """
    listener.on_stage(f"{study.name}: corpora and text states", len(corpora))
    prepared = {}
    on_start = getattr(listener, "on_start", None)
    configs = [config for corpus in corpora for config in corpus.configs.values()]
    prepare_one = with_registered(_prepare_corpus, configs, jobs=num_workers, cluster=None)
    for corpus, result in side_by_side(
        prepare_one, corpora, num_workers, on_start and (lambda corpus: on_start(corpus.name))
    ):
        prepared[corpus.name] = result
        listener.on_done(corpus.name)
    return [prepared[corpus.name] for corpus in corpora]


def _prepare_corpus(corpus: StudyCorpus) -> PreparedCorpus:
    store = open_store(_planted_store(corpus.planted) if corpus.planted else corpus.store or "")
    prepared: dict[str, Prepared] = {}
    return PreparedCorpus(
        corpus=corpus,
        store=store.path,
        fingerprint=store.meta.fingerprint,
        variants={
            name: _check_variant(store, config, prepared) for name, config in corpus.configs.items()
        },
    )


def _planted_store(settings: PlantedConfig) -> Path:
    """Return the store of a planted corpus, which is made if it is not in the cache."""
    key = hash_json([plain_settings(settings), code_fingerprint("mien.corpora.planted.corpus")])
    path = cache_folder() / "stores" / f"planted-{key}"
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_folder(path.parent)
    with FileLock(f"{path}.lock"):
        if not (path / "meta.json").is_file():
            write_store(make_planted(settings), path)
    mark_used(path)
    return path


def _check_variant(
    store: Store, config: ExperimentConfig, prepared: dict[str, Prepared]
) -> PreparedVariant:
    """Prepare the data of a variant and build its model, to see whether they fit."""
    train_config = config.train.model_copy(update={"threads": 1})
    config = config.model_copy(update={"corpus": store.meta.name, "train": train_config})
    key = json.dumps([plain_settings(config.text_encoder), plain_settings(config.features)])
    try:
        if key not in prepared:
            prepared[key] = prepare(store, config)
        model = build(prepared[key], config)
    except OutputError:  # no fault of the variant
        raise
    except MienError as error:
        return PreparedVariant(config=config, refusal=str(error))
    text = prepared[key].text
    return PreparedVariant(
        config=config,
        text=text.fingerprint if text else None,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as JSON holds them, with every default spelled out."""
    return settings.model_dump(mode="json", exclude_none=True)
