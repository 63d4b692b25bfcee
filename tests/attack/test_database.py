"""A database that is locked, damaged or full: nobody's job is lost, and the server says so."""

import io
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.api.app import create_app
from app.api.problems import Problem
from app.api.settings import ServerConfig
from app.batch.ledger import Ledger
from app.cli.commands import main
from app.intake.limits import Limits
from app.jobs.database import Database
from app.jobs.store import FileStore
from app.render.demo import DEFAULT_PORTRAIT
from app.render.request import Progress
from motion2video.motion import Motion
from tests.app.serving import running, small_avatar, wait_ended
from tests.attack.jobs import OWNER, Told, ask, state, until, working
from weights.errors import BusyError, FullError, OutputError, UnavailableError

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program writes to the file, and does not come to an end."""
    other = sqlite3.connect(path, isolation_level=None, timeout=30)
    other.execute("begin exclusive")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


@pytest.mark.slow
def test_a_lock_of_seconds_costs_nobody_a_job(tmp_path: Path) -> None:
    motion = Motion.neutral(10).save(tmp_path / "still.npz").read_bytes()
    files = {"portrait": DEFAULT_PORTRAIT.read_bytes(), "motion": motion}
    with running(small_avatar(), tmp_path / "data") as served, served.http() as client:

        def begin(key: str) -> tuple[int, dict, str | None]:
            answer = client.post(
                "/v1/videos", files=files, data={"size": "128"}, headers={"Idempotency-Key": key}
            )
            return answer.status_code, answer.json(), answer.headers.get("Retry-After")

        before = begin("before")[1]["id"]
        with locked(tmp_path / "data" / "visavis.sqlite3"):
            end, refused = time.monotonic() + 4.0, 0
            while time.monotonic() < end or refused < 2:
                status, said, wait = begin("during")
                assert status == 503 and wait == "2" and "try again" in said["detail"], said
                refused += 1
                assert client.get(f"/v1/videos/{before}").status_code == 200, "reading goes on"
                assert client.get("/healthz").status_code == 200
                ready = client.get("/readyz")
                assert ready.status_code == 503 and "another program" in ready.json()["detail"]
        until(lambda: client.get("/readyz").status_code == 200, 10)
        status, during, _ = begin("during")
        assert status == 202
        for job in (before, during["id"], begin("after")[1]["id"]):
            assert wait_ended(client, job)["state"] == "succeeded"


@pytest.mark.slow
def test_what_is_done_while_the_database_is_locked_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.database._WAIT_S", 0.5)
    lock, locked_now = threading.Event(), threading.Event()

    def act(words: str, progress: Progress) -> None:
        lock.set()
        locked_now.wait(10)

    with working(tmp_path, act) as queue:
        job = ask(queue, "x")
        lock.wait(10)
        with locked(tmp_path / "visavis.sqlite3"):
            locked_now.set()
            time.sleep(1.5)  # longer than anybody waits for a lock
            assert state(queue, job) == "running"
            with pytest.raises(UnavailableError, match="another program"):
                ask(queue, "y")
        until(lambda: state(queue, job) == "succeeded")
        file = queue.store.get(queue.get(job, OWNER).output or "", OWNER)
        assert len(Motion.load(file.path)) == 3 and not queue.crew.replaced


@pytest.mark.slow
def test_who_reads_does_not_wait_for_who_cannot_write(tmp_path: Path) -> None:
    database = Database(tmp_path)
    refused: list[Exception] = []

    def write() -> None:
        try:
            database.require_writable()
        except UnavailableError as error:
            refused.append(error)

    with locked(tmp_path / "visavis.sqlite3"):
        writers = [threading.Thread(target=write) for _ in range(20)]
        for writer in writers:
            writer.start()
        began = time.monotonic()
        assert database.rows("select * from jobs") == []
        assert time.monotonic() - began < 1.0
        for writer in writers:
            writer.join()
        assert time.monotonic() - began < 10 and len(refused) == 20
    database.require_writable()
    database.close()


# -- a file that is no database of ours ----------------------------------------------------


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xfe\x12 no database " * 1000)


def _truncated(path: Path) -> None:
    with sqlite3.connect(path) as made:
        made.execute("create table filler (x)")
        made.executemany("insert into filler values (?)", [("y" * 500,)] * 200)
    made.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _holes(path: Path) -> None:
    _truncated(path)
    data = bytearray(path.read_bytes())
    data[4096:12288] = b"\xff" * 8192
    path.write_bytes(data)


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as made:
        made.execute("pragma user_version = 7")
    made.close()


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as made:
        made.execute("create table jobs (job text)")
        made.execute("create table items (item text)")
    made.close()


def _folder(path: Path) -> None:
    path.mkdir()


WRONG = [
    (_garbage, "is damaged"),
    (_truncated, "is damaged"),
    (_holes, "is damaged"),
    (_newer, "of version 7; wanted version 1"),
    (_foreign, "is another program's"),
    (_folder, "is a folder"),
]


def follow(said: str) -> None:
    """Run the commands that a message names."""
    found = re.search(r"a new one: (mv .*?; rm -f .*?);", said)
    assert found is not None, said
    subprocess.run(found.group(1), shell=True, check=True)


def without_notes(said: str) -> str:
    """What a server says that is starting, but for what it is about to do."""
    return "".join(line for line in said.splitlines(True) if not line.startswith("note: "))


@pytest.mark.parametrize(("spoil", "what"), WRONG)
def test_a_server_ends_with_what_is_wrong_with_its_database_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], what: str
) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    spoil(folder / "visavis.sqlite3")
    words = ["app", "--no-studio", "--port", "0", "--data-dir", str(folder)]
    assert main(words) == 2
    said = without_notes(capsys.readouterr().err)
    assert said.count("\n") == 1 and what in said, said
    follow(said)
    database = Database(folder)
    assert database.rows("select * from jobs") == []
    database.close()


@pytest.mark.parametrize(("spoil", "what"), WRONG)
def test_a_batch_ends_with_what_is_wrong_with_its_ledger_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], what: str
) -> None:
    Motion.neutral(3).save(tmp_path / "still.npz")
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text(f'{{"portrait": "{DEFAULT_PORTRAIT}", "motion": "still.npz"}}\n')
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "ledger.sqlite"
    spoil(path)
    assert main(["batch", str(manifest), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and what in said, said
    follow(said)
    with Ledger(path) as ledger:
        assert sum(ledger.counts().values()) == 0


@pytest.mark.parametrize("name", ["visavis.sqlite3", "files", "lock"])
def test_a_thing_of_another_kind_in_the_folder_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    place = tmp_path / name
    place.mkdir() if name != "files" else place.write_text("x")
    assert main(["app", "--no-studio", "--port", "0", "--data-dir", str(tmp_path)]) == 2
    said = without_notes(capsys.readouterr().err)
    assert said.count("\n") == 1 and str(place.parent) in said


def test_without_the_right_to_write_it_is_a_sentence() -> None:
    with tempfile.TemporaryDirectory() as name:
        require_told_of_rights(Path(name))


def require_told_of_rights(folder: Path) -> None:
    """In a folder that another user may enter, which no folder above pytest's own may be."""
    Database(folder / "d").close()
    code = (
        "import os, sys; from pathlib import Path; from app.jobs.database import Database\n"
        "from weights.errors import OutputError\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: Database(Path(sys.argv[1]))\n"
        "except OutputError as error: print(error)\n"
    )
    folder.chmod(0o755)
    for part in ("lock", "visavis.sqlite3"):
        path = folder / "d" / part
        (folder / "d").chmod(0o755)
        path.chmod(0o444)
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder / "d")], cwd=ROOT, capture_output=True
        )
        said = done.stdout.decode()
        assert said.count("\n") == 1 and str(folder / "d") in said, done.stderr
        path.chmod(0o666)
    assert "right to write" in said


def test_a_database_that_somebody_holds_at_the_start_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.database._OPEN_WAIT_S", 0.2)
    path = tmp_path / "visavis.sqlite3"
    with locked(path), pytest.raises(OutputError, match="is locked by another program; close"):
        Database(tmp_path)
    Database(tmp_path).close()


def test_a_database_without_a_version_is_from_before_and_is_taken(tmp_path: Path) -> None:
    Database(tmp_path).close()
    path = tmp_path / "visavis.sqlite3"
    with sqlite3.connect(path) as made:
        made.execute("pragma user_version = 0")
        made.execute("insert into secrets values ('urls', 'kept')")
    made.close()
    database = Database(tmp_path)
    assert database.secret("urls", "fresh") == "kept"
    assert database.rows("pragma user_version")[0][0] == 1
    database.close()


# -- room for everybody --------------------------------------------------------------------


@pytest.fixture
def still(tmp_path: Path) -> bytes:
    return Motion.neutral(3).save(tmp_path / "still.npz").read_bytes()


@contextmanager
def store_of(folder: Path, limits: Limits) -> Iterator[tuple[FileStore, Database]]:
    database = Database(folder)
    try:
        yield FileStore(database, limits), database
    finally:
        database.close()


def test_all_owners_files_together_are_bounded_and_the_oldest_expired_go_first(
    tmp_path: Path, still: bytes
) -> None:
    for limits in (Limits(total_bytes=3 * len(still)), Limits(max_files=3)):
        with store_of(tmp_path / str(limits.max_files), limits) as (store, database):

            def add(owner: str, store: FileStore = store) -> str:
                return store.add(owner, io.BytesIO(still), ("motion",), "motion").id

            one, two, three = add("a"), add("b"), add("c")
            with pytest.raises(FullError, match="for everybody, at most"):
                add("d")
            for number, identity in enumerate((two, one)):
                database.rows("update files set expires = ? where id = ?", 5 + number, identity)
            add("d")
            left = {path.name.partition(".")[0] for path in store.folder.iterdir()}
            assert two not in left and {one, three} < left, "the one that ended first has gone"
            assert len(left) == 3


def test_a_full_place_is_507_and_a_locked_database_503(tmp_path: Path) -> None:
    full = Problem.of(FullError("the server is full"))
    held = Problem.of(UnavailableError("try again", 7))
    assert (full.status, full.detail, full.retry_after) == (507, "the server is full", None)
    assert (held.status, held.detail, held.retry_after) == (503, "try again", 7)


def test_while_the_disk_is_full_jobs_wait_and_the_server_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, still: bytes
) -> None:
    done: list[str] = []
    monkeypatch.setattr("app.jobs.store.shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with working(tmp_path / "d", lambda words, _: done.append(words)) as queue:
        job = ask(queue, "x")
        until(lambda: "disk has 0 MB left" in queue.trouble())
        with pytest.raises(FullError):
            queue.store.add(OWNER, io.BytesIO(still), ("motion",), "motion")
        assert state(queue, job) == "queued" and not done
        monkeypatch.undo()
        until(lambda: state(queue, job) == "succeeded" and queue.trouble() == "")


def test_jobs_that_are_remembered_are_bounded_and_expired_ones_make_room(tmp_path: Path) -> None:
    with working(tmp_path, lambda *_: None, Limits(max_jobs=3)) as queue:
        jobs = [ask(queue, str(number)) for number in range(3)]
        until(lambda: all(state(queue, job) == "succeeded" for job in jobs))
        with pytest.raises(BusyError, match="remembers as many jobs as it can"):
            ask(queue, "x")
        queue._database.rows("update jobs set expires = 1 where id = ?", jobs[0])
        assert state(queue, ask(queue, "y")) in ("queued", "running", "succeeded")


def test_what_looks_after_live_conversations_outlives_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.live.rooms._LOOK_S", 0.05)
    monkeypatch.setattr("app.jobs.database._WAIT_S", 0.2)
    config = ServerConfig(tmp_path / "d")
    app = create_app(lambda: Told.to(lambda *_: None), config)
    database, rooms = app.state.context.database, app.state.rooms
    database.rows("insert into live values ('old', 'a', '64', null, 'saved', 1.0)")
    with locked(tmp_path / "d" / "visavis.sqlite3"):
        rooms.start()
        time.sleep(1.0)
    until(lambda: database.rows("select * from live") == [])
    assert database.rows("select * from live") == []
    app.state.context.closing.set()
    rooms.close()
    database.close()
