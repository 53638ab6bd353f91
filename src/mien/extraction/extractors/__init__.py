"""Signals to time series of features: one class per kind of features, found by its name.

``protocols`` say what an extractor is. ``audio_librosa``, ``audio_opensmile`` and ``audio_encoder``
take sound, in ``windows``; ``face`` takes pictures, and ``openface`` a file; ``speech`` recognises
words. Both encoder and recogniser run ``whisper``.

An extractor is pushed: it is begun for one clip, fed as the recording is decoded, and finished.
Nothing here reads a whole recording, so one decode feeds audio, frames and speech alike, however
long the recording is, and a live source can be fed in pieces.

A name ends in a version, which changes whenever the numbers do.
"""

from mien.extraction.extractors.audio_encoder import (
    build_wav2vec2,
    build_whisper_base,
    build_whisper_base_short,
    build_whisper_tiny_en,
    build_whisper_tiny_en_short,
)
from mien.extraction.extractors.audio_librosa import build_librosa_sims
from mien.extraction.extractors.audio_opensmile import build_egemaps, build_egemaps_lld
from mien.extraction.extractors.face.features import (
    build_blendshapes,
    build_face,
    build_face_expression,
)
from mien.extraction.extractors.face.landmarks import build_landmarks
from mien.extraction.extractors.openface.program import build_openface, build_openface_709
from mien.extraction.extractors.protocols import (
    AudioExtractor,
    AudioStream,
    ExtractorEntry,
    Features,
    FileExtractor,
    FrameStream,
    VideoExtractor,
)
from mien.extraction.media.segments import Source
from mien.plugins import Registry
from mien.types import Modality

__all__ = [
    "EXTRACTORS",
    "AudioExtractor",
    "AudioStream",
    "ExtractorEntry",
    "Features",
    "FileExtractor",
    "FrameStream",
    "Source",
    "VideoExtractor",
    "register_extractor",
]

_EXTRACTORS = {
    "librosa-sims/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="the published 33 values: zero-crossing rate, 20 MFCC, 12 chroma, by librosa",
        build=build_librosa_sims,
    ),
    "egemaps-lld/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="25 eGeMAPS descriptors every 10 ms, by openSMILE (research and private use only)",
        build=build_egemaps_lld,
    ),
    "egemaps/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="88 eGeMAPS functionals of a clip, by openSMILE (research and private use only)",
        build=build_egemaps,
    ),
    "whisper-tiny-en/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="384 hidden states of Whisper tiny's encoder, English, 50 steps a second",
        build=build_whisper_tiny_en,
    ),
    "whisper-base/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="512 hidden states of Whisper base's encoder, multilingual, 50 steps a second",
        build=build_whisper_base,
    ),
    "whisper-tiny-en-short/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="as whisper-tiny-en/1 filled up to 5, 10, ... seconds: quicker, other states",
        build=build_whisper_tiny_en_short,
    ),
    "whisper-base-short/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="as whisper-base/1 filled up to 5, 10, ... seconds: quicker, other states",
        build=build_whisper_base_short,
    ),
    "wav2vec2/1": ExtractorEntry(
        modality=Modality.AUDIO,
        summary="hidden states of a wav2vec 2.0, HuBERT or WavLM model: wav2vec2/1:FOLDER",
        build=build_wav2vec2,
    ),
    "face/1": ExtractorEntry(
        modality=Modality.VIDEO,
        summary="52 blendshapes, head pose, gaze, eyes and mouth, by MediaPipe",
        build=build_face,
    ),
    "face+expression/1": ExtractorEntry(
        modality=Modality.VIDEO,
        summary="face/1 and the probabilities of seven expressions",
        build=build_face_expression,
    ),
    "blendshapes/1": ExtractorEntry(
        modality=Modality.VIDEO,
        summary="the 52 blendshapes of face/1 alone, by MediaPipe",
        build=build_blendshapes,
    ),
    "landmarks/1": ExtractorEntry(
        modality=Modality.VIDEO,
        summary="478 points of the face, without its place, size and rotation, by MediaPipe",
        build=build_landmarks,
    ),
    "openface-709/1": ExtractorEntry(
        modality=Modality.VIDEO,
        summary="the 709 values of OpenFace 2 (academic use), by your own program or its CSV files",
        build=build_openface_709,
    ),
    "openface/1": ExtractorEntry(
        modality=Modality.VIDEO,
        summary="whatever columns a folder of OpenFace CSV files has (academic use)",
        build=build_openface,
    ),
}

#: Every extractor, by name; other packages bring theirs by entry points of the group
#: ``mien.extractors``.
EXTRACTORS: Registry[ExtractorEntry] = Registry(
    "extractor", "mien.extractors", ExtractorEntry, _EXTRACTORS
)


def register_extractor(name: str, entry: ExtractorEntry) -> None:
    """Add an extractor to the table, for this process.

    Worker processes of an extraction do not see it; those of an installed package they do.

    Raises:
        PluginError: If there is such an extractor already.
    """
    EXTRACTORS[name] = entry
