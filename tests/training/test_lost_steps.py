import torch
from helpers import AUDIO, make_batch, make_clip
from trainings import make_trainer

from mien.tensors import Batch, PaddedSeries
from mien.training.lost_steps import lose_steps
from mien.types import Modality

TEXT, VIDEO = Modality.TEXT, Modality.VIDEO


def test_steps_are_cut_out_and_the_rest_keeps_its_order():
    torch.manual_seed(1)
    batch = make_batch(*(make_clip(seed, 40) for seed in range(20)), make_clip(99, 3, audio=0))
    lost = lose_steps(batch, {AUDIO: 0.5, TEXT: 0.99})
    assert lost.sequences[VIDEO] is batch.sequences[VIDEO]
    assert lose_steps(batch, dict.fromkeys(Modality, 0.0)) is batch
    before, after = batch.sequences[AUDIO], lost.sequences[AUDIO]
    lengths = after.mask.sum(dim=1)
    assert 0.4 < float(lengths[:20].float().mean()) / 40 < 0.6
    assert lengths[20] == 0
    for row, length in enumerate(lengths.tolist()):
        assert after.mask[row, :length].all()
        assert not after.values[row, length:].any()
        places = [
            int((before.values[row] == step).all(dim=1).nonzero()[0, 0])
            for step in after.values[row, :length]
        ]
        assert places == sorted(set(places))
    text, was = lost.sequences[TEXT], batch.sequences[TEXT]
    for row, length in enumerate(text.mask.sum(dim=1).tolist()):
        last = int(was.mask[row].sum()) - 1
        torch.testing.assert_close(text.values[row, 0], was.values[row, 0])
        torch.testing.assert_close(text.values[row, length - 1], was.values[row, last])


def test_a_series_keeps_a_step_and_a_text_its_context():
    torch.manual_seed(1)
    batch = make_batch(*(make_clip(seed, 4) for seed in range(30)))
    assert (lose_steps(batch, {VIDEO: 0.999}).sequences[VIDEO].mask.sum(dim=1) == 1).all()
    ids = torch.tensor([[[5, 0], [6, 0], [7, 0], [8, 0], [9, 1], [4, 1], [0, 0]]])
    mask = torch.tensor([[True] * 4 + [False] * 3])
    given = Batch(index=torch.tensor([0]), sequences={TEXT: PaddedSeries(ids, mask)})
    text = lose_steps(given, {TEXT: 0.999}).sequences[TEXT]
    assert text.values[0].tolist() == [[5, 0], [8, 0], [9, 1], [4, 1]]
    assert text.mask[0].tolist() == [True, True, False, False]


def test_a_training_reads_what_is_left_and_validation_everything(tmp_path):
    trainer = make_trainer(tmp_path / "t", lost_steps={"audio": 0.9}, epochs=1)
    steps = {True: set(), False: set()}
    present = trainer.model.present

    def watch(batch):
        steps[trainer.model.training].add(int(batch.sequences[AUDIO].mask.sum(dim=1).max()))
        return present(batch)

    trainer.model.present = watch
    trainer.run()
    assert min(steps[True]) < 3
    assert max(steps[False]) == 4
