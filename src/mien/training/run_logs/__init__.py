"""What a training logs for other programs to show.

``epoch_table`` writes every epoch as a row of CSV, always. The others are listeners, where they are
asked for: ``run_log`` is what they share, ``tensorboard_log`` and ``mlflow_log`` write for these
programs, the latter through ``mlflow_tracking``.
"""

from typing import TYPE_CHECKING

from mien.errors import ConfigError, name_known

if TYPE_CHECKING:
    from mien.training.run_logs.run_log import RunLog

__all__ = ["open_log"]


def open_log(name: str) -> "RunLog":
    """Return the listener that logs a training for a program: ``tensorboard`` or ``mlflow``.

    Raises:
        ConfigError: If there is no such log, or the program is not installed.
    """
    if name == "tensorboard":
        from mien.training.run_logs.tensorboard_log import TensorBoardLog

        return TensorBoardLog()
    if name == "mlflow":
        from mien.training.run_logs.mlflow_log import MlflowLog

        return MlflowLog()
    raise ConfigError(f"--log {name!r}: {name_known(name, ('tensorboard', 'mlflow'))}")
