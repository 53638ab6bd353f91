"""The feature files that are published, known by their hashes."""

from typing import NamedTuple

from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.errors import CorpusError

__all__ = ["CORPORA", "PUBLISHED", "Published", "identify"]


class Published(NamedTuple):
    """A published file."""

    corpus: str
    title: str


#: The published files, by their SHA-1 (first release) and SHA-256 (newer release).
PUBLISHED: dict[str, Published] = {
    "5da0b8440fc5a7c3a457859af27458beb993e088": Published("mosi", "CMU-MOSI unaligned_50.pkl"),
    "5c62b896619a334a7104c8bef05d82b05272c71c": Published("mosi", "CMU-MOSI aligned_50.pkl"),
    "db3e2cff4d706a88ee156981c2100975513d4610": Published("mosei", "CMU-MOSEI unaligned_50.pkl"),
    "ef49589349bc1c2bc252ccc0d4657a755c92a056": Published("mosei", "CMU-MOSEI aligned_50.pkl"),
    "a00c73e92f66896403c09dbad63e242d5af756f8": Published("sims", "CH-SIMS unaligned_39.pkl"),
    "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524": Published(
        "mosi", "CMU-MOSI unaligned, newer release"
    ),
    "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9": Published(
        "mosi", "CMU-MOSI aligned, newer release"
    ),
    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": Published(
        "mosei", "CMU-MOSEI unaligned, newer release"
    ),
    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": Published(
        "mosei", "CMU-MOSEI aligned, newer release"
    ),
    "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f": Published(
        "sims", "CH-SIMS unaligned, newer release"
    ),
}

#: Corpora of which feature files are published; of CH-SIMS v2 no hashes are.
CORPORA = (*sorted({published.corpus for published in PUBLISHED.values()}), "sims2")


def identify(file: FeatureFile, corpus: str) -> dict[str, str]:
    """Return where a file comes from: its name, its hashes, and which published file it is.

    Raises:
        CorpusError: If it is a published file of another corpus.
    """
    sha256, sha1 = file.compute_hashes()
    published = PUBLISHED.get(sha1) or PUBLISHED.get(sha256)
    if published is not None and published.corpus != corpus:
        raise CorpusError(
            f"{file.path}: is {published.title}, not a file of {corpus!r}; "
            f"use --corpus {published.corpus}"
        )
    title = published.title if published else None
    return {
        "file": file.path.name,
        "sha256": sha256,
        "sha1": sha1,
        "published": title or "unknown: not one of the files whose hashes are published",
    }
