"""All networks of a family: built from their shapes, filled from converted tensors."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from motion2video.network.choices import AttentionKind
from motion2video.reference.conversion import Tensors
from motion2video.reference.families import (
    AutoencoderShape,
    BatchNorm,
    ImageEncoderShape,
    Shapes,
)
from motion2video.reference.guiders import make_guider, use_window_statistics
from motion2video.reference.unets import (
    DenoisingUNet,
    ReferenceUNet,
    make_denoising_unet,
    make_reference_unet,
)
from weights.errors import WeightsError

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from transformers import CLIPVisionModelWithProjection


@dataclass(frozen=True, eq=False)
class Networks:
    """What a family draws with. `tiny` is None where its weights are not there."""

    denoising: DenoisingUNet
    reference: ReferenceUNet
    guider: nn.Module
    autoencoder: "AutoencoderKL"
    image_encoder: "CLIPVisionModelWithProjection"
    tiny: "AutoencoderTiny | None" = None

    def all(self) -> Iterator[tuple[str, nn.Module]]:
        """(name, network) of those that there are."""
        for name, value in vars(self).items():
            if value is not None:
                yield name, value


def make_autoencoder(shape: AutoencoderShape) -> "AutoencoderKL":
    """Stable Diffusion's, without weights."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    levels = len(shape.channels)
    blocks: dict[str, Any] = {  # whose types say that there is one level
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": shape.channels,
    }
    return AutoencoderKL(
        **blocks,
        layers_per_block=shape.layers,
        latent_channels=shape.latent,
        norm_num_groups=shape.groups,
        scaling_factor=shape.scale,
        sample_size=256,  # pixels of a tile, where memory is too small for a whole picture
    )


def make_tiny(shape: AutoencoderShape) -> "AutoencoderTiny":
    """The decoder of a tiny autoencoder, without weights; it takes the latents as they are."""
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    channels, blocks = (shape.tiny,) * len(shape.tiny_blocks), shape.tiny_blocks
    network = AutoencoderTiny(
        latent_channels=shape.latent,
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        num_encoder_blocks=blocks,
        num_decoder_blocks=blocks[::-1],
    )
    network.encoder = nn.Identity()  # pyrefly: ignore[bad-assignment]
    return network


def make_image_encoder(shape: ImageEncoderShape) -> "CLIPVisionModelWithProjection":
    """CLIP's, without weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            image_size=shape.image,
            patch_size=shape.patch,
            projection_dim=shape.projection,
        )
    )


def make_networks(
    shapes: Shapes,
    attention: AttentionKind = "sdpa",
    rows: int | None = None,
    tiny: bool = True,
) -> Networks:
    """With random weights, as PyTorch starts them."""
    return Networks(
        make_denoising_unet(shapes.unet, attention, rows),
        make_reference_unet(shapes.unet, attention, rows),
        make_guider(shapes.guider, shapes.unet),
        make_autoencoder(shapes.autoencoder),
        make_image_encoder(shapes.image_encoder),
        make_tiny(shapes.autoencoder) if tiny else None,
    )


def fill_networks(
    shapes: Shapes,
    tensors: Mapping[str, Callable[[], Tensors]],
    attention: AttentionKind,
    rows: int | None,
    dtype: torch.dtype,
    batch_norm: BatchNorm = "eval",
) -> Networks:
    """With converted weights; each part is read, turned into `dtype` and let go before the next.
    Raises WeightsError for tensors that do not fit.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        made = make_networks(shapes, attention, rows, tiny="taesd" in tensors)
    parts = {
        "denoising_unet": made.denoising.network,
        "reference_unet": made.reference.network,
        "pose_guider": made.guider,
        "vae": made.autoencoder,
        "image_encoder": made.image_encoder,
        "taesd": made.tiny,
    }
    for part, network in parts.items():
        if network is not None:
            with _fitting(part):
                _fill(network, tensors[part]())
    freeze(made, dtype, batch_norm)
    return made


def freeze(networks: Networks, dtype: torch.dtype, batch_norm: BatchNorm = "eval") -> None:
    """For drawing only, in a number format; the autoencoder stays in fp32, which it needs."""
    for name, network in networks.all():
        network.eval().requires_grad_(False)
        cast(network, torch.float32 if name == "autoencoder" else dtype)
    if batch_norm == "window":
        use_window_statistics(networks.guider)


def cast(network: nn.Module, dtype: torch.dtype) -> None:
    """To another number format, past diffusers' own `to`, which warns of each."""
    nn.Module.to(network, dtype)


def _fill(network: nn.Module, tensors: Tensors) -> None:
    """`assign`: the tensors become the network's own, so they are in memory once."""
    known = network.state_dict()
    computed = {name: t for name, t in known.items() if name.endswith("pos_embed.pe")}
    network.load_state_dict(computed | tensors, strict=True, assign=True)


@contextlib.contextmanager
def _fitting(part: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise WeightsError(f"the weights of the {part.replace('_', ' ')} do not fit it") from error
