"""A small client of the API, on httpx and websockets: a video, a motion, a live conversation.

with Client("http://127.0.0.1:8000") as client:
    job = client.create(portrait="me.jpg", text="Hello there.", size=256)
    for job in client.follow(job["id"]):
        print(job["state"], job["progress"])
    client.download(job["id"], "hello.mp4")

    with client.live(size=256) as talk:
        talk.say("Hello there.")
        talk.hear(samples)  # 200 ms of the visitor's voice
        while not isinstance(message := talk.receive(), Packet):
            print(message)
"""

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from jaxtyping import Float
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.live.framing import SOUND, Packet, to_bytes
from app.render.request import FILE_KINDS
from weights.errors import VisavisError


class ServerError(VisavisError):
    """The server refused a request; `status` is its HTTP status, the message its own."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Conversation:
    """A live conversation that was begun; `ready` is the server's first answer, and `name` what it
    is called there. It ends with the `with` block; `leave` instead keeps it on the server, to be
    resumed.
    """

    def __init__(self, socket: ClientConnection, ready: dict[str, Any]) -> None:
        self.ready = ready
        self.name: str = ready["session"]
        self._socket = socket

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.tell("end")
        self._socket.close()

    def hear(self, samples: Float[np.ndarray, "n"]) -> None:
        """The visitor's voice goes on: mono samples in -1..1 at 16 kHz, as they are recorded."""
        self._socket.send(bytes([SOUND]) + to_bytes(samples))

    def say(self, text: str, voice: str | None = None) -> None:
        """Words for the agent; without a voice, in the server's usual one."""
        self.tell("say", text=text, **({} if voice is None else {"voice": voice}))

    def stop(self) -> None:
        """The agent leaves unsaid what waits."""
        self.tell("stop")

    def tell(self, kind: str, **values: Any) -> None:
        """Any message of the protocol, by its type; none when the server is gone."""
        with contextlib.suppress(ConnectionClosed):
            self._socket.send(json.dumps({"type": kind, **values}))

    def receive(self, timeout: float | None = None) -> Packet | dict[str, Any] | None:
        """The next frame, sound or message; None when none came in so many seconds.

        Raises ServerError when the server ended the conversation.
        """
        try:
            message = self._socket.recv(timeout)
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            raise ServerError(f"the conversation has ended ({closed})", 410) from closed
        return Packet.unpack(message) if isinstance(message, bytes) else json.loads(message)

    def leave(self) -> None:
        """Close the connection; `Client.resume` with its `name` takes it up again."""
        self._socket.close()


class Client:
    """Talks to one server. `key` is an API key; without one, `session` makes what is created ours
    alone (a random one unless it is given). Raises ServerError, and httpx's errors of the network.
    """

    def __init__(
        self, url: str, key: str | None = None, session: str | None = None, timeout: float = 60.0
    ) -> None:
        self.session = session or secrets.token_urlsafe(24)
        self._key = key
        headers = {"X-Visavis-Session": self.session}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def create(self, *, idempotency_key: str | None = None, **fields: Any) -> dict[str, Any]:
        """Ask for a video: the fields of RenderRequest, files (recordings of turns, too) by their
        paths. The job.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._post("/v1/videos", fields, headers).json()

    def motion(self, out: str | Path, **fields: Any) -> Path:
        """Make a motion file: the fields of MotionRequest. Waits for it."""
        out = Path(out)
        out.write_bytes(self._post("/v1/motion", fields, {}).content)
        return out

    def job(self, identity: str) -> dict[str, Any]:
        """How far a job is."""
        return _checked(self._http.get(f"/v1/videos/{identity}")).json()

    def videos(self, limit: int = 20) -> list[dict[str, Any]]:
        """Our videos, the newest first."""
        return _checked(self._http.get("/v1/videos", params={"limit": limit})).json()

    def follow(self, identity: str) -> Iterator[dict[str, Any]]:
        """The job each time that it has changed, until it has ended."""
        with self._http.stream("GET", f"/v1/videos/{identity}/events") as answer:
            if answer.is_error:
                answer.read()
            for line in _checked(answer).iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def download(self, identity: str, out: str | Path) -> Path:
        """Write the finished video to a file."""
        out = Path(out)
        with self._http.stream("GET", f"/v1/videos/{identity}/content") as answer:
            if answer.is_error:
                answer.read()
            with out.open("wb") as file:
                for data in _checked(answer).iter_bytes():
                    file.write(data)
        return out

    def live(self, portrait: str | Path | None = None, **start: Any) -> Conversation:
        """Begin a conversation with a photo (the embedded one without): size, video, seed, emotion,
        expressivity, barge_in. `resume` goes on with one that was left.
        """
        if portrait is not None:
            start["portrait"] = base64.b64encode(Path(portrait).read_bytes()).decode()
        return self._converse({"type": "start", **start})

    def resume(self, conversation: str) -> Conversation:
        """Go on with the conversation of this name, which was left."""
        return self._converse({"type": "resume", "session": conversation})

    def cancel(self, identity: str) -> None:
        """Stop a job, or forget one that has ended."""
        _checked(self._http.delete(f"/v1/videos/{identity}"))

    def _converse(self, first: dict[str, Any]) -> Conversation:
        base = str(self._http.base_url).replace("http", "ws", 1).rstrip("/")
        headers = {"X-Visavis-Session": self.session}
        key = {} if self._key is None else {"api_key": self._key}
        url = f"{base}/v1/live"
        with contextlib.ExitStack() as opened:
            socket = opened.enter_context(
                connect(url, additional_headers=headers, max_size=None, max_queue=None)
            )
            socket.send(json.dumps(first | key))
            ready = json.loads(socket.recv(self._http.timeout.read))
            if ready["type"] != "ready":
                raise ServerError(f"{ready['status']}: {ready['detail']}", ready["status"])
            opened.pop_all()
        return Conversation(socket, ready)

    def _post(self, path: str, fields: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        files = {n: ("file", Path(fields[n]).read_bytes()) for n in FILE_KINDS if n in fields}
        fields, recordings = _with_names(fields)
        values = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in fields.items()
            if name not in files
        }
        # A form without files would not be multipart: every value travels as a part.
        parts = [(name, (None, value)) for name, value in values.items()]
        return _checked(
            self._http.post(path, files=[*parts, *files.items(), *recordings], headers=headers)
        )


def _with_names(fields: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Fields whose turns name their recordings as they travel, and these as parts of a form."""
    if not fields.get("turns"):
        return fields, []
    parts, rows = [], []
    for number, row in enumerate(fields["turns"], 1):
        if isinstance(row, dict) and row.get("audio") is not None:
            name, path = str(number), Path(row["audio"])
            parts.append(("recordings", (name, path.read_bytes())))
            row = {**row, "audio": name}
        rows.append(row)
    return {**fields, "turns": rows}, parts


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = answer.reason_phrase
        raise ServerError(f"{answer.status_code}: {detail}", answer.status_code)
    return answer
