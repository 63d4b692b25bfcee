"""Visitors of the studio without a browser: raw HTTP as gradio's page and anybody else can send."""

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

API = "/studio/gradio_api"
META = {"_type": "gradio.FileData"}


@dataclass
class Page:
    """One open page: a browser with its cookie, and the word that gradio knows the page by."""

    http: httpx.Client
    hash: str = field(default_factory=lambda: secrets.token_hex(6))

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator["Page"]:
        """A new visitor's."""
        with httpx.Client(base_url=url, timeout=60) as http:
            http.get("/studio/").raise_for_status()
            yield cls(http)

    def upload(self, *files: tuple[str, bytes]) -> list[str]:
        """What the server calls the files from now on."""
        answer = self.try_upload(*files)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def try_upload(self, *files: tuple[str, bytes]) -> httpx.Response:
        return self.http.post(f"{API}/upload", files=[("files", file) for file in files])

    def ask(self, name: str, *data: Any) -> str:
        """Call an endpoint by its name, through the queue; the stream of its answers as text."""
        body = {"data": list(data), "session_hash": self.hash}
        begun = self.http.post(f"{API}/call/{name}", json=body)
        if begun.status_code != 200:
            return begun.text
        return self.http.get(f"{API}/call/{name}/{begun.json()['event_id']}").text

    def join(self, name: str, *data: Any) -> str:
        """The same as gradio's own page does it."""
        return self.told(_number_of(self.http, name), list(data))

    def told(self, number: int, data: list[Any], **more: Any) -> str:
        """What the page is told when it calls the function of a number."""
        body = {"data": data, "session_hash": self.hash, "fn_index": number, **more}
        begun = self.http.post(f"{API}/queue/join", json=body)
        if begun.status_code != 200:
            return begun.text
        told = []
        with self.http.stream("GET", f"{API}/queue/data?session_hash={self.hash}") as stream:
            for line in stream.iter_lines():
                told.append(line)
                if "process_completed" in line or "close_stream" in line:
                    break
        return "\n".join(told)


def form(**values: Any) -> list[Any]:
    """The values of the first screen, in their order; what is not said is as it is shown."""
    from app.studio.screens.form import FORM_FIELDS, Form

    shown = {name: getattr(Form, name) for name in FORM_FIELDS}
    return [{**shown, **values}[name] for name in FORM_FIELDS]


def handles_in(told: str) -> list[str]:
    """The files that an answer tells of."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("meta") == META:
                found.append(value["path"])
            for item in value.values():
                look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)

    for line in told.splitlines():
        if line.startswith("data: "):
            look(json.loads(line.removeprefix("data: ")))
    return found


_numbers: dict[tuple[str, str], int] = {}


def _number_of(http: httpx.Client, name: str) -> int:
    """The function of an endpoint, which a server does not change."""
    url = str(http.base_url)
    if (url, name) not in _numbers:
        config = http.get("/studio/config").json()
        named = {d["api_name"]: d["id"] for d in config["dependencies"] if d["api_name"]}
        _numbers.update(((url, known), number) for known, number in named.items())
    return _numbers[url, name]


_watched: list[tuple[str, Any]] | None = None


def _hear(event: str, arguments: tuple) -> None:
    if _watched is not None and event in ("open", "socket.connect"):
        _watched.append((event, arguments))


@contextmanager
def watching() -> Iterator[list[tuple[str, Any]]]:
    """Every file that this process, and so the server in it, opens, and every address it calls."""
    global _watched
    if not getattr(sys, "_visavis_hears", False):
        sys.addaudithook(_hear)
        sys._visavis_hears = True  # pyrefly: ignore[missing-attribute]
    _watched = []
    try:
        yield _watched
    finally:
        _watched = None


def opened(events: list[tuple[str, Any]], path: Path) -> bool:
    """Whether a file was opened meanwhile, under any of its names."""
    names = [_text(args[0]) for event, args in events if event == "open"]
    return any(Path(name).resolve() == path for name in names if "\0" not in name)


def called(events: list[tuple[str, Any]]) -> set[Any]:
    """The addresses that were called meanwhile."""
    return {args[1] for event, args in events if event == "socket.connect"}


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
