"""The attention of both U-Nets, for all of its uses, as diffusers calls it.

In the denoising U-Net, self-attention over a frame also looks at what the reference U-Net saw at
the place of the same name: keys and values of both are put one behind the other. Rows without the
condition look at their own frame alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from motion2video.network.attention import attend
from motion2video.network.choices import AttentionKind

_MOST_ROWS = 32_768  # kernels on a GPU take less than 65,536, one for each place of a window


@dataclass(frozen=True)
class Sight:
    """What the reference U-Net saw of a portrait: place to what self-attention was given there."""

    tokens: dict[str, Float[Tensor, "1 m c"]] = field(default_factory=dict)

    def at(self, device: torch.device, dtype: torch.dtype) -> "Sight":
        """The same elsewhere."""
        return Sight({place: t.to(device, dtype) for place, t in self.tokens.items()})


@dataclass(frozen=True)
class Reference:
    """A portrait, at which the last `rows` rows of a batch look."""

    sight: Sight
    rows: int


class Attend:
    """Attention of the layer called `place`; `rows` of a batch at a time (None: all), for memory.

    Does not change after it was made: what it needs of a portrait comes with the call.
    """

    def __init__(self, place: str, kind: AttentionKind = "sdpa", rows: int | None = None) -> None:
        self.place, self.rows = place, rows
        self.kind: AttentionKind = kind

    def __call__(
        self,
        attn: Any,  # diffusers' Attention
        hidden_states: Float[Tensor, "b n c"],
        encoder_hidden_states: Float[Tensor, "b m d"] | None = None,
        attention_mask: None = None,
        temb: None = None,
        reference: Reference | None = None,
        sight: Sight | None = None,
    ) -> Float[Tensor, "b n c"]:
        if sight is not None and encoder_hidden_states is None:
            sight.tokens[self.place] = hidden_states
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        if reference is None or not reference.rows or self.place not in reference.sight.tokens:
            return attn.to_out[0](self._attend(attn, query, key, value))
        alone, tokens = len(query) - reference.rows, reference.sight.tokens[self.place]
        seen = [self._attend(attn, query[:alone], key[:alone], value[:alone])] if alone else []
        both = [
            torch.cat([own[alone:], project(tokens).expand(reference.rows, -1, -1)], 1)
            for own, project in ((key, attn.to_k), (value, attn.to_v))
        ]
        seen.append(self._attend(attn, query[alone:], *both))
        return attn.to_out[0](torch.cat(seen))

    def _attend(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = attn.heads
        q, k, v = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (query, key, value))
        step = self.rows or _MOST_ROWS
        parts = [
            attend(q[i : i + step], k[i : i + step], v[i : i + step], self.kind)
            for i in range(0, len(q), step)
        ]
        return rearrange(torch.cat(parts) if len(parts) > 1 else parts[0], "b h n d -> b n (h d)")


def attentions(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """(name, layer) of every attention in a network."""
    from diffusers.models.attention_processor import Attention

    for name, module in network.named_modules():
        if isinstance(module, Attention):
            yield name, module


def set_attention(network: nn.Module, kind: AttentionKind, rows: int | None) -> None:
    """Give every attention of a U-Net its `Attend`. diffusers' own `set_attention_backend` would do
    nothing here, and say nothing of it.
    """
    for name, layer in attentions(network):
        spatial = ".motion_modules." not in name  # the others have a row for every place
        layer.set_processor(Attend(name, kind, rows if spatial else None))
