"""What is compared: a motion at 25 frames a second, the voice that goes with it, and the video if
it is one; read from single files or from folders whose files have the same names.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.render.parts import Later
from app.render.reading import HERE
from app.render.request import Notify, Progress
from app.render.tracking import track_video
from audio2motion.hearing.audio import Sound
from motion2video.motion import FPS, Motion
from weights.errors import InputError

if TYPE_CHECKING:
    from motion2video.faces.tracker import FaceTracker

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
MOTIONS = (".npz",)
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".m4a")
PERSON = "__"
"""PERSON__CLIP is a clip of that person; without it every clip is somebody of their own."""
SHORTEST_S = 1.0


@dataclass(frozen=True, eq=False)
class Clip:
    """One side of a pair. `video` is None for a motion file, `voice` where nobody is heard."""

    name: str
    motion: Motion
    voice: Sound | None
    video: Path | None

    @property
    def person(self) -> str:
        """Whose it is."""
        return self.name.split(PERSON, 1)[0]


@dataclass(frozen=True)
class Pair:
    """Files that belong together; `other` is the same of a second system, `partner` the person they
    talk to.
    """

    name: str
    made: Path
    real: Path
    other: Path | None = None
    partner: Path | None = None


def find_pairs(
    made: Path, real: Path, other: Path | None = None, partner: Path | None = None
) -> list[Pair]:
    """The pairs of two files, or of two folders by the names of their files.

    Raises InputError where there is none, where one is a folder and the other is not, or where a
    file has no counterpart.
    """
    given = {"made": made, "real": real, "other": other, "partner": partner}
    there = {name: path for name, path in given.items() if path is not None}
    for name, path in there.items():
        if not path.exists():
            raise InputError(f"there is no file or folder {path} ({name})")
    if len({path.is_dir() for path in there.values()}) > 1:
        raise InputError("got files and folders mixed; give files, or folders with the same names")
    if not made.is_dir():
        return [Pair(made.stem, made, real, other, partner)]
    listed = {name: _files(path) for name, path in there.items()}
    names = sorted(listed["made"])
    if not names:
        raise InputError(f"there is no video or motion file in {made}")
    for name, files in listed.items():
        lacking = [n for n in names if n not in files]
        if lacking:
            raise InputError(
                f"{there[name]} has no counterpart of {lacking[0]} ({len(lacking)} are missing); "
                "give the files that belong together the same names"
            )
    return [Pair(n, **{k: files[n] for k, files in listed.items()}) for n in names]


def _files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (*VIDEOS, *MOTIONS):
            if path.stem in found:
                raise InputError(f"{folder} has two files of the name {path.stem}; keep one")
            found[path.stem] = path
    return found


def read_clip(
    path: Path, tracker: "Later[FaceTracker]", notify: Notify, progress: Progress | None = None
) -> Clip:
    """A video, tracked, or a motion file with the sound of the same name beside it, if any.

    Raises InputError for another kind of file or less than a second, and what tracking raises.
    """
    suffix, video = path.suffix.lower(), None
    if suffix in MOTIONS:
        motion = HERE.motion(path).resample(FPS)
        beside = [path.with_suffix(s) for s in SOUNDS if path.with_suffix(s).is_file()]
        voice = HERE.sound(beside[0]) if beside else None
    elif suffix in VIDEOS:
        video = path
        motion = track_video(path, tracker.get(), FPS, "largest", notify, progress)
        voice = HERE.sound(path) if HERE.info(path).audio_codec else None
    else:
        raise InputError(f"got {path}; wanted a video ({', '.join(VIDEOS)}) or a motion (.npz)")
    if motion.seconds < SHORTEST_S:
        raise InputError(f"{path} lasts {motion.seconds:.2f} s; wanted at least {SHORTEST_S:g} s")
    return Clip(path.stem, motion, voice, video)
