"""The docs' examples of the API, run as they stand there against a real server."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from av.container import InputContainer

from app.client import Client, ServerError
from motion2video.media.video import probe
from motion2video.motion import Motion
from tests.app.api.test_live import Visitor, silence
from tests.app.serving import Served, running, small_avatar, wait_ended
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "api.md"
PAGE_URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(small_avatar(), tmp_path_factory.mktemp("data")) as it:
        yield it


@pytest.fixture
def folder(tmp_path: Path, portrait: Path, voice: Path) -> Path:
    """Where a reader would type the commands."""
    shutil.copy(portrait, tmp_path / "me.jpg")
    shutil.copy(voice, tmp_path / "answer.wav")
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(served: Served, folder: Path) -> None:
    block = next(b for b in blocks(PAGE, "bash") if "curl" in b)
    lines = [line.partition("  #")[0].strip() for line in block.splitlines()]
    # A result is forgotten last, whatever the order that explains best.
    lines.sort(key=lambda line: "DELETE" in line)
    identity = ""
    for line in lines:
        if "| ffmpeg" in line and shutil.which("ffmpeg") is None:
            line = line.partition("|")[0] + "-o piped.mp4"
        command = re.sub(r"\bID\b", identity, line.replace(PAGE_URL, served.url))
        done = subprocess.run(
            ["bash", "-ec", "set -o pipefail; " + command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        if "portrait=@" in line:
            identity = json.loads(done.stdout)["id"]
            with served.http() as http:
                assert wait_ended(http, identity)["state"] == "succeeded"
        elif "/events" in line:
            assert "event: job" in done.stdout
    assert probe(folder / "hello.mp4").frames
    assert len(Motion.load(folder / "answer.npz")) > 0
    with served.http() as http:
        assert http.get(f"/v1/videos/{identity}").status_code == 404


def test_python(served: Served, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = next(b for b in blocks(PAGE, "python") if "app.client" in b)
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(block, names)
    names["make"](served.url)
    assert probe(folder / "hello.mp4").audio_codec == "aac"


def test_the_clients_other_calls(served: Served, folder: Path) -> None:
    with Client(served.url) as client, Client(served.url) as other:
        out = client.motion(folder / "m.npz", agent_audio=folder / "answer.wav", gaze=[3, 0])
        fields = {"portrait": folder / "me.jpg", "motion": out, "size": 64}
        job = client.create(idempotency_key="once", **fields)
        assert client.create(idempotency_key="once", **fields)["id"] == job["id"]
        for call in (other.job, other.cancel, lambda i: list(other.follow(i))):
            with pytest.raises(ServerError, match="404: there is no such job"):
                call(job["id"])
        client.cancel(job["id"])
        with pytest.raises(ServerError, match="422: size") as refusal:
            client.create(portrait=folder / "me.jpg", text="Hi", size="large")
        assert refusal.value.status == 422


def test_what_obs_and_ffmpeg_open(served: Served, folder: Path) -> None:
    """Their media source is ffmpeg's reader of addresses, which PyAV has as well."""
    with Visitor(served) as visit:
        stop = threading.Event()

        def talk() -> None:
            while not stop.is_set():
                visit.send(silence(0.2))
                stop.wait(0.1)

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            url = served.url + visit.ready["pictures_url"]
            with av.open(url, mode="r", format="mpjpeg", timeout=20) as live:
                assert isinstance(live, InputContainer)
                frames = live.decode(video=0)
                sizes = [(f.width, f.height) for f, _ in zip(frames, range(10), strict=False)]
            assert sizes == [(128, 128)] * 10
        finally:
            stop.set()
            thread.join()
            visit.tell(type="end")
    files = {"portrait": (folder / "me.jpg").read_bytes()}
    motion = Motion.neutral(5).save(folder / "m.npz")
    with served.http() as http:
        files["motion"] = motion.read_bytes()
        job = http.post("/v1/videos", files=files, data={"size": "64"}).json()
        address = served.url + wait_ended(http, job["id"])["content_url"]
    with av.open(address, mode="r") as finished:
        assert isinstance(finished, InputContainer)
        assert sum(1 for _ in finished.decode(video=0)) == 5
