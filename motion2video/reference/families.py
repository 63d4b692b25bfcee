"""Which public checkpoints there are: their files, shapes and habits, as their authors publish
them.

Everything a network is built from is written here, so that nothing but the weights is ever
downloaded. Light: no PyTorch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Part = Literal[
    "denoising_unet",
    "reference_unet",
    "motion_module",
    "pose_guider",
    "vae",
    "image_encoder",
    "taesd",
]
"""One network, or the share of one that a file holds."""
FamilyName = Literal["aniportrait", "animate-anyone"]
Guider = Literal["multi_scale", "convolutions"]
BatchNorm = Literal["eval", "window"]


@dataclass(frozen=True)
class UNetShape:
    """Stable Diffusion 1.5's U-Net: `channels` of each level, `layers` of each, attention `heads`
    everywhere, GroupNorm `groups`; `context` is the width of a token for cross-attention, `latent`
    the channels of a latent, and `frames` the longest window that motion modules can count.
    """

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2
    heads: int = 8
    groups: int = 32
    context: int = 768
    latent: int = 4
    frames: int = 32


@dataclass(frozen=True)
class GuiderShape:
    """A pose guider: `widths` of its convolutions, at full to 1/8 size; then, in a multi-scale one,
    attention `heads` of `head_width` (the other widths are the U-Net's).
    """

    kind: Guider
    widths: tuple[int, ...]
    heads: int = 16
    head_width: int = 88
    groups: int = 32


@dataclass(frozen=True)
class AutoencoderShape:
    """AutoencoderKL: `channels` of each level, `layers` of each, GroupNorm `groups`; its latents
    are multiplied by `scale`. `tiny` are the channels of the tiny autoencoder for previews.
    """

    channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    groups: int = 32
    latent: int = 4
    scale: float = 0.18215
    tiny: int = 64
    tiny_blocks: tuple[int, ...] = (1, 3, 3, 3)


@dataclass(frozen=True)
class ImageEncoderShape:
    """CLIP's vision transformer (ViT-L/14) with its projection to `projection` channels."""

    width: int = 1024
    inner: int = 4096
    layers: int = 24
    heads: int = 16
    image: int = 224
    patch: int = 14
    projection: int = 768


@dataclass(frozen=True)
class Shapes:
    """All networks of a family."""

    guider: GuiderShape
    unet: UNetShape = UNetShape()
    autoencoder: AutoencoderShape = AutoencoderShape()
    image_encoder: ImageEncoderShape = ImageEncoderShape()


@dataclass(frozen=True)
class Source:
    """Where a part is published: `file` of the Hugging Face repository `repository`, under
    `licence` as far as it is known here. `names` are what else it is called where people keep it,
    and `optional` parts are only for previews.
    """

    repository: str
    file: str
    licence: str
    names: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Family:
    """Checkpoints that belong together, and how their authors run them.

    The pose image reaches the guider as numbers from `pose_range[0]` (black) to `pose_range[1]`.
    `window` frames are drawn at a time, `overlap` of them again with the next.
    """

    name: FamilyName
    title: str
    shapes: Shapes
    sources: Mapping[Part, Source]
    pose_range: tuple[float, float]
    window: int
    overlap: int
    steps: int
    guidance: float
    notes: tuple[str, ...] = ()


_OPENRAIL = "CreativeML Open RAIL-M (of Stable Diffusion)"
_BASE: dict[Part, Source] = {
    "vae": Source(
        "stabilityai/sd-vae-ft-mse",
        "diffusion_pytorch_model.safetensors",
        "MIT",
        (
            "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
            "sd-vae-ft-mse/diffusion_pytorch_model.bin",
            "vae-ft-mse-840000-ema-pruned.safetensors",
            "vae-ft-mse-840000-ema-pruned.ckpt",
            "vae/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.bin",
        ),
    ),
    "image_encoder": Source(
        "lambdalabs/sd-image-variations-diffusers",
        "image_encoder/pytorch_model.bin",
        _OPENRAIL,
        (
            "image_encoder/model.safetensors",
            "clip_vision/pytorch_model.bin",
            "clip_vision/model.safetensors",
        ),
    ),
    "taesd": Source(
        "madebyollin/taesd",
        "diffusion_pytorch_model.safetensors",
        "MIT",
        (
            "taesd/diffusion_pytorch_model.safetensors",
            "taesd_decoder.safetensors",
            "taesd_decoder.pth",
        ),
        optional=True,
    ),
}


def _sources(repository: str, licence: str) -> Mapping[Part, Source]:
    """The files that every family of this kind has, and the base that they share."""
    own: tuple[Part, ...] = ("denoising_unet", "reference_unet", "motion_module", "pose_guider")
    files: dict[Part, Source] = {
        part: Source(repository, f"{part}.pth", licence, (f"{part}.safetensors",)) for part in own
    }
    return MappingProxyType({**files, **_BASE})


ANIPORTRAIT = Family(
    "aniportrait",
    "AniPortrait",
    Shapes(GuiderShape("multi_scale", (3, 16, 32, 64, 128))),
    _sources("ZJYang/AniPortrait", "Apache-2.0"),
    pose_range=(-1.0, 1.0),
    window=16,
    overlap=4,
    steps=25,
    guidance=3.5,
)
ANIMATE_ANYONE = Family(
    "animate-anyone",
    "Moore-AnimateAnyone",
    Shapes(GuiderShape("convolutions", (16, 32, 96, 256))),
    _sources("patrolli/AnimateAnyone", "Apache-2.0"),
    pose_range=(0.0, 1.0),
    window=24,
    overlap=4,
    steps=30,
    guidance=3.5,
    notes=(
        "trained on whole bodies and their skeletons: a face drawn as lines is none of what it has "
        "seen, so that this family is for weights of your own training on such faces",
    ),
)
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.name: family for family in (ANIPORTRAIT, ANIMATE_ANYONE)}
)
"""Every family by its name."""
