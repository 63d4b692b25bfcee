"""Files and jobs of visitors, without a server: ownership, quota, expiry, restarts."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from app.api.settings import ServerConfig, read_keys
from app.intake.limits import Limits
from app.jobs.database import Database
from app.jobs.queue import MAX_RESTARTS, JobQueue
from app.jobs.record import files_in, from_record, hide_paths, to_record
from app.jobs.store import FileStore, StoredFile
from app.render.request import MotionRequest, RenderRequest
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import Motion
from weights.errors import (
    BusyError,
    ConflictError,
    InputError,
    LimitError,
    NotFoundError,
    StateError,
)

LIMITS = Limits(quota_bytes=20_000, max_waiting_each=2, max_waiting=3)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    it = Database(tmp_path / "data")
    yield it
    it.close()


@pytest.fixture
def store(database: Database) -> FileStore:
    return FileStore(database, LIMITS)


@pytest.fixture
def queue(database: Database, store: FileStore) -> JobQueue:
    """A queue that is not started: nobody works."""

    def nobody() -> NoReturn:
        raise AssertionError("no job shall be done here")

    return JobQueue(database, store, nobody, LIMITS)


@pytest.fixture
def still(tmp_path: Path) -> bytes:
    return Motion.neutral(3).save(tmp_path / "still.npz").read_bytes()


def add(store: FileStore, data: bytes, owner: str = "a") -> StoredFile:
    return store.add(owner, io.BytesIO(data), ("motion",), "motion")


def request(store: FileStore, still: bytes, owner: str = "a") -> RenderRequest:
    path = add(store, still, owner).path
    return RenderRequest(portrait=add(store, still, owner).path, motion=path, gaze=None)


def test_only_the_owner_finds_a_file(store: FileStore, still: bytes) -> None:
    file = add(store, still)
    assert store.get(file.id, "a").path.read_bytes() == still
    assert file.path.suffix == ".npz" and file.path.stat().st_mode & 0o077 == 0
    for identity, owner in ((file.id, "b"), ("../lock", "a"), ("", "a"), (file.id + "/", "a")):
        with pytest.raises(NotFoundError):
            store.get(identity, owner)
    store.remove(file.id, "b")
    assert store.get(file.id, "a")
    store.remove(file.id, "a")
    assert not file.path.exists()


def test_quota_and_expiry(store: FileStore, still: bytes, database: Database) -> None:
    kept = []
    with pytest.raises(LimitError, match=r"0\.02 MB"):
        for _ in range(20):
            kept.append(add(store, still))
    assert len(kept) > 1 and add(store, still, "b")
    database.rows("update files set expires = 1 where owner = 'a'")
    with pytest.raises(NotFoundError):
        store.get(kept[0].id, "a")
    assert store.sweep() == len(kept) and store.used("a") == 0
    assert len(list(store.folder.iterdir())) == 1


def test_a_killed_servers_leftovers_go(store: FileStore, still: bytes, database: Database) -> None:
    file = add(store, still)
    (store.folder / "half.part").write_bytes(b"x")
    FileStore(database, LIMITS)
    assert [path.name for path in store.folder.iterdir()] == [file.path.name]


def test_one_server_a_folder(database: Database) -> None:
    with pytest.raises(StateError, match="another server"):
        Database(database.folder)


def test_a_request_is_written_down_and_read_again(store: FileStore, still: bytes) -> None:
    made = request(store, still)
    record, files = to_record(made, store, "a")
    assert len(files) == 2 and str(store.folder) not in record
    assert from_record("video", record, store, "a").describe() == made.describe()
    with pytest.raises(NotFoundError):
        from_record("video", record, store, "b")
    assert hide_paths(f"{made.portrait} is bad", made) == "portrait is bad"


def test_recordings_of_turns_are_files_of_a_job(store: FileStore) -> None:
    sound = synthesize("Well.")
    said = io.BytesIO(sound.save(store.folder.parent / "well.wav").read_bytes())
    kept = store.add("a", said, ("sound",), "a recording")
    turns = ("agent: Hi", {"who": "interlocutor", "audio": str(kept.path)})
    made = MotionRequest(turns=turns)
    record, files = to_record(made, store, "a")
    assert files == files_in(record) == [kept.id] and str(store.folder) not in record
    assert from_record("motion", record, store, "a").describe() == made.describe()
    assert hide_paths(f"turn 2: {kept.path} is silent", made) == "turn 2: its recording is silent"
    with pytest.raises(InputError, match="in the store"):
        to_record(replace(made, turns=({"who": "agent", "audio": "/etc/passwd"},)), store, "a")
    with pytest.raises(NotFoundError):
        from_record("motion", record, store, "b")


def test_files_from_elsewhere_are_no_jobs(queue: JobQueue, tmp_path: Path) -> None:
    motion = Motion.neutral(3).save(tmp_path / "m.npz")
    for portrait in ("/etc/passwd", store_escape(queue)):
        with pytest.raises(InputError, match="in the store"):
            queue.submit(RenderRequest(portrait=portrait, motion=motion), "a")


def store_escape(queue: JobQueue) -> str:
    return str(queue.store.folder / ".." / "visavis.sqlite3")


def test_queue_limits_and_keys(queue: JobQueue, store: FileStore, still: bytes) -> None:
    first = queue.submit(request(store, still), "a", "key", "digest")
    assert queue.submit(request(store, still), "a", "key", "digest") == first
    with pytest.raises(ConflictError):
        queue.submit(request(store, still), "a", "key", "other")
    queue.submit(request(store, still), "a")
    with pytest.raises(BusyError, match="too many"):
        queue.submit(request(store, still), "a")
    used = store.used("a")
    assert queue.get(first, "a").position == 0
    with pytest.raises(NotFoundError):
        queue.get(first, "b")
    with pytest.raises(NotFoundError):
        queue.cancel(first, "b")
    queue.cancel(first, "a")
    assert queue.get(first, "a").state == "cancelled" and store.used("a") < used


def test_a_job_that_takes_the_server_down_is_given_up(
    queue: JobQueue, store: FileStore, still: bytes
) -> None:
    identity = queue.submit(request(store, still), "a")
    for restart in range(1, MAX_RESTARTS + 1):
        assert queue.jobs.take() is not None
        queue.jobs.recover()
        job = queue.get(identity, "a")
        assert (job.state, job.restarts) == ("queued", restart)
    queue.jobs.take()
    queue.jobs.recover()
    job = queue.get(identity, "a")
    assert job.state == "failed" and "given up" in (job.error or "")


def test_owners_take_turns(queue: JobQueue, store: FileStore, still: bytes) -> None:
    one, two = (queue.submit(request(store, still, "a"), "a") for _ in range(2))
    other = queue.submit(request(store, still, "b"), "b")
    taken = [row["id"] for row in iter(queue.jobs.take, None)]
    assert taken == [one, other, two]


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_API_KEYS", "a" * 16 + " " + "b" * 16)
    assert read_keys(None) == ("a" * 16, "b" * 16)
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{'c' * 20}  # a client\n")
    assert read_keys(path) == ("c" * 20,)
    assert "c" * 20 not in repr(ServerConfig(tmp_path, keys=read_keys(path)))
    for keys in (("short",), ("with space" * 3,)):
        with pytest.raises(InputError, match="16 to 256"):
            ServerConfig(tmp_path, keys=keys)
    for origin in ("*", "https://x/y", "file://x"):
        with pytest.raises(InputError, match="no wildcard"):
            ServerConfig(tmp_path, cors=(origin,))
    with pytest.raises(InputError, match="port"):
        ServerConfig(tmp_path, port=70000)
    assert "127.0.0.1" in ServerConfig(tmp_path, hosts=("a.example",)).known_hosts
