"""What a video says of itself beside its mark and credentials: a label in the picture, and who
agreed to it.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import UInt8

from app.render.knobs import Knob
from weights.errors import InputError

_LONGEST_LABEL, _LONGEST_CONSENT = 60, 400
_HEIGHT, _MARGIN = 0.04, 0.03
"""Of a label's letters and of its distance from the corner: of the shorter side."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Disclosure:
    """`label` stands in every frame; `consent` is kept in the credentials and the log."""

    label: Annotated[
        str | None,
        Knob(
            "Words in a corner of every frame, such as 'made with AI'.",
            longest=_LONGEST_LABEL,
            label="Label in the picture",
        ),
    ] = None
    consent: Annotated[
        str | None,
        Knob(
            "Who agreed to be shown, and how: kept in the video's credentials and the log.",
            longest=_LONGEST_CONSENT,
            label="Consent of the person shown",
        ),
    ] = None

    def check_disclosure(self) -> None:
        """Raise InputError for a label or consent without a word."""
        for name in ("label", "consent"):
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise InputError(f"got an empty {name}; write what it says, or leave it out")


class Label:
    """A label, drawn once and laid over every frame. Raises InputError for letters that no font
    has.
    """

    def __init__(self, text: str) -> None:
        from app.render.subtitles import font_of

        found = font_of(text)
        if found is None:
            raise InputError(
                f"the label {text!r} has letters that no font here has; write it in others"
            )
        self._text, self._font = text, found
        self._drawn: UInt8[np.ndarray, "H W 4"] | None = None

    def lay(self, frame: UInt8[np.ndarray, "H W c"]) -> UInt8[np.ndarray, "H W c"]:
        """The frame with the label at its top left."""
        from app.render.subtitles import laid_over

        if self._drawn is None or self._drawn.shape[:2] != frame.shape[:2]:
            self._drawn = _written(self._text, (frame.shape[1], frame.shape[0]), self._font)
        return laid_over(frame, self._drawn)


def _written(text: str, size: tuple[int, int], name: str) -> UInt8[np.ndarray, "H W 4"]:
    """White letters on a dim ground, as large as fits."""
    from PIL import Image, ImageDraw

    from app.render.subtitles import font

    image = Image.new("RGBA", size)
    draw, margin = ImageDraw.Draw(image), round(_MARGIN * min(size))
    letter = max(10, round(_HEIGHT * min(size)))
    while letter > 6 and font(letter, name).getlength(text) > size[0] - 4 * margin:
        letter -= 1
    chosen = font(letter, name)
    where = (2 * margin, 2 * margin)
    left, top, right, bottom = draw.textbbox(where, text, chosen)
    ground = (left - margin, top - margin, right + margin, bottom + margin)
    draw.rectangle(ground, (0, 0, 0, 140))
    draw.text(where, text, "white", chosen)
    return np.array(image, np.uint8)
