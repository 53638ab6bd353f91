"""Results as a notebook shows them: one line, a table whose texts are harmless, a data frame."""

import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
import stand_in_models
from fake_runs import write_run
from helpers import make_material

import mien
from mien.notebooks import html_table, make_frame
from mien.prediction.result import FailedPrediction, Prediction, PredictionList
from mien.training.loading import dataset_of
from mien.training.preparation import prepare
from mien.training.run_folder import RunFolder
from mien.types import Modality, Task

HOSTILE = "<script>alert(1)</script>&\"'"


class Tags(HTMLParser):
    """The names of the tags of a page, and its text."""

    def __init__(self, html):
        super().__init__()
        self.names, self.text = set(), []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        assert not attributes
        self.names.add(tag)

    def handle_data(self, data):
        self.text.append(data)


def read_table(html):
    """The text of a table that has no tags but its own."""
    tags = Tags(html)
    assert tags.names <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    return tags.text


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    write_run(folder / "first", num_clips=(9, 9, 12))
    return RunFolder(folder / "first")


@pytest.fixture(scope="module")
def comparison(run):
    write_run(run.path.with_name(HOSTILE.replace("/", "|")), num_clips=(9, 9, 12), error=1.2)
    return mien.compare([run, run.path.with_name(HOSTILE.replace("/", "|"))])


@pytest.fixture(scope="module")
def predictions():
    first, second = (
        Prediction(
            source=source,
            seconds=seconds,
            scale=stand_in_models.SCALE,
            answers=tuple(
                stand_in_models.answer(n, start=2.0 * n, end=2.0 * n + 2, text=HOSTILE)
                for n in numbers
            ),
            warnings=(HOSTILE,),
            model=stand_in_models.FACTS,
        )
        for source, seconds, numbers in ((HOSTILE, 4.0, (0, 1)), ("b.mp4", 8.0, (3,)))
    )  # fmt: skip
    return PredictionList([first, second])


def test_a_table_escapes_what_it_holds():
    html = html_table(HOSTILE, [HOSTILE], [[HOSTILE], [None], [3]], [HOSTILE])
    assert read_table(html) == [HOSTILE, HOSTILE, HOSTILE, "3", HOSTILE]


def test_a_frame_has_its_columns_without_a_row():
    assert list(make_frame([], ["a", "b"]).columns) == ["a", "b"]


def test_without_pandas_the_error_says_what_to_install(monkeypatch, run):
    monkeypatch.setattr("mien.errors.find_spec", lambda _: None)
    with pytest.raises(mien.ConfigError, match=r"'pandas' is not installed; .*\[pandas\]'?$"):
        run.to_pandas()


# --- predictions ----------------------------------------------------------------------------------


def test_a_prediction_is_a_frame_with_a_row_for_each_utterance(predictions):
    first, second = predictions
    frame = first.to_pandas()
    assert list(frame["utterance"]) == [1, 2]
    assert list(frame["score"]) == [answer.score.value for answer in first]
    assert list(frame["start"]) == [0.0, 2.0]
    assert list(frame["audio_low"]) == [answer.unimodal[Modality.AUDIO].low for answer in first]
    assert math.isnan(second.to_pandas().loc[0, "video_score"])
    joined = predictions.to_pandas()
    assert list(joined["source"]) == [HOSTILE, HOSTILE, "b.mp4"]
    assert list(joined.columns) == list(frame.columns)
    assert joined["video_contribution"].dtype == float


def test_a_score_is_a_number(predictions):
    score = predictions[0].answers[0].score
    assert float(score) == score.value


def test_predictions_are_shown_in_a_line_and_a_table(predictions):
    assert repr(predictions[1]) == (
        f"Prediction('b.mp4': positive {predictions[1].overall:+.2f}, 1 utterance)"
    )
    assert repr(predictions).startswith("PredictionList(2: '<script>")
    assert repr(PredictionList([*predictions] * 3)).endswith(", ...)")
    assert HOSTILE in read_table(predictions[0]._repr_html_())
    assert HOSTILE in read_table(predictions._repr_html_())


def test_a_failed_prediction_names_file_and_reason():
    failed = FailedPrediction(Path("a.mp4"), mien.MediaError("a.mp4: holds no sound"))
    with pytest.raises(AttributeError, match=r"a\.mp4 could not be predicted, so there is no 'ov"):
        _ = failed.overall


# --- stores ---------------------------------------------------------------------------------------


def test_a_store_is_a_sequence_of_clips(tiny_store):
    store = mien.open_store(tiny_store.path)
    assert len(store) == 36
    assert store
    assert "clips" not in vars(store)  # they were not read for that
    assert list(store) == list(store.clips)
    assert store[0] == store.clips[0]
    assert store[-1] == store.clips[-1]
    assert store[2:4] == store.clips[2:4]
    with pytest.raises(IndexError):
        store[36]


def test_a_store_is_a_frame_with_a_row_for_each_clip(tiny_store):
    frame = tiny_store.to_pandas()
    assert list(frame["id"]) == [clip.id for clip in tiny_store]
    assert list(frame["label_fusion"]) == [clip.labels[Task.FUSION] for clip in tiny_store]
    assert frame["start"].isna().all()


def test_a_store_is_shown_in_a_line_and_a_table(tmp_path):
    material = make_material(name=HOSTILE)
    assert repr(material).startswith(f"Material(Corpus({HOSTILE!r}: 36 clips, en, -3 to 3): text")
    store = mien.write_store(material, tmp_path / "store")
    assert len(repr(store)) < 200 + len(str(store.path))
    shown = "".join(read_table(store._repr_html_()))
    assert f"{HOSTILE}, 36 clips" in shown
    assert "clips, train20" in shown
    assert "4 values per step" in shown


def test_a_dataset_is_shown_in_a_line(tiny_store):
    config = mien.read_config("tam_ulag-planted", ["text_encoder.input=embeddings"])
    config = config.model_copy(update={"corpus": None})
    dataset = dataset_of(prepare(tiny_store, config), "train")
    assert repr(dataset) == "ClipDataset(20 clips: text, audio, video)"


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_is_a_frame_with_a_row_for_each_seed_split_and_task(run):
    frame = run.to_pandas()
    results = run.results()
    test = frame[(frame["split"] == "test") & (frame["task"] == "fusion")]
    assert list(test["seed"]) == [1111, 1112]
    assert list(test["mae"]) == list(results.splits["test"][Task.FUSION]["mae"].values)
    assert set(frame["split"]) == {"valid", "test"}


def test_a_run_is_shown_in_a_line_and_a_table(run, tmp_path):
    assert repr(run) == f"RunFolder({str(run.path)!r}: seeds 1111, 1112)"
    assert run.config.model.name == "tam_ulag"
    shown = "".join(read_table(run._repr_html_()))
    assert "tam_ulag on planted, seeds 1111, 1112" in shown
    assert f"mae{run.results().splits['test'][Task.FUSION]['mae'].mean:.4f}" in shown
    begun = RunFolder(tmp_path / "<b>")
    assert repr(begun).endswith("no finished seed)")
    assert "metrics.json: is not there" in "".join(read_table(begun._repr_html_()))


def test_predictions_of_a_split_are_shown_in_a_line_and_are_a_frame(run):
    scored = run.seeds[0].predictions("test")
    assert repr(scored) == "Predictions(12 clips: fusion, text, audio, video)"
    frame = scored.to_pandas()
    assert list(frame["id"]) == list(scored.ids)
    assert list(frame["score_fusion"]) == scored.scores[Task.FUSION].tolist()
    assert frame["has_audio"].all()


def test_a_comparison_is_shown_in_a_line_a_table_and_a_frame(comparison):
    assert repr(comparison).startswith("RunComparison(first, <script>")
    assert ": 12 test clips of planted, " in repr(comparison)
    assert comparison.runs[1] in read_table(comparison._repr_html_())
    frame = comparison.to_pandas()
    assert len(frame) == 2 * len(comparison.metrics)
    second = frame[(frame["metric"] == "mae") & (frame["run"] == comparison.runs[1])].iloc[0]
    mae = comparison.metrics["mae"][1]
    assert second["difference"] == mae.to_first.difference
    assert second["p_corrected"] == mae.p_corrected
    assert frame.iloc[0][["difference", "p_value"]].isna().all()
