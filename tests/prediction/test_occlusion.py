"""Effects of words and moments on the score, and the score of a modality that is alone."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers import SIZES, make_config

from mien.errors import ConfigError
from mien.evaluation.conformal import Calibration
from mien.models import build_model
from mien.models.multitask import ModelInputs
from mien.prediction.occlusion import Part, leave_out, occlude
from mien.tensors import PaddedSeries, reported_scores
from mien.types import Modality, Task

TEXT, AUDIO, VIDEO = Modality
SENTENCE = "The food was lovely, but the waiter was so rude that we left early."


@pytest.fixture(scope="module")
def model(shipped):
    return shipped


@pytest.fixture(scope="module")
def said(model):
    return model.predict_text(SENTENCE).answers[0]


@pytest.fixture(scope="module")
def features():
    """Series as the model that ships reads them: 2 s of voice, 4 s of face, ten steps a second."""
    generator = np.random.default_rng(5)
    return {
        "audio": generator.normal(size=(20, 384)).astype(np.float32),
        "video": generator.uniform(size=(40, 52)).astype(np.float32),
    }


TIMES = {AUDIO: np.arange(20) / 10 + 0.05, VIDEO: np.arange(40) / 10 + 0.05}


@pytest.fixture(scope="module")
def shown(model, features):
    return model.predict_features(transcript=SENTENCE, times=TIMES, **features).answers[0]


def score_of(model, **given):
    return model.predict_features(**given).answers[0].score.value


# --- words ----------------------------------------------------------------------------------------


def test_the_effect_of_a_word_is_what_the_score_loses_without_it(model, said):
    for place in (0, 3, 9, len(said.words) - 1):
        rest = " ".join(SENTENCE.split()[:place] + SENTENCE.split()[place + 1 :])
        without = model.predict_text(rest).answers[0].score.value
        assert said.words[place].effect == pytest.approx(said.score.value - without, abs=1e-6)


def test_what_moved_the_score_most_comes_first_and_has_a_sign(said):
    effects = {moment.text: moment.effect for moment in said.moments}
    assert effects["lovely,"] > 0.3
    assert effects["rude"] < -0.1
    sizes = [abs(effect) for effect in effects.values()]
    assert sizes == sorted(sizes, reverse=True)
    others = [abs(word.effect) for word in said.words if word.text not in effects]
    assert min(sizes) >= max(others)


def test_an_effect_in_a_clip_is_on_the_multimodal_score(model, features, shown):
    rest = SENTENCE.replace(" rude", "")
    without = score_of(model, transcript=rest, **features)
    [rude] = [word for word in shown.words if word.text == "rude"]
    assert rude.effect == pytest.approx(shown.score.value - without, abs=1e-6)


def test_without_its_only_word_a_text_is_taken_away(model, features):
    one = model.predict_features(transcript="Wonderful!", **features).answers[0]
    without = score_of(model, **features)
    assert one.words[0].effect == pytest.approx(one.score.value - without, abs=1e-6)
    assert one.words[0].effect == pytest.approx(one.influence[TEXT], abs=1e-6)


def test_a_text_of_one_word_alone_has_no_effect_since_nothing_would_remain(model):
    [word] = model.predict_text("Wonderful!").answers[0].words
    assert word.effect is None


def test_a_word_goes_with_its_punctuation_and_leaves_no_gap():
    assert leave_out("So, so good.", Part(begin=0, end=3, steps=(1, 2))) == "so good."
    assert leave_out("So, so good.", Part(begin=7, end=12, steps=(4, 5))) == "So, so"
    assert leave_out("很 好。", Part(begin=2, end=4, steps=(2,))) == "很"


def test_a_word_that_was_not_read_has_no_effect(model):
    network = model.network
    series = {TEXT: network.read_text("Not bad.")}
    parts = [Part(begin=0, end=3, steps=(1,)), Part(begin=4, end=8, steps=())]
    left = occlude(network, series, transcript="Not bad.", words=parts, times={})
    found = left.effects(0.0)
    assert isinstance(found.words[0], float)
    assert found.words[1] is None


# --- voice and face -------------------------------------------------------------------------------


def test_the_effect_of_a_window_is_what_the_score_loses_without_its_steps(model, features, shown):
    windows = {m: shown.steps[m].windows for m in (AUDIO, VIDEO)}
    assert [len(found) for found in windows.values()] == [2, 8]  # of 1 s, and of half a second
    for modality, place in ((AUDIO, 0), (AUDIO, 1), (VIDEO, 5)):
        one = windows[modality][place]
        kept = (TIMES[modality] < one.start) | (TIMES[modality] >= one.end)
        less = {**features, str(modality): features[str(modality)][kept]}
        without = score_of(model, transcript=SENTENCE, **less)
        assert one.effect == pytest.approx(shown.score.value - without, abs=1e-6)


def test_windows_meet_and_reach_from_the_first_step_to_the_last(shown):
    found = shown.steps[VIDEO].windows
    assert (found[0].start, found[-1].end) == (pytest.approx(0.0), pytest.approx(4.0))
    assert all(a.end == b.start for a, b in itertools.pairwise(found))


def test_a_long_series_has_at_most_forty_windows_and_none_where_there_is_no_step(model):
    video = np.random.default_rng(2).uniform(size=(300, 52)).astype(np.float32)
    times = np.concatenate([np.arange(150) / 10, 60 + np.arange(150) / 10])
    found = model.predict_features(video=video, times={VIDEO: times}).answers[0]
    windows = found.steps[VIDEO].windows
    assert 10 < len(windows) <= 40
    assert not any(one.start > 15.5 and one.end < 59.5 for one in windows)


def test_steps_without_a_time_are_refused(model, features):
    with pytest.raises(ConfigError, match=r"video: has 40 steps, but times of 3; give the centre"):
        model.predict_features(video=features["video"], times={VIDEO: np.arange(3.0)})


def test_moments_of_voice_and_face_have_their_effect_and_attention(shown):
    seen = [moment for moment in shown.moments if moment.modality is VIDEO]
    assert len(seen) <= 3
    for moment in seen:
        same = [w for w in shown.steps[VIDEO].windows if w.start == moment.start]
        assert [w.effect for w in same] == [moment.effect]
        assert moment.weight > 0


def test_effects_are_the_same_at_every_call(model, features, shown):
    again = model.predict_features(transcript=SENTENCE, times=TIMES, **features).answers[0]
    assert again == shown


def test_a_modality_that_is_the_same_in_all_rows_is_encoded_once_with_the_same_numbers():
    torch.manual_seed(1)
    net = build_model(make_config().model, ModelInputs(sizes=SIZES)).eval()
    values = torch.randn(1, 6, SIZES[VIDEO])
    one = PaddedSeries(values, torch.ones(1, 6, dtype=torch.bool))
    copied = PaddedSeries(values.repeat(4, 1, 1), torch.ones(4, 6, dtype=torch.bool))
    assert one.repeat(4).is_repeated
    assert not copied.is_repeated
    for found, wanted in zip(
        *(net.attend(VIDEO, net.encode(VIDEO, s)) for s in (one.repeat(4), copied)), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_a_clip_and_its_variants_are_encoded_once_and_only_fused_again(model, features, shown):
    """Each modality of the clip itself was encoded once for every modality that was taken away."""
    network = model.network.model
    rows = dict.fromkeys(Modality, 0)
    forwards = []

    def count(modality):
        def add(_module, given, _states):
            rows[modality] += len(given[0].mask)

        return add

    hooks = [
        network.encoders[m].standardise.register_forward_hook(count(m)) for m in (AUDIO, VIDEO)
    ]
    hooks.append(network.text_encoder.register_forward_hook(count(TEXT)))
    hooks.append(network.register_forward_hook(lambda *_: forwards.append(1)))
    again = model.predict_features(transcript=SENTENCE, times=TIMES, **features).answers[0]
    for hook in hooks:
        hook.remove()
    assert again == shown
    variants = {TEXT: len(shown.words)} | {m: len(shown.steps[m].windows) for m in (AUDIO, VIDEO)}
    assert rows == {m: 1 + count for m, count in variants.items()}
    assert not forwards
    assert set(shown.influence) == set(Modality)


# --- a modality alone -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [{"transcript": SENTENCE}, {"audio": None}, {"video": None}], ids=["text", "a", "v"]
)
def test_the_score_of_a_modality_alone_is_its_own(model, features, given):
    chosen = {name: features.get(name, value) for name, value in given.items()}
    one = model.predict_features(**chosen).answers[0]
    [own] = one.unimodal.values()
    assert one.score == own
    assert own.low is not None


def test_without_one_of_two_the_score_is_that_of_the_other(model, features):
    both = model.predict_features(**features).answers[0]
    for gone, left in ((AUDIO, VIDEO), (VIDEO, AUDIO)):
        without = both.score.value - both.influence[gone]
        assert without == pytest.approx(both.unimodal[left].value, abs=1e-5)


def test_reported_scores_by_hand():
    scores = {Task(name): torch.tensor(values) for name, values in {
        "fusion": [9.0, 9.0, 9.0], "text": [1.0, 2.0, 3.0], "video": [4.0, 5.0, 6.0],
    }.items()}  # fmt: skip
    present = {
        TEXT: torch.tensor([True, True, False]),
        VIDEO: torch.tensor([True, False, True]),
    }
    found = reported_scores(scores, present)
    assert found[Task.FUSION].tolist() == [9.0, 2.0, 6.0]
    assert torch.equal(found[Task.TEXT], scores[Task.TEXT])


def test_a_network_of_one_modality_reports_the_score_it_was_evaluated_by():
    scores = {Task.FUSION: torch.tensor([1.0]), Task.TEXT: torch.tensor([2.0])}
    found = reported_scores(scores, {TEXT: torch.tensor([True])})
    assert found == {Task.FUSION: scores[Task.FUSION], Task.TEXT: scores[Task.FUSION]}
    widths = {"level": 0.9, "fusion": {"text": 1.0}, "unimodal": {"text": 2.0}}
    one = Calibration(**widths, num_clips={"text": 9, "only text": 9})
    assert one.width(Task.FUSION, [TEXT]) == one.width(Task.TEXT, [TEXT]) == 1.0


def test_a_modality_alone_has_its_unimodal_width_in_old_files_too():
    old = Calibration(
        level=0.9,
        fusion={"text": 1.5, "video": 1.8, "text+video": 1.2},
        unimodal={TEXT: 1.6, VIDEO: 1.7},
        num_clips=dict.fromkeys(("text", "only text", "video", "only video", "text+video"), 90),
    )
    assert old.width(Task.FUSION, [VIDEO]) == old.width(Task.VIDEO, [VIDEO]) == 1.7
    assert old.width(Task.FUSION, [TEXT, VIDEO]) == 1.2
    assert math.isinf(old.width(Task.AUDIO, [AUDIO]))
    assert old.settle().fusion == {"text": 1.6, "video": 1.7, "text+video": 1.2}
    assert old.settle().unimodal == old.unimodal
