"""What two people give who talked to each other: a file each, or two channels of one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from app.dataset.following import LEAST_S, LONGEST_S, Seen, name_people
from app.dataset.layout import Draft, MotionKind, Sample, face_code
from app.dataset.lips import LipReader, Match, lag_of, shifted
from app.dataset.recordings import (
    Found,
    Recording,
    Tick,
    Tools,
    media,
    name_of,
    voice_in,
    with_faces,
    with_sync,
)
from app.dataset.speaking import Stretch, within
from audio2motion.hearing.audio import Waveform, speech_segments
from motion2video.motion import FPS
from weights.errors import InputError, MediaError

_LEAD = 0.1  # of r, by which one way to give voices to faces must be better


@dataclass(frozen=True, eq=False)
class Side:
    """One of two people: what was seen of the person, piece by piece, the voice, if any, and where
    frame `begin` of it all is on the clock of both. `speech` and `words` are those that came with
    the recording; `speech` None is to be found in the voice.
    """

    seen: tuple[Seen, ...]
    voice: Waveform | None
    frames: int
    fps: float = FPS
    begin: int = 0
    kind: MotionKind = "video"
    speech: tuple[Stretch, ...] | None = None
    words: tuple[tuple[str, float, float], ...] = ()


def import_pair(one: Recording, tools: Tools, tick: Tick) -> Found:
    """Two people who talked to each other, a file each (video or sound alone)."""
    found = Found()
    sides = [read_side(Path(file), tools, tick, found) for file in one.files]
    shift = round(one.offset * FPS)
    begins = (max(0, shift), max(0, -shift))
    sides = [replace(side, begin=begin) for side, begin in zip(sides, begins, strict=True)]
    if _better_crossed(sides, tools.reader, 2 * _LEAD):
        found.skipped.append("the voices seem to be swapped: each goes with the other's lips")
    found.drafts = paired(one, tools, sides)
    if tools.crops:
        for n, file in enumerate(one.files):
            mine = [d for d in found.drafts if d.sample.key.endswith(f"-{n}")]
            rest = [d for d in found.drafts if d not in mine]
            found.drafts = rest + with_faces(Path(file), mine, tools.work)
    return found


def import_channels(one: Recording, tools: Tools, tick: Tick) -> Found:
    """One file whose two channels of sound are the two people's microphones. Each is given to the
    face that it goes with; where lips do not tell, the left one to the face at the left.
    """
    path, found = Path(one.files[0]), Found()
    info = media().info(path)
    if info.audio_channels != 2:
        raise MediaError(f"{path} has {info.audio_channels or 0} channels of sound; wanted two")
    voices = [voice_in(path, c) for c in range(2)]
    frames, people = max(v.frames for v in voices), list[Seen]()
    if info.video_codec is not None:
        people, frames, found.skipped = tools.watcher.watch(media().frames(path, FPS), tick)
        found.frames = frames
    faces = _two_people(people, found)
    sides = [
        Side(tuple(face), voice, frames, info.fps or FPS)
        for face, voice in zip(faces, voices, strict=True)
    ]
    if _better_crossed(sides, tools.reader, _LEAD):
        crossed = zip(sides, voices[::-1], strict=True)
        sides = [replace(side, voice=voice) for side, voice in crossed]
    found.drafts = paired(one, tools, sides)
    if tools.crops:
        found.drafts = with_faces(path, found.drafts, tools.work)
    return found


def read_side(path: Path, tools: Tools, tick: Tick, found: Found) -> Side:
    """One person's own file. Raises MediaError for one with neither picture nor sound."""
    info = media().info(path)
    seen: list[Seen] = []
    frames = 0
    if info.video_codec is not None:
        people, frames, told = tools.watcher.watch(media().frames(path, FPS), tick)
        found.skipped += [f"{path.name}: {line}" for line in told]
        seen = main_person(people)
        found.frames += frames
        if not seen:
            found.skipped.append(f"{path.name} shows no face: this side is heard only")
    voice = None
    if info.audio_codec is not None:
        voice = voice_in(path)
        frames = frames or voice.frames
    if not frames:
        raise MediaError(f"{path} has neither a picture nor sound")
    return Side(tuple(seen), voice, frames, info.fps or FPS)


def main_person(people: Sequence[Seen]) -> list[Seen]:
    """What was seen of whoever is there longest."""
    groups = _people(people)
    return max(groups, key=lambda group: sum(len(s.motion) for s in group), default=[])


def _people(people: Sequence[Seen]) -> list[list[Seen]]:
    groups: dict[int, list[Seen]] = defaultdict(list)
    for name, seen in zip(name_people(people), people, strict=True):
        groups[name].append(seen)
    return list(groups.values())


def _two_people(people: Sequence[Seen], found: Found) -> list[list[Seen]]:
    """The two who are there longest, from the left."""
    ordered = sorted(_people(people), key=lambda g: -sum(len(s.motion) for s in g))
    if len(ordered) > 2:
        found.skipped.append(f"{len(ordered) - 2} more people are seen than there are channels")
    ordered = sorted(ordered[:2], key=lambda g: g[0].x)
    return [*ordered, *([] for _ in range(2 - len(ordered)))]


def _better_crossed(sides: Sequence[Side], reader: LipReader, lead: float) -> bool:
    """Whether the faces go with the voices the other way round, by so much more of r."""
    total = {False: 0.0, True: 0.0}
    for v, owner in enumerate(sides):
        if owner.voice is None:
            return False
        heard = reader.heard_gap(owner.voice, owner.frames)
        for f, side in enumerate(sides):
            if side.seen:
                shift = side.begin - owner.begin
                total[f != v] += max(_fit(s, heard, shift).r for s in side.seen)
    return total[True] > total[False] + lead


def _fit(seen: Seen, heard: np.ndarray, shift: int) -> Match:
    """How a face goes with what is heard, whose clock is `shift` frames behind the face's."""
    first = seen.first - shift
    gap = seen.gap[max(0, -first) :]
    return lag_of(heard[max(0, first) :][: len(gap)], gap)


def _on_time(side: Side, reader: LipReader) -> tuple[Side, Match | None]:
    """A side whose picture was moved to its own sound, and how it went with it before. Voices stay
    where they are: those of both are on one clock.
    """
    if side.voice is None or not side.seen:
        return side, None
    heard = reader.heard_gap(side.voice, side.frames)
    match = max((_fit(s, heard, 0) for s in side.seen), key=lambda match: match.r)
    moved = tuple(replace(s, first=s.first + match.lag) for s in side.seen)
    return replace(side, seen=moved), match


def paired(one: Recording, tools: Tools, sides: Sequence[Side]) -> list[Draft]:
    """Samples of both (or of one) wherever a face is seen without an interruption, on one clock.
    Without any picture all of it is one piece. Raises InputError where they share nothing.
    """
    frames = min(side.frames - side.begin for side in sides)
    if frames < LEAST_S * FPS:
        raise InputError(
            f"{one.source} has {max(frames, 0) / FPS:.1f} s in common; look at the offset"
        )
    timed = [_on_time(side, tools.reader) for side in sides]
    sides = [side for side, _ in timed]
    speech = [_speech(side, frames) for side in sides]
    drafts = []
    for start, end in _spans(sides, frames):
        for n, (side, match) in enumerate(timed):
            sample = Sample(
                key=f"{one.id}-{start:06d}-{n}",
                person=name_of(one, n),
                recording=one.id,
                source=one.source,
                frames=end - start,
                start=max(0, start + side.begin - (match.lag if match else 0)) / FPS,
                voice="own" if side.voice is not None else "",
                fps=side.fps,
                speech=within(speech[n], start / FPS, end / FPS),
                licence=tools.terms.licence,
                consent=tools.terms.consent,
                origin_split=one.origin_split,
            )
            sample = with_sync(sample, match)
            if len(sides) == 2:
                sample = replace(
                    sample,
                    conversation=f"{one.id}-{start:06d}",
                    partner=f"{one.id}-{start:06d}-{1 - n}",
                )
            drafts.append(_draft(sample, side, start, end))
    return drafts


def _draft(sample: Sample, side: Side, start: int, end: int) -> Draft:
    """Frames `start` to `end` of both sides' clock, of one of them."""
    seen = _covering(side, start + side.begin, end + side.begin)
    voice, words = side.voice, side.words
    if voice is not None:
        voice = shifted(voice, start + side.begin, end - start)
    begin = (start + side.begin) / FPS
    words = tuple((w, a - begin, b - begin) for w, a, b in words if begin <= a and b <= end / FPS)
    if seen is None:
        return Draft(sample, voice=voice, words=words)
    sample = replace(
        sample,
        motion=side.kind,
        valid=int(seen.motion.mask.sum()),
        size=(0, 0) if seen.track is None else seen.track.size,
        face="" if seen.face is None else face_code(seen.face),
    )
    return Draft(sample, seen.motion, seen.track, voice, words)


def _speech(side: Side, frames: int) -> tuple[Stretch, ...]:
    """When a side speaks, on the clock of both."""
    if side.speech is not None:
        begin = side.begin / FPS
        return tuple((a - begin, b - begin) for a, b in side.speech)
    if side.voice is None:
        return ()
    return tuple(speech_segments(shifted(side.voice, side.begin, frames)))


def _spans(sides: Sequence[Side], frames: int) -> Iterator[tuple[int, int]]:
    """Stretches of common frames in which nobody's face is interrupted, if anybody's is seen."""
    edges = {0, frames, *range(0, frames, round(LONGEST_S * FPS))}
    for side in sides:
        for seen in side.seen:
            edges |= {min(max(e - side.begin, 0), frames) for e in (seen.first, seen.end)}
    anybody = any(side.seen for side in sides)
    for start, end in pairwise(sorted(edges)):
        if end - start < LEAST_S * FPS:
            continue
        covered = (_covering(s, start + s.begin, end + s.begin) is not None for s in sides)
        if not anybody or any(covered):
            yield start, end


def _covering(side: Side, start: int, end: int) -> Seen | None:
    """What was seen all through frames `start` to `end` of a side's own clock, cut to them."""
    for seen in side.seen:
        if seen.first <= start and end <= seen.end:
            return seen.part(start, end)
    return None
