"""The skin of a head out of one photo: what it shows from the front, the rest from its colours.

A texture goes once around the head. Where the skin faces the camera its colours are the photo's
own; what the photo does not show is filled smoothly from what it does, the back of the head with
the colour of the hair.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from motion2video.geometry.basis import FACE_OVAL, interocular
from motion2video.portrait.fills import push_pull
from motion2video.portrait.layers import clean_front, make_plate
from motion2video.portrait.portrait import Portrait

WIDTH, HEIGHT = 1536, 768
_SHIFT = 4  # fractional bits of cv2's polygon coordinates
_AROUND = 192  # columns that are filled beyond the seam
_EDGE, _SURE = 0.25, 0.65  # cosines of the skin's turn away from the camera: unseen, well seen
_INSIDE = 0.9  # of the matte: this is the person
_RIM = 0.03  # interocular distances within the matte's edge, where the background shows through
_UNSEEN = 0.02  # weight below which a colour is guessed
_APART = 24  # texture pixels between what is seen and what is guessed
# Down to what share of the height hair grows, from behind the ears to the temples and the brow,
# and where the neck begins. By the cosine of the turn from the front.
_HAIRLINE = ([-0.5, -0.3, 0.1, 0.3, 0.7], [0.58, 0.36, 0.36, 0.3, 0.1])
_NAPE = 0.64
_FOREHEAD, _CHIN, _CHEEKS = 10, 152, (50, 280)


@dataclass(frozen=True, eq=False)
class Skin:
    """The skin under the photo: every point's place there (pixels, z away from the camera), its
    normal there, its place in the texture (u around, v from the top, 0..1), and the triangles.
    """

    places: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "n 2"]
    triangles: Int[np.ndarray, "m 3"]


def bake(portrait: Portrait, skin: Skin) -> UInt8[np.ndarray, "768 1536 3"]:
    """The texture of a photo's head. Without a matte the photo's face is all that is used."""
    colours, trust, hair = _seen(portrait)
    height, width = trust.shape
    where, known = _drawn(skin)
    grid = where[..., :2]
    painted = cv2.remap(colours, grid, None, cv2.INTER_LINEAR)  # pyrefly: ignore[no-matching-overload]
    sure = cv2.remap(trust, grid, None, cv2.INTER_LINEAR)  # pyrefly: ignore[no-matching-overload]
    inside = (grid > 1).all(-1) & (grid[..., 0] < width - 2) & (grid[..., 1] < height - 2)
    facing = np.clip((where[..., 2] - _EDGE) / (_SURE - _EDGE), 0, 1)
    weight = (facing * facing * (3 - 2 * facing) * sure * (inside & known)).astype(np.float32)
    grown, skinny = _guesses(portrait, hair)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    turned = -np.cos(2 * np.pi * columns / WIDTH)  # 1 in front, -1 at the back
    free = cv2.distanceTransform((weight < _UNSEEN).astype(np.uint8), cv2.DIST_L2, 3) > _APART
    hairline = np.interp(turned, *_HAIRLINE) * HEIGHT
    crown, nape = free & (rows < hairline), free & (turned < -0.4) & (rows > _NAPE * HEIGHT)
    painted[crown] = (grown + _strands(portrait, hair))[crown]
    painted[nape] = skinny
    return _filled(painted, np.where(crown | nape, 1, weight).astype(np.float32))


def _seen(portrait: Portrait) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The person's own colours, where they are the person's (0..1), and where the hair is."""
    marks, image = portrait.face.landmarks, portrait.image
    oval = cv2.fillPoly(
        np.zeros(image.shape[:2], np.uint8), [marks[FACE_OVAL, :2].astype(np.int32)], 1
    )
    alpha = portrait.matte
    if alpha is None:
        soft = cv2.erode(oval, np.ones((5, 5), np.uint8)).astype(np.float32)
        return image.astype(np.float32), soft, np.zeros(oval.shape, bool)
    unit = float(interocular(marks * np.array([1, 1, 0], np.float32)))
    plate, alpha = make_plate(image, alpha, unit)
    front, _ = clean_front(image, plate, alpha)
    alpha = cv2.erode(alpha, np.ones((2 * round(_RIM * unit) + 1,) * 2, np.uint8))
    rows = np.arange(image.shape[0])[:, None]
    above = rows < marks[_FOREHEAD, 1] - 0.1 * unit
    return front, np.clip(alpha * 4 - 3, 0, 1), (alpha > _INSIDE) & (oval == 0) & above


def _guesses(
    portrait: Portrait, hair: np.ndarray
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Colours of the hair and of the neck."""
    marks, image = portrait.face.landmarks, portrait.image
    height, width = image.shape[:2]
    x, y = np.clip(marks[list(_CHEEKS), :2].round().astype(int), 0, [width - 1, height - 1]).T
    skin = image[y, x].mean(0)
    grown = np.median(image[hair], 0) if hair.any() else skin
    return grown.astype(np.float32), (0.8 * skin).astype(np.float32)


def _strands(portrait: Portrait, hair: np.ndarray) -> Float[np.ndarray, "768 1536 1"]:
    """Lights and shades along combed hair, as strong as those in the photo; none without hair."""
    if not hair.any():
        return np.zeros((HEIGHT, WIDTH, 1), np.float32)
    grey = cv2.cvtColor(portrait.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = (grey - cv2.GaussianBlur(grey, (0, 0), 4))[hair].std()
    noise = np.random.default_rng(0).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.2, sigmaY=24)
    return (noise * (fine / noise.std()))[..., None]


def _drawn(skin: Skin) -> tuple[Float[np.ndarray, "768 1536 3"], np.ndarray]:
    """For every place of the texture where in the photo it comes from and how much it faces the
    camera; and whether it may. What lies farther out is drawn last.
    """
    at = skin.uv * np.array([WIDTH, HEIGHT]) - 0.5
    values = np.column_stack([skin.places[:, :2], -skin.normals[:, 2]]).astype(np.float32)
    middle = skin.places.mean(0)
    out = np.linalg.norm((skin.places - middle)[:, [0, 2]], axis=1)[skin.triangles].mean(1)
    ids = np.full((HEIGHT, WIDTH + _AROUND), -1, np.int32)
    corners = np.round(at[skin.triangles] * 2**_SHIFT).astype(np.int32)
    for number in np.argsort(out):
        cv2.fillConvexPoly(ids, corners[number], int(number), shift=_SHIFT)
    ids[:, :_AROUND] = np.where(ids[:, :_AROUND] < 0, ids[:, WIDTH:], ids[:, :_AROUND])
    seen = np.take(values[:, 2], skin.triangles).max(1) > _EDGE
    ids = ids[:, :WIDTH]
    y, x = np.nonzero((ids >= 0) & seen[ids])
    triangles = skin.triangles[ids[y, x]]
    inside = at.astype(np.float32)[triangles]
    places = np.stack([x, y], 1).astype(np.float32)
    places[:, 0] += np.where(inside[:, :, 0].mean(1) - x > WIDTH / 2, WIDTH, 0)
    where = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    known = np.zeros((HEIGHT, WIDTH), bool)
    where[y, x] = (_barycentric(inside, places)[:, :, None] * values[triangles]).sum(1)
    known[y, x] = True
    return where, known


def _barycentric(
    corners: Float[np.ndarray, "n 3 2"], places: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 3"]:
    """Shares of a triangle's corners in places in it; of a sliver any will do."""
    a, b, p = (
        corners[:, 1] - corners[:, 0],
        corners[:, 2] - corners[:, 0],
        places - corners[:, 0],
    )
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = np.where(np.abs(area) < 1e-6, 1e-6, area)
    v = (p[:, 0] * b[:, 1] - p[:, 1] * b[:, 0]) / area
    w = (a[:, 0] * p[:, 1] - a[:, 1] * p[:, 0]) / area
    shares = np.clip(np.stack([1 - v - w, v, w], 1), 0, 1)
    return shares / shares.sum(1, keepdims=True)


def _filled(
    colours: Float[np.ndarray, "h w 3"], weight: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Colours where there are some, and smooth ones between them, once around."""
    wide = [np.concatenate([a[:, -_AROUND:], a, a[:, :_AROUND]], 1) for a in (colours, weight)]
    smooth = push_pull(wide[0], wide[1])[:, _AROUND:-_AROUND]
    k = np.clip(weight, 0, 1)[..., None]
    return np.clip(np.round(colours * k + smooth * (1 - k)), 0, 255).astype(np.uint8)
