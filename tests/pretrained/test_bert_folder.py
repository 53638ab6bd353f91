"""Writing a folder in Hugging Face's layout."""

import numpy as np
import pytest

from mien.errors import OutputError
from mien.pretrained.conversion.bert_folder import (
    BertSizes,
    staged_folder,
    weight_shapes,
    write_bert,
)

SIZES = BertSizes(
    vocab_size=3,
    hidden_size=4,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=5,
    max_position_embeddings=6,
    type_vocab_size=2,
)


@pytest.mark.parametrize("pooler", ["with", "without"])
def test_the_weights_are_those_of_transformers(pooler):
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**SIZES.model_dump()), add_pooling_layer=pooler == "with")
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    assert weight_shapes(SIZES, pooler=pooler) == shapes


def test_what_is_written_is_read_by_safetensors(tmp_path):
    from safetensors.numpy import load_file

    shapes = {"a": (2, 3), "b": (), "long name": (0, 4)}
    weights = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    write_bert(tmp_path, SIZES, shapes, weights.__getitem__)
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == shapes.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(found[name], weight)


def test_a_weight_of_another_shape_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"a has shape \(3,\), \(2,\) was said"):
        write_bert(tmp_path, SIZES, {"a": (2,)}, lambda _: np.zeros(3, np.float32))


def fail_half_way(out) -> None:
    with staged_folder(out) as folder:
        (folder / "half").write_text("")
        raise OSError(28, "No space left on device")


def test_after_a_failure_nothing_is_left(tmp_path):
    with pytest.raises(OutputError, match=r"out: cannot be written \(No space"):
        fail_half_way(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="out: cannot be written"),
        staged_folder(tmp_path / "file" / "out"),
    ):
        pass
