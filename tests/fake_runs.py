"""Run folders as a training leaves them, from random numbers, for tests of what reads them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.config import dump_toml
from mien.corpora import metric_family
from mien.evaluation.evaluate import evaluate_labels, evaluate_scores
from mien.evaluation.metrics import evaluate_all
from mien.evaluation.metrics_file.seed_metrics import (
    AttentionMetrics,
    SeedMetrics,
    seed_metrics_to_json,
)
from mien.evaluation.predictions import Predictions, TargetPredictions, write_predictions
from mien.training.record import summarise_run
from mien.training.run_folder import RunFolder, open_run
from mien.training.settings import ExperimentConfig
from mien.types import Modality, Scale, Target, TargetKind, Task

SENTENCES = (
    "I did not expect to be this unhappily surprised by the ending",
    "well it was fine I suppose nothing special",
    "absolutely the best thing I have watched in years and I mean it",
)
MOSI_SCALE = Scale(-3, 3)
EMOTION = Target(name="emotion", kind=TargetKind.CLASS, classes=("angry", "happy", "sad"))
CHINESE = ("我真的很不开心", "今天还可以吧", "这是我看过的最好的电影")


def write_run(
    path: Path,
    *,
    corpus: str = "planted",
    is_synthetic: bool = True,
    scale: Scale = MOSI_SCALE,
    seeds: Sequence[int] = (1111, 1112),
    num_epochs: int = 4,
    num_clips: tuple[int, int, int] = (60, 30, 40),
    modalities: Sequence[Modality] = tuple(Modality),
    has_truth: bool = True,
    has_attention: bool = True,
    has_moments: bool = True,
    sentences: Sequence[str] = SENTENCES,
    error: float = 0.5,
    clips_per_video: int = 1,
    splits: Sequence[str] = ("valid", "test"),
    is_signed: bool = False,
    target: Target | None = None,
    unlabelled: Sequence[str] = (),
) -> RunFolder:
    """Write every file that a finished run has, but for the checkpoints.

    The annotations depend on nothing but the number of clips and the scale, so that two runs can
    be compared; ``error`` is how far scores are off.

    Args:
        target: Classes that are predicted besides sentiment.
        unlabelled: Splits on which sentiment is not annotated.
    """
    path.mkdir(parents=True, exist_ok=True)
    config = ExperimentConfig(corpus=corpus).model_copy()
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"seeds": tuple(seeds)})}
    )
    (path / "config.toml").write_text(dump_toml(config), encoding="utf-8")
    (path / "environment.json").write_text(
        json.dumps(
            _environment(corpus, dict(zip(("train", "valid", "test"), num_clips, strict=True)))
        )
    )
    family = metric_family(corpus, scale)
    run = open_run(path)
    for seed in seeds:
        folder = run.seed(seed)
        folder.path.mkdir(exist_ok=True)
        rng = np.random.default_rng([seed, round(error * 1000)])
        data = {
            name: _annotations(number, num, scale, modalities, has_truth)
            for number, (name, num) in enumerate(
                zip(("train", "valid", "test"), num_clips, strict=True)
            )
        }
        best = 1 + int(rng.integers(num_epochs // 2, num_epochs))
        evaluated = {}
        for split in splits:
            predictions = _predict(data[split], rng, error, split, clips_per_video, modalities)
            if target is not None:
                values = {target.name: _predict_classes(target, data[split], rng)}
                predictions = replace(predictions, values=values)
            if split in unlabelled:
                unknown = {t: np.full(len(v), np.nan) for t, v in predictions.targets.items()}
                predictions = replace(predictions, targets=unknown)
            write_predictions(predictions, folder.path / f"predictions-{split}.csv")
            evaluated[split] = evaluate_scores(predictions, family)
        latest = _write_labels(folder.path, data["train"], rng, num_epochs, modalities, scale)
        _write_epochs(folder.path, data["valid"], rng, num_epochs, best, modalities, family)
        metrics = SeedMetrics(
            seed=seed,
            best_epoch=best,
            num_epochs=num_epochs,
            splits=evaluated,
            labels=evaluate_labels(latest, data["train"]),
            attention=_shares(rng, modalities) if has_attention and has_moments else {},
            described=() if target is None else (target,),
        )
        (folder.path / "metrics.json").write_text(json.dumps(seed_metrics_to_json(metrics)))
        examples = _examples(
            data["test"], rng, modalities, sentences, has_attention, has_moments, is_signed
        )
        (folder.path / "examples.json").write_text(json.dumps(examples, ensure_ascii=False))
    summarise_run(run, family, corpus, is_synthetic=is_synthetic)
    return run


def settle_labels(run: RunFolder) -> None:
    """Give a run labels as made before the training: copies in epoch 1, the same ever after."""
    for seed in run.seeds:
        first, *others = sorted((seed.path / "labels").iterdir())
        made = np.load(others[-1])
        for file in others:
            np.save(file, made)
        clips = json.loads((seed.path / "train.json").read_text())
        np.save(first, np.tile(np.float32(clips["annotated"]), (len(made), 1)))


def _environment(corpus, num_clips):
    versions = {"mien": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"}
    return {
        "versions": versions,
        "python": "3.11.9",
        "platform": "Linux",
        "device": "cpu",
        "threads": 2,
        "store": {"corpus": corpus, "fingerprint": "ab" * 32},
        "text_encoder": "all-MiniLM-L6-v2",
        "text_encoder_fingerprint": "cd" * 32,
        "num_clips": num_clips,
        "num_left_out": 0,
        "init": None,
    }


def _annotations(number, num, scale, modalities, has_truth):
    """Labels in steps of a thirtieth of the scale; a modality now and then says the opposite."""
    rng = np.random.default_rng([number, num])
    width = scale.high - scale.low
    step = width / (10 if width < 4 else 30)

    def tidy(values):
        return (np.round(values / step) * step).clip(scale.low, scale.high).round(6)

    whole = rng.normal(0.08 * width, 0.25 * width, num)
    labels = {Task.FUSION: tidy(whole)}
    for modality in modalities if has_truth else ():
        opposite = rng.random(num) < 0.2
        labels[Task(modality)] = tidy(
            np.where(opposite, -whole, whole) + rng.normal(0, 0.08 * width, num)
        )
    return labels


def _predict(labels, rng, error, split, clips_per_video, modalities):
    num = len(labels[Task.FUSION])
    scores = {
        task: 0.8 * labels.get(task, labels[Task.FUSION]) + rng.normal(0, error, num)
        for task in (Task.FUSION, *map(Task, modalities))
    }
    return Predictions(
        ids=tuple(f"{split}{row // clips_per_video:03d}$_${row}" for row in range(num)),
        scores=scores,
        targets=labels,
        present={m: np.ones(num, dtype=bool) for m in modalities},
    )


def _predict_classes(target, labels, rng):
    """The class is that of the label by its size; three quarters of the clips are annotated."""
    truths = np.eye(target.size)[np.argsort(np.argsort(labels[Task.FUSION])) % target.size]
    truths[np.arange(len(truths)) % 4 == 0] = np.nan
    values = rng.dirichlet(np.ones(target.size), size=len(truths))
    values = 0.5 * values + 0.5 * np.where(np.isnan(truths), 1 / target.size, truths)
    return TargetPredictions(
        target=target, values={Task.FUSION: values}, truths={Task.FUSION: truths}
    )


def _write_labels(folder, labels, rng, num_epochs, modalities, scale):
    """Labels that go from the annotation toward the truth, with some noise."""
    (folder / "labels").mkdir(exist_ok=True)
    whole = labels[Task.FUSION]
    noise = {m: rng.normal(0, 0.1 * (scale.high - scale.low), len(whole)) for m in modalities}
    for epoch in range(1, num_epochs + 1):
        share = 1 - 2 / (epoch + 1)
        given = []
        for modality in modalities:
            goal = 0.7 * labels.get(Task(modality), whole) + 0.3 * whole + noise[modality]
            given.append(((1 - share) * whole + share * goal).clip(*scale))
        np.save(folder / "labels" / f"epoch-{epoch:03d}.npy", np.stack(given).astype(np.float32))
    latest = dict(zip(modalities, given, strict=True))
    (folder / "train.json").write_text(
        json.dumps(
            {
                "ids": [f"train{row:03d}$_$0" for row in range(len(whole))],
                "modalities": [str(m) for m in modalities],
                "annotated": whole.tolist(),
                "truth": {str(t): v.tolist() for t, v in labels.items() if t is not Task.FUSION},
            }
        )
    )
    return latest


def _write_epochs(folder, labels, rng, num_epochs, best, modalities, family):
    targets = labels[Task.FUSION]
    lines = []
    for epoch in range(1, num_epochs + 1):
        off = 0.4 + 0.5 * abs(epoch - best) / num_epochs + rng.normal(0, 0.01)
        valid = evaluate_all(targets * 0.7 + rng.normal(0, off, len(targets)), targets, family)
        losses = {"fusion": 0.3 + 1 / epoch} | {
            str(m): (0.05 + 0.02 * n) * epoch / (1 + epoch) + rng.normal(0, 0.003)
            for n, m in enumerate(modalities)
        }
        record = {
            "epoch": epoch,
            "losses": losses,
            "valid": valid,
            "clipped": 0.05 / epoch,
            "is_best": epoch in (1, best),
            "seconds": 2.0,
        }
        lines.append(json.dumps(record) + "\n")
    (folder / "epochs.jsonl").write_text("".join(lines))


def _shares(rng, modalities):
    def share():
        inside = float(rng.uniform(0.3, 0.5))
        return AttentionMetrics(inside=inside, uniform=0.2, ratio=inside / 0.2, num_clips=40)

    return {split: {m: share() for m in modalities} for split in ("valid", "test")}


def _examples(labels, rng, modalities, sentences, has_attention, has_moments, is_signed):
    examples = []
    for row, sentence in enumerate(sentences):
        attention = {}
        for modality in modalities if has_attention else ():
            tokens = _tokens(sentence)
            num = len(tokens) if modality is Modality.TEXT else int(rng.integers(30, 120))
            weights = rng.gamma(0.5, 1.0, num)
            moment = None
            if has_moments and modality is not Modality.TEXT:
                start = int(rng.integers(0, num - 12))
                moment = [start, start + 12]
                weights[start : start + 12] *= 3
            weights = weights / weights.sum()
            if is_signed:
                weights = (weights - 0.6 / num) * 1e-3
            attention[str(modality)] = {"weights": weights.round(8).tolist(), "moment": moment}
            if modality is Modality.TEXT:
                attention["text"]["tokens"] = tokens
        examples.append(
            {
                "id": f"video{row}$_${row}",
                "transcript": sentence,
                "target": float(labels[Task.FUSION][row]),
                "scores": {
                    str(t): float(rng.normal()) for t in (Task.FUSION, *map(Task, modalities))
                },
                "attention": attention,
            }
        )
    return examples


def _tokens(sentence):
    if not sentence.isascii():
        return ["[CLS]", *sentence, "[SEP]"]
    pieces = []
    for word in sentence.split():
        pieces += [word] if len(word) < 9 else [word[:5], f"##{word[5:]}"]
    return ["[CLS]", *pieces, "[SEP]"]
