"""Agreement with the released program of sun2024 and with Self-MM, number by number.

The numbers were made by running those programs; they are kept beside the repository and described
by the README that lies with them.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO, make_labels_config, make_split

from mien.evaluation.scoring import predict
from mien.labels import build_labels
from mien.labels.generator import LabelInputs
from mien.models import build_model
from mien.models.encoders import SeriesEncoder
from mien.models.multitask import ModelInputs
from mien.models.self_mm import SelfMMConfig
from mien.models.tam_ulag import TamUlagConfig
from mien.pretrained.text_encoder import TokenEncoder
from mien.tensors import Batch, Output, PaddedSeries, Targets, pad
from mien.training.objective import MultitaskObjective
from mien.training.settings import TrainConfig
from mien.training.trainer import Trainer
from mien.types import Modality, Scale, Task

GOLDENS = Path(__file__).parents[2] / "shared" / "goldens"

pytestmark = pytest.mark.skipif(
    not GOLDENS.is_dir(),
    reason="the goldens are not beside the repository; put them into ../shared/goldens",
)

CASES = ("full", "ragged", "ragged_short")
SERIES = {AUDIO: "audio", VIDEO: "vision"}
NAMES = {Task.FUSION: "fusion", Task.TEXT: "text", Task.AUDIO: "audio", Task.VIDEO: "vision"}
STATE_SIZES = {"fusion": 16, "text": 8, "audio": 6, "video": 7}
SIZES = {
    "lstm_size": {"audio": 8, "video": 9},
    "output_size": {"audio": 6, "video": 5},
    "state_size": STATE_SIZES,
    "standardise": False,
}
FUSION = {"OFF": "concat", "ON": "rank_one"}
ATTENTION = {"OFF": "none", "ON": "released"}


def load(name):
    with np.load(GOLDENS / f"{name}.npz", allow_pickle=False) as file:
        return {
            key: torch.from_numpy(file[key]) if file[key].dtype.kind in "fib" else file[key]
            for key in file.files
        }


def assert_near(found, wanted, *, tolerance):
    torch.testing.assert_close(found, wanted.to(found.dtype), rtol=0, atol=tolerance)


def part(values, prefix):
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


# --- names of weights -----------------------------------------------------------------------------

LAYERS = {"1": "enter", "2": "middle", "3": "leave"}
GATES = {"alpha1": "direction", "beta1": "strength"}


def our_name(theirs):
    """Translate the name of a weight of the released program."""
    first, *rest = theirs.split(".")
    if first in ("audio_model", "video_model"):
        inner = ".".join(rest).replace("linear_1", "linear")
        for their_gate, gate in GATES.items():
            inner = inner.replace(f"{their_gate}.0", f"attention.gated.{gate}")
        return f"encoders.{first[:5]}.{inner}"
    if first in GATES:
        return f"summarise.attention.gated.{GATES[first]}.{rest[-1]}"
    _, task, _, number = first.split("_")
    return f"heads.{task}.{LAYERS[number]}.{rest[-1]}"


def is_of_labels(name):
    return name.startswith(("expert_", "confidence_"))


def load_model_weights(model, weights):
    """Load the released program's weights: all of ours but the absent states are among them."""
    state = {our_name(n): w for n, w in weights.items() if not is_of_labels(n)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == []
    known = ("absent.", "text_encoder.", "encoders.audio.standardise", "encoders.video.standardise")
    assert [name for name in missing if not name.startswith(known)] == []


def load_label_weights(labels, weights):
    with torch.no_grad():
        for task in Task:
            labels.experts[task].weight.copy_(weights[f"expert_{task}.weight"])
            labels.experts[task].bias.copy_(weights[f"expert_{task}.bias"])
        for modality in Modality:
            name = f"confidence_{NAMES[Task(modality)]}"
            if f"{name}/l1_weight" not in weights:
                continue
            for number, layer in enumerate(labels.predictors[modality], start=1):
                layer.weight.copy_(weights[f"{name}/l{number}_weight"])
                layer.bias.copy_(weights[f"{name}/l{number}_bias"])


def make_text_encoder():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    backbone = BertModel(config, add_pooling_layer=False)
    weights = part(load("tiny_bert"), "w/")
    backbone.load_state_dict({n: w for n, w in weights.items() if not n.startswith("pooler")})
    return TokenEncoder(backbone)


def make_model(*, ta="OFF", fusion="OFF", weights=None, name="tam_ulag"):
    kinds = {
        "tam_ulag": lambda: TamUlagConfig(attention=ATTENTION[ta], fusion=FUSION[fusion], **SIZES),
        "self_mm": lambda: SelfMMConfig(**SIZES),
    }
    sizes = {TEXT: 32, AUDIO: 5, VIDEO: 7}
    model = build_model(kinds[name](), ModelInputs(sizes=sizes, text_encoder=make_text_encoder()))
    load_model_weights(model, weights)
    return model


def make_labels(generator, annotated, weights=None):
    config = make_labels_config(generator, weight="difference")
    sizes = {task: STATE_SIZES[task] for task in Task}
    inputs = LabelInputs(labels={Task.FUSION: annotated}, scale=Scale(-3, 3), state_sizes=sizes)
    labels = build_labels(config, inputs)
    if weights is not None:
        load_label_weights(labels, weights)
    return labels


def real_ids(text):
    """Token ids of every clip, without padding, as ``(T, 1)`` arrays."""
    return [row[0, : int(row[1].sum())].to(torch.int32).unsqueeze(-1) for row in text]


def make_inputs(values):
    sequences = {TEXT: pad(real_ids(values["in/text"]))}
    for modality, name in SERIES.items():
        lengths = values[f"in/{name}_lengths"].tolist()
        series = [x[:n] for x, n in zip(values[f"in/{name}"], lengths, strict=True)]
        sequences[modality] = pad(series)
    return Batch(index=torch.arange(len(values["in/text"])), sequences=sequences)


# --- encoders -------------------------------------------------------------------------------------


def make_series_encoder(values, attention):
    encoder = SeriesEncoder(
        5, state_size=8, output_size=6, num_layers=1, dropout=0.0, attention=attention
    )
    weights = part(values, "w/")
    names = {n: our_name(f"audio_model.{n}").removeprefix("encoders.audio.") for n in weights}
    encoder.load_state_dict({names[n]: w for n, w in weights.items()}, strict=False)
    return encoder


def make_sequence(values, case):
    lengths = values[f"{case}/lengths"].tolist()
    return pad([x[:n] for x, n in zip(values["x"], lengths, strict=True)])


@pytest.mark.parametrize("case", CASES)
def test_the_plain_encoder_gives_the_released_vectors(case):
    values = load("auvi_subnet")
    encoder = make_series_encoder(values, "none")
    vectors, weights = encoder(make_sequence(values, case))
    assert_near(vectors, values[f"{case}/y_reference"], tolerance=1e-5)
    assert weights is None


def test_the_plain_encoder_ignores_what_stands_at_padding():
    values = load("auvi_subnet")
    encoder = make_series_encoder(values, "none")
    lengths = values["ragged/lengths"]
    mask = torch.arange(9) < lengths.unsqueeze(1)
    assert values["x"][~mask].abs().min() > 0
    vectors, _ = encoder(PaddedSeries(values["x"], mask))
    assert_near(vectors, values["ragged/y_reference"], tolerance=1e-5)


def test_the_plain_encoder_has_the_released_gradients():
    values = load("auvi_subnet")
    encoder = make_series_encoder(values, "none")
    vectors, _ = encoder(make_sequence(values, "full"))
    (vectors * values["grad/coef"]).sum().backward()
    for name, parameter in encoder.named_parameters():
        wanted = values[f"grad/{name.replace('linear', 'linear_1')}"]
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_gates_are_the_released_ones_at_every_real_step(case):
    values = load("auvi_ta_subnet")
    encoder = make_series_encoder(values, "released")
    _, weights = encoder(make_sequence(values, case))
    mask = make_sequence(values, case).mask
    gates = values[f"{case}/alpha"] * values[f"{case}/beta"]
    assert_near(weights[mask], gates[mask], tolerance=1e-5)
    assert (weights[~mask] == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_the_released_attention_reads_the_last_padded_step(case):
    values = load("auvi_ta_subnet")
    encoder = make_series_encoder(values, "released")
    vectors, _ = encoder(make_sequence(values, case))
    assert_near(vectors, values[f"{case}/y_reference"], tolerance=1e-5)
    is_bias = (vectors - encoder.linear.bias).abs().amax(dim=1) < 1e-6
    assert is_bias.tolist() == values[f"{case}/row_equals_bias"].tolist()


@pytest.mark.parametrize("case", CASES)
def test_the_released_attention_on_one_clip_alone_reads_its_last_real_step(case):
    values = load("auvi_ta_subnet")
    encoder = make_series_encoder(values, "released")
    sequence = make_sequence(values, case)
    alone = torch.cat(
        [
            encoder(pad([row[mask]]))[0]
            for row, mask in zip(sequence.values, sequence.mask, strict=True)
        ]
    )
    assert_near(alone, values[f"{case}/y_each_alone"], tolerance=1e-5)
    assert_near(alone, values[f"{case}/y_last_valid"], tolerance=1e-5)


def test_the_released_attention_has_the_released_gradients_and_none_in_the_lstm():
    values = load("auvi_ta_subnet")
    encoder = make_series_encoder(values, "released")
    vectors, _ = encoder(make_sequence(values, "full"))
    (vectors * values["grad/coef"]).sum().backward()
    ours = {our_name(f"audio_model.{n}").removeprefix("encoders.audio."): n
            for n in part(values, "w/")}  # fmt: skip
    idle = [ours[name] for name, p in encoder.named_parameters() if p.grad is None]
    assert sorted(idle) == sorted(values["grad/none_names"].tolist())
    for name, parameter in encoder.named_parameters():
        if parameter.grad is not None:
            wanted = values[f"grad/{ours[name]}"]
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-5, atol=1e-5)


def test_the_text_encoder_gives_the_released_states():
    values = load("tiny_bert")
    sequence = pad(real_ids(values["text"]))
    states = make_text_encoder()(sequence)
    real = sequence.mask  # at padding states are read by nothing
    assert_near(states[real], values["last_hidden_state"][real], tolerance=1e-5)


# --- whole models ---------------------------------------------------------------------------------

LETTERS = {Task.FUSION: "M", Task.TEXT: "T", Task.AUDIO: "A", Task.VIDEO: "V"}


def assert_forward(model, values):
    with torch.no_grad():
        output = model.eval()(make_inputs(values))
    for task, letter in LETTERS.items():
        feature = values[f"out/Feature_{'f' if letter == 'M' else letter.lower()}"]
        assert_near(output.states[task], feature, tolerance=1e-5)
        assert_near(output.scores[task], values[f"out/{letter}"].squeeze(-1), tolerance=1e-5)
    return output


def test_self_mm_gives_the_released_scores_and_states():
    values = load("self_mm_forward")
    assert_forward(make_model(name="self_mm", weights=part(values, "w/")), values)


@pytest.mark.parametrize("fusion", ["OFF", "ON"])
@pytest.mark.parametrize("ta", ["OFF", "ON"])
def test_tam_ulag_in_its_released_form_gives_the_released_scores_states_and_experts(fusion, ta):
    values = load(f"ta_gml_forward_fusion{fusion}_ta{ta}")
    weights = part(values, "w/")
    model = make_model(ta=ta, fusion=fusion, weights=weights)
    output = assert_forward(model, values)
    labels = make_labels("ulag_released", torch.zeros(6), weights)
    for task in Task:
        expert = torch.relu(labels.experts[task](output.states[task]))
        assert_near(expert, values[f"out/Expert_{task[0]}"], tolerance=1e-5)


@pytest.mark.parametrize("ta", ["OFF", "ON"])
def test_rank_one_fusion_is_what_the_released_program_forms_as_products(ta):
    values = load(f"ta_gml_forward_fusionON_ta{ta}")
    model = make_model(ta=ta, fusion="ON", weights=part(values, "w/"))
    vectors = {m: values[f"mid/{m}_vec"] for m in Modality}
    assert_near(model.fusion(vectors), values["mid/fusion_input"], tolerance=1e-4)


# --- labels and loss ------------------------------------------------------------------------------


def test_released_proposals_are_the_released_ones():
    values = load("fake_and_loss")
    weights = {f"confidence_{name}": layer for name, layer in part(values, "w/").items()}
    labels = make_labels("ulag_released", values["labels"])
    with torch.no_grad():
        for modality in Modality:
            for number, layer in enumerate(labels.predictors[modality], start=1):
                name = f"confidence_{NAMES[Task(modality)]}/l{number}"
                layer.weight.copy_(weights[f"{name}_weight"])
                layer.bias.copy_(weights[f"{name}_bias"])
    experts = dict(zip(Task, values["experts"].unbind(dim=1), strict=True))
    proposals = labels.propose(experts, values["labels"])
    for modality in Modality:
        assert_near(proposals[modality], values[f"{NAMES[Task(modality)]}/fake"], tolerance=1e-5)


class Given(torch.nn.Module):
    """Propose what is given, whatever the states are."""

    def __init__(self, proposals):
        super().__init__()
        self.proposals = proposals


@pytest.mark.parametrize("form", ["nofake", "fake"])
def test_the_loss_of_every_task_is_the_released_one(form, monkeypatch):
    values = load("fake_and_loss")
    generator = "distance" if form == "nofake" else "ulag_released"
    labels = make_labels(generator, values["loss/label_map_fusion"])
    index = values["loss/indexes"]
    for modality in Modality:
        labels.bank(modality).copy_(values[f"loss/label_map_{NAMES[Task(modality)]}"])
    if form == "fake":
        fake = {m: values[f"{NAMES[Task(m)]}/fake"][index] for m in Modality}
        monkeypatch.setattr(labels, "propose", lambda *_: fake)
    scores = values["loss/pred"].squeeze(-1)
    output = Output(
        scores=dict.fromkeys(Task, scores),
        states={t: torch.zeros(6, STATE_SIZES[t]) for t in Task},
        attention={},
        present={m: torch.ones(6, dtype=torch.bool) for m in Modality},
    )
    targets = Targets(labels={Task.FUSION: values["loss/label_map_fusion"][index]})
    loss = MultitaskObjective(labels)(output, targets, index, epoch=2)
    assert_near(loss.tasks[Task.FUSION], values["loss/fusion/nofake"], tolerance=1e-6)
    for modality in Modality:
        wanted = values[f"loss/{NAMES[Task(modality)]}/{form}"]
        assert_near(loss.tasks[Task(modality)], wanted, tolerance=1e-6)
    assert_near(loss.total, sum(loss.tasks.values()), tolerance=1e-6)


def trajectory_steps(values):
    for epoch in range(1, 6):
        states = {t: values[f"ep{epoch}/feat_{NAMES[t]}"] for t in Task}
        for number, index in enumerate(values[f"ep{epoch}/perm"].split(8)):
            yield epoch, number, index, states


def test_labels_and_centres_move_as_those_of_self_mm():
    values = load("label_trajectory_geq0")
    labels = make_labels("distance", values["labels0"])
    num_centres = 0
    for epoch, number, index, states in trajectory_steps(values):
        output = Output(
            scores={},
            states={t: x[index] for t, x in states.items()},
            attention={},
            present={m: torch.ones(8, dtype=torch.bool) for m in Modality},
        )
        labels.observe(output, index, epoch)
        for task in Task:
            where = f"ep{epoch}/b{number}"
            assert_near(labels.bank(task), values[f"{where}/labels_{NAMES[task]}"], tolerance=1e-4)
            if (epoch, number) >= (1, 2):  # from here on every clip has been seen
                positive = values[f"{where}/center_pos_{NAMES[task]}"]
                negative = values[f"{where}/center_neg_{NAMES[task]}"]
                assert_near(labels.centres.positive(task), positive, tolerance=2e-7)
                assert_near(labels.centres.negative(task), negative, tolerance=2e-7)
                num_centres += 1
        if number == 2:
            labels.finish_epoch(epoch)
    assert num_centres == 13 * 4


# --- training -------------------------------------------------------------------------------------

TRAINING = TrainConfig(
    gradient="sum",
    leftover="drop",
    group_lengths=False,
    batch_size=8,
    accumulate=2,
    optimizer="adam",
    device="cpu",
    learning_rate={"text": 1e-3, "audio": 5e-3, "video": 5e-3, "rest": 2e-3, "labels": 2e-3},
    weight_decay={"text": 1e-3, "audio": 1e-2, "video": 1e-3, "rest": 1e-3, "labels": 1e-3},
)


def make_dataset(values):
    arrays = {TEXT: [one.numpy() for one in real_ids(values["in/text"])]}
    for modality, name in SERIES.items():
        lengths = values[f"in/{name}_lengths"].tolist()
        rows = zip(values[f"in/{name}"], lengths, strict=True)
        arrays[modality] = [x[:n].numpy() for x, n in rows]
    return make_split(values["in/labels"].tolist(), arrays)


def train_as_released(values, model, labels, folder):
    """Train four epochs; yield the step losses, labels, centres and predictions of each."""
    dataset = make_dataset(values)
    objective = MultitaskObjective(labels)
    losses = []
    objective.register_forward_hook(lambda _m, _i, loss: losses.append(float(loss.total.detach())))
    trainer = Trainer(
        model=model,
        objective=objective,
        train=dataset,
        valid=dataset,
        family="mosi",
        config=TRAINING,
        seed=1,
        folder=folder,
        header={},
    )
    for epoch, order in enumerate(values["perms"].numpy(), start=1):
        trainer.run_order(order, epoch)
        objective.finish_epoch(epoch)
        scores = predict(model, dataset).scores[Task.FUSION]
        yield epoch, losses, torch.from_numpy(scores)


def assert_training(values, model, labels, folder):
    for epoch, losses, scores in train_as_released(values, model, labels, folder):
        wanted = values["step_losses"][: 3 * epoch].tolist()
        assert losses == pytest.approx(wanted, abs=1e-4)
        assert_near(scores, values[f"epoch{epoch}/eval_pred_M"].squeeze(-1), tolerance=1e-4)
        for task in Task:
            where = f"epoch{epoch}/"
            assert_near(labels.bank(task), values[f"{where}labels_{NAMES[task]}"], tolerance=1e-4)
            positive = values[f"{where}center_pos_{NAMES[task]}"]
            negative = values[f"{where}center_neg_{NAMES[task]}"]
            assert_near(labels.centres.positive(task), positive, tolerance=1e-4)
            assert_near(labels.centres.negative(task), negative, tolerance=1e-4)
    state = model.state_dict()
    for name, weight in part(values, "final/").items():
        if not is_of_labels(name):
            assert_near(state[our_name(name)], weight, tolerance=1e-4)


def test_self_mm_trains_as_the_released_program_does(tmp_path):
    values = load("train_self_mm")
    model = make_model(name="self_mm", weights=part(values, "init/"))
    assert_training(values, model, make_labels("distance", values["in/labels"]), tmp_path)


@pytest.mark.parametrize(
    ("name", "ta", "fusion"), [("default", "ON", "OFF"), ("noTA_fusionON", "OFF", "ON")]
)
def test_tam_ulag_in_its_released_form_trains_as_the_released_program_does(
    name, ta, fusion, tmp_path
):
    values = load(f"train_ta_gml_{name}")
    weights = part(values, "init/")
    model = make_model(ta=ta, fusion=fusion, weights=weights)
    labels = make_labels("ulag_released", values["in/labels"], weights)
    assert_training(values, model, labels, tmp_path)
    for task in Task:
        expert = labels.experts[task]
        assert_near(expert.weight, values[f"final/expert_{task}.weight"], tolerance=1e-4)
        assert_near(expert.bias, values[f"final/expert_{task}.bias"], tolerance=1e-4)
    idle = [our_name(n.removeprefix("final/")) for n in values["params_unchanged_after_training"]]
    before = {our_name(n): w for n, w in weights.items() if not is_of_labels(n)}
    assert [n for n in before if torch.equal(model.state_dict()[n], before[n])] == idle
