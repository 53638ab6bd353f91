"""Small trainings, and what watches or stops them."""

import numpy as np
import torch
from helpers import AUDIO, SIZES, make_annotation, make_generator, make_model, make_split

from mien.training.data_parallel.ranks import ALONE
from mien.training.objective import MultitaskObjective
from mien.training.settings import TrainConfig
from mien.training.trainer import Trainer
from mien.types import Modality, Task

STATES = dict(zip(Task, (12, 8, 8, 8), strict=True))
RATES = {"text": 1e-2, "audio": 1e-2, "video": 1e-2, "rest": 1e-2, "labels": 1e-2}


def make_clips(seed, num_clips, *, missing=False):
    random = np.random.default_rng(seed)
    arrays = {
        m: [
            random.normal(
                size=(0 if missing and m is AUDIO and i % 3 == 0 else 1 + i % 4, SIZES[m])
            ).astype(np.float32)
            for i in range(num_clips)
        ]
        for m in Modality
    }
    return make_split(make_annotation(seed, num_clips).tolist(), arrays)


def make_trainer(
    folder, *, generator="ulag", seed=1, missing=False, model=None, ranks=ALONE, **options
):
    train = make_clips(1, 14, missing=missing)
    config = TrainConfig(
        **{"epochs": 3, "batch_size": 3, "accumulate": 2, "device": "cpu",
           "learning_rate": RATES, **options}
    )  # fmt: skip
    annotated = train.labels[Task.FUSION]
    sizes = STATES if model is None else model.state_sizes
    labels = make_generator(generator, annotated, sizes=sizes, seed=seed)
    folder.mkdir(exist_ok=True)
    return Trainer(
        model=model or make_model(seed=seed),
        objective=MultitaskObjective(labels),
        train=train,
        valid=make_clips(2, 7, missing=missing),
        family="mosi",
        config=config,
        seed=seed,
        folder=folder,
        header={"corpus": "tiny"},
        ranks=ranks,
    )


def follow(trainer):
    """Train, and return what came of it: the losses of every batch, the labels, the weights."""
    losses, add_gradient = [], trainer.add_gradient

    def record(*given):
        tasks = add_gradient(*given)
        losses.append([float(loss) for loss in tasks.values()])
        return tasks

    trainer.add_gradient = record
    labels, run_epoch = [], trainer.validate

    def validate(epoch):
        generator = trainer.objective.labels
        labels.append(torch.stack([generator.latest(m) for m in generator.modalities]).numpy())
        return run_epoch(epoch)

    trainer.validate = validate
    trainer.run()
    return {
        "losses": np.array(losses),
        "labels": np.stack(labels),
        "valid": np.array([list(record.valid.values()) for record in trainer.history]),
        "clipped": np.array([record.clipped for record in trainer.history]),
        **{f"state/{k}": v.numpy() for k, v in trainer.model.state_dict().items()},
        **{f"buffer/{k}": v.detach().numpy() for k, v in trainer.objective.state_dict().items()},
    }


class Steps:
    """Record the gradient of every optimizer step, and the progress that a listener gets."""

    def __init__(self, trainer):
        self.gradients, self.progress = [], []
        trainer.optimizer.register_step_pre_hook(self.record)
        self.parameters = [p for g in trainer.optimizer.param_groups for p in g["params"]]

    def record(self, *_):
        self.gradients.append(
            [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.parameters]
        )

    def on_step(self, epoch, done, total):
        self.progress.append((epoch, done, total))

    def on_evidence(self, epoch, done, total):
        pass

    def on_epoch(self, record, config):
        self.progress.append((record, config))


class Stop:
    """Interrupt a training after an epoch, or inside one after some clips.

    Args:
        epoch: The epoch.
        done: How many of its clips; None for its end.
        seed_number: Which of the seeds that come so far.
    """

    def __init__(self, epoch, done=None, *, seed_number=1):
        self.epoch, self.done, self.left = epoch, done, seed_number

    def on_step(self, epoch, done, total):
        assert done <= total
        if self.done is not None and (epoch, done) == (self.epoch, self.done):
            self.count()

    def on_evidence(self, epoch, done, total):
        pass

    def on_epoch(self, record, config):
        assert config.epochs
        if self.done is None and record.epoch == self.epoch:
            self.count()

    def count(self):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def assert_same_run(first, second, seeds=(1,)):
    """Whatever does not hold a time or a path is the same, byte for byte."""
    assert (first / "metrics.json").read_bytes() == (second / "metrics.json").read_bytes()
    for seed in seeds:
        one, two = (run / f"seed-{seed}" for run in (first, second))
        names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
        assert names == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
        for name in names:
            if name.stem != "epochs":
                assert (one / name).read_bytes() == (two / name).read_bytes(), name
