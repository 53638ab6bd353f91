"""The process that works on clips: settings on the first line of stdin, then a clip a line."""

import contextlib
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping

from mien.errors import AssetError, ConfigError, MienError
from mien.extraction.clip import ClipTask, ExtractionSettings, Tools, build_tools, extract_clip
from mien.extraction.clip_results import ClipFacts, write_result
from mien.extraction.extractors import Features
from mien.extraction.processes.supervisor import AUTO_LIMIT, AUTO_SHARE, IDLE_CODE, ClipOutcome
from mien.files.atomic import is_disk_full

__all__ = ["main"]

#: Seconds after the limit at which a worker that nobody could end ends itself.
_GRACE = 30.0
#: Seconds without work after which a worker ends; another is started if need be.
_IDLE = 120.0

Answer = Callable[[ClipOutcome], None]


def main() -> int:
    """Be a worker, until there is no more work or nobody who gives any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print do not disturb the answers
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_follow, args=(lines,), daemon=True).start()

    def answer(outcome: ClipOutcome) -> None:
        answers.write(outcome.model_dump_json() + "\n")
        answers.flush()

    try:
        tools = _build(ExtractionSettings.model_validate_json(lines.get()))
    except (MienError, MemoryError) as error:
        answer(ClipOutcome(state="failed", reason=_describe_error(error)))
        return 2
    answer(ClipOutcome(state="ready"))
    with contextlib.suppress(queue.Empty):
        while True:
            message = json.loads(lines.get(timeout=_IDLE))
            task = ClipTask.model_validate(message["task"])
            outcome = _work(task, message["limit"], tools, answer)
            faulthandler.cancel_dump_traceback_later()
            answer(outcome)
    return IDLE_CODE


def _follow(lines: "queue.SimpleQueue[bytes]") -> None:
    """Read lines; at their end the parent is gone: end, with every program that we started."""
    rest = b""
    while block := os.read(0, 1 << 16):  # sys.stdin would be locked when this process ends
        *complete, rest = (rest + block).split(b"\n")
        for line in complete:
            lines.put(line)
    os.killpg(0, signal.SIGKILL)


def _build(settings: ExtractionSettings) -> Tools:
    if settings.encoder:
        import torch

        torch.set_num_threads(1)
    return build_tools(settings)


def _work(task: ClipTask, limit: float | None, tools: Tools, answer: Answer) -> ClipOutcome:
    try:
        facts, series = _extract(task, limit, tools, answer)
        write_result(task.out, facts, series)
    except (MemoryError, AssetError, ConfigError) as error:
        return ClipOutcome(state="failed", reason=_describe_error(error))
    except OSError as error:
        return ClipOutcome(state="failed", reason=_as_text(f"{task.out.parent}: {error.strerror}"))
    return ClipOutcome(state="done", seconds=facts.seconds, is_skipped=bool(facts.reason))


def _extract(
    task: ClipTask, limit: float | None, tools: Tools, answer: Answer
) -> tuple[ClipFacts, Mapping[str, Features]]:
    """Make the series of a clip; what is wrong with this clip alone is the reason to skip it."""
    try:
        if limit is None:
            seconds = _measure(task)
            answer(ClipOutcome(state="length", seconds=seconds))
            limit = AUTO_LIMIT + AUTO_SHARE * seconds
        # ends this process even where native code holds the interpreter and the parent is gone
        faulthandler.dump_traceback_later(limit + _GRACE, exit=True)
        return extract_clip(task, tools)
    except (AssetError, ConfigError):
        raise
    except OSError as error:
        if is_disk_full(error):
            raise
        return ClipFacts(reason=error.strerror or type(error).__name__), {}
    except MienError as error:
        return ClipFacts(reason=_as_text(str(error).removeprefix(f"{task.path}: "))), {}


def _measure(task: ClipTask) -> float:
    """Return how long a clip is, as far as the file says it; 0 if it does not."""
    if task.end is not None:
        return max(0.0, task.end - task.start)
    from mien.extraction.media import probe

    duration = probe(task.path).duration
    return 0.0 if duration is None else max(0.0, duration - task.start)


def _describe_error(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "a worker ran out of memory; take fewer jobs (--jobs)"
    return _as_text(str(error))


def _as_text(reason: str) -> str:
    """Return a reason as UTF-8 can hold it; it may name a file whose name is no text."""
    return reason.encode("utf-8", "backslashreplace").decode("utf-8")


if __name__ == "__main__":
    sys.exit(main())
