"""One run as a value: it joins the settings that the modules define, and carries a run out."""

import hashlib
import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from mien.batch import ClipDataset, make_dataset
from mien.checkpoint import (
    load_weights,
    read_header,
    read_tensors,
    split_states,
    write_text,
)
from mien.config import Settings, apply_overrides, dump_toml, read_settings, read_toml
from mien.corpora import MetricFamily, metric_family
from mien.errors import CheckpointError, ConfigError, TrainingError
from mien.evaluation import Predictions, predict, write_predictions
from mien.judgement import (
    judge_attention,
    judge_labels,
    judge_run,
    judge_scores,
    moment_in_steps,
    summarise_run,
)
from mien.labels import LabelGenerator, LabelsConfig, build_labels
from mien.models import ModelConfig, build_model
from mien.models.multitask import Multitask
from mien.models.tam_ulag import TamUlagConfig
from mien.objectives import MultitaskObjective
from mien.run import RunFolder, SeedFolder, open_run
from mien.store import Series, Store, open_store
from mien.text import TextEncoderConfig, TextInput, prepare_text
from mien.training import Listener, TrainConfig, Trainer
from mien.types import SPLITS, Clip, Modality, Scale, Split, Task

__all__ = [
    "ExperimentConfig",
    "FeaturesConfig",
    "Prepared",
    "describe_configs",
    "evaluate",
    "list_configs",
    "load_model",
    "prepare",
    "read_config",
    "train",
]

logger = logging.getLogger(__name__)

_CONFIGS = Path(__file__).parent / "configs"
_NUM_EXAMPLES = 6


class FeaturesConfig(Settings):
    """Which series of the store are used.

    Attributes:
        audio: Name of the series for audio; ``none`` leaves it out.
        video: Name of the series for video; ``none`` leaves it out.
        max_steps: Longer series are cut to this many steps; 0 for no limit.
    """

    audio: str = "audio"
    video: str = "video"
    max_steps: int = Field(0, ge=0)


class ExperimentConfig(Settings):
    """All settings of a run.

    Attributes:
        corpus: Corpus that the settings are meant for; a store of another one is refused.
        features: Which series are used.
        text_encoder: Where the states of the text come from.
        model: The network.
        labels: How the unimodal tasks get their labels.
        train: How it is trained.
    """

    corpus: str | None = None
    features: FeaturesConfig = FeaturesConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    model: ModelConfig = TamUlagConfig()
    labels: LabelsConfig = LabelsConfig()
    train: TrainConfig = TrainConfig()


def list_configs() -> tuple[str, ...]:
    """Return the names of the settings that come with the package."""
    return tuple(sorted(path.stem for path in _CONFIGS.glob("*.toml")))


def describe_configs() -> dict[str, str]:
    """Return, by name, what the comment at the top of each shipped file says of it."""
    described = {}
    for name in list_configs():
        lines = (_CONFIGS / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        top = [line.removeprefix("#").strip() for line in lines[: lines.index("")]]
        described[name] = " ".join(top).partition(". ")[0].rstrip(".")
    return described


def read_config(source: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read settings from a file, or by the name of one that comes with the package.

    Args:
        source: Path of a TOML file, or a name that ``list_configs`` gives.
        overrides: ``SECTION.SETTING=VALUE``, as ``--set`` takes them.

    Raises:
        ConfigError: If there is no such file, or a setting is wrong.
    """
    path = Path(source)
    if not path.is_file():
        path = _CONFIGS / f"{source}.toml"
        if not path.is_file():
            raise ConfigError(
                f"{str(source)!r} is neither a file nor a known configuration; there are: "
                f"{', '.join(list_configs())}"
            )
    return read_settings(ExperimentConfig, apply_overrides(read_toml(path), overrides))


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
    """

    store: Store
    text: TextInput | None
    sizes: Mapping[Modality, int]
    datasets: Mapping[Split, ClipDataset]
    scale: Scale
    family: MetricFamily

    def tokens(self, clip: Clip) -> list[tuple[str, int, int]] | None:
        """Return the tokens of a clip's text steps, if they are known."""
        if self.text is None or self.text.tokens is None:
            return None
        return self.text.tokens(clip)


def prepare(
    store: Store, config: ExperimentConfig, *, excluded_videos: frozenset[str] = frozenset()
) -> Prepared:
    """Bring a store into the form that the settings ask for.

    Args:
        store: The store.
        config: The settings.
        excluded_videos: Videos whose clips are left out of train and valid.

    Raises:
        ConfigError: If the settings do not fit the store.
    """
    if config.corpus is not None and config.corpus != store.meta.name:
        raise ConfigError(
            f"the settings are for corpus {config.corpus!r}, {store.path} holds "
            f"{store.meta.name!r}; choose another store or set corpus={store.meta.name}"
        )
    text = prepare_text(store, config.text_encoder)
    series = {} if text is None else {Modality.TEXT: text.series}
    series |= _series_of(store, config.features)
    if not series:
        raise ConfigError(f"{store.path}: nothing is left to learn from: no text, audio or video")
    costs = {} if text is None else {Modality.TEXT: text.step_cost}
    datasets = {}
    for split in SPLITS:
        rows = store.rows(split)
        if split != "test" and excluded_videos:
            is_kept = [store.clips[row].video_id not in excluded_videos for row in rows]
            rows = rows[np.array(is_kept, dtype=bool)]
        if len(rows):
            datasets[split] = make_dataset(store.clips, rows, series, costs)
    sizes = {
        m: text.size if m is Modality.TEXT and text else s.values.shape[1]
        for m, s in series.items()
    }
    return Prepared(
        store=store,
        text=text,
        sizes=sizes,
        datasets=datasets,
        scale=store.scale,
        family=metric_family(store.meta.name, store.scale),
    )


def _series_of(store: Store, config: FeaturesConfig) -> dict[Modality, Series]:
    """Map the series for audio and video, those that the store has or the settings insist on."""
    found = {}
    for modality in (Modality.AUDIO, Modality.VIDEO):
        name = getattr(config, modality)
        if name != "none" and (name in store.meta.series or name != str(modality)):
            found[modality] = _cut(store.series(name), config.max_steps)
    return found


def _cut(series: Series, max_steps: int) -> Series:
    """Keep the first ``max_steps`` steps of every clip; copies only if a clip is longer."""
    if not max_steps or series.lengths.max(initial=0) <= max_steps:
        return series
    kept = np.minimum(series.lengths, max_steps)
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    values = np.concatenate([series[i][:n] for i, n in enumerate(kept)])
    return Series(values, offsets)


def build(prepared: Prepared, config: ExperimentConfig) -> Multitask:
    """Build the model for prepared data; its weights come from torch's present seed."""
    encoder = prepared.text.build() if prepared.text is not None else None
    return build_model(config.model, prepared.sizes, encoder, config.text_encoder.summary)


def train(
    config: ExperimentConfig,
    store: Store | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    exclude: Sequence[str | Path] = (),
    listener: Listener | None = None,
) -> RunFolder:
    """Train with every seed of the settings, evaluate on valid and test, and write a run folder.

    Args:
        config: The settings.
        store: The data.
        out: The run folder to make.
        resume: Whether a run folder that is already there goes on where it stopped.
        init: A run folder or checkpoint whose weights to start from, as far as they fit.
        exclude: Stores whose videos are left out of train and valid: those on which the weights
            learned here will be evaluated later.
        listener: Is told how it goes on.

    Raises:
        ConfigError: If the settings do not fit the store.
        TrainingError: If the run cannot start, or diverges.
        CheckpointError: If ``out`` belongs to another run.
    """
    store = store if isinstance(store, Store) else open_store(store)
    prepared = prepare(store, config, excluded_videos=_videos_of(exclude))
    for split in ("train", "valid"):
        if split not in prepared.datasets:
            raise TrainingError(f"{store.path}: has no clips in {split}; training needs both")
    left_out = len(store.rows("train")) - len(prepared.datasets["train"])
    left_out += len(store.rows("valid")) - len(prepared.datasets["valid"])
    if exclude:
        logger.info("left out %d clips whose videos are in the excluded stores", left_out)
    start = _read_init(init, prepared) if init is not None else None
    run = _open_folder(Path(out), config, resume=resume)
    _write_environment(run, prepared, config, left_out, start)
    for seed in config.train.seeds:
        _train_seed(run.seed(seed), seed, config, prepared, start, listener)
    summarise_run(run, prepared.family, store.meta.name, is_synthetic=store.meta.is_synthetic)
    return run


def _videos_of(stores: Sequence[str | Path]) -> frozenset[str]:
    return frozenset(clip.video_id for path in stores for clip in open_store(path).clips)


def _open_folder(out: Path, config: ExperimentConfig, *, resume: bool) -> RunFolder:
    text = dump_toml(config)
    if (out / "config.toml").exists():
        if not resume:
            raise TrainingError(
                f"{out}: already holds a run; say --resume to go on with it, or another --out"
            )
        before = read_settings(ExperimentConfig, read_toml(out / "config.toml"))
        same = before.model_copy(
            update={"train": before.train.model_copy(update={"seeds": config.train.seeds})}
        )
        if same != config:
            raise CheckpointError(
                f"{out / 'config.toml'}: differs from the settings given now; resume with the same "
                "settings, or give another --out"
            )
        seeds = dict.fromkeys((*before.train.seeds, *config.train.seeds))
        merged = config.train.model_copy(update={"seeds": tuple(seeds)})
        text = dump_toml(config.model_copy(update={"train": merged}))
    elif out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out}: exists and is not a run folder; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "config.toml", text)
    return open_run(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """Weights to start from, and where they come from."""

    path: Path
    tensors: dict[str, torch.Tensor]
    fingerprint: str


def _read_init(init: str | Path, prepared: Prepared) -> _Start:
    """Read the weights to start from; refuse those that have seen this store's valid or test."""
    path = find_checkpoint(Path(init))
    header = read_header(path)
    judged = {c.video_id for s in ("valid", "test") for c in _clips(prepared, s)}
    seen = set(header["videos"]) & judged
    if seen:
        raise TrainingError(
            f"{path}: was trained on {len(seen)} of the {len(judged)} videos in valid and test of "
            f"{prepared.store.path}; train it again with --exclude {prepared.store.path}"
        )
    tensors = split_states(read_tensors(path), "model")
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].contiguous().view(torch.uint8).numpy().tobytes())
    return _Start(path=path, tensors=tensors, fingerprint=digest.hexdigest())


def _clips(prepared: Prepared, split: str) -> tuple[Clip, ...]:
    return tuple(prepared.store.clips[row] for row in prepared.store.rows(split))  # type: ignore[arg-type]


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint at ``path``: a file, a seed's folder, or a run folder's first seed.

    Raises:
        CheckpointError: If there is none, or its training diverged.
    """
    if path.is_file():
        return path
    if (path / "best.safetensors").is_file() or (path / "failed.json").is_file():
        return _sound(SeedFolder(path))
    seeds = open_run(path).seeds
    if not seeds:
        raise CheckpointError(f"{path}: has no seed that was trained")
    return _sound(seeds[0])


def _sound(seed: SeedFolder) -> Path:
    if seed.failure is not None:
        raise CheckpointError(f"{seed.path}: {seed.failure}")
    return seed.best


def _train_seed(
    folder: SeedFolder,
    seed: int,
    config: ExperimentConfig,
    prepared: Prepared,
    start: _Start | None,
    listener: Listener | None,
) -> None:
    if folder.failure is not None:
        raise TrainingError(f"{folder.path}: {folder.failure}; remove the folder to try again")
    if folder.is_finished:
        return
    folder.path.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = build(prepared, config)
    if start is not None:
        _take_over(model, start)
    if config.model.standardise:
        _fit_scales(model, prepared.datasets["train"])
    trainer = Trainer(
        model=model,
        objective=MultitaskObjective(_labels(config, prepared, model)),
        train=prepared.datasets["train"],
        valid=prepared.datasets["valid"],
        family=prepared.family,
        config=config.train,
        seed=seed,
        folder=folder.path,
        header=_header(config, prepared, start),
    )
    trainer.resume()
    try:
        trainer.run(listener)
    except TrainingError as error:
        write_text(folder.path / "failed.json", json.dumps({"reason": str(error)}))
        raise
    trainer.load_best()
    _finish(folder, trainer, prepared)


def _labels(config: ExperimentConfig, prepared: Prepared, model: Multitask) -> LabelGenerator:
    sizes = {task: getattr(config.model.state_size, task) for task in model.tasks}
    return build_labels(config.labels, prepared.datasets["train"].labels, prepared.scale, sizes)


def _header(config: ExperimentConfig, prepared: Prepared, start: _Start | None) -> dict[str, Any]:
    """Say in a checkpoint all that its use depends on."""
    meta = prepared.store.meta
    kept = config.model_dump(mode="json", exclude_none=True)
    kept["train"] = {k: v for k, v in kept["train"].items() if k not in ("seeds", "device")}
    return {
        "format": 1,
        "config": kept,
        "corpus": meta.name,
        "language": meta.language,
        "scale": list(meta.scale),
        "is_synthetic": meta.is_synthetic,
        "sizes": {str(m): size for m, size in prepared.sizes.items()},
        "series": {
            name: one.model_dump(mode="json", include={"size", "extractor", "step_seconds"})
            for name, one in meta.series.items()
        },
        "text_encoder": prepared.text.name if prepared.text else None,
        "text_encoder_fingerprint": prepared.text.fingerprint if prepared.text else None,
        "store": meta.fingerprint,
        "init": start.fingerprint if start else None,
        "videos": sorted({clip.video_id for clip in prepared.datasets["train"].clips}),
    }


def _take_over(model: Multitask, start: _Start) -> None:
    """Load the tensors that fit by name and shape, and say how many did."""
    own = model.state_dict()
    fits = {k: t for k, t in start.tensors.items() if k in own and own[k].shape == t.shape}
    if not fits:
        raise TrainingError(f"{start.path}: no weight in it fits the model of these settings")
    model.load_state_dict({**own, **fits})
    logger.info("took over %d of %d tensors from %s", len(fits), len(own), start.path)


def _fit_scales(model: Multitask, dataset: ClipDataset) -> None:
    for modality, encoder in model.encoders.items():
        mean, deviation = _moments(dataset, Modality(modality))
        encoder.standardise.fit(  # type: ignore[union-attr, operator]
            torch.from_numpy(mean), torch.from_numpy(deviation)
        )


def _moments(
    dataset: ClipDataset, modality: Modality
) -> tuple[Float[np.ndarray, "D"], Float[np.ndarray, "D"]]:
    """Return mean and standard deviation of every feature over the real steps, in one pass.

    Moments of chunks are merged as of Chan et al. 1979, so that large offsets lose no precision.
    """
    series = dataset.series[modality]
    count, size = 0, series.values.shape[1]
    mean, squares = np.zeros(size), np.zeros(size)
    for row in dataset.rows.tolist():
        part = np.asarray(series[row], dtype=np.float64)
        if not len(part):
            continue
        middle = part.mean(axis=0)
        delta, total = middle - mean, count + len(part)
        squares += ((part - middle) ** 2).sum(axis=0) + delta**2 * count * len(part) / total
        mean += delta * len(part) / total
        count = total
    deviation = np.sqrt(squares / max(count, 1))
    return mean.astype(np.float32), deviation.astype(np.float32)


def _finish(folder: SeedFolder, trainer: Trainer, prepared: Prepared) -> None:
    """Evaluate the best epoch and write what a seed leaves; ``metrics.json`` comes last."""
    splits, attention = {}, {}
    for split in ("valid", "test"):
        if split not in prepared.datasets:
            continue
        dataset = prepared.datasets[split]
        predictions = predict(trainer.model, dataset)
        write_predictions(predictions, folder.path / f"predictions-{split}.csv")
        splits[split] = judge_scores(predictions, prepared.family)
        attention[split] = judge_attention(predictions, dataset.clips, prepared.tokens)
        if split == "test" or "test" not in prepared.datasets:
            examples = _examples(predictions, dataset, prepared)
            write_text(folder.path / "examples.json", json.dumps(examples, ensure_ascii=False))
    labels = trainer.objective.labels
    latest = {m: labels.latest(m).cpu().numpy().astype(np.float64) for m in labels.modalities}
    train_set = prepared.datasets["train"]
    truth = {t: v.numpy().astype(np.float64) for t, v in train_set.labels.items()}
    write_text(folder.path / "train.json", json.dumps(_train_json(train_set, labels)))
    values = {
        "seed": trainer.seed,
        "best_epoch": trainer.best_epoch,
        "num_epochs": len(trainer.history),
        "splits": splits,
        "labels": judge_labels(latest, truth),
        "attention": attention,
    }
    write_text(folder.path / "metrics.json", json.dumps(values, indent=1))
    (folder.path / "last.safetensors").unlink(missing_ok=True)


def _train_json(dataset: ClipDataset, labels: LabelGenerator) -> dict[str, Any]:
    def plain(values: torch.Tensor) -> list[float | None]:
        return [None if v != v else v for v in values.tolist()]

    return {
        "ids": [clip.id for clip in dataset.clips],
        "modalities": [str(m) for m in labels.modalities],
        "annotated": plain(dataset.labels[Task.FUSION]),
        "truth": {str(t): plain(v) for t, v in dataset.labels.items() if t is not Task.FUSION},
    }


def _examples(
    predictions: Predictions, dataset: ClipDataset, prepared: Prepared
) -> list[dict[str, Any]]:
    """Pick clips spread over the scale, and give their attention with words."""
    order = np.argsort(predictions.targets[Task.FUSION], kind="stable")
    picks = order[
        np.linspace(0, len(order) - 1, min(_NUM_EXAMPLES, len(order))).round().astype(int)
    ]
    examples = []
    for row in picks:
        clip = dataset.clips[row]
        attention: dict[str, Any] = {}
        for modality, weights in predictions.attention.items():
            one: dict[str, Any] = {"weights": [round(float(w), 6) for w in weights[row]]}
            tokens = prepared.tokens(clip) if modality is Modality.TEXT else None
            if tokens is not None:
                one["tokens"] = [word for word, _, _ in tokens]
            moment = moment_in_steps(clip, modality, prepared.tokens)
            one["moment"] = list(moment) if moment else None
            attention[str(modality)] = one
        examples.append(
            {
                "id": clip.id,
                "transcript": clip.transcript,
                "target": float(predictions.targets[Task.FUSION][row]),
                "scores": {str(t): float(s[row]) for t, s in predictions.scores.items()},
                "attention": attention,
            }
        )
    return examples


def _write_environment(
    run: RunFolder,
    prepared: Prepared,
    config: ExperimentConfig,
    left_out: int,
    start: _Start | None,
) -> None:
    names = ("mien", "torch", "numpy", "transformers", "accelerate", "safetensors")
    values = {
        "versions": {name: metadata.version(name) for name in names},
        "python": platform.python_version(),
        "platform": platform.system(),
        "device": config.train.device,
        "threads": torch.get_num_threads(),
        "store": {
            "corpus": prepared.store.meta.name,
            "fingerprint": prepared.store.meta.fingerprint,
        },
        "text_encoder": prepared.text.name if prepared.text else None,
        "text_encoder_fingerprint": prepared.text.fingerprint if prepared.text else None,
        "num_clips": {split: len(one) for split, one in prepared.datasets.items()},
        "num_left_out": left_out,
        "init": start.fingerprint if start else None,
    }
    write_text(run.path / "environment.json", json.dumps(values, indent=1))


def load_model(path: str | Path, store: Store) -> tuple[Multitask, Prepared]:
    """Load a trained model for the data of a store.

    Args:
        path: A checkpoint, a seed's folder, or a run folder (its first seed).
        store: Data with the series that the model was trained on.

    Raises:
        CheckpointError: If there is no sound checkpoint, or the store does not fit it.
    """
    checkpoint = find_checkpoint(Path(path))
    header = read_header(checkpoint)
    config = read_settings(ExperimentConfig, {**header["config"], "corpus": store.meta.name})
    prepared = prepare(store, config)
    _check_fit(checkpoint, header, prepared)
    model = build(prepared, config)
    load_weights(model, split_states(read_tensors(checkpoint), "model"), str(checkpoint))
    return model.eval(), prepared


def _check_fit(checkpoint: Path, header: Mapping[str, Any], prepared: Prepared) -> None:
    sizes = {str(m): size for m, size in prepared.sizes.items()}
    if sizes != header["sizes"]:
        raise CheckpointError(
            f"{checkpoint}: was trained on features of sizes {header['sizes']}, "
            f"{prepared.store.path} has {sizes}"
        )
    name, found = header["text_encoder"], prepared.text.fingerprint if prepared.text else None
    if header["text_encoder_fingerprint"] != found:
        raise CheckpointError(
            f"{checkpoint}: was trained with other weights of text encoder {name!r} than those "
            "that are here; bring the same ones"
        )


def evaluate(
    run: RunFolder | str | Path,
    *,
    split: Split = "test",
    store: Store | str | Path | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluate every finished seed of a run on one split.

    Args:
        run: The run folder.
        split: Which clips.
        store: Other data, with series of the same kind; None takes the predictions that the run
            made on its own store, where it has them.
        out: Folder for predictions and ``metrics.json``; None writes nothing.

    Returns:
        What a run's ``metrics.json`` holds, for this split alone.

    Raises:
        CheckpointError: If no seed has ended, or the data do not fit.
    """
    run = run if isinstance(run, RunFolder) else open_run(run)
    seeds = [seed for seed in run.seeds if seed.is_finished]
    if not seeds:
        reasons = [f"seed {s.seed}: {s.failure}" for s in run.seeds if s.failure]
        raise CheckpointError(
            f"{run.path}: no seed has ended ({'; '.join(reasons) or 'training was stopped'}); "
            "go on with mien train ... --resume"
        )
    if store is None and all(seed.predictions(split) for seed in seeds):
        return _select_split(run.metrics(), split)
    if store is None:
        raise CheckpointError(
            f"{run.path}: has no predictions on {split}; give its store (--store)"
        )
    store = store if isinstance(store, Store) else open_store(store)
    predictions, attention = [], []
    for seed in seeds:
        model, prepared = load_model(seed.path, store)
        if split not in prepared.datasets:
            raise CheckpointError(f"{store.path}: has no clips in {split}")
        dataset = prepared.datasets[split]
        predictions.append(predict(model, dataset))
        attention.append(judge_attention(predictions[-1], dataset.clips, prepared.tokens))
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        for seed, one in zip(seeds, predictions, strict=True):
            write_predictions(one, Path(out) / f"predictions-{split}-{seed.seed}.csv")
    values = judge_run(
        prepared.family,
        store.meta.name,
        is_synthetic=store.meta.is_synthetic,
        seeds=[seed.seed for seed in seeds],
        predictions={split: predictions},
        attention=[{split: one} for one in attention],
    )
    if out is not None:
        write_text(Path(out) / "metrics.json", json.dumps(values, indent=1))
    return values


def _select_split(metrics: dict[str, Any], split: Split) -> dict[str, Any]:
    """Keep one split of a run's metrics."""
    kept = {
        name: {split: metrics[name][split]}
        for name in ("splits", "attention")
        if split in metrics[name]
    }
    return {**metrics, "attention": {}, **kept}
