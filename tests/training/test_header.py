"""What a checkpoint says of itself, altered in every way: one sentence, or it is read."""

import copy
import json
import random
import resource
from pathlib import Path

import pytest
import torch
from helpers import make_config, write_tiny_store
from safetensors.torch import save_file

from mien.errors import CheckpointError, MienError
from mien.prediction.network import load_network
from mien.prediction.package import pack
from mien.prediction.predictor import DEFAULT_MODEL, load
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.header import Header, check_header, open_header
from mien.training.experiment import train
from mien.training.loading import load_model, read_start

DEEP = json.loads("[" * 900 + "]" * 900)
REMOVED = object()
ODD = (None, 5, "x", "", [], {}, [{}], {"x": {}}, float("nan"), 10**30, -1, True, "\0\x1b[2J", DEEP)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_tiny_store(tmp_path_factory.mktemp("stores") / "tiny")


@pytest.fixture(scope="module")
def best(store, tmp_path_factory):
    """A checkpoint; do not alter."""
    out = tmp_path_factory.mktemp("runs") / "r"
    train(make_config(train={"epochs": 1}), store, out)
    return out / "seed-1" / "best.safetensors"


@pytest.fixture
def readers(store, tmp_path):
    """Whatever reads a checkpoint of others."""
    config = make_config()
    return (
        load,
        load_network,
        lambda path: load_model(path, store),
        lambda path: read_start(path, store, config),
        lambda path: pack(path, tmp_path / "packed", replace=True),
    )


def paths(value, before=()):
    """Return the path of every value in a header, but of no more than three of a list."""
    yield before
    if isinstance(value, dict):
        for key, one in value.items():
            yield from paths(one, (*before, key))
    if isinstance(value, list):
        for place, one in enumerate(value[:3]):
            yield from paths(one, (*before, place))


def alter(header, path, value=None, *, remove=False):
    """Return a header with another value at one place, or without it."""
    first, *rest = path
    changed = copy.copy(header)
    if rest:
        changed[first] = alter(header[first], rest, value, remove=remove)
    elif remove:
        del changed[first]
    else:
        changed[first] = value
    return changed


def try_readers(readers, path, tensors, header):
    """Write a checkpoint and read it; what is wrong with it must be one short sentence."""
    save_file(tensors, path, metadata={"mien": json.dumps(header)})
    for read in readers:
        sentence = ""
        try:
            read(path)
        except MienError as error:
            sentence = str(error)
        assert not {"\n", "\x1b"} & set(sentence)
        assert len(sentence) < 1_000 + len(str(path))


def test_every_field_altered_is_a_sentence_or_is_read(best, readers, tmp_path):
    header, tensors = read_header(best), read_tensors(best)
    path = tmp_path / "altered"
    draw = random.Random(0)  # noqa: S311  # no secret
    for key in sorted(header.keys() & Header.model_fields.keys()):
        for changed in (
            alter(header, (key,), remove=True),
            *(alter(header, (key,), value) for value in ODD),
        ):
            try_readers(draw.sample(readers, 1), path, tensors, changed)


@pytest.mark.slow
def test_random_places_altered_are_a_sentence_or_are_read(best, readers, tmp_path):
    header, tensors = read_header(best), read_tensors(best)
    header["extraction"] = read_header(DEFAULT_MODEL)["extraction"]
    path = tmp_path / "altered"
    draw = random.Random(1)  # noqa: S311  # no secret
    places = [one for one in paths(header) if one]
    for _ in range(100):
        changed = header
        for where in draw.sample(places, draw.choice((1, 1, 2))):
            try:
                changed = alter(changed, where, draw.choice(ODD), remove=draw.random() < 0.3)
            except (KeyError, IndexError, TypeError):
                continue  # the first change took the place of the second away
        try_readers(draw.sample(readers, 1), path, tensors, changed)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("sizes",), REMOVED, r"m: its header lacks 'sizes'; is it damaged, or of another"),
        (
            ("format",),
            3,
            r"m: its header has 3 for 'format': Input should be 1 or 2; is it damaged",
        ),
        (("config",), 5, r"m: its header has 5 for 'config': Input should be a valid dict"),
        (("config", "nonsense"), 5, r"m: was trained with settings that this version .* nonsense"),
        (("scale",), [{}, 3], r"m: its header has \{\} for 'scale\.0': Input should be a valid n"),
        (("scale",), [float("nan"), 3], r"has nan for 'scale\.0': Input should be a finite number"),
        (("scale",), [3, -3], r"m: its header: scale is \[3\.0, -3\.0\], must be \[LOW, HIGH\]"),
        (("sizes", "audio"), 10**30, r"for 'sizes\.audio': Input should be less"),
        (("sizes",), {"smell": 3}, r"for 'sizes\.smell\.\[key\]': Input should be 'text', 'audio'"),
        (
            ("series", "audio", "feature_names"),
            ["one"],
            r"'series\.audio': has 1 feature_names and",
        ),
        (("calibration", "fusion"), {"text": float("nan")}, r"has nan for 'calibration\.fusion"),
        (("calibration", "level"), True, r"'calibration': level is True, must be a number"),
        (("text_encoder",), "a\x1b[2J" + "b" * 500, r"has 'a\\x1b\[2Jb+'\.\.\. for 'text_encoder'"),
    ],
)
def test_a_header_that_cannot_be_is_a_sentence(best, path, value, sentence):
    header = read_header(best)
    remove = value is REMOVED
    with pytest.raises(CheckpointError, match=sentence):
        check_header(alter(header, path, value, remove=remove), Path("m")).read_config(Path("m"))


def test_a_header_that_is_nested_too_deep_is_a_sentence(tmp_path):
    text = "[" * 100_000
    save_file({"w": torch.ones(1)}, tmp_path / "m", metadata={"mien": text})
    with pytest.raises(CheckpointError, match=r"m: is not a checkpoint .* nested too deep"):
        open_header(tmp_path / "m")


def test_what_other_versions_say_is_left_alone_and_stays_when_it_is_packed(best, tmp_path):
    header = {**read_header(best), "later": [1]}
    del header["text_prefix"], header["extraction"]  # as earlier versions left them out
    write_tensors(tmp_path / "m", read_tensors(best), header)
    assert "text_prefix" not in open_header(tmp_path / "m").given()
    assert read_header(pack(tmp_path / "m", tmp_path / "packed"))["later"] == [1]


def test_a_name_that_nobody_could_read_is_not_packed(best, tmp_path):
    with pytest.raises(CheckpointError, match=r"packed: its header has '.*for 'name'"):
        pack(best, tmp_path / "packed", name="a\nb")
    assert not (tmp_path / "packed").exists()


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_all(best, readers, tmp_path, value):
    tensors = read_tensors(best)
    name = next(key for key in tensors if key.startswith("model/fusion"))
    tensors[name].view(-1)[0] = value
    write_tensors(tmp_path / "m", tensors, read_header(best))
    for read in readers[1:]:
        with pytest.raises(CheckpointError, match=r"m: 'fusion\S+' holds values that are not fin"):
            read(tmp_path / "m")


def test_weights_of_another_kind_of_numbers_are_refused(best, readers, tmp_path):
    tensors = read_tensors(best)
    name = next(key for key in tensors if key.startswith("model/fusion"))
    tensors[name] = tensors[name].to(torch.int32)
    write_tensors(tmp_path / "m", tensors, read_header(best))
    for read in readers[1:3]:
        with pytest.raises(CheckpointError, match=r"is of torch\.int32, the model of these settin"):
            read(tmp_path / "m")


def test_nothing_is_allocated_for_a_model_that_the_weights_do_not_fit(best, tmp_path):
    """Four layers of this size have 6 GB of weights."""
    header = read_header(best)
    header["config"]["model"]["num_layers"] = 4
    header["config"]["model"]["lstm_size"] = {"audio": 4096, "video": 4096}
    write_tensors(tmp_path / "m", read_tensors(best), header)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 30), limit[1]))
    try:
        with pytest.raises(CheckpointError, match=r"m: .* the model of these settings"):
            load_network(tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
