"""The routes of jobs: videos and motions, their states, events and files."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from app.api.context import ServerContext
from app.api.follow import Follow, Snapshot
from app.api.guard import ANONYMOUS, SESSION_HEADER
from app.api.problems import Problem, responses
from app.api.recordings import placed
from app.api.schema import Incoming, JobOut, read_request, request_body
from app.intake.allowance import require_turns
from app.jobs.queue import Job
from app.jobs.store import StoredFile, Upload
from app.render.request import FILE_KINDS, MotionRequest, RenderRequest
from app.render.subtitles import Cue, to_webvtt

EVENT_S = 0.2
"""How often a follower of a job is told what is new, in seconds."""
_BEAT_S = 10.0
_BLOCK = 1 << 20
_WEBVTT = "text/vtt"
_C2PA = "application/c2pa"
_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".zip": "application/zip",
    ".npz": "application/x-npz",
}
_VIDEO_TYPES = tuple(kind for kind in _MEDIA_TYPES.values() if "npz" not in kind)

JobId = Annotated[str, InPath(min_length=22, max_length=22, pattern="^[A-Za-z0-9_-]+$")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern="^[!-~]+$",
        description="The same key and request again give the same job, not another one.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Token = Annotated[str | None, Query(max_length=128, description="From `content_url`.")]


def make_router(context: ServerContext) -> APIRouter:
    """The routes under /v1 that have to do with jobs."""
    router = APIRouter(prefix="/v1", tags=["jobs"])
    jobs = _Jobs(context)
    _add_videos(router, jobs, context)
    _add_results(router, jobs)

    @router.post(
        "/motion",
        summary="Make a motion file, and wait for it",
        response_class=Response,
        responses={
            **responses(401, 413, 422, 429, 503, 507),
            200: {
                "description": "A motion file (.npz), as `visavis motion` writes it.",
                "content": {_MEDIA_TYPES[".npz"]: {"schema": _BINARY}},
            },
        },
        openapi_extra=request_body("motion"),
    )
    async def motion(request: Request) -> Response:
        return await jobs.make_motion(request)

    return router


def _add_videos(router: APIRouter, jobs: "_Jobs", context: ServerContext) -> None:
    """To ask for a video, to look at how far it is, and to cancel it."""

    @router.post(
        "/videos",
        status_code=202,
        response_model=JobOut,
        summary="Ask for a video",
        responses=responses(401, 413, 422, 429, 503, 507),
        openapi_extra=request_body("video"),
    )
    async def create_video(request: Request, response: Response, key: Key = None) -> JobOut:
        identity = await jobs.submit(request, "video", key)
        response.headers["Location"] = f"/v1/videos/{identity}"
        return jobs.seen(await jobs.get(identity, request))

    @router.get(
        "/videos",
        response_model=list[JobOut],
        summary="Your videos, the newest first",
        responses=responses(401, 422),
    )
    async def videos(request: Request, limit: Limit = 20) -> list[JobOut]:
        return await jobs.latest(request, limit)

    @router.get(
        "/videos/{id}",
        response_model=JobOut,
        summary="How far a video is",
        responses=responses(401, 404, 422),
    )
    async def video(request: Request, id: JobId) -> JobOut:
        return jobs.seen(await jobs.get(id, request))

    @router.delete(
        "/videos/{id}",
        status_code=204,
        summary="Cancel a video, or forget a finished one with its file",
        responses=responses(401, 404, 422),
    )
    async def cancel(request: Request, id: JobId) -> Response:
        await run_in_threadpool(context.queue.cancel, id, jobs.owner(request))
        return Response(status_code=204)


def _add_results(router: APIRouter, jobs: "_Jobs") -> None:
    """What comes of a video, and what it tells until then."""

    @router.api_route(
        "/videos/{id}/content",
        methods=["GET"],
        summary="The finished video; answers Range",
        response_class=FileResponse,
        responses={
            **responses(401, 404, 409, 422),
            **{s: _binary(what) for s, what in ((200, "The video."), (206, "A part of it."))},
            400: {"description": "A malformed Range."},
            416: {"description": "A Range outside the video."},
        },
    )
    async def content(request: Request, id: JobId, token: Token = None) -> Response:
        return await jobs.content(request, id, token)

    @router.head("/videos/{id}/content", include_in_schema=False)
    async def content_head(request: Request, id: JobId, token: Token = None) -> Response:
        return await jobs.content(request, id, token)

    @router.get(
        "/videos/{id}/subtitles",
        summary="The subtitles of a finished video that was asked for with any",
        response_class=PlainTextResponse,
        responses={
            **responses(401, 404, 409, 422),
            200: {
                "description": "WebVTT.",
                "content": {_WEBVTT: {"schema": {"type": "string"}}},
            },
        },
    )
    async def subtitles(request: Request, id: JobId) -> Response:
        return await jobs.subtitles(request, id)

    @router.get(
        "/videos/{id}/credentials",
        summary="The content credentials of a finished video whose format has no place for them",
        response_class=Response,
        responses={
            **responses(401, 404, 409, 422),
            200: {"description": "A .c2pa file.", "content": {_C2PA: {"schema": _BINARY}}},
        },
    )
    async def credentials(request: Request, id: JobId) -> Response:
        return await jobs.credentials(request, id)

    @router.get(
        "/videos/{id}/events",
        summary="Progress as server-sent events, until the job has ended",
        response_class=StreamingResponse,
        responses={
            **responses(401, 404, 422, 429),
            200: {
                "description": "Events named `job`, whose data is the job.",
                "content": {"text/event-stream": {"schema": _EVENT}},
            },
        },
    )
    async def events(request: Request, id: JobId) -> Response:
        await jobs.get(id, request)  # 404 before the stream begins
        return StreamingResponse(
            jobs.events(id, request),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


_EVENT = {
    "type": "object",
    "properties": {
        "event": {"const": "job"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["data"],
}
_BINARY = {"type": "string", "format": "binary"}


def _binary(what: str) -> dict[str, Any]:
    return {"description": what, "content": {kind: {"schema": _BINARY} for kind in _VIDEO_TYPES}}


class _Jobs:
    """What the routes have in common."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._follow = Follow(self._look, EVENT_S, context.closing.is_set)

    def owner(self, request: Request) -> str:
        """Who asks; the guard has let nobody pass without."""
        owner = request.state.owner
        if owner is None:
            raise Problem(401, "give an API key: Authorization: Bearer KEY")
        return owner

    async def get(self, identity: str, request: Request) -> Job:
        return await run_in_threadpool(self._context.queue.get, identity, self.owner(request))

    async def latest(self, request: Request, most: int) -> list[JobOut]:
        owner = self.owner(request)
        if owner == ANONYMOUS:  # theirs is what they know the id of
            raise Problem(401, f"say who you are: {SESSION_HEADER}, 8 to 128 characters")
        found = await run_in_threadpool(self._context.queue.videos, owner, most)
        return [self.seen(job) for job in found]

    def seen(self, job: Job) -> JobOut:
        token = self._token(job.id)
        return JobOut.of(job, f"/v1/videos/{job.id}/content?token={token}")

    def _token(self, identity: str) -> str:
        return hmac.digest(self._context.secret, identity.encode(), "sha256").hex()[:40]

    async def submit(self, request: Request, kind: str, key: str | None) -> str:
        """Check and queue a request; the job's id."""
        context, owner = self._context, self.owner(request)
        async with read_request(request, kind, context.config) as incoming:
            return await run_in_threadpool(self._submit, owner, kind, incoming, key)

    def _submit(self, owner: str, kind: str, incoming: Incoming, key: str | None) -> str:
        context, values = self._context, incoming.values
        digest = None
        if key is not None:
            digest = _digest(kind, incoming)
            known = context.queue.jobs.replay(owner, key, digest)
            if known is not None:
                return known
        kept: list[StoredFile] = []

        def keep(source: Upload, told: str, of: str = "agent_audio") -> Path:
            kept.append(context.store.add(owner, source, FILE_KINDS[of], told))
            return kept[-1].path

        try:
            for name, source in incoming.files:
                values[name] = keep(source, name, name)
            if incoming.recordings:
                values["turns"] = placed(values["turns"], incoming.recordings, keep)
            if kind == "video" and "portrait" not in values:
                raise Problem(422, "portrait: wanted a photo")
            made = RenderRequest(**values) if kind == "video" else MotionRequest(**values)
            require_turns(made, context.config.limits)
            if kind == "motion":
                made.require_voice()
        except BaseException:
            for file in kept:
                context.store.remove(file.id, owner)
            raise
        return context.queue.submit(made, owner, key, digest)

    async def content(self, request: Request, identity: str, token: str | None) -> Response:
        """The file of a finished job, for its owner or whoever has its token."""
        owner = request.state.owner
        right = self._token(identity).encode()
        if token is not None and hmac.compare_digest(token.encode(), right):
            owner = await run_in_threadpool(self._context.queue.jobs.owner_of, identity)
        if owner is None:
            raise Problem(401, "give an API key, or the address in `content_url`")
        job = await run_in_threadpool(self._context.queue.get, identity, owner)
        if job.output is None:
            raise Problem(409, f"this job is {job.state}: it has no content")
        file = await run_in_threadpool(self._context.store.get, job.output, owner)
        return FileResponse(
            file.path,
            media_type=_MEDIA_TYPES[file.path.suffix],
            filename=f"visavis{file.path.suffix}",
            content_disposition_type="inline",
            headers={"Cache-Control": "private, no-cache"},
        )

    async def subtitles(self, request: Request, identity: str) -> Response:
        """What is said in a finished video, with its times."""
        job = await self.get(identity, request)
        if job.result is None:
            raise Problem(409, f"this job is {job.state}: it has no subtitles")
        cues = [Cue(**cue) for cue in job.result.get("subtitles", ())]
        if not cues:
            raise Problem(404, "this video was made without subtitles: ask for file or burned")
        return PlainTextResponse(to_webvtt(cues), media_type=_WEBVTT)

    async def credentials(self, request: Request, identity: str) -> Response:
        """What is signed about a finished video, where that is not in its file."""
        job = await self.get(identity, request)
        if job.result is None:
            raise Problem(409, f"this job is {job.state}: it has no credentials")
        beside = job.result.get("provenance", {}).get("sidecar")
        if beside is None:
            raise Problem(
                404, "this video has no credentials beside it: they are in it, or nowhere"
            )
        return Response(base64.b64decode(beside), media_type=_C2PA)

    def _look(self, identity: str, owner: str) -> Snapshot:
        job = self._context.queue.get(identity, owner)
        return Snapshot(self.seen(job).model_dump_json(), job.ended)

    async def events(self, identity: str, request: Request) -> AsyncIterator[str]:
        """The job each time that it has changed, and a comment when it has not for long."""
        followed = self._follow.events(identity, self.owner(request), _BEAT_S)
        async with aclosing(followed) as told:
            async for text in told:
                yield f"event: job\ndata: {text}\n\n" if text else ": still here\n\n"

    async def make_motion(self, request: Request) -> Response:
        """A motion while the caller waits; who goes away cancels it."""
        owner = self.owner(request)
        identity = await self.submit(request, "motion", None)
        queue = self._context.queue
        try:
            while not (job := await run_in_threadpool(queue.get, identity, owner)).ended:
                if await request.is_disconnected() or self._context.closing.is_set():
                    raise Problem(503, "the server is stopping")
                await asyncio.sleep(EVENT_S / 4)
            if job.output is None:
                raise Problem(422, job.error or f"the job was {job.state}")
            file = self._context.store.get(job.output, owner)
            data = await run_in_threadpool(file.path.read_bytes)
        finally:
            await run_in_threadpool(_forget, queue, identity, owner)
        return Response(
            data,
            media_type=_MEDIA_TYPES[".npz"],
            headers={"Content-Disposition": 'attachment; filename="visavis.npz"'},
        )


def _forget(queue: Any, identity: str, owner: str) -> None:
    """Stop a job if it still runs, then remove it with what it made."""
    if not queue.get(identity, owner).ended:
        queue.cancel(identity, owner)
    queue.cancel(identity, owner)


def _digest(kind: str, incoming: Incoming) -> str:
    """The same for the same request, files included."""
    parts: dict[str, Any] = {"kind": kind, "values": incoming.values}
    of_turns = ((f"of turns: {name}", source) for name, source in incoming.recordings.items())
    for name, source in (*incoming.files, *of_turns):
        content = hashlib.sha256()
        while block := source.read(_BLOCK):
            content.update(block)
        source.seek(0)
        parts[f"file {name}"] = content.hexdigest()
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
