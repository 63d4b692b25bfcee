"""What the agent says as subtitles: in a file beside the video, or in its pictures."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from audio2motion.gestures.transcript import Transcript
from weights.errors import InputError, OutputError

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

SUFFIX = ".vtt"
_LONGEST = 42  # characters of a subtitle
_GAP_S = 0.8  # a pause that ends one
_STAYS_S = 0.4  # how long one stays after its last word, unless the next comes
_SENTENCE_ENDS = ".!?\u2026\u3002"
_HEIGHT, _LEAST = 0.062, 14  # of a letter's line: of the shorter side, and in pixels
_WIDE = 0.92  # of a frame
_STROKE = 0.1  # of the height
_PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
    | {"\u2026": "...", "\u00a0": " "}
)
"""Marks that a small font need not have."""
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf")


@dataclass(frozen=True)
class Cue:
    """A subtitle, shown from `start` to `end` seconds of the video."""

    start: float
    end: float
    text: str

    def moved(self, seconds: float) -> "Cue":
        """The same so much later."""
        return replace(self, start=max(0.0, self.start + seconds), end=self.end + seconds)


def cues_of(transcript: Transcript) -> tuple[Cue, ...]:
    """Subtitles of a sentence or a part of one each, in order."""
    text, words = transcript.text, transcript.words
    groups: list[list[tuple[str, float, float]]] = [[]]
    before = 0
    for i, word in enumerate(words):
        until = words[i + 1].first if i + 1 < len(words) else len(text)
        said = _with_marks(text, word.first, word.last, before, until)
        before, group = word.last, groups[-1]
        if group and (
            word.start - group[-1][2] > _GAP_S
            or group[-1][0].rstrip("\"'\u201d\u2019)").endswith(tuple(_SENTENCE_ENDS))
            or sum(len(known) + 1 for known, *_ in group) + len(said) > _LONGEST
        ):
            groups.append([])
        groups[-1].append((said, word.start, word.end))
    made = [
        Cue(group[0][1], max(end for *_, end in group), " ".join(said for said, *_ in group))
        for group in groups
        if group
    ]
    nexts = [*(cue.start for cue in made[1:]), float("inf")]
    return tuple(
        replace(cue, end=max(cue.end, min(cue.end + _STAYS_S, after)))
        for cue, after in zip(made, nexts, strict=True)
    )


def _with_marks(text: str, first: int, last: int, before: int, until: int) -> str:
    """A word with the marks that touch it: quotes before, commas behind."""
    while first > before and not text[first - 1].isspace():
        first -= 1
    while last < until and not text[last].isspace():
        last += 1
    return text[first:last]


def cut(cues: Sequence[Cue], start: float, end: float) -> tuple[Cue, ...]:
    """Those of a part of a video, on the clock of the part."""
    return tuple(
        replace(cue, end=min(cue.end, end)).moved(-start)
        for cue in cues
        if cue.end > start and cue.start < end
    )


def to_webvtt(cues: Sequence[Cue]) -> str:
    """The content of a WebVTT file."""
    blocks = [f"{_clock(cue.start)} --> {_clock(cue.end)}\n{_escaped(cue.text)}\n" for cue in cues]
    return "\n".join(["WEBVTT\n", *blocks])


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def place_of(video: Path) -> Path:
    """Where the subtitles of a video lie."""
    return video.with_suffix(SUFFIX)


def save(cues: Sequence[Cue], path: Path) -> None:
    """Write a WebVTT file, which appears only when complete. Raises OutputError."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(to_webvtt(cues), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


class Burner:
    """Draws subtitles into the frames of a video, in order. Raises InputError for letters that no
    font has.
    """

    def __init__(self, cues: Sequence[Cue], fps: float) -> None:
        self._fps = fps
        self._cues = [replace(cue, text=cue.text.translate(_PLAIN)) for cue in cues]
        self._drawn: tuple[Cue, UInt8[np.ndarray, "H W 4"]] | None = None
        found = font_of("".join(cue.text for cue in self._cues))
        if found is None:
            raise InputError(
                "the subtitles have letters that no font here has, so they cannot be burned into "
                f"the picture: install one of {', '.join(_FONTS)}, or have them as a file"
            )
        self._font = found

    def burn(self, frame: UInt8[np.ndarray, "H W c"], number: int) -> UInt8[np.ndarray, "H W c"]:
        """The frame with what is said at that time."""
        at = (number + 0.5) / self._fps
        now = next((cue for cue in self._cues if cue.start <= at < cue.end), None)
        if now is None:
            return frame
        if self._drawn is None or self._drawn[0] != now:
            self._drawn = now, written(now.text, (frame.shape[1], frame.shape[0]), self._font)
        return laid_over(frame, self._drawn[1])


def laid_over(
    frame: UInt8[np.ndarray, "H W c"], over: UInt8[np.ndarray, "H W 4"]
) -> UInt8[np.ndarray, "H W c"]:
    """A copy of a frame with a picture over it, as far as that is not clear."""
    share = over[..., 3:].astype(np.float32) / 255
    out = frame.copy()
    out[..., :3] = np.round(frame[..., :3] * (1 - share) + over[..., :3] * share)
    if out.shape[2] == 4:
        out[..., 3] = np.maximum(out[..., 3], over[..., 3])
    return out


def written(text: str, size: tuple[int, int], name: str = "") -> UInt8[np.ndarray, "H W 4"]:
    """White letters with a black rim at the bottom of a clear picture of (width, height); smaller
    ones where they would be more than a third of it.
    """
    from PIL import Image, ImageDraw

    width, height = size
    image = Image.new("RGBA", size)
    draw = ImageDraw.Draw(image)
    letter = max(_LEAST, round(_HEIGHT * min(size)))
    while True:
        chosen = font(letter, name)
        lines, rim = _lines(text, chosen, _WIDE * width), max(1, round(_STROKE * letter))
        step = round(1.25 * letter)
        if step * len(lines) <= height / 3 or letter <= 8:
            break
        letter -= 1
    top = height - round(0.05 * height) - step * len(lines)
    for number, line in enumerate(lines):
        where = (width / 2, top + number * step)
        draw.text(where, line, "white", chosen, anchor="ma", stroke_width=rim, stroke_fill="black")
    return np.array(image, np.uint8)


def _lines(text: str, chosen: "FreeTypeFont", width: float) -> list[str]:
    """The text in lines that are no wider; a word that is, is broken."""
    lines = [""]
    for word in text.split():
        grown = f"{lines[-1]} {word}".strip()
        if chosen.getlength(grown) <= width:
            lines[-1] = grown
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and chosen.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def font_of(text: str) -> str | None:
    """Pillow's own font ("") where it has the letters of a text, which are those of English; else
    the first of the system's that has them, None where none has.
    """
    letters = set(text)
    for name in ("", *_FONTS):
        try:
            if not any(_lacks(letter, name) for letter in letters):
                return name
        except OSError:  # it is not on this machine
            continue
    return None


@cache
def font(height: int, name: str) -> "FreeTypeFont":
    """The font that `font_of` named, in pixels of height."""
    from PIL import ImageFont
    from PIL.ImageFont import FreeTypeFont

    if name:
        return ImageFont.truetype(name, height)
    own = ImageFont.load_default(height)
    assert isinstance(own, FreeTypeFont)  # with a size, and FreeType, which its wheels have
    return own


@cache
def _lacks(letter: str, name: str) -> bool:
    """Whether the font draws a box for it."""
    if letter.isspace():
        return False
    return bool(np.array_equal(_shape(letter, name), _shape("\U0010ffff", name)))


def _shape(letter: str, name: str) -> UInt8[np.ndarray, "h w"]:
    from PIL import Image, ImageDraw

    image = Image.new("L", (32, 32))
    ImageDraw.Draw(image).text((4, 4), letter, 255, font(20, name))
    return np.array(image, np.uint8)
