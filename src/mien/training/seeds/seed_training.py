"""One seed: its labels, model and training, and what it leaves in its folder."""

import torch

from mien.errors import DivergenceError
from mien.labels import GENERATORS
from mien.models.zoo.clip_means.clip_means_model import ClipMeansModel
from mien.training.data_parallel.ranks import ALONE, Ranks
from mien.training.listening import RunListener
from mien.training.loading import Start, take_over
from mien.training.objective import make_objective
from mien.training.out_of_fold import cross_fit
from mien.training.preparation import Prepared, build, fit_scales
from mien.training.record import make_header, record_failure, record_seed
from mien.training.run_folder import SeedFolder
from mien.training.seeds.fitting import FitTrainer
from mien.training.settings import ExperimentConfig
from mien.training.targets.target_objective import start_at_constants
from mien.training.trainer import Trainer

__all__ = ["has_ended", "train_and_record", "train_seed"]


def has_ended(seed: SeedFolder) -> bool:
    """Return whether there is nothing left to do for a seed: it is finished, or it diverged."""
    return seed.is_finished or seed.failure is not None


def train_and_record(
    folder: SeedFolder,
    config: ExperimentConfig,
    prepared: Prepared,
    start: Start | None,
    listener: RunListener,
    ranks: Ranks = ALONE,
) -> None:
    """Train one seed, and write what it leaves: its evaluation, or why it diverged.

    Args:
        folder: Where its files are; a training that was stopped there goes on.
        config: The settings.
        prepared: The data.
        start: Weights to start from.
        listener: Is notified of the progress.
        ranks: The processes that train it together; the first writes.
    """
    try:
        trainer = train_seed(folder, config, prepared, start, listener, ranks)
    except DivergenceError as error:  # in all processes at the same step
        failure = error
        ranks.decide(lambda: record_failure(folder, failure))
    else:
        listener.on_stage(f"evaluating seed {folder.seed}")
        ranks.decide(lambda: _evaluate(folder, trainer, prepared))


def _evaluate(folder: SeedFolder, trainer: Trainer, prepared: Prepared) -> None:
    trainer.load_best()
    record_seed(folder, trainer, prepared)


def train_seed(
    folder: SeedFolder,
    config: ExperimentConfig,
    prepared: Prepared,
    start: Start | None,
    listener: RunListener,
    ranks: Ranks = ALONE,
) -> Trainer:
    """Train one seed, from the last epoch in its folder on, and return its training.

    Args:
        folder: Where its files are.
        config: The settings.
        prepared: The data; of them train and valid are read.
        start: Weights to start from.
        listener: Is notified of the progress.
        ranks: The processes that train it together; the first writes.

    Raises:
        DivergenceError: If it comes to numbers that are not finite.
    """
    ranks.decide(lambda: folder.path.mkdir(exist_ok=True))
    dataset, evidence = prepared.datasets["train"], None
    if GENERATORS[config.labels.generator].labels.needs_evidence:
        evidence = ranks.decide(
            lambda: cross_fit(prepared, config, seed=folder.seed, on_step=listener.on_evidence)
        )
    torch.manual_seed(folder.seed)
    model = build(prepared, config)
    objective = make_objective(
        dataset,
        model,
        config.labels,
        prepared.scale,
        aims=prepared.aims,
        targets=config.targets,
        evidence=evidence,
        loss=config.train.loss,
    )
    start_at_constants(model, [term.loss for term in objective.terms])
    if start is not None:
        text = prepared.text
        take_over(model, start, None if text is None else text.fingerprint)
    if config.model.standardise:
        fit_scales(model, dataset)
    make = FitTrainer if isinstance(model, ClipMeansModel) else Trainer
    trainer = make(
        model=model,
        objective=objective,
        train=dataset,
        valid=prepared.datasets["valid"],
        family=prepared.family,
        config=config.train,
        seed=folder.seed,
        folder=folder.path,
        header=make_header(config, prepared, start),
        ranks=ranks,
    )
    trainer.resume()
    if trainer.history:
        listener.on_resume(tuple(trainer.history))
    trainer.run(listener)
    return trainer
