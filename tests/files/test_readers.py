"""Whatever reads a file of a user waits for no pipe, and takes damage as one sentence."""

import os
import shutil

import numpy as np
import pytest
from helpers import write_tiny_store

from mien.data.store import open_store
from mien.errors import (
    AssetError,
    CheckpointError,
    ConfigError,
    ExtractionError,
    MediaError,
    MetricError,
    StoreError,
)
from mien.evaluation.predictions import read_predictions
from mien.extraction.clip_results import read_facts
from mien.extraction.media.containers import open_container
from mien.extraction.workspace import check_plan
from mien.prediction.output_files.journal import read_journal
from mien.prediction.spoken.transcripts import read_transcript
from mien.pretrained.conversion.tensorflow_bert import read_sizes
from mien.training.checkpoints.checkpoint import read_header, read_tensors
from mien.training.run_folder import SeedFolder, open_run, read_json

TOO_DEEP = "[" * 100_000


def read_media(path):
    with open_container(path):
        pass


#: By name of the file, what reads it and what it raises.
READERS = {
    "m.safetensors": (read_header, CheckpointError),
    "weights.safetensors": (read_tensors, CheckpointError),
    "said.txt": (read_transcript, ConfigError),
    "said.srt": (read_transcript, ConfigError),
    "metrics.json": (read_json, CheckpointError),
    "epochs.jsonl": (lambda path: SeedFolder(path.parent).epochs(), CheckpointError),
    "predictions.csv": (read_predictions, MetricError),
    "plan.json": (lambda path: check_plan(path, {}), ExtractionError),
    "answers.progress": (read_journal, ConfigError),
    "bert_config.json": (read_sizes, AssetError),
    "film.mp4": (read_media, MediaError),
    "meta.json": (lambda path: open_store(path.parent), StoreError),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_a_device_and_a_folder_are_refused_at_once(tmp_path, name):
    read, error = READERS[name]
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(error, match=r"is not a (regular )?file"):
        read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(error, match=r"is not a (regular )?file"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(error, match=r"is (a folder|not a file)"):
        read(path)


@pytest.mark.parametrize("name", ["metrics.json", "epochs.jsonl", "plan.json", "meta.json"])
@pytest.mark.parametrize("text", [TOO_DEEP, "[1]", "\xff", "{", "1" * 5_000])
def test_json_that_is_not_what_it_should_be_is_a_sentence(tmp_path, name, text):
    read, error = READERS[name]
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(error) as caught:
        read(tmp_path / name)
    assert len(str(caught.value)) < 600 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["clips.jsonl", "audio/values.npy", "audio/offsets.npy"])
@pytest.mark.parametrize(
    "content", [None, b"", TOO_DEEP.encode(), b"\x93NUMPY\x01\x00v\x00{'a': 1"]
)
def test_files_of_a_store_that_are_damaged_or_pipes_are_refused(tmp_path, name, content):
    store = write_tiny_store(tmp_path / "s")
    (store.path / name).unlink()
    if content is None:
        os.mkfifo(store.path / name)
    else:
        (store.path / name).write_bytes(content)
    opened = open_store(store.path)
    with pytest.raises(StoreError, match=r"import the corpus again"):
        _ = opened.clips if name == "clips.jsonl" else opened.series("audio")


def test_an_array_that_promises_more_than_it_holds_takes_no_memory(tmp_path):
    store = write_tiny_store(tmp_path / "s")
    path = store.path / "audio" / "offsets.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<i8", "fortran_order": False, "shape": (1 << 40,)}
        )
    with pytest.raises(StoreError, match=r"audio: is damaged .* import the corpus again"):
        open_store(store.path).series("audio")


def test_a_pipe_in_the_place_of_results_stands_for_none(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    assert read_facts(tmp_path / "a.npz") is None
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04" + b"0" * 100)
    assert read_facts(tmp_path / "b.npz") is None


def test_folders_of_other_names_are_no_seeds(tmp_path):
    (tmp_path / "config.toml").write_text("")
    for name in ("seed-2", "seed-1", "seed-x", "seed-"):
        (tmp_path / name).mkdir()
    assert [one.seed for one in open_run(tmp_path).seeds] == [1, 2]
    shutil.rmtree(tmp_path / "seed-1")
    (tmp_path / "seed-2" / "failed.json").write_text("{}")
    assert open_run(tmp_path).failed_seeds == {"2": "its training failed"}
