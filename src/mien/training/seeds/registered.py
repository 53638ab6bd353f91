"""Work for other processes, with the models and corpora that were registered in this one."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from mien.corpora import KNOWN
from mien.models import MODELS
from mien.plugins import with_added
from mien.processes.clusters import Cluster
from mien.training.settings import ExperimentConfig

__all__ = ["with_registered"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def with_registered(
    work: Callable[[Item], Result],
    configs: Iterable[ExperimentConfig],
    *,
    jobs: int,
    cluster: Cluster | None,
) -> Callable[[Item], Result]:
    """Return work that knows what was registered in this process, wherever it is done.

    Args:
        work: The work; a function of a module.
        configs: All settings that it trains.
        jobs: How many processes do it; a single one of this machine is this process.
        cluster: Where; None for this machine.

    Raises:
        PluginError: If a model of them cannot be imported by other processes.
    """
    if jobs == 1 and cluster is None:
        return work
    models = {config.model.name for config in configs}
    return with_added(work, (MODELS, models), (KNOWN, set(KNOWN)), is_far=cluster is not None)
