"""Attention over a portrait's features, by PyTorch's own kernels or by xformers.

All compute softmax(q k^T / sqrt(d)) v; "sdpa" takes the kernel that PyTorch finds best, "flash" its
flash attention or none. xformers is optional and imported on first use only; the results agree
within the rounding of the dtype.
"""

import importlib

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from motion2video.network.choices import AttentionKind
from weights.errors import DependencyError


def attend(
    query: Float[Tensor, "b heads n d"],
    key: Float[Tensor, "b heads m d"],
    value: Float[Tensor, "b heads m d"],
    kind: AttentionKind = "sdpa",
) -> Float[Tensor, "b heads n d"]:
    """Scaled dot-product attention without a mask. Raises DependencyError where PyTorch or the
    installed xformers has no such kernel for this device and dtype.
    """
    if kind == "sdpa":
        return F.scaled_dot_product_attention(query, key, value)
    if kind == "flash":
        return _flash(query, key, value)
    memory_efficient_attention = importlib.import_module("xformers.ops").memory_efficient_attention
    q, k, v = (rearrange(x, "b heads n d -> b n heads d") for x in (query, key, value))
    try:
        seen = memory_efficient_attention(q, k, v)
    except NotImplementedError as error:
        raise DependencyError(
            "the installed xformers has no kernel for this PyTorch and device: install the release "
            "that was built for it, or use attention 'sdpa'"
        ) from error
    return rearrange(seen, "b n heads d -> b heads n d")


def _flash(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        raise DependencyError(
            f"flash attention was asked for, and is there for fp16 and bf16 on a GPU; got "
            f"{query.dtype} on {query.device.type}: use attention 'sdpa'"
        )
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return F.scaled_dot_product_attention(query, key, value)
