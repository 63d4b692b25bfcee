"""A batch to which everything happens at once, and what is there afterwards.

The faults are real: processes get SIGKILL in the middle of a video, the disk is full, the clock
jumps. Only the networks are small.
"""

import hashlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.batch.batch import LEDGER, Batch
from app.batch.doing import do_task
from app.batch.work import Place, Task, Worker
from motion2video.media.video import probe
from tests.app.batch.conftest import FRAMES, ROOT, make_rows, write_manifest
from tests.app.batch.tiny import FACTORY, TinyAvatar

COUNT, POISONED = 200, 77
RUN = """
import sys, tests.app.batch.tiny as tiny
from app.cli.commands import main
if __name__ == "__main__":
    tiny.jump_clock()
    sys.exit(main())
"""


def visavis(*words: object, file_limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """`visavis batch`, as a process of its own."""

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run(
        [sys.executable, "-c", RUN, "batch", *map(str, words), "--avatar", FACTORY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=limit,
        timeout=600,
    )


class Disk:
    """A small disk of its own where one can be mounted, else a limit on the size of files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.mounted = self._mount("size=600k")
        self.file_limit = None if self.mounted else 2_000

    def grow(self) -> None:
        """Room for everything from now on."""
        self.file_limit = None
        if self.mounted:
            assert self._mount("remount,size=64m")

    def _mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        try:
            return subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            return False

    def close(self) -> None:
        """Let it go."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.close()


def require_whole(folder: Path, states: dict[str, tuple[str, str | None]]) -> None:
    """Every video under a final name is whole, and what the ledger calls done is there."""
    for path in folder.glob("*.mp4"):
        info = probe(path)
        assert (info.frames, info.size, info.faststart) == (FRAMES, (64, 64), True), path
    for output, (state, sha256) in states.items():
        if state == "done":
            assert hashlib.sha256((folder / output).read_bytes()).hexdigest() == sha256


def states_of(ledger: Path) -> dict[str, tuple[str, str | None]]:
    """Output to (state, hash), read by SQLite alone; the file passes SQLite's own check."""
    with sqlite3.connect(ledger) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = db.execute("SELECT output, state, sha256 FROM items").fetchall()
    return {output: (state, sha256) for output, state, sha256 in found}


def workers_alive() -> list[int]:
    """Processes of tiny workers whose parent has gone."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if b"spawn_main" in words and state[1] == "1" and state[0] != "Z":
            found.append(int(entry.name))
    return found


@pytest.mark.endurance
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_all_faults_at_once(tiny: Path, tmp_path: Path, tiny_avatar: TinyAvatar, disk: Disk):
    """200 videos; three workers and a driver are killed, one item kills whoever touches it, the
    disk is full, the clock jumps: 199 right videos and one failure that is explained.
    """
    (tmp_path / "portrait.png").symlink_to(tiny / "portrait.png")
    manifest = write_manifest(tmp_path / "manifest.jsonl", make_rows(tmp_path, COUNT))
    out, ledger = disk.path / "out", disk.path / "out" / LEDGER
    words = (manifest, "--out", out, "--size", 64, "--workers", 2, "--json")
    for fault in ("kill-3", "kill-20", f"poison-{POISONED}", "driver-140", "kill-160"):
        (tiny / fault).touch()

    full = visavis(*words, file_limit=disk.file_limit)
    assert full.returncode in (1, 2), full.stderr
    assert "full" in full.stderr or "No space" in full.stderr or "too large" in full.stderr
    assert "Traceback" not in full.stderr
    require_whole(out, {})

    disk.grow()
    killed = visavis(*words)
    assert killed.returncode == -9, killed.stderr
    states = states_of(ledger)
    require_whole(out, states)
    before = sum(state == "done" for state, _ in states.values())
    assert 100 < before < COUNT

    (tiny / "clock").write_text(str(-400 * 86400.0))
    ended = visavis(*words)
    assert ended.returncode == 1, ended.stderr
    summary = json.loads(ended.stdout.splitlines()[-1])
    assert summary["counts"] == {"pending": 0, "running": 0, "done": COUNT - 1, "failed": 1}
    assert COUNT - 1 - before <= summary["made"] <= COUNT - before, "at most what was in flight"
    states = states_of(ledger)
    (failed,) = (output for output, (state, _) in states.items() if state == "failed")
    assert failed == f"{POISONED + 1:06d}.mp4"
    require_whole(out, states)
    assert len(list(out.glob("*.mp4"))) == COUNT - 1
    report = json.loads((out / "report.json").read_text())
    (item,) = (item for item in report["items"] if item["state"] == "failed")
    assert "worker died on it: it was ended by SIGKILL (tried 3 times)" in item["error"]
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing is left"
    assert not list(tiny.glob("kill-*")) + list(tiny.glob("driver-*")), "every fault has happened"
    wait_until(lambda: not workers_alive())
    require_same_as_serial(tiny_avatar, manifest, tmp_path, states)

    (tiny / "clock").write_text(str(900 * 86400.0))
    again = visavis(*words, "--keep-failed")
    summary = json.loads(again.stdout.splitlines()[-1])
    assert (summary["made"], summary["skipped"]) == (0, COUNT), "nothing is done twice"


def require_same_as_serial(
    avatar: TinyAvatar, manifest: Path, folder: Path, states: dict[str, tuple[str, str | None]]
) -> None:
    """Files are those that one process makes to which nothing happens, byte for byte."""
    from app.batch.manifest import read_manifest

    worker = Worker("here", avatar, Place(str(folder / "serial"), str(folder / "staging")))
    items = read_manifest(str(manifest), {"size": 64})
    for item in [*items[::25], items[3], items[160]]:
        if item.row != POISONED + 1:
            made = do_task(worker, Task(item, "")).made
            assert made is not None and made.sha256 == states[item.output][1]


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.endurance
def test_a_worker_that_hangs_is_replaced(make_batch: Callable[..., Batch], tiny: Path) -> None:
    """`--timeout` ends it; the item is tried again and the batch goes on."""
    from app.batch.batch import EngineOptions
    from app.batch.driver import BatchConfig

    batch = make_batch(
        2, engine=EngineOptions(workers=1, timeout=20.0), config=BatchConfig(retry=0)
    )
    (tiny / "slow-1").write_text("60")
    summary = batch.run()
    assert (summary.counts["done"], summary.counts["failed"], summary.deaths) == (1, 1, 1)
    report = json.loads((Path(batch.out) / "report.json").read_text())
    assert "took more than 20 s" in report["items"][1]["error"]


@pytest.mark.endurance
def test_no_worker_can_start(make_batch: Callable[..., Batch], tiny: Path) -> None:
    """The batch says so instead of starting workers for ever."""
    from app.batch.engine import LoadError
    from app.batch.work import AvatarSettings
    from weights.errors import InputError

    broken = AvatarSettings("tests.app.batch.tiny:no_such_thing", threads=1)
    with pytest.raises(InputError, match="cannot be imported"):
        make_batch(1, workers=1, settings=broken).run()
    dying = AvatarSettings("tests.app.batch.tiny:die", threads=1)
    with pytest.raises(LoadError, match="3 workers in a row died while loading"):
        make_batch(1, workers=1, settings=dying).run()
