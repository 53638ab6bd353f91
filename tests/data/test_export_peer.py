"""What a loader of the field's common framework takes from an exported pickle.

Source: data_loader.py and models/multiTask/SELF_MM.py of thuiar/MMSA, read as published.
"""

import pickle

import helpers
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from mien.data.export.layouts import export_store
from mien.data.store_writer import write_store
from mien.types import SPLITS, Task

UNIMODAL = {"T": Task.TEXT, "A": Task.AUDIO, "V": Task.VIDEO}


class PeerSplit:
    """Takes from a split what the loader takes, in the way in which it does."""

    def __init__(self, data, split, *, uses_tokens=True, is_aligned=False, has_unimodal=True):
        part = data[split]
        self.text = part["text_bert" if uses_tokens else "text"].astype(np.float32)
        self.audio = part["audio"].astype(np.float32)
        self.vision = part["vision"].astype(np.float32)
        self.raw_text, self.ids = part["raw_text"], part["id"]
        self.labels = {"M": np.array(part["regression_labels"]).astype(np.float32)}
        if has_unimodal:
            for letter in "TAV":
                self.labels[letter] = part[f"regression_labels_{letter}"].astype(np.float32)
        self.lengths = {}
        if not is_aligned:
            self.lengths = {key: part[f"{key}_lengths"] for key in ("audio", "vision")}
        self.audio[self.audio == -np.inf] = 0

    def __len__(self):
        return len(self.labels["M"])

    def __getitem__(self, index):
        """Return one clip, as a collate function takes it."""
        labels = {key: torch.Tensor(one[index].reshape(-1)) for key, one in self.labels.items()}
        lengths = {f"{key}_lengths": one[index] for key, one in self.lengths.items()}
        return {
            "raw_text": self.raw_text[index],
            "text": torch.Tensor(self.text[index]),
            "audio": torch.Tensor(self.audio[index]),
            "vision": torch.Tensor(self.vision[index]),
            "id": self.ids[index],
            "labels": labels,
            **lengths,
        }


def export(tmp_path, encoder, *, missing=0.0):
    store = write_store(helpers.make_material(name="mosi", missing=missing), tmp_path / "store")
    lost = export_store(store, tmp_path / "out.pkl", encoder=encoder)
    with (tmp_path / "out.pkl").open("rb") as file:
        return store, pickle.load(file), lost


@pytest.mark.parametrize("split", SPLITS)
def test_a_peer_loader_finds_every_clip_label_and_length(tmp_path, tiny_bert, split):
    store, data, _ = export(tmp_path, str(tiny_bert))
    peer = PeerSplit(data, split)
    clips = [store.clips[row] for row in store.rows(split)]
    assert len(peer) == len(clips)
    for number, clip in enumerate(clips):
        one = peer[number]
        assert (one["id"], one["raw_text"]) == (clip.id, clip.transcript)
        assert one["labels"]["M"].shape == (1,)
        assert float(one["labels"]["M"]) == pytest.approx(clip.labels[Task.FUSION])
        for letter, task in UNIMODAL.items():
            assert float(one["labels"][letter]) == pytest.approx(clip.labels[task])
        for key in ("audio", "vision"):
            assert isinstance(one[f"{key}_lengths"], int)
            assert 0 < one[f"{key}_lengths"] <= one[key].shape[0]
            assert torch.isfinite(one[key]).all()


def test_a_peer_loader_finds_the_same_sizes_in_all_splits(tmp_path, tiny_bert):
    _, data, _ = export(tmp_path, str(tiny_bert))
    splits = [PeerSplit(data, split) for split in SPLITS]
    shapes = {(p.text.shape[1:], p.audio.shape[1:], p.vision.shape[1:]) for p in splits}
    assert len(shapes) == 1
    states = {PeerSplit(data, split, uses_tokens=False).text.shape[1:] for split in SPLITS}
    assert states == {(splits[0].text.shape[2], 16)}  # one state for each token


def test_a_batch_of_a_peer_goes_through_an_lstm_and_its_token_mask_says_the_length(
    tmp_path, tiny_bert
):
    _, data, _ = export(tmp_path, str(tiny_bert))
    loader = torch.utils.data.DataLoader(PeerSplit(data, "train"), batch_size=5)
    for batch in loader:
        ids, mask, segments = batch["text"][:, 0, :], batch["text"][:, 1, :], batch["text"][:, 2, :]
        lengths = mask.sum(dim=1).int()
        assert ((ids.long() != 0).sum(dim=1) == lengths).all()
        assert (lengths >= 2).all()  # the marks at its ends
        assert (ids == ids.long()).all()
        assert not segments.any()
        for key in ("audio", "vision"):
            size = batch[key].shape[2]
            packed = pack_padded_sequence(
                batch[key], batch[f"{key}_lengths"], batch_first=True, enforce_sorted=False
            )
            _, (last, _) = nn.LSTM(size, 4, batch_first=True)(packed)
            assert last.shape == (1, len(batch["id"]), 4)


def test_that_a_peer_cannot_pack_a_clip_without_a_modality_is_said(tmp_path, tiny_bert):
    _, data, lost = export(tmp_path, str(tiny_bert), missing=0.3)
    num = sum(length == 0 for split in SPLITS for length in data[split]["audio_lengths"])
    assert num > 0
    assert any(f"audio of {num} clips that lack it: their length is 0" in one for one in lost)
    assert not any("length is 0" in one for one in export(tmp_path / "b", str(tiny_bert))[2])
