"""Seven expressions of a face: the small optional network of the ``expression`` asset."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from mien.errors import AssetError, require
from mien.extraction.extractors.face.geometry import Box
from mien.pretrained.assets import find_asset
from mien.processes.threads import one_thread

__all__ = ["EXPRESSIONS", "ExpressionModel"]

#: In the order of the network's outputs.
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")

_SIDE = 64  # pixels of the network's input
_MARGIN = 1.1  # side of the square that is cut out, in heights of the box around the landmarks
_EPSILON = 0.001  # of the batch normalisations
_BLOCKS = 4


class ExpressionModel:
    """The network, loaded once.

    It was trained on small grey photographs of faces, posed and not. Its probabilities add to 1. It
    tells happiness, surprise and neutral faces well, others poorly.

    Attributes:
        names: What the expressions are called, in the order of the probabilities.

    Raises:
        AssetError: If the model is not here, or not the one whose layers we know.
        ConfigError: If h5py is not installed.
    """

    names: tuple[str, ...] = EXPRESSIONS

    def __init__(self) -> None:
        require("h5py", extra="extract")
        path = find_asset("expression") / "emotion_model.hdf5"
        import h5py

        self._weights: dict[str, Tensor] = {}
        try:
            with h5py.File(path, "r") as file:
                file["model_weights"].visititems(self._keep)
        except (OSError, KeyError) as error:
            raise AssetError(
                f"{path}: is not the expression model ({error}); "
                "get it again with: mien assets get expression"
            ) from error

    def _keep(self, name: str, node: object) -> None:
        """Keep an array under its layer's and its own name."""
        if hasattr(node, "shape"):
            layer, *_, leaf = name.split("/")
            self._weights[f"{layer}/{leaf.removesuffix(':0')}"] = torch.tensor(np.asarray(node))

    def classify(self, image: UInt8[np.ndarray, "H W 3"], box: Box) -> Float[np.ndarray, "7"]:
        """Return the probability of each expression of the face in ``box``."""
        with torch.inference_mode(), one_thread():
            logits = _run(self._weights, _cut(image, box))
            return logits.softmax(dim=-1)[0].double().numpy()


def _cut(image: UInt8[np.ndarray, "H W 3"], box: Box) -> Float[Tensor, "1 1 64 64"]:
    """Return the grey square around a box, from -1 to 1; what is outside the picture is grey."""
    from PIL import Image

    half = _MARGIN * max(box[2] - box[0], box[3] - box[1]) / 2
    x, y = (box[:2] + box[2:]) / 2
    corners = tuple(round(float(at)) for at in (x - half, y - half, x + half, y + half))
    left, top = max(corners[0], 0), max(corners[1], 0)
    part = image[top : max(corners[3], top), left : max(corners[2], left)]
    side = max(corners[2] - corners[0], 1)
    square = Image.new("L", (side, side), 127)
    if part.size:
        square.paste(Image.fromarray(part).convert("L"), (left - corners[0], top - corners[1]))
    small = np.asarray(square.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), dtype=np.float32)
    return torch.from_numpy(small / 127.5 - 1)[None, None]


def _run(w: Mapping[str, Tensor], x: Float[Tensor, "B 1 64 64"]) -> Float[Tensor, "B 7"]:
    """Return the logits: a stem of two convolutions, then residual blocks of separable ones."""
    for n in (1, 2):
        x = _norm(w, n, F.conv2d(x, _kernel(w, f"conv2d_{n}/kernel"))).relu()
    for block in range(_BLOCKS):
        norm, conv = 3 + 3 * block, 3 + block
        short = _norm(w, norm, F.conv2d(x, _kernel(w, f"conv2d_{conv}/kernel"), stride=2))
        x = _norm(w, norm + 1, _separable(w, 2 * block + 1, x)).relu()
        x = _norm(w, norm + 2, _separable(w, 2 * block + 2, x))
        x = _pool(x) + short
    x = F.conv2d(x, _kernel(w, "conv2d_7/kernel"), w["conv2d_7/bias"], padding=1)
    return x.mean(dim=(2, 3))


def _separable(w: Mapping[str, Tensor], n: int, x: Tensor) -> Tensor:
    """Filter each channel by itself, then mix the channels."""
    name = f"separable_conv2d_{n}"
    depthwise = w[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1)  # (C, 1, 3, 3)
    x = F.conv2d(x, depthwise, padding=1, groups=len(depthwise))
    return F.conv2d(x, _kernel(w, f"{name}/pointwise_kernel"))


def _pool(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C _ _"]:
    """Take the largest of 3 x 3, every second one; the edge is padded as TensorFlow's ``same``."""
    height, width = (-(-n // 2) * 2 + 1 - n for n in x.shape[2:])
    sides = (width // 2, width - width // 2, height // 2, height - height // 2)
    return F.max_pool2d(F.pad(x, sides, value=-torch.inf), kernel_size=3, stride=2)


def _kernel(w: Mapping[str, Tensor], name: str) -> Float[Tensor, "O I _ _"]:
    return w[name].permute(3, 2, 0, 1)


def _norm(w: Mapping[str, Tensor], n: int, x: Tensor) -> Tensor:
    name = f"batch_normalization_{n}"
    return F.batch_norm(
        x,
        w[f"{name}/moving_mean"],
        w[f"{name}/moving_variance"],
        w[f"{name}/gamma"],
        w[f"{name}/beta"],
        eps=_EPSILON,
    )
