"""What an item's result depends on, as one hash: change any of it and the item is made anew."""

import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from app.batch.manifest import Item
from app.batch.storage import content_hash
from app.batch.work import AvatarSettings
from app.render.result import used_weights

KEY_VERSION = 1
"""Goes up when the same key would no longer mean the same video."""


_MODEL_FILES = (".json", ".safetensors", ".bin")


def networks_of(settings: AvatarSettings) -> dict[str, Any]:
    """What the networks are told, for `key_of`: the user's own speech encoder by its content.

    Raises MediaError when a file of that encoder cannot be read.
    """
    told = settings.identity
    if settings.speech_encoder is not None:
        kind, _, folder = settings.speech_encoder.partition(":")
        files = sorted(
            file for file in Path(folder).expanduser().glob("*") if file.suffix in _MODEL_FILES
        )
        told["speech_encoder"] = {"kind": kind} | {f.name: content_hash(str(f)) for f in files}
    return told


def key_of(item: Item, networks: dict[str, Any], hash_of: Callable[[str], str]) -> str:
    """SHA-256 over the inputs' content (`hash_of` an address), every other word of the row, what
    the `networks` are told, the weights and the version of visavis.

    Where files lie, what the output is called, and the device and threads that work on it do not
    count.
    """
    words = {name: value for name, value in item.fields.items() if name not in item.files}
    return hashlib.sha256(
        json.dumps(
            {
                "key": KEY_VERSION,
                "visavis": metadata.version("visavis"),
                "weights": used_weights(item.request().renderer),
                "networks": networks,
                "inputs": {name: hash_of(item.fields[name]) for name in item.files}
                | {name: hash_of(address) for name, address in item.recordings.items()},
                "words": _with_defaults(item, words),
                "container": PurePosixPath(item.output).suffix.lower(),
            },
            sort_keys=True,
        ).encode()
    ).hexdigest()


def _with_defaults(item: Item, words: dict[str, Any]) -> dict[str, Any]:
    """Every field, so that a changed default is a changed video."""
    described = item.request().describe()
    told = {name: value for name, value in described.items() if name not in item.files} | words
    if told.get("turns"):  # of their recordings the content counts
        told["turns"] = [{n: v for n, v in row.items() if n != "audio"} for row in told["turns"]]
    return told
