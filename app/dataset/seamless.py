"""Seamless Interaction: what is in a participant's files, and an interaction as two samples.

Motion comes from `movement:*` (which one vendor's files have), else from the video, else from the
133 keypoints. Frames are on the clock n * duration / N: the rate is 30 or nearly so, and N / 30 is
off by up to .6 s. Invalid frames are masked; placeholders and empty files are left out and told.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from app.dataset.following import Seen
from app.dataset.pairs import Side, main_person, paired
from app.dataset.recordings import Found, Recording, Tick, Tools, media, voice_in
from app.dataset.seamless_files import is_placeholder, local
from app.dataset.seamless_motion import movement_motion
from app.dataset.speaking import Stretch
from app.dataset.wholebody import keypoint_motion
from audio2motion.hearing.audio import Waveform
from motion2video.geometry.basis import FaceBasis
from motion2video.media.npz import Wanted, read_arrays
from motion2video.motion import FPS, Motion
from weights.errors import MediaError, VisavisError
from weights.opening import open_regular, read_regular

_MOST_FRAMES = 2 * 3600 * 30
_ARRAYS = {
    "boxes_and_keypoints:is_valid_box": Wanted("b", _MOST_FRAMES),
    "boxes_and_keypoints:keypoints": Wanted("f", _MOST_FRAMES * 133 * 3),
    "smplh:is_valid": Wanted("b", _MOST_FRAMES),
    "movement:is_valid": Wanted("fb", _MOST_FRAMES),
    "movement:FAUValue": Wanted("f", _MOST_FRAMES * 24),
    "movement:alignment_head_rotation": Wanted("f", _MOST_FRAMES * 3),
}
_MOST_JSON = 1 << 27
_MOST_NPZ = 1 << 31
_APART_S = 0.1  # by which the two of an interaction usually differ at most
_MOST_APART_S = 1.0


@dataclass(eq=False)
class Participant:
    """What is in one participant's files. `arrays` [N, ...] are float32 or bool."""

    file_id: str
    voice: Waveform | None = None
    video: Path | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    speech: tuple[Stretch, ...] | None = None
    words: tuple[tuple[str, float, float], ...] = ()

    @property
    def frames(self) -> int:
        """N, 0 where no array says it."""
        return max((len(a) for a in self.arrays.values()), default=0)


def import_interaction(one: Recording, tools: Tools, tick: Tick) -> Found:
    """Both people of an interaction, or the one whose files are there."""
    if one.trouble:
        raise MediaError(one.trouble)
    found, sides, people = Found(), list[Side](), list[str]()
    for n, owner in enumerate(dict.fromkeys(place.owner for place in one.places)):
        participant = _read(one, owner, tools.work, found)
        side = _side(participant, tools, tick, found)
        if side is not None:
            sides.append(side)
            people.append(one.people[n])
    if not sides:
        return found
    if len(sides) == 1:
        found.skipped.append("the other participant is not there: a sample without a partner")
    else:
        apart = abs(sides[0].frames - sides[1].frames) / FPS
        if apart > _MOST_APART_S:
            found.skipped.append(f"the two differ by {apart:.1f} s: cut to the shorter")
    named = Recording(
        one.id,
        one.kind,
        one.files,
        one.source,
        people=tuple(people),
        origin_split=one.origin_split,
    )
    found.drafts = paired(named, tools, sides)
    return found


def read_metadata(path: Path) -> Mapping[str, Any]:
    """A .json of one object, or of one a line; their keys together. Raises MediaError."""
    text = read_regular(path, "metadata", _MOST_JSON, MediaError).decode("utf8", "replace")
    found: dict[str, Any] = {}
    try:
        try:
            parts = [json.loads(text)]
        except ValueError:
            parts = [json.loads(line) for line in text.splitlines() if line.strip()]
        for part in parts:
            found.update(part)
    except (ValueError, TypeError) as error:
        raise MediaError(f"{path.name} is not JSON: {error}") from error
    return found


def stretches_of(metadata: Mapping[str, Any]) -> tuple[Stretch, ...] | None:
    """Speech in seconds; None where nothing is said of it, or that there is none at all."""
    listed = metadata.get("metadata:vad")
    if not isinstance(listed, list) or not listed:
        return None
    found = [
        (_number(v.get("start")), _number(v.get("end"))) for v in listed if isinstance(v, dict)
    ]
    return tuple(sorted((a, b) for a, b in found if a is not None and b is not None and b > a))


def words_of(metadata: Mapping[str, Any]) -> tuple[tuple[str, float, float], ...]:
    """Words with both their times; some have none."""
    found = []
    for part in metadata.get("metadata:transcript") or ():
        for word in (part.get("words") or ()) if isinstance(part, dict) else ():
            start, end = _number(word.get("start")), _number(word.get("end"))
            if start is not None and end is not None and end >= start:
                found.append((str(word.get("word", "")), start, end))
    return tuple(found)


def _number(value: object) -> float | None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if ok else None


def read_features(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz that are used here, [N, ...]. Raises MediaError."""
    with open_regular(path, "features", _MOST_NPZ, MediaError) as file:
        try:
            found = read_arrays(file, {}, _ARRAYS)
        except ValueError as error:
            raise MediaError(f"{path.name} cannot be read: {error}") from error
    lengths = {len(a) for a in found.values()}
    if len(lengths) > 1:
        raise MediaError(f"{path.name} has arrays of {sorted(lengths)} frames; wanted one length")
    if lengths == {0}:
        raise MediaError(f"{path.name} has no frames")
    return {k: a if a.dtype == bool else a.astype(np.float32) for k, a in found.items()}


def on_clock(
    values: Float[np.ndarray, "N d"], valid: Bool[np.ndarray, "N"], frames: int, seconds: float
) -> tuple[Float[np.ndarray, "T d"], Bool[np.ndarray, "T"]]:
    """N rows that fill `seconds` evenly, at 25 a second: linear between the two nearest rows, valid
    where both are.
    """
    at = (np.arange(frames) + 0.5) / FPS * len(values) / seconds - 0.5
    at = np.clip(at, 0, len(values) - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    w = (at - low)[:, None].astype(np.float32)
    return values[low] * (1 - w) + values[high] * w, valid[low] & (valid[high] | (w[:, 0] == 0))


def _read(one: Recording, owner: str, folder: Path, found: Found) -> Participant:
    """What is there of a participant; a file that is nothing, or broken, is told and left out."""
    person = Participant(owner)
    for place in (p for p in one.places if p.owner == owner):
        name = f"{owner}.{place.ending}"
        if is_placeholder(place):
            found.skipped.append(f"{name} is a placeholder of {place.size} bytes")
            continue
        try:
            path = local(place, folder)
            if place.ending == "wav":
                person.voice = voice_in(path)
            elif place.ending == "npz":
                person.arrays = read_features(path)
            elif place.ending == "json":
                told = read_metadata(path)
                person.speech, person.words = stretches_of(told), words_of(told)
            else:
                person.video = path
        except VisavisError as error:
            found.skipped.append(f"{name} is left out: {error}")
    return person


def _side(person: Participant, tools: Tools, tick: Tick, found: Found) -> Side | None:
    """A participant on the clock of the sound; None for somebody of whom there is nothing."""
    if person.voice is None:
        found.skipped.append(f"{person.file_id} has no sound, and so no clock: it is left out")
        return None
    seconds = person.voice.seconds
    frames = round(seconds * FPS)
    rate = person.frames / seconds if person.frames else FPS
    for kind in ("movement", "video", "keypoints"):
        if tools.motion not in ("auto", kind):
            continue
        seen = _seen(kind, person, frames, tools, tick, found)
        if seen:
            found.frames += frames
            return Side(
                tuple(seen), person.voice, frames, rate, 0, kind, person.speech, person.words
            )
    found.skipped.append(f"{person.file_id} has no motion: it is heard only")
    return Side((), person.voice, frames, rate, 0, "", person.speech, person.words)


def _seen(
    kind: str, person: Participant, frames: int, tools: Tools, tick: Tick, found: Found
) -> list[Seen]:
    """What is to be seen of somebody by one of the three ways; nothing where it cannot be had."""
    assert person.voice is not None
    if kind == "video":
        if person.video is None:
            return []
        try:
            pictures = frames_on_clock(person.video, frames, person.voice.seconds)
            people, _, told = tools.watcher.watch(pictures, tick)
        except MediaError as error:
            found.skipped.append(f"{person.file_id}.mp4 is left out: {error}")
            return []
        found.skipped += [f"{person.file_id}: {line}" for line in told]
        return main_person(people)
    basis = FaceBasis.load()
    made = _mapped(kind, person, basis)
    if made is None:
        return []
    values, valid = on_clock(*made, frames, person.voice.seconds)
    if not valid.any():
        found.skipped.append(f"{person.file_id} has no valid frame of {kind}")
        return []
    motion = Motion(values.astype(np.float32), FPS, valid)
    return [Seen(0, 0, motion, basis.lip_gap(motion.values))]


def _mapped(
    kind: str, person: Participant, basis: FaceBasis
) -> tuple[np.ndarray, np.ndarray] | None:
    """[N, 90] motion and its validity from arrays; None where they are not there."""
    arrays, n = person.arrays, person.frames
    points = arrays.get("boxes_and_keypoints:keypoints")
    boxed = arrays.get("boxes_and_keypoints:is_valid_box")
    seen = None
    if points is not None and boxed is not None:
        seen = keypoint_motion(points.reshape(n, 133, 3), boxed, basis)
    if kind == "keypoints":
        return seen
    units, flags = arrays.get("movement:FAUValue"), arrays.get("movement:is_valid")
    turns = arrays.get("movement:alignment_head_rotation")
    if units is None or flags is None or turns is None or units.size != n * 24:
        return None
    valid = flags.reshape(n) > 0.5
    if not valid.any():
        return None
    return movement_motion(units.reshape(n, 24), turns.reshape(n, 3), valid, seen)


def frames_on_clock(
    path: Path, frames: int, seconds: float
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The pictures of a video whose N frames fill `seconds` evenly, at 25 a second. Where the file
    does not say N, its own time stamps are believed.
    """
    count = media().info(path).frames
    if not count:
        yield from media().frames(path, FPS)
        return
    due = np.floor((np.arange(frames) + 0.5) / FPS * count / seconds).astype(int).tolist()
    at = 0
    for n, picture in enumerate(media().frames(path, None)):
        while at < frames and due[at] <= n:
            yield picture
            at += 1
