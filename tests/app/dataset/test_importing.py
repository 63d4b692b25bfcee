"""Imports go on where they stopped, in one process or several, and say what went wrong."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app.dataset.config import ImportConfig
from app.dataset.crew import Importer, Job, run_crew
from app.dataset.importing import import_recordings
from app.dataset.layout import Dataset, Report, read_report
from app.dataset.recordings import Recording, Tools
from tests.app.dataset.made import FRAMES, import_by_name
from weights.errors import BusyError, InputError

ROOT = Path(__file__).parents[3]
BY_NAME: dict[str, Importer] = {"video": import_by_name}


def folder_of(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").write_bytes(name.encode())
    return folder


def run(folder: Path, out: Path, told: list[str] | None = None, **settings):
    given: dict[str, Any] = {"workers": 0, **settings}
    config = ImportConfig(**given)
    notify = (lambda line: None) if told is None else told.append
    return import_recordings(str(folder), out, config, notify, importers=BY_NAME)


def test_what_is_there_is_not_imported_again(tmp_path: Path) -> None:
    folder, out, told = folder_of(tmp_path, "one", "two"), tmp_path / "data", list[str]()
    first = run(folder, out, told)
    assert (first.imported, first.were_there, first.samples, first.frames) == (2, 0, 2, 2 * FRAMES)
    assert any(line.endswith("one.mp4: a word about it") for line in told)
    again = run(folder, out)
    assert (again.imported, again.were_there, again.samples) == (0, 2, 2)
    (folder / "two.mp4").write_bytes(b"another video")
    changed = run(folder, out)
    assert (changed.imported, changed.were_there) == (1, 1)
    assert run(folder, out, crops=True).imported == 2, "something else is to be made of them"


def test_failures_are_told_tried_again_or_left_alone(tmp_path: Path) -> None:
    folder, out, told = folder_of(tmp_path, "bad", "fault", "good"), tmp_path / "data", list[str]()
    summary = run(folder, out, told)
    assert summary.imported == 1 and len(summary.failed) == 2
    why = dict(summary.failed)
    assert why["bad.mp4"] == "bad is damaged" and "fault of visavis (KeyError" in why["fault.mp4"]
    assert any("bad.mp4 failed: bad is damaged" in line for line in told)
    assert len(run(folder, out).failed) == 2, "tried again"
    assert run(folder, out, keep_failed=True).were_there == 3


def test_half_written_files_and_broken_reports_are_made_again(tmp_path: Path) -> None:
    folder, out = folder_of(tmp_path, "one"), tmp_path / "data"
    run(folder, out)
    (report,) = (out / "reports").iterdir()
    report.write_text("{")
    half = out / "shards" / ".one.tar.abc.part"
    half.write_bytes(b"half")
    assert run(folder, out).imported == 1
    assert not half.exists() and read_report(report).samples


def test_two_imports_do_not_write_at_once(tmp_path: Path) -> None:
    import fcntl

    folder, out = folder_of(tmp_path, "one"), tmp_path / "data"
    run(folder, out)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="another import"):
            run(folder, out)


def test_nothing_to_import_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no video"):
        run(folder_of(tmp_path), tmp_path / "data")
    with pytest.raises(InputError, match="there is no folder"):
        run(tmp_path / "nowhere", tmp_path / "more")
    with pytest.raises(InputError, match="0 to 512"):
        ImportConfig(workers=-1)
    with pytest.raises(InputError, match="above 0"):
        ImportConfig(stall=0.0)


def reports_of(tmp_path: Path, names: tuple[str, ...], stall_s: float) -> dict[str, Report]:
    dataset = Dataset.create(tmp_path / "data")
    job = Job(os.fspath(dataset.folder), Tools(), BY_NAME)
    recordings = [Recording(name, "video", (f"{name}.mp4",), f"{name}.mp4") for name in names]
    heard = list(run_crew(job, recordings, 1, stall_s))
    assert sum(h.frames for h in heard) == FRAMES, "of the good one"
    assert len(dataset.reindex()) == 1
    return {h.report.recording: h.report for h in heard if h.report is not None}


@pytest.mark.slow
@pytest.mark.network
def test_a_process_that_dies_costs_its_recording_alone(tmp_path: Path) -> None:
    reports = reports_of(tmp_path, ("crash", "good"), stall_s=300.0)
    assert "SIGKILL" in reports["crash"].failed and reports["good"].samples


@pytest.mark.endurance
def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    reports = reports_of(tmp_path, ("slow", "good"), stall_s=5.0)
    assert "hangs" in reports["slow"].failed and reports["good"].samples


KILLED = """
import sys
from pathlib import Path
from app.dataset.config import ImportConfig
from app.dataset.importing import import_recordings
from tests.app.dataset.made import import_by_name
import_recordings(sys.argv[1], Path(sys.argv[2]), ImportConfig(workers=0),
                  importers={"video": import_by_name})
"""


@pytest.mark.slow
@pytest.mark.network
def test_an_import_that_was_killed_goes_on(tmp_path: Path) -> None:
    folder, out = folder_of(tmp_path, "a", "b", "slow"), tmp_path / "data"
    arguments = [sys.executable, "-c", KILLED, str(folder), str(out)]
    process = subprocess.Popen(arguments, cwd=ROOT)
    try:
        deadline = time.monotonic() + 120
        while len(list((out / "reports").glob("*.json"))) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (out / "index.jsonl").exists()
    (folder / "slow.mp4").rename(folder / "quick.mp4")
    summary = run(folder, out)
    assert (summary.imported, summary.were_there, summary.samples) == (1, 2, 3)
