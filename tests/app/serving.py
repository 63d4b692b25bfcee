"""A server on loopback for tests: the real app, uvicorn and networks, as small as can be."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import torch
import uvicorn
from fastapi import FastAPI

from app.api.app import create_app
from app.api.context import ServerContext
from app.api.run import uvicorn_settings
from app.api.settings import ServerConfig
from app.client import Client
from app.intake.limits import Limits
from app.render.pipeline import Avatar
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from audio2motion.voice.endpoint import Endpoint
from motion2video.faces.tracker import FaceTracker
from motion2video.network.compute import ComputeConfig
from motion2video.renderer import RenderConfig, Renderer
from tests.audio2motion.small import small_encoder, small_network


@cache
def small_avatar() -> Avatar:
    """Every part is real: a generator of a few thousand weights, a renderer that only warps. One
    for all tests of a process, as a server has one for all visitors.
    """
    torch.manual_seed(0)
    config = GeneratorConfig(steps=2, agent_scale=1.0)
    generator = MotionGenerator(small_encoder(), small_network(), config)
    renderer = Renderer.load(RenderConfig(steps=0), ComputeConfig(device="cpu"))
    return Avatar(FaceTracker.load(), generator, renderer)


@dataclass(frozen=True)
class Served:
    """A server that answers at `url`."""

    url: str
    app: FastAPI

    @property
    def context(self) -> ServerContext:
        return self.app.state.context

    def http(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=180)

    def client(self, key: str | None = None) -> Client:
        return Client(self.url, key)


@contextmanager
def running(
    avatar: Avatar,
    folder: Path,
    limits: Limits | None = None,
    keys: tuple[str, ...] = (),
    cors: tuple[str, ...] = (),
    endpoint: Endpoint | None = None,
    webrtc: bool | None = None,
) -> Iterator[Served]:
    """A server in a thread, gone at the end of the block."""
    config = ServerConfig(
        folder,
        port=0,
        keys=keys,
        cors=cors,
        endpoint=endpoint,
        limits=limits or Limits(),
        webrtc=webrtc,
    )
    app = create_app(lambda: avatar, config)
    server = uvicorn.Server(uvicorn_settings(app, config))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            wait_ready(url)
            yield Served(url, app)
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()


def wait_ready(url: str, seconds: float = 60.0) -> None:
    """Until /readyz says yes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} was not ready after {seconds} s")


def wait_ended(client: httpx.Client, identity: str, seconds: float = 180.0) -> dict:
    """A job when it has ended."""
    end, job = time.monotonic() + seconds, {}
    while time.monotonic() < end:
        job = client.get(f"/v1/videos/{identity}").raise_for_status().json()
        if job["state"] in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise TimeoutError(f"job {identity} did not end: {job}")
