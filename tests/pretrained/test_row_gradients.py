"""Gradients of word embeddings, row by row: the same as PyTorch's, bit for bit."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from mien.pretrained.direct import row_gradients
from mien.pretrained.direct.row_gradients import (
    RowwiseEmbedding,
    add_rows_alone,
    forget_memory,
    take_back_gradients,
)


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


def step(embedding, *, seed, again=False):
    """Take the gradient of a step, after that of the last one was forgotten or taken back."""
    if again:
        take_back_gradients(nn.Sequential(embedding))
    embedding.weight.grad = None
    draws = torch.Generator().manual_seed(seed)
    numbers = torch.randint(0, 40, (7,), generator=draws)
    (embedding(numbers) * torch.randn(7, 6, generator=draws)).sum().backward()
    return embedding.weight.grad


def test_memory_of_a_gradient_is_taken_again_and_holds_nothing_of_the_last_step(embeddings):
    usual, changed = embeddings
    place = step(changed, seed=1).data_ptr()
    changed.weight.grad.add_(1.0)  # whatever else has been done to it
    later = step(changed, seed=2, again=True)
    assert later.data_ptr() == place
    assert torch.equal(later, step(usual, seed=2))


def test_a_gradient_that_was_not_taken_back_stays_as_it_is(embeddings):
    usual, changed = embeddings
    held = step(changed, seed=1).detach().numpy()
    before = held.copy()
    assert torch.equal(step(changed, seed=2), step(usual, seed=2))
    assert np.array_equal(held, before)


def test_memory_is_neither_copied_nor_saved_and_can_be_forgotten(embeddings):
    _, changed = embeddings
    place = step(changed, seed=1).data_ptr()
    take_back_gradients(changed)
    assert changed.weight.grad is None
    file = io.BytesIO()
    torch.save(changed, file)
    assert len(file.getvalue()) < 2 * changed.weight.numel() * 4 + 2000
    assert step(copy.deepcopy(changed), seed=1).data_ptr() != place
    held = step(changed, seed=1)
    take_back_gradients(changed)
    forget_memory(changed)
    forget_memory(changed)  # there is none
    assert step(changed, seed=1).data_ptr() != held.data_ptr()
    take_back_gradients(changed)
    changed.double()
    assert step(changed, seed=1).dtype is torch.float64
