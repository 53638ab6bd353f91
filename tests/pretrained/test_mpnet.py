"""MPNet encoders and tokenizers read without transformers: equal to what transformers makes."""

import json

import pytest
import torch
from stand_in_encoders import make_texts
from transformers import AutoModel, AutoTokenizer, MPNetConfig, MPNetModel, MPNetTokenizer

from mien.errors import AssetError
from mien.pretrained.direct.mpnet import MpnetEncoder
from mien.pretrained.direct.tokenizer import load_tokenizer
from mien.pretrained.encoder_source import find_text_encoder
from mien.pretrained.packed.packing import attend_by_length, attend_padded, pack
from mien.pretrained.text_encoder import (
    TokenEncoder,
    load_backbone,
    load_bottom,
    load_settings,
    load_top,
)
from mien.tensors import PaddedSeries

TEXTS = [
    "",
    " \t\n",
    "The film is good, really 😀",
    "a\x00b\x07c\u200b d",
    "word good " * 700,
    "a <mask> b <s> c</s><pad> [UNK] <unk> x<mask>y [MASK]",
    "Ünïcödé CAFÉ naı\u0307ve 我喜欢",
    "x" * 300,
]
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "the", "film", "is", "good", "word", "##s", "a",
         "b", "##b", ",", "really", "cafe", "mask", "x", "<mask>"]  # fmt: skip


def write_mpnet(folder, **options):
    torch.manual_seed(1)
    sizes = {"vocab_size": 90, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3,
             "intermediate_size": 40, "max_position_embeddings": 60,
             "initializer_range": 0.4}  # fmt: skip
    MPNetModel(MPNetConfig(**{**sizes, **options})).save_pretrained(folder)
    return folder


def write_tokens(folder):
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    MPNetTokenizer(vocab=vocabulary, model_max_length=512).save_pretrained(folder)
    return folder


@pytest.fixture(params=["made", "mpnet"])
def folder(request, tmp_path):
    if request.param == "made":
        return write_tokens(write_mpnet(tmp_path / "encoder"))
    try:
        return find_text_encoder("mpnet")
    except AssetError:
        pytest.skip("mpnet is not here")


def test_token_ids_are_those_of_transformers(folder):
    own, reference = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert own.special_ids == frozenset(reference.all_special_ids)
    assert own.max_length == reference.model_max_length
    assert own.encode(TEXTS) == reference(TEXTS, truncation=False, verbose=False)["input_ids"]
    cut = reference(TEXTS, truncation=True, max_length=9, return_offsets_mapping=True)
    assert own.encode(TEXTS, 9) == cut["input_ids"]
    assert [own.split(text, 9)[0].spans for text in TEXTS] == cut["offset_mapping"]
    pair = reference("the film", "is good")["input_ids"]
    before, after, _ = own.segment_marks()
    first, second = own.encode(["the film"])[0], own.encode_bare(["is good"])[0]
    assert [*first, *before, *second, *after] == pair


def results_of(model, ids, mask):
    with torch.no_grad():
        whole = model(input_ids=ids).last_hidden_state
    model.train()
    torch.manual_seed(2)
    states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask]
    states.sin().sum().backward()
    model.eval()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return [whole, states, *gradients]


@pytest.mark.parametrize("options", [{}, {"num_attention_heads": 1, "hidden_act": "relu"}])
def test_states_dropout_and_gradients_are_those_of_transformers(tmp_path, options):
    folder = write_mpnet(tmp_path / "encoder", **options)
    reference = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    own = load_backbone(folder)
    assert isinstance(own, MpnetEncoder)
    assert list(own.state_dict()) == list(reference.state_dict())
    lengths = torch.tensor([45, 4, 1])
    mask = torch.arange(45) < lengths.unsqueeze(1)
    ids = torch.randint(5, 90, (3, 45), generator=torch.Generator().manual_seed(1))
    ids = ids.masked_fill(~mask, 1)
    results = [results_of(model.double(), ids, mask) for model in (own, reference)]
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(here, there, atol=1e-9, rtol=1e-9)


def test_nothing_is_computed_at_padding_and_words_may_be_taken_away(tmp_path):
    folder = write_mpnet(tmp_path / "encoder")
    series = make_texts()
    encoder = TokenEncoder(load_backbone(folder))
    assert encoder.is_packable
    seen = []
    for layer in encoder.backbone.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _m, given, _o: seen.append(given[0].shape))
    states = encoder(series)
    assert seen == [torch.Size([1, int(series.mask.sum()), 24])] * 3
    reference = AutoModel.from_pretrained(folder).eval()
    has_text = series.mask.any(dim=1)
    positions = torch.arange(17).expand(6, -1)[has_text] + 2
    expected = reference(
        input_ids=series.values.squeeze(-1)[has_text],
        attention_mask=series.mask[has_text].long(),
        position_ids=positions,
    ).last_hidden_state
    mask = series.mask[has_text]
    torch.testing.assert_close(states[has_text][mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_an_encoder_in_two_parts_is_the_encoder(tmp_path):
    folder = write_mpnet(tmp_path / "encoder")
    series = make_texts()
    expected = TokenEncoder(load_backbone(folder)).eval()(series)
    below = PaddedSeries(load_bottom(folder, 1)(series), series.mask)
    top = load_top(folder, 2).eval()
    assert top.is_packable
    assert [name for name, _ in top.named_parameters() if name.startswith("shared")] == [
        "shared.0.weight"
    ]
    torch.testing.assert_close(top(below)[series.mask], expected[series.mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [None, 3])
def test_attention_with_a_bias_is_the_same_by_length_and_padded(window):
    packing = pack(make_texts().mask)
    drawn = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, 2, len(packing.places), 5, generator=drawn) for _ in range(3)]
    bias = torch.randn(2, 17, 17, generator=drawn)
    by_length, padded = (
        attend(*parts, packing, window=window, bias=bias)
        for attend in (attend_by_length, attend_padded)
    )
    torch.testing.assert_close(by_length, padded, atol=1e-6, rtol=1e-5)
    without = attend_by_length(*parts, packing, window=window)
    assert not torch.allclose(by_length, without, atol=1e-2)


@pytest.mark.parametrize(
    "changes",
    [{"relative_attention_num_buckets": 16}, {"pad_token_id": 0}, {"hidden_act": "silu"}],
)
def test_what_is_no_plain_mpnet_is_for_transformers(tmp_path, changes):
    folder = write_mpnet(tmp_path / "encoder")
    path = folder / "config.json"
    plain = load_settings(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")
    assert not isinstance(load_settings(folder), type(plain))
