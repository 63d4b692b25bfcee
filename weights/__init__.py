"""Weights: from a role such as "autoencoder" to a file whose hash has been checked.

The bottom package: it imports nothing of the others. What all of them need lives here too: the
exception tree (`weights.errors`), and how files are opened (`weights.opening`) and written whole
(`weights.saving`).
"""

from weights.manifest import Manifest, Role, load_manifest
from weights.registry import cache_dir, fetch, find, locate, verify
from weights.tensors import load_safetensors, read_safetensors, save_safetensors

__all__ = [
    "Manifest",
    "Role",
    "cache_dir",
    "fetch",
    "find",
    "load_manifest",
    "load_safetensors",
    "locate",
    "read_safetensors",
    "save_safetensors",
    "verify",
]
