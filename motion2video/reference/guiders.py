"""Pose guiders: from the pose image to what is added to the denoising U-Net's features."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn, ones
from torch.nn.functional import silu

from motion2video.reference.families import GuiderShape, UNetShape
from motion2video.reference.keys import guider_layers, guider_scales


class ConvolutionGuider(nn.Module):
    """Moore-AnimateAnyone's, of the form of ControlNet's condition: for after `conv_in` alone."""

    def __init__(self, widths: tuple[int, ...], out: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        layers = []
        for width, wider in pairwise(widths):
            layers += [nn.Conv2d(width, width, 3, padding=1)]
            layers += [nn.Conv2d(width, wider, 3, padding=1, stride=2)]
        self.blocks = nn.ModuleList(layers)
        self.conv_out = nn.Conv2d(widths[-1], out, 3, padding=1)

    def forward(self, pose: Float[Tensor, "f 3 h w"]) -> list[Float[Tensor, "f _c _h _w"]]:
        hidden = silu(self.conv_in(pose))
        for block in self.blocks:
            hidden = silu(block(hidden))
        return [self.conv_out(hidden)]


class MultiScaleGuider(nn.Module):
    """AniPortrait's: one tensor for after `conv_in`, and one for after each level.

    Its authors feed the reference's pose to the attention too, whose layers cannot look at it: that
    branch changes nothing, and is not here.
    """

    def __init__(self, shape: GuiderShape, unet: UNetShape) -> None:
        from diffusers.models.transformers.transformer_2d import Transformer2DModel

        super().__init__()
        layers = [
            layer
            for into, out, kernel in guider_layers(shape)
            for layer in _convolved(into, out, kernel, 2 if kernel == 4 else 1)
        ]
        self.conv_layers = nn.Sequential(*layers)
        self.final_proj = nn.Conv2d(shape.widths[-1], unet.channels[0], 1)
        self.scale = nn.Parameter(ones(1) * 2)
        scales = guider_scales(unet)
        self.stages = [f"conv_layers_{i}" for i in range(1, len(scales) + 1)]
        for i, (name, (into, out)) in enumerate(zip(self.stages, scales, strict=True), start=1):
            halved = [*_convolved(into, into), *_convolved(into, out, stride=2)]
            self.add_module(
                name, nn.Sequential(*(halved if i < len(scales) else _convolved(into, out)))
            )
            attention = Transformer2DModel(
                shape.heads, shape.head_width, in_channels=out, norm_num_groups=shape.groups
            )
            self.add_module(f"cross_attn{i}", attention)

    def forward(self, pose: Float[Tensor, "f 3 h w"]) -> list[Float[Tensor, "f _c _h _w"]]:
        hidden = self.final_proj(self.conv_layers(pose)) * self.scale
        found = [hidden]
        for i, name in enumerate(self.stages, start=1):
            hidden = self.get_submodule(name)(hidden)
            hidden = self.get_submodule(f"cross_attn{i}")(hidden, return_dict=False)[0]
            found.append(hidden)
        return found


def _convolved(into: int, out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(into, out, kernel, stride, padding=1)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU()]


def make_guider(shape: GuiderShape, unet: UNetShape) -> nn.Module:
    """One without weights."""
    if shape.kind == "multi_scale":
        return MultiScaleGuider(shape, unet)
    return ConvolutionGuider(shape.widths, unet.channels[0])


def use_window_statistics(guider: nn.Module) -> None:
    """Let BatchNorm use the mean and variance of the frames it is given, as the authors' scripts do
    by never calling `eval()`; what it learned is not changed.
    """
    for module in guider.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = 0.0
