"""BERT encoders and tokenizers read without transformers: equal to what transformers makes."""

import json

import pytest
import torch
from helpers import write_tiny_bert
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from mien.errors import AssetError
from mien.pretrained.direct.bert import BertEncoder
from mien.pretrained.direct.tokenizer import load_tokenizer
from mien.pretrained.encoder_cut import cut_encoder
from mien.pretrained.encoder_source import find_text_encoder
from mien.pretrained.packed.first_states import can_end_in_first
from mien.pretrained.packed.packing import make_packable
from mien.pretrained.text_encoder import load_backbone, load_bottom, load_settings, load_top
from mien.tensors import PaddedSeries

AWKWARD = [
    "",
    " \t\n",
    "I love it 😀👍🏽, really",
    "我喜欢这部电影。很好",
    "a\x00b\x07c\u200b d\ufffd\u00ad e",
    "word good " * 700,
    "[MASK] [CLS] the [SEP] [mask] [PAD] film[MASK]",
    "Ünïcödé CAFÉ naı\u0307ve e\u0301",
    "x" * 300,
    "\u202ethe\u202c שלום مرحبا",
]


def edit(folder, name, **values):
    path = folder / name
    given = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**given, **values}), encoding="utf-8")
    return folder


def as_transformers_saves(folder):
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


FORMS = {
    "as written": lambda folder: folder,
    "as transformers saves it": as_transformers_saves,
    "all of tokenizer.json": lambda folder: edit(
        folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast"
    ),
    "cased": lambda folder: edit(
        folder, "tokenizer_config.json", do_lower_case=False, strip_accents=True
    ),
    "cut and padded": lambda folder: edit(
        folder,
        "tokenizer.json",
        truncation={"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
                 "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
    ),
    "added tokens": lambda folder: edit(
        folder,
        "tokenizer_config.json",
        added_tokens_decoder={
            str(4): {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False,
                     "normalized": False, "special": True},
            "100": {"content": "film[MASK", "lstrip": False, "rstrip": False, "single_word": False,
                    "normalized": True, "special": False},
        },
    ),
    "a token of another kind": lambda folder: edit(
        folder, "tokenizer_config.json", additional_special_tokens=["film"]
    ),
}  # fmt: skip


@pytest.fixture(params=[*FORMS, "minilm"])
def folder(request, tmp_path):
    if request.param != "minilm":
        return FORMS[request.param](write_tiny_bert(tmp_path / "encoder"))
    try:
        return find_text_encoder("minilm")
    except AssetError:
        pytest.skip("minilm is not here")


def test_token_ids_are_those_of_transformers(folder):
    own, reference = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert own.max_length == reference.model_max_length
    assert own.special_ids == frozenset(reference.all_special_ids)
    encoded = reference(AWKWARD, truncation=False, verbose=False)["input_ids"]
    assert own.encode(AWKWARD) == encoded
    cut = reference(AWKWARD, truncation=True, max_length=9, padding=False)["input_ids"]
    assert own.encode(AWKWARD, 9) == cut
    assert own.encode(AWKWARD) == encoded  # nothing is left of the cut
    for text in AWKWARD:
        rows = reference(text, truncation=True, max_length=9, padding=False,
                         return_offsets_mapping=True, return_overflowing_tokens=True)  # fmt: skip
        parts = own.split(text, 9)
        assert [part.ids for part in parts] == rows["input_ids"]
        assert [part.spans for part in parts] == rows["offset_mapping"]
        names = [reference.convert_ids_to_tokens(row) for row in rows["input_ids"]]
        assert [part.tokens for part in parts] == names
        words = text.split()
        of_words = reference(words, is_split_into_words=True, truncation=True, max_length=9)
        assert own.encode_words(words, 9) == (of_words["input_ids"], of_words.word_ids())


CONFIGS = {
    "usual": {},
    "one head, other sizes": {"num_attention_heads": 1, "type_vocab_size": 1, "pad_token_id": 3},
    "relu": {"hidden_act": "relu", "layer_norm_eps": 1e-5},
    "tanh": {"hidden_act": "tanh", "hidden_dropout_prob": 0.3},
}


def write_random(folder, *, half=False, **options):
    torch.manual_seed(1)
    config = BertConfig(vocab_size=60, hidden_size=24, num_hidden_layers=3,
                        intermediate_size=40, max_position_embeddings=30,
                        initializer_range=0.4, **{"num_attention_heads": 3, **options})  # fmt: skip
    model = BertModel(config)
    (model.half() if half else model).save_pretrained(folder)
    return folder


def make_series(steps=17):
    mask = torch.arange(steps) < torch.tensor([[steps], [4], [1], [0]])
    ids = torch.randint(5, 60, (4, steps, 1), generator=torch.Generator().manual_seed(1))
    return PaddedSeries(ids, mask)


@pytest.mark.parametrize("name", CONFIGS)
def test_states_dropout_and_gradients_are_those_of_transformers(tmp_path, name):
    folder = write_random(tmp_path / "encoder", **CONFIGS[name])
    reference = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    own = load_backbone(folder)
    assert isinstance(own, BertEncoder)
    assert list(own.state_dict()) == list(reference.state_dict())
    assert own.training == reference.training
    ids, mask = make_series().values.squeeze(-1), make_series().mask.long()[:3]
    results = []
    for model in (own, reference):
        with torch.no_grad():
            given = [model(input_ids=ids, attention_mask=m) for m in (None, torch.ones_like(ids))]
        torch.manual_seed(2)
        model.train()
        states = model(input_ids=ids[:3], attention_mask=mask).last_hidden_state
        states.sin().sum().backward()
        results.append([*(one.last_hidden_state for one in given), states]
                       + [p.grad for p in model.parameters()])  # fmt: skip
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(here, there, atol=1e-6, rtol=1e-6)


def test_an_encoder_in_two_parts_is_the_encoder(tmp_path):
    folder = write_random(tmp_path / "encoder", half=True)
    reference = AutoModel.from_pretrained(folder, dtype="float32").eval()
    series = make_series()
    ids, mask = series.values.squeeze(-1)[:3], series.mask[:3]
    expected = reference(
        input_ids=ids, attention_mask=mask.long(), output_hidden_states=True
    ).hidden_states
    for layers in (0, 1, 3):
        states = load_bottom(folder, layers)(series)[:3]
        torch.testing.assert_close(states[mask], expected[layers][mask], atol=1e-5, rtol=1e-5)
    below = PaddedSeries(load_bottom(folder, 1)(series), series.mask)
    for rows in (slice(0, 1), slice(0, 4)):  # padded, packed
        above = load_top(folder, 2).eval()(PaddedSeries(*(part[rows] for part in below)))
        wanted = expected[3][rows][mask[rows]]
        torch.testing.assert_close(above[:3][mask[rows]], wanted, atol=1e-5, rtol=1e-5)


def rename(folder, change):
    weights = load_file(folder / "model.safetensors")
    save_file({change(name): w for name, w in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    return folder


def in_earlier_names(name):
    for now, then in (("weight", "gamma"), ("bias", "beta")):
        name = name.replace(f"LayerNorm.{now}", f"LayerNorm.{then}")
    return f"bert.{name}"


def test_names_of_files_with_a_head_and_of_earlier_times_are_known(tmp_path):
    plain = load_backbone(write_random(tmp_path / "a")).state_dict()
    earlier = rename(write_random(tmp_path / "b"), in_earlier_names)
    for name, weight in load_backbone(earlier).state_dict().items():
        assert torch.equal(weight, plain[name])


@pytest.mark.parametrize(
    "changes", [{"is_decoder": True}, {"hidden_act": "silu"}, {"model_type": "roberta"}]
)
def test_what_is_no_plain_bert_is_for_transformers(tmp_path, changes):
    folder = edit(write_random(tmp_path / "encoder"), "config.json", **changes)
    assert not isinstance(load_settings(folder), type(load_settings(write_random(tmp_path / "b"))))


def test_its_last_layer_and_its_upper_part_can_compute_the_first_token_alone(tiny_bert):
    encoder = load_backbone(tiny_bert)
    assert make_packable(encoder)
    assert can_end_in_first(encoder)
    assert can_end_in_first(cut_encoder(encoder, 1).upper, is_cut=True)
