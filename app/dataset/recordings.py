"""What one video gives: everybody in it, with what they say."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from app.dataset.following import LEAST_S, Seen, Watcher, name_people
from app.dataset.layout import Draft, Sample, face_code
from app.dataset.lips import LipReader, Match, shifted
from app.dataset.speaking import Face, Said, who_speaks, within
from app.intake.sandbox import Sandbox, SandboxLimits
from app.intake.values import SandboxReader
from app.render.reading import Reader
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import VideoWriter
from motion2video.motion import FPS
from weights.errors import MediaError

DAY_S = 24 * 3600
Kind = Literal["video", "pair", "channels", "seamless"]
LIMITS = SandboxLimits(silent_s=120.0, waiting_s=float(DAY_S), cpu_s=DAY_S, memory_bytes=4 * 2**30)
"""What one recording may cost to decode, which may last hours; `stall` ends what hangs, too."""
FACE_PIXELS = 512
"""Largest side of a face's own video."""
_AROUND = 1.5  # side of that video, in sides of the box that the face never leaves
_TOGETHER = 0.6  # of both, in which two people are seen at once: then it is a conversation


class Place(NamedTuple):
    """A file of one person: all of what is at `address`, or `size` bytes of it from `start` on."""

    owner: str
    ending: str
    address: str
    start: int
    size: int


@dataclass(frozen=True)
class Recording:
    """One recording to import. `files` are one video, or two that began together but for `offset`
    seconds (by which the second began later); `people` are names, `seconds` a guess of its length.
    Files of Seamless Interaction are at `places`; `trouble` is why there is nothing to import.
    """

    id: str
    kind: Kind
    files: tuple[str, ...]
    source: str
    seconds: float = 0.0
    people: tuple[str, ...] = ()
    offset: float = 0.0
    stamp: str = ""
    places: tuple[Place, ...] = ()
    origin_split: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Terms:
    """What holds for everything that is imported: under which `licence` it is, whether and how the
    people have given their `consent`.
    """

    licence: str = ""
    consent: str = ""


@dataclass(eq=False)
class Found:
    """What a recording gave so far."""

    drafts: list[Draft] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    frames: int = 0


@cache
def media() -> Reader:
    """Decodes recordings, of which nobody knows whose they are: each in a confined process, as
    servers do. One helper serves a process.
    """
    return SandboxReader(Sandbox(LIMITS))


class Tools:
    """The networks that imports need; each is loaded when it is needed first."""

    def __init__(
        self,
        crops: bool = False,
        terms: Terms | None = None,
        work: Path = Path(),
        motion: str = "auto",
    ) -> None:
        self.crops, self.terms, self.motion = crops, terms or Terms(), motion
        self.work = work
        """A folder for files that are gone once the recording is written."""

    @cached_property
    def watcher(self) -> Watcher:
        """Follows people."""
        from motion2video.faces.identity import FaceIdentity
        from motion2video.faces.tracker import FaceTracker
        from motion2video.geometry.basis import FaceBasis

        return Watcher(FaceTracker.load(), FaceIdentity.load(), FaceBasis.load())

    @cached_property
    def reader(self) -> LipReader:
        """Hears lips."""
        return LipReader.load()


Tick = Callable[[], None]


def import_video(one: Recording, tools: Tools, tick: Tick) -> Found:
    """Everybody in a video, with what they say. Raises MediaError for a file that is none."""
    path, found = Path(one.files[0]), Found()
    seen, found.frames, found.skipped = tools.watcher.watch(media().frames(path, FPS), tick)
    if not seen:
        raise MediaError(_nobody(path, found.skipped))
    said: list[Said | None] = [None] * len(seen)
    info = media().info(path)
    if info.audio_channels:
        sound = voice_in(path)
        faces = [Face(s.first, s.gap, s.motion.mask) for s in seen]
        said = list(who_speaks(sound, found.frames, faces, tools.reader))
    else:
        found.skipped.append("there is no sound track: the people have motion and no voice")
    names = [name_of(one, n) for n in name_people(seen)]
    fps = info.fps or FPS
    for group in _together(seen):
        whole = [(n, names[n], seen[n], said[n]) for n in group]
        found.drafts += _drafts(one, tools, whole, fps)
        for n in group:
            heard = said[n]
            if heard is not None and heard.sync is not None and not heard.kind:
                found.skipped.append(
                    f"the voice at {seen[n].first / FPS:.1f} s does not go with the lips of "
                    f"{names[n]} (r = {heard.sync.r:.2f}): it is taken for somebody unseen"
                )
    if tools.crops:
        found.drafts = with_faces(path, found.drafts, tools.work)
    return found


def voice_in(path: Path, channel: int | None = None) -> Waveform:
    """The sound of a file, or a channel of it. Raises MediaError."""
    sound = media().sound(path, channel)
    return Waveform(sound.read(0, len(sound)))


def _nobody(path: Path, skipped: Sequence[str]) -> str:
    why = f": {skipped[0]}" if skipped else "; wanted one that looks towards the camera"
    return f"{path.name} shows no face that could be followed{why}"


def name_of(one: Recording, number: int) -> str:
    """The name of the so-manieth person (from 0) of a recording."""
    if number < len(one.people):
        return one.people[number]
    return f"{one.people[0] if one.people else one.id}-{number + 1}"


def _together(seen: Sequence[Seen]) -> Iterator[list[int]]:
    """Numbers of those who make a sample each, those of a conversation at once."""
    pieces = defaultdict(list)
    for n, one in enumerate(seen):
        pieces[one.piece].append(n)
    for group in pieces.values():
        if len(group) == 2:
            a, b = seen[group[0]], seen[group[1]]
            shared = min(a.end, b.end) - max(a.first, b.first)
            if shared >= max(LEAST_S * FPS, _TOGETHER * max(len(a.motion), len(b.motion))):
                yield sorted(group, key=lambda n: seen[n].x)
                continue
        yield from ([n] for n in group)


def _drafts(
    one: Recording,
    tools: Tools,
    group: Sequence[tuple[int, str, Seen, Said | None]],
    fps: float,
) -> list[Draft]:
    """The samples of somebody alone, or of two people on one clock."""
    start = max(seen.first for _, _, seen, _ in group)
    end = min(seen.end for _, _, seen, _ in group)
    keys = [f"{one.id}-{start:06d}-{number}" for number, _, _, _ in group]
    out = []
    for n, (_, name, seen, said) in enumerate(group):
        shift = (start - seen.first) / FPS
        part = seen.part(start, end)
        sample = Sample(
            key=keys[n],
            person=name,
            recording=one.id,
            source=one.source,
            frames=end - start,
            start=start / FPS,
            conversation=f"{one.id}-{start:06d}" if len(group) == 2 else "",
            partner=keys[1 - n] if len(group) == 2 else "",
            motion="video",
            valid=int(part.motion.mask.sum()),
            fps=fps,
            size=(0, 0) if part.track is None else part.track.size,
            licence=tools.terms.licence,
            consent=tools.terms.consent,
            face="" if part.face is None else face_code(part.face),
        )
        voice = None
        if said is not None:
            until = shift + (end - start) / FPS
            sample = replace(
                sample,
                voice=said.kind,
                speech=within(said.speech, shift, until),
                doubt=within(said.doubt, shift, until),
            )
            sample = with_sync(sample, said.sync)
            voice = shifted(said.voice, start - seen.first, end - start)
        out.append(Draft(sample, part.motion, part.track, voice if sample.voice else None))
    return out


def with_sync(sample: Sample, match: Match | None) -> Sample:
    """The sample, saying how far the lips were behind the voice."""
    if match is None:
        return sample
    return replace(sample, sync_ms=-1000 * match.lag / FPS, sync_r=round(match.r, 3))


def with_faces(path: Path, drafts: Sequence[Draft], folder: Path) -> list[Draft]:
    """The same with a video of each face in `folder`, whose pixels the track is in then; drafts
    without a track stay as they are.
    """
    out, windows = [d for d in drafts if d.track is None], []
    bare = len(out)
    for draft in drafts:
        if draft.track is None:
            continue
        marks = draft.track.landmarks[..., :2].reshape(-1, 2)
        low, high = marks.min(0), marks.max(0)
        side = _AROUND * float((high - low).max())
        size = min(FACE_PIXELS, max(2, round(side / 2) * 2))
        x, y = ((low + high) / 2 - side / 2).tolist()
        track = draft.track.within(x, y, size / side, (size, size))
        target = folder / f"{draft.sample.key}.mp4"
        windows.append((round(draft.sample.start * FPS), draft.sample.frames, x, y, side, size))
        sample = replace(draft.sample, size=(size, size))
        out.append(replace(draft, sample=sample, track=track, faces=target))
    pairs = zip(out[bare:], windows, strict=True)
    _write_faces(path, [(d.faces, *w) for d, w in pairs if d.faces is not None])
    return out


def _write_faces(path: Path, wanted: list[tuple[Path, int, int, float, float, float, int]]) -> None:
    """One look through the video, in which each face's own is written while it is there."""
    import cv2

    with ExitStack() as stack:
        writers: dict[Path, VideoWriter] = {}
        for n, frame in enumerate(media().frames(path, FPS)):
            for target, first, count, x, y, side, size in wanted:
                if not first <= n < first + count:
                    continue
                if n == first:
                    writers[target] = stack.enter_context(VideoWriter(target, (size, size), FPS))
                scale = size / side
                matrix = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
                cut = cv2.warpAffine(
                    frame,
                    matrix,
                    (size, size),
                    flags=cv2.INTER_AREA,
                    borderMode=cv2.BORDER_REPLICATE,
                )
                writers[target].write(np.asarray(cut, np.uint8)[None])
