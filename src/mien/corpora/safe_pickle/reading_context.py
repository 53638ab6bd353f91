"""What all parts of the reader of one pickle share: file, memory still allowed, and errors."""

from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.errors import CorpusError

__all__ = ["MOST_MEMORY", "PickleContext"]

#: Estimated bytes of all values outside arrays; the published files need a tenth of it.
MOST_MEMORY = 400 << 20


class PickleContext:
    """What all parts of the reader share: the file, the memory still allowed, and the errors.

    Args:
        file: The file that is read.
    """

    def __init__(self, file: FeatureFile) -> None:
        self.file = file
        self.memory = MOST_MEMORY

    def damaged(self, what: str) -> CorpusError:
        """Return the error for a file that makes no sense."""
        return CorpusError(
            f"{self.file.path}: is damaged at byte {self.file.position - 1}: {what}; get it again"
        )

    def refused(self, what: str) -> CorpusError:
        """Return the error for a file that wants more than arrays and plain containers."""
        return CorpusError(
            f"{self.file.path}: {what}, which is neither a NumPy array nor a plain container; "
            "nothing in it was executed; get the file from a source that you trust"
        )

    def charge(self, count: int) -> None:
        """Count bytes of memory before they are used.

        Raises:
            CorpusError: If there are too many.
        """
        self.memory -= count
        if self.memory < 0:
            raise CorpusError(
                f"{self.file.path}: would fill more than {MOST_MEMORY >> 20} MB with small "
                "values; save the features as NumPy arrays"
            )
