"""A store brought into the form that the settings of a run ask for."""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float

from mien.corpora import MetricFamily, metric_family
from mien.data.dataset import ClipDataset, make_dataset
from mien.data.speakers.speaker_baseline import Units
from mien.data.speakers.split_speakers import gather_speakers
from mien.data.store import Series, Store
from mien.data.text import TextInput, check_text, prepare_text
from mien.errors import ConfigError, StoreError, name_known
from mien.models import build_model
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.models.standardise import Standardise, measure_log_odds
from mien.training.settings import ExperimentConfig, FeaturesConfig
from mien.training.targets.aims import Aims, choose_clips, find_aims
from mien.types import EVALUATED_SPLITS, SPLITS, Clip, Modality, Scale, Split, Task

__all__ = [
    "Prepared",
    "add_speakers",
    "build",
    "check_settings",
    "choose_clips",
    "describe_lacks",
    "fit_scales",
    "measure_moments",
    "prepare",
    "require_labels",
    "units_of",
]

logger = logging.getLogger(__name__)

_BLOCK = 1 << 18  # values of which moments are taken at once
_NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A store, brought into the form that the settings ask for.

    Attributes:
        store: The store.
        text: Its text, with the text encoder; None if there is no text.
        sizes: Size of an input feature of each modality.
        datasets: The clips of each split; splits without clips are absent.
        scale: Range of the annotations.
        family: Metrics that the literature reports on it.
        aims: What is predicted.
    """

    store: Store
    text: TextInput | None
    sizes: Mapping[Modality, int]
    datasets: Mapping[Split, ClipDataset]
    scale: Scale
    family: MetricFamily
    aims: Aims = field(default_factory=Aims)

    def tokens(self, clip: Clip) -> list[tuple[str, int, int]] | None:
        """Return the tokens of a clip's text steps, if they are known."""
        if self.text is None or self.text.tokens is None:
            return None
        return self.text.tokens(clip)


def require_labels(store: Store) -> None:
    """Check that there is something to learn from and to evaluate on.

    Raises:
        StoreError: If the clips of the store are not annotated.
    """
    if not store.meta.is_annotated:
        raise StoreError(
            f"{store.path}: its clips have no labels, training and evaluating need them; extract "
            "it again from a CSV with the columns label and mode, or use it for prediction alone"
        )


def describe_lacks(prepared: Prepared) -> Iterator[str]:
    """Yield a sentence for each split and task for which evaluation has too few clips."""
    for split in EVALUATED_SPLITS:
        dataset = prepared.datasets.get(split)
        if dataset is None:
            yield f"{prepared.store.path}: has no clips in {split}: nothing is evaluated there"
            continue
        for task, labels in dataset.labels.items() if prepared.aims.has_sentiment else ():
            is_single = int((~torch.isnan(labels)).sum()) == 1
            if is_single and (task is Task.FUSION or len(dataset) > 1):
                what = "" if task is Task.FUSION else f" annotated for {task}"
                yield (
                    f"{prepared.store.path}: {split} has 1 clip{what}: no interval can be given, "
                    "and no correlation"
                )


def check_settings(store: Store, config: ExperimentConfig, aims: Aims | None = None) -> str | None:
    """Check that settings fit a store, as far as its description and its clips tell.

    No array of the store is read, and no model is loaded.

    Args:
        store: The store.
        config: The settings.
        aims: What a trained model predicts, whatever of it the store has; None if it is what the
            settings choose of what the store has.

    Returns:
        Name of the text encoder; None where the text is left out, or is given as states.

    Raises:
        ConfigError: If they are for another corpus, or the store has no such text.
        StoreError: If the store has no series of a name in ``features``.
        AssetError: If the text encoder is not here.
    """
    if config.corpus is not None and config.corpus != store.meta.name:
        raise ConfigError(
            f"the settings are for corpus {config.corpus!r}, {store.path} holds "
            f"{store.meta.name!r}; choose another store or set corpus={store.meta.name}"
        )
    for modality in (Modality.AUDIO, Modality.VIDEO):
        name = getattr(config.features, modality)
        if name not in ("none", str(modality), *store.meta.series):
            hint = name_known(name, store.meta.series)
            raise StoreError(f"{store.path}: has no series {name!r}; {hint}")
    if config.features.standardise == "speaker":
        _check_speakers(store, config)
    if aims is None:
        find_aims(store, config.targets)
    is_changed = getattr(config.model, "changes_text_states", False)
    return check_text(store, config.text_encoder, is_changed=is_changed)


def _check_speakers(store: Store, config: ExperimentConfig) -> None:
    """Refuse baselines of speakers that nothing would be read against."""
    if not config.model.standardise:
        raise ConfigError(
            "features.standardise is 'speaker', which needs model.standardise=true; set that, or "
            "features.standardise=train"
        )
    if getattr(config.model, "log_odds", ()):
        raise ConfigError(
            "features.standardise is 'speaker', whose baselines are of the features themselves; "
            "leave model.log_odds out, or set features.standardise=train"
        )
    if not _names_of(store, config.features):
        raise ConfigError(
            f"{store.path}: features.standardise is 'speaker', but neither audio nor video is "
            "used; set features.standardise=train"
        )


def prepare(
    store: Store,
    config: ExperimentConfig,
    *,
    excluded_videos: frozenset[str] = frozenset(),
    online: bool = True,
    with_unlabelled: bool = False,
    with_speakers: bool = True,
    aims: Aims | None = None,
    splits: Collection[Split] = SPLITS,
) -> Prepared:
    """Bring a store into the form that the settings ask for.

    Args:
        store: The store.
        config: The settings.
        excluded_videos: Videos whose clips are left out of train and valid, by ``plain_name``.
        online: Whether a text encoder that the settings name may be downloaded from a hub.
        with_unlabelled: Whether clips without a multimodal label stay in an annotated store; there
            is nothing to learn from them, and nothing to be compared with.
        with_speakers: Whether clips are read against their speakers where the settings say so, in
            the units of train.
        aims: What a trained model predicts; None for what the settings choose of the store's.
        splits: Those that are read; nothing of others is in the result, or computed.

    Raises:
        ConfigError: If the settings do not fit the store.
    """
    check_settings(store, config, aims)
    aims = aims or find_aims(store, config.targets)
    rows = choose_clips(
        store,
        excluded_videos=excluded_videos,
        with_unlabelled=with_unlabelled,
        level=logging.INFO,
        aims=aims,
        splits=splits,
    )
    read = None if set(splits) == set(SPLITS) else np.concatenate([*rows.values(), _NO_ROWS])
    text = prepare_text(store, config.text_encoder, online=online, rows=read)
    if text is not None and text.num_truncated:
        _report_truncated(store, text, config.text_encoder.max_tokens)
    if text is not None and config.text_encoder.reads_context:
        _report_context(store, text)
    series = {} if text is None else {Modality.TEXT: text.series}
    series |= _series_of(store, config.features)
    if not series:
        raise ConfigError(f"{store.path}: nothing is left to learn from: no text, audio or video")
    costs = {} if text is None else {Modality.TEXT: text.step_cost}
    datasets = {
        split: make_dataset(
            store.clips, rows[split], series, costs, aims.targets, store.meta.targets
        )
        for split in rows
    }
    sizes = {
        m: text.size if m is Modality.TEXT and text else s.values.shape[1]
        for m, s in series.items()
    }
    prepared = Prepared(
        store=store,
        text=text,
        sizes=sizes,
        datasets=datasets,
        scale=store.scale,
        family=metric_family(store.meta.name, store.scale),
        aims=aims,
    )
    if with_speakers and config.features.standardise == "speaker":
        units = {
            m: _units_of(*measure_moments(datasets["train"], m))
            for m in _names_of(store, config.features)
        }
        return add_speakers(prepared, config.features, units, excluded_videos=excluded_videos)
    return prepared


def _report_truncated(store: Store, text: TextInput, wanted: int) -> None:
    """Log how many transcripts are not read to their end."""
    num_clips = int((text.series.lengths > 0).sum())
    is_encoder = text.max_tokens is not None and text.max_tokens < wanted
    remedy = (
        f"text encoder {text.name} reads no more"
        if is_encoder
        else "set text_encoder.max_tokens to read more"
    )
    logger.warning(
        "%s: %d of %d clips have transcripts longer than %s tokens, which are cut there; %s",
        *(store.meta.name, text.num_truncated, num_clips, text.max_tokens, remedy),
    )


def _report_context(store: Store, text: TextInput) -> None:
    """Log how many transcripts are read with others around them; that none is, as a warning."""
    num_clips = int((text.series.lengths > 0).sum())
    logger.log(
        logging.INFO if text.num_in_context else logging.WARNING,
        "%s: %d of %d clips are read with utterances of the same video and split around them",
        *(store.meta.name, text.num_in_context, num_clips),
    )


def _names_of(store: Store, config: FeaturesConfig) -> dict[Modality, str]:
    """Name the series for audio and video, those that the store has or the settings insist on."""
    names = {m: getattr(config, m) for m in (Modality.AUDIO, Modality.VIDEO)}
    return {
        m: name
        for m, name in names.items()
        if name != "none" and (name in store.meta.series or name != str(m))
    }


def _series_of(store: Store, config: FeaturesConfig) -> dict[Modality, Series]:
    """Map the series for audio and video."""
    names = _names_of(store, config)
    return {m: _cut(store.series(name), config.max_steps) for m, name in names.items()}


def add_speakers(
    prepared: Prepared,
    config: FeaturesConfig,
    units: Mapping[Modality, Units],
    *,
    excluded_videos: Collection[str] = (),
) -> Prepared:
    """Read every clip against all other clips of its speaker in its split, annotated or not.

    Args:
        prepared: The data.
        config: Which series are read, and how soon a speaker counts.
        units: What the network standardises audio and video by.
        excluded_videos: Plain names of videos that are left out of train and valid.
    """
    store = prepared.store
    names = _names_of(store, config)
    pools = choose_clips(store, excluded_videos=excluded_videos, with_unlabelled=True)
    datasets = {}
    for split, dataset in prepared.datasets.items():
        series = {m: (name, dataset.series[m]) for m, name in names.items()}
        speakers = gather_speakers(
            store, pools[split], dataset.rows, series, units, config.baseline_seconds
        )
        if not speakers.num_others.any():
            logger.warning(
                "%s: every speaker in %s has one clip, so nothing is known of any beyond the clip; "
                "a column speaker in the table says who speaks", store.path, split,
            )  # fmt: skip
        datasets[split] = replace(dataset, baselines=speakers.all_others(), speakers=speakers)
    return replace(prepared, datasets=datasets)


def _units_of(mean: Float[np.ndarray, "D"], deviation: Float[np.ndarray, "D"]) -> Units:
    """Return what a network standardises by, fitted to these moments."""
    standardise = Standardise(len(mean))
    standardise.fit(torch.from_numpy(mean), torch.from_numpy(deviation))
    return _read_units(standardise)


def _read_units(standardise: Standardise) -> Units:
    """Return what a network standardises a series by."""
    return Units(standardise.mean.cpu().numpy(), standardise.scale.cpu().numpy())


def units_of(model: MultimodalModel) -> dict[Modality, Units]:
    """Return what a network standardises each of its series by; all of an ensemble do alike."""
    return {
        Modality(modality): _read_units(encoder.standardise)  # type: ignore[arg-type]
        for modality, encoder in model.networks[0].encoders.items()
    }


def _cut(series: Series, max_steps: int) -> Series:
    """Keep the first ``max_steps`` steps of every clip; copies only if a clip is longer."""
    if not max_steps or series.lengths.max(initial=0) <= max_steps:
        return series
    lengths = np.minimum(series.lengths, max_steps)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.concatenate([series[i][:n] for i, n in enumerate(lengths)])
    return Series(values, offsets)


def build(prepared: Prepared, config: ExperimentConfig) -> MultimodalModel:
    """Build the model for prepared data; its weights come from torch's present seed."""
    encoder = prepared.text.build() if prepared.text is not None else None
    inputs = ModelInputs(
        sizes=prepared.sizes,
        text_encoder=encoder,
        summary=config.text_encoder.summary,
        targets=prepared.aims.targets,
        has_sentiment=prepared.aims.has_sentiment,
    )
    return build_model(config.model, inputs)


def fit_scales(model: MultimodalModel, dataset: ClipDataset) -> None:
    """Let the model standardise every series by its mean and deviation over ``dataset``.

    With speakers it is those in whose units their baselines are.
    """
    for modality, encoder in model.encoders.items():
        if dataset.speakers is not None:
            units = dataset.speakers.units[Modality(modality)]
            encoder.standardise.take(*map(torch.from_numpy, units))  # type: ignore[operator]
            continue
        has_log_odds = bool(encoder.standardise.has_log_odds)  # type: ignore[union-attr]
        mean, deviation = measure_moments(dataset, Modality(modality), has_log_odds=has_log_odds)
        encoder.standardise.fit(  # type: ignore[union-attr, operator]
            torch.from_numpy(mean), torch.from_numpy(deviation)
        )


def measure_moments(
    dataset: ClipDataset, modality: Modality, *, has_log_odds: bool = False
) -> tuple[Float[np.ndarray, "D"], Float[np.ndarray, "D"]]:
    """Return mean and standard deviation of every feature over the real steps, in one pass.

    Moments of chunks are merged, so that large offsets lose no precision.

    Source: chan1979.

    Args:
        dataset: The clips.
        modality: Which of their series.
        has_log_odds: Whether its values are shares, and the moments are those of their log odds.
    """
    series = dataset.series[modality]
    count, size = 0, series.values.shape[1]
    mean, squares = np.zeros(size), np.zeros(size)
    for block in series.blocks(dataset.rows, max(1, _BLOCK // size)):
        if has_log_odds:
            block = measure_log_odds(block, modality)
        middle = block.mean(axis=0, dtype=np.float64)
        centred = block - middle
        delta, total = middle - mean, count + len(block)
        squares += np.einsum("sd,sd->d", centred, centred)
        squares += delta**2 * count * len(block) / total
        mean += delta * len(block) / total
        count = total
    deviation = np.sqrt(squares / max(count, 1))
    return mean.astype(np.float32), deviation.astype(np.float32)
