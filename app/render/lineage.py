"""What a video is made of, in plain words and hashes: what its mark and its credentials are about.

Numbers, choices and switches are told as they are. Files, sounds and words are told as their
SHA-256: whoever has them can compare, and nobody reads in a video's credentials what a language
model was asked.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.provenance.origin import Origin, Provenance, digest_of
from app.render.describing import plain
from app.render.knobs import settings
from app.render.reading import Reader
from app.render.request import RenderRequest
from app.render.result import used_weights, versions
from app.render.turns import Turn
from audio2motion.hearing.audio import Waveform
from motion2video.motion import Motion
from weights.errors import InputError

_MOST_PHOTO = 64 * 2**20
_APART = {"seed", "consent", "turns", "turns_file"}
"""Told in another way."""


def origin_of(
    request: RenderRequest,
    provenance: Provenance,
    reader: Reader,
    more: Mapping[str, Any] | None = None,
) -> Origin:
    """The origin of the video of a request; `more` is part of what it is made of. The files of the
    request have been read before, by `reader`.
    """
    told, inputs = dict[str, Any](), dict[str, str]()
    for setting in settings(type(request)):
        value = getattr(request, setting.name)
        if setting.knob.servers_own or setting.name in _APART or value is None:
            continue
        if isinstance(value, bool | int | float) or setting.choices:
            told[setting.name] = value
        else:
            inputs[setting.name] = _digest(value, setting.is_file)
    if request.has_turns:
        inputs["turns"] = _digest([_turn(turn) for turn in request.dialogue()], False)
    claim = {
        "version": versions().get("visavis", "unknown"),
        "kind": "video",
        "seed": request.seed,
        "settings": told,
        "inputs": inputs,
        "weights": used_weights(request.renderer),
        "consent": request.consent,
        **(more or {}),
    }
    return provenance.origin(claim, _with_credentials(request.portrait, reader))


def _turn(turn: Turn) -> dict[str, Any]:
    """A turn whose recording, wherever it lies, is told by its content."""
    told = plain(turn)
    if turn.audio is not None:
        told["audio"] = _digest(turn.audio, True)
    return told


def motion_digest(motion: Motion) -> str:
    """The SHA-256 of a motion's numbers."""
    return _digest(motion, False)


def _digest(value: object, is_file: bool) -> str:
    if is_file and isinstance(value, str | os.PathLike):
        return digest_of(Path(value))
    if isinstance(value, np.ndarray):
        parts = [str((value.shape, value.dtype.str)).encode(), value.tobytes()]
    elif isinstance(value, Motion):
        parts = [f"{value.fps}".encode(), value.values.tobytes(), value.mask.tobytes()]
    elif isinstance(value, Waveform):
        parts = [f"{value.sample_rate}".encode(), value.samples.tobytes()]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [json.dumps(dataclasses.asdict(value), sort_keys=True).encode()]
    else:
        parts = [json.dumps(plain(value), sort_keys=True).encode()]
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()


def _with_credentials(portrait: object, reader: Reader) -> bytes | None:
    """A photo that has credentials of its own, which were read where `reader` reads: one that
    breaks what reads it goes no further.
    """
    from app.provenance.credentials import missing, photo_kind

    if not isinstance(portrait, str | os.PathLike):
        return None
    photo = Path(portrait)
    if photo.stat().st_size > _MOST_PHOTO:
        return None
    data = photo.read_bytes()
    if photo_kind(data) is None or missing() is not None:
        return None
    try:
        known = reader.credentials(photo)
    except InputError:
        return None
    return data if known is not None and known.state != "invalid" else None
