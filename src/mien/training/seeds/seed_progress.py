"""How seeds go on that are trained in other processes, as the files that they write tell."""

from mien.training.listening import EpochRecord, RunListener
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.settings import TrainConfig

__all__ = ["SeedProgress"]


class SeedProgress:
    """Notifies a listener of seeds that begin and end, and of their epochs.

    Args:
        run: The run.
        config: Names its seeds.
        listener: Is notified.
    """

    def __init__(self, run: RunFolder, config: TrainConfig, listener: RunListener) -> None:
        self._run, self._config, self._listener = run, config, listener
        self._running: dict[int, _Epochs] = {}

    def begin(self, seed: int) -> None:
        """Note that a seed begins, or goes on."""
        self._running[seed] = _Epochs(self._run.seed(seed))
        self._listener.on_seed(seed, *self._place(seed))

    def look(self) -> None:
        """Notify the listener of the epochs that have ended since the last look."""
        for seed, epochs in self._running.items():
            for record in epochs.read_new():
                self._listener.on_seed_epoch(seed, record, self._config)

    def end(self, seed: int) -> None:
        """Note that a seed has ended."""
        del self._running[seed]
        self._listener.on_seed_end(seed, *self._place(seed))

    def _place(self, seed: int) -> tuple[int, int]:
        seeds = self._config.seeds
        return seeds.index(seed) + 1, len(seeds)


class _Epochs:
    """The epochs of a seed, from its ``epochs.jsonl``, which is replaced after each."""

    def __init__(self, folder: SeedFolder) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._num_read = 0
        self.read_new()

    def read_new(self) -> list[EpochRecord]:
        """Return the epochs that were not there at the last call."""
        path = self._folder.path / "epochs.jsonl"
        try:
            stat = path.stat()
        except FileNotFoundError:
            return []
        if (seen := (stat.st_mtime_ns, stat.st_ino)) == self._seen:
            return []
        lines = self._folder.epochs()
        new = [EpochRecord(**line) for line in lines[self._num_read :]]
        self._seen, self._num_read = seen, len(lines)
        return new
