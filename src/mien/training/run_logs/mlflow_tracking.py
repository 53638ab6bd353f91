"""A tracking server of MLflow, or a database of it, as far as trainings are logged there."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeVar

from mien.errors import TrainingError
from mien.files.json_values import write_json
from mien.training.run_folder import read_json

__all__ = ["LoggedNumber", "MlflowTracking"]

logger = logging.getLogger(__name__)

#: A number with its name, when it came about (in seconds since 1970; None for now), and its step.
LoggedNumber = tuple[str, float, float | None, int]
_Value = TypeVar("_Value")

_ID_FILE: Final = "mlflow.json"
_MOST_PARAMS: Final = 100  # of one request
_MOST_METRICS: Final = 1000
_LONGEST: Final = 500  # characters of a parameter that every server takes
#: Error codes for a run that a server does not have.
_UNKNOWN: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class MlflowTracking:
    """The server or database to which a training is logged, until it fails.

    Args:
        folder: The run folder, which need not exist yet.

    Raises:
        TrainingError: If the user names a server that cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        import mlflow

        self._errors = (mlflow.exceptions.MlflowException, OSError)
        self._has_failed = False
        self._ids: dict[Path, str] = {}
        self._last: dict[str, dict[str, int]] = {}  # steps that are there, by run and name
        self._client: Any = None
        self._experiment = ""
        self._uri = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
        self._local = (folder / "mlflow").resolve()
        if self._uri is not None:
            try:
                self._connect()
            except self._errors as error:
                raise TrainingError(
                    f"mlflow: the tracking server cannot be used ({_first_line(error)}); check "
                    "MLFLOW_TRACKING_URI, or do not log to mlflow"
                ) from error

    def _connect(self) -> None:
        """Connect to the server, or make the database, and find or make the experiment there."""
        import mlflow

        uri, place = self._uri, None
        if uri is None:
            self._local.mkdir(exist_ok=True)
            uri = f"sqlite:///{self._local}/mlflow.db"
            place = (self._local / "artifacts").as_uri()
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "mien"
        known = self._client.get_experiment_by_name(name)
        if known is None:
            self._experiment = str(self._client.create_experiment(name, artifact_location=place))
        else:
            self._experiment = str(known.experiment_id)

    def open(
        self, folder: Path, name: str, settings: Mapping[str, str], parent: str | None
    ) -> str | None:
        """Return the id of the run that logs a folder; it is begun, or goes on.

        The id is kept in ``mlflow.json`` of the folder.

        Args:
            folder: What it logs.
            name: What MLflow calls it.
            settings: Its parameters.
            parent: Id of the run that it belongs to.

        Returns:
            The id; None where the server fails.
        """
        if folder not in self._ids:
            run = self._attempt(lambda: self._begin(folder, name, settings, parent), None)
            if run is None:
                return None
            write_json(folder / _ID_FILE, {"run_id": run})
            self._ids[folder] = run
        return self._ids[folder]

    def _begin(
        self, folder: Path, name: str, settings: Mapping[str, str], parent: str | None
    ) -> str:
        if not self._experiment:
            self._connect()
        before = self._find_run(folder / _ID_FILE)
        if before is not None:
            self._client.update_run(before, status="RUNNING")
            return before
        tags = {"mien.version": metadata.version("mien")}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        run = str(self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id)
        self._last[run] = {}
        from mlflow.entities import Param

        params = [Param(_as_name(key), value[:_LONGEST]) for key, value in settings.items()]
        for part in _parts(params, _MOST_PARAMS):
            self._client.log_batch(run, params=part)
        return run

    def _find_run(self, path: Path) -> str | None:
        """Return the run that logs a folder, if it has one and this server knows it."""
        from mlflow.exceptions import MlflowException

        if not path.is_file():
            return None
        run = str(read_json(path).get("run_id"))
        try:
            self._client.get_run(run)
        except MlflowException as error:
            if error.error_code in _UNKNOWN:  # it is on another server, or was removed
                return None
            raise
        return run

    def log_new(self, run: str | None, numbers: Sequence[LoggedNumber]) -> None:
        """Log those numbers whose steps, or later ones, a run does not have yet."""
        if run is None:
            return
        from mlflow.entities import Metric

        last = self._last_steps(run)
        metrics = [
            Metric(key, value, int(1000 * (at or time.time())), step)
            for name, value, at, step in numbers
            if step > last.get(key := _as_name(name), -1)
        ]
        for part in _parts(metrics, _MOST_METRICS):
            self._attempt(lambda part=part: self._client.log_batch(run, metrics=part), None)  # type: ignore[misc]
        last.update({metric.key: metric.step for metric in metrics})

    def _last_steps(self, run: str) -> dict[str, int]:
        """Return the last step that a run has of each number."""
        if run not in self._last:  # it was begun by an earlier start
            data: dict[str, float] = self._attempt(
                lambda: self._client.get_run(run).data.metrics, {}
            )
            self._last[run] = {key: self._read_last(run, key) for key in data}
        return self._last[run]

    def _read_last(self, run: str, name: str) -> int:
        history: Sequence[Any] = self._attempt(
            lambda: self._client.get_metric_history(run, name), []
        )
        return max((int(metric.step) for metric in history), default=-1)

    def tag(self, run: str | None, name: str, text: str) -> None:
        """Tag a run."""
        if run is not None:
            self._attempt(lambda: self._client.set_tag(run, name, text), None)

    def end(self, run: str | None, status: str) -> None:
        """Note how a run ended: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        if run is not None:
            self._attempt(lambda: self._client.set_terminated(run, status=status), None)
            self._ids = {folder: own for folder, own in self._ids.items() if own != run}

    def stop(self) -> None:
        """Note that every run that has not ended was stopped."""
        for run in list(self._ids.values()):
            self.end(run, "KILLED")

    def _attempt(self, action: Callable[[], _Value], otherwise: _Value) -> _Value:
        """Return what an action returns; once the server has failed, do nothing any more."""
        if self._has_failed:
            return otherwise
        try:
            return action()
        except self._errors as error:
            self._has_failed = True
            logger.warning(
                "mlflow: %s; the training goes on and is no longer logged there; once it has "
                "ended, --resume --log mlflow logs what is missing",
                _first_line(error),
            )
            return otherwise


def _parts(values: Sequence[_Value], size: int) -> Iterator[Sequence[_Value]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def _as_name(name: str) -> str:
    """Return a name of the characters that MLflow takes."""
    return re.sub(r"[^/\w.\- :]", "_", name)
