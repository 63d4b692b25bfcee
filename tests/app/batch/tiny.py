"""A whole Avatar that is small: real parts with tiny untrained networks, for workers to load.

    visavis batch ... --avatar tests.app.batch.tiny:load

Faces that were found once are remembered in $TINY_FOLDER, so that a worker is up in a moment. Files
in there are faults to come: `kill-SEED` ends the worker that draws the item with this seed, once;
`poison-SEED` does so every time; `driver-SEED` ends the worker's parent; in `slow-SEED` is how many
seconds the item takes longer. `clock` sets the clock off by as many seconds as are in it.
"""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from app.batch.work import AvatarSettings
from app.render.pipeline import Avatar, Following
from app.render.request import RenderRequest, Source
from app.render.result import RenderResult
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from motion2video.faces.boxes import Box
from motion2video.faces.tracker import Face, FaceTracker
from motion2video.geometry.basis import FaceBasis
from motion2video.network.autoencoder import Autoencoder, AutoencoderConfig
from motion2video.network.compute import ComputeConfig
from motion2video.network.denoiser import Denoiser, DenoiserConfig
from motion2video.renderer import RenderConfig, Renderer
from tests.audio2motion.small import small_encoder, small_network
from weights.errors import VisavisError

FACTORY = "tests.app.batch.tiny:load"


def folder() -> Path:
    """Where faces are remembered and faults are asked for."""
    return Path(os.environ["TINY_FOLDER"])


class RememberingTracker(FaceTracker):
    """Looks at a picture once and keeps what it saw on disk."""

    def __init__(self) -> None:
        self._real: FaceTracker | None = None

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces of a picture."""
        return [self._known(image, "found", lambda real: real.detect(image)[0])]

    def settle(self, image: np.ndarray, face: Face) -> Face:
        """The face, looked at again."""
        return self._known(image, "settled", lambda real: real.settle(image, face))

    def sureness(self, image: np.ndarray, box: Box) -> float:
        """As sure of every picture, so that none stands on its head."""
        return 0.0

    def close(self) -> None:
        """Nothing is held."""

    def _known(self, image: np.ndarray, what: str, look: Any) -> Face:
        name = hashlib.sha256(image.tobytes()).hexdigest()[:16]
        path = folder() / f"{what}-{name}.npz"
        if not path.exists():
            self._real = self._real or FaceTracker.load()
            face = look(self._real)
            beside = path.with_name(f"{os.getpid()}-{path.name}")
            np.savez(
                beside,
                landmarks=face.landmarks,
                expression=face.expression,
                box=np.array(face.box),
                size=np.array(face.image_size),
            )
            beside.rename(path)
        with np.load(path) as data:
            box, size = data["box"].tolist(), data["size"].tolist()
            return Face(data["landmarks"], data["expression"], tuple(box), tuple(size))


@dataclass(frozen=True, eq=False)
class TinyAvatar(Avatar):
    """An Avatar to which things happen."""

    def render(
        self, request: RenderRequest, out: Source, **following: Unpack[Following]
    ) -> RenderResult:
        """Draw, and die in the middle of it where that is asked for."""

        def happens(what: str, done: int, total: int) -> None:
            if done == 2:
                _faults(request.seed)

        following["progress"] = happens
        made = super().render(request, out, **following)
        return replace(made, versions={**made.versions, "process": str(os.getpid())})


def _faults(seed: int) -> None:
    if (folder() / f"slow-{seed}").exists():
        time.sleep(float((folder() / f"slow-{seed}").read_text()))
    if (folder() / f"poison-{seed}").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if _once(f"kill-{seed}"):
        os.kill(os.getpid(), signal.SIGKILL)
    if _once(f"driver-{seed}"):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)  # a worker must not outlive its parent


def _once(name: str) -> bool:
    try:
        (folder() / name).unlink()
    except FileNotFoundError:
        return False
    return True


def jump_clock() -> None:
    """Set this process's clock off by what $TINY_FOLDER/clock says, from its second look on."""
    if not (folder() / "clock").exists():
        return
    jump, real, looks = float((folder() / "clock").read_text()), (time.time, time.gmtime), [0]

    def now() -> float:
        looks[0] += 1
        return real[0]() + (jump if looks[0] > 1 else 0.0)

    time.time = now
    time.gmtime = lambda seconds=None: real[1](now() if seconds is None else seconds)


def die(settings: AvatarSettings) -> Avatar:
    """Ends the process that wants to load it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def load(settings: AvatarSettings) -> Avatar:
    """Tiny networks, the same in every process."""
    jump_clock()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = Autoencoder(
            AutoencoderConfig(
                encoder_width=8, width=8, encoder_blocks=1, decoder_blocks=1, fine_width=8
            )
        )
        denoiser = Denoiser(DenoiserConfig(widths=(8, 8, 8), blocks=1, condition_blocks=1))
        encoder, network = small_encoder(), small_network()
    compute = ComputeConfig(
        device="cpu", backend="torch", precision="fp32", threads=settings.threads
    )
    renderer = Renderer(RenderConfig(steps=1), compute, FaceBasis.load(), autoencoder, denoiser)
    generator = MotionGenerator(encoder, network, GeneratorConfig(steps=1))
    return TinyAvatar(RememberingTracker(), generator, renderer)


def tiny_api(load_avatar: Callable[[], Avatar], config: object) -> Any:
    """An ASGI app that draws what a query names and answers with the video."""
    import asyncio
    from urllib.parse import parse_qs

    avatar: list[Avatar] = []

    async def send_all(send: Any, status: int, body: bytes, process: str) -> None:
        headers = [(b"content-type", b"video/mp4"), (b"x-process", process.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        query = parse_qs(scope["query_string"].decode())
        source, number = Path(query["folder"][0]), int(query["number"][0])
        if not avatar:
            avatar.append(load_avatar())
        request = RenderRequest(
            portrait=source / "portrait.png",
            motion=source / f"motion{number}.npz",
            size=64,
            seed=number,
        )
        out = source / f"answer{number}.mp4"
        try:
            made = await asyncio.to_thread(avatar[0].render, request, out)
        except VisavisError as error:
            await send_all(send, 422, str(error).encode(), "")
            return
        await send_all(send, 200, out.read_bytes(), made.versions["process"])

    return app
