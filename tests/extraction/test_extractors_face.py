"""Faces in pictures and in clips, on a real portrait that is moved, turned, shrunk and doubled."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import talking
from PIL import Image

from mien.errors import AssetError, ConfigError
from mien.extraction.extractors import EXTRACTORS, Source
from mien.extraction.extractors.face import landmarker
from mien.extraction.extractors.face.expression import EXPRESSIONS, ExpressionModel
from mien.extraction.extractors.face.geometry import (
    align,
    eye_aspects,
    gaze_of,
    mouth_aspect,
    pose_of,
)
from mien.extraction.extractors.face.landmarker import FaceFinder, FaceSearch, overlap
from mien.extraction.extractors.face.tracking import FaceTracks
from mien.pretrained.assets import find_asset

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "clips"
CLIP = Source(path=Path("clip.mp4"))


def has(asset: str) -> bool:
    try:
        find_asset(asset)
    except AssetError:
        return False
    return True


needs_landmarker = pytest.mark.skipif(
    not has("face-landmarker"), reason="mien assets get face-landmarker"
)
needs_expression = pytest.mark.skipif(not has("expression"), reason="mien assets get expression")


@pytest.fixture(scope="module")
def finder():
    return FaceFinder()


def on_canvas(width, height, faces):
    """Paste the portrait, at a left and a top and of a side, on grey."""
    canvas = Image.new("RGB", (width, height), (128, 128, 128))
    for left, top, side in faces:
        canvas.paste(Image.fromarray(talking.portrait(0.0)).resize((side, side)), (left, top))
    return np.asarray(canvas)


def turned(image, degrees):
    return np.asarray(Image.fromarray(image).rotate(degrees, fillcolor=(128, 128, 128)))


def features_of(name, images, rate=10.0):
    stream = EXTRACTORS[name].build("").begin(CLIP)
    for place, image in enumerate(images):
        stream.feed(image, place / rate)
    return stream.finish()


def column(name, features, feature):
    return features.values[:, EXTRACTORS[name].build("").feature_names.index(feature)]


BIG = on_canvas(480, 480, [(0, 0, 480)])


# Geometry, by hand


def rotation(axis, degrees):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, two = [n for n in range(3) if n != axis]
    matrix = np.eye(3)
    matrix[one, one] = matrix[two, two] = cosine
    sign = -1 if axis == 1 else 1
    matrix[two, one], matrix[one, two] = sign * sine, -sign * sine
    return matrix


def test_pose_gives_back_the_turns_that_made_it():
    made = rotation(2, 5.0) @ rotation(1, 20.0) @ rotation(0, -10.0)
    np.testing.assert_allclose(pose_of(made), [-10.0, 20.0, 5.0], atol=1e-9)


def test_a_mirrored_rotation_flips_yaw_and_roll():
    made = rotation(2, 5.0) @ rotation(1, 20.0) @ rotation(0, -10.0)
    mirror = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(pose_of(mirror @ made @ mirror), [-10.0, -20.0, -5.0], atol=1e-9)


def made_points():
    points = np.random.default_rng(1).normal(0.0, 40.0, (478, 3))
    points[[33, 133]] = [(0, 0, 0), (20, 0, 0)]  # right eye: outer, inner corner
    points[[362, 263]] = [(60, 0, 0), (80, 0, 0)]  # left eye: inner, outer corner
    points[[468, 473]] = [(15, -2, 0), (65, 1, 0)]  # right, left iris
    points[[10, 2]] = [(40, -60, 0), (40, 30, 10)]  # forehead, root of the nose
    return points


def test_gaze_is_where_the_iris_is_between_the_corners():
    np.testing.assert_allclose(gaze_of(made_points()), [-0.5, -0.1, 0.5, 0.2])


def test_an_eye_is_as_open_as_its_lids_are_apart():
    points = made_points()
    points[[160, 144, 158, 153]] = [(5, -3, 0), (5, 3, 0), (15, -1, 0), (15, 1, 0)]
    points[[387, 373, 385, 380]] = [(65, 0, 0), (65, 0, 0), (75, 0, 0), (75, 0, 0)]
    np.testing.assert_allclose(eye_aspects(points), [0.0, 0.2])


def test_aligned_points_do_not_know_place_size_and_rotation():
    points = made_points()
    turn = rotation(0, 12.0) @ rotation(1, -25.0) @ rotation(2, 40.0)
    moved = 3.0 * points @ turn.T + (100.0, -50.0, 7.0)
    np.testing.assert_allclose(align(moved), align(points), atol=1e-9)


def test_points_that_fall_together_stay_finite():
    points = np.zeros((478, 3))
    for values in (align(points), gaze_of(points), eye_aspects(points), mouth_aspect(points)):
        assert np.isfinite(values).all()


# Tracks


def row(value):
    return np.array([value], dtype=np.float32)


def test_the_larger_of_two_steady_faces_is_followed():
    tracks = FaceTracks()
    small, large = np.array([0.0, 0, 0.1, 0.1]), np.array([0.5, 0, 0.9, 0.4])
    for frame in range(5):
        tracks.add(
            [small, large][:: 1 if frame % 2 else -1],
            [row(1), row(2)][:: 1 if frame % 2 else -1],
            frame / 10,
        )
    followed = tracks.choose()
    assert [float(one[0]) for one in followed.rows] == [2.0] * 5
    assert "of 2 faces" in tracks.describe(followed, 5)


def test_a_face_that_stays_is_followed_before_a_larger_one_that_passes():
    tracks = FaceTracks()
    for frame in range(20):
        boxes, rows = [np.array([0.0, 0, 0.2, 0.2])], [row(1)]
        if frame in (7, 8):
            boxes.append(np.array([0.3 + 0.05 * frame, 0, 0.6 + 0.05 * frame, 0.3]))
            rows.append(row(2))
        tracks.add(boxes, rows, frame / 10)
    assert len(tracks.choose().rows) == 20


def test_a_face_that_jumps_about_is_not_steady():
    tracks = FaceTracks()
    for frame in range(10):
        still = np.array([0.0, 0, 0.2, 0.2])
        restless = np.array([0.4, 0.4, 0.62, 0.62]) + 0.06 * (frame % 2)
        tracks.add([still, restless], [row(1), row(2)], frame / 10)
    assert len(tracks.tracks) == 2
    assert float(tracks.choose().rows[0][0]) == 1.0


def test_a_face_that_was_away_is_taken_up_again():
    tracks = FaceTracks()
    for frame in range(30):
        seen = [] if 5 <= frame < 25 else [np.array([0.1, 0.1, 0.3, 0.3])]
        tracks.add(seen, [row(1)] * len(seen), frame / 10)
    assert len(tracks.tracks) == 1
    assert len(tracks.choose().rows) == 10


def test_overlap_of_boxes_by_hand():
    assert overlap(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)
    assert overlap(np.array([0.0, 0, 2, 2]), np.array([5.0, 5, 6, 6])) == 0.0
    assert overlap(np.zeros(4), np.zeros(4)) == 0.0


# The landmarker


@needs_landmarker
def test_blendshapes_have_the_names_that_mediapipe_gives_them(finder):
    import mediapipe

    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=BIG)
    (shapes,) = finder.landmarker.detect(picture).face_blendshapes
    assert tuple(shape.category_name for shape in shapes) == finder.blendshape_names


@needs_landmarker
def test_the_landmarker_loads_nothing_that_draws_until_somebody_draws():
    code = (
        "import sys; from mien.extraction.extractors.face.landmarker import FaceFinder; "
        "FaceFinder(); assert not {'cv2', 'matplotlib'} & sys.modules.keys(); "
        "from mediapipe.tasks.python.vision import drawing_utils; "
        "assert drawing_utils.DrawingSpec().thickness == 2; assert 'cv2' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@needs_landmarker
def test_extractors_of_one_process_share_one_landmarker():
    """A landmarker that the garbage collector closed made the next call wait for ever."""
    assert FaceFinder().landmarker is FaceFinder().landmarker


@needs_landmarker
def test_the_landmarker_is_not_taken_away_with_the_last_that_knows_it(monkeypatch):
    """Closed while the interpreter ends, it wrote a traceback to stderr."""
    from mediapipe.tasks.python.vision import FaceLandmarker

    taken = []
    real = FaceLandmarker.__del__
    monkeypatch.setattr(FaceLandmarker, "__del__", lambda one: (taken.append(1), real(one)))
    made = landmarker.load_landmarker.__wrapped__(
        find_asset("face-landmarker") / "face_landmarker.task", 1
    )
    del made
    gc.collect()
    assert not taken


@needs_landmarker
def test_mediapipe_is_given_no_certificate_with_which_to_report_usage(monkeypatch):
    from mediapipe.tasks.python.vision import FaceLandmarker

    given = []
    monkeypatch.setattr(FaceLandmarker, "create_from_options", given.append)
    landmarker.load_landmarker.__wrapped__(Path("model.task"), 1)
    made = given[0].base_options.to_ctypes()
    assert made.ca_bundle_path == os.devnull.encode()
    assert made.model_asset_path == b"model.task"


@needs_landmarker
def test_loading_the_landmarker_and_leaving_is_quiet():
    code = (
        "from mien.extraction.extractors import EXTRACTORS, Source; from pathlib import Path; "
        "import talking; s = EXTRACTORS['face/1'].build('').begin(Source(path=Path('x'))); "
        "s.feed(talking.portrait(0.0), 0.0); assert len(s.finish().values) == 1"
    )
    paths = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_landmarker
@pytest.mark.parametrize("place", [(40, 40), (560, 280), (1100, 560)])
def test_a_small_face_in_a_wide_picture_is_found_in_an_enlarged_part(finder, place):
    image = on_canvas(1280, 720, [(*place, 150)])
    assert finder.find(image) == []
    (face,) = FaceSearch(finder).find(image, 0.0)
    assert face.is_enlarged
    x, y = (face.box[:2] + face.box[2:]) / 2 - place
    assert 50 < x < 95  # where it is in the portrait
    assert 45 < y < 95


@needs_landmarker
def test_an_enlarged_face_has_about_the_values_of_the_whole_picture(finder):
    (whole,) = finder.find(BIG)
    near = finder.find_near(
        on_canvas(960, 960, [(300, 250, 480)]), whole.box + np.array([300, 250, 300, 250])
    )
    away = np.linalg.norm(near.points[:, :2] - (300, 250) - whole.points[:, :2], axis=1)
    assert away.mean() < 0.02 * (whole.box[3] - whole.box[1])
    assert np.abs(near.blendshapes - whole.blendshapes).mean() < 0.03


@needs_landmarker
def test_a_search_in_vain_is_made_once_a_second(finder, monkeypatch):
    searched = []
    monkeypatch.setattr(FaceFinder, "find_small", lambda _, image: searched.append(image) or [])
    search = FaceSearch(finder)
    for frame in range(25):
        assert search.find(talking.scene(0.0, num_faces=0), frame / 10) == []
    assert len(searched) == 3


# face/1


@needs_landmarker
def test_every_value_has_a_name_and_is_finite():
    features = features_of("face/1", [BIG, BIG])
    names = EXTRACTORS["face/1"].build("").feature_names
    assert len(names) == len(set(names)) == 62
    assert features.values.shape == (2, 62)
    assert np.isfinite(features.values).all()
    np.testing.assert_array_equal(features.values[0], features.values[1])


@needs_landmarker
def test_turning_the_picture_counterclockwise_raises_roll_by_as_much():
    features = features_of("face/1", [turned(BIG, -15), BIG, turned(BIG, 15)])
    np.testing.assert_allclose(np.diff(column("face/1", features, "head_roll")), 15, atol=2.0)


@needs_landmarker
def test_a_mirrored_picture_flips_yaw_roll_and_gaze_and_swaps_the_sides():
    image = turned(BIG, 10)
    features = features_of("face/1", [image, np.ascontiguousarray(image[:, ::-1])])

    def both(feature):
        return column("face/1", features, feature)

    for angle in ("head_yaw", "head_roll"):
        assert both(angle).sum() == pytest.approx(0.0, abs=2.0)
    assert abs(both("head_roll")[0]) > 5
    assert both("head_pitch")[0] == pytest.approx(both("head_pitch")[1], abs=2.0)
    assert both("gaze_left_x")[0] == pytest.approx(-both("gaze_right_x")[1], abs=0.1)
    assert both("mouthSmileLeft")[0] == pytest.approx(both("mouthSmileRight")[1], abs=0.15)


@needs_landmarker
def test_a_mouth_that_opens_raises_its_aspect():
    features = features_of("face/1", [talking.portrait(share) for share in (0.0, 1.0)])
    shut, wide = column("face/1", features, "mouth_aspect")
    assert wide > shut + 0.05


@needs_landmarker
def test_a_frame_without_a_face_is_absent_not_zero():
    nobody = talking.scene(0.0, num_faces=0)
    features = features_of("face/1", [BIG[::2, ::2], nobody, nobody, BIG[::2, ::2]])
    np.testing.assert_allclose(features.times, [0.0, 0.3])
    assert features.notes["face_share"] == 0.5
    assert features.notes["frames"] == 4
    np.testing.assert_array_equal(features.values[0], features.values[1])


@needs_landmarker
def test_a_clip_without_a_face_has_no_step():
    features = features_of("face/1", [talking.scene(0.0, num_faces=0)] * 3)
    assert features.values.shape == (0, 62)
    assert features.times.shape == (0,)
    assert "followed" not in features.notes
    assert features.notes["faces_most"] == 0


@needs_landmarker
def test_the_larger_of_two_faces_is_followed_and_the_choice_recorded():
    image = on_canvas(900, 480, [(0, 0, 480), (560, 60, 300)])
    features = features_of("face/1", [image] * 3)
    assert features.notes["faces_most"] == 2
    assert "largest and most steady of 2 faces" in features.notes["followed"]
    share = float(features.notes["followed"].split("faces: ")[1].split("%")[0]) / 100
    (alone,) = FaceFinder().find(on_canvas(900, 480, [(0, 0, 480)]))
    box = alone.box
    assert share == pytest.approx((box[2] - box[0]) * (box[3] - box[1]) / (900 * 480), rel=0.1)


@needs_landmarker
def test_a_clip_is_the_same_whatever_went_before():
    extractor = EXTRACTORS["face/1"].build("")
    results = []
    for _ in range(2):
        for images in ([BIG, turned(BIG, 8)], [talking.scene(0.0, num_faces=0)]):
            stream = extractor.begin(CLIP)
            for place, image in enumerate(images):
                stream.feed(image, place / 10)
            results.append(stream.finish())
    np.testing.assert_array_equal(results[0].values, results[2].values)


@pytest.mark.parametrize("name", ["face/1", "face+expression/1", "blendshapes/1", "landmarks/1"])
def test_settings_are_refused(name):
    with pytest.raises(ConfigError, match=r"takes no settings, found 'fast'; write "):
        EXTRACTORS[name].build("fast")


# blendshapes/1


@needs_landmarker
def test_blendshapes_alone_are_those_of_the_whole_face():
    images = [BIG, turned(BIG, 8)]
    whole, alone = features_of("face/1", images), features_of("blendshapes/1", images)
    names = EXTRACTORS["blendshapes/1"].build("").feature_names
    assert names == EXTRACTORS["face/1"].build("").feature_names[:52]
    np.testing.assert_array_equal(alone.values, whole.values[:, :52])


# landmarks/1


@needs_landmarker
def test_landmarks_do_not_change_when_the_picture_is_moved_shrunk_and_turned():
    images = {
        "as it is": BIG,
        "turned": turned(BIG, 15),
        "shrunk": BIG[::2, ::2],
        "moved": on_canvas(900, 700, [(400, 200, 480)]),
    }
    values = np.concatenate([features_of("landmarks/1", [one]).values for one in images.values()])
    assert values.shape == (4, 1434)
    away = np.abs(values - values[0]).mean(axis=1)
    assert (away < 0.02).all(), dict(zip(images, away, strict=True))


@needs_landmarker
def test_landmarks_change_when_the_mouth_opens():
    features = features_of("landmarks/1", [talking.portrait(share) for share in (0.0, 1.0)])
    names = EXTRACTORS["landmarks/1"].build("").feature_names
    lip = features.values[:, names.index("y_14")]
    assert lip[1] < lip[0] - 0.03  # y runs up, the lower lip goes down


# face+expression/1


@needs_landmarker
@needs_expression
def test_expressions_are_probabilities_beside_the_values_of_the_face():
    features = features_of("face+expression/1", [BIG])
    plain = features_of("face/1", [BIG])
    np.testing.assert_array_equal(features.values[:, :62], plain.values)
    assert features.values[0, 62:].sum() == pytest.approx(1.0, abs=1e-5)


@needs_expression
def test_a_face_that_leaves_the_picture_is_classified_all_the_same():
    probabilities = ExpressionModel().classify(BIG, np.array([-300.0, -300.0, -100.0, -100.0]))
    assert probabilities.shape == (len(EXPRESSIONS),)
    assert np.isfinite(probabilities).all()


@needs_landmarker
@needs_expression
def test_the_portrait_that_smiles_is_judged_happy():
    features = features_of("face+expression/1", [BIG])
    assert EXPRESSIONS[int(features.values[0, 62:].argmax())] == "happiness"


@needs_landmarker
@needs_expression
@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.is_dir(), reason="no real clips at ../shared/data/clips")
def test_an_actor_who_plays_happy_smiles_more_than_when_angry_or_neutral():
    from mien.extraction.media import FrameSink, decode

    smiles, happiness = {}, {}
    for played in ("HAP", "ANG", "NEU"):
        source = Source(path=CLIPS / "cremad" / f"1001_DFA_{played}_XX.flv")
        stream = EXTRACTORS["face+expression/1"].build("").begin(source)
        decode(source, frames=[FrameSink(10.0, stream.feed)])
        features = stream.finish()
        assert features.notes["face_share"] == 1.0
        smiles[played] = column("face+expression/1", features, "mouthSmileLeft").mean()
        happiness[played] = column("face+expression/1", features, "expression_happiness").mean()
    assert smiles["HAP"] > 2 * max(smiles["ANG"], smiles["NEU"])
    assert happiness["HAP"] > 0.4 > 0.1 > max(happiness["ANG"], happiness["NEU"])


@needs_landmarker
def test_a_missing_library_of_the_system_is_named_with_what_to_install(monkeypatch):
    def fail(*_):
        raise OSError("libGLESv2.so.2: cannot open shared object file")

    monkeypatch.setattr("mien.extraction.extractors.face.landmarker.load_landmarker", fail)
    with pytest.raises(ConfigError, match=r"libGLESv2\.so\.2.*install libegl1 libgles2"):
        FaceFinder()
