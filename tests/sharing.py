"""Folders that take long to make, made once for all processes in which the tests run."""

import os
import shutil

from filelock import FileLock


def make_once(factory, name, make):
    """Return the folder that ``make(folder)`` fills, unless another process of the run has.

    Args:
        factory: pytest's ``tmp_path_factory``.
        name: Of the folder; each has its own.
        make: Fills it; it is empty.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
