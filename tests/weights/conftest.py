"""A manifest of the test's own, a cache folder of its own, and a server on this machine."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from weights import Manifest, load_manifest

MakeManifest = Callable[..., Manifest]


def sha256(data: bytes) -> str:
    """Hex digest, as manifests write it."""
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test here may see or touch the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VISAVIS_CACHE", str(folder))
    return folder


@pytest.fixture
def make_manifest(tmp_path: Path) -> MakeManifest:
    """Writes a manifest with one role, `sample`, and loads it; keys given as None are left out."""

    def make(members: dict[str, str] | None = None, **keys: object) -> Manifest:
        values: dict[str, object] = {
            "summary": "a sample",
            "used_by": "tests",
            "sha256": "1" * 64,
            "size": 3,
            "source": "here",
            "revision": "1",
            "licence": "CC0-1.0",
            **keys,
        }
        lines = ["[sample]"]
        for key, value in values.items():
            if value is not None:
                text = str(value).lower() if isinstance(value, bool | int) else f'"{value}"'
                lines.append(f"{key} = {text}")
        if members is not None:
            lines += ["[sample.members]", *(f'"{k}" = "{v}"' for k, v in members.items())]
        folder = tmp_path / "manifest"
        folder.mkdir(exist_ok=True)
        path = folder / f"manifest-{len(list(folder.iterdir()))}.toml"
        path.write_text("\n".join(lines) + "\n")
        return load_manifest(path)

    return make


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real HTTP server on loopback: its address and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(folder))
    ) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}", folder
        http_server.shutdown()
        thread.join()
