"""The two U-Nets: one that looks at the portrait once, and one that draws windows of frames."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from motion2video.network.choices import AttentionKind
from motion2video.reference.attention import Reference, Sight, set_attention
from motion2video.reference.families import UNetShape

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.models.unets.unet_motion_model import UNetMotionModel


class FrameNorm(nn.GroupNorm):
    """GroupNorm of every frame by itself, as these checkpoints were trained; diffusers' motion
    modules normalise all frames of a window together.
    """

    def forward(self, input: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        frames = input.shape[2]
        alone = super().forward(rearrange(input, "b c f h w -> (b f) c h w"))
        return rearrange(alone, "(b f) c h w -> b c f h w", f=frames)


class DenoisingUNet(nn.Module):
    """diffusers' U-Net with motion modules, and what these checkpoints add to it: the pose after
    `conv_in` and after each level on the way down, and the portrait in self-attention.
    """

    def __init__(self, network: "UNetMotionModel") -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        sample: Float[Tensor, "b c f h w"],
        timestep: int | Tensor,
        tokens: Float[Tensor, "b k d"],
        pose: Sequence[Float[Tensor, "_n _c _h _w"]],
        reference: Reference,
    ) -> Float[Tensor, "b c f h w"]:
        """The prediction for windows of `f` frames; `tokens` are the same for all frames of a
        window. `pose` is of all frames of all windows: one tensor, or one more for each level.
        A compiled network is compiled anew for each `timestep` that is a number of Python's.
        """
        unet: Any = self.network
        count, _, frames, *_ = sample.shape
        time = torch.as_tensor(timestep, device=sample.device).expand(count)
        emb = unet.time_embedding(unet.time_proj(time).to(sample.dtype))
        emb = emb.repeat_interleave(frames, 0)
        context = repeat(tokens, "b k d -> (b f) k d", f=frames)
        told = {"num_frames": frames, "cross_attention_kwargs": {"reference": reference}}
        hidden = unet.conv_in(rearrange(sample, "b c f h w -> (b f) c h w")) + pose[0]
        skips = [hidden]
        for block, added in zip(
            unet.down_blocks, pose[1:] or [None] * len(unet.down_blocks), strict=True
        ):
            hidden, made = block(hidden, temb=emb, encoder_hidden_states=context, **told)
            skips.extend(made)
            if added is not None:
                hidden = hidden + added
        hidden = unet.mid_block(hidden, emb, encoder_hidden_states=context, **told)
        for block in unet.up_blocks:
            used = len(block.resnets)
            skips, taken = skips[:-used], tuple(skips[-used:])
            hidden = block(hidden, taken, emb, encoder_hidden_states=context, **told)
        hidden = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
        return rearrange(hidden, "(b f) c h w -> b c f h w", f=frames)


def make_denoising_unet(
    shape: UNetShape, attention: AttentionKind = "sdpa", rows: int | None = None
) -> DenoisingUNet:
    """One without weights."""
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D, UNetMotionModel

    across = len(shape.channels) - 1
    network = UNetMotionModel(
        in_channels=shape.latent,
        out_channels=shape.latent,
        down_block_types=("CrossAttnDownBlockMotion",) * across + ("DownBlockMotion",),
        up_block_types=("UpBlockMotion",) + ("CrossAttnUpBlockMotion",) * across,
        block_out_channels=shape.channels,
        layers_per_block=shape.layers,
        norm_num_groups=shape.groups,
        cross_attention_dim=shape.context,
        num_attention_heads=shape.heads,
        use_linear_projection=False,
        motion_max_seq_length=shape.frames,
        motion_num_attention_heads=shape.heads,
        use_motion_mid_block=True,
    )
    for module in network.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            old = module.norm
            module.norm = FrameNorm(old.num_groups, old.num_channels, old.eps)
    set_attention(network, attention, rows)
    return DenoisingUNet(network)


class ReferenceUNet(nn.Module):
    """Stable Diffusion's U-Net up to its last block, whose self-attention is what is wanted."""

    def __init__(self, network: "UNet2DConditionModel") -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Float[Tensor, "1 c h w"], token: Float[Tensor, "1 k d"]) -> Sight:
        """A portrait, looked at once, at t = 0."""
        sight = Sight()
        told = {"sight": sight}
        self.network(latent, 0, token, cross_attention_kwargs=told, return_dict=False)
        return sight


def make_reference_unet(
    shape: UNetShape, attention: AttentionKind = "sdpa", rows: int | None = None
) -> ReferenceUNet:
    """One without weights."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    across = len(shape.channels) - 1
    network = UNet2DConditionModel(
        in_channels=shape.latent,
        out_channels=shape.latent,
        down_block_types=("CrossAttnDownBlock2D",) * across + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * across,
        block_out_channels=shape.channels,
        layers_per_block=shape.layers,
        norm_num_groups=shape.groups,
        cross_attention_dim=shape.context,
        attention_head_dim=shape.heads,  # the number of heads, by an old mistake in its name
    )
    network.conv_norm_out = None
    network.conv_out = nn.Identity()  # pyrefly: ignore[bad-assignment]
    set_attention(network, attention, rows)
    return ReferenceUNet(network)
