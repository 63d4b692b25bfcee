"""The faces of a photo, drawn on it, and which of them is meant."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from app.jobs.preview import jpeg
from app.render.demo import EXAMPLES
from app.render.reading import HERE, Reader
from app.studio.screens import markup
from app.studio.screens.follow import fail, page_of
from app.studio.screens.form import FORM_FILES
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Page, Workshop
from motion2video.faces import photo as photos
from motion2video.faces.tracker import Face, FaceTracker
from weights.errors import FaceError, InputError, VisavisError

SHOWN = 720
"""Long side of the picture with the boxes, in pixels."""
_FINE = 95
_CHOSEN, _OTHER = (255, 122, 89), (255, 255, 255)


class Faces:
    """What was found in one photo: `faces` from left to right in the pixels of `image`."""

    def __init__(self, image: UInt8[np.ndarray, "H W 3"], faces: Sequence[Face]) -> None:
        self.image = image
        self.faces = sorted(faces, key=lambda face: face.centre[0])

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(shown, value) for a picker; values are what `face` of a request takes."""
        count = len(self.faces)
        return [(f"face {i + 1} of {count}, from the left", str(i + 1)) for i in range(count)]

    @property
    def largest(self) -> int:
        """Index of the largest one."""
        return max(range(len(self.faces)), key=lambda i: self.faces[i].area)

    def at(self, x: float, y: float) -> int:
        """Index of the face nearest to a place in the drawn picture."""
        scale = self._scale
        return min(
            range(len(self.faces)),
            key=lambda i: np.hypot(
                self.faces[i].centre[0] * scale - x, self.faces[i].centre[1] * scale - y
            ),
        )

    @property
    def _scale(self) -> float:
        return min(1.0, SHOWN / max(self.image.shape[:2]))

    def drawn(self, chosen: int) -> UInt8[np.ndarray, "h w 3"]:
        """The photo with a numbered box around every face, the chosen one in colour."""
        scale = self._scale
        height, width = self.image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        for number, face in enumerate(self.faces):
            x0, y0, x1, y1 = (round(v * scale) for v in face.box)
            colour = _CHOSEN if number == chosen else _OTHER
            for line, shade in ((4, (30, 30, 30)), (2, colour)):
                cv2.rectangle(picture, (x0, y0), (x1, y1), shade, line, cv2.LINE_AA)
            if len(self.faces) > 1:
                place = (x0 + 4, max(y0 - 8, 20))
                for line, shade in ((5, (30, 30, 30)), (2, colour)):
                    cv2.putText(
                        picture, str(number + 1), place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, shade, line
                    )
        return picture

    def trouble(self, chosen: int) -> tuple[list[str], bool]:
        """Why the chosen face cannot be used, or not well; and whether it can at all."""
        face = self.faces[chosen]
        try:
            photos.require_usable(face)
        except FaceError as error:
            return [str(error)], False
        told = (photos.turned_notice(face), photos.open_notice(face))
        return [sentence for sentence in told if sentence], True


def find_faces(path: str, tracker: FaceTracker, reader: Reader = HERE) -> Faces:
    """The faces of an uploaded photo. Raises MediaError for what is no picture, FaceError for one
    without a face.
    """
    try:
        image, _ = reader.picture(Path(path))
    except VisavisError as error:
        raise type(error)(str(error).replace(path, Path(path).name)) from error
    faces = photos.find_faces(tracker, image)
    if not faces:
        raise FaceError("no face found; use a picture with a face that looks towards the camera")
    return Faces(image, faces)


def show_faces(
    workshop: Workshop, visitor: Visitor, photo: str | None
) -> tuple[Any, Any, str, Any]:
    """The photo with its faces marked, where there are several, the choices among them, what is
    wrong with the photo, and the button that turns one which is not upright.
    """
    import gradio as gr

    hidden = gr.update(visible=False)
    # The choices stay: an answer for the photo before may come after that for this one.
    nothing = gr.update(value=None, visible=False)
    page = page_of(workshop, visitor)
    page.faceless = page.unusable = None
    if not photo or Path(photo) in EXAMPLES:  # they show one face, and the networks can wait
        return hidden, nothing, "", hidden
    try:
        found = _faces_in(workshop, photo)
    except VisavisError as error:
        page.faceless = photo
        return hidden, nothing, markup.alert(str(error)), hidden
    chosen = found.largest
    if page.face is not None and page.face[0] == photo:  # it is shown again
        chosen = min(page.face[1], len(found.faces) - 1)
    several = len(found.faces) > 1
    picker = gr.update(choices=found.choices, value=str(chosen + 1), visible=several)
    marked = gr.update(value=str(_kept(found, chosen, page)), visible=True) if several else hidden
    return marked, picker, *_said_of(found, chosen, page, photo)


def mark_face(
    workshop: Workshop, visitor: Visitor, photo: str | None, face: str | None
) -> tuple[Any, str, Any]:
    """The photo with another of its faces marked, and what is wrong with that one, as `show_faces`
    tells it.
    """
    try:
        found = _faces_in(workshop, photo)
    except VisavisError as error:
        fail(error)
    numbered = [value for _, value in found.choices]
    if face not in numbered:
        fail(f"got the face {face!r}; wanted {' or '.join(numbered)}")
    chosen = int(face) - 1
    page = page_of(workshop, visitor)
    page.face = str(photo), chosen
    drawn = _kept(found, chosen, page)
    return str(drawn), *_said_of(found, chosen, page, str(photo))


def turn_photo(workshop: Workshop, visitor: Visitor, photo: str | None) -> str:
    """The photo, upright where it lay on its side or stood on its head."""
    try:
        found = _faces_in(workshop, photo)
    except VisavisError as error:
        fail(error)
    page = page_of(workshop, visitor)
    chosen = page.face[1] if page.face is not None and page.face[0] == photo else found.largest
    lies = found.faces[min(chosen, len(found.faces) - 1)].lies
    upright = page.new_folder() / f"{Path(str(photo)).stem}.jpg"
    turned = np.ascontiguousarray(np.rot90(found.image, lies))
    upright.write_bytes(jpeg(turned, _FINE))
    return str(upright)


def choose_face(workshop: Workshop, photo: str | None, x: float, y: float) -> str:
    """The face nearest to a place in the drawn picture, as a value of the picker."""
    try:
        return str(_faces_in(workshop, photo).at(x, y) + 1)
    except VisavisError as error:
        fail(error)


def _faces_in(workshop: Workshop, photo: str | None) -> Faces:
    if not photo:
        raise InputError("there is no photo yet: give one, or take one of the examples")
    workshop.files.require(Path(photo), FORM_FILES["photo"])
    avatar = workshop.avatar()
    return find_faces(photo, avatar.tracker, avatar.reader)


def _said_of(found: Faces, chosen: int, page: Page, photo: str) -> tuple[str, Any]:
    """What is wrong with a face, and whether the button that turns its photo is there; noted is
    whether it can be used.
    """
    import gradio as gr

    trouble, usable = found.trouble(chosen)
    page.unusable = None if usable else photo
    said = "".join(map(markup.alert, trouble))
    return said, gr.update(visible=found.faces[chosen].lies != 0)


def _kept(found: Faces, chosen: int, page: Page) -> Path:
    """The drawn picture as a file of the visitor's."""
    path = page.new_folder() / "faces.jpg"
    path.write_bytes(jpeg(found.drawn(chosen)))
    return path
