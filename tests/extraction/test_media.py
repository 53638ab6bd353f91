import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import talking
from av.stream import Disposition

from mien.errors import MediaError
from mien.extraction.media import AudioSink, FrameSink, Source, containers, decode, probe

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "clips"
LEVELS = 200  # grey levels told apart after lossless coding
MATRIX = struct.Struct(">9i")
UNTURNED = MATRIX.pack(1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
TURNED_CLOCKWISE = MATRIX.pack(0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return talking.write_clip(tmp_path_factory.mktemp("clips") / "plain.mp4")


def hear(path, *, rate=16000, start=0.0, end=None):
    pieces = [np.empty(0, np.float32)]
    decoded = decode(
        Source(path=path, start=start, end=end), audio=[AudioSink(rate, pieces.append)]
    )
    return np.concatenate(pieces), decoded


def see(path, *, frame_rate=None, start=0.0, end=None):
    images, times = [], []

    def feed(image, time):
        images.append(image)
        times.append(time)

    source = Source(path=path, start=start, end=end)
    decoded = decode(source, frames=[FrameSink(frame_rate, feed)])
    return images, times, decoded


def write_levels(path, times, *, codec="ffv1", gop=12, rate=25):
    """Write frames whose grey level is their number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width = stream.height = 64
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        stream.gop_size = gop
        stream.time_base = stream.codec_context.time_base = Fraction(1, 12800)
        for number, time in enumerate(times):
            image = np.full((64, 64, 3), number % LEVELS, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time * 12800), Fraction(1, 12800)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path, pieces, *, rate=16000, codec="pcm_s16le", layout="mono", options=None):
    """Write pieces of sound, each ``(start in seconds, samples)``."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        form = stream.codec_context.format.name
        for start, samples in pieces:
            channels = np.atleast_2d(samples).astype(np.float32)
            resampler = av.AudioResampler(form, layout, rate)
            for place in range(0, channels.shape[1], 1024):
                piece = np.ascontiguousarray(channels[:, place : place + 1024])
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(start * rate) + place
                for one in resampler.resample(frame):
                    container.mux(stream.encode(one))
        container.mux(stream.encode(None))
    return path


def levels(images):
    return [int(image[32, 32, 0]) for image in images]


def noise(seconds, rate=16000, seed=1):
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))


@pytest.mark.parametrize("name", [n for n in talking.VARIANTS if n not in talking.BROKEN])
def test_every_kind_of_talking_clip_is_decoded(tmp_path, name):
    path = talking.VARIANTS[name](tmp_path / "clip.mp4")
    recording = probe(path)
    sound, heard = hear(path)
    images, times, _ = see(path, frame_rate=10)
    share = 0.35 if name == "truncated" else 1.0
    assert recording.has_audio == heard.has_audio == (name != "no audio")
    assert len(sound) == pytest.approx(0.0 if name == "no audio" else 32000, rel=1 - share + 0.03)
    assert all(image.shape == (recording.height, recording.width, 3) for image in images)
    assert times == [k / 10 for k in range(len(times))]
    assert len(times) >= 20 * share
    assert heard.is_truncated == (name == "truncated")


def test_a_probe_says_what_a_recording_holds(plain):
    recording = probe(plain)
    assert recording.duration == pytest.approx(2.0, abs=0.05)
    assert (recording.width, recording.height, recording.rotation) == (240, 240, 0)
    assert recording.frame_rate == pytest.approx(25)
    assert (recording.audio_rate, recording.audio_channels) == (44100, 1)


def test_a_rotated_recording_is_seen_upright(tmp_path):
    upright = talking.write_clip(tmp_path / "a.mp4", size=(240, 320))
    rotated = talking.write_clip(tmp_path / "b.mp4", size=(240, 320), rotation=90)
    assert (probe(rotated).width, probe(rotated).height) == (240, 320)
    assert probe(rotated).rotation == 90
    expected, found = see(upright, frame_rate=2)[0], see(rotated, frame_rate=2)[0]
    difference = np.abs(np.asarray(expected, float) - np.asarray(found, float)).mean()
    assert difference < 3
    turned = np.rot90(np.asarray(found, float), 2, axes=(1, 2))
    assert np.abs(np.asarray(expected, float) - turned).mean() > 30


def test_a_phone_held_upright_is_turned_clockwise_as_its_matrix_says(tmp_path):
    path = talking.write_clip(tmp_path / "a.mp4", size=(320, 240))
    stored = see(path, frame_rate=2)[0][0]
    whole = path.read_bytes()
    place = whole.index(UNTURNED, whole.index(b"tkhd"))
    assert b"soun" not in whole[whole.index(b"moov") : whole.index(b"vide", place)]
    path.write_bytes(whole[:place] + TURNED_CLOCKWISE + whole[place + len(UNTURNED) :])
    found = see(path, frame_rate=2)[0][0]
    np.testing.assert_array_equal(found, np.rot90(stored, -1))


def test_at_every_sampling_instant_the_frame_shown_then_is_handed_over(tmp_path):
    shown = [0.0, 0.04, 0.08, 0.2, 0.22, 0.5, 0.54, 0.9]
    path = write_levels(tmp_path / "a.mkv", shown)
    images, times, decoded = see(path, frame_rate=10)
    assert times == [k / 10 for k in range(len(times))]
    assert levels(images) == [max(n for n, s in enumerate(shown) if s <= t + 1e-3) for t in times]
    assert decoded.num_frames == len(set(levels(images)))


def test_a_frame_shown_at_several_instants_is_converted_once(tmp_path):
    images, _, decoded = see(write_levels(tmp_path / "a.mkv", [0.0, 0.5]), frame_rate=20)
    assert len({id(image) for image in images}) == decoded.num_frames == 2
    assert levels(images)[:10] == [0] * 10


def test_times_rounded_to_milliseconds_lose_no_frame(tmp_path):
    path = write_levels(tmp_path / "a.mkv", [k / 30 for k in range(60)], rate=30)  # 0.067 for 2/30
    images, _, _ = see(path, frame_rate=30)
    assert levels(images) == list(range(60))


def test_without_a_rate_every_frame_comes_once_at_its_own_time(tmp_path):
    shown = [0.0, 0.04, 0.08, 0.2, 0.22, 0.5]
    images, times, decoded = see(write_levels(tmp_path / "a.mkv", shown))
    assert levels(images) == list(range(6))
    assert times == pytest.approx(shown, abs=1e-3)
    assert decoded.num_frames == 6


def test_two_sinks_of_frames_share_one_conversion(tmp_path):
    path = write_levels(tmp_path / "a.mkv", [k / 25 for k in range(25)])
    first, second = [], []
    decoded = decode(
        Source(path=path),
        frames=[
            FrameSink(5, lambda image, _: first.append(image)),
            FrameSink(None, lambda image, _: second.append(image)),
        ],
    )
    assert levels(first) == [0, 5, 10, 15, 20]
    assert all(any(one is two for two in second) for one in first)
    assert decoded.num_frames == 25


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "ts", "flv"])
@pytest.mark.parametrize("start", [2.0, 8.32])
def test_a_piece_has_the_frames_that_the_whole_has_there(tmp_path, container, start):
    codec = "libx264" if container != "avi" else "mpeg4"
    times = [k / 25 for k in range(350)]
    path = write_levels(tmp_path / f"a.{container}", times, codec=codec, gop=70)
    whole = see(path, frame_rate=25)
    images, times, decoded = see(path, frame_rate=25, start=start, end=start + 1.0)
    begin = round(start * 25)
    assert times == [k / 25 for k in range(25)]
    assert levels(images) == levels(whole[0])[begin : begin + 25]
    assert decoded.seconds == pytest.approx(1.0)
    assert not decoded.is_truncated


@pytest.mark.parametrize(
    ("suffix", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame")]
)
@pytest.mark.parametrize("start", [1.0, 9.123])
def test_a_piece_sounds_as_the_whole_does_there(tmp_path, suffix, codec, start):
    path = write_sound(tmp_path / f"a.{suffix}", [(0.0, noise(12))], codec=codec)
    whole, _ = hear(path)
    piece, decoded = hear(path, start=start, end=start + 0.5)
    begin = round(start * 16000)
    assert piece.size == 8000
    np.testing.assert_allclose(piece, whole[begin : begin + 8000], atol=2e-4)
    assert decoded.seconds == pytest.approx(0.5)


def test_sound_that_begins_late_begins_with_silence(tmp_path):
    made = noise(1.0)
    path = talking.write_clip(
        tmp_path / "a.mkv", audio_start=0.5, sound=made, audio_rate=16000, audio_codec="pcm_s16le"
    )
    sound, _ = hear(path)
    assert not sound[:8000].any()
    np.testing.assert_allclose(sound[8000:], made, atol=1e-4)


def test_a_gap_in_the_sound_is_silent_and_moves_nothing(tmp_path):
    first, second = noise(1.0), noise(1.0, seed=2)
    path = write_sound(tmp_path / "a.mkv", [(0.0, first), (3.0, second)])
    sound, _ = hear(path)
    assert sound.size == 4 * 16000
    np.testing.assert_allclose(sound[:16000], first, atol=1e-4)
    assert not sound[16000:48000].any()
    np.testing.assert_allclose(sound[48000:], second, atol=1e-4)


def test_a_clock_that_jumps_by_hours_is_an_error(tmp_path):
    path = write_sound(tmp_path / "a.mkv", [(0.0, noise(0.1)), (9000.0, noise(0.1))])
    with pytest.raises(MediaError, match=r"sound stops at 0\.1 s and continues at 9000 s"):
        hear(path)
    path = write_levels(tmp_path / "b.mkv", [0.0, 0.04, 9000.0])
    with pytest.raises(MediaError, match=r"picture stops at 0\.04 s and continues at 9000 s"):
        see(path, frame_rate=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*slated for removal in Python 3.13:DeprecationWarning")
def test_sound_equals_what_librosa_loads(tmp_path):
    librosa = pytest.importorskip("librosa", reason="pip install mien[extract]")
    channels = np.stack([noise(2, 44100), noise(2, 44100, seed=2)])
    path = write_sound(tmp_path / "a.wav", [(0.0, channels)], rate=44100, layout="stereo")
    expected, _ = librosa.load(path, sr=22050)
    np.testing.assert_allclose(hear(path, rate=22050)[0], expected, atol=1e-6)


def test_sinks_of_different_rates_get_the_same_sound(plain):
    low, high = [], []
    decode(Source(path=plain), audio=[AudioSink(8000, low.append), AudioSink(44100, high.append)])
    low_seconds, high_seconds = sum(map(len, low)) / 8000, sum(map(len, high)) / 44100
    assert low_seconds == pytest.approx(high_seconds, abs=1e-4)
    assert max(one.size for one in high) <= 44100  # no more than a second is ever held


def test_the_middle_of_surround_sound_is_heard(tmp_path):
    mono = talking.write_clip(tmp_path / "a.mkv", audio_codec="pcm_s16le", has_video=False)
    surround = talking.write_clip(
        tmp_path / "b.mkv", audio_codec="pcm_s16le", has_video=False, layout="5.1"
    )
    np.testing.assert_allclose(hear(surround)[0], hear(mono)[0], atol=1e-3)


@pytest.mark.parametrize(("suffix", "codec"), [("mp3", "libmp3lame"), ("flac", "flac")])
def test_cover_art_is_no_moving_picture(tmp_path, suffix, codec):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        sound = container.add_stream(codec, rate=44100, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(cover.encode(image.reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        samples = np.zeros((1, 44100), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 44100
        for one in av.AudioResampler(sound.codec_context.format, "mono", 44100, 1152).resample(
            frame
        ):
            container.mux(sound.encode(one))
        container.mux(sound.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video  # it is there for a careless reader
    assert not probe(path).has_video
    assert see(path)[0] == []


def test_a_sink_of_what_a_recording_lacks_gets_nothing(tmp_path):
    path = talking.write_clip(tmp_path / "a.mp4", has_audio=False)
    sound, decoded = hear(path)
    assert not sound.size
    assert not decoded.has_audio
    assert decoded.has_video
    assert decoded.seconds == pytest.approx(2.0, abs=0.01)


def test_damage_in_the_middle_is_passed_and_said(tmp_path, capfd):
    path = talking.write_clip(tmp_path / "a.mp4", seconds=4.0)
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 9000] = b"\x5a" * 9000
    path.write_bytes(whole)
    _, times, decoded = see(path, frame_rate=25)
    assert decoded.is_truncated
    assert len(times) > 50
    assert capfd.readouterr() == ("", "")


def test_a_stream_of_which_nothing_can_be_decoded_is_an_error(tmp_path, capfd):
    path = talking.write_clip(tmp_path / "a.mp4")
    whole = bytearray(path.read_bytes())
    begin = whole.index(b"mdat") + 4
    end = whole.index(b"moov") - 4
    whole[begin:end] = b"\x5a" * (end - begin)
    path.write_bytes(whole)
    with pytest.raises(MediaError, match=r"its video \(h264\) cannot be decoded at all"):
        see(path)
    assert capfd.readouterr() == ("", "")


def test_a_stream_that_appears_late_in_the_file_does_no_harm(tmp_path):
    """PyAV's reader ended with IndexError at the end of such a file."""
    path = tmp_path / "a.flv"
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:  # more than is looked at when a file is opened
        stream = container.add_stream("flv", rate=25, options={"qmin": "1", "qmax": "1"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(25):
            image = rng.integers(0, 256, (480, 640, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert path.stat().st_size > 5_000_000
    sound = b"\x3e" + bytes(400)  # 16 bits, mono
    tag = b"\x08" + len(sound).to_bytes(3, "big") + bytes([0, 3, 0, 0, 0, 0, 0]) + sound
    path.write_bytes(path.read_bytes() + tag + len(tag).to_bytes(4, "big"))
    assert not probe(path).has_audio
    assert len(see(path)[0]) == 25


def test_a_recording_that_ends_too_early_is_called_truncated(tmp_path):
    path = write_sound(tmp_path / "a.wav", [(0.0, noise(10))])
    assert not hear(path)[1].is_truncated
    talking.truncate(path, 0.5)
    _, decoded = hear(path)
    assert decoded.seconds == pytest.approx(5.0, abs=0.1)
    assert decoded.is_truncated


def write_png(path):
    import matplotlib.image

    matplotlib.image.imsave(path, np.zeros((8, 8, 3)), format="png")


def write_jpeg(path):
    import matplotlib.image

    matplotlib.image.imsave(path, np.zeros((8, 8, 3)), format="jpg")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"no recording " * 500),
        lambda path: path.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n", encoding="utf-8"),
        write_png,
        write_jpeg,
    ],
    ids=["text", "subtitles", "png", "jpeg"],
)
def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path, capfd, write):
    path = tmp_path / "clip.mp4"
    write(path)
    with pytest.raises(
        MediaError, match=r"clip\.mp4: (cannot be read as a recording|holds neither)"
    ) as caught:
        probe(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


#: Small files that decoders make much of: a script of a day of sound, an index of a second file,
#: the first of the parts of a recording.
MADE_UP = {
    "SBaGen": b"-SE\nts: 200+10/50\n00:00 ts\n23:00 ts ->\n",
    "VobSub": b"# VobSub index file, v7\nsize: 64x48\ntimestamp: 00:00:00:000, filepos: 0\n",
    "MLV": b"MLVI\x34\x00\x00\x00v2.0\x00\x00\x00\x00" + bytes(36),
    "FFmetadata": b";FFMETADATA1\ntitle=x\n",
    "text as video": b"\x1b[31mhello\r\n" * 40,
}


@pytest.mark.parametrize("suffix", ["mp4", "sbg", "idx", "mlv", "txt", "ans"])
@pytest.mark.parametrize("kind", MADE_UP)
def test_formats_that_make_things_up_or_read_further_files_are_refused(tmp_path, kind, suffix):
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(MADE_UP[kind])
    with pytest.raises(MediaError, match=r"cannot be read as a recording"):
        probe(path)


def test_only_formats_that_are_known_are_allowed_and_all_of_them_are_known():
    allowed = containers.ALLOWED_FORMATS.split(",")
    there = {name for one in av.formats_available for name in one.split(",")}
    assert set(allowed) <= there
    assert len(set(allowed)) == len(allowed)
    assert not any(name.endswith("_pipe") for name in allowed)


@pytest.mark.parametrize("num_channels", [9, 64, 200])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_sound_of_many_channels_is_their_mean(tmp_path, num_channels, width):
    kinds = {1: ("<u1", 128, 127), 2: ("<i2", 0, 32767), 4: ("<i4", 0, 2**31 - 129)}
    kind, middle, most = kinds[width]
    sound = np.random.default_rng(5).uniform(-0.5, 0.5, (1600, num_channels))
    stored = np.round(middle + most * sound).astype(kind)
    path = tmp_path / "many.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(num_channels)
        file.setsampwidth(width)
        file.setframerate(16000)
        file.writeframes(stored.tobytes())
    assert probe(path).audio_channels == num_channels
    heard, decoded = hear(path)
    assert not decoded.is_truncated
    np.testing.assert_allclose(heard, sound.mean(axis=1), atol=1 / 120 if width == 1 else 1e-4)


def test_a_missing_file_a_folder_and_an_empty_file_are_told_apart(tmp_path):
    with pytest.raises(MediaError, match="is not there"):
        probe(tmp_path / "clip.mp4")
    with pytest.raises(MediaError, match="is not a file"):
        probe(tmp_path)
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(MediaError, match="is empty"):
        probe(tmp_path / "clip.mp4")


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2.0,\n{name}\n#EXT-X-ENDLIST\n",
    "m3u8 by address": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2.0,\nfile://{path}\n"
    "#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile {name}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 9"
    "6\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{name}'
    "</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "ffconcat", "sdp", "mpd"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_file_that_names_other_files_is_not_followed(tmp_path, capfd, kind, suffix):
    talking.write_clip(tmp_path / "secret.ts", seconds=0.4)
    path = tmp_path / f"clip.{suffix}"
    text = PLAYLISTS[kind].format(name="secret.ts", path=tmp_path / "secret.ts")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MediaError, match="cannot be read as a recording"):
        decode(Source(path=path), frames=[FrameSink(None, lambda *_: pytest.fail("followed"))])
    assert capfd.readouterr() == ("", "")


def test_a_name_with_a_pattern_or_an_address_is_only_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a%03d.mp4", "concat:x|y.mp4", "http:x.mp4", "ä ö.mp4"):
        talking.write_clip(tmp_path / "plain.mp4", seconds=0.2)
        (tmp_path / "plain.mp4").rename(name)
        assert probe(Path(name)).has_video


def test_words_in_the_metadata_that_are_not_unicode_do_no_harm(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "grüße und küsse"
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), "s16", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
    path.write_bytes(path.read_bytes().replace("grüße".encode(), b"gr\xff\xfe\xff\xfee"))
    assert hear(path)[1].seconds == pytest.approx(1.0)


def test_a_picture_of_absurd_size_is_refused(plain, monkeypatch):
    monkeypatch.setattr("mien.extraction.media.tracks.LARGEST_PIXELS", 200 * 200)
    for look in (probe, see):
        with pytest.raises(MediaError, match=r"picture has 240 x 240 pixels, must have at most"):
            look(plain)


@pytest.mark.parametrize("value", [np.nan, np.inf, 20000.0])
def test_sound_on_another_scale_is_an_error(tmp_path, value):
    samples = noise(1.0)
    samples[8000] = value
    path = write_sound(tmp_path / "a.wav", [(0.0, samples)], codec="pcm_f32le")
    with pytest.raises(MediaError, match=r"sound reaches (nan|inf|20000) near 0\.\d+ s"):
        hear(path)


def test_a_piece_outside_the_recording_is_an_error(plain):
    with pytest.raises(MediaError, match=r"starts at 3 s, but the recording ends at 2"):
        hear(plain, start=3.0)
    with pytest.raises(MediaError, match=r"starts at 30 s, but the recording ends at 2"):
        see(plain, start=30.0, end=31.0)


@pytest.mark.parametrize(
    ("start", "end", "sentence"),
    [
        (-1.0, None, r"starts at -1\.0 s, must be 0 or more"),
        (float("nan"), None, "starts at nan s"),
        (2.0, 1.0, r"ends at 1\.0 s, must be after 2\.0 s"),
        (0.0, float("inf"), "ends at inf s"),
        (0.0, 90000.0, "reaches beyond 24 hours"),
    ],
)
def test_a_piece_that_makes_no_sense_is_an_error(plain, start, end, sentence):
    with pytest.raises(MediaError, match=sentence):
        hear(plain, start=start, end=end)


def test_a_recording_with_a_stream_but_nothing_in_it_is_an_error(tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    with pytest.raises(MediaError, match="holds no sound or frame at all"):
        hear(path)


def test_a_missing_package_is_named_with_the_line_that_installs_it(plain, monkeypatch):
    from mien.errors import ConfigError

    monkeypatch.setattr("mien.errors.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"'av' is not installed; .* pip install .*\[extract\]"):
        probe(plain)


@pytest.mark.slow
@pytest.mark.skipif(
    not CLIPS.exists(), reason="the clips are not beside the repository; put them into ../shared"
)
def test_real_recordings_are_decoded_whole():
    paths = [path for path in CLIPS.rglob("*.*") if path.is_file()]
    assert paths
    for path in paths:
        recording = probe(path)
        seconds = []
        decoded = decode(
            Source(path=path),
            audio=[AudioSink(16000, lambda samples, s=seconds: s.append(samples.size / 16000))],
            frames=[FrameSink(5, lambda *_: None)],
        )
        assert not decoded.is_truncated, path
        assert decoded.seconds == pytest.approx(recording.duration, abs=0.1), path
        assert bool(decoded.num_frames) == recording.has_video, path
        assert bool(seconds) == recording.has_audio, path


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_clock_that_begins_before_zero_is_followed(tmp_path, start):
    """Ffmpeg gives the frames of such a picture no time before 0; the sound has its times."""
    path = tmp_path / "early.mkv"
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(path), "w", container_options=options) as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16000, layout="mono")
        packets = []
        for number in range(75):
            grey = np.full((64, 64, 3), 3 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = 40 * number - 2000, Fraction(1, 1000)
            packets += video.encode(frame)
        for number in range(48):
            wave = np.sin(np.arange(1024)) if number == 32 else np.zeros(1024)
            heard = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
            heard.sample_rate, heard.pts = 16000, 1024 * number - 32000
            heard.time_base = Fraction(1, 16000)
            packets += sound.encode(heard)
        packets += [*video.encode(None), *sound.encode(None)]
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    assert probe(path).duration == pytest.approx(3.1, abs=0.2)
    samples, frames = [], []
    decoded = decode(
        Source(path=path, start=start),
        audio=[AudioSink(16000, samples.append)],
        frames=[FrameSink(5, lambda image, time: frames.append((time, float(image.mean()))))],
    )
    assert not decoded.is_truncated
    assert decoded.seconds == pytest.approx(3.1 - start, abs=0.2)
    tone = np.argmax(np.abs(np.concatenate(samples)) > 0.4) / 16000
    assert tone == pytest.approx(2.048 - start, abs=0.1)
    assert len(frames) >= 5 * (3.0 - start)
    for time, grey in frames:
        assert grey / 75 == pytest.approx(time + start, abs=0.3)
