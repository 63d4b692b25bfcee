"""The mark of a conversation: one for all of it, and one of its own."""

from pathlib import Path

import numpy as np

from app.live.origin import live_origin
from app.provenance.detector import detect
from app.provenance.origin import Provenance
from app.render.demo import DEFAULT_PORTRAIT

IDENTITY = "0123456789abcdefghijkl"


def test_a_conversation_keeps_its_mark_and_its_id_is_told_to_nobody(tmp_path: Path) -> None:
    provenance = Provenance(folder=tmp_path)
    first = live_origin(provenance, IDENTITY, DEFAULT_PORTRAIT)
    resumed = live_origin(provenance, IDENTITY, DEFAULT_PORTRAIT)
    other = live_origin(provenance, IDENTITY[::-1], DEFAULT_PORTRAIT)
    assert first.id == resumed.id != other.id
    assert IDENTITY not in str(first.claim)


def test_its_pictures_say_whose_they_are_in_every_size(tmp_path: Path) -> None:
    origin = live_origin(Provenance(folder=tmp_path), IDENTITY, DEFAULT_PORTRAIT)
    grey = np.random.default_rng(0).integers(110, 140, (512, 512, 3), np.uint8)
    for side in (256, 512):
        found = detect([origin.mark(grey[:side, :side])])
        assert found is not None and found.payload == origin.payload
