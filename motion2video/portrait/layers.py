"""A photo taken apart: the person with a soft edge, what is behind them, and what never moves.

All planes are of the *canvas*: the photo with a border of its mirror image, so that a head that is
cut by the picture's edge has something to turn in. Distances are in interocular distances (`unit`).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.geometry.basis import FACE_OVAL
from motion2video.portrait.fills import loose_strands, mirror_fill, push_pull
from motion2video.portrait.matte import component

PAD = 0.9  # width of the border
_GROW = 0.06  # by which the hole in the plate is larger than the person
_DEEP, _DEEP_IN_WALL = 1.2, 0.4  # beyond this the plate is smooth: nobody knows what is there
_SOFT = 0.25
_SURE, _SOLID = 0.97, 0.5
_HARDLY = 0.5  # of a pixel: less of it, and its colour is what noise makes of it
_RIM_WIDTH = 0.06  # of the person's edge, in which mattes are wrong
_CONTRAST, _OFF_LINE = 50.0, 18.0  # levels: before a wall of another colour; a mixture's error
_AWAY = 15  # pixels about the skin that have its colour
_SEAM = 5  # pixels over which a forehead goes on beyond the picture
_SKIN = 3.0  # times the skin's own deviation in colour
_BROWS = [105, 334]
_FOREHEAD = 0.04  # of the picture's height: so much of a forehead says how it goes on
_HAIRLINE = 0.1  # of the height of an ear, by which hair ends softly
_CROWN = 0.65  # of the way from the crown down to the brows: hair's colours are taken above
_HAIRY = 0.4  # of a head's outline there: at least so much is taken for hair
_SHADED = 0.25  # of hair that is lit is as dark as what is behind the ears
_HAIR_ENDS = 0.5  # of it, above the lobes, over which hair behind an ear goes over to the nape
_WITHIN, _SHADE = (0.06, 0.2), 0.8  # of the head's radius; of the light
_RIM = 0.16  # of the head's radius: the band whose colours the back of the head has


@dataclass(frozen=True, eq=False)
class Layers:
    """`front` (RGBA) is the person with clean colours out to the soft edge, `back` (RGBA) the back
    of the head, `torso` (RGBA) where the head's turning does not reach, `plate` the background with
    nobody in it. `within` (RGB) are the front's colours without what its edge has of the photo's
    background: those of where the person is seen before themselves.
    """

    front: UInt8[np.ndarray, "h w 4"]
    back: UInt8[np.ndarray, "h w 4"]
    torso: UInt8[np.ndarray, "h w 4"]
    plate: UInt8[np.ndarray, "h w 3"]
    within: UInt8[np.ndarray, "h w 3"]


def padded(plane: np.ndarray, pad: int) -> np.ndarray:
    """A plane of the photo as one of the canvas."""
    return cv2.copyMakeBorder(plane, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)


def canvas_of(
    image: UInt8[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
    bare: UInt8[np.ndarray, "h w"],
    pad: int,
) -> UInt8[np.ndarray, "H W 3"]:
    """The photo on the canvas. Over a head that the picture's edge cuts, its mirror image would
    show the brow again (`bare`, 1 where skin is): there what is around goes on, which is hair, or
    the forehead, where the edge cuts that.
    """
    canvas, skin, person = padded(image, pad), padded(bare, pad), padded(alpha, pad)
    near = np.asarray(cv2.dilate(skin, np.ones((_AWAY, _AWAY), np.uint8)), np.uint8)
    within = np.s_[pad : pad + len(bare), pad : pad + bare.shape[1]]
    wrong = np.zeros_like(near)
    wrong[:pad] = np.maximum.accumulate(near[:pad][::-1])[::-1]  # and what is mirrored beyond it
    hair = np.zeros(near.shape, np.float32)
    hair[within] = ((near == 0) & (person > _SURE))[within]
    hair[pad + int(np.argmax(bare.any(1))) :] = 0
    border = _AWAY
    if bare[0].any():  # the edge cuts the forehead
        high = max(1, round(_FOREHEAD * len(bare)))
        hair[within][:high] = bare[:high]
        border = _SEAM
    if not (wrong.any() and hair.any()):
        return canvas
    filled = push_pull(canvas.astype(np.float32), hair)
    soft = cv2.blur(wrong.astype(np.float32), (border, border))[..., None]
    soft[within] = 0
    return _bytes(canvas * (1 - soft) + filled * soft)


def bare_face(
    image: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 3"]
) -> UInt8[np.ndarray, "h w"]:
    """1 in the face and where its skin goes on above the brows, up to the hair."""
    oval = landmarks[FACE_OVAL, :2].astype(np.int32)
    face = np.asarray(cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [oval], 1), np.uint8)
    if not face.any():
        return face
    alike = _off_skin(image, face) < 1
    alike[int(landmarks[_BROWS, 1].mean()) :] = False
    return np.asarray(component(((face > 0) | alike).astype(np.uint8), face), np.uint8)


def _off_skin(
    image: UInt8[np.ndarray, "h w 3"], face: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """How far a picture's colours are from those of the skin in `face`: below 1 they are its."""
    colours = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.5), cv2.COLOR_RGB2LAB)
    away = np.linalg.norm(colours - np.median(colours[face > 0], 0), axis=-1)
    return np.asarray(away / (_SKIN * max(float(np.median(away[face > 0])), 4.0)), np.float32)


def make_plate(
    canvas: UInt8[np.ndarray, "h w 3"], alpha: Float[np.ndarray, "h w"], unit: float
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The background, and the matte with the strands that it had missed."""
    image = canvas.astype(np.float32)
    grow = max(3, round(_GROW * unit))
    ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1,) * 2)
    person = np.asarray(cv2.dilate((alpha > 0.05).astype(np.uint8), ring), np.uint8)
    found = loose_strands(canvas, person, unit)
    strands = np.zeros_like(person) if found is None else found
    person = np.maximum(person, strands)
    # no slivers of what is neither: they hold the person's colours
    known = cv2.morphologyEx(1 - person, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    person = 1 - known
    inside = np.minimum(cv2.distanceTransform(person, cv2.DIST_L2, 5), max(person.shape))
    smooth = push_pull(image, known.astype(np.float32))
    deep = (_DEEP if found is None else _DEEP_IN_WALL) * unit
    trust = np.exp(-((inside / deep) ** 2))[..., None]
    plate = mirror_fill(image, known) * trust + smooth * (1 - trust)
    soft = np.clip(inside / (_SOFT * unit), 0, 1)[..., None]
    plate = plate * (1 - soft) + cv2.GaussianBlur(plate, (0, 0), 2) * soft
    out = cv2.distanceTransform(1 - (alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    ramp = np.clip(2 - out / (0.5 * grow), 0, 1)
    ramp = np.maximum(ramp, cv2.blur(strands.astype(np.float32), (5, 5)))
    differs = cv2.GaussianBlur(np.abs(image - plate).max(-1), (0, 0), 0.7)
    alpha = np.maximum(alpha, ramp * np.clip((differs - 5) / 40, 0, 1))
    return plate.astype(np.float32), alpha.astype(np.float32)


def unmixed(
    canvas: UInt8[np.ndarray, "h w 3"],
    plate: Float[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
    unit: float,
) -> Float[np.ndarray, "h w"]:
    """The matte, no larger than the picture says beside where it is sure: where what lies within
    and what lies behind differ, a pixel between them on the line of both is a mixture of both.
    """
    deep = max(3, round(_RIM_WIDTH * unit))
    inner = cv2.erode((alpha > _SURE).astype(np.uint8), np.ones((2 * deep + 1,) * 2, np.uint8))
    if not inner.any():
        return alpha
    own = push_pull(canvas.astype(np.float32), inner.astype(np.float32))
    step, here = own - plate, canvas - plate
    contrast = np.square(step).sum(-1)
    share = (here * step).sum(-1) / np.maximum(contrast, 1)
    off = np.linalg.norm(here - share[..., None] * step, axis=-1)
    plain = (contrast > _CONTRAST**2) & (off < _OFF_LINE) & (inner == 0)
    least = np.where(plain, np.clip(share, 0, 1), 1).astype(np.float32)
    return np.minimum(alpha, cv2.GaussianBlur(least, (0, 0), 0.6))


def without_mirrored(
    alpha: Float[np.ndarray, "h w"], landmarks: Float[np.ndarray, "478 3"], pad: int
) -> Float[np.ndarray, "h w"]:
    """The matte without what the canvas's border of `pad` pixels mirrors of a person who does not
    reach the picture's edge there: a second head of hair above the first.
    """
    oval = landmarks[FACE_OVAL, :2].astype(np.int32)
    face = np.asarray(cv2.fillPoly(np.zeros(alpha.shape, np.uint8), [oval], 1), np.uint8)
    own = component((alpha > _SOLID).astype(np.uint8), face)
    own[pad:-pad, pad:-pad] = 1
    return np.asarray(alpha * own, np.float32)


def clean_front(
    canvas: UInt8[np.ndarray, "h w 3"],
    plate: Float[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The person's own colours where the photo mixes them with the background,
    I = a F + (1 - a) B, and where they are sure.
    """
    image, a = canvas.astype(np.float32), alpha[..., None]
    sure = cv2.erode((alpha > _SURE).astype(np.float32), np.ones((3, 3), np.uint8))
    spread = push_pull(image, sure)
    own = np.clip((image - (1 - a) * plate) / np.maximum(a, 0.02), 0, 255)
    return np.where(a >= 0.02, own, spread).astype(np.float32), sure.astype(np.float32)


def rimless(
    own: Float[np.ndarray, "h w 3"],
    plate: Float[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w 3"]:
    """The person's colours without the light or the shade of the background along their edge, where
    the matte took a mixture for their own: what is nearer to the background than the colours within
    gets those, and so does what hardly shows.
    """
    sure = cv2.erode((alpha >= _SURE).astype(np.float32), np.ones((5, 5), np.uint8))
    spread = push_pull(own, sure)
    away, wanted = (np.linalg.norm(x - plate, axis=-1) for x in (own, spread))
    mixed = ((away < wanted) | (alpha < _HARDLY)) & (sure == 0)
    return np.asarray(np.where(mixed[..., None], spread, own), np.float32)


def without_rim(layers: Layers) -> Layers:
    """The same person in the colours of `rimless`. Before their own background nobody sees it."""
    front, torso = (np.dstack([layers.within, x[..., 3]]) for x in (layers.front, layers.torso))
    return replace(layers, front=front, torso=torso)


def make_layers(
    canvas: UInt8[np.ndarray, "h w 3"],
    plate: Float[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"],
    follows: Float[np.ndarray, "h w"],
    face: UInt8[np.ndarray, "h w"],
    to_edge: Float[np.ndarray, "h w"],
    ears: tuple[int, int],
) -> Layers:
    """`plate` and `alpha` see make_plate. `follows` is how much of the head's motion each pixel
    takes over, `face` 1 inside the face's outline, `to_edge` pixels to the person's outline from
    within; between the rows `ears` the outline shows nothing of what is behind.
    """
    front, sure = clean_front(canvas, plate, alpha)
    within = rimless(front, plate, alpha)
    radius = max(float(to_edge.max()), 1.0)
    band = np.clip(1 - to_edge / (_RIM * radius), 0, 1) * (to_edge > 0)
    known = (band > 0.3).astype(np.float32) * sure
    columns = np.nonzero(face.any(0))[0]
    middle, wide = int(columns.mean()), len(columns) // 2
    known[:, : max(0, columns[0] - wide)] = known[:, columns[-1] + wide :] = 0  # somebody else
    crown = int(np.argmax(to_edge[:, middle] > 0))
    # Ears of a head that is turned or bowed lie higher than brows.
    ears = (min(ears[0], round(crown + _CROWN * (ears[0] - crown))), ears[1])
    known[ears[1] :] = 0  # a neck, shoulders, and what they wear
    hairy = _hairy(canvas, known, face)
    known = known * hairy
    behind = _without_ears(within, known, ears, middle)
    hair, beyond = _at_hairline(push_pull(behind, known), ears)
    y = np.arange(len(front), dtype=np.float32)
    tall = max(1.0, ears[1] - ears[0])
    below = np.clip((y - ears[1]) / (_HAIR_ENDS * tall) + 1, 0, 1)
    k = (np.clip(band * 2, 0, 1) * beyond[:, None] * hairy)[..., None]
    back = within * k + hair * (1 - k)
    back += (_nape(front, sure, to_edge, radius) - back) * below[:, None, None]
    stays = (follows < 0.06) & (face == 0)
    fade = np.where(face > 0, 1, np.clip((follows - 0.015) / 0.03, 0, 1))
    return Layers(
        _bytes(np.dstack([front, alpha * fade * 255])),
        _bytes(np.dstack([back, fade * 255])),
        _bytes(np.dstack([front, alpha * stays * 255])),
        _bytes(plate),
        _bytes(within),
    )


def _hairy(
    canvas: UInt8[np.ndarray, "h w 3"],
    rim: Float[np.ndarray, "h w"],
    face: UInt8[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w"]:
    """Where a head's `rim` has not the skin's colour: of an ear or a temple the back of a head has
    nothing. Of who has hardly any hair it is what is least like skin, stubble or shade.
    """
    away = _off_skin(canvas, face)
    among = away[rim > 0]
    least = min(1.0, float(np.quantile(among, 1 - _HAIRY))) if len(among) else 0.0
    return np.asarray(cv2.blur((away >= least).astype(np.float32), (5, 5)), np.float32)


def _nape(
    front: Float[np.ndarray, "h w 3"],
    sure: Float[np.ndarray, "h w"],
    to_edge: Float[np.ndarray, "h w"],
    radius: float,
) -> Float[np.ndarray, "h w 3"]:
    """The skin of a neck in the shade, as it is well within its outline, where no light of the
    background falls on it.
    """
    within = (to_edge > _WITHIN[0] * radius) & (to_edge < _WITHIN[1] * radius)
    return _SHADE * push_pull(front, within * sure)


def _without_ears(
    image: Float[np.ndarray, "h w 3"],
    known: Float[np.ndarray, "h w"],
    ears: tuple[int, int],
    middle: int,
) -> Float[np.ndarray, "h w 3"]:
    """The picture with the colours from above the ears in the shade, left and right of the head's
    `middle`, where it shows ears.
    """
    top, bottom = ears
    above = np.s_[max(0, top - (bottom - top) // 2) : top]
    out = image.copy()
    for side in (np.s_[:middle], np.s_[middle:]):
        sure = known[above, side] > 0
        if sure.any():
            out[top:bottom, side] = np.quantile(image[above, side][sure], _SHADED, axis=0)
    return out


def _at_hairline(
    back: Float[np.ndarray, "h w 3"], ears: tuple[int, int]
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h"]]:
    """The back of a head with a soft border between hair and nape; and how far its rows are beyond
    those of the ears, 0..1.
    """
    top, bottom = ears
    soft = max(1.0, _HAIRLINE * (bottom - top))
    y = np.arange(len(back), dtype=np.float32)
    share = np.exp(-(((y - bottom) / (3 * soft)) ** 2))[:, None, None]
    drawn = cv2.GaussianBlur(back, (0, 0), sigmaX=1.0, sigmaY=soft)
    beyond = np.clip(np.maximum(top - y, y - bottom) / (3 * soft), 0, 1)
    return back + share * (drawn - back), beyond


def _bytes(x: np.ndarray) -> UInt8[np.ndarray, "..."]:
    return np.clip(np.round(x), 0, 255).astype(np.uint8)
