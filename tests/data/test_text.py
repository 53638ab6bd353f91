import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from helpers import WORDS, make_config, make_material
from safetensors.torch import load_file, save_file
from texts import TRANSCRIPTS, make_settings, make_store, read_sequence, reference_states
from tokenizers import Tokenizer
from transformers import AutoModel

from mien.data.store_writer import write_store
from mien.data.text import prepare_text
from mien.data.text_reader import TextReader
from mien.data.text_settings import TextEncoderConfig
from mien.errors import AssetError, ConfigError
from mien.pretrained.direct.tokenizer import load_tokenizer
from mien.pretrained.encoder_source import find_local_encoder
from mien.pretrained.text_encoder import GivenStates, TokenEncoder
from mien.tensors import pad
from mien.training.preparation import prepare
from mien.training.record import describe_run
from mien.types import Material

MODES = ("finetune", "frozen", "last-1", "last-2", "lora", "lora-1")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", TRANSCRIPTS)


# --- tokens ---------------------------------------------------------------------------------------


def test_transcripts_become_the_ids_of_the_encoders_own_tokenizer(store, tiny_bert):
    text = prepare_text(store, make_settings(tiny_bert))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    first = [vocabulary[i] for i in text.series[0][:, 0]]
    assert first == ["[CLS]", "the", "film", "was", "good", "[SEP]"]
    second = [vocabulary[i] for i in text.series[1][:, 0]]
    assert second == ["[CLS]", "not", "very", "good", "!", "[SEP]"]


def test_a_long_transcript_is_cut_and_still_ends_as_it_should(store, tiny_bert):
    text = prepare_text(store, make_settings(tiny_bert, max_tokens=5))
    assert text.series.lengths.tolist() == [5, 5, 3, 5]
    assert text.series[3][[0, -1], 0].tolist() == [2, 3]


@pytest.mark.parametrize(("max_tokens", "num"), [(5, 3), (6, 1), (11, 0)])
def test_transcripts_that_are_cut_are_counted(store, tiny_bert, max_tokens, num):
    """Training cut long transcripts without a word. With their marks they have 6, 6, 3, 11."""
    text = prepare_text(store, make_settings(tiny_bert, max_tokens=max_tokens))
    assert text.num_truncated == num
    assert text.max_tokens == max_tokens


def test_preparing_a_store_tells_how_many_transcripts_are_cut(store, tiny_bert, caplog):
    config = make_config(text_encoder={"name": str(tiny_bert), "input": "transcript"})
    prepare(store, config)
    assert "transcripts" not in caplog.text
    short = config.text_encoder.model_copy(update={"max_tokens": 5})
    prepare(store, config.model_copy(update={"text_encoder": short}))
    assert (
        "tiny: 3 of 4 clips have transcripts longer than 5 tokens, which are cut there; set "
        "text_encoder.max_tokens to read more" in caplog.text
    )


def test_where_the_encoder_itself_reads_no_more_that_is_told(tmp_path, tiny_bert, caplog):
    store = make_store(tmp_path / "s", ["good " * 600, "bad"])
    text = {"name": str(tiny_bert), "input": "transcript", "max_tokens": 1000}
    prepare(store, make_config(text_encoder=text))
    assert "1 of 2 clips have transcripts longer than" in caplog.text
    assert f"text encoder {tiny_bert} reads no more" in caplog.text


def test_a_run_remembers_how_many_transcripts_were_cut(store, tiny_bert):
    text = {"name": str(tiny_bert), "input": "transcript", "max_tokens": 5}
    config = make_config(text_encoder=text)
    environment = describe_run(prepare(store, config), config, 0, None)
    assert environment["num_truncated_transcripts"] == 3


def test_a_reader_says_how_far_it_reads(tiny_bert):
    reader = TextReader(make_settings(tiny_bert, max_tokens=5), "en")
    assert reader.fits("the film was")
    assert reader.analyse("the film was").fits
    assert reader.analyse("the film was").num_characters == len("the film was")
    assert not reader.fits("the film was good")
    assert not reader.analyse("the film was good").fits
    assert reader.count_tokens("the film was good") == 6
    assert reader.analyse("the film was good").num_characters == len("the film was")
    assert reader.analyse("the xyz").is_known
    assert reader.analyse("xyz " * 9 + "film").is_known  # what is not read counts too
    assert not reader.analyse("xyz 😍").is_known


@pytest.mark.parametrize("text", ["the film was good", "xyz", "Not very good! 😍", " the  film"])
def test_a_text_that_is_analysed_has_the_ids_and_tokens_that_are_read(tiny_bert, text):
    reader = TextReader(make_settings(tiny_bert, max_tokens=5), "en")
    analysed = reader.analyse(text)
    assert analysed.ids.tolist() == reader.tokenise([text])[0].tolist()
    assert list(analysed.tokens) == reader.tokens(text)
    assert reader.read_ids([analysed.ids])[0].tolist() == reader.read(text).tolist()


def test_the_tokenizer_for_others_gives_what_it_cut_off(tiny_bert):
    reader = TextReader(make_settings(tiny_bert, max_tokens=5), "en")
    tokenizer = Tokenizer.from_str(reader.tokenizer_json())
    assert not tokenizer.encode("the film was").overflowing
    assert tokenizer.encode("the film was good").overflowing


@pytest.mark.parametrize("empty", ["", "  ", "\n\t"])
def test_an_empty_transcript_is_a_missing_modality(tmp_path, tiny_bert, empty):
    store = make_store(tmp_path / "s", ["good", empty, "bad"])
    for mode in MODES:
        text = prepare_text(store, make_settings(tiny_bert, mode=mode))
        assert text.series.lengths.tolist() == [3, 0, 3]


def test_a_store_without_any_transcript_has_no_text(tmp_path, tiny_bert):
    store = make_store(tmp_path / "s", ["", " "])
    assert prepare_text(store, make_settings(tiny_bert)) is None


def test_text_can_be_left_out(store):
    assert prepare_text(store, TextEncoderConfig(input="none")) is None


def test_tokens_say_which_characters_they_cover(store, tiny_bert):
    text = prepare_text(store, make_settings(tiny_bert))
    clip = store.clips[1]
    tokens = text.tokens(clip)
    assert len(tokens) == len(text.series[1])
    assert [(w, clip.transcript[a:b].lower()) for w, a, b in tokens[1:-1]] == [
        (w, w) for w in ("not", "very", "good", "!")
    ]
    assert [(a, b) for _, a, b in (tokens[0], tokens[-1])] == [(0, 0), (0, 0)]


def test_a_prefix_of_the_encoder_is_read_and_not_counted(store, tiny_bert, monkeypatch):
    monkeypatch.setattr("mien.data.text_reader.text_prefix", lambda _: "so good ")
    text = prepare_text(store, make_settings(tiny_bert))
    clip = store.clips[0]
    tokens = text.tokens(clip)
    assert len(tokens) == len(text.series[0]) == 8
    assert [clip.transcript[a:b] for _, a, b in tokens] == [
        "", "", "", "the", "film", "was", "good", ""
    ]  # fmt: skip


# --- the modes agree ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_states_of_the_encoder(store, tiny_bert, mode):
    """Cached or not, cut after any layer, padded or not: in evaluation it is one encoder."""
    text = prepare_text(store, make_settings(tiny_bert, mode=mode))
    rows = [3, 0, 2, 1]
    sequence = read_sequence(text, rows)
    with torch.no_grad():
        states = text.build().eval()(sequence)
    plain = prepare_text(store, make_settings(tiny_bert))
    assert states.shape == (4, max(plain.series.lengths), text.size)
    for row, wanted in enumerate(reference_states(tiny_bert, plain, rows)):
        torch.testing.assert_close(states[row, : len(wanted)], wanted, rtol=0, atol=1e-5)


def test_frozen_states_need_no_encoder(store, tiny_bert):
    text = prepare_text(store, make_settings(tiny_bert, mode="frozen"))
    assert isinstance(text.build(), GivenStates)
    assert list(text.build().parameters()) == []


@pytest.mark.parametrize(("mode", "num_layers"), [("last-1", 1), ("last-2", 2)])
def test_the_last_layers_are_trained_and_no_other(store, tiny_bert, mode, num_layers):
    text = prepare_text(store, make_settings(tiny_bert, mode=mode))
    top = text.build()
    full = AutoModel.from_pretrained(tiny_bert)
    wanted = [p for layer in full.encoder.layer[-num_layers:] for p in layer.parameters()]
    found = list(top.parameters())
    assert len(found) == len(wanted)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    top.train()(read_sequence(text, [0, 1])).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in found)


def test_finetuning_trains_every_parameter_of_the_encoder(store, tiny_bert):
    text = prepare_text(store, make_settings(tiny_bert))
    encoder = text.build()
    assert isinstance(encoder, TokenEncoder)
    states = encoder(read_sequence(text, range(4)))
    coefficients = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    (states * coefficients).sum().backward()
    idle = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []  # the pooler, which nothing reads, is not there


@pytest.mark.parametrize("mode", ["finetune", "last-1", "last-2", "lora"])
def test_a_clip_without_text_gives_finite_states_beside_one_with_text(tmp_path, tiny_bert, mode):
    store = make_store(tmp_path / "s", ["good film", ""])
    text = prepare_text(store, make_settings(tiny_bert, mode=mode))
    encoder = text.build().eval()
    states = encoder(read_sequence(text, [0, 1]))
    assert torch.isfinite(states).all()
    torch.testing.assert_close(states[:1], encoder(read_sequence(text, [0])))
    states.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_an_encoder_is_never_asked_to_attend_to_nothing():
    """A softmax over nothing is not a number in some of the ways to compute attention."""
    seen = []

    class Backbone(torch.nn.Module):
        def forward(self, input_ids, attention_mask):
            seen.append(attention_mask)
            return SimpleNamespace(last_hidden_state=torch.zeros(*input_ids.shape, 2))

    TokenEncoder(Backbone())(pad([torch.ones(2, 1).int(), torch.zeros(0, 1).int()]))
    assert sorted(seen[0].tolist()) == [[1, 0], [1, 1]]  # shortest first


def test_building_twice_starts_from_the_same_weights(store, tiny_bert):
    text = prepare_text(store, make_settings(tiny_bert))
    first, second = text.build(), text.build()
    with torch.no_grad():
        next(first.parameters()).zero_()
    assert next(second.parameters()).any()


# --- published ids and states ---------------------------------------------------------------------


def test_published_token_ids_are_taken_as_they_are(tmp_path, tiny_bert):
    tokens = [[2, 10, 3], [], [2, 20, 30, 3]]
    store = make_store(tmp_path / "s", ["a", "b", "c"], tokens=tokens)
    text = prepare_text(store, make_settings(tiny_bert, input="tokens"))
    assert [text.series[row][:, 0].tolist() for row in range(3)] == tokens
    assert text.tokens is None


def bert_ids(*words):
    """Ids of uncased BERT, with its marks."""
    known = load_tokenizer(find_local_encoder("minilm")).vocabulary()
    return [known[word] for word in ("[CLS]", *words, "[SEP]")]


def test_published_ids_of_bert_are_carried_over_by_the_names_of_their_tokens(tmp_path, tiny_bert):
    """They were read as they are, as other words, wherever an encoder has as many tokens."""
    tokens = [bert_ids("film", "[UNK]", "good"), [], bert_ids("not", "[PAD]", "[MASK]")]
    store = make_store(tmp_path / "s", ["a", "b", "c"], tokens=tokens)
    own = load_tokenizer(tiny_bert).vocabulary()
    text = prepare_text(store, make_settings(tiny_bert, input="tokens"))
    names = [["[CLS]", "film", "[UNK]", "good", "[SEP]"], [],
             ["[CLS]", "not", "[PAD]", "[MASK]", "[SEP]"]]  # fmt: skip
    found = [text.series[row][:, 0].tolist() for row in range(3)]
    assert found == [[own[word] for word in each] for each in names]


@pytest.mark.parametrize(
    ("word", "language", "message"),
    [
        (
            "zebra",
            "en",
            r"but 'zebra', id \d+, of the published token ids is not in the vocabulary",
        ),
        (
            "good",
            "zh",
            r"are BERT's, and .* has another vocabulary; use text_encoder\.input=transc",
        ),
    ],
)
def test_published_ids_without_a_name_here_are_refused(
    tmp_path, tiny_bert, word, language, message
):
    store = make_store(tmp_path / "s", ["a"], tokens=[bert_ids(word)], language=language)
    with pytest.raises(ConfigError, match=message):
        prepare_text(store, make_settings(tiny_bert, input="tokens"))


@pytest.mark.parametrize("worst", [48, 60, 30521])
def test_ids_of_another_vocabulary_are_refused(tmp_path, tiny_bert, worst):
    size = len(WORDS) + 5
    if worst < size:
        worst = size
    store = make_store(tmp_path / "s", ["a"], tokens=[[2, worst, 3]])
    with pytest.raises(
        ConfigError,
        match=rf"text_encoder\.name is .* with {size} tokens, but the token ids reach {worst}; "
        "they belong to another encoder",
    ):
        prepare_text(store, make_settings(tiny_bert, input="tokens"))


def test_published_states_are_taken_as_they_are(store):
    text = prepare_text(store, TextEncoderConfig(input="embeddings"))
    assert text.size == store.meta.series["text"].size
    sequence = read_sequence(text, [0, 1])
    assert torch.equal(text.build()(sequence), sequence.values)
    assert (text.name, text.fingerprint) == ("embeddings", "")


def test_settings_that_the_store_cannot_serve_are_refused(tmp_path, tiny_bert):
    material = make_material(num_clips=(3, 0, 0))
    bare = Material(corpus=material.corpus, series=material.series[1:], origin={})
    store = write_store(bare, tmp_path / "s")
    with pytest.raises(ConfigError, match=r"is 'embeddings', but the store has no series 'text'"):
        prepare_text(store, TextEncoderConfig(input="embeddings"))
    with pytest.raises(ConfigError, match=r"is 'tokens', but the store has no published token ids"):
        prepare_text(store, make_settings(tiny_bert, input="tokens"))
    with pytest.raises(ConfigError, match=r"mode is 'last-3', but .* has 2 layers"):
        prepare_text(store, make_settings(tiny_bert, mode="last-3"))


# --- encoders that are not what they should be ----------------------------------------------------


def test_a_folder_that_is_not_there_is_an_error(store, tmp_path):
    with pytest.raises(AssetError, match=r"there is no such folder"):
        prepare_text(store, make_settings(tmp_path / "nowhere"))


def test_a_folder_without_a_model_is_an_error(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssetError, match=r"is not a folder of a Hugging Face model"):
        prepare_text(store, make_settings(tmp_path / "empty"))


def test_a_hub_name_that_cannot_be_reached_is_an_error(store):
    with pytest.raises(AssetError, match=r"'nobody/no-such-model' cannot be loaded"):
        prepare_text(store, TextEncoderConfig(name="nobody/no-such-model"))


def break_weights(folder):
    (folder / "model.safetensors").write_bytes(b"\x00" * 20)


def lose_weights(folder):
    (folder / "model.safetensors").unlink()


def break_config(folder):
    (folder / "config.json").write_text("{", encoding="utf-8")


def name_no_architecture(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "nonsense"}), encoding="utf-8")


def lose_tokenizer(folder):
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        (folder / name).unlink()


def break_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")


def lose_a_layer(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: w for name, w in weights.items() if "layer.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def change_a_size(folder):
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] = torch.zeros(3, 16)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


HARMS = [
    break_weights,
    lose_weights,
    lose_a_layer,
    change_a_size,
    break_config,
    name_no_architecture,
    lose_tokenizer,
    break_tokenizer,
]


@pytest.mark.parametrize("harm", HARMS, ids=lambda f: f.__name__)
def test_a_damaged_encoder_is_an_error_in_one_sentence(store, tiny_bert, tmp_path, harm):
    folder = shutil.copytree(tiny_bert, tmp_path / "harmed")
    harm(folder)
    sentence = r"text encoder '.*harmed' cannot be loaded \(.+\); give"
    with pytest.raises(AssetError, match=sentence):
        prepare_text(store, make_settings(folder)).build()


def test_code_that_lies_in_a_folder_is_not_run(store, tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "hostile")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.EvilConfig"}
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    trace = tmp_path / "was-here"
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(AssetError, match=r"hostile' cannot be loaded"):
        prepare_text(store, make_settings(folder))
    assert not trace.exists()


def test_pickled_weights_that_run_code_are_refused(store, tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    trace = tmp_path / "was-here"

    class Evil:
        def __reduce__(self):
            return (open, (str(trace), "w"))

    torch.save({"embeddings.word_embeddings.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(AssetError, match=r"pickled' cannot be loaded"):
        prepare_text(store, make_settings(folder)).build()
    assert not trace.exists()


@pytest.mark.parametrize("mode", ["last-0", "last", "last--1", "Frozen", "last-1.5", ""])
def test_a_mode_must_be_one_of_those_that_are_stated(mode):
    with pytest.raises(ValueError, match=r"mode"):
        TextEncoderConfig(mode=mode)
