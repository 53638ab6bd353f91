"""The runs of a corpus to its results: every measure of every variant, side by side."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from mien.data.store import open_store
from mien.errors import MienError
from mien.evaluation.bootstrap import clusters_of
from mien.evaluation.evaluate import evaluated_rows
from mien.evaluation.formulas import Scores
from mien.evaluation.label_agreement import COPY, evaluate_agreement, flipped_share
from mien.evaluation.metrics import METRICS
from mien.evaluation.predictions import Predictions
from mien.evaluation.significance import MetricResults, compare_sources
from mien.files.json_values import json_number, json_numbers
from mien.reports.label_trajectories import (
    LabelRows,
    evaluate_moves,
    evaluate_trajectories,
    read_label_rows,
)
from mien.reports.target_results.compared_scores import units_of
from mien.studies.baselines import fit_reference
from mien.studies.corpora import PreparedCorpus
from mien.studies.plan import Study
from mien.studies.results.alike_variants import find_alike
from mien.studies.results.attention_metrics import ATTENTION_METRICS
from mien.studies.results.label_values import (
    LabelResults,
    LabelTruthResults,
    LabelVariantResults,
)
from mien.studies.results.target_measures import evaluate_study_targets, shared_rows
from mien.studies.results.values import (
    AttentionResults,
    CorpusResults,
    RunResults,
    ScoreResults,
    TargetResults,
    VariantResults,
)
from mien.studies.runner import Outcome
from mien.training.run_folder import SeedFolder, read_json
from mien.types import REPORTED_SPLITS, SPLITS, Modality, Split, Task, video_of

__all__ = ["evaluate_corpus"]

_UNIMODAL_METRICS: Final = ("mae", "corr")


def evaluate_corpus(
    study: Study, prepared: PreparedCorpus, outcomes: Sequence[Outcome]
) -> CorpusResults:
    """Evaluate the runs of one corpus.

    A seed that did not finish is named among the variant's ``runs`` and left out of all means.

    Args:
        study: Names what is measured and which variants are subtracted.
        prepared: The corpus.
        outcomes: How its jobs ended.
    """
    store = open_store(prepared.store)
    corpus = prepared.corpus
    finished = _finished(outcomes)
    measures = study.config.measures if finished else ()
    return CorpusResults(
        corpus=store.meta.name,
        is_synthetic=store.meta.is_synthetic,
        planted=corpus.planted.model_dump(exclude_unset=True) if corpus.planted else None,
        fingerprint=prepared.fingerprint,
        num_clips={split: store.meta.num_clips.get(split, 0) for split in SPLITS},
        num_videos={split: len(store.clips.take(store.rows(split)).videos) for split in SPLITS},
        seeds=corpus.seeds,
        sweep=corpus.sweep,
        at=corpus.at,
        variants={name: _describe_variant(prepared, name, outcomes) for name in prepared.variants},
        labels=_evaluate_labels(study, prepared, finished) if "labels" in measures else None,
        scores=_evaluate_scores(study, finished) if "scores" in measures else None,
        attention=_evaluate_attention(study, outcomes) if "attention" in measures else None,
        targets=_evaluate_targets(study, finished) if "scores" in measures else None,
        alike=find_alike(_read_predictions(finished)),
    )


def _finished(outcomes: Sequence[Outcome]) -> dict[str, list[SeedFolder]]:
    """Return the finished seeds of every variant that has some."""
    finished: dict[str, list[SeedFolder]] = {}
    for outcome in outcomes:
        if outcome.status == "finished":
            finished.setdefault(outcome.job.variant, []).append(outcome.job.seed_folder)
    return finished


def _describe_variant(
    prepared: PreparedCorpus, name: str, outcomes: Sequence[Outcome]
) -> VariantResults:
    variant = prepared.variants[name]
    return VariantResults(
        refusal=variant.refusal,
        num_parameters=variant.num_parameters,
        runs={
            str(outcome.job.seed): _describe_run(outcome)
            for outcome in outcomes
            if outcome.job.variant == name
        },
        settings=variant.config.model_dump(mode="json", exclude_none=True),
    )


def _describe_run(outcome: Outcome) -> RunResults:
    run = outcome.job.folder.name
    if outcome.status != "finished":
        return RunResults(status=outcome.status, run=run, reason=outcome.reason)
    metrics, epochs = outcome.job.seed_folder.results(), outcome.job.seed_folder.epochs()
    return RunResults(
        status=outcome.status,
        run=run,
        best_epoch=metrics.best_epoch,
        num_epochs=metrics.num_epochs,
        seconds=sum(float(epoch["seconds"]) for epoch in epochs),
    )


def _evaluate_labels(
    study: Study, prepared: PreparedCorpus, finished: Mapping[str, Sequence[SeedFolder]]
) -> dict[str, LabelResults]:
    """Return, per modality, how the labels of every variant agree, move and come about."""
    variants = {name: read_label_rows(seeds) for name, seeds in finished.items()}
    moves = {name: evaluate_moves(rows) for name, rows in variants.items()}
    results = {}
    for modality in Modality:
        rows = {name: each[modality] for name, each in variants.items() if modality in each}
        if not rows:
            continue
        first = next(iter(rows.values()))
        references, unfit = _fit_references(prepared, modality)
        results[str(modality)] = LabelResults(
            num_known=int(first.known.sum()),
            unfit_references=unfit,
            variants={
                name: LabelVariantResults(
                    trajectories=evaluate_trajectories(own),
                    moves=moves[name][str(modality)],
                    flipped=json_numbers(flipped_share(row, own.annotated) for row in own.best),
                )
                for name, own in rows.items()
            },
            truth=_compare_with_truth(study, rows, references) if first.known.any() else None,
        )
    return results


def _compare_with_truth(
    study: Study, rows: Mapping[str, LabelRows], references: Mapping[str, Scores]
) -> LabelTruthResults:
    first = next(iter(rows.values()))
    sources = {name: own.best for name, own in rows.items()}
    fixed = (set(references) | {COPY}) - set(sources)
    if COPY not in sources:
        sources[COPY] = first.annotated[None]
    truth = first.truth
    for name, labels in references.items():
        sources[name] = labels[None]
        truth = np.where(np.isnan(labels), math.nan, truth)  # without a fit there is no comparison
    parts = evaluate_agreement(
        {name: np.where(np.isnan(truth), 0.0, labels) for name, labels in sources.items()},
        truth,
        first.annotated,
        first.videos,
        against=tuple(dict.fromkeys((COPY, *study.against, *references))),
        fixed=fixed,
    )
    share = flipped_share(first.truth[first.known], first.annotated[first.known])
    return LabelTruthResults(contradicting=json_number(share), agreement=parts)


def _fit_references(
    prepared: PreparedCorpus, modality: Modality
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Fit the references of a modality; return their labels, and why others could not be fitted."""
    store = open_store(prepared.store)
    series = next(iter(prepared.variants.values())).config.features
    names = {Modality.AUDIO: series.audio, Modality.VIDEO: series.video}
    fitted, unfit = {}, {}
    for name in prepared.corpus.references:
        try:
            fitted[str(name)] = fit_reference(name, store, names.get(modality, str(modality)))
        except MienError as error:
            unfit[str(name)] = str(error)
    return fitted, unfit


def _evaluate_scores(study: Study, finished: Mapping[str, Sequence[SeedFolder]]) -> ScoreResults:
    """Return every metric of every task, and which variant is best on validation."""
    family = str(read_json(next(iter(finished.values()))[0].path.parent / "metrics.json")["family"])
    splits = {}
    for split, predictions in _read_predictions(finished).items():
        tasks = {str(task): _evaluate_task(study, predictions, task, family) for task in Task}
        splits[str(split)] = {task: each for task, each in tasks.items() if each is not None}
    return ScoreResults(family=family, splits=splits, best_on_valid=_best_on_valid(splits))


def _read_predictions(
    finished: Mapping[str, Sequence[SeedFolder]],
) -> dict[Split, dict[str, list[Predictions]]]:
    """Return what every variant predicts, by split."""
    splits: dict[Split, dict[str, list[Predictions]]] = {}
    for split in REPORTED_SPLITS:
        for name, seeds in finished.items():
            read = [seed.predictions(split) for seed in seeds]
            own = [each for each in read if each is not None]
            if own:
                splits.setdefault(split, {})[name] = own
    return splits


def _evaluate_targets(
    study: Study, finished: Mapping[str, Sequence[SeedFolder]]
) -> dict[str, TargetResults] | None:
    """Return the metrics of everything that is predicted besides sentiment; None if nothing is."""
    return evaluate_study_targets(_read_predictions(finished), study.against) or None


def _evaluate_task(
    study: Study, predictions: Mapping[str, Sequence[Predictions]], task: Task, family: str
) -> MetricResults | None:
    """Evaluate one task of the variants that have it; None if there is no truth."""
    having = {name: each for name, each in predictions.items() if task in each[0].scores}
    if not having:
        return None
    shared = shared_rows(having)
    name, first = next((name, each[0]) for name, each in having.items())
    at = shared[name]
    rows = evaluated_rows(first, task)[at]
    if not rows.any():
        return None
    scores = {
        name: np.stack([p.scores[task][shared[name]][rows] for p in each])
        for name, each in having.items()
    }
    unit, clusters = units_of(first, at[rows])
    return MetricResults(
        num_clips=int(rows.sum()),
        num_clusters=len(np.unique(clusters)),
        unit=unit,
        metrics={
            name: compare_sources(
                scores,
                first.targets[task][at][rows],
                METRICS[family][name],
                clusters=clusters,
                against=study.against,
            )
            for name in (METRICS[family] if task is Task.FUSION else _UNIMODAL_METRICS)
        },
    )


def _best_on_valid(splits: Mapping[str, Mapping[str, MetricResults]]) -> str | None:
    """Return the variant whose mean of the multimodal ``mae`` on validation is the lowest."""
    fusion = splits.get("valid", {}).get(str(Task.FUSION))
    if fusion is None:
        return None
    means = {
        n: source.mean for n, source in fusion.metrics["mae"].items() if source.mean is not None
    }
    return min(means, key=means.__getitem__, default=None)


def _evaluate_attention(
    study: Study, outcomes: Sequence[Outcome]
) -> dict[str, dict[str, AttentionResults]]:
    """Return, per split and modality, how much attention lies inside the known moments."""
    measured: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        if outcome.status == "finished":
            path = outcome.job.folder / "attention.json"
            seed = json.loads(path.read_text(encoding="utf-8"))
            measured.setdefault(outcome.job.variant, []).append(seed)
    results: dict[str, dict[str, AttentionResults]] = {}
    for split in REPORTED_SPLITS:
        for modality in Modality:
            shares = {
                name: [seed[split][modality] for seed in seeds if modality in seed.get(split, {})]
                for name, seeds in measured.items()
            }
            shares = {name: seeds for name, seeds in shares.items() if seeds}
            if shares:
                results.setdefault(str(split), {})[str(modality)] = _compare_shares(study, shares)
    return results


def _compare_shares(
    study: Study, shares: Mapping[str, Sequence[Mapping[str, Any]]]
) -> AttentionResults:
    variants = {
        name: np.array([[math.nan if v is None else v for v in seed["inside"]] for seed in seeds])
        for name, seeds in shares.items()
    }
    silent = tuple(name for name, rows in variants.items() if np.isnan(rows).all())
    variants = {name: rows for name, rows in variants.items() if name not in silent}
    first = next(iter(shares.values()))[0]
    uniform = np.array(first["uniform"], dtype=np.float64)
    videos = np.array([video_of(name) for name in first["ids"]])
    shared = np.ones(len(uniform), dtype=bool)
    for rows in variants.values():
        shared &= ~np.isnan(rows).any(axis=0)  # a clip without any attention has no share
    num_clips = int(shared.sum())
    mean = float(uniform[shared].mean()) if num_clips else None
    if not num_clips or not variants:
        return AttentionResults(
            num_clips=num_clips, without_attention=silent, uniform=mean, metrics={}
        )
    clusters = clusters_of(videos[shared])
    return AttentionResults(
        num_clips=num_clips,
        without_attention=silent,
        uniform=mean,
        metrics={
            name: compare_sources(
                {variant: rows[:, shared] for variant, rows in variants.items()},
                uniform[shared],
                metric,
                clusters=clusters,
                against=study.against,
            )
            for name, metric in ATTENTION_METRICS.items()
        },
        num_clusters=len(np.unique(clusters)),
    )
