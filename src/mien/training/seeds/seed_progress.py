"""How seeds go on that are trained in other processes, as the files that they write tell."""

from mien.training.listening import EpochRecord, RunListener
from mien.training.run_folder import SeedFolder
from mien.training.settings import TrainConfig

__all__ = ["SeedProgress"]


class SeedProgress:
    """Notifies a listener of seeds that begin and end, and of their epochs.

    Args:
        listener: Is notified.
    """

    def __init__(self, listener: RunListener) -> None:
        self._listener = listener
        self._running: dict[SeedFolder, _Epochs] = {}
        self._fold: str | None = None

    def begin(self, folder: SeedFolder, config: TrainConfig, fold: str | None) -> None:
        """Note that a seed begins, or goes on: one of those that the settings name."""
        epochs = self._running[folder] = _Epochs(folder, config, fold)
        self._name(epochs)
        self._listener.on_seed(folder.seed, *epochs.place())

    def look(self) -> None:
        """Notify the listener of the epochs that have ended since the last look."""
        for folder, epochs in self._running.items():
            for record in epochs.read_new():
                self._name(epochs)
                self._listener.on_seed_epoch(folder.seed, record, epochs.config)

    def end(self, folder: SeedFolder) -> None:
        """Note that a seed has ended."""
        epochs = self._running.pop(folder)
        self._name(epochs)
        self._listener.on_seed_end(folder.seed, *epochs.place())

    def _name(self, epochs: "_Epochs") -> None:
        """Notify the listener of the fold that comes next, if that is another one."""
        if epochs.fold is not None and epochs.fold != self._fold:
            self._fold = epochs.fold
            self._listener.on_fold(epochs.fold)


class _Epochs:
    """The epochs of a seed, from its ``epochs.jsonl``, which is replaced after each."""

    def __init__(self, folder: SeedFolder, config: TrainConfig, fold: str | None) -> None:
        self.config, self.fold = config, fold
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._num_read = 0
        self.read_new()

    def place(self) -> tuple[int, int]:
        """Return the number of the seed among those of the settings, and how many these are."""
        seeds = self.config.seeds
        return seeds.index(self._folder.seed) + 1, len(seeds)

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
