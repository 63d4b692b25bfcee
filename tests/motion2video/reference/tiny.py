"""The networks of a family, some channels wide: every part is real, and takes milliseconds."""

from dataclasses import replace

import torch

from motion2video.reference.conversion import Tensors
from motion2video.reference.families import (
    ANIMATE_ANYONE,
    ANIPORTRAIT,
    AutoencoderShape,
    Family,
    GuiderShape,
    ImageEncoderShape,
    Shapes,
    UNetShape,
)
from motion2video.reference.guiders import MultiScaleGuider
from motion2video.reference.keys import Keys
from motion2video.reference.networks import Networks, freeze, make_networks

UNET = UNetShape(channels=(8, 16, 16, 16), layers=1, heads=2, groups=4, context=12, frames=8)
AUTOENCODER = AutoencoderShape(
    channels=(8, 8, 16, 16), layers=1, groups=4, tiny=8, tiny_blocks=(1, 1, 1, 1)
)
IMAGE_ENCODER = ImageEncoderShape(
    width=16, inner=24, layers=2, heads=2, image=28, patch=14, projection=12
)
MULTI_SCALE = Shapes(
    GuiderShape("multi_scale", (3, 4, 4, 6, 8), heads=2, head_width=4, groups=4),
    UNET,
    AUTOENCODER,
    IMAGE_ENCODER,
)
CONVOLUTIONS = replace(MULTI_SCALE, guider=GuiderShape("convolutions", (4, 6, 8, 10)))
SHAPES = {"aniportrait": MULTI_SCALE, "animate-anyone": CONVOLUTIONS}
FAMILIES: dict[str, Family] = {
    family.name: replace(family, shapes=SHAPES[family.name], window=4, overlap=2, steps=2)
    for family in (ANIPORTRAIT, ANIMATE_ANYONE)
}


def networks(name: str = "aniportrait", seed: int = 0) -> Networks:
    """Random ones, frozen, in fp32."""
    torch.manual_seed(seed)
    made = make_networks(SHAPES[name])
    for _, network in made.all():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # norms that start at 1 and 0 would hide what they do
                torch.nn.init.normal_(parameter, 0.5, 0.2)
    for module in made.guider.modules():  # so that a pose is seen in a picture
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            module.bias = None if module.bias is None else torch.nn.Parameter(module.bias * 0)
    if isinstance(made.guider, MultiScaleGuider):
        torch.nn.init.constant_(made.guider.scale, 8.0)
    freeze(made, torch.float32)
    return made


def file_of(keys: Keys, seed: int = 0) -> Tensors:
    """Random tensors of these names and shapes; the code of places in a window is what it is."""
    generator = torch.Generator().manual_seed(seed)
    made: Tensors = {}
    for name, shape in keys.items():
        made[name] = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(1)
        if name.endswith("pos_encoder.pe"):
            place = torch.arange(shape[1])[:, None].double()
            turns = 10000.0 ** -(torch.arange(0, shape[2], 2).double() / shape[2])
            made[name][0, :, 0::2] = torch.sin(place * turns).float()
            made[name][0, :, 1::2] = torch.cos(place * turns).float()
    return made
