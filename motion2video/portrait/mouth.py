"""What is behind a person's lips: rows of teeth with their gums, the tongue and the dark behind.

The strips come from the ICT head (role `mouth`), in the head frame of `FaceBasis`: upper teeth are
fixed to the skull, lower teeth and tongue to the jaw. They are laid behind the lips of the photo's
person, in the photo's light; where the photo shows teeth, these are theirs.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from motion2video.geometry.basis import HeadPose, fit_pose, interocular
from weights.tensors import load_safetensors

STRIPS = ("tongue", "lower", "upper")  # from the back to the front
_CHIN = [152, 148, 377, 175, 199]
_CORNERS, _SEAM = [78, 308], [13, 14]
_INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178]
_INNER_LIPS += [88, 95]
_OUTER_LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181]
_OUTER_LIPS += [91, 146]
_EYES = ([33, 160, 158, 133, 153, 144], [362, 385, 387, 263, 373, 380])
_SIZE = 1.07  # of people's teeth, of the ICT head's, in eye distances; however wide their mouths
_HANGS = 0.04  # eye distances by which people's upper teeth are lower than the ICT head's
_SINKS, _SUNK = 0.035, 0.08
"""How much lower people's lower teeth are than the ICT head's, which stand above their lips, once
the jaw has opened so far of ICT's wide; teeth that meet stay where they meet."""
_FRONT = 0.25  # of half a row of teeth
_STAND = 0.14  # eye distances by which lower teeth stand above the lower lip, at most
_SLACK = 0.05  # of ICT's wide open jaw: a chin's skin goes this far before the teeth part
_JAW = (-0.03, 1.2)  # how far a jaw goes, of ICT's wide open
_ASIDE = 0.08  # how far it goes to a side, eye distances
_COMMON = np.array([[0.68, 0.66, 0.65], [0.6, 0.35, 0.35], [0.65, 0.5, 0.43]], np.float32)
"""The whitest of the eyes, lips, and skin about the mouth, where a photo does not say."""
_BLACK = 2 / 255
_SKIN = [199, 164, 205, 425]  # about the mouth
_PATCH = 0.06  # eye distances
_GAPS, _USUAL, _WIDE = (0.06, 0.18, 0.32), 0.8, (0.65, 1.02)
"""Of lips that are hardly, well and far open; the usual width of mouths, and how narrow and wide
they count; in eye distances.
"""
_RAISED, _LET_IN = 0.06, 0.8
"""Eye distances by which an upper lip is raised that shades teeth so much less."""
FOOT = 8.0
"""Grey levels that are added before light is multiplied: the dark is never quite black."""
_BRIGHTEST = 90  # per cent of a row's teeth are darker than those that are called its white
_LOWER = np.float32(0.8)  # of the light of upper teeth falls on lower ones
_LIFTED = 0.6  # power of the model's light: people's gaps between teeth are not black, as ICT's are
_GUM = np.array([0.78, 0.60, 0.60], np.float32)  # of the lips' own colour
_TONGUE = np.array([0.92, 0.80, 0.80], np.float32)
_DARK = np.array([0.40, 0.27, 0.27], np.float32)
_SEARCH = (-0.06, 0.12, 0.01)  # eye distances: first, end and step of how low teeth may hang
_SHOWS = 0.035  # eye distances between lips from which a photo shows teeth
_EDGE = 0.012  # eye distances beside the lips that are not yet teeth


@dataclass(frozen=True, eq=False)
class Strip:
    """A grid of `points` [n, 3] in the head frame, `jaw` their way at ICT's wide open jaw (0 on the
    skull), its `triangles`, and the `places` of the points in its `texture` (RGB and whether
    anything is there), of which some is `tooth`.
    """

    points: Float[np.ndarray, "n 3"]
    jaw: Float[np.ndarray, "n 3"]
    triangles: Int[np.ndarray, "m 3"]
    places: Float[np.ndarray, "n 2"]
    texture: UInt8[np.ndarray, "h w 4"]
    tooth: Bool[np.ndarray, "h w"]

    def front(self) -> Bool[np.ndarray, "n"]:
        """Which points are the foremost of the first row."""
        x, y = self.places.T
        middle = (self.texture.shape[1] - 1) / 2
        return (y == 0) & (np.abs(x - middle) < _FRONT * middle)


@dataclass(frozen=True, eq=False)
class Teeth:
    """Teeth that a photo shows: where (`mask`, 0..1), and the colour of the brightest, 0..255."""

    mask: Float[np.ndarray, "h w"]
    white: Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class Mouth:
    """The inside of a person's mouth; `rest` are the 478 points of the face with the lips shut, in
    the head frame, `chin` the way of the chin at ICT's wide open jaw, `dark` the colour behind all,
    `light` how much reaches what is where (`PosedMouth.lights`).
    """

    rest: Float[np.ndarray, "478 3"]
    chin: Float[np.ndarray, "3"]
    strips: tuple[Strip, ...]
    dark: UInt8[np.ndarray, "3"]
    light: Float[np.ndarray, "4 7 3"]

    @staticmethod
    def fit(
        image: UInt8[np.ndarray, "h w 3"],
        landmarks: Float[np.ndarray, "478 3"],
        neutral: Float[np.ndarray, "478 3"],
        own_teeth: bool = True,
    ) -> "Mouth":
        """Behind the lips of a photo. `neutral` is the person's face with shut lips in the head
        frame; without `own_teeth` the photo's mouth may be anything.
        """
        tensors, _ = load_safetensors("mouth")
        mouth = Mouth.amid(around_teeth(image, landmarks), neutral, tensors)
        gap = float(np.linalg.norm(landmarks[_SEAM[0]] - landmarks[_SEAM[1]]))
        if own_teeth and gap > _SHOWS * float(interocular(landmarks)):
            return mouth.like(image, landmarks)
        return mouth

    @staticmethod
    def amid(
        around: Float[np.ndarray, "3 3"],
        neutral: Float[np.ndarray, "478 3"],
        tensors: Mapping[str, np.ndarray],
    ) -> "Mouth":
        """The mouth of a file's `tensors` behind a face's lips, amid colours as `around_teeth` has
        them.
        """
        lips = tensors["lips"]
        shift = _middle(neutral) - _SIZE * _middle(lips)
        skin, white = around[1], white_of(around, tensors["white"])
        colours = {
            "upper": (white, skin * _GUM),
            "lower": (white * _LOWER, skin * _GUM),
            "tongue": (skin * _TONGUE, skin * _TONGUE),
        }
        strips = []
        for name in STRIPS:
            points = (_SIZE * tensors[f"{name}_points"] + shift).astype(np.float32)
            if name == "upper":
                points[..., 1] -= _HANGS
            rows, columns = points.shape[:2]
            baked = tensors[f"{name}_texture"]
            texture = _coloured(baked, *colours[name])
            h, w = texture.shape[:2]
            at = np.meshgrid(np.linspace(0, w - 1, columns), np.linspace(0, h - 1, rows))
            strip = Strip(
                points.reshape(-1, 3),
                _SIZE * tensors[f"{name}_jaw"].reshape(-1, 3),
                _triangles(rows, columns),
                np.stack(at, -1).reshape(-1, 2).astype(np.float32),
                texture,
                (baked[..., 1] > 127) & (baked[..., 2] > 127),
            )
            strips.append(_whitened(strip, colours[name][0] * 255))
        dark = np.clip(skin * _DARK * 255, 0, 255).astype(np.uint8)
        chin = _SIZE * tensors["jaw_468"][_CHIN].mean(0)
        return Mouth(neutral, chin.astype(np.float32), tuple(strips), dark, tensors["light"])

    def posed(self, landmarks: Float[np.ndarray, "478 3"]) -> "PosedMouth":
        """The mouth behind the lips of a picture."""
        return PosedMouth(self, landmarks, fit_pose(landmarks[None], self.rest))

    def hung(self, lower: float) -> "Mouth":
        """The same with the upper teeth so many eye distances lower."""
        *rest, upper = self.strips
        points = upper.points - np.array([0, lower, 0], np.float32)
        moved = dataclasses.replace(upper, points=points)
        return dataclasses.replace(self, strips=(*rest, moved))

    def lit(self, gain: Float[np.ndarray, "3"]) -> "Mouth":
        """The same in another light."""
        strips = []
        for strip in self.strips:
            colour = np.clip(strip.texture[..., :3] * gain, 0, 255).round().astype(np.uint8)
            texture = np.dstack([colour, strip.texture[..., 3]])
            strips.append(dataclasses.replace(strip, texture=texture))
        return dataclasses.replace(self, strips=tuple(strips))

    def like(
        self, image: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 3"]
    ) -> "Mouth":
        """The same with the teeth that a photo shows between its lips."""
        teeth = teeth_in(image, landmarks, between_lips(image.shape[:2], landmarks))
        if teeth is None:
            return self
        mouth, colours = self._hung(landmarks, teeth.mask), image.astype(np.float32)
        posed, strips = mouth.posed(landmarks), []
        white = _unlit(teeth.white, posed.lights(landmarks[_SEAM, :2].mean(0)[None])[0])
        for name, strip, points in zip(STRIPS, mouth.strips, posed.placed(), strict=True):
            if name != "tongue":
                places = _texels(strip, points)
                light = posed.lights(places.reshape(-1, 2)).reshape(*places.shape[:2], 3)
                seen = _unlit(_sampled(colours, places), light)
                strip = _with_teeth(strip, seen, _sampled(teeth.mask, places), white)
            strips.append(strip)
        return dataclasses.replace(mouth, strips=tuple(strips))

    def _hung(
        self, landmarks: Float[np.ndarray, "478 3"], mask: Float[np.ndarray, "h w"]
    ) -> "Mouth":
        """The upper teeth as high as they are where a photo's `mask` shows teeth."""
        upper, pose = self.strips[-1], self.posed(landmarks).pose
        there, scores = upper.tooth, {}
        for lower in np.arange(*_SEARCH):
            points = self.hung(lower).strips[-1].points
            seen = _sampled(mask, _texels(upper, pose.project(points[None])[0]))
            # Teeth on teeth count for it, gum and what is below the edge against it.
            scores[float(lower)] = float(seen[there].sum() - seen[~there].sum())
        return self.hung(max(scores, key=lambda lower: scores[lower]))


@dataclass(frozen=True, eq=False)
class PosedMouth:
    """A mouth behind the lips of a picture with `landmarks` [478, 3]; `pose` is the skull's."""

    mouth: Mouth
    landmarks: Float[np.ndarray, "478 3"]
    pose: HeadPose

    def _at(self, which: list[int]) -> Float[np.ndarray, "n 3"]:
        return self.pose.unproject(self.landmarks[None, which])[0]

    def placed(self) -> tuple[Float[np.ndarray, "n 3"], ...]:
        """Of every strip the points in the picture."""
        mouth = self.mouth
        chin = self._at(_CHIN).mean(0) - mouth.rest[_CHIN].mean(0)
        opened = float(chin @ mouth.chin / (mouth.chin @ mouth.chin))
        opened = float(np.clip(opened - _SLACK * min(1.0, max(opened, 0) / _SLACK), *_JAW))
        aside = np.array([np.clip(chin[0] - opened * mouth.chin[0], -_ASIDE, _ASIDE), 0, 0])
        moved = [strip.points + _moved(strip.jaw, opened, aside) for strip in mouth.strips]
        lower = STRIPS.index("lower")
        stand = moved[lower][mouth.strips[lower].front(), 1].mean() - self._at(_SEAM)[1, 1]
        sunk = max(_SINKS * np.clip(opened / _SUNK, 0, 1), float(stand) - _STAND)
        for name in ("lower", "tongue"):
            moved[STRIPS.index(name)] -= np.array([0, sunk, 0])
        return tuple(self.pose.project(points[None])[0].astype(np.float32) for points in moved)

    def of_light(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 28"]:
        """What the light at `points` between the lips depends on: where they are, and that times
        how far the lips are open, and how wide.
        """
        one, other = self._at(_CORNERS)
        wide = float(np.linalg.norm(one - other))
        gap = float(np.linalg.norm(self.landmarks[_SEAM[0]] - self.landmarks[_SEAM[1]]))
        gap /= float(interocular(self.landmarks))
        opened = np.interp(gap, _GAPS, [0, 1, 2])
        terms = [max(0.0, 1 - abs(opened - k)) for k in range(3)]
        terms.append(float(np.clip(wide, *_WIDE)) / _USUAL - 1)
        across, down = _between_lips(self.landmarks[_INNER_LIPS, :2], points)
        grown = np.stack(
            [np.ones_like(down), down, down**2, down**3, across, across**2, across * down], -1
        )
        return np.concatenate([grown * np.float32(term) for term in terms], -1)

    def lights(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
        """How much light reaches `points`: lips that are pushed forward leave teeth in the dark
        (scripts/train/teeth.py), a raised one lets light in.
        """
        up = self._at(_SEAM)[0, 1] - self.mouth.rest[_SEAM[0], 1]
        shade = self.of_light(points) @ self.mouth.light.reshape(-1, 3)
        return np.exp((1 - _LET_IN * float(np.clip(up / _RAISED, 0, 1))) * shade)


def _texels(strip: Strip, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "h w 2"]:
    """Where in a picture each place of a strip's texture lies, its points being there."""
    h, w = strip.texture.shape[:2]
    rows = len(np.unique(strip.places[:, 1]))
    grid = points[:, :2].reshape(rows, -1, 2).astype(np.float32)
    xs, ys = np.linspace(0, grid.shape[1] - 1, w), np.linspace(0, rows - 1, h)
    return _sampled(grid, np.stack(np.meshgrid(xs, ys), -1).astype(np.float32))


def _sampled(image: np.ndarray, places: Float[np.ndarray, "h w 2"]) -> np.ndarray:
    nothing: Any = None  # cv2's type stubs do not know that a two-channel map needs no second
    return cv2.remap(image, places, nothing, cv2.INTER_LINEAR)


def _moved(
    jaw: Float[np.ndarray, "n 3"], opened: float, aside: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "n 3"]:
    return jaw * opened + aside if np.abs(jaw).max() > 0.01 else 0 * jaw


def _middle(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """The middle of shut lips."""
    seam = points[_SEAM].mean(0)
    return np.array([points[_CORNERS, 0].mean(), seam[1], seam[2]], np.float32)


def _triangles(rows: int, columns: int) -> Int[np.ndarray, "m 3"]:
    """Of a grid of points, from the ends of its rows to the middle: nearer ones come later."""
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b = number[:-1, :-1].ravel(), number[:-1, 1:].ravel()
    c, d = number[1:, :-1].ravel(), number[1:, 1:].ravel()
    pairs = np.stack([np.stack([a, b, c], 1), np.stack([b, d, c], 1)], 1)
    away = np.abs(np.arange(columns - 1) - (columns - 2) / 2)
    order = np.argsort(-np.tile(away, rows - 1), kind="stable")
    return pairs[order].reshape(-1, 3)


def _coloured(
    texture: UInt8[np.ndarray, "h w 3"],
    tooth: Float[np.ndarray, "3"],
    gum: Float[np.ndarray, "3"],
) -> UInt8[np.ndarray, "h w 4"]:
    """RGB and whether anything is there, from (light, share of tooth, there)."""
    light, share = (texture[..., k, None].astype(np.float32) / 255 for k in (0, 1))
    colour = light**_LIFTED * (share * tooth + (1 - share) * gum)
    out = np.dstack([colour * 255, texture[..., 2]])
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def _ring(
    landmarks: Float[np.ndarray, "478 3"], shape: tuple[int, ...]
) -> UInt8[np.ndarray, "h w"]:
    """1 on the lips."""
    plane = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(plane, [landmarks[_OUTER_LIPS, :2].astype(np.int32)], 1)
    cv2.fillPoly(plane, [landmarks[_INNER_LIPS, :2].astype(np.int32)], 0)
    return plane


def _between_lips(
    lips: Float[np.ndarray, "20 2"], points: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """How far points are from the middle of a mouth towards its corners, and from its upper to its
    lower lip, 0..1.
    """
    middle, way = (lips[0] + lips[10]) / 2, (lips[10] - lips[0]) / 2
    along = way / max(float(way @ way), 1e-6)
    down = np.array([-along[1], along[0]])
    marks = np.stack([(lips - middle) @ along, (lips - middle) @ down], 1)
    x, y = ((points - middle) @ axis for axis in (along, down))
    upper, lower = (
        np.interp(x, *part[part[:, 0].argsort()].T)
        for part in (marks[:11], marks[[10, *range(11, 20), 0]])
    )
    share = (y - upper) / np.maximum(lower - upper, 1e-3)
    return np.abs(x).clip(0, 1).astype(np.float32), share.clip(0, 1).astype(np.float32)


def between_lips(
    shape: tuple[int, ...], landmarks: Float[np.ndarray, "478 3"]
) -> Bool[np.ndarray, "h w"]:
    """Where a picture shows what is between the lips, but for its edge."""
    inside = np.zeros(shape[:2], np.uint8)
    inner = np.round(landmarks[_INNER_LIPS, :2] * 16).astype(np.int32)
    cv2.fillPoly(inside, [inner], 255, shift=4)
    edge = max(1, round(_EDGE * float(interocular(landmarks))))
    return cv2.erode(inside, np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)) > 0


def teeth_in(
    image: UInt8[np.ndarray, "h w 3"],
    landmarks: Float[np.ndarray, "478 3"],
    inside: Bool[np.ndarray, "h w"],
) -> Teeth | None:
    """The teeth that a photo shows `inside` the lips, if there are enough: bright among what is
    there, and less coloured than the lips.
    """
    if not inside.any():
        return None
    unit, colours = float(interocular(landmarks)), image.astype(np.float32)
    bright, spread = colours.max(-1), colours.max(-1) - colours.min(-1)
    lips = colours[_ring(landmarks, image.shape[:2]) > 0]
    lip_like = float(np.median(lips.max(-1) - lips.min(-1))) if len(lips) else 80.0
    top = float(np.percentile(bright[inside], 95))
    tooth = np.clip((bright / max(top, 1) - 0.45) / 0.2, 0, 1)
    tooth *= np.clip((0.9 * lip_like - spread) / max(0.25 * lip_like, 4), 0, 1)
    mask = cv2.GaussianBlur(tooth * inside, (0, 0), max(0.6, 0.008 * unit))
    if top < 60 or float((mask > 0.5).sum()) < 0.01 * unit * unit:
        return None
    brightest = colours[(mask > 0.5) & (bright > 0.8 * top)]
    white = np.median(brightest, axis=0) if len(brightest) else np.full(3, top)
    return Teeth(mask, white.astype(np.float32))


def around_teeth(
    image: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "3 3"]:
    """Colours 0..1 of a photo that tell of its light and of who is in it: the whitest of the eyes,
    the lips, the skin about the mouth.
    """
    plane = np.zeros(image.shape[:2], np.uint8)
    for eye in _EYES:
        cv2.fillPoly(plane, [landmarks[eye, :2].astype(np.int32)], 1)
    eyes, white = image[plane > 0].astype(np.float32), _COMMON[0]
    if len(eyes):
        grey = eyes.mean(1)
        white = eyes[grey >= np.percentile(grey, 85)].mean(0) / 255
    lips = image[_ring(landmarks, image.shape) > 0].astype(np.float32)
    lip = np.median(lips, 0) / 255 if len(lips) else _COMMON[1]
    reach = max(2, int(_PATCH * float(interocular(landmarks))))
    patches = []
    for x, y in landmarks[_SKIN, :2].astype(int).tolist():
        rows, columns = (slice(max(0, at - reach), max(0, at + reach)) for at in (y, x))
        patch = image[rows, columns].reshape(-1, 3)
        patches.append(np.median(patch, 0) / 255 if len(patch) else _COMMON[2])
    return np.stack([white, lip, np.median(patches, 0)]).astype(np.float32)


def white_of(
    colours: Float[np.ndarray, "*n 3 3"], fitted: Float[np.ndarray, "10 3"]
) -> Float[np.ndarray, "*n 3"]:
    """The colour 0..1 of the brightest teeth, by the colours around them: linear in logarithms
    (scripts/train/teeth.py).
    """
    seen = np.log(np.clip(colours, _BLACK, 1)).reshape(*colours.shape[:-2], 9)
    return np.exp(np.minimum(seen @ fitted[:-1] + fitted[-1], 0)).astype(np.float32)


def _as_white(strip: Strip, white: Float[np.ndarray, "3"]) -> Float[np.ndarray, "h w 3"]:
    """A strip's colours with teeth the brightest of which are `white` (0..255)."""
    model, pale = strip.texture[..., :3].astype(np.float32), strip.tooth
    if not pale.any():
        return model
    gain = white / np.maximum(np.percentile(model[pale], _BRIGHTEST, axis=0), 1)
    return np.where(pale[..., None], model * gain, model)


def _whitened(strip: Strip, white: Float[np.ndarray, "3"]) -> Strip:
    colours = np.clip(_as_white(strip, white), 0, 255).round().astype(np.uint8)
    return dataclasses.replace(strip, texture=np.dstack([colours, strip.texture[..., 3]]))


def _unlit(colours: Float[np.ndarray, "*n 3"], light: Float[np.ndarray, "*n 3"]) -> np.ndarray:
    return (colours + FOOT) / light - FOOT


def _with_teeth(
    strip: Strip,
    seen: Float[np.ndarray, "h w 3"],
    mask: Float[np.ndarray, "h w"],
    white: Float[np.ndarray, "3"],
) -> Strip:
    """A strip with the teeth `seen` in a photo where its `mask` shows some, and their white
    elsewhere.
    """
    share = mask[..., None] * (strip.texture[..., 3:] > 127)
    mixed = _as_white(strip, white) * (1 - share) + seen * share
    texture = np.dstack([np.clip(mixed, 0, 255).round().astype(np.uint8), strip.texture[..., 3]])
    return dataclasses.replace(strip, texture=texture)
