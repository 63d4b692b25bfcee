"""From published files to the networks here: the names change, the numbers do not.

Strict in both directions: every tensor that is expected is there with its shape, and nothing is
left over, so a file of another network is found out before it draws anything.
"""

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from motion2video.reference.families import Part, Shapes
from motion2video.reference.keys import Keys, all_keys
from weights.errors import WeightsError

Tensors = dict[str, Tensor]
_MOTION = ".motion_modules."
_PLACES = ".pos_encoder.pe"
_RENAMED = (
    (".temporal_transformer.", "."),
    (".attention_blocks.0.", ".attn1."),
    (".attention_blocks.1.", ".attn2."),
    (".norms.0.", ".norm1."),
    (".norms.1.", ".norm2."),
    (".ff_norm.", ".norm3."),
)
_OLD_ATTENTION = ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."))
_OLD_OUT = (".proj_attn.", ".to_out.0.")
_PLACES_AGREE = 1e-2  # half precision rounds to .0005
_TOLD = 3  # names in a message


def convert(part: Part, tensors: Mapping[str, Tensor], shapes: Shapes) -> Tensors:
    """What a file holds, under the names of the network here.

    Of a denoising U-Net's file the motion modules may be missing as a whole: see `joined`. Raises
    WeightsError for tensors that are missing, left over or of another shape.
    """
    found = _todays_names(part, dict(tensors), shapes)
    wanted = all_keys(shapes)[part]
    if part == "denoising_unet" and not any(_MOTION in name for name in found):
        wanted = {name: shape for name, shape in wanted.items() if _MOTION not in name}
    _check(part, found, wanted)
    return {
        _renamed(name): tensor for name, tensor in found.items() if not _is_places(name, tensor)
    }


def joined(motion: Tensors | None, denoising: Tensors, shapes: Shapes) -> Tensors:
    """A converted denoising U-Net with its motion modules: its own where its file has them, else
    those of the `motion` file. Raises WeightsError where neither has.
    """
    if any(_MOTION in name for name in denoising):
        return denoising
    if motion is None:
        raise WeightsError(
            "the file of the denoising U-Net holds no motion modules: motion_module.pth is "
            "needed too"
        )
    return denoising | motion


def _check(part: Part, found: Tensors, wanted: Keys) -> None:
    missing = wanted.keys() - found.keys()
    over = found.keys() - wanted.keys()
    other = [n for n in wanted.keys() & found.keys() if tuple(found[n].shape) != wanted[n]]
    told = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (("missing", missing), ("left over", over), ("of another shape", other))
        if names
    ]
    if told:
        raise WeightsError(
            f"the file is not the {part.replace('_', ' ')} that is wanted: of {len(wanted)} "
            f"tensors {', '.join(told)}"
        )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_TOLD]) + (", ..." if len(ordered) > _TOLD else "")


def _renamed(name: str) -> str:
    if _MOTION in name:
        for old, new in _RENAMED:
            name = name.replace(old, new)
    return name


def _is_places(name: str, tensor: Tensor) -> bool:
    """Whether it is the code of places in a window, which the network computes by itself. Raises
    WeightsError for another code than that.
    """
    if not (_MOTION in name and name.endswith(_PLACES)):
        return False
    _, frames, width = tensor.shape
    place = torch.arange(frames)[:, None]
    turns = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    wanted = torch.stack([torch.sin(place * turns), torch.cos(place * turns)], -1).flatten(1)
    if (tensor[0].float() - wanted).abs().max() > _PLACES_AGREE:
        raise WeightsError(f"the motion modules count frames in another way than is known: {name}")
    return True


def _todays_names(part: Part, tensors: Tensors, shapes: Shapes) -> Tensors:
    """Older ways to write the same file."""
    if part == "vae":
        return _autoencoder(tensors, shapes)
    if part == "image_encoder":
        return {n: t for n, t in tensors.items() if not n.endswith("embeddings.position_ids")}
    if part == "taesd":
        return _tiny_decoder(tensors)
    return tensors


def _autoencoder(tensors: Tensors, shapes: Shapes) -> Tensors:
    if any(name.startswith("first_stage_model.") or ".mid.attn_1." in name for name in tensors):
        tensors = _from_original(tensors, shapes)
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        if ".attentions." in name:
            for old, new in (*_OLD_ATTENTION, _OLD_OUT):
                name = name.replace(old, new)
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor  # 1x1 convolutions
        renamed[name] = tensor
    return renamed


def _from_original(tensors: Tensors, shapes: Shapes) -> Tensors:
    """Stable Diffusion's own names of its autoencoder, as single files have them."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if re.match(r"(first_stage_model\.)?(encoder|decoder|quant_conv|post_quant_conv)\.", name)
    }
    levels = len(shapes.autoencoder.channels)
    config = {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": shapes.autoencoder.layers,
    }
    return convert_ldm_vae_checkpoint(kept, config)


def _tiny_decoder(tensors: Tensors) -> Tensors:
    """The decoder alone; in its author's own file a layer without tensors is counted before it."""
    if any(name.startswith("decoder.") for name in tensors):
        return {n: t for n, t in tensors.items() if n.startswith("decoder.")}
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        place, _, rest = name.partition(".")
        renamed[f"decoder.layers.{int(place) - 1}.{rest}" if place.isdigit() else name] = tensor
    return renamed
