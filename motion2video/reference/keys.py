"""What each published file holds: the name and shape of every tensor, from the documented shapes.

Written without the networks, so that a test can compare the two; `conversion` takes nothing else.
"""

import math
from collections.abc import Iterator

from motion2video.reference.families import (
    AutoencoderShape,
    GuiderShape,
    ImageEncoderShape,
    Shapes,
    UNetShape,
)

Keys = dict[str, tuple[int, ...]]
"""Name to shape."""
_FEED = 4  # how much wider a feed-forward layer is inside


def denoising_unet_keys(shape: UNetShape) -> Keys:
    """As published: Stable Diffusion's U-Net with motion modules."""
    return {**_unet(shape), **_final(shape), **motion_module_keys(shape)}


def reference_unet_keys(shape: UNetShape) -> Keys:
    """As published: Stable Diffusion's U-Net without what follows its last block."""
    return _unet(shape)


def motion_module_keys(shape: UNetShape) -> Keys:
    """As published: the motion modules alone."""
    keys: Keys = {}
    for place, width in motion_places(shape):
        keys |= _motion(f"{place}.temporal_transformer", width, shape.frames)
    return keys


def guider_keys(shape: GuiderShape, unet: UNetShape) -> Keys:
    """As published, the unused branch of a multi-scale guider left out: it has no tensors."""
    return _multi_scale(shape, unet) if shape.kind == "multi_scale" else _convolutions(shape, unet)


def all_keys(shapes: Shapes) -> dict[str, Keys]:
    """Part to what its file holds; of the tiny autoencoder only the decoder is used."""
    unet = shapes.unet
    return {
        "denoising_unet": denoising_unet_keys(unet),
        "reference_unet": reference_unet_keys(unet),
        "motion_module": motion_module_keys(unet),
        "pose_guider": guider_keys(shapes.guider, unet),
        "vae": autoencoder_keys(shapes.autoencoder),
        "image_encoder": image_encoder_keys(shapes.image_encoder),
        "taesd": tiny_decoder_keys(shapes.autoencoder),
    }


def motion_places(shape: UNetShape) -> Iterator[tuple[str, int]]:
    """Where motion modules are, and their width."""
    last = len(shape.channels) - 1
    for i, width in enumerate(shape.channels):
        for j in range(shape.layers):
            yield f"down_blocks.{i}.motion_modules.{j}", width
    yield "mid_block.motion_modules.0", shape.channels[-1]
    for i in range(len(shape.channels)):
        for j in range(shape.layers + 1):
            yield f"up_blocks.{i}.motion_modules.{j}", shape.channels[last - i]


def attention_places(shape: UNetShape) -> Iterator[tuple[str, int]]:
    """Where spatial transformers are, and their width: all levels but the deepest, and the
    middle.
    """
    last = len(shape.channels) - 1
    for i, width in enumerate(shape.channels[:-1]):
        for j in range(shape.layers):
            yield f"down_blocks.{i}.attentions.{j}", width
    yield "mid_block.attentions.0", shape.channels[-1]
    for i in range(1, len(shape.channels)):
        for j in range(shape.layers + 1):
            yield f"up_blocks.{i}.attentions.{j}", shape.channels[last - i]


# -- layers --------------------------------------------------------------------------------------


def _norm(name: str, width: int) -> Keys:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _conv(name: str, into: int, out: int, kernel: int) -> Keys:
    return {f"{name}.weight": (out, into, kernel, kernel), f"{name}.bias": (out,)}


def _linear(name: str, into: int, out: int, bias: bool = True) -> Keys:
    weight: Keys = {f"{name}.weight": (out, into)}
    return weight | ({f"{name}.bias": (out,)} if bias else {})


def _resnet(name: str, into: int, out: int, time: int | None) -> Keys:
    keys = _norm(f"{name}.norm1", into) | _conv(f"{name}.conv1", into, out, 3)
    if time is not None:
        keys |= _linear(f"{name}.time_emb_proj", time, out)
    keys |= _norm(f"{name}.norm2", out) | _conv(f"{name}.conv2", out, out, 3)
    return keys | (_conv(f"{name}.conv_shortcut", into, out, 1) if into != out else {})


def _attention(name: str, width: int, context: int) -> Keys:
    keys = _linear(f"{name}.to_q", width, width, bias=False)
    for part in ("to_k", "to_v"):
        keys |= _linear(f"{name}.{part}", context, width, bias=False)
    return keys | _linear(f"{name}.to_out.0", width, width)


def _feed_forward(name: str, width: int) -> Keys:
    inner = _FEED * width
    gated = _linear(f"{name}.net.0.proj", width, 2 * inner)  # GEGLU
    return gated | _linear(f"{name}.net.2", inner, width)


def _transformer(name: str, width: int, inner: int, context: int | None) -> Keys:
    """A spatial transformer of one block; without `context` it has no cross-attention."""
    block = f"{name}.transformer_blocks.0"
    keys = _norm(f"{name}.norm", width) | _conv(f"{name}.proj_in", width, inner, 1)
    keys |= _norm(f"{block}.norm1", inner) | _attention(f"{block}.attn1", inner, inner)
    if context is not None:
        keys |= _norm(f"{block}.norm2", inner) | _attention(f"{block}.attn2", inner, context)
    keys |= _norm(f"{block}.norm3", inner) | _feed_forward(f"{block}.ff", inner)
    return keys | _conv(f"{name}.proj_out", inner, width, 1)


def _motion(name: str, width: int, frames: int) -> Keys:
    block = f"{name}.transformer_blocks.0"
    keys = _norm(f"{name}.norm", width) | _linear(f"{name}.proj_in", width, width)
    for i in range(2):
        attention = f"{block}.attention_blocks.{i}"
        keys |= _attention(attention, width, width)
        keys[f"{attention}.pos_encoder.pe"] = (1, frames, width)
        keys |= _norm(f"{block}.norms.{i}", width)
    keys |= _feed_forward(f"{block}.ff", width) | _norm(f"{block}.ff_norm", width)
    return keys | _linear(f"{name}.proj_out", width, width)


# -- networks ------------------------------------------------------------------------------------


def _unet(shape: UNetShape) -> Keys:
    """All up to the last block."""
    channels, time = shape.channels, 4 * shape.channels[0]
    keys = _conv("conv_in", shape.latent, channels[0], 3)
    keys |= _linear("time_embedding.linear_1", channels[0], time)
    keys |= _linear("time_embedding.linear_2", time, time)
    skips, width = [channels[0]], channels[0]
    for i, out in enumerate(channels):
        for j in range(shape.layers):
            keys |= _resnet(f"down_blocks.{i}.resnets.{j}", width, out, time)
            width = out
            skips.append(width)
        if i < len(channels) - 1:
            keys |= _conv(f"down_blocks.{i}.downsamplers.0.conv", width, width, 3)
            skips.append(width)
    for j in range(2):
        keys |= _resnet(f"mid_block.resnets.{j}", width, width, time)
    for i, out in enumerate(reversed(channels)):
        for j in range(shape.layers + 1):
            keys |= _resnet(f"up_blocks.{i}.resnets.{j}", width + skips.pop(), out, time)
            width = out
        if i < len(channels) - 1:
            keys |= _conv(f"up_blocks.{i}.upsamplers.0.conv", width, width, 3)
    for place, width in attention_places(shape):
        keys |= _transformer(place, width, width, shape.context)
    return keys


def _final(shape: UNetShape) -> Keys:
    first = shape.channels[0]
    return _norm("conv_norm_out", first) | _conv("conv_out", first, shape.latent, 3)


def _batch_norm(name: str, width: int) -> Keys:
    running: Keys = {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return _norm(name, width) | running | {f"{name}.num_batches_tracked": ()}


def _multi_scale(shape: GuiderShape, unet: UNetShape) -> Keys:
    keys: Keys = {"scale": (1,)}
    for i, (into, out, kernel) in enumerate(guider_layers(shape)):
        keys |= _conv(f"conv_layers.{3 * i}", into, out, kernel)
        keys |= _batch_norm(f"conv_layers.{3 * i + 1}", out)
    keys |= _conv("final_proj", shape.widths[-1], unet.channels[0], 1)
    inner = shape.heads * shape.head_width
    for i, (into, out) in enumerate(guider_scales(unet), start=1):
        convolutions = [(into, into), (into, out)] if i < len(unet.channels) else [(into, out)]
        for j, (a, b) in enumerate(convolutions):
            keys |= _conv(f"conv_layers_{i}.{3 * j}", a, b, 3)
            keys |= _batch_norm(f"conv_layers_{i}.{3 * j + 1}", b)
        keys |= _transformer(f"cross_attn{i}", out, inner, None)
    return keys


def _convolutions(shape: GuiderShape, unet: UNetShape) -> Keys:
    keys = _conv("conv_in", 3, shape.widths[0], 3)
    for i, (into, out) in enumerate(zip(shape.widths[:-1], shape.widths[1:], strict=True)):
        keys |= _conv(f"blocks.{2 * i}", into, into, 3) | _conv(f"blocks.{2 * i + 1}", into, out, 3)
    return keys | _conv("conv_out", shape.widths[-1], unet.channels[0], 3)


def guider_layers(shape: GuiderShape) -> list[tuple[int, int, int]]:
    """(into, out, kernel) of a multi-scale guider's first convolutions; a kernel of 4 halves."""
    first, *halved, last = shape.widths
    layers, width = [(first, first, 3)], first
    for out in halved:
        layers += [(width, out, 4), (out, out, 3)]
        width = out
    return [*layers[:-1], (width, width, 3), (width, last, 3)]


def guider_scales(unet: UNetShape) -> list[tuple[int, int]]:
    """(into, out) of a multi-scale guider's later stages: one for each of the U-Net's levels."""
    channels = unet.channels
    return list(zip((channels[0], *channels[:-1]), channels, strict=True))


def autoencoder_keys(shape: AutoencoderShape) -> Keys:
    """AutoencoderKL with the names that its attention has today."""
    keys = _coder("encoder", 3, 2 * shape.latent, shape.channels, shape.layers, "down")
    keys |= _coder("decoder", shape.latent, 3, shape.channels[::-1], shape.layers + 1, "up")
    keys |= _conv("quant_conv", 2 * shape.latent, 2 * shape.latent, 1)
    return keys | _conv("post_quant_conv", shape.latent, shape.latent, 1)


def _coder(
    name: str, into: int, out: int, channels: tuple[int, ...], layers: int, way: str
) -> Keys:
    width = channels[0]
    keys = _conv(f"{name}.conv_in", into, width, 3)
    for i, wide in enumerate(channels):
        block = f"{name}.{way}_blocks.{i}"
        for j in range(layers):
            keys |= _resnet(f"{block}.resnets.{j}", width, wide, None)
            width = wide
        if i < len(channels) - 1:
            keys |= _conv(f"{block}.{way}samplers.0.conv", width, width, 3)
    middle = max(channels[0], channels[-1])
    for j in range(2):
        keys |= _resnet(f"{name}.mid_block.resnets.{j}", middle, middle, None)
    attention = f"{name}.mid_block.attentions.0"
    keys |= _norm(f"{attention}.group_norm", middle)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        keys |= _linear(f"{attention}.{part}", middle, middle)
    return keys | _norm(f"{name}.conv_norm_out", width) | _conv(f"{name}.conv_out", width, out, 3)


def tiny_decoder_keys(shape: AutoencoderShape) -> Keys:
    """The decoder of AutoencoderTiny; layers without tensors are counted too."""
    width, blocks = shape.tiny, shape.tiny_blocks[::-1]
    keys, place = _conv("decoder.layers.0", shape.latent, width, 3), 2
    for i, count in enumerate(blocks):
        for _ in range(count):
            for j in (0, 2, 4):
                keys |= _conv(f"decoder.layers.{place}.conv.{j}", width, width, 3)
            place += 1
        last = i == len(blocks) - 1
        place += 0 if last else 1  # it is enlarged
        name = f"decoder.layers.{place}"
        keys |= _conv(name, width, 3, 3) if last else {f"{name}.weight": (width, width, 3, 3)}
        place += 1
    return keys


def image_encoder_keys(shape: ImageEncoderShape) -> Keys:
    """CLIPVisionModelWithProjection."""
    width, stem = shape.width, "vision_model.embeddings"
    keys: Keys = {
        f"{stem}.class_embedding": (width,),
        f"{stem}.patch_embedding.weight": (width, 3, shape.patch, shape.patch),
        f"{stem}.position_embedding.weight": ((shape.image // shape.patch) ** 2 + 1, width),
        "visual_projection.weight": (shape.projection, width),
    }
    for name in ("pre_layrnorm", "post_layernorm"):
        keys |= _norm(f"vision_model.{name}", width)
    for i in range(shape.layers):
        layer = f"vision_model.encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            keys |= _linear(f"{layer}.self_attn.{part}", width, width)
        keys |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
        keys |= _linear(f"{layer}.mlp.fc1", width, shape.inner)
        keys |= _linear(f"{layer}.mlp.fc2", shape.inner, width)
    return keys


def largest_layer(keys: Keys) -> int:
    """Numbers of the largest tensor."""
    return max(math.prod(shape) for shape in keys.values())
