"""What tests of the API share: a photo, and visitors of whatever server a module has."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.app.serving import Served


@pytest.fixture
def http(served: Served, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A visitor of their own for every test."""
    with served.http(**{"X-Visavis-Session": f"visitor-{request.node.nodeid[-100:]}"}) as client:
        yield client


@pytest.fixture(scope="module")
def photo(portrait: Path) -> bytes:
    with Image.open(portrait) as image:
        out = io.BytesIO()
        image.resize((256, 256)).save(out, "JPEG")
    return out.getvalue()
