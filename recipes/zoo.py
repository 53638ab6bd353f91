"""Train every model on the same stores with the same budget, and write their table.

    python recipes/zoo.py RUNS OUT.md --store STORE ... [--model NAME ...] [--seeds 1111-1115]
        [--trials 0] [--jobs 1] [--epochs 40] [--patience 8] [--set SECTION.SETTING=VALUE ...]

Every model has the settings that come with it for the corpus, and if there are none, those for any
corpus. The text encoder is frozen, so that its states are computed once, and their mean is its
summary of a text: nothing trains the first state to be one. With ``--trials N`` settings are tuned
first, as ``mien tune`` does: N trials of each model on validation, with the first seed. Trials,
seeds, epochs and patience are the same for all.

Runs are kept in RUNS/STORE-MODEL: one that is there is not trained again, and one that was stopped
goes on. OUT.md gets a table for each store: metrics on test with their deviation over the seeds,
beside them the error of the median of train, the p value of the difference to the first model with
Holm's correction, parameters that are trained, and the time of an epoch; and which settings the
tuning changed. Of several stores it gets an overview first: error and rank of every model on each,
and the mean rank of those that can be trained on all. ``--overview FILE`` writes the overview alone
into a file of its own as well.
"""

import argparse
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mien.cli.options import read_seeds
from mien.config import flatten_settings
from mien.data.store import Store, open_store
from mien.errors import ConfigError, MienError
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.significance import SeedSummary
from mien.files.atomic import write_text
from mien.reports.comparison import RunComparison, compare_runs
from mien.reports.text import format_p, format_value, label_metric, markdown_table, name_corpus
from mien.training.experiment import train
from mien.training.loading import load_model
from mien.training.preparation import build, prepare
from mien.training.run_folder import RunFolder, open_run
from mien.training.settings import ExperimentConfig, list_configs, read_config
from mien.tuning.space import default_space
from mien.tuning.tune import tune
from mien.tuning.tune_settings import Budget as TrialBudget
from mien.types import Task

logger = logging.getLogger("zoo")

#: In the order of the table; the first is what all are compared with.
MODELS = (
    *("ridge", "trees", "self_mm-text", "self_mm-audio", "self_mm-video"),
    *("ef_lstm", "lf_dnn", "tfn", "lmf", "mfn", "graph_mfn", "mult", "misa", "mmim", "bert_mag"),
    *("cenet", "tetfn", "almt", "tfr_net", "mlf_dnn", "mlmf", "mtfn", "self_mm", "tam_ulag"),
)
#: Settings for any corpus, of models whose own are for one.
_ANY_CORPUS = {"self_mm": "self_mm-planted", "tam_ulag": "tam_ulag-planted"}
#: Models that read all states of a text, and no summary of it.
_NO_SUMMARY = ("ridge", "trees", "ef_lstm", "lf_dnn", "tfn", "lmf", "mfn", "graph_mfn", "mult")
_RANKED, _SIGNIFICANT = "mae", 0.05


class Measured(NamedTuple):
    """The models of a store, by name.

    Attributes:
        title: Name of the corpus.
        errors: Mean absolute error on test, over the seeds.
        p_values: Of the difference to the first model, corrected; that of the first is 1.
    """

    title: str
    errors: Mapping[str, SeedSummary]
    p_values: Mapping[str, float]

    @property
    def places(self) -> dict[str, int]:
        """The place of each model by its mean absolute error, from 1."""
        by_error = sorted(self.errors, key=lambda model: self.errors[model].mean)
        return {model: place for place, model in enumerate(by_error, 1)}


class Budget(NamedTuple):
    """What is the same for every model.

    Attributes:
        seeds: One training each.
        epochs: Most epochs.
        patience: Epochs without a better one on valid before a training stops.
        overrides: Further settings, as ``--set`` takes them.
        trials: Settings that are tried on validation, those that come with the model included;
            0 leaves them as they come.
        jobs: How many trials, and then seeds, are trained at the same time.
    """

    seeds: Sequence[int]
    epochs: int
    patience: int
    overrides: Sequence[str] = ()
    trials: int = 0
    jobs: int = 1

    def describe(self) -> str:
        """Return what every model gets, in words."""
        tuned = f"the best of {self.trials} settings on validation (one seed each)"
        return (
            f"The same for every model: {tuned if self.trials else 'settings as they come'}, at "
            f"most {self.epochs} epochs, patience {self.patience}, a frozen text encoder, "
            f"{len(self.seeds)} seeds."
        )


def choose_settings(model: str, corpus: str, budget: Budget) -> ExperimentConfig:
    """Return the settings of a model for a corpus, with the common budget."""
    names = (f"{model}-{corpus}", model, _ANY_CORPUS.get(model, model))
    name = next(one for one in names if one in list_configs())
    common = [
        *("text_encoder.mode=frozen", "text_encoder.summary=mean"),
        *(f"corpus={corpus}", "targets.use=[]"),
        *(f"train.seeds={list(budget.seeds)}", f"train.patience={budget.patience}"),
        *([] if model in ("ridge", "trees") else [f"train.epochs={budget.epochs}"]),
    ]
    return read_config(name, [*common, *budget.overrides])


def tune_settings(
    config: ExperimentConfig, model: str, store: Store, out: Path, budget: Budget
) -> ExperimentConfig:
    """Return the best settings of a model on validation, of as many as the budget allows."""
    tried = TrialBudget(trials=budget.trials, seeds=(budget.seeds[0],))
    space = default_space(config)
    report = tune({model: (config, space)}, store.path, out, budget=tried, jobs=budget.jobs)
    (best,) = report.models
    return best.best_config


def train_models(
    runs: Path, store: Store, models: Sequence[str], budget: Budget
) -> dict[str, RunFolder]:
    """Return a finished run of every model that can be trained on a store.

    Raises:
        ConfigError: If a tuning that is there was begun with other settings.
        CheckpointError: If a run that was stopped was.
    """
    made = {}
    for model in models:
        config = choose_settings(model, store.meta.name, budget)
        folder = runs / f"{store.path.name}-{model}"
        if (folder / "metrics.json").is_file():
            run = open_run(folder)
            if {seed.seed for seed in run.seeds} >= set(budget.seeds):
                warn_of_others(run, config)
                made[model] = run
                continue
        try:
            build(prepare(store, config), config)
        except ConfigError as error:  # it has no use for what the store has
            logger.warning("%s on %s is left out: %s", model, store.path, error)
            continue
        if budget.trials:
            tuning = folder.with_name(f"{folder.name}-tuning")
            config = tune_settings(config, model, store, tuning, budget)
        made[model] = train(config, store, folder, resume=folder.exists(), jobs=budget.jobs)
    return made


def list_chosen(run: RunFolder, config: ExperimentConfig) -> tuple[list[str], list[str]]:
    """Return how a run's settings differ from others: in what is tuned of its model, and beyond."""
    ranges = default_space(config).ranges
    tuned = {name for each in ranges for name in (each.name, *each.also)}
    given = dict(flatten_settings(config.model_dump()))
    changed = {
        name: f"{name} {_show(value)}"
        for name, value in flatten_settings(run.config.model_dump())
        if value != given.get(name) and name != "train.seeds"
    }
    return (
        [text for name, text in changed.items() if name in tuned],
        [text for name, text in changed.items() if name not in tuned],
    )


def warn_of_others(run: RunFolder, config: ExperimentConfig) -> None:
    """Log which settings of a run that is there are others than it would be trained with now."""
    _, others = list_chosen(run, config)
    if config.model.name in _NO_SUMMARY:
        others = [text for text in others if not text.startswith("text_encoder.summary ")]
    if config.text_encoder.input == "none":
        others = [text for text in others if not text.startswith("text_encoder.")]
    if others:
        logger.warning(
            "%s was trained with %s, which is otherwise now; remove it and its tuning to train it "
            "anew", run.path, ", ".join(others),
        )  # fmt: skip


def count_trained(run: RunFolder, store: Store) -> int:
    """Return how many parameters the model of a run has that are trained."""
    model, _ = load_model(run.path, store)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def constant_error(store: Store) -> float:
    """Return the mean absolute error on test of the median of train, said of every clip."""
    labels = store.clips.labels(Task.FUSION)
    median = np.nanmedian(labels[store.rows("train")])
    return float(np.nanmean(np.abs(labels[store.rows("test")] - median)))


def epoch_seconds(run: RunFolder) -> float:
    """Return the mean time of an epoch of a run."""
    times = [record["seconds"] for seed in run.seeds for record in seed.epochs()]
    return sum(times) / len(times)


def read_measured(compared: RunComparison, models: Sequence[str]) -> Measured:
    """Return what a comparison of the models says about their mean absolute error."""
    rows = dict(zip(models, compared.metrics[_RANKED], strict=True))
    return Measured(
        title=name_corpus(compared.corpus, is_synthetic=compared.is_synthetic),
        errors={model: row.seeds for model, row in rows.items()},
        p_values={m: 1.0 if m == models[0] else row.p_corrected for m, row in rows.items()},
    )


def store_table(store: Store, runs: Mapping[str, RunFolder]) -> tuple[str, Measured]:
    """Return the table of a store, and what it says about the errors of the models."""
    models = list(runs)
    compared = compare_runs([run.path for run in runs.values()])
    measured, metrics = read_measured(compared, models), METRICS[compared.family]
    places = measured.places
    heading = [
        "",
        *(label_metric(name, compared.family) for name in metrics),
        f"p against {models[0]}",
        "rank",
        "trained parameters",
        "seconds an epoch",
    ]
    rows = []
    for place, (model, run) in enumerate(runs.items()):
        cells = [_spread(compared.metrics[name][place].seeds, metrics[name]) for name in metrics]
        rows.append([
            model, *cells, "" if place == 0 else format_p(measured.p_values[model]),
            str(places[model]), f"{count_trained(run, store):,}", f"{epoch_seconds(run):.2f}",
        ])  # fmt: skip
    seeds, constant = compared.num_seeds[0], format_value(constant_error(store), None)
    title = (
        f"**{measured.title}**, test, {compared.num_clips} clips, {seeds} seeds; the median of "
        f"train, said of every clip, has a mae of {constant}:"
    )
    return f"{title}\n\n{markdown_table(heading, rows)}", measured


def settings_table(store: Store, runs: Mapping[str, RunFolder], budget: Budget) -> str:
    """Return which settings of each model the tuning changed, and to what."""
    rows = []
    for model, run in runs.items():
        chosen, _ = list_chosen(run, choose_settings(model, store.meta.name, budget))
        rows.append([model, ", ".join(chosen) or "none"])
    heading = ["", "settings that were chosen on validation, others as they come"]
    return markdown_table(heading, rows, num_words=2)


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def overview(stores: Sequence[Measured], models: Sequence[str]) -> str:
    """Return error and rank of every model on each store, and the mean rank of those on all."""
    everywhere = [model for model in models if all(model in one.errors for one in stores)]
    among = [
        one._replace(errors={model: one.errors[model] for model in everywhere}).places
        for one in stores
    ]
    mean_ranks = {m: f"{sum(places[m] for places in among) / len(among):.1f}" for m in everywhere}
    rows = [
        [model, *(_place_cell(one, model) for one in stores), mean_ranks.get(model, "")]
        for model in models
        if any(model in one.errors for one in stores)
    ]
    heading = ["", *(f"{one.title}, {len(one.errors)} models" for one in stores), "mean rank"]
    return (
        "Mean absolute error on test, mean ± deviation over the seeds; in brackets the rank on the "
        f"corpus; \\*: differs from {models[0]} with a corrected p below {_SIGNIFICANT}. The mean "
        f"rank is among the {len(everywhere)} models that can be trained on every corpus."
        f"\n\n{markdown_table(heading, rows)}"
    )


def _place_cell(measured: Measured, model: str) -> str:
    if model not in measured.errors:
        return ""
    mark = " \\*" if measured.p_values[model] < _SIGNIFICANT else ""
    return f"{_spread(measured.errors[model])} ({measured.places[model]}){mark}"


def _spread(seeds: SeedSummary, metric: Metric | None = None) -> str:
    mean = format_value(seeds.mean, metric)
    if math.isnan(seeds.deviation):
        return mean
    return f"{mean} ± {format_value(seeds.deviation, metric)}"


def write_tables(
    runs: Path,
    out: Path,
    stores: Sequence[Store],
    models: Sequence[str],
    budget: Budget,
    alone: Path | None = None,
) -> None:
    """Train what is not trained yet, and write the tables of all stores and the overview.

    Args:
        runs: Folder of the runs.
        out: The file that is written.
        stores: What is trained on.
        models: Their names; what cannot be trained on a store is left out there.
        budget: What is the same for every model.
        alone: A further file, with the overview alone.
    """
    tables: list[str] = []
    measured: list[Measured] = []
    for store in stores:
        made = train_models(runs, store, models, budget)
        table, errors = store_table(store, made)
        tables.append(table)
        measured.append(errors)
        if budget.trials:
            tables.append(settings_table(store, made, budget))
    parts = [
        f"{budget.describe()} The rank is by mean absolute error; p is that of its "
        f"difference to {models[0]}, paired over clips or videos and seeds, with Holm's correction."
    ]
    ranks = overview(measured, models)
    if len(stores) > 1:
        parts.append(ranks)
    write_text(out, "\n\n".join([*parts, *tables]) + "\n")
    if alone is not None:
        write_text(alone, f"{budget.describe()}\n\n{ranks}\n")


def main() -> None:
    """Read the command line, train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--store", action="append", required=True)
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--seeds", default="1111-1115")
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--patience", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--overview", type=Path)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    budget = Budget(
        *(read_seeds(given.seeds), given.epochs, given.patience, given.overrides),
        *(given.trials, given.jobs),
    )
    stores = [open_store(path) for path in given.store]
    try:
        models = given.model or MODELS
        write_tables(given.runs, given.out, stores, models, budget, given.overview)
    except MienError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
