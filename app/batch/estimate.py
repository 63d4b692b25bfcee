"""What a batch will cost: seconds of video from its inputs, seconds of work from what was measured.

Work is so much an item (reading, finding the face) and so much a frame. Both come from what the
ledger has seen; where it has seen too little, from drawing a few seconds of the first item.
"""

import itertools
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.batch import storage
from app.batch.ledger import Ledger
from app.batch.manifest import Item
from app.batch.work import AvatarSettings, with_threads
from app.render.dialogue import seconds_of
from app.render.filming import film
from app.render.order import TAIL, length
from app.render.pipeline import Avatar
from app.render.request import RenderRequest
from app.render.turns import Turn
from motion2video.motion import Motion
from weights.errors import VisavisError

CHARACTERS_PER_SECOND = 14.0
"""Of text, as espeak-ng speaks English at its usual 160 words a minute."""
_PROBED_AFAR = (
    32  # files in stores that are fetched to be probed; the others are taken as their mean
)
_SEEN_ENOUGH = 10  # items in the ledger
_DRAWN_FRAMES = 75


@dataclass(frozen=True)
class Cost:
    """Seconds of one worker: `item_s` an item and `frame_s` a frame; `source` says how we know."""

    item_s: float
    frame_s: float
    source: str


@dataclass(frozen=True)
class Estimate:
    """What a run would do: `wanted` of `items`, `video_seconds` of video, `frames`; items whose
    length nothing tells are counted in `unknown` and taken to be as long as the others.
    """

    items: int
    wanted: int
    unknown: int
    video_seconds: float
    frames: int
    cost: Cost
    workers: int

    @property
    def work_seconds(self) -> float:
        """Of one worker, all items."""
        return self.wanted * self.cost.item_s + self.frames * self.cost.frame_s

    @property
    def wall_seconds(self) -> float:
        """Until the last video is there, all workers at work."""
        return self.work_seconds / max(1, self.workers)

    def to_json(self, price_per_hour: float | None = None) -> dict[str, Any]:
        """As plain JSON values; `price_per_hour` of one worker, in any currency."""
        price = None if price_per_hour is None else self.work_seconds / 3600 * price_per_hour
        return {
            "items": self.items,
            "wanted": self.wanted,
            "skipped": self.items - self.wanted,
            "unknown_lengths": self.unknown,
            "video_seconds": round(self.video_seconds, 2),
            "frames": self.frames,
            "seconds_per_item": round(self.cost.item_s, 4),
            "frames_per_second": round(1 / self.cost.frame_s, 2) if self.cost.frame_s else None,
            "measured": self.cost.source,
            "workers": self.workers,
            "work_seconds": round(self.work_seconds, 1),
            "wall_seconds": round(self.wall_seconds, 1),
            "price": None if price is None else round(price, 2),
        }


def estimate(
    items: Sequence[Item],
    wanted: Sequence[Item],
    ledger: Ledger,
    settings: AvatarSettings,
    workers: int | None,
) -> Estimate:
    """What making the `wanted` items takes; loads the Avatar where the ledger says too little."""
    workers = max(1, 1 if workers is None else workers)
    lengths = _lengths(wanted)
    known = [seconds for seconds in lengths if seconds is not None]
    mean = sum(known) / len(known) if known else 10.0
    seconds = [mean if s is None else s for s in lengths]
    frames = [max(1, round(s * i.request().fps)) for s, i in zip(seconds, wanted, strict=True)]
    cost = _seen(ledger)
    if cost is None:
        cost = (
            measure(wanted, with_threads(settings, workers))
            if wanted
            else Cost(0.0, 0.0, "nothing to do")
        )
    return Estimate(
        len(items),
        len(wanted),
        lengths.count(None),
        float(sum(seconds)),
        sum(frames),
        cost,
        workers,
    )


def _seen(ledger: Ledger) -> Cost | None:
    """The line through what finished items took, by their frames; None for too few."""
    done = [e for e in ledger.entries() if e.state == "done" and e.seconds and e.frames]
    if len(done) < _SEEN_ENOUGH:
        return None
    frames = np.array([e.frames for e in done], float)
    seconds = np.array([e.seconds for e in done], float)
    source = f"{len(done)} videos in the ledger"
    if np.ptp(frames) < 0.2 * frames.mean():  # too alike to tell one from the other
        return Cost(0.0, float(seconds.sum() / frames.sum()), source)
    slope, start = np.polyfit(frames, seconds, 1)
    if slope <= 0 or start < 0:
        return Cost(0.0, float(seconds.sum() / frames.sum()), source)
    return Cost(float(start), float(slope), source)


def measure(items: Sequence[Item], settings: AvatarSettings) -> Cost:
    """Draw and encode up to three seconds of the first item that can be drawn."""
    avatar = settings.load()
    for item in items:
        if any(storage.is_remote(item.fields[name]) for name in item.files):
            continue
        try:
            _draw(avatar, item)  # the first time, libraries load what they put off
            return _draw(avatar, item)
        except VisavisError:
            continue
    return Cost(0.0, 0.0, "nothing: no item could be drawn here")


def _draw(avatar: Avatar, item: Item) -> Cost:
    """What an item takes until its first frame, and each frame after that."""
    started, request = time.perf_counter(), item.request()
    frames = avatar.frames(request)
    first = next(frames)
    begun = time.perf_counter() - started
    drawn = itertools.chain([first], itertools.islice(frames, _DRAWN_FRAMES - 1))
    with tempfile.TemporaryDirectory(prefix="visavis-measure-") as folder:
        made = film(drawn, Path(folder) / f"m{request.suffix}", request.fps)
    each = made.wall_seconds / made.frames
    return Cost(begun, each, f"{made.frames} frames of {item.output}")


def _lengths(items: Sequence[Item]) -> list[float | None]:
    """Seconds of video of each item, None where nothing tells."""
    known: dict[str, float | None] = {}
    return [_length(item, known) for item in items]


def _length(item: Item, known: dict[str, float | None]) -> float | None:
    for name in ("motion", "driving_video"):
        if name in item.files:
            whole = _probed(item.fields[name], known)
            return None if whole is None else item.request().cut(whole)
    if item.fields.get("turns"):
        return _dialogue_length(item.request(), known)
    voices = ("agent_audio", "interlocutor_audio", "interlocutor_video")
    parts = {name: _probed(item.fields[name], known) for name in voices if name in item.files}
    text, request = item.fields.get("text"), item.request()
    if text is not None:
        parts["agent_audio"] = len(text) / CHARACTERS_PER_SECOND
    if not parts or None in parts.values():
        return None
    agent, other, seen = map(parts.get, voices)
    other = seen if other is None else other  # taken to have sound
    whole = length(request.order, request.pause, text is not None, agent, other, seen)[0]
    return request.cut(whole)


def _dialogue_length(request: RenderRequest, known: dict[str, float | None]) -> float | None:
    def seconds(turn: Turn) -> float:
        if turn.text is not None:
            return len(turn.text) / CHARACTERS_PER_SECOND
        return _probed(str(turn.recording), known) or math.nan

    whole = seconds_of(request.dialogue(), request.pause, TAIL, seconds)
    return None if math.isnan(whole) else request.cut(whole)


def _probed(address: str, known: dict[str, float | None]) -> float | None:
    """Seconds of a sound, video or motion file, None when it cannot be known."""
    if address not in known:
        afar = sum(map(storage.is_remote, known))
        if storage.is_remote(address) and afar >= _PROBED_AFAR:
            return None
        with tempfile.TemporaryDirectory(prefix="visavis-probe-") as folder:
            try:
                path = Path(address)
                if storage.is_remote(address):
                    path = storage.fetch(address, Path(folder) / os.path.basename(address))
                known[address] = _seconds(path)
            except VisavisError:
                known[address] = None
    return known[address]


def _seconds(path: Path) -> float:
    from motion2video.media.video import probe

    return Motion.load(path).seconds if path.suffix == ".npz" else probe(path).seconds
