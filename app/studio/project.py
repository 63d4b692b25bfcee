"""A finished clip that can be edited: its motion, its voices, and every frame that was drawn.

How the file is put together after an edit: the frames whose motion did not change are read from the
frame cache, bit for bit what they were; the others are drawn; all of them are encoded again, in
order, with the sound cut where the motion was cut. So a frame outside the edited range is identical
before encoding; its bytes in the file may differ, because x264 spends its bits on the whole clip.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from app.provenance.origin import Origin
from app.render.disclosure import Label
from app.render.filming import Film, Frame, film
from app.render.layout import Layout, read_scene
from app.render.lineage import motion_digest, origin_of
from app.render.pipeline import Avatar
from app.render.request import Notify, Progress, RenderRequest
from app.render.result import RenderResult
from app.render.voices import Voices, load_sound
from app.studio.curves import VoiceRow
from app.studio.editor import Take
from app.studio.frame_cache import FrameCache
from app.studio.made import Sheet
from audio2motion.hearing.audio import SAMPLE_RATE, Sound, Waveform, speech_segments
from motion2video.motion import Motion
from motion2video.portrait.portrait import Portrait
from weights.errors import InputError

EDITABLE_S = 30.0
"""Longest clip that can be edited: about 150 MB of frames at 512 px."""
MOST_EDITS = 200
"""Edits of one project that can be taken back, one by one; each keeps a whole motion."""
Show = Callable[[UInt8[np.ndarray, "H W 3"]], None]


@dataclass(frozen=True)
class Source:
    """What a clip was before it was edited: the `result`, and the `sheet` of which it was made,
    where that is known.
    """

    result: RenderResult
    sheet: Sheet | None = None


@dataclass(eq=False)
class Project:
    """One clip under edit. `takes` are its motion after each edit, the last one the current;
    `undone` those that `undo` took back. `voices` are the sound of both people from the beginning,
    `driver` is the motion that the clip was made of, where one was given, `source` what it was
    before, None until it is there.
    """

    request: RenderRequest
    portrait: Portrait
    voices: Voices
    cache: FrameCache
    takes: list[Take]
    undone: list[Take] = field(default_factory=list)
    driver: Motion | None = None
    layout: Layout = field(default_factory=Layout)
    source: Source | None = None
    _rows: tuple[tuple[float, float], list[VoiceRow]] | None = None

    @property
    def take(self) -> Take:
        """The motion as it is now."""
        return self.takes[-1]

    def edit(self, change: Callable[[Take], Take]) -> None:
        """Apply one of app.studio.editor's functions. What was undone before is forgotten.

        Raises InputError as those do, and after MOST_EDITS of them.
        """
        if len(self.takes) > MOST_EDITS:
            raise InputError(f"at most {MOST_EDITS} edits can be made of one video; undo some")
        self.takes.append(change(self.take))
        self.undone.clear()

    def undo(self) -> None:
        """Take the last edit back. Raises InputError when there is none."""
        if len(self.takes) == 1:
            raise InputError("there is no edit to undo")
        self.undone.append(self.takes.pop())

    def redo(self) -> None:
        """Make the edit again that was undone. Raises InputError when there is none."""
        if not self.undone:
            raise InputError("there is no edit to redo")
        self.takes.append(self.undone.pop())

    def stale(self) -> list[tuple[int, int]]:
        """First and one-after-last number of each run of frames that have to be drawn."""
        missing = np.concatenate([[False], self.cache.missing(self.take.motion), [False]])
        edges = np.flatnonzero(missing[1:] != missing[:-1])
        return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def _finishing(self) -> Callable[[Frame], Frame]:
        """What becomes of a drawn frame before it is marked."""
        if self.request.label is None:
            return self.layout.lay
        label = Label(self.request.label)
        return lambda drawn: label.lay(self.layout.lay(drawn))

    def voice_rows(self) -> list[VoiceRow]:
        """Both voices under the current take, and where somebody speaks in them."""
        take = self.take
        key = (take.start, take.seconds)
        if self._rows is None or self._rows[0] != key:
            both = (("person", self.voices.agent), ("other", self.voices.interlocutor))
            found = [(name, waveform(sound, *key)) for name, sound in both]
            rows = [VoiceRow(name, voice, speaking(voice)) for name, voice in found]
            self._rows = key, rows
        return self._rows[1]

    def frames(self, avatar: Avatar) -> Iterator[tuple[bool, UInt8[np.ndarray, "H W 3"]]]:
        """Every frame of the take and whether it was drawn now; only what is missing is."""

        def draw(motion: Motion) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
            return avatar.drawn(self.request, self.portrait, [motion], self.driver)

        return self.cache.frames(self.take.motion, draw)

    def render(
        self, avatar: Avatar, out: Path, progress: Progress, show: Show, notify: Notify
    ) -> tuple[Film, Origin]:
        """Write the video of the current take; returned is what was written, and what it is made
        of.

        `show` is called with each frame. What `progress` raises ends the work and leaves no file.
        """
        motion, sound = self.take.motion, self.voices.mixed(self.request.mix == "both")
        if sound is not None:
            sound = _From(sound, round(self.take.start * sound.sample_rate))
        origin = origin_of(
            self.request, avatar.provenance, avatar.reader, {"edited": motion_digest(motion)}
        )
        made = film(
            map(itemgetter(1), self.frames(avatar)),
            out,
            motion.fps,
            sound,
            total=len(motion),
            watch=show,
            finish=self._finishing(),
            progress=progress,
            origin=origin,
            notify=notify,
        )
        return made, origin


def open_project(
    request: RenderRequest,
    avatar: Avatar,
    cache_folder: Path,
    take: Take,
    driver: Motion | None = None,
) -> Project:
    """A project of a request, the motion that was made for it, and the one that was given, if any;
    no frame is known yet.

    Raises InputError for a clip longer than EDITABLE_S, and as RenderRequest's own inputs do.
    """
    if take.seconds > EDITABLE_S:
        raise InputError(
            f"the clip lasts {take.seconds:.0f} s; at most {EDITABLE_S:.0f} s can be edited"
        )
    reader = avatar.reader
    portrait, layout = read_scene(reader, request, avatar.tracker)
    return Project(
        request,
        portrait,
        load_sound(request, reader),
        FrameCache(cache_folder, portrait.image),
        [take],
        driver=driver,
        layout=layout,
    )


def waveform(sound: Sound | None, start: float, seconds: float) -> Waveform:
    """A piece of a voice as samples in memory; silence where there is no voice."""
    count = round(seconds * SAMPLE_RATE)
    there = np.zeros(0, np.float32)
    if sound is not None:
        there = sound.read(round(start * SAMPLE_RATE), count)
    return Waveform(np.pad(there, (0, count - len(there))))


def speaking(voice: Waveform) -> list[tuple[float, float]]:
    """(start, end) in seconds of where somebody speaks."""
    return speech_segments(voice) if voice.peak > 0 else []


class _From(Sound):
    """A sound without its first samples."""

    def __init__(self, sound: Sound, first: int) -> None:
        self.sample_rate, self._sound, self._first = sound.sample_rate, sound, first

    def __len__(self) -> int:
        return max(0, len(self._sound) - self._first)

    def read(self, start: int, count: int) -> Float[np.ndarray, "n"]:
        """float32 samples `start` to `start + count`; fewer, or none, at the end."""
        return self._sound.read(start + self._first, count)
