"""What of gradio is reachable, and by whom: its own uploads and files are replaced by ours.

Of gradio's routes only those that the page and gradio_client need pass; the rest, among them a
proxy, a file server and a recorder, are not there.
"""

import json
import logging
import re
import secrets
import time
from collections import OrderedDict
from urllib.parse import parse_qs

from fastapi import Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.guard import SESSION_COOKIE
from app.api.problems import Problem
from app.studio.screens.visitors import CAME, owner_in
from app.studio.visitor_files import VisitorFiles
from weights.errors import VisavisError

_log = logging.getLogger("visavis.studio")
_API = "/gradio_api"
_FILE = f"{_API}/file="
_PAGE = ("/", "/config", "/config/")
_GET = re.compile(
    r"/|/config/?|/assets/.*|/static/.*|/svelte/.*|/theme\.css|/robots\.txt|/manifest\.json"
    rf"|/favicon\.ico|{_API}/(info/?|theme\.css|app_id/?|startup-events|queue/(data|status)"
    r"|heartbeat/[^/]+|call/(v2/)?[^/]+/[^/]+)"
)
_POST = re.compile(rf"{_API}/(queue/join|cancel|reset/?|(run|api|call|call/v2)/[^/]+/?)")
_SHOWN = re.compile(r"(image/(png|jpeg|webp|gif)|video/.*|audio/.*)$")
"""What a browser may show; all else is only downloaded, so that no upload is a page of ours."""
MOST_BYTES = 256 * 1024
"""Of a request that is no upload: a form holds texts and handles."""
MOST_FILES = 450
"""In one upload: a manifest, and a photo and a voice for each of its rows."""
_KNOWN_PAGES = 10_000


class Gate:
    """ASGI middleware around the mounted gradio app; the API's guard is outside of it."""

    def __init__(self, app: ASGIApp, files: VisitorFiles) -> None:
        self._app, self._files = app, files
        self._pages: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, pass it on, or refuse it."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})[CAME] = time.monotonic()
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        owner, method = owner_in(scope), scope["method"]
        answer: Response | None = None
        if path.startswith(_FILE) and method in ("GET", "HEAD"):
            answer = await run_in_threadpool(self._file, path.removeprefix(_FILE), owner)
        elif path == f"{_API}/upload" and method == "POST":
            answer = await self._upload(Request(scope, receive), owner)
        elif path == f"{_API}/upload_progress" and method == "GET":
            answer = _progress()
        elif method == "POST" and _POST.fullmatch(path):
            receive, answer = await self._checked(scope, receive, owner)
        elif method in ("GET", "HEAD") and _GET.fullmatch(path):
            answer = self._read(scope, path, owner)
        else:
            answer = PlainTextResponse("there is no such page", 404)
        if answer is None:
            await self._pass(scope, receive, _naming(scope, send) if path in _PAGE else send)
        else:
            await answer(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let gradio answer; what it stumbles over (a name that no endpoint has, a number that is
        none) is the caller's fault and no 500.
        """
        fell = False

        async def answer(message: Message) -> None:
            nonlocal fell
            if message["type"] == "http.response.start" and message["status"] == 500:
                kind = dict(message["headers"]).get(b"content-type", b"")
                fell = kind.startswith(b"text/plain")  # its own answers are JSON
            if not fell:
                await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if not fell:
                raise
            _log.warning("gradio cannot take a request: %s", type(error).__name__)
            refusal = PlainTextResponse("the request does not fit what was asked for", 422)
            await refusal(scope, receive, send)

    def _read(self, scope: Scope, path: str, owner: str) -> Response | None:
        """Refuse to tell one browser what another's page is told."""
        page = ""
        if path == f"{_API}/queue/data":
            given = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            page = given.get("session_hash", [""])[-1]
        elif path.startswith(f"{_API}/heartbeat/"):
            page = path.rpartition("/")[2]
        return None if self._is_page_of(page, owner) else _others()

    def _is_page_of(self, page: str, owner: str) -> bool:
        """Whether an open page is in the owner's browser; whoever names it first has it."""
        if not page:
            return True
        known = self._pages.setdefault(page, owner)
        self._pages.move_to_end(page)
        if len(self._pages) > _KNOWN_PAGES:
            self._pages.popitem(last=False)
        return known == owner

    async def _checked(
        self, scope: Scope, receive: Receive, owner: str
    ) -> tuple[Receive, Response | None]:
        """The same body once more, or why it is refused."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return receive, Response(status_code=400)
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                return receive, PlainTextResponse(
                    f"the form is larger than {MOST_BYTES // 1024} kB", 413
                )
            if not message.get("more_body", False):
                break
        try:
            given = json.loads(bytes(body))
        except (ValueError, RecursionError):
            return receive, PlainTextResponse("the body is no JSON", 422)
        page = given.get("session_hash") if isinstance(given, dict) else None
        if not isinstance(given, dict) or not isinstance(page, str | None):
            return receive, PlainTextResponse("wanted an object with a session_hash", 422)
        if not self._is_page_of(page or "", owner):
            return receive, _others()
        return _again(bytes(body), receive), None

    def _file(self, handle: str, owner: str) -> Response:
        try:
            path = self._files.find(handle, owner)
        except VisavisError as error:
            return _refusal(error)
        answer = FileResponse(path, headers={"Cache-Control": "private, no-cache"})
        shown = _SHOWN.match(answer.media_type or "")
        if not shown:
            answer.headers["Content-Type"] = "application/octet-stream"
        name = handle.rpartition("/")[2].encode("ascii", "replace").decode().replace("?", "_")
        how = "inline" if shown else "attachment"
        answer.headers["Content-Disposition"] = f'{how}; filename="{name}"'
        return answer

    async def _upload(self, request: Request, owner: str) -> Response:
        """Keep the files of a form; answers their handles, as gradio would answer its paths."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            return PlainTextResponse("wanted multipart/form-data", 422)
        try:
            form = await request.form(max_files=MOST_FILES, max_fields=8, max_part_size=4096)
        except HTTPException as error:
            return PlainTextResponse(str(error.detail), 413 if "Too many" in error.detail else 422)
        except MultiPartException as error:
            return PlainTextResponse(error.message, 422)
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            given = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
            if not given:
                return PlainTextResponse("there is no file in the form", 422)
            uploads = [(part.file, part.filename) for part in given]
            handles = await run_in_threadpool(self._files.take, uploads, owner)
        except VisavisError as error:
            return _refusal(error)
        finally:
            await form.close()
        return JSONResponse(handles)


def _refusal(error: VisavisError) -> Response:
    told = Problem.of(error)
    return PlainTextResponse(told.detail, told.status)


def _others() -> Response:
    return PlainTextResponse("that page is open in another browser", 403)


def _progress() -> Response:
    """gradio's page asks how far an upload is; the browser knows, and nobody else shall."""
    return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")


def _again(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def once_more() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once_more


def _naming(scope: Scope, send: Send) -> Send:
    """Give a browser without one the cookie that it is known by, when it opens the page."""
    cookies = [value for name, value in scope["headers"] if name == b"cookie"]
    if any(f"{SESSION_COOKIE}=".encode() in value for value in cookies):
        return send
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    made = (
        f"{SESSION_COOKIE}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; SameSite=Lax{secure}"
    ).encode()

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"set-cookie", made)]
        await send(message)

    return named
