"""Ablations: the settings of one run against variants of them, on one store, as a study.

Variants are those of the model, or of a TOML file:

    [[variant]]
    name = "no attention"
    set = ["model.attention=none"]     # changes to the settings, as --set takes them

    [[variant]]
    name = "released"
    config = "tam_ulag-mosi-released"  # settings of its own, a name or a file, then its ``set``
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from mien.config import Settings, apply_overrides, read_settings, read_toml
from mien.data.store import Store, open_store
from mien.data.text import check_text
from mien.errors import AssetError, ConfigError, name_known
from mien.labels import GENERATORS
from mien.models import MODELS
from mien.models.model_settings import MultitaskConfig, TamUlagConfig
from mien.studies.distinct_variants import refuse_alike
from mien.studies.plan import Study, StudyConfig, StudyCorpus, VariantConfig
from mien.training.settings import ExperimentConfig, read_config
from mien.training.targets.aims import find_aims
from mien.types import Modality, Task

__all__ = ["AblationConfig", "default_variants", "plan_ablation"]

#: What the row of the settings as they are is called.
BASE: Final = "base"
_ATTENTIONS: Final = ("gated", "softmax", "none")
_FUSIONS: Final = ("dimension", "rank_one", "concat")
_LABELS: Final = ("ulag", "latent", "distance", "copy", "human")
#: How the released program of TAM-ULAG differs, whatever sizes and rates are.
_RELEASED: Final = (
    *("model.attention=released", "model.fusion=concat", "model.standardise=false"),
    *("text_encoder.summary=cls", "labels.generator=ulag_released", "labels.weight=difference"),
    *("train.gradient=sum", "train.leftover=drop", "train.group_lengths=false"),
)
_OFF: Final = {
    Modality.TEXT: "text_encoder.input=none",
    Modality.AUDIO: "features.audio=none",
    Modality.VIDEO: "features.video=none",
}


class AblationConfig(Settings):
    """What a file of variants holds.

    Attributes:
        variant: What is compared with the settings as they are, in the order of the tables.
    """

    variant: tuple[VariantConfig, ...] = Field(min_length=1)


def plan_ablation(
    config: ExperimentConfig | str | Path,
    store: Store | str | Path,
    *,
    variants: str | Path | None = None,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> Study:
    """Return the study that compares settings with variants of them, for ``run_study``.

    Args:
        config: The settings, a TOML file of them, or the name of settings that come with the
            package.
        store: The data.
        variants: A TOML file of variants; None for those of ``default_variants``.
        seeds: One training each; None for those of the settings.
        only: Names of the variants to keep; all if empty.
        overrides: Changes to the settings from which all variants start.

    Raises:
        ConfigError: If a setting is wrong, or there is no variant.
    """
    store = open_store(store)
    base = read_config(config, overrides)
    folder = Path() if variants is None else Path(variants).parent
    given = (
        default_variants(base, store)
        if variants is None
        else read_settings(AblationConfig, read_toml(Path(variants)), str(variants)).variant
    )
    names = [variant.name for variant in given]
    for name in only:
        if name not in names:
            raise ConfigError(f"--only {name!r}: {name_known(name, names)}")
    chosen = [variant for variant in given if not only or variant.name in only]
    resolved = {BASE: base}
    for variant in chosen:
        if variant.name in resolved:
            raise ConfigError(f"two variants are called {variant.name!r}; rename one")
        resolved[variant.name] = _resolve(base, variant, folder, overrides)
    refuse_alike(resolved, "ablate")
    stem = "settings" if isinstance(config, ExperimentConfig) else Path(config).stem
    used = tuple(seeds) or base.train.seeds
    name = store.meta.name
    planned = StudyConfig(
        title=f"Ablation of {stem}",
        question="What does each part of the settings contribute? `base` is the settings as they "
        "are; every other row changes what the table of settings says, and nothing else.",
        config=stem,
        seeds=used,
        measures=("scores",),
        baseline=BASE,
        variant=(VariantConfig(name=BASE), *chosen),
        corpus=({"name": name},),
    )
    corpus = StudyCorpus(name=name, planted=None, store=store.path, seeds=used, configs=resolved)
    return Study(name=f"ablation-{stem}", config=planned, corpora=(corpus,))


def default_variants(base: ExperimentConfig, store: Store) -> tuple[VariantConfig, ...]:
    """Return the ablation table of a model: what it does not have, and what is so anyway, left out.

    Of TAM-ULAG: attentions, fusions, label generators (``human`` where modalities are annotated),
    each unimodal task off, each modality off, and ``released``, the defects of the authors'
    program. Of other models with unimodal tasks: labels, tasks and modalities; of all others:
    modalities. Where targets are learned, each of them, and sentiment, left out.
    """
    modalities = list(_modalities(base, store))
    rows: list[tuple[str, tuple[str, ...]]] = []
    if isinstance(base.model, TamUlagConfig):
        rows += [(f"attention {n}", (f"model.attention={n}",)) for n in _ATTENTIONS]
        rows += [(f"fusion {n}", (f"model.fusion={n}",)) for n in _FUSIONS]
    if isinstance(base.model, MultitaskConfig) and len(modalities) > 1:
        is_annotated = all(Task(m) in store.meta.labels for m in modalities)
        known = [n for n in _LABELS if n != "human" or is_annotated]
        rows += [(f"labels {n}", (f"labels.generator={n}",)) for n in known]
        rows += [(f"no task of {m}", (f"train.loss.{m}=0",)) for m in modalities]
    if len(modalities) > 1:
        rows += [(f"without {m}", (_OFF[m],)) for m in modalities]
    rows += _rows_of_aims(base, store)
    if isinstance(base.model, TamUlagConfig):
        rows.append(("released", _RELEASED))
    variants = [VariantConfig(name=name, set=changes) for name, changes in rows]
    distinct = tuple(v for v in variants if _resolve(base, v, Path()) != base)
    if not distinct:
        raise ConfigError(
            f"ablate: no variants of {base.model.name} on one modality are known; give some with "
            "--variants FILE.toml"
        )
    return distinct


def _rows_of_aims(base: ExperimentConfig, store: Store) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each of the things that are learned together left out: targets and sentiment."""
    aims = find_aims(store, base.targets)
    names = [target.name for target in aims.targets]
    if len(names) + aims.has_sentiment < 2:
        return
    others_left_out = {*Modality, *["sentiment"] * aims.has_sentiment}
    for name in names:
        what = f"the target {name}" if name in others_left_out else name
        yield f"without {what}", (f"targets.use={[other for other in names if other != name]}",)
    if aims.has_sentiment:
        yield "without sentiment", ("targets.with_sentiment=false",)


def _modalities(config: ExperimentConfig, store: Store) -> Iterator[Modality]:
    """Yield the modalities that settings read of a store."""
    try:
        has_text = config.text_encoder.input != "none" and (
            config.text_encoder.input == "embeddings"
            or check_text(store, config.text_encoder) is not None
        )
    except AssetError:  # the text is there; that its encoder is not is said when it is loaded
        has_text = True
    if has_text:
        yield Modality.TEXT
    for modality in (Modality.AUDIO, Modality.VIDEO):
        if getattr(config.features, modality) in store.meta.series:
            yield modality


def _resolve(
    base: ExperimentConfig, variant: VariantConfig, folder: Path, overrides: Sequence[str] = ()
) -> ExperimentConfig:
    """Return the settings of a variant.

    What another model or label generator does not know of the base's is left out, and so is a
    value that it refuses.
    """
    try:
        if variant.config is not None:
            beside = folder / variant.config
            source = beside if beside.is_file() else variant.config
            return read_config(source, [*overrides, *variant.set])
        values: dict[str, Any] = base.model_dump(mode="json", exclude_none=True)
        changed = apply_overrides(values, variant.set)
        for section, tag, table in (("labels", "generator", GENERATORS), ("model", "name", MODELS)):
            values[section] = _fitting(values[section], changed[section].get(tag), tag, table)
        return read_settings(ExperimentConfig, apply_overrides(values, variant.set))
    except ConfigError as error:
        raise ConfigError(f"variant {variant.name!r}: {error}") from error


def _fitting(
    values: Mapping[str, Any], chosen: object, tag: str, table: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a section that another choice takes as well."""
    entry = table.get(str(chosen))
    if chosen == values[tag] or entry is None:
        return dict(values)
    shared = {name: value for name, value in values.items() if name in entry.config.model_fields}
    try:
        entry.config.model_validate({**shared, tag: chosen})
    except ValidationError as error:
        refused = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        return {name: value for name, value in shared.items() if name not in refused}
    return shared
