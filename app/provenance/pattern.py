"""The pattern that a payload is, and its payload again: keyed noise in a square that repeats.

The square of TILE pixels is a sum of nine keyed patterns of one band of frequencies. The first says
where the square begins; how far each of the others is shifted against it, on a grid of 32 x 32
places, is one of eight symbols of ten bits. Five of them are the payload, three are those of a
Reed-Solomon code, which puts one wrong symbol right or tells that more are wrong. All components
of a pattern are equally strong, so a pattern correlates with itself at one place only, and one FFT
tries all places at once.

The band is what a person hardly sees, a coder at low rates keeps, and half the size still holds.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Complex, Float

from weights.errors import InputError

if TYPE_CHECKING:
    from reedsolo import RSCodec

TILE = 128
"""Side of the square that repeats, in pixels."""
PAYLOAD_BITS = 48
PUBLIC_KEY = b"visavis watermark 1"
"""Whoever has the program has this key: the detector is free. Another key is one's own."""
_SYMBOLS, _DATA, _BITS, _GRID = 8, 5, 10, 32
_STEP = TILE // _GRID
_SLOWEST, _FASTEST = 1 / 20, 1 / 6.5
"""Cycles a pixel between which the pattern has all its power."""
_NOTHING = 1e-12
_SYNC = 2.0
"""Power of the pattern that says where the square begins, in that of another."""


@dataclass(frozen=True, eq=False)
class Read:
    """What was read from a square: the payload, how many symbols were put right, and how well the
    whole pattern fits, in standard deviations of what is not marked.
    """

    payload: int
    corrected: int
    score: float


@dataclass(frozen=True, eq=False)
class Patterns:
    """The nine patterns of a key, as spectra [9, TILE, TILE // 2 + 1] of squares."""

    spectra: Complex[np.ndarray, "9 128 65"]
    band: Float[np.ndarray, "128 65"]

    @staticmethod
    @cache
    def of(key: bytes) -> "Patterns":
        """Those of a key. The same on every machine: SHA-256 is all the randomness there is."""
        down, across = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]
        radius = np.hypot(down, across)
        band = ((radius > _SLOWEST) & (radius < _FASTEST)).astype(np.float64)
        names = (hashlib.sha256(key + bytes([number])).digest() for number in range(_SYMBOLS + 1))
        spectra = [_spectrum(name, band) for name in names]
        return Patterns(np.stack(spectra), band)

    def tile(self, payload: int) -> Float[np.ndarray, "128 128"]:
        """The square of a payload, of mean 0 and standard deviation 1. Raises InputError for a
        payload that has more than PAYLOAD_BITS.
        """
        square = np.fft.irfft2(self._whole(_encoded(payload)), s=(TILE, TILE))
        return square / square.std()

    def find(self, square: Float[np.ndarray, "128 128"]) -> tuple[float, tuple[int, int]]:
        """How clearly the square begins at one place, in standard deviations, and where."""
        surface = self._surface(self._whitened(square), 0)
        at = int(surface.argmax())
        return float(surface.flat[at]), (at // TILE, at % TILE)

    def read(self, square: Float[np.ndarray, "128 128"], at: tuple[int, int]) -> Read | None:
        """The payload of a square that begins at a place, None for none."""
        spectrum = self._whitened(square)
        symbols = []
        for number in range(1, _SYMBOLS + 1):
            surface = np.roll(self._surface(spectrum, number), (-at[0], -at[1]), (0, 1))
            symbols.append(int(surface[::_STEP, ::_STEP].argmax()))
        decoded = _decoded(symbols)
        if decoded is None:
            return None
        payload, right = decoded
        whole = np.conj(self._whole(right)) * spectrum
        surface = np.fft.irfft2(whole, s=(TILE, TILE))
        score = float(surface[at] / max(surface.std(), _NOTHING))
        wrong = sum(a != b for a, b in zip(symbols, right, strict=True))
        return Read(payload, wrong, score)

    def _whole(self, symbols: list[int]) -> Complex[np.ndarray, "128 65"]:
        down, across = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]
        whole = np.sqrt(_SYNC) * self.spectra[0]
        for pattern, symbol in zip(self.spectra[1:], symbols, strict=True):
            rows, columns = _STEP * (symbol // _GRID), _STEP * (symbol % _GRID)
            whole = whole + pattern * np.exp(-2j * np.pi * (down * rows + across * columns))
        return whole

    def _whitened(self, square: Float[np.ndarray, "128 128"]) -> Complex[np.ndarray, "128 65"]:
        """The square's spectrum in the band, every component as strong as those around it: a
        picture is stronger at low frequencies and along its lines.
        """
        from scipy.ndimage import uniform_filter

        full = np.fft.fft2(square)
        power = uniform_filter(np.abs(full) ** 2, 5, mode="wrap")
        white = full / np.sqrt(np.maximum(power, _NOTHING))  # rounding goes below 0
        return white[:, : TILE // 2 + 1] * self.band

    def _surface(
        self, spectrum: Complex[np.ndarray, "128 65"], number: int
    ) -> Float[np.ndarray, "128 128"]:
        surface = np.fft.irfft2(spectrum * np.conj(self.spectra[number]), s=(TILE, TILE))
        return surface / max(surface.std(), _NOTHING)


def _spectrum(name: bytes, band: Float[np.ndarray, "128 65"]) -> Complex[np.ndarray, "128 65"]:
    """A pattern: the signs of hashed bits as a picture, whose spectrum is made flat."""
    count = TILE * TILE // 8
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(name).digest(count), np.uint8))
    spectrum = np.fft.rfft2(bits.reshape(TILE, TILE) * 2.0 - 1.0)
    return band * spectrum / np.maximum(np.abs(spectrum), 1e-12)


@cache
def _coder() -> "RSCodec":
    from reedsolo import RSCodec

    return RSCodec(_SYMBOLS - _DATA, nsize=1023, c_exp=_BITS)


def _encoded(payload: int) -> list[int]:
    if not 0 <= payload < 1 << PAYLOAD_BITS:
        raise InputError(f"got the payload {payload}; wanted one of {PAYLOAD_BITS} bits")
    data = [payload >> (_BITS * place) & ((1 << _BITS) - 1) for place in range(_DATA)]
    return [int(symbol) for symbol in _coder().encode(data)]


def _decoded(symbols: list[int]) -> tuple[int, list[int]] | None:
    """Payload and right symbols; None where they are those of none."""
    from reedsolo import ReedSolomonError

    try:
        data, whole, _ = _coder().decode(symbols)
    except ReedSolomonError:
        return None
    payload = sum(int(symbol) << (_BITS * place) for place, symbol in enumerate(data))
    if payload >= 1 << PAYLOAD_BITS:
        return None
    return payload, [int(symbol) for symbol in whole]
