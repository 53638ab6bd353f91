"""A study as a value: which settings are compared on which corpora, with which seeds.

A study is a TOML file. Those of the package lie in ``configs/studies``.

    title = "Generated unimodal labels"       # heading of the page
    question = "Do generated labels ...?"     # what the study is to answer, a paragraph
    config = "tam_ulag-planted"               # settings of every run: a name or a TOML file
    set = []                                  # changes to them, as --set takes them
    seeds = [1111, 1112, 1113]                # one training each
    measures = ["labels", "scores"]           # labels, attention, scores: what is measured
    baseline = "copy"                         # the variant from which every other is subtracted
    against = ["distance"]                    # further variants to subtract from every other

    [[variant]]                               # what is compared, in the order of the tables
    name = "copy"
    set = ["labels.generator=copy"]           # comes last, after the study's and the corpus's
    config = "self_mm-planted"                # instead of the study's, where given

    [[corpus]]
    name = "planted-7"                        # the study's own name of it
    planted = { seed = 7 }                    # made on demand, into the cache

    [[corpus]]
    name = "cremad"                           # no planted: a store given by --store cremad=PATH
    config = "cremad.toml"                    # each of these is optional
    set = ["text_encoder.input=none"]
    seeds = [1111, 1112]                      # instead of the study's
    variants = ["copy", "distance"]           # only these
    references = ["ridge", "trees"]           # plain fits beside the labels, also in against

    [[sweep]]                                 # planted corpora along one line, drawn as a figure
    name = "burst"
    across = "length of a burst, share of the clip"
    planted = { seed = 7 }                    # what the points share
    points = [                                # at: where on the axis; the rest: planted settings
        { at = 0.03, burst_low = 0.02, burst_high = 0.04 },
        { at = 0.06, burst_low = 0.04, burst_high = 0.08 },
    ]
    seeds = [1111, 1112]                      # optional, as are variants and set

The ``corpus`` of the settings is set to that of the store, whatever their file has. A settings
file is looked for in the folder of the study's file first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from mien.config import Seeds, Settings, apply_overrides, read_settings, read_toml
from mien.corpora.planted.planted_config import PlantedConfig
from mien.errors import ConfigError, name_known
from mien.studies.baselines import ReferenceName
from mien.studies.distinct_variants import (
    Changes,
    TableName,
    check_places,
    name_picture,
    refuse_alike,
    refuse_seeds,
)
from mien.training.settings import ExperimentConfig, read_config

__all__ = [
    "Measure",
    "Study",
    "StudyConfig",
    "StudyCorpus",
    "SweepConfig",
    "VariantConfig",
    "describe_studies",
    "list_studies",
    "read_study",
]

_STUDIES = Path(__file__).parents[1] / "configs" / "studies"
_PLANTED = "planted."  # with what a change of --set to the planted corpora begins

Measure = Literal["labels", "attention", "scores"]


class VariantConfig(Settings):
    """One thing that is compared.

    Attributes:
        name: What it is called in tables.
        set: Changes to the settings, ``SECTION.SETTING=VALUE``.
        config: Settings of its own, a name or a file; those of the corpus or the study if left out.
    """

    name: TableName
    set: Changes = ()
    config: str | None = None


class CorpusConfig(Settings):
    """One corpus on which the variants are compared.

    Attributes:
        name: What the study calls it.
        planted: Settings with which it is made; without them it is a store that the user gives.
        config: Settings of its runs, a name or a file; those of the study if left out.
        set: Changes to the settings of its runs.
        seeds: Seeds of its runs; those of the study if left out.
        variants: Names of the variants that run on it; all if left out.
        references: Plain fits of the annotation to each modality's vectors, evaluated as labels.
    """

    name: TableName
    planted: PlantedConfig | None = None
    config: str | None = None
    set: Changes = ()
    seeds: Seeds = ()
    variants: tuple[str, ...] = ()
    references: tuple[ReferenceName, ...] = ()


class SweepConfig(Settings):
    """Planted corpora that differ along one line.

    Attributes:
        name: What the line is called; its corpora are called ``NAME-AT``.
        across: What stands along the axis.
        planted: Planted settings of every point.
        points: ``at``, where a point lies on the axis, and the planted settings that it changes.
        set: Changes to the settings of its runs.
        seeds: Seeds of its runs; those of the study if left out.
        variants: Names of the variants that run on it; all if left out.
    """

    name: TableName
    across: str = Field(min_length=1)
    planted: dict[str, Any] = Field(default_factory=dict)
    points: tuple[dict[str, Any], ...] = Field(min_length=2)
    set: Changes = ()
    seeds: Seeds = ()
    variants: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _points_have_places(self) -> "SweepConfig":
        check_places(self.name, self.points)
        return self

    def corpora(self) -> Iterator[tuple[float, CorpusConfig]]:
        """Yield where each point lies, along the axis, and its corpus.

        Raises:
            ConfigError: If a planted setting is wrong.
        """
        for point in sorted(self.points, key=lambda point: float(point["at"])):
            values = {**self.planted, **{k: v for k, v in point.items() if k != "at"}}
            yield (
                float(point["at"]),
                CorpusConfig(
                    name=f"{self.name}-{point['at']:g}",
                    planted=read_settings(PlantedConfig, values, f"sweep {self.name}"),
                    set=self.set,
                    seeds=self.seeds,
                    variants=self.variants,
                ),
            )


class StudyConfig(Settings):
    """What a study's file holds.

    Attributes:
        title: Heading of its page.
        question: What it is to answer.
        config: Settings of its runs, a name or a file.
        set: Changes to the settings of every run.
        seeds: One training each.
        measures: What is measured: ``labels`` (agreement of the labels of train with the truth),
            ``attention`` (its share inside the known moments), ``scores`` (metrics).
        baseline: The variant from which every other is subtracted.
        against: Further variants to subtract from every other, or references.
        variant: What is compared.
        corpus: On which corpora.
        sweep: On which lines of planted corpora.
    """

    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    config: str = Field(min_length=1)
    set: Changes = ()
    seeds: Annotated[Seeds, Field(min_length=1)]
    measures: tuple[Measure, ...] = Field(min_length=1)
    baseline: str
    against: tuple[str, ...] = ()
    variant: tuple[VariantConfig, ...] = Field(min_length=1)
    corpus: tuple[CorpusConfig, ...] = ()
    sweep: tuple[SweepConfig, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> "StudyConfig":
        variants = [variant.name for variant in self.variant]
        corpora = [corpus.name for corpus in self.corpus]
        corpora += [
            f"{sweep.name}-{point['at']:g}" for sweep in self.sweep for point in sweep.points
        ]
        sections = [c.name for c in self.corpus] + [sweep.name for sweep in self.sweep]
        kinds = {"variants": variants, "corpora": corpora, "corpora or sweeps": sections}
        kinds["files of figures"] = [name_picture(name, "*") for name in sections]
        for kind, names in kinds.items():
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"two {kind} are called {repeated[0]!r}")
        if not corpora:
            raise ValueError("there is no corpus and no sweep")
        if taken := [name for name in variants if name in get_args(ReferenceName)]:
            raise ValueError(f"a variant is called {taken[0]!r}, which is a reference's name")
        fits = {name for corpus in self.corpus for name in corpus.references}
        named = [self.baseline, *(name for name in self.against if name not in fits)]
        named += [name for corpus in self.corpus for name in corpus.variants]
        named += [name for sweep in self.sweep for name in sweep.variants]
        unknown = [name for name in named if name not in variants]
        if unknown:
            raise ValueError(
                f"no variant is called {unknown[0]!r}; {name_known(unknown[0], variants)}"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCorpus:
    """One corpus of a study, with all that its runs need.

    Attributes:
        name: What the study calls it.
        planted: Settings with which it is made; None for a store.
        store: Path of the store; None for a planted corpus, or if none was given.
        seeds: Seeds of its runs.
        configs: Settings per variant, in the order of the tables; their seeds are not those.
        references: Plain fits to evaluate beside them.
        sweep: Name of the sweep to which it belongs, if it does.
        at: Where on the sweep's axis it lies.
    """

    name: str
    planted: PlantedConfig | None
    store: Path | None
    seeds: tuple[int, ...]
    configs: Mapping[str, ExperimentConfig]
    references: tuple[ReferenceName, ...] = ()
    sweep: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study with what the command line changed.

    Attributes:
        name: The file's name.
        config: What the file holds.
        corpora: Its corpora in their order, those of sweeps last; also those not given.
    """

    name: str
    config: StudyConfig
    corpora: tuple[StudyCorpus, ...]

    @property
    def against(self) -> tuple[str, ...]:
        """What every variant is compared with, the baseline first."""
        return tuple(dict.fromkeys((self.config.baseline, *self.config.against)))


def list_studies() -> tuple[str, ...]:
    """Return the names of the studies that come with the package."""
    return tuple(sorted(path.stem for path in _STUDIES.glob("*.toml")))


def describe_studies() -> dict[str, str]:
    """Return, by name, the title of each study that comes with the package."""
    return {name: str(read_toml(_STUDIES / f"{name}.toml")["title"]) for name in list_studies()}


def read_study(
    source: str | Path,
    *,
    stores: Mapping[str, str | Path] | None = None,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
    corpora: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> Study:
    """Read a study from a file, or by the name of one that comes with the package.

    Args:
        source: Path of a TOML file, or a name that ``list_studies`` gives.
        stores: Where the stores of corpora are, by the study's name of the corpus. One given for a
            planted corpus takes its place.
        seeds: Seeds of every run, instead of those in the file.
        only: Names of the variants to run; the baseline runs anyway. All if empty.
        corpora: Names of the corpora or sweeps to run on. All if empty.
        overrides: Changes to every run, or, as ``planted.SETTING=VALUE``, to every planted corpus.

    Raises:
        ConfigError: If there is no such study, or something in it is wrong.
    """
    path = _find_study(source)
    config = read_settings(StudyConfig, read_toml(path))
    refuse_seeds(overrides)
    chosen = _choose_variants(config, only)
    points: list[tuple[str | None, float | None, CorpusConfig]] = [
        (None, None, corpus) for corpus in config.corpus
    ]
    points += [(sweep.name, at, corpus) for sweep in config.sweep for at, corpus in sweep.corpora()]
    places = {name: Path(store) for name, store in (stores or {}).items()}
    _check_names("--store", places, [corpus.name for _, _, corpus in points])
    _check_names(
        "--corpus", corpora, [n for sweep, _, corpus in points for n in (corpus.name, sweep)]
    )
    study_corpora = []
    for sweep, at, corpus in points:
        if corpora and corpus.name not in corpora and sweep not in corpora:
            continue
        configs = {
            variant.name: _resolve(config, corpus, variant, path.parent, overrides)
            for variant in config.variant
            if variant.name in chosen & set(corpus.variants or chosen)
        }
        refuse_alike(configs, f"variants on {corpus.name}")
        study_corpora.append(
            StudyCorpus(
                name=corpus.name,
                planted=None if corpus.name in places else _change_planted(corpus, overrides),
                store=places.get(corpus.name),
                seeds=tuple(seeds) or corpus.seeds or config.seeds,
                configs=configs,
                references=corpus.references,
                sweep=sweep,
                at=at,
            )
        )
    for line in config.sweep:
        refuse_alike(
            {c.name: c.planted for c in study_corpora if c.sweep == line.name and c.planted},
            f"sweep {line.name}",
        )
    return Study(name=path.stem, config=config, corpora=tuple(study_corpora))


def _check_names(option: str, given: Iterable[str], known: Sequence[str | None]) -> None:
    names = list(dict.fromkeys(name for name in known if name is not None))
    for name in given:
        if name not in names:
            raise ConfigError(
                f"{option} {name}: the study has nothing with that name; {name_known(name, names)}"
            )


def _find_study(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    path = _STUDIES / f"{source}.toml"
    if path.is_file():
        return path
    raise ConfigError(
        f"{str(source)!r} is neither a file nor a known study; "
        f"{name_known(str(source), list_studies())}"
    )


def _choose_variants(config: StudyConfig, only: Sequence[str]) -> set[str]:
    """Return the names of the variants to run."""
    names = [variant.name for variant in config.variant]
    _check_names("--only", only, names)
    return {*only, config.baseline} if only else set(names)


def _change_planted(corpus: CorpusConfig, overrides: Sequence[str]) -> PlantedConfig | None:
    """Return the planted settings with what the command line changes."""
    if corpus.planted is None:
        return None
    changes = [text.removeprefix(_PLANTED) for text in overrides if text.startswith(_PLANTED)]
    given = corpus.planted.model_dump(exclude_unset=True)
    return read_settings(PlantedConfig, apply_overrides(given, changes), "planted")


def _resolve(
    study: StudyConfig,
    corpus: CorpusConfig,
    variant: VariantConfig,
    folder: Path,
    overrides: Sequence[str],
) -> ExperimentConfig:
    """Return the settings of a variant's runs on a corpus."""
    source = variant.config or corpus.config or study.config
    beside = folder / source
    given = [text for text in overrides if not text.startswith(_PLANTED)]
    changes = [*study.set, *corpus.set, *variant.set, *given]
    try:
        return read_config(beside if beside.is_file() else source, changes)
    except ConfigError as error:
        raise ConfigError(f"variant {variant.name} on {corpus.name}: {error}") from error
