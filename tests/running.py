"""Commands of mien in a process of their own, one after the other, so that it loads torch once."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

#: Few bootstrap samples and no figures: both take seconds, and are tested elsewhere.
PROGRAM = """
import json, sys
import mien.evaluation.bootstrap, mien.reports.figures.run
from mien.cli import main

mien.evaluation.bootstrap.RESAMPLES = 40
mien.reports.figures.run.draw_figures = lambda *_, **__: []
for words in json.loads(sys.argv[1]):
    code = main(words)
    for stream, end in ((sys.stdout, f"{code}\\0"), (sys.stderr, "\\0")):
        stream.write(f"\\0{end}")
        stream.flush()
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def run_commands(folder, *commands, path):
    """Run commands in a folder, with ``path`` before all else on Python's path; what each said."""
    words = json.dumps([[str(word) for word in words] for words in commands])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said, errors = done.stdout.split("\0")[:-1], done.stderr.split("\0\0")[:-1]
    return [
        Answer(int(code), out, err)
        for out, code, err in zip(said[::2], said[1::2], errors, strict=True)
    ]
