"""Models that a server can be told to load in the place of a trained one, without torch."""

import math
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

from mien.errors import CheckpointError, MediaError
from mien.prediction.answer import Answer, ModelFacts, Moment, Score, Steps, Window, WordWeight
from mien.prediction.result import Prediction
from mien.training.checkpoints.shipped_models import DEFAULT_MODEL
from mien.types import Modality, Scale

SCALE = Scale(-3.0, 3.0)
FACTS = ModelFacts(name="stand-in.safetensors", sha256="0" * 64, corpus="nothing")
SAID = "And the second half was, to my great surprise, really quite wonderful in its own way"


def score(value, *, half=0.9):
    words = "positive" if value > 0.5 else "negative" if value < -0.5 else "neutral"
    return Score(value=value, low=max(value - half, -3.0), high=min(value + half, 3.0), words=words)


def answer(number, *, start, end, text=SAID):
    """Return an answer whose numbers depend on its number alone."""
    said = text.split()
    gap = (end - start) / len(said)
    words = tuple(
        WordWeight(
            text=word,
            start=start + i * gap,
            end=start + (i + 1) * gap,
            weight=0.4 + len(word) / 5,
            effect=math.sin(i + number),
        )
        for i, word in enumerate(said)
    )
    times = tuple(start + 0.1 + 0.2 * i for i in range(int((end - start) / 0.2)))
    unimodal = {m: score(2 * math.sin(number + 2.1 * i)) for i, m in enumerate(Modality)}
    absent = {}
    if number % 5 == 3:
        del unimodal[Modality.VIDEO]
        absent[Modality.VIDEO] = "no face is seen"
    steps = {
        m: Steps(
            times=times,
            weights=tuple(1 + math.sin(i * t + number) for t in times),
            windows=tuple(
                Window(start=t - 0.1, end=t + 0.1, effect=math.cos(i * t) / 4) for t in times
            ),
        )
        for i, m in enumerate(Modality)
        if i and m in unimodal
    }
    heavy = max(words, key=lambda word: word.weight)
    moments = [
        Moment(
            modality=Modality.TEXT,
            start=heavy.start,
            end=heavy.end,
            text=heavy.text,
            weight=heavy.weight,
            effect=heavy.effect,
        )
    ]
    moments += [
        Moment(modality=m, start=times[3], end=times[4], weight=1.9, effect=-0.3) for m in steps
    ]
    conflicts = ((Modality.TEXT, Modality.AUDIO),) if number % 4 == 0 else ()
    return Answer(
        start=start,
        end=end,
        transcript=text,
        score=score(1.8 * math.sin(number / 3 + 0.8)),
        unimodal=unimodal,
        absent=absent,
        influence={m: 0.4 - 0.3 * i for i, m in enumerate(unimodal)},
        conflicts=conflicts,
        words=words,
        steps=steps,
        moments=tuple(moments),
    )


class StandIn:
    """Judges by nothing but the name of what it is asked; text in the file's bytes commands it."""

    network = SimpleNamespace(facts=FACTS, scale=SCALE)
    checkpoint = DEFAULT_MODEL  # whose card is shown
    recogniser = "auto"
    baseline = None
    int8 = False
    companion = None
    card = None

    def make_ready(self, *, transcript="auto"):
        pass

    def predict(self, recording, *, transcript, listener, jobs=1):  # noqa: ARG002  # the protocol's
        content = Path(recording).read_bytes()
        if content.startswith(b"not media"):
            raise MediaError(f"{recording}: holds neither sound nor a moving picture")
        listener.on_audio(3.0)
        if content.startswith(b"sleep"):
            time.sleep(float(content.split()[1]))
        if content.startswith(b"die"):
            os._exit(11)
        if content.startswith((b"interrupt", b"kill")):
            _signal_once(content.decode())
        count = int(content.split()[1]) if content.startswith(b"utterances") else 1
        listener.on_cut(count, 8.0 * count)
        text = SAID if transcript in ("auto", "none") else transcript
        answers = tuple(
            answer(i, start=8.0 * i + 0.2, end=8.0 * i + 7.6, text=text) for i in range(count)
        )
        return self.wrap(Path(recording).name, 8.0 * count, answers)

    def predict_text(self, text):
        if text.startswith("sleep"):
            time.sleep(float(text.split()[1]))
        words = tuple(
            WordWeight(
                text=w,
                weight=None if w == "unread" else 0.4 + len(w) / 5,
                effect=None if w == "unread" else 0.1 * len(w),
            )
            for w in text.split()
        )
        absent = dict.fromkeys((Modality.AUDIO, Modality.VIDEO), "only a text was given")
        value = 0.3 if text.startswith("perhaps") else 1.3
        one = Answer(
            transcript=text,
            score=score(value),
            unimodal={Modality.TEXT: score(value)},
            absent=absent,
            words=words,
        )
        return self.wrap("text", None, (one,))

    def wrap(self, source, seconds, answers):
        return Prediction(
            source=source,
            seconds=seconds,
            scale=SCALE,
            level=0.9,
            answers=answers,
            model=FACTS,
        )


def _signal_once(content):
    """Send this process a signal, if the file that is named after it is there; remove the file."""
    what, flag = content.split()
    if Path(flag).exists():
        Path(flag).unlink()
        os.kill(os.getpid(), signal.SIGKILL if what == "kill" else signal.SIGINT)


class CrashingAtLoad(StandIn):
    def make_ready(self):
        os._exit(12)


class Missing(StandIn):
    def make_ready(self):
        raise CheckpointError("stand-in.safetensors: is damaged; get it anew")


def load(path, **options):  # noqa: ARG001  # as mien.prediction.predictor.load
    return StandIn()


def load_missing(path, **options):  # noqa: ARG001
    return Missing()


def load_crashing(path, **options):  # noqa: ARG001
    return CrashingAtLoad()


def load_when_told(path, **options):  # noqa: ARG001
    """Write a line into a file beside ``path``, and load when ``path`` is there."""
    with path.with_suffix(".log").open("a") as log:
        log.write("loading\n")
    while not path.exists():
        time.sleep(0.02)
    return StandIn()


def load_at_second_try(path, **options):  # noqa: ARG001
    """Fail, unless ``path`` is there; leave it there."""
    if path.exists():
        return StandIn()
    path.touch()
    return Missing()


def load_told(path, **options):  # noqa: ARG001
    """Judge as the usual stand-in, by the name of what it was told."""
    told = StandIn()
    name = ", ".join(f"{name}={value}" for name, value in options.items())
    told.network = SimpleNamespace(facts=FACTS.model_copy(update={"name": name}), scale=SCALE)
    return told
