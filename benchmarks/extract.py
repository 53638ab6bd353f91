"""How fast a recording becomes features, stage by stage, and how much memory a worker takes.

    python benchmarks/extract.py [RECORDING] [--seconds 20] [--audio NAME] [--video NAME]

Without a recording it makes a talking clip. Everything runs on one core with one thread, and what
counts is time of that core, so that other work on the machine does not show. The share around the
face landmarker and chroma-CQT is what is left of one extraction of audio and video when the time
inside these two is taken away. The last lines compare the largest memory of a process after a short
recording and after one ten times as long.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from mien.extraction.clip import (
    ClipTask,
    ExtractionSettings,
    build_tools,
    extract_clip,
    find_extractor,
)
from mien.extraction.media import decode
from mien.extraction.media.segments import AudioSink, FrameSink, Source
from mien.types import Modality

_RATE = 22050


def main() -> None:
    """Measure and print."""
    options = _read_options()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = options.recording or _make_clip(folder / "short.mp4", options.seconds)
        settings = ExtractionSettings(
            audio=find_extractor(options.audio, Modality.AUDIO),
            video=find_extractor(options.video, Modality.VIDEO),
            text="speech",
            recogniser="whisper-tiny-en",
        )
        if options.once:
            _report_memory(path, settings)
            return
        _measure_stages(path, settings)
        if options.recording is None:
            _measure_memory(folder, path, options)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--audio", default="librosa-sims")
    parser.add_argument("--video", default="face")
    parser.add_argument("--once", action="store_true", help="print the memory of one clip")
    return parser.parse_args()


def _make_clip(path: Path, seconds: float) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import talking

    return talking.write_clip(path, seconds=seconds, audio_codec="aac")


def _measure_stages(path: Path, settings: ExtractionSettings) -> None:
    import librosa

    from mien.extraction.extractors.face.landmarker import FaceFinder

    tools = build_tools(settings)
    audio = replace(tools, settings=_only(settings, "audio"), extractors=_pick(tools, "audio"))
    video = replace(tools, settings=_only(settings, "video"), extractors=_pick(tools, "video"))
    speech = replace(tools, extractors={})
    both = settings.model_copy(update={"text": "none", "recogniser": ""})
    task = ClipTask(path=str(path), out="")
    rate = getattr(tools.extractors[Modality.VIDEO], "frame_rate", None)

    def decode_all() -> object:
        return decode(
            Source(path=path),
            audio=[AudioSink(_RATE, lambda _: None)],
            frames=[FrameSink(rate, lambda *_: None)],
        )

    seconds = extract_clip(task, tools)[0].seconds  # compiles what is compiled once
    times = {
        "decode, resample, convert": _time(decode_all),
        f"decode + {settings.audio}": _time(lambda: extract_clip(task, audio)),
        f"decode + {settings.video}": _time(lambda: extract_clip(task, video)),
        "decode + speech recognition": _time(lambda: extract_clip(task, speech)),
        "audio and video together": _time(
            lambda: extract_clip(task, replace(tools, settings=both))
        ),
        "all three": _time(lambda: extract_clip(task, tools)),
    }
    print(f"{path.name}: {seconds:.1f} s; one core, one thread, best of 3")
    for stage, taken in times.items():
        print(f"  {stage:32} {taken:7.2f} s  {seconds / taken:7.1f} s of video per second")
    clocks = {"face landmarker": _Clock(), "chroma-CQT": _Clock()}
    with clocks["chroma-CQT"].on(librosa.feature, "chroma_cqt"), contextlib.ExitStack() as stack:
        for name in ("find", "find_near", "find_small"):
            stack.enter_context(clocks["face landmarker"].on(FaceFinder, name))
        begin = time.process_time()
        extract_clip(task, replace(tools, settings=both))
        together = time.process_time() - begin
    for name, clock in clocks.items():
        print(f"  share of {name:23} {clock.seconds / together:7.1%} of audio and video")
    around = together - sum(clock.seconds for clock in clocks.values())
    print(f"  share of everything around them  {around / together:7.1%}")


def _only(settings: ExtractionSettings, modality: str) -> ExtractionSettings:
    others = {"audio": "none", "video": "none", "text": "none", "recogniser": ""}
    return settings.model_copy(update=others | {modality: getattr(settings, modality)})


def _pick(tools: object, modality: str) -> dict[Modality, object]:
    return {Modality(modality): tools.extractors[Modality(modality)]}  # type: ignore[attr-defined]


class _Clock:
    """Adds up the time inside functions; one inside another counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    @contextlib.contextmanager
    def on(self, owner: object, name: str) -> Iterator[None]:
        """Count the time inside ``owner.name``."""
        function = getattr(owner, name)

        def timed(*arguments: object, **options: object) -> object:
            begin = time.process_time()
            self._depth += 1
            try:
                return function(*arguments, **options)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.process_time() - begin

        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, function)


def _time(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def _measure_memory(folder: Path, short: Path, options: argparse.Namespace) -> None:
    long = _make_clip(folder / "long.mp4", 10 * options.seconds)
    for path in (short, long):
        command = [sys.executable, __file__, str(path), "--once"]
        command += ["--audio", options.audio, "--video", options.video]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"  {found['seconds']:6.0f} s: a worker takes {found['mebibytes']:,.0f} MiB at most")


def _report_memory(path: Path, settings: ExtractionSettings) -> None:
    facts, _ = extract_clip(ClipTask(path=str(path), out=""), build_tools(settings))
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"seconds": facts.seconds, "mebibytes": peak}))


if __name__ == "__main__":
    main()
