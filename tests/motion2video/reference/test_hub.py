"""Fetching from a hub on loopback, through huggingface_hub itself."""

import hashlib
import http.server
import json
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
        if content is None:
            self.send_error(404)
        else:
            self.send(content, body)

    def send(self, content: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

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


def test_a_file_that_was_changed_since_is_refused(hub: Hub) -> None:
    paths = fetch_family(FAMILY, endpoint=hub.url)
    paths["pose_guider"].unlink()
    other = replace(FAMILY, shapes=FAMILY.shapes)
    changed = tiny.file_of(all_keys(other.shapes)["pose_guider"], seed=9)
    file = paths["pose_guider"].with_name("changed")
    torch.save(changed, file)
    hub.files["patrolli/AnimateAnyone/pose_guider.pth"] = file.read_bytes()
    from huggingface_hub import constants

    for kept in Path(constants.HF_HUB_CACHE).glob("models--patrolli*/**/pose_guider.pth"):
        kept.unlink()
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
