"""How a video leaves: what is behind the person, its shape, its subtitles, which part of it, and in
what kind of file.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from app.render.disclosure import Disclosure
from app.render.knobs import Knob
from motion2video.media.codings import CLEAR_SUFFIXES, PREVIEW_SUFFIXES
from weights.errors import InputError

Aspect = Literal["photo", "1:1", "9:16", "16:9"]
Subtitles = Literal["none", "file", "burned"]
Format = Literal["mp4", "webm", "mov", "gif", "webp", "zip"]
Span = tuple[float, float | None]
"""From one second to another; None: to the end."""

PREVIEW_SIDE, PREVIEW_FPS, PREVIEW_S = 360, 12.5, 20.0
"""Of a picture that moves, which is large for what it shows: 20 s are some 10 MB."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SPAN = re.compile(r"([0-9]{0,6}(?:\.[0-9]{1,6})?):([0-9]{0,6}(?:\.[0-9]{1,6})?)")
_WORDS = ("own", "blur", "transparent")


@dataclass(frozen=True, eq=False, kw_only=True)
class Finish(Disclosure):
    """What is done to a video beside who talks in it and how. `background` is a word or a colour;
    a `background_picture` stands for it. `trim` is START:END in seconds of what would be made.
    `format` is the kind of file where no name says it.
    """

    background: Annotated[
        str,
        Knob(
            "What is behind the person: own (the photo's), blur, a colour as #rrggbb, or "
            f"transparent (for {', '.join(CLEAR_SUFFIXES)}).",
            label="Background: own, blur, transparent or #rrggbb",
        ),
    ] = "own"
    background_picture: Annotated[
        str | os.PathLike[str] | None,
        Knob(
            "A picture behind the person, as much of it as fits.",
            kinds=("picture",),
            label="Picture behind the person",
        ),
    ] = None
    aspect: Annotated[
        Aspect,
        Knob(
            "Shape of the video: the photo's, or 1:1, 9:16 or 16:9, in which all of the photo is "
            "shown and its surroundings go on."
        ),
    ] = "photo"
    subtitles: Annotated[
        Subtitles,
        Knob(
            "What the agent says, as writing: none, file (a .vtt of the video's name beside it) or "
            "burned (into the picture). Needs a text, a prompt or a transcript."
        ),
    ] = "none"
    trim: Annotated[
        str | None,
        Knob(
            "Only this part of the video: START:END in seconds; without END to its end.",
            unset="all of it",
            label="Only from:to (s)",
        ),
    ] = None
    format: Annotated[
        Format | None,
        Knob(
            "Kind of file, where no name says it: mp4, webm, mov, gif, webp, or zip (of its single "
            "pictures).",
            unset="the name's; else mp4, or webm where the background is transparent",
            label="Kind of file",
        ),
    ] = None

    def check_finish(self) -> None:
        """Raise InputError for values that cannot be used."""
        self.check_disclosure()
        if self.background not in _WORDS and not _COLOUR.fullmatch(self.background):
            raise InputError(
                f"got the background {self.background!r}; wanted {', '.join(_WORDS)} or a colour "
                "such as #20a060; a file is a background picture"
            )
        if self.background_picture is not None and self.background != "own":
            raise InputError("got both a background and a picture for it; give one of them")
        _ = self.span
        if self.format is not None:
            self._require_clear(f".{self.format}", "the format")

    @property
    def clear(self) -> bool:
        """Whether frames have transparent pixels."""
        return self.background == "transparent"

    @property
    def suffix(self) -> str:
        """The ending of its file, where nobody gives it a name."""
        return f".{self.format or ('webm' if self.clear else 'mp4')}"

    @property
    def colour(self) -> tuple[int, int, int] | None:
        """That of the background, if it is one."""
        if not self.background.startswith("#"):
            return None
        red, green, blue = bytes.fromhex(self.background[1:])
        return red, green, blue

    @property
    def ratio(self) -> float | None:
        """Width by height of the video; None for the photo's."""
        if self.aspect == "photo":
            return None
        width, height = self.aspect.split(":")
        return int(width) / int(height)

    @property
    def span(self) -> Span | None:
        """The part that is wanted; None for all. Raises InputError for what is no part."""
        if self.trim is None:
            return None
        found = _SPAN.fullmatch(self.trim)
        if found is None or "." in (found[1], found[2]):
            raise InputError(f"got the trim {self.trim!r}; wanted START:END in seconds, as 1.5:4")
        start, end = float(found[1] or 0), float(found[2]) if found[2] else None
        if end is not None and end <= start:
            raise InputError(f"got the trim {self.trim!r}, which ends before it begins")
        return start, end

    def cut(self, seconds: float) -> float:
        """Seconds that are left of so many."""
        start, end = self.span or (0.0, None)
        return max(0.0, min(seconds, seconds if end is None else end) - start)

    def check_name(self, out: Path) -> None:
        """Raise InputError for a name that says another format, or one that cannot hold what is
        wanted.
        """
        if self.format is not None and out.suffix.lower() != f".{self.format}":
            raise InputError(
                f"the output {out} is not of the format {self.format}; leave the format out, or "
                f"let the name end in .{self.format}"
            )
        self._require_clear(out.suffix.lower(), f"the output {out}")

    def _require_clear(self, suffix: str, what: str) -> None:
        if self.clear and suffix not in CLEAR_SUFFIXES:
            raise InputError(
                f"{what} cannot be transparent, which {suffix} files never are: take .webm (for "
                "browsers), .mov (for editing programs) or .zip (single pictures)"
            )


def is_preview(out: Path) -> bool:
    """Whether a name is that of a picture that moves."""
    return out.suffix.lower() in PREVIEW_SUFFIXES


def preview_trim(span: Span | None) -> str | None:
    """The part of a video that a preview shows: what is wanted, at most PREVIEW_S of it."""
    start, end = span or (0.0, None)
    last = start + PREVIEW_S
    return f"{start:f}:{last if end is None else min(end, last):f}"
