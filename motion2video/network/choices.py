"""What a user may choose of how networks run; light, so that a command line can tell it."""

from typing import Literal

Backend = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]
Quality = Literal["draft", "live", "standard", "best"]
"""How much work a frame is: the photo only moved, with dark mouths and no lids; one step of
diffusion; two, and what moves as sharp as the photo; and four times the pixels drawn, for edges
without stairs.
"""
AttentionKind = Literal["sdpa", "xformers", "flash"]
MAX_THREADS = 256
