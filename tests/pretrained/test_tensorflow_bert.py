"""TensorFlow-1 checkpoints, written here from the public description of the format."""

import json
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import examples
from helpers import limit_files
from hypothesis import given
from hypothesis import strategies as st

from mien.cli import main
from mien.errors import AssetError
from mien.pretrained.conversion.tensor_bundle import TensorBundle
from mien.pretrained.conversion.tensorflow_bert import convert_tensorflow_bert

STATE, INNER, LAYERS, POSITIONS = 8, 12, 2, 16
VOCABULARY = [
    "[PAD]",
    "[unused0]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "film",
    "##s",
    "was",
    "good",
    "电",
    "影",
    "好",
    ",",
    "Film",
]
CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.2,
    "hidden_size": STATE,
    "initializer_range": 0.02,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "num_attention_heads": 2,
    "num_hidden_layers": LAYERS,
    "pooler_fc_size": 768,
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
}
DTYPES = {"float32": 1, "float64": 2, "int64": 9, "float16": 19}


# --- a writer of the format -----------------------------------------------------------------------


def masked_crc(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 * (register & 1))
    value = register ^ 0xFFFFFFFF
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) % 2**32


def varint(number: int) -> bytes:
    number %= 2**64
    data = b""
    while number >= 128:
        data += bytes([number % 128 + 128])
        number //= 128
    return data + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(values: np.ndarray, shard: int, offset: int, /, **changes: int | bytes) -> bytes:
    """Return a ``BundleEntryProto``; numbers that are zero are left out, as TensorFlow does."""
    data = np.ascontiguousarray(values).tobytes()
    shape = b"".join(field(2, field(1, size)) for size in values.shape)
    fields = {
        "dtype": DTYPES[str(values.dtype)],
        "shape": shape,
        "shard": shard,
        "offset": offset,
        "size": len(data),
    } | changes
    message = b"".join(
        field(number, value)
        for number, value in enumerate((fields.pop(name) for name in list(fields)[:5]), start=1)
        if value
    )
    checksum = fields.pop("checksum", masked_crc(data))
    message += varint(6 << 3 | 5) + struct.pack("<I", checksum)
    return message + b"".join(field(7, b"") for _ in fields)


def block(entries: Iterable[tuple[bytes, bytes]], *, kind: int = 0) -> bytes:
    """Return a block whose keys are whole at every third entry, and its trailer."""
    data, restarts, last = b"", [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % 3 == 0:
            restarts.append(len(data))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        data += varint(shared) + varint(len(key) - shared) + varint(len(value))
        data += key[shared:] + value
        last = key
    restarts = restarts or [0]
    data += struct.pack(f"<{len(restarts)}I", *restarts) + struct.pack("<I", len(restarts))
    data += bytes([kind])
    return data + struct.pack("<I", masked_crc(data))


def table(entries: dict[bytes, bytes], per_block: int = 5, *, kind: int = 0) -> bytes:
    """Return a sorted string table."""
    ordered, data, handles = sorted(entries.items()), b"", []
    for start in range(0, len(ordered), per_block):
        part = block(ordered[start : start + per_block], kind=kind)
        handles.append(
            (ordered[start:][:per_block][-1][0], varint(len(data)) + varint(len(part) - 5))
        )
        data += part
    footer = b""
    for part in (block([]), block(handles)):
        footer += varint(len(data)) + varint(len(part) - 5)
        data += part
    return data + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def header(num_shards: int, endianness: int = 0) -> bytes:
    return (
        field(1, num_shards) + (field(2, endianness) if endianness else b"") + field(3, b"\x08\x01")
    )


def write_bundle(prefix: Path, variables: dict[str, np.ndarray], num_shards: int = 1) -> dict:
    """Write a bundle, the variables dealt out to the shards in turn; return its entries."""
    shards = [b""] * num_shards
    entries = {b"": header(num_shards)}
    for number, (name, values) in enumerate(variables.items()):
        shard = number % num_shards
        entries[name.encode()] = entry(values, shard, len(shards[shard]))
        shards[shard] += np.ascontiguousarray(values).tobytes()
    write_index(prefix, entries)
    for number, data in enumerate(shards):
        prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{num_shards:05d}").write_bytes(data)
    return entries


def write_index(prefix: Path, entries: dict[bytes, bytes], **options: int) -> None:
    prefix.with_name(prefix.name + ".index").write_bytes(table(entries, **options))


# --- a checkpoint ---------------------------------------------------------------------------------


def make_variables(seed: int = 0) -> dict[str, np.ndarray]:
    """Return the variables of a checkpoint, as TensorFlow names and lays them out."""
    rng = np.random.default_rng(seed)
    variables = {}

    def add(name: str, *shape: int) -> None:
        variables[name] = rng.normal(size=shape).astype(np.float32)

    def add_dense(name: str, input_size: int, size: int) -> None:
        add(f"{name}/kernel", input_size, size)
        add(f"{name}/bias", size)

    def add_norm(name: str) -> None:
        add(f"{name}/gamma", STATE)
        add(f"{name}/beta", STATE)

    add("bert/embeddings/word_embeddings", len(VOCABULARY), STATE)
    add("bert/embeddings/position_embeddings", POSITIONS, STATE)
    add("bert/embeddings/token_type_embeddings", 2, STATE)
    add_norm("bert/embeddings/LayerNorm")
    for number in range(LAYERS):
        layer = f"bert/encoder/layer_{number}"
        for part in ("query", "key", "value"):
            add_dense(f"{layer}/attention/self/{part}", STATE, STATE)
        add_dense(f"{layer}/attention/output/dense", STATE, STATE)
        add_norm(f"{layer}/attention/output/LayerNorm")
        add_dense(f"{layer}/intermediate/dense", STATE, INNER)
        add_dense(f"{layer}/output/dense", INNER, STATE)
        add_norm(f"{layer}/output/LayerNorm")
    add_dense("bert/pooler/dense", STATE, STATE)
    add("cls/predictions/output_bias", len(VOCABULARY))
    add("cls/seq_relationship/output_weights", 2, STATE)
    add("bert/pooler/dense/bias/adam_m", STATE)
    add("bert/pooler/dense/bias/adam_v", STATE)
    variables["global_step"] = np.array(1000)
    return variables


def make_checkpoint(
    folder: Path, variables: dict[str, np.ndarray] | None = None, num_shards: int = 1
) -> Path:
    folder.mkdir(parents=True)
    (folder / "bert_config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    write_bundle(folder / "bert_model.ckpt", variables or make_variables(), num_shards)
    return folder


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return make_checkpoint(tmp_path / "uncased_L-2_H-8_A-2")


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


# --- the model ------------------------------------------------------------------------------------


def hand_made_model(variables: dict[str, np.ndarray]):
    """Return transformers' model with the variables put in one by one."""
    from transformers import BertConfig, BertModel

    names = ("directionality", "pooler_fc_size")
    config = BertConfig(**{k: v for k, v in CONFIG.items() if k not in names})
    model = BertModel(config).eval()

    def put(target: torch.nn.Parameter, values: np.ndarray) -> None:
        assert target.shape == values.shape
        target.data = torch.tensor(values)

    def put_dense(module: torch.nn.Module, name: str) -> None:
        put(module.weight, variables[f"bert/{name}/kernel"].T)
        put(module.bias, variables[f"bert/{name}/bias"])

    def put_norm(module: torch.nn.Module, name: str) -> None:
        put(module.weight, variables[f"bert/{name}/gamma"])
        put(module.bias, variables[f"bert/{name}/beta"])

    for kind in ("word", "position", "token_type"):
        embedding = getattr(model.embeddings, f"{kind}_embeddings")
        put(embedding.weight, variables[f"bert/embeddings/{kind}_embeddings"])
    put_norm(model.embeddings.LayerNorm, "embeddings/LayerNorm")
    for number, layer in enumerate(model.encoder.layer):
        name = f"encoder/layer_{number}"
        for part in ("query", "key", "value"):
            put_dense(getattr(layer.attention.self, part), f"{name}/attention/self/{part}")
        put_dense(layer.attention.output.dense, f"{name}/attention/output/dense")
        put_norm(layer.attention.output.LayerNorm, f"{name}/attention/output/LayerNorm")
        put_dense(layer.intermediate.dense, f"{name}/intermediate/dense")
        put_dense(layer.output.dense, f"{name}/output/dense")
        put_norm(layer.output.LayerNorm, f"{name}/output/LayerNorm")
    put_dense(model.pooler.dense, "pooler/dense")
    return model


@pytest.mark.parametrize("num_shards", [1, 3])
def test_the_model_is_the_one_of_the_checkpoint(tmp_path, out, num_shards):
    from transformers import AutoModel

    checkpoint = make_checkpoint(tmp_path / "chinese_L-2", num_shards=num_shards)
    assert convert_tensorflow_bert(checkpoint, out) == out
    model, report = AutoModel.from_pretrained(out, output_loading_info=True)
    assert not any(report.values())
    assert model.config.hidden_dropout_prob == 0.2
    ids = torch.tensor([[3, 6, 7, 4], [3, 10, 4, 0]])
    given = {"attention_mask": (ids > 0).long(), "token_type_ids": torch.tensor([[0, 0, 1, 1]] * 2)}
    with torch.no_grad():
        found = model.eval()(ids, **given)
        wanted = hand_made_model(make_variables())(ids, **given)
    torch.testing.assert_close(found.last_hidden_state, wanted.last_hidden_state)
    torch.testing.assert_close(found.pooler_output, wanted.pooler_output)


def test_halves_and_doubles_become_floats(tmp_path, out):
    from safetensors.numpy import load_file

    variables = make_variables()
    for name, dtype in (("kernel", np.float16), ("bias", np.float64)):
        name = f"bert/pooler/dense/{name}"
        variables[name] = variables[name].astype(dtype)
    convert_tensorflow_bert(make_checkpoint(tmp_path / "uncased", variables), out)
    found = load_file(out / "model.safetensors")
    half = variables["bert/pooler/dense/kernel"].T.astype(np.float32)
    np.testing.assert_array_equal(found["pooler.dense.weight"], half)
    assert found["pooler.dense.bias"].dtype == np.float32


def test_what_is_not_of_the_encoder_is_left_out_and_counted(checkpoint, out, caplog):
    with caplog.at_level("INFO"):
        convert_tensorflow_bert(checkpoint, out)
    assert "left out 5 variables: 2 of cls, 3 of optimiser" in caplog.text


# --- the tokenizer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "casing", "pieces"),
    [
        ("uncased_L-2", None, ["the", "film", "##s", "was", "good"]),
        ("cased_L-2", None, ["[UNK]", "[UNK]", "was", "good"]),
        ("multi_cased_L-2", None, ["[UNK]", "[UNK]", "was", "good"]),
        ("multilingual_L-2", None, ["the", "film", "##s", "was", "good"]),
        ("chinese_L-2", None, ["the", "film", "##s", "was", "good"]),
        ("my model", "uncased", ["the", "film", "##s", "was", "good"]),
        ("uncased_L-2", "cased", ["[UNK]", "[UNK]", "was", "good"]),
    ],
)
def test_capital_letters_count_as_in_training(tmp_path, out, name, casing, pieces):
    from transformers import AutoTokenizer

    convert_tensorflow_bert(make_checkpoint(tmp_path / name), out, casing=casing)
    assert AutoTokenizer.from_pretrained(out).tokenize("THE FILMs was good") == pieces


def test_text_becomes_what_berts_own_tokenizer_makes_of_it(checkpoint, out):
    from transformers import AutoTokenizer, BertTokenizerFast

    convert_tensorflow_bert(checkpoint, out)
    found = AutoTokenizer.from_pretrained(out)
    own = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(VOCABULARY)})
    assert found.tokenize("电影好,the films") == ["电", "影", "好", ",", "the", "film", "##s"]
    texts = ["The films wäs good", "这部电影好, 好!", "[MASK] film", "", "\t a\u3000b"]
    assert dict(found(texts, texts[::-1])) == dict(own(texts, texts[::-1]))
    assert found("film", "好")["token_type_ids"] == [0, 0, 0, 1, 1]
    assert (found.pad_token_id, found.model_max_length) == (0, POSITIONS)


def test_tokenizer_json_alone_tokenises_as_well(checkpoint, out):
    from tokenizers import Tokenizer

    convert_tensorflow_bert(checkpoint, out)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    assert tokenizer.encode("Films 好").tokens == ["[CLS]", "film", "##s", "好", "[SEP]"]


# --- what a user can get wrong --------------------------------------------------------------------


def test_an_unknown_casing_must_be_given(tmp_path, out):
    checkpoint = make_checkpoint(tmp_path / "bert")
    with pytest.raises(
        AssetError, match="does not show whether the model is cased or uncased; give"
    ):
        convert_tensorflow_bert(checkpoint, out)


def test_a_folder_that_exists_is_left_alone(checkpoint, out):
    out.mkdir()
    with pytest.raises(AssetError, match="out: already exists; choose another path"):
        convert_tensorflow_bert(checkpoint, out)


@pytest.mark.parametrize(
    "name",
    [
        "bert_config.json",
        "vocab.txt",
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
    ],
)
def test_a_missing_file_is_named_and_nothing_is_left(checkpoint, out, name):
    (checkpoint / name).unlink()
    with pytest.raises(AssetError, match=rf"{name}: is not there; check the path"):
        convert_tensorflow_bert(checkpoint, out)
    assert [path.name for path in out.parent.iterdir()] == [checkpoint.name]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_size": "many"}, "hidden_size Input should be a valid integer"),
        ({"num_attention_heads": 3}, "hidden_size 8 is not a multiple of num_attention_heads 3"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers Input should be less than"),
        ({"vocab_size": 99}, r"vocab\.txt: has 16 lines, bert_config\.json says vocab_size 99"),
        ({"intermediate_size": 13}, r"dense/kernel' has shape \(8, 12\), .* says \(8, 13\)"),
        ({"num_hidden_layers": 3}, r"has no variable 'bert/encoder/layer_2/attention/self/query"),
        ({"num_hidden_layers": 1}, r"has 16 variables that bert_config\.json does not account for"),
    ],
)
def test_sizes_that_do_not_fit_are_named(checkpoint, out, changes, sentence):
    (checkpoint / "bert_config.json").write_text(json.dumps(CONFIG | changes))
    with pytest.raises(AssetError, match=sentence):
        convert_tensorflow_bert(checkpoint, out)


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_config_that_is_none_is_refused(checkpoint, out, text):
    (checkpoint / "bert_config.json").write_text(text)
    with pytest.raises(AssetError, match=r"bert_config\.json: "):
        convert_tensorflow_bert(checkpoint, out)


def test_a_vocabulary_without_the_special_pieces_is_refused(checkpoint, out):
    text = "\n".join(VOCABULARY).replace("[MASK]", "mask")
    (checkpoint / "vocab.txt").write_text(text, encoding="utf-8")
    with pytest.raises(AssetError, match=r"vocab\.txt: has no line '\[MASK\]'"):
        convert_tensorflow_bert(checkpoint, out)


def test_a_vocabulary_in_another_encoding_is_refused(checkpoint, out):
    (checkpoint / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="gb18030")
    with pytest.raises(AssetError, match=r"vocab\.txt: is not UTF-8"):
        convert_tensorflow_bert(checkpoint, out)


def test_a_weight_that_is_not_finite_is_named(tmp_path, out):
    variables = make_variables()
    variables["bert/pooler/dense/bias"][3] = np.nan
    with pytest.raises(AssetError, match="variable 'bert/pooler/dense/bias' is not finite"):
        convert_tensorflow_bert(make_checkpoint(tmp_path / "uncased", variables), out)
    assert not out.exists()


# --- the bundle -----------------------------------------------------------------------------------

FEW = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.ones((), np.float64)}


@examples(30)
@given(names=st.sets(st.text("ab/", min_size=1, max_size=9), max_size=20), size=st.integers(1, 9))
def test_whatever_was_written_is_read(names, size, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("bundle") / "model"
    rng = np.random.default_rng(0)
    variables = {n: rng.normal(size=rng.integers(0, 4, 2)).astype(np.float32) for n in names}
    entries = write_bundle(prefix, variables, num_shards=2)
    write_index(prefix, entries, per_block=size)
    bundle = TensorBundle(prefix)
    assert set(bundle.variables) == set(variables)
    for name, values in variables.items():
        np.testing.assert_array_equal(bundle.read(name), values)


def test_a_changed_value_is_noticed(tmp_path):
    write_bundle(tmp_path / "m", FEW)
    path = tmp_path / "m.data-00000-of-00001"
    path.write_bytes(b"\x01" + path.read_bytes()[1:])
    with pytest.raises(
        AssetError, match="variable 'a': its checksum is wrong; the file is damaged"
    ):
        TensorBundle(tmp_path / "m").read("a")


def test_values_that_were_cut_off_are_noticed(tmp_path):
    write_bundle(tmp_path / "m", FEW)
    path = tmp_path / "m.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AssetError, match="variable 'b/c' ends at byte 32, the file at 31; get it"):
        TensorBundle(tmp_path / "m").read("b/c")


def test_an_unknown_variable_is_named(tmp_path):
    write_bundle(tmp_path / "m", FEW)
    with pytest.raises(AssetError, match="m: has no variable 'z'"):
        TensorBundle(tmp_path / "m").read("z")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dtype": 7}, "has values of TensorFlow's type 7, must be 1, 2 or 19"),
        ({"dtype": 2}, r"has 24 bytes for shape \(2, 3\) of float64"),
        ({"size": 2**62}, r"has 4611686018427387904 bytes for shape \(2, 3\)"),
        ({"shape": field(2, field(1, 2**60)), "size": 2**62}, "ends at byte 4611686018427387904"),
        ({"offset": 2**62}, "ends at byte 4611686018427387928, the file at 32"),
        ({"shard": 5}, "is in shard 5 of 1"),
        ({"slices": 1}, "was saved in slices"),
        ({"size": -1}, "is damaged, or not a plain index: a variable has -1 bytes"),
        ({"offset": -8}, "is damaged, or not a plain index: a variable has 24 bytes at -8"),
        ({"shape": field(2, field(1, -1))}, "a variable has an axis of -1"),
        ({"shape": 3}, "a field that must be a message is a number"),
        ({"shape": b"\x12\x7f"}, "a field reaches beyond its message"),
        ({"shape": b"\x13"}, "a field has wire type 3"),
        ({"shape": b"\x10"}, "a number does not end"),
        ({"size": b"24"}, "a field that must be a number is not"),
    ],
)
def test_an_entry_that_cannot_be_is_named(tmp_path, changes, sentence):
    entries = write_bundle(tmp_path / "m", FEW)
    write_index(tmp_path / "m", entries | {b"a": entry(FEW["a"], 0, 0, **changes)})
    with pytest.raises(AssetError, match=sentence):
        TensorBundle(tmp_path / "m").read("a")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (header(0), "it mentions 0 data files"),
        (header(2**40), "it mentions 1099511627776 data files"),
        (header(1, endianness=1), "it was written on a big-endian machine"),
    ],
)
def test_a_header_that_cannot_be_is_named(tmp_path, content, sentence):
    entries = write_bundle(tmp_path / "m", FEW)
    write_index(tmp_path / "m", entries | {b"": content})
    with pytest.raises(AssetError, match=sentence):
        TensorBundle(tmp_path / "m").read("a")


def test_a_compressed_index_is_refused(tmp_path):
    entries = write_bundle(tmp_path / "m", FEW)
    write_index(tmp_path / "m", entries, kind=1)
    with pytest.raises(AssetError, match=r"the block at 0 is compressed \(snappy\), must be plain"):
        TensorBundle(tmp_path / "m").read("a")


def test_an_index_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "m.index").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(AssetError, match="is not the index of a checkpoint: it is too large"):
        TensorBundle(tmp_path / "m").read("a")


def hostile(*blocks: tuple[bytes, bytes], last: bytes = b"") -> bytes:
    """Return a table of one block whose list of blocks is made of ``blocks``."""
    data = block([(b"", header(1))])
    footer = b""
    for part in (block([]), last or block(blocks)):
        footer += varint(len(data)) + varint(len(part) - 5)
        data += part
    return data + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def raw_block(content: bytes) -> bytes:
    content += b"\0"
    return content + struct.pack("<I", masked_crc(content))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it has 0 bytes"),
        (bytes(60), "it does not end like an index"),
        (hostile((b"z", varint(2**63) + varint(9))), "a block of 9 bytes at 9223372036854775808"),
        (hostile((b"z", varint(0) + varint(2**63))), "does not fit into it"),
        (hostile((b"z", varint(0) + varint(3))), "a block of 3 bytes at 0 does not fit"),
        (hostile((b"z", varint(0) + varint(7))), "the checksum of the block at 0 is wrong"),
        (hostile(last=raw_block(b"\xff" * 4)), "a block has 4294967295 restarts in 4 bytes"),
        (hostile(last=raw_block(b"\x05\x00\x00" + bytes(4))), "an entry reaches beyond its block"),
        (hostile(last=raw_block(b"\x00\x05\x00" + bytes(4))), "an entry reaches beyond its block"),
        (hostile(last=raw_block(b"\xff" * 10 + bytes(4))), "a number does not end"),
        (
            hostile(last=raw_block(b"\x00" + varint(5000) + b"\x00" + bytes(5000) + bytes(4))),
            "a name has 5000 bytes",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path, data, sentence):
    (tmp_path / "m.index").write_bytes(data)
    with pytest.raises(
        AssetError, match=rf"m\.index: is damaged, or not a plain index: .*{sentence}"
    ):
        TensorBundle(tmp_path / "m").read("a")


def test_one_block_is_not_read_over_and_over(tmp_path):
    """A small index could otherwise keep the machine busy for hours."""
    size = len(block([(b"", header(1))])) - 5
    handle = varint(0) + varint(size)
    (tmp_path / "m.index").write_bytes(hostile((b"y", handle), (b"z", handle)))
    with pytest.raises(AssetError, match="the blocks at 0 and before overlap"):
        TensorBundle(tmp_path / "m").read("a")


@examples(100)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_of_the_index_may_be_wrong(where, bit, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("flip") / "m"
    write_bundle(prefix, FEW)
    path = prefix.with_name("m.index")
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content)
    bundle = TensorBundle(prefix)
    try:
        values = {name: bundle.read(name) for name in FEW}
    except AssetError as error:
        assert "m.index: is damaged" in str(error)  # noqa: PT017  # one of two outcomes
    else:  # a bit that nothing depends on: padding, and the list of blocks that are not used
        np.testing.assert_array_equal(values["a"], FEW["a"])


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
@pytest.mark.parametrize("limit", [20, 2000])
def test_without_room_the_command_says_so_and_leaves_nothing(checkpoint, out, capsys, limit):
    with limit_files(limit):
        assert main(["convert-bert", str(checkpoint), str(out)]) == 2
    sentence = f"mien: {out}: cannot be written (File too large); see how large a file may be"
    assert sentence in capsys.readouterr().err
    assert [one.name for one in out.parent.iterdir()] == [checkpoint.name]
