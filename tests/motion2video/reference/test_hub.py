"""Fetching from a hub on loopback, through huggingface_hub itself."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from motion2video.reference.conversion import convert
from motion2video.reference.families import Family
from motion2video.reference.hub import fetch_family
from motion2video.reference.keys import all_keys
from motion2video.reference.reading import read_tensors
from motion2video.reference.store import known_hashes, require_all, verify_family
from tests.motion2video.reference import tiny
from weights.errors import WeightsError

pytestmark = pytest.mark.network
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.ThreadingHTTPServer):
    """As much of the hub's interface as a download of single files asks for."""

    files: dict[str, bytes]
    asked: list[str]
    breaking: str = ""
    """The end of a path of which half is sent, and then nothing."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Hub  # pyrefly: ignore[bad-override-mutable-attribute]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/"):
            repository = "/".join(path.split("/")[3:5])
            files = [name for name in self.server.files if name.startswith(f"{repository}/")]
            siblings = [
                {"rfilename": name.split("/", 2)[2], "size": len(self.server.files[name])}
                for name in files
            ]
            about = {"id": repository, "sha": COMMIT, "siblings": siblings}
            self.send(json.dumps({**about, "cardData": {"license": "mit"}}).encode(), True)
            return
        owner, name, _, _, rest = path[1:].split("/", 4)
        content = self.server.files.get(f"{owner}/{name}/{rest}")
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        breaks = body and self.server.breaking != "" and path.endswith(self.server.breaking)
        if content is None:
            self.send_error(404)
        elif breaks and start:
            self.send_error(503)
        else:
            self.send(content, body, start, breaks)

    def send(self, content: bytes, body: bool, start: int = 0, breaks: bool = False) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.server.asked.append(f"from {start}")
            told = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", told)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content[start : len(content) // 2 if breaks else None])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with Hub(("127.0.0.1", 0), _Answers) as server:
        server.files, server.asked = contents(tmp_path, FAMILY), []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


FAMILY = tiny.FAMILIES["animate-anyone"]


def contents(folder: Path, family: Family) -> dict[str, bytes]:
    files = {}
    for part, source in family.sources.items():
        path = folder / f"published-{part}"
        tensors = tiny.file_of(all_keys(family.shapes)[part])
        if source.file.endswith(".safetensors"):
            from safetensors.torch import save

            data = save(tensors)
        else:
            torch.save(tensors, path)
            data = path.read_bytes()
        files[f"{source.repository}/{source.file}"] = data
    return files


def test_a_family_is_fetched_once_and_converted(hub: Hub) -> None:
    told: list[str] = []
    paths = fetch_family(FAMILY, told.append, hub.url)
    assert paths.keys() == FAMILY.sources.keys()
    assert {one.converted for one in require_all(FAMILY).values()} == {True}
    part = "denoising_unet"
    wanted = convert(part, tiny.file_of(all_keys(FAMILY.shapes)[part]), FAMILY.shapes)
    held = read_tensors(paths[part])
    assert held.keys() == wanted.keys() and all(torch.equal(held[n], wanted[n]) for n in wanted)
    assert f"patrolli/AnimateAnyone/{part}.pth at {COMMIT[:12]}" in told[0]
    assert " MB, licence mit" in told[0], "before the first byte"
    verify_family(FAMILY)
    published = hub.files[f"patrolli/AnimateAnyone/{part}.pth"]
    assert known_hashes(FAMILY)[f"animate-anyone/{part}"] == hashlib.sha256(published).hexdigest()
    hub.asked.clear()
    fetch_family(FAMILY, told.append, hub.url)
    assert hub.asked == [], "nothing is left to ask for"


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 10)  # what is kept at a time
    hub.breaking = "reference_unet.pth"
    with pytest.raises(WeightsError, match="goes on where it stopped"):
        fetch_family(FAMILY, endpoint=hub.url)
    hub.breaking = ""
    hub.asked.clear()
    paths = fetch_family(FAMILY, endpoint=hub.url)
    half = len(hub.files["patrolli/AnimateAnyone/reference_unet.pth"]) // 2
    (start,) = (int(one.split()[1]) for one in hub.asked if one.startswith("from "))
    assert half - (1 << 10) < start <= half
    assert not any("denoising_unet" in one for one in hub.asked), "what was there already"
    assert {path.suffix for path in paths["reference_unet"].parent.iterdir()} == {
        *(".safetensors", ".json")
    }, "nothing is left of it"
    wanted = tiny.file_of(all_keys(FAMILY.shapes)["reference_unet"])
    held = read_tensors(paths["reference_unet"])
    assert all(torch.equal(held[name], wanted[name]) for name in wanted)


def test_a_command_asks_the_mirror_that_the_environment_names(hub: Hub, tmp_path: Path) -> None:
    """And says sizes and licences before the first byte, and what is wrong with a file."""
    code = "import sys; from app.cli.commands import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "weights", "fetch", "animate-anyone"]
    folders = {"VISAVIS_CACHE": str(tmp_path / "other"), "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        words, env={**os.environ, "HF_ENDPOINT": hub.url, **folders}, capture_output=True, text=True
    )
    assert done.returncode == 2 and "not the denoising unet" in done.stderr, done.stderr
    told = [line for line in done.stderr.splitlines() if "licence" in line]
    assert len(told) == len(FAMILY.sources) and all(" MB, licence mit" in one for one in told)
    asked = [one for one in hub.asked if one.startswith("GET") and "/resolve/" in one]
    assert asked and "denoising_unet.pth" in asked[0]


def test_a_file_that_was_changed_since_is_refused(hub: Hub) -> None:
    paths = fetch_family(FAMILY, endpoint=hub.url)
    paths["pose_guider"].unlink()
    other = replace(FAMILY, shapes=FAMILY.shapes)
    changed = tiny.file_of(all_keys(other.shapes)["pose_guider"], seed=9)
    file = paths["pose_guider"].with_name("changed")
    torch.save(changed, file)
    hub.files["patrolli/AnimateAnyone/pose_guider.pth"] = file.read_bytes()
    with pytest.raises(WeightsError, match="it was changed"):
        fetch_family(FAMILY, endpoint=hub.url)


def test_a_converted_file_that_was_touched_is_found_out(hub: Hub) -> None:
    paths = fetch_family(FAMILY, endpoint=hub.url)
    data = bytearray(paths["pose_guider"].read_bytes())
    data[-1] ^= 1
    paths["pose_guider"].write_bytes(data)
    with pytest.raises(WeightsError, match="has changed since"):
        verify_family(FAMILY)


def test_a_file_that_does_not_fit_leaves_nothing(hub: Hub) -> None:
    name = "patrolli/AnimateAnyone/pose_guider.pth"
    hub.files[name] = hub.files["patrolli/AnimateAnyone/motion_module.pth"]
    with pytest.raises(WeightsError, match="not the pose guider"):
        fetch_family(FAMILY, endpoint=hub.url)
    with pytest.raises(WeightsError, match="missing: pose_guider"):
        require_all(FAMILY)


def test_without_a_network_it_is_said_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="goes on where it stopped"):
        fetch_family(FAMILY)
