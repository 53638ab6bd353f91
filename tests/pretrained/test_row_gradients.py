"""Gradients of word embeddings, row by row: the same as PyTorch's, bit for bit."""

import copy

import pytest
import torch
from torch import nn

from mien.pretrained.direct import row_gradients
from mien.pretrained.direct.row_gradients import RowwiseEmbedding, add_rows_alone


@pytest.fixture
def embeddings(monkeypatch):
    monkeypatch.setattr(row_gradients, "MANY_ROWS", 40)
    torch.manual_seed(1)
    usual = nn.Sequential(nn.Embedding(40, 6, padding_idx=3), nn.Embedding(39, 6))
    changed = copy.deepcopy(usual)
    add_rows_alone(changed)
    assert [type(part) for part in changed] == [RowwiseEmbedding, nn.Embedding]
    assert list(changed.state_dict()) == list(usual.state_dict())
    return usual[0], changed[0]


def test_gradients_of_several_batches_are_the_same_bit_for_bit(embeddings):
    for embedding in embeddings:
        draws = torch.Generator().manual_seed(2)
        for size in ((5, 9), (30,)):
            numbers = torch.randint(0, 12, size, generator=draws)
            weights = torch.randn(*size, 6, generator=draws)
            (embedding(numbers) * weights).sum().backward()
    usual, changed = (embedding.weight.grad for embedding in embeddings)
    assert torch.equal(usual, changed)
    assert not changed[3].any()  # padding learns nothing
    assert changed[:3].any()
    assert not changed[12:].any()


def test_without_gradients_rows_are_looked_up_as_usual(embeddings):
    numbers = torch.tensor([[3, 1], [39, 0]])
    usual, changed = embeddings
    assert torch.equal(usual(numbers), changed(numbers))
    changed.weight.requires_grad_(requires_grad=False)
    assert not changed(numbers).requires_grad
