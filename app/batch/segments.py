"""One long video made in parts: cut where nobody speaks, drawn in parallel, joined without a seam.

First the motion is made as a whole, which is fast and must be in order: what was said before lives
on in it. A part then gets its stretch of that very motion, and before it as many frames as the
renderer remembers, which it draws and throws away. The noise is the clip's and every frame is
computed by itself, so the frames are those of the whole, bit for bit. The sound is encoded once.
The report is of the whole, too: of its motion and voice, and of what the parts' pictures showed.
"""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.batch import storage
from app.batch.ledger import Made
from app.batch.work import Task, Worker
from app.provenance.credentials import sidecar_of
from app.quality.bars import BARS
from app.render.finish import is_preview
from app.render.lineage import origin_of
from app.render.measuring import Measuring, Told
from app.render.performance import perform
from app.render.request import RenderRequest
from app.render.subtitles import Cue, place_of, save
from audio2motion.hearing.audio import SAMPLE_RATE, speech_segments
from motion2video.motion import Motion
from weights.errors import StateError

Cuts = tuple[tuple[int, int], ...]
_NEAR = 0.5  # of a part's length: how far a cut moves to find a pause


def cut_at_silence(
    frames: int, fps: float, seconds: float, speech: Sequence[tuple[float, float]]
) -> Cuts:
    """(first frame, end) of parts of about `seconds`, cut in the middle of pauses in `speech`
    ((start, end) in seconds); where there is no pause near, in the middle of speech.
    """
    length = frames / fps
    if length <= seconds:
        return ((0, frames),)
    ends = [0.0, *(end for _, end in speech)]
    starts = [*(start for start, _ in speech), length]
    pauses = [(a + b) / 2 for a, b in zip(ends, starts, strict=True) if b > a]
    edges = [0]
    for k in range(1, round(length / seconds)):
        wanted = k * length / round(length / seconds)
        best = min(pauses, key=lambda pause: abs(pause - wanted), default=wanted)
        at = round((best if abs(best - wanted) <= _NEAR * seconds else wanted) * fps)
        if edges[-1] < at < frames:
            edges.append(at)
    return tuple(zip(edges, [*edges[1:], frames], strict=True))


def part_request(
    request: RenderRequest, motion: Motion, cut: tuple[int, int], memory: int
) -> tuple[RenderRequest, int]:
    """The request that draws one part, and how many of its first frames are not wanted: the
    `memory` frames that the renderer wants to have seen before.
    """
    first = max(0, cut[0] - memory)
    return request.playing(motion[first : cut[1]]), cut[0] - first


def do_part(worker: Worker, task: Task) -> tuple[Made | None, Cuts]:
    """Do a task of kind `motion`, `frames` or `join`."""
    if task.kind == "motion":
        return _make_motion(worker, task)
    if task.kind == "frames":
        _draw(worker, task)
        return None, ()
    return _join(worker, task), ()


def _make_motion(worker: Worker, task: Task) -> tuple[Made | None, Cuts]:
    """The whole motion and sound, and where to cut; a short item is made as a whole instead."""
    if worker.split is None:
        raise StateError("got a part of a video; this batch makes its videos as a whole")
    request = task.item.request(**worker.inputs(task.item))
    if not _in_parts(request, Path(task.item.output)):
        return worker.make(task.item, task.key), ()
    notices: list[str] = []
    played = perform(worker.avatar, request, notices.append)
    motion, sound = played.whole(), played.sound
    speech = [] if sound is None else speech_segments(sound)
    cuts = cut_at_silence(len(motion), motion.fps, worker.split, speech)
    if len(cuts) == 1:
        return worker.make(task.item, task.key), ()
    folder = worker.place.local()
    _put(worker, task, motion.save(folder / f"{secrets.token_hex(8)}.npz"), "motion.npz")
    path = folder / f"{secrets.token_hex(8)}.f32"
    with path.open("wb") as file:
        for block in () if sound is None else sound.blocks():
            file.write(block.astype("<f4").tobytes())
    _put(worker, task, path, "sound.f32")
    told = {
        "notices": notices,
        "order": played.voices.order,
        "agent_start": played.voices.agent_start,
        "subtitles": [asdict(cue) for cue in played.cues],
    }
    measuring = Measuring(worker.avatar.drawing(request).basis, len(motion), motion.fps)
    measured = asdict(measuring.moved(motion, played.voices.agent))
    about = {"told": told, "has_sound": sound is not None, "measured": measured}
    _put_json(worker, task, about, "about.json")
    return None, cuts


def _in_parts(request: RenderRequest, out: Path) -> bool:
    """Whether its parts can be made by themselves and joined: not where frames depend on all before
    them or on the words, nor as a picture that moves, which is short anyway.
    """
    return request.renderer == "embedded" and request.subtitles != "burned" and not is_preview(out)


def _draw(worker: Worker, task: Task) -> None:
    """One part's frames, without sound."""
    folder, suffix = worker.place.local(), Path(task.item.output).suffix
    with _got(worker, task, "motion.npz") as path:
        motion = Motion.load(path)
    request = task.item.request(**worker.inputs(task.item))
    memory = worker.avatar.renderer.memory_frames
    part, skip = part_request(request, motion, task.cuts[task.part], memory)
    path = folder / f"{secrets.token_hex(8)}{suffix}"
    origin = origin_of(request, worker.avatar.provenance, worker.avatar.reader).part
    result = worker.avatar.render(part, path, skip=skip, origin=origin)
    _put(worker, task, path, f"{task.part}{suffix}")
    _put_json(worker, task, result.to_json(), f"{task.part}.json")


def _join(worker: Worker, task: Task) -> Made:
    """The parts and the sound as one video, under its name."""
    from motion2video.media.joining import join_videos

    suffix = Path(task.item.output).suffix
    out = worker.place.local() / f"{secrets.token_hex(8)}{suffix}"
    request = task.item.request(**worker.inputs(task.item))
    count = range(len(task.cuts))
    results = [_get_json(worker, task, f"{part}.json") for part in count]
    about = _get_json(worker, task, "about.json")
    with contextlib.ExitStack() as stack:
        stack.callback(out.unlink, missing_ok=True)
        parts = [stack.enter_context(_got(worker, task, f"{part}{suffix}")) for part in count]
        path = stack.enter_context(_got(worker, task, "sound.f32"))
        sound = None
        if about["has_sound"]:
            empty = path.stat().st_size == 0  # which cannot be mapped
            sound = np.zeros(0, np.float32) if empty else np.memmap(path, "<f4", "r")
        avatar, told = worker.avatar, about["told"]
        origin = origin_of(request, avatar.provenance, avatar.reader)
        seal = partial(origin.seal, name=out, notify=told["notices"].append)
        stack.callback(sidecar_of(out).unlink, missing_ok=True)
        frames = join_videos(parts, out, request.fps, sound, SAMPLE_RATE, seal)
        whole = _whole(request, results, frames)
        report = Told.of_json(about["measured"]).report(
            whole["identity"], _flicker(results), task.cuts[-1][1] / whole["fps"], out
        )
        told |= {"report": report.to_json(), "sync_offset_ms": report[BARS["offset"].name].value}
        result = {**whole, **told, "provenance": origin.told()}
        if request.subtitles == "file":
            stack.callback(place_of(out).unlink, missing_ok=True)
            save([Cue(**cue) for cue in told["subtitles"]], place_of(out))
        made = worker.deliver(task.item, task.key, out, result)
    storage.remove_tree(_folder(worker, task))
    return made


def _whole(request: RenderRequest, parts: list[dict[str, Any]], frames: int) -> dict[str, Any]:
    """What the results of the parts say about the whole."""
    first, drawing = parts[0], sum(part["frames"] / part["render_fps"] for part in parts)
    alike = [part["identity"] for part in parts if part["identity"] is not None]
    return {
        **first,
        "frames": frames,
        "seconds": frames / first["fps"],
        "wall_seconds": sum(part["wall_seconds"] for part in parts),
        "render_fps": frames / drawing,
        "peak_memory_mb": max(part["peak_memory_mb"] for part in parts),
        "identity": sum(alike) / len(alike) if alike else None,
        "settings": {**first["settings"], **request.describe()},
        "parts": len(parts),
    }


def _flicker(parts: Sequence[dict[str, Any]]) -> float | None:
    """The mean over the parts' calmest moments, by their lengths; None where none was looked at."""
    name = BARS["flicker"].name
    found = [
        (part["frames"], check["value"])
        for part in parts
        for check in part["report"]["checks"]
        if check["name"] == name and check["value"] is not None
    ]
    frames = sum(count for count, _ in found)
    return sum(count * value for count, value in found) / frames if frames else None


# -- what the tasks of one item leave for each other -------------------------------------------


def _folder(worker: Worker, task: Task) -> str:
    name = hashlib.sha256(task.item.output.encode()).hexdigest()[:16]
    return storage.join(worker.place.staging, name)


def _put(worker: Worker, task: Task, path: Path, name: str) -> None:
    storage.publish(path, storage.join(_folder(worker, task), name))


def _put_json(worker: Worker, task: Task, value: object, name: str) -> None:
    data = json.dumps(value).encode()
    storage.write_bytes(storage.join(_folder(worker, task), name), data, worker.place.local())


def _get_json(worker: Worker, task: Task, name: str) -> Any:
    return json.loads(storage.read_bytes(storage.join(_folder(worker, task), name)))


@contextlib.contextmanager
def _got(worker: Worker, task: Task, name: str) -> Iterator[Path]:
    """A file on this machine."""
    address = storage.join(_folder(worker, task), name)
    if not storage.is_remote(address):
        yield Path(address)
        return
    copy = worker.place.local() / f"{secrets.token_hex(8)}{Path(name).suffix}"
    try:
        yield storage.fetch(address, copy)
    finally:
        copy.unlink(missing_ok=True)
