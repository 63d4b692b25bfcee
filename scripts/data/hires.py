"""PACK/hires: sharp faces, with open mouths, big smiles and clips of turning heads.

`index.csv` has a row a picture: `image`, `group` (whose it is), `kind` (generated, clip, real),
`open_ratio`; `tracks.npz` in the same order landmarks, tracker scores and rotation; `images.zip`
the pictures.
"""

import csv
import hashlib
import io
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

HELD_OUT = 4
"""One clip in so many, by the hash of its name, is never trained on."""


def number_of(name: str, count: int) -> int:
    """A number below `count`, by the hash of a name."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % count


def held_out(group: str) -> bool:
    """Whether a clip is for judging alone."""
    return number_of(group, HELD_OUT) == 0


def chooses(group: str) -> bool:
    """Whether settings are chosen on a clip instead of anything being trained on it."""
    return number_of(group, 12) in (1, 6)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with its landmarks (pixels) and tracker scores."""

    image: UInt8[np.ndarray, "h w 3"]
    landmarks: Float[np.ndarray, "478 3"]
    scores: Float[np.ndarray, "52"]


class Hires:
    """PACK/hires, picture by picture."""

    def __init__(self, pack: Path) -> None:
        folder = pack / "hires"
        with (folder / "index.csv").open(newline="", encoding="utf8") as file:
            self.rows = list(csv.DictReader(file))
        self._tracks = dict(np.load(folder / "tracks.npz"))
        self._archive = zipfile.ZipFile(folder / "images.zip")
        self._names = {Path(name).name: name for name in self._archive.namelist()}

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """The i-th row's, of an even width and height."""
        data = self._archive.read(self._names[Path(self.rows[i]["image"]).name])
        image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        height, width = (n - n % 2 for n in image.shape[:2])
        return np.ascontiguousarray(image[:height, :width])

    def picture(self, i: int) -> Picture:
        """The i-th row's."""
        return Picture(self.image(i), *self.tracked(i))

    def tracked(self, i: int) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "52"]]:
        """Landmarks (pixels) and tracker scores of the i-th row's."""
        landmarks, scores = (
            self._tracks[k][i].astype(np.float32) for k in ("landmarks", "blendshapes")
        )
        return landmarks, scores

    def rotation(self, i: int) -> Float[np.ndarray, "3"]:
        """Head rotation, radians."""
        return self._tracks["rotation"][i].astype(np.float32)

    def open_ratio(self, i: int) -> float:
        """Inner-lip gap over mouth width."""
        return float(self.rows[i]["open_ratio"])

    def couples(self) -> dict[str, dict[str, int]]:
        """Of the London Set's people, by number, the rows of their `neutral` and `smiling` face."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for i, row in enumerate(self.rows):
            if row["kind"] == "real":
                _, number, state = Path(row["image"]).stem.split("_")
                found[number][state] = i
        return dict(found)
