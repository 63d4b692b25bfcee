"""The mark: the same for the same payload, unseen, and found after what happens to videos."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from app.provenance.detector import Found, detect
from app.provenance.pattern import PAYLOAD_BITS, TILE, Patterns
from app.provenance.watermark import WEAKEST, Marker, layer
from app.render.demo import DEFAULT_PORTRAIT
from motion2video.portrait.portrait import load_image
from weights.errors import InputError

PAYLOAD = 0x0123456789AB
KEY = b"a key of somebody's own"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    image = load_image(DEFAULT_PORTRAIT)[0]
    return cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def marked(photo: np.ndarray) -> np.ndarray:
    return Marker(PAYLOAD).mark(photo)


def payload(found: Found | None) -> int | None:
    return None if found is None else found.payload


def jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=quality)
    return np.array(Image.open(data))


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    difference = first.astype(float) - second
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


@pytest.mark.parametrize("number", [0, 1, (1 << PAYLOAD_BITS) - 1])
def test_a_square_says_its_payload_wherever_it_begins(number: int) -> None:
    patterns = Patterns.of(KEY)
    square = np.roll(patterns.tile(number), (17, 90), (0, 1))
    assert abs(square.mean()) < 1e-9 and square.std() == pytest.approx(1)
    clear, at = patterns.find(square)
    read = patterns.read(square, at)
    assert at == (17, 90) and clear > 10
    assert read is not None and (read.payload, read.corrected) == (number, 0)


def test_one_symbol_that_was_read_wrong_is_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.provenance import pattern

    symbols = pattern._encoded(PAYLOAD)
    assert pattern._decoded([*symbols[:2], symbols[2] ^ 5, *symbols[3:]]) == (PAYLOAD, symbols)
    wrong = [symbol ^ 1 for symbol in symbols[:4]] + symbols[4:]
    read = pattern._decoded(wrong)
    assert read is None or read[0] != PAYLOAD


def test_what_has_too_many_bits_is_no_payload() -> None:
    with pytest.raises(InputError, match="wanted one of 48 bits"):
        Patterns.of(KEY).tile(1 << PAYLOAD_BITS)


def test_every_frame_gets_the_same_and_hardly_anything(photo: np.ndarray) -> None:
    marker, grey = Marker(PAYLOAD), np.full_like(photo, 128)
    added = marker.mark(grey).astype(int) - 128
    assert (added[..., 0] == np.rint(WEAKEST * layer(PAYLOAD, (512, 512)))).all()
    assert (added == added[..., :1]).all()  # luma alone
    assert (marker.mark(photo) == Marker(PAYLOAD).mark(photo)).all()
    assert psnr(grey, marker.mark(grey)) > 49  # flat ground, where an eye would find it
    assert 42 < psnr(photo, marker.mark(photo)) < 49
    assert (added[:TILE, :TILE] == added[TILE : 2 * TILE, :TILE]).all()


def test_a_flat_ground_has_no_blocks_or_lines_in_it() -> None:
    """No component stands out, so no eye finds one: all are noise of one strength."""
    power = np.abs(np.fft.rfft2(Patterns.of(KEY).tile(PAYLOAD))) ** 2
    inside = power[power > 1e-6 * power.max()]
    assert inside.max() < 12 * inside.mean()


def test_alpha_and_the_ends_of_the_range_stay(photo: np.ndarray) -> None:
    clear = np.dstack([photo, np.arange(512 * 512, dtype=np.uint32).reshape(512, 512) % 256])
    clear = clear.astype(np.uint8)
    made = Marker(PAYLOAD).mark(clear)
    assert (made[..., 3] == clear[..., 3]).all()
    black = Marker(PAYLOAD).mark(np.zeros((64, 96, 3), np.uint8))
    assert black.max() <= 5  # nothing has wrapped round to 255


def test_it_is_found_after_coding_scaling_and_cropping(marked: np.ndarray) -> None:
    assert payload(detect([jpeg(marked, 60)])) == PAYLOAD
    half = cv2.resize(marked, (256, 256), interpolation=cv2.INTER_AREA)
    assert payload(detect([jpeg(half, 80)])) == PAYLOAD
    cropped = marked[31:466, 47:482]
    assert payload(detect([jpeg(cropped, 70)])) == PAYLOAD


def test_an_odd_scale_is_searched_for(marked: np.ndarray) -> None:
    odd = cv2.resize(marked, None, fx=0.83, fy=0.83, interpolation=cv2.INTER_AREA)
    found = detect([odd])
    assert found is not None and found.payload == PAYLOAD
    assert found.scale == pytest.approx(0.83, rel=0.006)


def test_no_mark_and_another_key_are_nothing(photo: np.ndarray, marked: np.ndarray) -> None:
    assert detect([photo]) is None and detect([marked[:200, :200]], KEY) is None
    assert detect([]) is None and detect([np.zeros((40, 60, 3), np.uint8)]) is None
