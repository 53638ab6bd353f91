"""The recipe of the model that ships: splits, composed clips, widths, and the header it left."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import recipe_modules

from mien.data.store_writer import write_store
from mien.evaluation.conformal import Calibration
from mien.evaluation.predictions import Predictions
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.shipped_models import DEFAULT_MODEL, SHIPPED_MODELS
from mien.training.checkpoints.videos import videos_seen
from mien.types import SPLITS, Clip, Corpus, Material, Modality, Scale, SeriesSource, Task

RECIPE = Path(__file__).parents[1] / "recipes" / "default_model"
DATA = Path(__file__).parents[2] / "shared" / "data"
NAMES = (
    "faces",
    "items",
    "compose",
    "corpus",
    "widths",
    "tables",
    "baselines",
    "measure",
    "words",
    "persons",
    "train",
    "header",
)
TEXT, AUDIO, VIDEO = Modality

needs_data = pytest.mark.skipif(
    not (DATA / "mosi" / "label.csv").is_file(), reason="needs the tables of ../shared/data"
)


@pytest.fixture(scope="module")
def recipe():
    """The modules of the recipe, which import each other by bare names."""
    with recipe_modules(RECIPE, NAMES) as modules:
        yield modules


# --- a small set of sources, made, with the faults of the real ones -------------------------------

#: Pictures of FER+ by split; the same letter is the same picture.
PICTURES = {"train": "abcdefgh", "valid": "ijkla", "test": "mnobbi"}


def write_texts(data):
    head = ["video_id", "clip_id", "text", "label", "mode"]
    videos = {"train": ("v1", "v2", "v3"), "valid": ("v4",), "test": ("v5",)}
    for corpus, prefix in (("mosi", ""), ("mosei", "e")):
        (data / corpus).mkdir(parents=True)
        with (data / corpus / "label.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            for split, names in videos.items():
                for video in names if corpus == "mosi" or split != "test" else ():
                    for clip in range(4):
                        row = [prefix + video, clip, f"{video} {clip}", (clip - 1.5) / 2, split]
                        writer.writerow(row)


def shapes_of(letter):
    return np.random.default_rng(ord(letter)).random(52).astype(np.float32)


def write_faces(data):
    folder = data / "face"
    folder.mkdir(parents=True)
    letters = "".join(PICTURES.values())
    num = len(letters)
    np.savez(
        folder / "ferplus.npz",
        found=np.ones(num, dtype=bool),
        emotion=np.array(["neutral", "happy"])[np.arange(num) % 2],
        split=np.array([split for split, some in PICTURES.items() for _ in some]),
        valence=np.linspace(-1, 1, num),
        votes=np.tile([[7, 2, 0, 1], [1, 9, 0, 0]], (num, 1))[:num],
        vote_names=np.array(["neutral", "happy", "contempt", "unknown"]),
        blendshapes=np.stack([shapes_of(letter) for letter in letters]),
    )
    subjects = np.repeat([f"s{place:02d}" for place in range(8)], 2)
    np.savez(
        folder / "taiwan_performers.npz",
        subject=subjects,
        found=np.ones(16, dtype=bool),
        emotion=np.array(["neutral", "happy"] * 8),
        valence_perceived=np.array([0.0, 0.8] * 8),
        votes=np.array([[0.2, 0.6], [0.9, 0.0]] * 8),
        vote_names=np.array(["happy", "peace"]),
        blendshapes=np.random.default_rng(1).random((16, 52)).astype(np.float32),
    )
    np.savez(
        folder / "ravdess_actor01.npz",
        image=np.array(["01-01-01", "01-01-03"]),
        emotion=np.array(["neutral", "happy"]),
        found=np.ones((2, 5), dtype=bool),
        blendshapes=np.random.default_rng(2).random((2, 5, 52)).astype(np.float32),
    )


def write_voices(out):
    ids = [
        f"actor{actor:02d}$_${emotion}-01-01-01"
        for actor in (1, 2, 3, 15, 18)
        for emotion in ("01", "03", "05")
    ]
    clips = tuple(
        Clip(id=one, split="train", transcript="", labels={Task.FUSION: 0.0}) for one in ids
    )
    source = SeriesSource(
        name="audio",
        size=384,
        dtype="float32",
        extractor="whisper-tiny-en/1",
        read=lambda: (np.ones((2, 384), np.float32) for _ in clips),
    )
    corpus = Corpus(name="ravdess", language="en", scale=Scale(-1, 1), clips=clips)
    write_store(Material(corpus=corpus, series=(source,), origin={}), out / "voices")


@pytest.fixture(scope="module")
def sources(recipe, tmp_path_factory):
    """All items of the made sources, in the splits of their sources; do not alter."""
    data, out = (tmp_path_factory.mktemp(name) for name in ("data", "out"))
    write_texts(data)
    write_faces(data)
    write_voices(out)
    return recipe.corpus.read_items(data, out)


@pytest.fixture(scope="module")
def joined(recipe, sources):
    """The clips composed of them, groups apart."""
    return recipe.corpus.compose_all(sources.apart(), most_texts=20)


def groups_by_split(items):
    return {split: {one.group for one in items if one.split == split} for split in SPLITS}


def pictures_of(items):
    """Count the pictures of FER+ by split, by letter."""
    letters = {shapes_of(letter).tobytes(): letter for letter in "abcdefghijklmno"}
    found = {split: [] for split in SPLITS}
    for one in items.looks:
        if one.source == "ferplus":
            found[one.split].append(letters[one.face.shapes.tobytes()])
    return {split: "".join(sorted(some)) for split, some in found.items()}


def assert_apart(groups):
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert groups[one] & groups[other] == set()


# --- splits ---------------------------------------------------------------------------------------


def test_the_sources_themselves_have_groups_in_two_splits(sources):
    """Otherwise the tests below would show nothing."""
    groups = groups_by_split(sources.all)
    assert len(groups["train"] & groups["valid"]) == 1  # picture a
    assert len(groups["train"] & groups["test"]) == 2  # picture b, actor 1
    assert len(groups["valid"] & groups["test"]) == 1  # picture i


def test_no_group_is_in_two_splits(sources):
    assert_apart(groups_by_split(sources.apart().all))


def test_the_same_picture_stays_in_the_last_of_its_splits(sources):
    """280 of the 3336 test faces of FER+ were trained on as well, byte for byte."""
    before, after = pictures_of(sources), pictures_of(sources.apart())
    assert before == {"train": "abcdefgh", "valid": "aijkl", "test": "bbimno"}
    assert after == {"train": "cdefgh", "valid": "ajkl", "test": "bbimno"}


def test_an_actor_is_tested_with_his_face_or_trained_with_his_voice_but_not_both(sources):
    """Actor 1's voice was in train while his face was tested."""
    kept = sources.apart()
    assert {one.group for one in kept.looks if one.source == "actor01"} == {"actor01"}
    assert {one.group for one in kept.voices if one.split == "train"} == {"actor02", "actor03"}
    assert {one.group for one in kept.voices if one.split == "valid"} == {"actor15"}
    assert {one.group for one in kept.voices if one.split == "test"} == {"actor18"}


def test_no_clip_of_one_split_has_an_item_of_another(recipe, joined):
    for one in joined:
        assert len({item.split for item in one.items.values()}) == 1
    by_split = {
        split: recipe.compose.groups_of(o for o in joined if recipe.compose.split_of(o) == split)
        for split in SPLITS
    }
    assert all(by_split.values())
    assert_apart(by_split)


def test_composing_twice_composes_the_same(recipe, sources, joined):
    again = recipe.corpus.compose_all(sources.apart(), most_texts=20)
    assert [(one.name, one.kind, list(one.items)) for one in again] == [
        (one.name, one.kind, list(one.items)) for one in joined
    ]
    assert [i.name for one in again for i in one.items.values()] == [
        i.name for one in joined for i in one.items.values()
    ]


# --- emotions -------------------------------------------------------------------------------------


def test_emotions_are_shares_of_votes_or_what_was_to_be_shown(recipe, sources):
    neutral, happy, contempt = (
        recipe.items.EMOTIONS.index(name) for name in ("neutral", "happy", "contempt")
    )
    pictures = [one for one in sources.looks if one.source == "ferplus"]
    assert pictures[0].shares[neutral] == pytest.approx(7 / 9)  # one vote is for no emotion
    assert pictures[1].shares[happy] == 0.9
    performers = [one for one in sources.looks if one.source == "taiwan"]
    assert performers[0].shares[neutral] == pytest.approx(0.75)  # of votes that may be for several
    acted = {one.emotion: one.shares for one in sources.voices}
    assert acted["happy"][happy] == 1.0
    assert sum(acted["angry"]) == 1.0
    assert all(one.shares[contempt] == 0 for one in performers)


def test_the_emotion_of_a_clip_is_that_of_its_voice_and_face_and_words_have_none(recipe, joined):
    weights = recipe.compose.Weights(text=0.5, audio=0.1, video=0.3)
    both = next(one for one in joined if one.voice and one.look)
    mean = (np.array(both.voice.shares) + 3 * np.array(both.look.shares)) / 4
    shares = both.shares(weights)
    np.testing.assert_allclose(shares[Task.FUSION], mean)
    assert shares[Task.AUDIO] == both.voice.shares
    assert Task.TEXT not in shares
    assert next(one for one in joined if list(one.items) == [TEXT]).shares(weights) == {}


# --- what a checkpoint must know ------------------------------------------------------------------


def test_videos_have_the_ids_that_users_know(recipe, sources, joined):
    """With a prefix the guard of --init could not recognise a single video."""
    by_source = {}
    for one in sources.all:
        by_source.setdefault(one.source, set()).add(one.group)
    assert by_source["mosi"] == {"v1", "v2", "v3", "v4", "v5"}
    assert by_source["mosei"] == {"ev1", "ev2", "ev3", "ev4"}
    assert by_source["ravdess"] == {"actor01", "actor02", "actor03", "actor15", "actor18"}
    assert all(group.startswith("ferplus-") for group in by_source["ferplus"])
    text = next(one for one in joined if one.text is not None and one.text.source == "mosi")
    assert recipe.compose.name_clip(text).split("$_$")[0] == text.text.group


def test_the_groups_learned_are_those_of_every_item(recipe, sources, joined):
    """The header had the group of the first item of a clip only, which left 1734 out."""
    items = sources.apart()
    learned = recipe.corpus.groups_learned(items, joined)
    named = {
        recipe.compose.name_clip(one).split("$_$")[0]
        for one in joined
        if recipe.compose.split_of(one) == "train"
    }
    seconds = {
        item.group
        for one in joined
        if recipe.compose.split_of(one) == "train"
        for item in list(one.items.values())[1:]
    }
    assert named | seconds <= learned
    assert {one.group for one in items.rests} <= learned
    assert learned <= items.trained
    assert recipe.train.videos_read(items.texts) == {"v1", "v2", "v3", "ev1", "ev2", "ev3"}


# --- clips held out, and widths -------------------------------------------------------------------


def test_outside_train_a_transcript_is_once_in_each_set_of_modalities(joined):
    """It was there twice, alone and composed with nothing, and the width of words counted both."""
    found = Counter(
        (one.text.name, tuple(one.items))
        for one in joined
        if one.text is not None and one.text.source == "mosi" and one.text.split == "test"
    )
    sets = [(TEXT,), (TEXT, AUDIO), (TEXT, VIDEO), (TEXT, AUDIO, VIDEO)]
    assert found == Counter((f"v5-{clip}", present) for clip in range(4) for present in sets)


def test_outside_train_every_voice_and_face_is_once_alone(recipe, sources, joined):
    kept = sources.apart()
    for kind, items in (("voice", kept.voices), ("look", kept.looks)):
        alone = [
            getattr(one, kind).name
            for one in joined
            if getattr(one, kind) is not None
            and len(one.items) == 1
            and recipe.compose.split_of(one) == "test"
        ]
        assert sorted(alone) == sorted(one.name for one in items if one.split == "test")


def test_the_one_actor_whose_face_is_tested_is_in_no_composed_clip(joined):
    """Half of the composed test clips with a face had his."""
    faces = {one.look.source for one in joined if one.look is not None and len(one.items) > 1}
    assert faces == {"ferplus", "taiwan"}


def make_found(recipe, clips, errors):
    """Scores that are wrong by given errors: of the own head, and of fusion by ten times that."""
    num = len(clips)
    zeros = np.zeros(num)
    own = np.array(errors, dtype=float)
    return Predictions(
        ids=tuple(recipe.compose.name_clip(one) for one in clips),
        scores={Task.FUSION: 10 * own, **{Task(m): own for m in Modality}},
        targets={Task.FUSION: zeros, **{Task(m): zeros for m in Modality}},
        present={m: np.array([m in one.items for one in clips]) for m in Modality},
    )


def test_a_width_rests_on_clips_with_exactly_its_modalities(recipe, sources):
    """3.21 for a voice alone rested on 260 composed clips that are labelled as a whole."""
    text = next(one for one in sources.texts if one.source == "mosi")
    easy = next(one for one in sources.texts if one.source == "mosei")
    voice, other = sources.voices[:2]
    joined = recipe.compose.Joined
    clips = [joined(name=f"a{i}", kind="ravdess", voice=voice) for i in range(9)]
    clips += [joined(name=f"b{i}", kind="made", text=text, voice=voice) for i in range(9)]
    clips += [joined(name=f"c{i}", kind="mosi", text=text) for i in range(8)]
    clips += [joined(name=f"d{i}", kind="mosei", text=easy) for i in range(9)]
    clips += [joined(name=f"e{i}", kind="ravdess", voice=other) for i in range(3)]
    errors = [*(0.1 * np.arange(1, 10)), *[2.0] * 9, *[0.5] * 8, *[0.01] * 9, *[5.0] * 3]
    found = make_found(recipe, clips, errors)
    without = {other.group + "x"}
    cut = recipe.widths.calibrate_alone(found, clips, without=without)
    assert cut.unimodal == {AUDIO: pytest.approx(3.0)}  # scores are cut to the scale, as shown
    scale = Scale(-30, 30)
    widths = recipe.widths.calibrate_alone(found, clips, without=without, scale=scale)
    assert widths.num_clips == {
        "text": 8, "only text": 8, "audio": 12, "only audio": 12, "text+audio": 9,
    }  # fmt: skip
    assert widths.unimodal == {AUDIO: pytest.approx(5.0)}  # eight texts are too few for 90 %
    assert widths.fusion == {"audio": pytest.approx(5.0), "text+audio": pytest.approx(20.0)}


def test_a_width_rests_on_nothing_that_was_learned_from(recipe, sources):
    faces = [one for one in sources.looks if one.source == "ferplus"][:2]
    joined = recipe.compose.Joined
    clips = [joined(name=f"a{i}", kind="ferplus", look=faces[0]) for i in range(9)]
    clips += [joined(name=f"b{i}", kind="ferplus", look=faces[1]) for i in range(9)]
    found = make_found(recipe, clips, [0.3] * 9 + [0.0] * 9)
    both = recipe.widths.calibrate_alone(found, clips)
    clean = recipe.widths.calibrate_alone(found, clips, without={faces[1].group})
    assert (both.num_clips["video"], clean.num_clips["video"]) == (18, 9)
    assert (both.unimodal[VIDEO], clean.unimodal[VIDEO]) == (0.3, 0.3)


# --- the numbers of the card ----------------------------------------------------------------------


@pytest.fixture
def scored(recipe, sources):
    """Three lone voices and a composed clip, with errors of .5, -1, 2 and 0 of the voice's head."""
    joined = recipe.compose.Joined
    text = next(one for one in sources.texts if one.source == "mosi")
    clips = [
        joined(name=f"a{i}", kind="ravdess", voice=v) for i, v in enumerate(sources.voices[:3])
    ]
    clips.append(joined(name="b", kind="made", text=text, voice=sources.voices[0]))
    labels = np.array([0.0, 3.0, -2.4, 1.0])
    scores = {AUDIO: labels + np.array([0.5, -1.0, 2.0, 0.0]), TEXT: labels, VIDEO: labels}
    return recipe.tables.Scored(
        found=Predictions(
            ids=tuple(recipe.compose.name_clip(one) for one in clips),
            scores={Task.FUSION: labels + 0.1, **{Task(m): one for m, one in scores.items()}},
            targets={Task.FUSION: labels, **{Task(m): labels for m in Modality}},
            present={m: np.array([m in one.items for one in clips]) for m in Modality},
        ),
        clips=clips,
        calibration=Calibration(
            level=0.9, fusion={"text+audio": 0.25}, unimodal={AUDIO: 1.5}, num_clips={}
        ),
        scale=Scale(-3, 3),
    )


def test_a_row_of_the_card_by_hand(recipe, scored):
    rows = scored.alone("ravdess")
    row = dict(
        zip(
            [name.removeprefix("*") for name in recipe.tables.ACCURACY],
            recipe.tables.accuracy(scored, "voices", Task.AUDIO, rows),
            strict=True,
        )
    )
    assert (row["clips"], row["n"], row["head"]) == ("voices", "3", "audio")
    assert row["MAE"] == f"{3.5 / 3:.3f}"
    assert row["constant"] == f"{5.4 / 3:.3f}"  # the median is 0
    assert row["Acc-2 non0 %"] == "100.0"  # 2.0 for 3.0, -.4 for -2.4; 0 has no side
    assert row["inside %"] == "66.7"
    assert row["width"] == f"{(3.0 + 2.5 + 3.0) / 3:.2f}"  # 2 + 1.5 is cut to the scale


def test_only_the_head_that_is_shown_has_an_interval(recipe, scored):
    """The width of a lone voice is that of its own head."""
    lone = recipe.tables.accuracy(scored, "voices", Task.FUSION, scored.alone("ravdess"))
    assert lone[-2:] == ["", ""]
    assert scored.inside(Task.FUSION, [3]) == pytest.approx(np.array([[1.0, 0.5]]))


def test_coverage_is_counted_by_actor(recipe, scored):
    rows = list(recipe.tables.by_group(scored, "ravdess"))
    assert rows == [["actor01", "3", "66.7", "2.83"]]


def test_words_are_a_mean_of_weights_and_all_else_is_that_of_the_composed_clips(recipe, tmp_path):
    words, voice = "model/heads.text.enter.weight", "model/heads.audio.enter.weight"
    values = {"composed": 1.0, "first": 4.0, "second": 8.0}
    files = {name: tmp_path / f"{name}.safetensors" for name in values}
    for name, value in values.items():
        tensors = {words: torch.full((2, 2), value), voice: torch.full((2,), value)}
        counted = {"model/text_encoder.places": torch.tensor([int(value)])}
        write_tensors(files[name], {**tensors, **counted}, {"name": name})
    out = tmp_path / "mean.safetensors"
    recipe.words.average_words(files["composed"], [files["first"], files["second"]], out)
    mean = read_tensors(out)
    assert mean[words].tolist() == pytest.approx(np.full((2, 2), 0.67 * 1 + 0.33 * 6))
    assert mean[voice].tolist() == [1.0, 1.0]
    assert mean["model/text_encoder.places"].tolist() == [1]
    assert read_header(out)["name"] == "composed"


def test_transcripts_are_written_with_the_ids_of_their_videos(recipe, sources, tmp_path):
    texts = [one for one in sources.texts if one.source == "mosei"]
    store = recipe.words.write_texts(texts, tmp_path / "s")
    assert len(store.clips) == len(texts)
    assert set(store.clips.videos) == {one.group for one in texts}
    assert {clip.split for clip in store.clips} <= set(SPLITS)
    said = sorted(clip.transcript for clip in store.clips)
    assert said == sorted(one.words for one in texts)


def test_learned_items_are_counted_by_source_and_split(recipe, sources):
    rows = {
        tuple(row[:2]): row[2:] for row in recipe.measure.count_learned(sources, {"videos": ["v5"]})
    }
    assert rows["mosi", "test"] == ["4", "1", "0", "4"]
    assert rows["mosi", "train"] == ["12", "3", "12", "0"]
    assert rows["ferplus", "test"] == ["6", "5", "2", "0"]  # b is there twice, and in train
    assert rows["actor01", "test"] == ["2", "1", "2", "0"]


# --- the file that ships --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["default", "small"])
def test_the_header_that_ships_knows_official_ids(name):
    """The face of actor 1 is tested: his voice has been in no training since groups are apart."""
    header = read_header(SHIPPED_MODELS[name])
    learned = {"03bSnISJMiM", "0h-zjBukYpk", "-3g5yACwYnA", "-3nNcZdcdvU", "actor02", "actor14"}
    learned |= {"actor01"} if name == "small" else set()
    held_out = {"WKA5OygbEKI", "c7UH_rxdZv4", "--qXJuDtHPw", "actor15", "actor18", "actor01"}
    assert videos_seen(header, learned | held_out) == learned


def test_the_emotions_that_ship_know_whom_they_learned_from():
    header = read_header(SHIPPED_MODELS["emotions"])
    learned, held_out = {"actor02", "actor14"}, {"actor01", "actor15", "actor18", "03bSnISJMiM"}
    assert videos_seen(header, learned | held_out) == learned


@needs_data
@pytest.mark.parametrize(
    ("corpus", "split", "seen", "num"),
    [
        ("mosi", "train", 52, 52),
        ("mosi", "valid", 0, 10),
        ("mosi", "test", 0, 31),
        ("mosei", "train", 2244, 2244),
        ("mosei", "valid", 0, 298),
    ],
)
def test_the_header_that_ships_knows_all_that_was_learned(corpus, split, seen, num):
    """443 videos of CMU-MOSEI were in no header, and none of its names was an official id."""
    with (DATA / corpus / "label.csv").open(encoding="utf-8-sig", newline="") as file:
        videos = {row["video_id"] for row in csv.DictReader(file) if row["mode"] == split}
    assert len(videos) == num
    assert len(videos_seen(read_header(DEFAULT_MODEL), videos)) == seen


@needs_data
def test_the_real_sources_are_kept_apart(recipe):
    looks, texts = recipe.items.read_looks(DATA), recipe.items.read_texts(DATA)
    kept = recipe.items.keep_apart([*looks, *texts])
    assert_apart(groups_by_split(kept))
    count = Counter((one.source, one.split) for one in kept)
    before = Counter((one.source, one.split) for one in [*looks, *texts])
    lost = {key: before[key] - count[key] for key in before if before[key] != count[key]}
    assert lost == {("ferplus", "train"): 673, ("ferplus", "valid"): 42}
