"""What a user may choose of how networks run; light, so that a command line can tell it."""

from typing import Literal

Backend = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]
AttentionKind = Literal["sdpa", "xformers"]
MAX_THREADS = 256
