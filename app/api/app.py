"""The API: one FastAPI app under /v1, for programs; the studio is mounted beside it."""

import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.cors import CORSMiddleware

import app.api.problems as api_problems
import app.api.videos as api_videos
from app.api.choices import make_choices_router
from app.api.context import ServerContext
from app.api.guard import SESSION_HEADER, Guard
from app.api.live import make_live_router
from app.api.metrics import Metrics
from app.api.problems import Problem
from app.api.reference import add_reference
from app.api.settings import ServerConfig
from app.api.verify import make_verify_router
from app.jobs.database import Database
from app.jobs.loader import AvatarFactory, Loader
from app.jobs.queue import JobQueue
from app.jobs.store import FileStore
from app.live.rooms import LiveRooms
from app.render.pipeline import Avatar

_ABOUT = """From one portrait photo and two voices: a video of the person in the photo, who talks
when their own voice talks and visibly listens when the other person does.

Where API keys are set, send `Authorization: Bearer KEY`. Where none are, `X-Visavis-Session` (8 to
128 characters of your choice, kept to yourself) makes what you create yours alone. Errors are
`application/problem+json` (RFC 9457)."""


def create_app(load_avatar: AvatarFactory, config: ServerConfig) -> FastAPI:
    """The app of one server; its data folder is locked until the app has shut down.

    `load_avatar` is called once, in a thread. The parts are in `app.state.context`
    (ServerContext). Raises OutputError or StateError for the data folder.
    """

    def load() -> Avatar:
        avatar, endpoint = load_avatar(), config.endpoint
        return avatar if endpoint is None else replace(avatar, endpoint=endpoint)

    database = Database(config.data_dir)
    store = FileStore(database, config.limits)
    loader = Loader(load)
    queue = JobQueue(database, store, loader.get, config.limits, config.drawing)
    secret = bytes.fromhex(database.secret("urls", secrets.token_hex(32)))
    context = ServerContext(
        limits=config.limits,
        endpoint=config.endpoint,
        database=database,
        store=store,
        loader=loader,
        queue=queue,
        config=config,
        secret=secret,
    )
    metrics = Metrics(queue)
    rooms = LiveRooms(context)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.start()
        rooms.start()
        threading.Thread(target=_load, args=(loader,), name="visavis-load", daemon=True).start()
        try:
            yield
        finally:
            context.closing.set()
            await run_in_threadpool(rooms.close)
            await run_in_threadpool(queue.close)
            database.close()

    app = FastAPI(
        title="Visavis",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from other hosts: see add_reference
        redoc_url=None,
    )
    app.state.context, app.state.rooms = context, rooms
    _add_doors(app, config, metrics)
    api_problems.install(app)
    app.include_router(api_videos.make_router(context))
    app.include_router(make_live_router(context, rooms, metrics))
    app.include_router(make_choices_router())
    app.include_router(make_verify_router(context))
    add_reference(app)
    _add_operations(app, loader, queue, metrics)
    _describe(app, bool(config.keys))
    return app


def _add_doors(app: FastAPI, config: ServerConfig, metrics: Metrics) -> None:
    """What every request passes first."""
    app.add_middleware(Guard, config=config, metrics=metrics)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=config.cors,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[
            *("Authorization", "Content-Type", "Idempotency-Key", "X-API-Key"),
            *("X-Request-ID", SESSION_HEADER),
        ],
        expose_headers=["Location", "X-Request-ID", "Retry-After"],
    )


def _load(loader: Loader) -> None:
    """Load ahead of the first job, which would report what goes wrong."""
    with suppress(Exception):
        loader.get()


def _add_operations(app: FastAPI, loader: Loader, queue: JobQueue, metrics: Metrics) -> None:
    """What whoever runs the server asks."""

    @app.get("/healthz", tags=["operation"], summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        tags=["operation"],
        summary="Whether jobs can be taken, done and kept",
        responses=api_problems.responses(503),
    )
    async def readyz() -> dict[str, str]:
        if not loader.ready:
            raise Problem(503, "the networks are being loaded", retry_after=2)
        if trouble := await run_in_threadpool(queue.trouble):
            raise Problem(503, trouble, retry_after=5)
        return {"status": "ready"}

    @app.get("/metrics", include_in_schema=False)
    async def show_metrics() -> Response:
        data = await run_in_threadpool(generate_latest, metrics.registry)
        return Response(data, media_type=CONTENT_TYPE_LATEST)


def _describe(app: FastAPI, keys: bool) -> None:
    """OpenAPI: the problem's schema, and how to send a key."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        schema = made()
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = api_problems.SCHEMA
        if keys:
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}]
        return schema

    app.openapi = openapi
