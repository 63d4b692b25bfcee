"""The one Avatar of a process."""

import pytest

from app.jobs.loader import Loader
from app.render.pipeline import Avatar
from weights.errors import MediaError


def test_a_failed_load_is_tried_again():
    asked: list[int] = []

    def load() -> Avatar:
        asked.append(1)
        raise MediaError("not yet")

    loader = Loader(load)
    for _ in range(2):
        with pytest.raises(MediaError, match="not yet"):
            loader.get()
    assert len(asked) == 2
    assert not loader.ready
