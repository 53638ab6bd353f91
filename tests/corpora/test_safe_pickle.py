"""The closed reader of pickles: what it reads, what it refuses, and that it never runs anything."""

import argparse
import builtins
import codecs
import collections
import copyreg
import datetime
import decimal
import functools
import io
import math
import operator
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cases import examples
from hypothesis import given
from hypothesis import strategies as st

from mien.corpora.safe_pickle import lazy_array
from mien.corpora.safe_pickle.descriptions import describe
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import LongText, PickledArray, text_of
from mien.corpora.safe_pickle.machine import load_closed
from mien.errors import CorpusError

PROTOCOLS = [2, 3, 4, 5]
START = b"\x80\x04"


def load(folder, data):
    """Read ``data`` as a file; arrays as NumPy's, long texts and bytes as texts."""
    path = folder / "file.pkl"
    path.write_bytes(data)
    with FeatureFile(path) as file:
        return resolve(file, load_closed(file))


def resolve(file, value):
    if isinstance(value, list | tuple):
        return type(value)(resolve(file, one) for one in value)
    if isinstance(value, dict):
        return {key: resolve(file, one) for key, one in value.items()}
    if isinstance(value, PickledArray):
        return list(value.texts(file)) if value.dtype.kind in "USO" else value.load(file)
    text = text_of(file, value)
    return value if text is None else text


def refuse(folder, data, match):
    with pytest.raises(CorpusError, match=match):
        load(folder, data)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(value=PLAIN, protocol=st.sampled_from(PROTOCOLS))
@examples(150)
def test_plain_values_are_read_as_pickle_reads_them(tmp_path_factory, value, protocol):
    assert load(tmp_path_factory.getbasetemp(), pickle.dumps(value, protocol)) == value


ARRAYS = {
    "float32": np.arange(24, dtype="f4").reshape(2, 3, 4),
    "float64": np.linspace(-1, 1, 6).reshape(3, 2),
    "float16": np.arange(3, dtype="f2"),
    "int64": np.arange(-3, 3),
    "uint8": np.arange(6, dtype="u1").reshape(2, 3),
    "int8": np.array([-1, 200], dtype="i2").astype("i1"),
    "bool": np.array([True, False]),
    "big-endian": np.arange(6, dtype=">f4").reshape(2, 3),
    "big-endian int": np.arange(6, dtype=">i8"),
    "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "transposed": np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1),
    "rotated": np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
    "strided": np.arange(24.0).reshape(4, 6)[::2, ::3],
    "empty": np.zeros((0, 3)),
    "empty axis": np.zeros((3, 0, 2), "f4"),
    "scalar array": np.array(3.5),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_read_with_its_type_shape_and_values(tmp_path, name, protocol):
    expected = ARRAYS[name]
    found = load(tmp_path, pickle.dumps([expected, expected], protocol))
    for array in found:
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected, strict=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("block", [1, 7, 50, 1000])
@pytest.mark.parametrize("name", ["float32", "fortran", "transposed", "rotated", "big-endian"])
def test_rows_are_the_same_however_small_the_blocks_are(
    tmp_path, monkeypatch, name, block, protocol
):
    for constant in ("BLOCK", "STRIDED_BLOCK", "LATIN1_BLOCK"):
        monkeypatch.setattr(lazy_array, constant, max(2, block))
    expected = np.ascontiguousarray(ARRAYS[name] * 7.7).astype(ARRAYS[name].dtype)
    if name in ("fortran", "transposed", "rotated"):
        axes = {"fortran": (2, 1, 0), "transposed": (0, 2, 1), "rotated": (2, 0, 1)}[name]
        expected = expected.transpose(np.argsort(axes)).copy().transpose(axes)
    expected = np.concatenate([expected] * 20) if name == "float32" else expected
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(expected, protocol))
    with FeatureFile(path) as file:
        rows = list(load_closed(file).rows(file))
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(row, wanted, strict=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "texts",
    [
        np.array(["a", "bc", "", "中文"]),
        np.array(["a", "中文"], dtype=">U5"),
        np.array([b"a", b"caf\xe9"]),
        np.array(["a", "bc"], dtype=object),
    ],
    ids=["U", "big-endian U", "S", "O"],
)
def test_arrays_of_texts_are_read(tmp_path, texts, protocol):
    expected = [one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in texts]
    assert load(tmp_path, pickle.dumps(texts, protocol)) == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars_become_python_values(tmp_path, protocol):
    values = [np.float32(0.5), np.float64(0.1), np.int64(-7), np.bool_(True), np.str_("中")]
    found = load(tmp_path, pickle.dumps(values, protocol))
    assert found == [0.5, 0.1, -7, True, "中"]
    assert [type(one) for one in found] == [float, float, int, bool, str]


def test_names_of_numpy_1_and_numpy_2_mean_the_same(tmp_path):
    array = np.arange(4, dtype="f4")
    new = pickle.dumps([array, np.float32(1)], 3)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    for data in (new, old):
        found = load(tmp_path, data)
        np.testing.assert_array_equal(found[0], array)
        assert found[1] == 1
    new = pickle.dumps(array, 5)
    old = new.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")
    assert old != new
    old = old[:3] + struct.pack("<Q", len(old) - 11) + old[11:]
    np.testing.assert_array_equal(load(tmp_path, old), array)


def short(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"U" + bytes([len(data)]) + data


def python_2_array(shape, spec, raw):
    """What cPickle of Python 2 writes at protocol 2; its texts are strings of bytes."""
    axes = b"".join(b"K" + bytes([size]) for size in shape)
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01(" + axes + b"tcnumpy\ndtype\n" + short(spec) + b"K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", len(raw))
        + raw
        + b"tb"
    )


def test_a_file_of_python_2_is_read(tmp_path):
    array = np.linspace(-2, 2, 6, dtype="f4").reshape(2, 3)
    data = b"\x80\x02}(" + short("audio") + python_2_array((2, 3), "f4", array.tobytes())
    data += short("raw_text") + b"](" + short("caf\xe9".encode("latin-1")) + short("中") + b"eu."
    assert pickle.loads(data, encoding="latin1")["raw_text"][0] == "café"
    found = load(tmp_path, data)
    np.testing.assert_array_equal(found["audio"], array, strict=True)
    assert found["raw_text"] == ["café", "中"]


def test_long_texts_stay_in_the_file_until_they_are_asked_for(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(["中" * 5000, "x" * 2_000_000], 4))
    with FeatureFile(path) as file:
        first, second = load_closed(file)
        assert isinstance(first, LongText)
        assert text_of(file, first) == "中" * 5000
        assert text_of(file, second) is None


def test_a_set_is_passed_over(tmp_path):
    for value in ({1, 2}, frozenset({1, 2}), set()):
        path = tmp_path / "file.pkl"
        path.write_bytes(pickle.dumps(value, 4))
        with FeatureFile(path) as file:
            assert describe(load_closed(file)) == "a set"


class Reduced:
    """Pickles as a call of a function with arguments, and a state to set if there is one."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


CALLS = {
    r"system": Reduced(os.system, ("touch SENTINEL",)),
    r"Popen": Reduced(subprocess.Popen, (["touch", "SENTINEL"],)),
    r"__builtin__\.eval|builtins\.eval": Reduced(builtins.eval, ("open('SENTINEL', 'w')",)),
    r"__builtin__\.exec|builtins\.exec": Reduced(builtins.exec, ("open('SENTINEL', 'w')",)),
    r"__builtin__\.getattr|builtins\.getattr": Reduced(getattr, ("a", "upper")),
    r"io\.open": Reduced(open, ("SENTINEL", "w")),
    r"(posix|nt)\.system": functools.partial(os.system, "touch SENTINEL"),
    r"numpy\.load": Reduced(np.load, ("SENTINEL",)),
    r"numpy\.memmap": Reduced(np.memmap, ("SENTINEL", "u1", "w+", 0, (1,))),
    r"codecs\.decode": Reduced(codecs.decode, (b"x", "zip")),
}


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("name", CALLS)
def test_a_name_that_does_harm_is_refused_and_nothing_runs(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"train": [CALLS[name]]}, protocol)
    refuse(tmp_path, data, rf"refers to '[^']*({name}).*nothing in it was executed")
    assert not (tmp_path / "SENTINEL").exists()


class Settings(dict):
    """A dict of one's own class, as settings often are."""


class Plain:
    """An object of a class of one's own."""

    def __init__(self):
        self.speed, self.next = 3, [self]


OPAQUE = {
    r"operator\.attrgetter": operator.attrgetter("system"),
    r"copy_?reg\._reconstructor": Reduced(copyreg._reconstructor, (object, object, None)),
    r"datetime\.date": datetime.date(2020, 1, 1),
    r"numpy\.matrix": Reduced(np.matrix, ([1.0],)),
    r"numpy\.ma": np.ma.masked_array([1.0], [True]),
    r"pathlib": Path("a"),
    r"io\.BytesIO": Reduced(io.BytesIO, (b"",)),
    r"(__builtin__|builtins)\.complex": 1j,
    r"(__builtin__|builtins)\.slice": slice(1, 2),
    r"bytearray|a string of bytes": bytearray(b"abc"),
    r"argparse\.Namespace": argparse.Namespace(rate=0.1),
    r"decimal\.Decimal": decimal.Decimal("0.1"),
    r"collections\.Counter": collections.Counter("aab"),
    r"Settings": Settings(rate=1),
    r"Plain|copy_?reg": Plain(),
    r"an integer of 26 bytes": 2**200,
    r"numpy\.dtype 'M8'": np.datetime64("2020-01-01"),
    r"numpy\.dtype 'c8'": np.complex64(1),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", OPAQUE)
def test_what_is_not_understood_is_opaque_and_what_stands_beside_it_is_read(
    tmp_path, name, protocol
):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps([1, OPAQUE[name], OPAQUE[name], "end"], protocol))
    with FeatureFile(path) as file:
        first, opaque, same, end = load_closed(file)
    assert (first, end) == (1, "end")
    assert re.search(name, describe(opaque))
    assert describe(same) == describe(opaque)


def test_a_dict_of_a_class_of_ones_own_is_a_dict(tmp_path):
    value = Settings(train=Settings(id=["a"]))
    assert load(tmp_path, pickle.dumps(value, 4)) == {"train": {"id": ["a"]}}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_of_the_standard_library_are_read(tmp_path, protocol):
    by_split = collections.defaultdict(list)
    by_split["train"].append(1)
    values = [collections.OrderedDict(b=1, a=2), by_split, collections.OrderedDict()]
    assert load(tmp_path, pickle.dumps(values, protocol)) == [{"b": 1, "a": 2}, {"train": [1]}, {}]


def test_an_ordered_dict_of_python_2_is_read(tmp_path):
    data = START + b"ccollections\nOrderedDict\n](](X\x01\x00\x00\x00aK\x01ee\x85R."
    assert pickle.loads(data) == {"a": 1}
    assert load(tmp_path, data) == {"a": 1}


@pytest.mark.parametrize("key", [None, 1.5, (1, "a"), frozenset({1}), 2**40, datetime.date.max])
def test_items_under_keys_that_are_never_used_are_left_out(tmp_path, key):
    assert load(tmp_path, pickle.dumps({key: 1, "a": 2, 7: 3}, 4)) == {"a": 2, 7: 3}


def test_keys_that_collide_cost_no_more_than_others(tmp_path):
    """Multiples of 2**61 - 1 all have the hash 0: a dict of them takes quadratic time."""
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps({i * (2**61 - 1): None for i in range(1, 3000)} | {"a": 1}, 4))
    with FeatureFile(path) as file:
        assert load_closed(file) == {"a": 1}


def test_half_a_character_is_replaced_wherever_it_stands(tmp_path):
    half, rest = "a\ud800b", "x" * 5000
    values = [half, half + rest, np.array([half]), np.str_(half), "\ud83d\ude00"]
    found = load(tmp_path, pickle.dumps(values, 4))
    assert found == ["a\ufffdb", "a\ufffdb" + rest, ["a\ufffdb"], "a\ufffdb", "\U0001f600"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_empty_texts_and_bytes_of_numpy_are_read(tmp_path, protocol):
    values = [*np.array(["", ""]), np.bytes_(b""), np.array(["", ""]), np.array([b""])]
    assert load(tmp_path, pickle.dumps(values, protocol)) == ["", "", "", ["", ""], [""]]


def test_the_refused_name_is_in_the_sentence(tmp_path):
    data = pickle.dumps(Reduced(os.system, ("true",)), 4)
    refuse(tmp_path, data, rf"file\.pkl: refers to '{os.name}\.system', which is neither")


ATTACKS = {
    "GLOBAL of a dotted name": (START + b"cos\nsystem.__call__\n.", r"'os\.system\.__call__'"),
    "GLOBAL inside numpy": (START + b"cnumpy\nndarray.tofile\n.", r"'numpy\.ndarray\.tofile'"),
    "GLOBAL of a submodule": (START + b"cnumpy.core.multiarray\nfromfile\n.", "fromfile"),
    "STACK_GLOBAL": (START + b"\x8c\x02os\x8c\x06system\x93.", r"'os\.system'"),
    "STACK_GLOBAL by memo": (
        START + b"\x8c\x06system\x94\x8c\x02os\x94h\x01h\x00\x93.",
        r"'os\.system'",
    ),
    "STACK_GLOBAL of numbers": (START + b"K\x01K\x02\x93.", "a name is 2 and 1|a name is 1 and 2"),
    "STACK_GLOBAL of lists": (START + b"]]\x93.", "a name is a list of 0"),
    "EXT1": (START + b"\x82\x01.", "extension code .EXT1"),
    "EXT2": (START + b"\x83\x01\x00.", "extension code .EXT2"),
    "EXT4": (START + b"\x84\x01\x00\x00\x00.", "extension code .EXT4"),
    "PERSID": (START + b"Pfile\n.", "persistent id .PERSID"),
    "BINPERSID": (START + b"K\x01Q.", "persistent id .BINPERSID"),
    "INST": (START + b"(S'touch x'\nios\nsystem\n.", "0x53 is not an instruction"),
    "INST without arguments": (START + b"(ios\nsystem\n.", r"INST. of 'os\.system'"),
    "OBJ": (START + b"(cnumpy\nndarray\nK\x01o.", "makes an object .OBJ"),
    "NEWOBJ": (START + b"cnumpy\nndarray\n(K\x01t\x81.", "makes an object of the name"),
    "NEWOBJ_EX": (START + b"cnumpy\ndtype\n)}\x92.", "makes an object of the name"),
    "NEXT_BUFFER": (b"\x80\x05\x97.", "outside the file"),
    "REDUCE on ndarray": (START + b"cnumpy\nndarray\nK\x01\x85R.", "calls the name 'ndarray'"),
    "REDUCE on a text": (START + b"\x8c\x01a)R.", "calls 'a'"),
    "REDUCE on a list": (START + b"])R.", "calls a list of 0"),
    "REDUCE without a tuple": (START + b"cnumpy\ndtype\n]R.", "arguments of a call are a list"),
    "reconstruct a type": (
        START + b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85C\x01b\x87R.",
        "reconstructs the name 'dtype'",
    ),
    "reconstruct nothing": (
        START + b"cnumpy._core.multiarray\n_reconstruct\n)R.",
        "reconstructs nothing",
    ),
    "encode with another codec": (
        START + b"c_codecs\nencode\n\x8c\x01a\x8c\x05rot13\x86R.",
        "something but Latin-1",
    ),
    "encode characters": (
        START + b"c_codecs\nencode\n\x8c\x03\xe4\xb8\xad\x8c\x06latin1\x86R.",
        "bytes are not Latin-1 text",
    ),
    "bytes of a number": (START + b"cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.", "with arguments"),
    "BUILD on a dict": (START + b"}}\x8c\x0c__setstate__Nsb.", "sets the state of a dict of 0"),
    "BUILD on a name": (START + b"cnumpy\nndarray\n}b.", "sets the state of the name 'ndarray'"),
    "BUILD of an array with a dict": (
        START + b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R}b.",
        "the state of an array .* is a dict of 0",
    ),
    "APPEND to a tuple": (START + b")K\x01a.", "put into a tuple of 0"),
    "SETITEM on a list": (START + b"]K\x01K\x02s.", "put into a list of 0"),
    "SETITEMS of one": (START + b"}(K\x01u.", "put into a dict of 0"),
    "a list as key": (START + b"}]Ns.", "a key is a list of 0"),
    "ADDITEMS on a list": (START + b"](K\x01\x90.", "put into a list of 0"),
    "a value that is not there": (START + b"h\x07.", "value 7 is used before"),
    "a pop of nothing": (START + b"a.", "a value is missing"),
    "a memo of nothing": (START + b"\x94.", "a value is missing"),
    "a mark that is not there": (START + b"t.", "a mark is missing"),
    "nothing": (START + b".", "0 values are left"),
    "two values": (START + b"NN.", "2 values are left"),
    "a mark that is left": (START + b"N(.", "values are left"),
    "something after the end": (START + b"N.N.", "2 bytes follow its end"),
    "a text that is not UTF-8": (START + b"\x8c\x01\xff.", "not UTF-8"),
    "an instruction of protocol 0": (START + b"I1\n.", "0x49 is not an instruction"),
    "a name without end": (START + b"c" + b"a" * 300, "more than 256 bytes"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_answered_with_a_sentence(tmp_path, name):
    data, match = ATTACKS[name]
    refuse(tmp_path, data, match)


def array_with(shape=b"K\x02\x85", spec=b"f4", size=b"\xff\xff\xff\xff", order=b"<", raw=bytes(8)):
    parts = [
        START + b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R",
        b"(K\x01" + shape,
        b"cnumpy\ndtype\n\x8c" + bytes([len(spec)]) + spec + b"\x89\x88\x87R",
        b"(K\x03\x8c\x01" + order + b"NNNJ" + size + b"J\xff\xff\xff\xffK\x00tb",
        b"\x89C" + bytes([len(raw)]) + raw + b"tb.",
    ]
    return b"".join(parts)


def test_the_array_that_the_next_test_breaks_is_right(tmp_path):
    np.testing.assert_array_equal(load(tmp_path, array_with()), np.zeros(2, "f4"), strict=True)


BILLION = b"\x8a\x06\x00\x00\x00\x00\x00\x01"


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        ({"shape": b"K\x03\x85"}, r"shape \(3,\) needs 12 bytes, 8 are there"),
        ({"shape": BILLION + b"\x85"}, "needs 4398046511104 bytes, 8 are there"),
        ({"shape": BILLION * 2 + b"\x86"}, "the shape of an array is"),
        ({"shape": b"K\x00" + BILLION * 2 + b"\x87"}, "the shape of an array is"),
        ({"shape": b"J\xfe\xff\xff\xff\x85"}, "an axis of an array is -2"),
        ({"shape": b"G@\x00\x00\x00\x00\x00\x00\x00\x85"}, r"an axis of an array is 2\.0"),
        ({"shape": b"\x88\x85"}, "an axis of an array is True"),
        ({"shape": b"](K\x02e"}, "the shape of an array is a list"),
        ({"shape": b"(" + b"K\x01" * 60 + b"t"}, "the shape of an array is a tuple of 60"),
        ({"spec": b"f8"}, "needs 16 bytes, 8 are there"),
        ({"spec": b"O8"}, "the bytes of an array|array of object"),
        ({"spec": b"U0"}, "needs 0 bytes, 8 are there"),
        ({"order": b"|"}, "byte order"),
        ({"order": b"x"}, "byte order"),
        ({"size": b"\x08\x00\x00\x00"}, "have 8 bytes"),
        ({"raw": b""}, "needs 8 bytes, 0 are there"),
    ],
)
def test_an_array_that_lies_about_itself_is_an_error(tmp_path, broken, match):
    refuse(tmp_path, array_with(**broken), match)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_array_of_objects_holds_whatever_it_holds(tmp_path, protocol):
    array = np.empty(5, object)
    array[:] = [1, None, "a", np.zeros((2, 3), "f4"), datetime.date(2020, 1, 1)]
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(array, protocol))
    with FeatureFile(path) as file:
        found = load_closed(file)
        assert found.shape == (5,)
        assert found.items[:3] == (1, None, "a")
        np.testing.assert_array_equal(found.items[3].load(file), array[3], strict=True)
        assert describe(found.items[4]) == "the object 'datetime.date'"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("spec", ["c8", "M8[D]", "V4", "f4,i4"])
def test_arrays_of_other_types_are_opaque_and_have_a_shape(tmp_path, spec, protocol):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps([np.zeros((2, 3), spec), "end"], protocol))
    with FeatureFile(path) as file:
        array, end = load_closed(file)
    assert end == "end"
    assert array.shape == (2, 3)
    assert array.opaque
    assert not array.is_built
    assert describe(array) == f"an array of {array.opaque} with shape (2, 3)"


def test_a_state_is_set_once(tmp_path):
    data = array_with()
    again = data[data.index(b"(K\x01") : -1]
    refuse(tmp_path, data[:-1] + again + b".", "is set twice")


TYPE = b"cnumpy\ndtype\n\x8c\x02f4\x89\x88\x87R"
SCALAR = START + b"cnumpy._core.multiarray\nscalar\n"
BUFFER = START + b"cnumpy._core.numeric\n_frombuffer\n(C\x08" + bytes(8) + TYPE
ARRAY = START + b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
OBJECTS = b"cnumpy\ndtype\n\x8c\x02O8\x89\x88\x87R"
UNICODE = b"cnumpy\ndtype\n\x8c\x02U1\x89\x88\x87R"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (SCALAR + TYPE + b"K\x01\x86R.", "a NumPy number is not made of a type and bytes"),
        (SCALAR + TYPE + b"C\x02ab\x86R.", "a NumPy value of type float32 has 2 bytes"),
        (SCALAR + OBJECTS + b"C\x08abcdefgh\x86R.", "a NumPy value of type object has 8 bytes"),
        (SCALAR + UNICODE + b"C\x04\xff\xff\xff\xff\x86R.", "a NumPy text is not Unicode"),
        (BUFFER + b"K\x02\x85\x8c\x01AtR.", "not made of bytes, a type, a shape and an order"),
        (BUFFER + b"K\x02\x85\x8c\x01KK\x01\x85tR.", "axes is not a permutation"),
        (BUFFER + b"K\x02\x85\x8c\x01K(" + b"K\x00" * 9 + b"ttR.", "is not a permutation"),
        (ARRAY + b"K\x01K\x02\x86b.", "the state of an array is not a shape, a type and its"),
        (ARRAY + b"(K\x01K\x02\x85" + TYPE + b"\x89Ntb.", "the bytes of an array are None"),
        (ARRAY + b"(K\x01K\x02\x85" + TYPE + b"\x89]tb.", "the bytes of an array are a list of 0"),
        (ARRAY + b"(K\x01K\x02\x85" + OBJECTS + b"\x89]tb.", r"shape \(2,\) has 0 values"),
        (TYPE[:-1] + b"R(K\x03\x8c\x01<NNNK\x04K\x04K\x00Ntb.", "with parts or metadata"),
    ],
)
def test_what_is_put_together_wrongly_is_an_error(tmp_path, data, match):
    refuse(tmp_path, data if data.startswith(START) else START + data, match)


LIES = {
    "BINBYTES8": b"\x8e" + struct.pack("<Q", 2**60),
    "BYTEARRAY8": b"\x96" + struct.pack("<Q", 2**63),
    "BINBYTES": b"B" + struct.pack("<I", 2**32 - 1),
    "BINUNICODE": b"X" + struct.pack("<I", 2**32 - 1),
    "BINUNICODE8": b"\x8d" + struct.pack("<Q", 2**64 - 1),
    "BINSTRING": b"T" + struct.pack("<I", 2**31),
    "LONG4": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "LONG4 below zero": b"\x8b" + struct.pack("<i", -5),
    "LONG1": b"\x8a\xff",
    "FRAME": b"\x95" + struct.pack("<Q", 2**60),
    "SHORT_BINUNICODE": b"\x8c\xff",
}


@pytest.mark.parametrize("name", LIES)
def test_a_declared_size_is_checked_before_anything_is_made(tmp_path, name):
    refuse(tmp_path, START + LIES[name] + b"abc", "ends too early|an integer has|a frame of")


def nests(depth):
    """Pickles of deep values, and what they are."""
    tens = (b"](" + (b"h" + bytes([n])) * 10 + b"e\x94" for n in range(200))
    return {
        "lists": (b"]" * depth + b"a" * (depth - 1) + b".", "a list of 1"),
        "tuples": (b")" + b"\x85" * depth + b".", "a tuple of 1"),
        "dicts": (b"}" + b"K\x01}" * depth + b"s" * depth + b".", "a dict of 1"),
        "a list that holds itself": (b"]\x94h\x00a.", "a list of 1"),
        "a dict that holds itself": (b"}\x94K\x01h\x00s.", "a dict of 1"),
        "ten of ten of ten": (b"(]\x94" + b"".join(tens) + b"t.", "a tuple of 201"),
    }


@pytest.mark.parametrize("name", nests(1))
def test_nesting_does_not_use_the_stack(tmp_path, name):
    data, expected = nests(5000)[name]
    path = tmp_path / "file.pkl"
    path.write_bytes(START + data)
    with FeatureFile(path) as file:
        assert describe(load_closed(file)) == expected


def test_a_million_marks_are_too_many(tmp_path):
    refuse(tmp_path, START + b"(" * 1_000_000, "nested deeper than 100 levels")


MEASURE = """
import sys, time
from pathlib import Path
from mien.corpora.safe_pickle import reading_context
from mien.corpora.published.reader import read_published
from mien.errors import CorpusError

def peak():  # ru_maxrss would count the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

reading_context.MOST_MEMORY = int(sys.argv[2]) << 20
before = peak()
start = time.process_time()
try:
    read_published(Path(sys.argv[1]), "mosi")
except CorpusError as error:
    print(time.process_time() - start, (peak() - before) // 1024, error)
"""


#: Endings of pickles that want more memory or time than the file has bytes, for ``n`` megabytes.
BOMBS = {
    "lists": lambda n: nests(1250 * n)["lists"][0],
    "tuples": lambda n: nests(1250 * n)["tuples"][0],
    "dicts": lambda n: nests(1250 * n)["dicts"][0],
    "nones": lambda n: b"(" + b"N" * (50_000 * n),
    "gets": lambda n: b"]\x94(" + b"h\x00" * (25_000 * n),
    "empty": lambda n: b"}" * (25_000 * n),
    "floats": lambda n: b"](" + b"G12345678" * (20_000 * n),
    "memo": lambda n: b"N" + b"\x94" * (25_000 * n),
    "texts": lambda n: b"](" + (b"\x8c\xc8" + b"a" * 200) * (1250 * n),
    "ints": lambda n: b"](" + b"".join(b"J" + struct.pack("<i", i) for i in range(15_000 * n)),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize(
    ("name", "megabytes"),
    [
        *((name, 25) for name in BOMBS),
        pytest.param("memo", 400, marks=pytest.mark.extended),
    ],
)
def test_a_bomb_costs_little_time_and_memory(tmp_path, name, megabytes):
    """Where that many megabytes may be filled, 400 as shipped.

    In a process without the checks of shapes, which make every call some thirty times slower.
    """
    path = tmp_path / "file.pkl"
    path.write_bytes(START + BOMBS[name](megabytes))
    command = [sys.executable, "-c", MEASURE, str(path), str(megabytes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, grown, message = done.stdout.split(maxsplit=2)
    assert float(seconds) < 30
    assert int(grown) < 1.25 * megabytes
    assert str(path) in message


@pytest.mark.parametrize(
    "data", [b"N", b"]", b"K\x01\x94", b"}", b"Nq\x01", b"G12345678", b")\x85", b"\x88"]
)
def test_small_values_may_not_fill_the_memory(tmp_path, monkeypatch, data):
    monkeypatch.setattr("mien.corpora.safe_pickle.reading_context.MOST_MEMORY", 1 << 20)
    refuse(tmp_path, START + b"(" + data * 40_000 + b"t.", "would fill more than 1 MB")


def test_a_text_that_is_encoded_again_and_again_is_read_once(tmp_path, monkeypatch):
    scans = []
    scan = lazy_array.Latin1Bytes.scan.__func__
    monkeypatch.setattr(
        lazy_array.Latin1Bytes, "scan", classmethod(lambda *a: scans.append(1) or scan(*a))
    )
    text = b"X" + struct.pack("<I", 50_000) + b"a" * 50_000
    call = b"c_codecs\nencode\nh\x00\x8c\x06latin1\x86R"
    load(tmp_path, START + b"(" + text + b"\x94" + call * 500 + b"t.")
    assert len(scans) == 1


def test_files_that_are_no_pickles_are_told_apart(tmp_path):
    refuse(tmp_path, b"", "is empty")
    refuse(tmp_path, b"\x80", "ends too early")
    refuse(tmp_path, b"\x80\x06N.", "protocol is 6, must be 2 to 5")
    refuse(tmp_path, b"id,text\n1,hello", "is not a pickle: it begins with b'id,t'")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x", "y")
    refuse(tmp_path, archive.getvalue(), "is not a pickle but an archive, which is to be unpacked")
    for protocol in (0, 1):
        for value in ({"train": [1]}, [1, 2]):
            refuse(tmp_path, pickle.dumps(value, protocol), "is pickled with protocol 0 or 1")


def test_paths_that_are_no_files_are_errors(tmp_path):
    with pytest.raises(CorpusError, match="is a folder"):
        FeatureFile(tmp_path)
    with pytest.raises(CorpusError, match="there is no such file"):
        FeatureFile(tmp_path / "none.pkl")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="is not a regular file"):
        FeatureFile(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="cannot be read"):
        FeatureFile(tmp_path / "a\0b")


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "file.pkl"
    path.write_bytes(b"x")

    def deny(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", deny)
    with pytest.raises(CorpusError, match=r"cannot be read .*Permission denied"):
        FeatureFile(path)


def test_a_disk_that_fails_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps([1], 4))
    opened = path.open("rb")
    monkeypatch.setattr(type(path), "open", lambda *_: FailingFile(opened))
    with FeatureFile(path) as file:
        for call in (lambda: file.take(1), lambda: file.read_at(0, 1)):
            with pytest.raises(CorpusError, match=r"cannot be read .*check the disk"):
                call()


class FailingFile:
    """A file on a disk that has gone since it was opened."""

    def __init__(self, opened):
        self.fileno, self.close = opened.fileno, opened.close

    def read(self, _count):
        raise OSError(5, "Input/output error")

    seek = readinto = read


def test_a_file_that_shrinks_meanwhile_is_an_error(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(bytes(1 << 20))
    with FeatureFile(path) as file:
        os.truncate(path, 10)
        with pytest.raises(CorpusError, match="changed while it was being read"):
            file.read_at(900_000, 1000)
        with pytest.raises(CorpusError, match="changed while it was being read"):
            file.take(1 << 20)
        with pytest.raises(CorpusError, match="changed while it was being read"):
            file.check_unchanged()


def test_damaged_bytes_of_protocol_2_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy_array, "LATIN1_BLOCK", 64)
    array = np.concatenate([[65], np.full(3000, 0xC3)]).astype(np.uint8)
    data = pickle.dumps(array, 2)
    np.testing.assert_array_equal(load(tmp_path, data), array)
    place = data.index(b"\xc3\x83" * 50) + 1001
    for wrong in (b"\xff", b"\xe4\xb8\xad"):
        broken = data[:place] + wrong + data[place + len(wrong) :]
        refuse(tmp_path, broken, "holds an array's bytes is damaged")


@given(data=st.binary(max_size=60))
@examples(300)
def test_random_bytes_give_a_value_or_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random.pkl"
    path.write_bytes(START + data)
    with FeatureFile(path) as file, suppress(CorpusError):
        assert describe(load_closed(file))


def test_describe_is_short_whatever_it_describes():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert describe(deep) == "a list of 1"
    assert describe("x" * 1000) == repr("x" * 77 + "...")
    assert describe(math.inf) == "inf"
