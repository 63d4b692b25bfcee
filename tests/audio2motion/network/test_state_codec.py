"""What may be saved with a stream's state, and what saved bytes can make."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from safetensors.numpy import save

from audio2motion.network.state_codec import decode, encode
from audio2motion.saveable import saveable
from audio2motion.voice.endpoint import Endpoint
from weights.errors import StateError


@saveable
@dataclass(frozen=True)
class Kept:
    """A class of another place than this package's."""

    number: int
    inner: "Kept | None" = None


def naming(name: str) -> bytes:
    """Saved bytes that hold an empty value of a class."""
    tree = json.dumps({"class": name, "fields": {}}).encode()
    return save({"tree": np.frombuffer(tree, np.uint8)})


def test_a_class_says_itself_that_it_may_be_saved() -> None:
    assert decode(encode((Kept(1, Kept(2)), "text"))) == (Kept(1, Kept(2)), "text")


def test_a_class_that_has_not_said_so_is_neither_saved_nor_made() -> None:
    with pytest.raises(StateError, match="a Endpoint cannot be saved"):
        encode(Endpoint("http://localhost/v1", "m"))
    for name in ("audio2motion.voice.endpoint:Endpoint", "pathlib:Path", "nowhere:Nobody"):
        with pytest.raises(StateError, match="must not hold"):
            decode(naming(name))
