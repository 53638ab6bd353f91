import numpy as np
import pytest
import torch
from cases import examples
from helpers import AUDIO, TEXT, VIDEO, make_material, make_series, make_split, write_tiny_store
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mien.data.dataset import batches, make_dataset, windows
from mien.tensors import pad
from mien.types import Clip, Task

LENGTHS = [3, 1, 0, 5, 2, 2, 4]


def make_dataset_of(lengths, labels=None, **options):
    """Series whose values say to which clip and step they belong."""
    arrays = [
        np.array([[100 * i + t, -1] for t in range(n)], dtype=np.float32).reshape(n, 2)
        for i, n in enumerate(lengths)
    ]
    return make_split(labels or [0.5] * len(lengths), {AUDIO: arrays}, **options)


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5))
@examples(40)
def test_padding_is_zero_at_the_end_and_the_mask_says_where(lengths):
    values, mask = pad([torch.full((n, 2), 7.0) for n in lengths])
    assert values.shape == (len(lengths), max(1, *lengths), 2)
    assert mask.sum(dim=1).tolist() == lengths
    assert (values[mask] == 7).all()
    assert (values[~mask] == 0).all()
    first_padding = mask.long().argmin(dim=1)
    assert all(not mask[row, n:].any() for row, n in enumerate(lengths))
    assert first_padding.dtype == torch.int64


def test_padding_keeps_token_ids_whole_numbers():
    values, _ = pad([torch.tensor([[5], [6]], dtype=torch.int32), torch.zeros(0, 1).int()])
    assert values.dtype == torch.int32


def test_a_batch_holds_the_series_and_labels_of_its_clips():
    dataset = make_dataset_of(LENGTHS, labels=[0, 1, 2, 3, -1, -2, -3])
    batch, targets = dataset.batch(np.array([4, 0, 2]))
    assert batch.index.tolist() == [4, 0, 2]
    assert batch.index.dtype == torch.int64
    values, mask = batch.sequences[AUDIO]
    assert mask.sum(dim=1).tolist() == [2, 3, 0]
    assert values[0, :2, 0].tolist() == [400, 401]
    assert targets.labels[Task.FUSION].tolist() == [-1, 0, 2]


def test_a_batch_may_be_of_clips_that_all_lack_a_modality():
    batch, _ = make_dataset_of([0, 0, 3]).batch(np.array([0, 1]))
    values, mask = batch.sequences[AUDIO]
    assert values.shape == (2, 1, 2)
    assert not mask.any()


def test_reading_a_batch_leaves_the_store_alone(tiny_store):
    series = tiny_store.series("audio")
    rows = tiny_store.rows("train")
    dataset = make_dataset(tiny_store.clips, rows, {AUDIO: series}, {})
    batch, _ = dataset.batch(np.arange(4))
    before = np.array(series[int(rows[0])])
    batch.sequences[AUDIO].values.fill_(9)
    assert np.array_equal(series[int(rows[0])], before)


def test_a_split_has_its_own_clips_in_their_order(tmp_path):
    material = make_material(num_clips=(5, 3, 2), missing=0.0)
    store = write_tiny_store(tmp_path / "s", num_clips=(5, 3, 2), missing=0.0)
    for split in ("train", "valid", "test"):
        dataset = make_dataset(store.clips, store.rows(split), {VIDEO: store.series("video")}, {})
        clips = [clip for clip in material.corpus.clips if clip.split == split]
        assert [c.id for c in dataset.clips] == [c.id for c in clips]
        wanted = [np.float32(c.labels[Task.FUSION]) for c in clips]
        assert dataset.labels[Task.FUSION].tolist() == wanted
        _, targets = dataset.batch(np.array([len(clips) - 1]))
        assert targets.labels[Task.AUDIO].item() == np.float32(clips[-1].labels[Task.AUDIO])


def test_a_task_that_nobody_annotated_has_no_labels_and_a_missing_one_is_nan():
    clips = tuple(
        Clip(id=str(i), split="train", transcript="", labels=labels)
        for i, labels in enumerate(
            [{Task.FUSION: 1.0, Task.AUDIO: -1.0}, {Task.FUSION: 0.0}, {Task.FUSION: 2.0}]
        )
    )
    series = make_series([np.zeros((1, 2), np.float32)] * 3)
    dataset = make_dataset(clips, np.arange(3), {AUDIO: series}, {})
    assert set(dataset.labels) == {Task.FUSION, Task.AUDIO}
    assert dataset.labels[Task.AUDIO].isnan().tolist() == [False, True, True]


def test_costs_add_up_over_modalities():
    clips = tuple(
        Clip(id=str(i), split="train", transcript="", labels={Task.FUSION: 0.0}) for i in range(2)
    )
    series = {
        m: make_series([np.zeros((n, 1), np.float32) for n in lengths])
        for m, lengths in ((TEXT, (2, 1)), (AUDIO, (0, 30)))
    }
    dataset = make_dataset(clips, np.arange(2), series, {TEXT: 100.0})
    assert dataset.costs.tolist() == [200, 130]


# --- windows and batches --------------------------------------------------------------------------

sizes = st.integers(1, 7)


@given(num=st.integers(1, 40), batch_size=sizes, accumulate=sizes, is_sorted=st.booleans())
@examples(60)
def test_every_clip_is_seen_once_an_epoch_in_windows_of_the_stated_size(
    num, batch_size, accumulate, is_sorted
):
    random = np.random.default_rng(num)
    order, costs = random.permutation(num), random.integers(0, 9, num)
    seen = []
    made = list(
        windows(
            order,
            batch_size=batch_size,
            accumulate=accumulate,
            costs=costs if is_sorted else None,
        )
    )
    for number, window in enumerate(made):
        clips = np.concatenate(window)
        assert len(window) <= accumulate
        assert all(0 < len(index) <= batch_size for index in window)
        assert all(len(index) == batch_size for index in window[:-1])
        if number < len(made) - 1:
            assert len(clips) == batch_size * accumulate
        # grouping by length moves no clip into another window
        start = number * batch_size * accumulate
        assert sorted(clips) == sorted(order[start : start + len(clips)])
        if is_sorted:
            assert (np.diff(costs[clips]) >= 0).all()
        else:
            assert list(clips) == list(order[start : start + len(clips)])
        seen.extend(clips)
    assert sorted(seen) == list(range(num))


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=12), batch_size=st.integers(1, 5))
@examples(20)
def test_in_evaluation_every_clip_is_given_once_with_its_row(lengths, batch_size):
    dataset = make_dataset_of(lengths)
    rows = []
    for batch, targets in batches(dataset, batch_size):
        values, mask = batch.sequences[AUDIO]
        assert len(targets.labels[Task.FUSION]) == len(batch.index) <= batch_size
        for row, clip in enumerate(batch.index.tolist()):
            assert mask[row].sum() == lengths[clip]
            assert values[row][mask[row]][:, 0].tolist() == [
                100 * clip + t for t in range(lengths[clip])
            ]
        rows.extend(batch.index.tolist())
    assert sorted(rows) == list(range(len(lengths)))


def test_in_evaluation_clips_of_like_length_share_a_batch():
    dataset = make_dataset_of([9, 1, 8, 2, 9, 1])
    lengths = [b.sequences[AUDIO].mask.sum(dim=1).tolist() for b, _ in batches(dataset, 2)]
    assert lengths == [[1, 1], [2, 8], [9, 9]]


def test_a_loader_of_torch_gives_the_same_batches():
    """A ``DataLoader`` failed: the dataset was not subscriptable."""
    dataset = make_dataset_of(LENGTHS, labels=[0.1 * n for n in range(len(LENGTHS))])
    loaded = list(DataLoader(dataset, batch_size=3, collate_fn=dataset.collate))
    assert [len(batch.index) for batch, _ in loaded] == [3, 3, 1]
    for batch, targets in loaded:
        expected, labels = dataset.batch(batch.index.numpy())
        assert torch.equal(batch.index, expected.index)
        for part, same in zip(batch.sequences[AUDIO], expected.sequences[AUDIO], strict=True):
            assert torch.equal(part, same)
        assert torch.equal(targets.labels[Task.FUSION], labels.labels[Task.FUSION])


def test_a_clip_of_a_dataset_is_its_series_and_labels():
    dataset = make_dataset_of([3, 0], labels=[0.5, -1.0])
    last = dataset[-1]
    assert (last.row, tuple(last.series[AUDIO].shape)) == (1, (0, 2))
    assert float(last.labels[Task.FUSION]) == -1.0
    assert [len(clip.series[AUDIO]) for clip in dataset] == [3, 0]
    with pytest.raises(IndexError):
        dataset[2]
