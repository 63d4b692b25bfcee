"""Imports recordings into a dataset: in parallel, resumable, every failure explained.

What is done stays done, whatever happens: a recording's shard and report appear whole, and the next
import goes on with those that have none, or whose files have changed.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.dataset.config import ImportConfig
from app.dataset.crew import Importer, Job, run_crew
from app.dataset.layout import Dataset, Report, read_report
from app.dataset.pairs import import_channels, import_pair
from app.dataset.recordings import Recording, Terms, Tools, import_video
from app.dataset.seamless import import_interaction
from app.dataset.seamless_files import interactions_of
from app.dataset.sources import pairs_of, videos_of, with_lengths
from app.render.request import Notify, Progress
from motion2video.motion import FPS
from weights.errors import BusyError, InputError

IMPORTERS: dict[str, Importer] = {
    "video": import_video,
    "pair": import_pair,
    "channels": import_channels,
    "seamless": import_interaction,
}


@dataclass(frozen=True)
class Summary:
    """What an import did; `failed` says of each recording why it gave nothing."""

    recordings: int
    imported: int
    were_there: int
    samples: int
    seconds: float
    failed: tuple[tuple[str, str], ...]
    skipped: int
    frames: int
    took_s: float


def import_recordings(
    source: str,
    out: str | os.PathLike[str],
    config: ImportConfig | None = None,
    notify: Notify = lambda notice: None,
    progress: Progress | None = None,
    importers: dict[str, Importer] | None = None,
) -> Summary:
    """Import a folder (or, for Seamless Interaction, an address) into the dataset `out`.

    Raises InputError where there is nothing to import, BusyError while another import writes there.
    """
    config = config or ImportConfig()
    dataset = Dataset.create(out, {"licence": config.licence, "consent": config.consent})
    started = time.monotonic()
    with _locked(dataset.folder):
        recordings = _recordings(source, config, dataset.folder)
        _clear(dataset.folder)
        due = [one for one in recordings if not _is_there(dataset.folder, one, config.keep_failed)]
        tools = Tools(config.crops, Terms(config.licence, config.consent), motion=config.motion)
        threads = max(1, len(os.sched_getaffinity(0)) // max(1, config.workers))
        job = Job(os.fspath(dataset.folder), tools, importers or IMPORTERS, threads)
        reports = list[Report]()
        try:
            frames = _run(job, due, config, notify, progress, reports.append)
        finally:
            samples = dataset.reindex()
    failed = tuple((r.source, r.failed) for r in reports if r.failed)
    return Summary(
        len(recordings),
        len(reports) - len(failed),
        len(recordings) - len(due),
        len(samples),
        round(sum(s.seconds for s in samples), 2),
        failed,
        sum(len(r.skipped) for r in reports),
        frames,
        round(time.monotonic() - started, 2),
    )


def _run(
    job: Job,
    due: Sequence[Recording],
    config: ImportConfig,
    notify: Notify,
    progress: Progress | None,
    keep: Callable[[Report], None],
) -> int:
    total, frames, guessed = round(sum(one.seconds for one in due) * FPS), 0, 0
    length = {one.id: round(one.seconds * FPS) for one in due}
    for heard in run_crew(job, due, config.workers, config.stall):
        frames += heard.frames
        if heard.report is not None:
            keep(heard.report)
            guessed += length.pop(heard.report.recording, 0)
            for line in heard.report.skipped:
                notify(f"{heard.report.source}: {line}")
            if heard.report.failed:
                notify(f"{heard.report.source} failed: {heard.report.failed}")
        if progress is not None:
            done = max(frames, guessed) if length else total
            progress("importing", min(done, max(total, 1)), max(total, 1))
    return frames


def _recordings(source: str, config: ImportConfig, out: Path) -> list[Recording]:
    if config.layout == "seamless":
        found = interactions_of(source, out)
    elif config.layout == "pairs":
        found = with_lengths(pairs_of(Path(source)))
    else:
        found = with_lengths(videos_of(Path(source), config.people))
    names = [one.id for one in found]
    if len(set(names)) != len(names):
        raise InputError(f"two recordings of {source} have one name; rename one of them")
    return [replace(one, stamp=_stamp(one, config)) for one in found]


def _stamp(one: Recording, config: ImportConfig) -> str:
    """Changes when the files do, or what would be made of them."""
    told = (one.stamp, one.people, one.offset, config.crops, config.motion)
    told = (*told, config.licence, config.consent)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _is_there(folder: Path, one: Recording, keep_failed: bool) -> bool:
    path = folder / "reports" / f"{one.id}.json"
    if not path.is_file():
        return False
    try:
        report = read_report(path)
    except InputError:
        return False  # it is made again
    return report.stamp == one.stamp and (keep_failed or not report.failed)


def _clear(folder: Path) -> None:
    """Remove what an import that was killed left half written."""
    for name in ("shards", "reports", "."):
        for path in (folder / name).glob(".*.part"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One import at a time writes to a dataset; the lock goes with its process."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyError(f"another import is writing to {folder}; wait until it ends") from error
        yield
