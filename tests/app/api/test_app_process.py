"""`visavis app` as a process of its own: killed during a job, stopped by Ctrl-C, misused."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.cli.commands import main
from motion2video.media.video import probe
from motion2video.motion import Motion
from tests.app.serving import wait_ended, wait_ready

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[3]
START = "import sys; from app.cli.commands import main; sys.exit(main())"


@contextmanager
def visavis_app(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The server as a user starts it, on a free port; killed at the end if it still runs. What it
    tells meanwhile is in `told.txt` beside its folder.
    """
    words = ["app", "--port", "0", "--no-studio", "--steps", "0", "--device", "cpu"]
    with (folder.parent / "told.txt").open("a", encoding="utf-8") as told:
        process = subprocess.Popen(
            [sys.executable, "-c", START, *words, "--data-dir", str(folder), *more],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip().removeprefix("Visavis is at ")
        assert url.startswith("http://127.0.0.1:"), url
        wait_ready(url, 240)
        with httpx.Client(base_url=url, timeout=30) as client:
            yield process, client
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        process.stdout.close()


def begin(client: httpx.Client, portrait: Path, folder: Path, seconds: float) -> str:
    motion = Motion.neutral(round(seconds * 25)).save(folder / "still.npz")
    files = {"portrait": portrait.read_bytes(), "motion": motion.read_bytes()}
    return client.post("/v1/videos", files=files, data={"size": "256"}).json()["id"]


def wait_rendering(client: httpx.Client, identity: str) -> None:
    deadline = time.monotonic() + 180
    while (job := client.get(f"/v1/videos/{identity}").json())["progress"]["what"] != "rendering":
        assert job["state"] in ("queued", "running") and time.monotonic() < deadline, job
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_during_a_job_then_stopped_then_done(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with visavis_app(data) as (process, client):
        job = begin(client, portrait, tmp_path, 280.0)  # it does not end by itself
        wait_rendering(client, job)
        waiting = begin(client, portrait, tmp_path, 0.4)
        assert main(["app", "--port", "0", "--data-dir", str(data)]) == 2
        assert "another server uses" in capsys.readouterr().err
        process.kill()
        process.wait(10)
    told = (tmp_path / "told.txt").read_text(encoding="utf-8")
    begun = ("starting the API at http://127.0.0.1:", "loading the networks", "are loaded")
    places = [told.find(words) for words in begun]
    assert -1 not in places and places == sorted(places), "it says what it does, and where it is"
    with visavis_app(data) as (process, client):
        again = client.get(f"/v1/videos/{job}").json()
        assert again["state"] in ("queued", "running") and again["restarts"] == 1
        wait_rendering(client, job)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    with visavis_app(data) as (process, client):
        # Stopping in good order is no crash: the job waits again, and nothing is counted.
        assert client.get(f"/v1/videos/{job}").json()["restarts"] == 1
        assert client.delete(f"/v1/videos/{job}").status_code == 204
        done = wait_ended(client, waiting, 180)
        assert done["state"] == "succeeded"
        out = tmp_path / "out.mp4"
        out.write_bytes(client.get(f"/v1/videos/{waiting}/content").content)
        assert probe(out).frames == 10
        assert [p for p in (data / "files").iterdir() if p.suffix == ".part"] == []
        process.terminate()
        assert process.wait(60) == 143


def test_misuse_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "keys"
    empty.write_text("# none yet\n")
    for words, said in (
        (["--keys-file", str(tmp_path / "none")], "cannot be read"),
        (["--keys-file", str(empty)], "holds no key"),
        (["--cors", "*"], "no wildcard"),
        (["--max-live", "0"], "at least 1"),
        (["--data-dir", str(empty)], "cannot use the folder"),
    ):
        free = ["--port", "0", "--no-studio"]
        assert main(["app", "--data-dir", str(tmp_path / "d"), *free, *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_a_port_that_is_taken_is_told_before_anything_is_set_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["app", "--data-dir", str(tmp_path / "d"), "--port", port]) == 2
    said = capsys.readouterr()
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in said.err
    assert "--port takes another" in said.err and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "d").exists(), "nor is a folder made"
