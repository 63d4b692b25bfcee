"""A visitor's batch: a manifest and its files, uploaded together, made one after the other.

The manifest is one of app.batch (JSON Lines or CSV). Its files are looked for among the uploads, by
their bare names, and nowhere else: no path of the server and no address goes in.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.batch.manifest import Item, ManifestError, Schema, read_manifest
from app.intake.allowance import require_allowed, require_file, require_length
from app.intake.limits import Limits
from app.intake.sandbox import Check, shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.crew import Cancelled, Running
from app.jobs.plan import video_seconds
from app.render.pipeline import Avatar
from app.render.reading import Reader
from app.render.request import FILE_KINDS, SERVERS_OWN, RenderRequest
from weights.errors import InputError, LimitError, VisavisError

MOST_ITEMS = 200
"""Rows of one manifest, where the server has places for so many waiting videos."""
_MANIFESTS = (".jsonl", ".csv")
State = Literal["waiting", "working", "done", "failed"]


@dataclass(eq=False)
class BatchVideo:
    """One video of a batch: what it is made from, how far it is, and what went wrong."""

    item: Item
    video: Path
    state: State = "waiting"
    told: str = ""


@dataclass(eq=False)
class VisitorBatch:
    """All videos of one upload; `files` are the names that errors may show."""

    folder: Path
    entries: list[BatchVideo]
    files: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[list[str]]:
        """Row, output, state and what there is to say, for a table."""
        return [[str(e.item.row), e.item.output, e.state, e.told] for e in self.entries]

    def left(self) -> list[BatchVideo]:
        """What is not made yet; what failed is tried again."""
        return [entry for entry in self.entries if entry.state != "done"]

    def pack(self) -> Path | None:
        """All finished videos in one zip file; None while there is none."""
        done = [entry for entry in self.entries if entry.state == "done"]
        if not done:
            return None
        packed = self.folder / "videos.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # videos do not shrink
            for entry in done:
                archive.write(entry.video, entry.item.output)
        return packed


def read_upload(uploads: Sequence[Path], folder: Path, limits: Limits) -> VisitorBatch:
    """The batch in uploaded files, copied into `folder`: one manifest, and what it names.

    Raises InputError (ManifestError for its rows) for anything that cannot be used, LimitError for
    more than this server takes.
    """
    manifests = [path for path in uploads if path.suffix.lower() in _MANIFESTS]
    if len(manifests) != 1:
        raise InputError(
            f"got {len(manifests)} manifests; upload one .jsonl or .csv and the files it names"
        )
    (manifest,) = manifests
    given = {path.name: path for path in uploads if path is not manifest}
    if len(given) != len(uploads) - 1:
        raise InputError("two of the files have one name; give each a name of its own")
    rows = SandboxReader(shared_sandbox()).rows(manifest)
    most = min(MOST_ITEMS, limits.max_waiting)
    if len(rows) > most:
        raise LimitError(f"the manifest has {len(rows)} rows; at most {most} are made here")
    wrong = [(n, told) for n, row in enumerate(rows, 1) for told in _wrong_in(row, given)]
    if wrong:
        raise ManifestError(manifest.name, wrong)
    inputs = folder / "inputs"
    inputs.mkdir()
    for name, path in given.items():
        shutil.copyfile(path, inputs / name)
    clean = inputs / "manifest.jsonl"
    clean.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    videos = folder / "videos"
    try:
        items = read_manifest(str(clean), {})
    except InputError as error:  # names the copy, whose rows are those of the upload
        told = str(error).replace(clean.name, manifest.name)
        raise InputError(told.replace(f"{inputs}/", "")) from error
    entries = [BatchVideo(item, videos / item.output) for item in items]
    beyond = [(item.row, why) for item in items if (why := _beyond(item, limits))]
    if beyond:
        told = "\n".join(f"row {row}: {why}" for row, why in beyond)
        raise LimitError(f"{manifest.name} asks for more than is made here:\n{told}")
    return VisitorBatch(folder, entries, {str(inputs / name): name for name in given})


def make_all(
    batch: VisitorBatch, avatar: Callable[[Check], Avatar], limits: Limits, run: Running
) -> VisitorBatch:
    """Make what is left of a batch, as an errand; one that fails does not stop the rest. `avatar`
    gives the one that draws, which is stopped by its argument.
    """
    run.progress("loading the networks", 0, 1)
    drawing = avatar(run.check)
    left = batch.left()
    for done, entry in enumerate(left):
        run.progress("videos made", done, len(left))
        entry.state, entry.told = "working", ""
        entry.video.parent.mkdir(parents=True, exist_ok=True)

        def progress(what: str, frames: int, total: int, entry: BatchVideo = entry) -> None:
            entry.told = f"{what}: {frames} of {total}"
            run.check()

        try:
            made = drawing.render(
                _looked_at(entry.item, limits, drawing.reader), entry.video, progress=progress
            )
            entry.state, entry.told = "done", f"{made.seconds:.2f} s"
        except Cancelled:
            entry.state, entry.told = "waiting", "cancelled"
            raise
        except VisavisError as error:
            entry.state, entry.told = "failed", _without(str(error), batch.files)
    run.progress("videos made", len(left), len(left))
    return batch


def _looked_at(item: Item, limits: Limits, reader: Reader) -> RenderRequest:
    """The request of a row whose files have been looked at, each by its content."""
    for name in item.files:
        require_file(Path(item.fields[name]), FILE_KINDS[name], limits)
    for address in item.recordings.values():
        require_file(Path(address), FILE_KINDS["agent_audio"], limits)
    request = item.request()
    require_length(video_seconds(request, reader), limits)
    return request


def _beyond(item: Item, limits: Limits) -> str:
    """Why a row is more than this server takes; empty where it is not."""
    try:
        require_allowed(item.request(), limits)
    except LimitError as error:
        return str(error)
    return ""


def _wrong_in(row: Mapping[str, Any], given: Mapping[str, Path]) -> Iterator[str]:
    """What of a row is not taken here: a file that was not uploaded with it, and whatever would
    have this server ask a language model: one of the visitor's choice would be sent its key.
    """
    named = [(word, row.get(word)) for word in Schema().files if word not in SERVERS_OWN]
    for word, name in (*named, *_recordings(row)):
        if name is not None and (not isinstance(name, str) or name not in given):
            yield (
                f"{word} is {name!r}, which was not uploaded; upload the files together with the "
                "manifest, and name them without folders"
            )
    for word in ("ask", *sorted(SERVERS_OWN)):
        if word not in row:
            continue
        if word == "turns_file":
            yield "turns_file names other files; write the turns into the row (turns)"
        else:
            yield f"no language model is asked here; leave out {word}"


def _recordings(row: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What the turns of a row, as a list or as JSON in a cell, name as recordings."""
    turns = row.get("turns")
    if isinstance(turns, str):
        try:
            turns = json.loads(turns) if turns.lstrip().startswith("[") else ()
        except (ValueError, RecursionError):
            return  # it is refused when it is read
    for number, turn in enumerate(turns if isinstance(turns, list) else (), 1):
        if isinstance(turn, Mapping) and "audio" in turn:
            yield f"the recording of turn {number}", turn["audio"]


def _without(sentence: str, files: Mapping[str, str]) -> str:
    for path, name in files.items():
        sentence = sentence.replace(path, name)
    return sentence
