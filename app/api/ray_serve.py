"""The service on Ray Serve: one gateway that answers /v1 and keeps the jobs, replicas that draw.

    serve run app.api.ray_serve:application most=8 gpus=0.25 max_seconds=60

The gateway is the server of `visavis app` with its one data folder, so jobs, files and keys are
what they are there; only `render` happens elsewhere. Replicas come and go with the requests that
wait for them, and keep the networks of a few settings (`model`, such as "steps=4,precision=fp32").
"""

import asyncio
import dataclasses
import importlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from app.batch.manifest import Schema
from app.batch.work import DEFAULT_AVATAR, AvatarSettings
from app.intake.limits import Limits, SetLimits
from app.render.knobs import settings
from app.render.loading import LoadSettings
from app.render.pipeline import Avatar, Following
from app.render.request import RenderRequest, Source
from app.render.result import RenderResult
from weights.errors import DependencyError, InputError, OutputError, VisavisError
from weights.installation import how_to_add

if TYPE_CHECKING:
    from ray.serve import Application

RENDERERS = "renderers"
DEFAULT_MODEL = "default"
_LIMITS = {
    limit.option.removeprefix("--").replace("-", "_"): limit
    for limit in settings(SetLimits)
    if limit.name != "workers"  # as many as there may be replicas
}
_MODELS = 2  # settings whose networks a replica keeps loaded


@dataclass(frozen=True)
class ServiceConfig:
    """`least` to `most` replicas, each with `cpus` and `gpus` (shares count) of a node, of which
    there are so many that about `target` videos are with each. `api` makes the ASGI app from an
    Avatar's loader and this config (module:function); `avatar` is as for a batch. `data_dir` is
    where the gateway keeps jobs and files, and `limits` are its own; it does `most` jobs at a time.
    """

    least: int = 1
    most: int = 4
    target: float = 1.0
    cpus: float = 1.0
    gpus: float = 0.0
    api: str = "app.api.ray_serve:v1"
    avatar: str = DEFAULT_AVATAR
    device: str = "auto"
    data_dir: str = ""
    limits: Limits = dataclasses.field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1:
            raise InputError(f"got {self.least} to {self.most} replicas; wanted 0 or more, rising")

    @staticmethod
    def read(arguments: dict[str, Any]) -> "ServiceConfig":
        """From what `serve run` or a config file has, text or numbers: fields, and limits by the
        names that they have as options of `visavis app`. Raises InputError.
        """
        kinds = {f.name: type(f.default) for f in fields(ServiceConfig) if f.name != "limits"}
        unknown = sorted(set(arguments) - set(kinds) - set(_LIMITS))
        if unknown:
            names = [*kinds, *_LIMITS]
            raise InputError(f"the service has no setting {unknown[0]!r}; it has {names}")
        values, chosen = dict[str, Any](), dict[str, Any]()
        try:
            for name, value in arguments.items():
                if name in kinds:
                    values[name] = kinds[name](value)
                else:
                    limit = _LIMITS[name]
                    kind = float if limit.knob.scale != 1 else type(limit.default)
                    chosen[limit.name] = limit.scaled(kind(value))
        except ValueError as error:
            raise InputError(f"a setting of the service is not a number: {error}") from error
        return ServiceConfig(**values, limits=Limits.having(chosen))


def model_settings(base: AvatarSettings, model: str) -> AvatarSettings:
    """The settings that a model's name stands for, "default" for the base. Raises InputError."""
    changes: dict[str, Any] = {}
    choices = {s.name: s.choices for s in settings(LoadSettings) if s.choices}
    for part in () if model == DEFAULT_MODEL else model.split(","):
        name, _, value = part.partition("=")
        if name == "steps" and value.isdecimal():
            changes[name] = int(value)
        elif name in choices and value in choices[name]:
            changes[name] = value
        else:
            raise InputError(
                f"got {part!r} in a model's name; wanted steps=N, backend=..., precision=... or "
                "attention=..."
            )
    return dataclasses.replace(base, **changes)


@dataclass(frozen=True)
class Drawn:
    """A video on its way back: the whole file, and what there is to tell."""

    data: bytes
    result: RenderResult


class Replica:
    """A replica: draws one request at a time with the networks of the model that is asked for."""

    def __init__(self, base: AvatarSettings) -> None:
        self._base = base

    async def load(self, model: str) -> Avatar:
        """The Avatar of a model."""
        return await asyncio.to_thread(model_settings(self._base, model).load)

    def draw(
        self,
        avatar: Avatar,
        request: RenderRequest,
        files: dict[str, tuple[str, bytes]],
        suffix: str,
    ) -> Drawn | VisavisError:
        """The video of a request whose `files` (field -> name and content) come along."""
        with tempfile.TemporaryDirectory(prefix="visavis-serve-") as name:
            places: dict[str, Any] = {}
            for field, (ending, data) in files.items():
                place = places[field] = Path(name) / f"{field}{ending}"
                place.write_bytes(data)
            out = Path(name) / f"out{suffix}"
            try:
                result = avatar.render(dataclasses.replace(request, **places), out)
            except VisavisError as error:
                return error
            return Drawn(out.read_bytes(), result)


@dataclass(frozen=True, eq=False)
class RemoteAvatar(Avatar):
    """An Avatar whose videos are drawn by the replicas behind `handle`."""

    handle: Any = None
    model: str = DEFAULT_MODEL

    def render(
        self, request: RenderRequest, out: Source, **following: Unpack[Following]
    ) -> RenderResult:
        """As Avatar.render; `progress` hears the end only."""
        if following.get("skip") or following.get("watch") is not None:
            raise InputError("frames were to be skipped or watched; replicas draw whole videos")
        out, files = Path(out), {}
        for name in Schema().files:
            value = getattr(request, name)
            if isinstance(value, str | os.PathLike):
                path = Path(value)
                files[name] = (path.suffix, path.read_bytes())
        call = self.handle.options(multiplexed_model_id=self.model)
        drawn = call.render.remote(request, files, out.suffix).result()
        if isinstance(drawn, VisavisError):
            raise drawn
        beside = out.with_name(f".{out.name}.part")
        try:
            beside.write_bytes(drawn.data)
            os.replace(beside, out)
        except OSError as error:
            raise OutputError(f"cannot write {out}: {error.strerror}") from error
        if (notify := following.get("notify")) is not None:
            for notice in drawn.result.notices:
                notify(notice)
        if (progress := following.get("progress")) is not None:
            progress("rendering", drawn.result.frames, drawn.result.frames)
        return dataclasses.replace(drawn.result, out=os.fspath(out))


def v1(load_avatar: Callable[[], Avatar], config: ServiceConfig) -> Any:
    """The app of `visavis app` (app.api.app.create_app), with as many jobs under way as there may
    be replicas, and the keys of VISAVIS_API_KEYS.
    """
    from app.api.app import create_app
    from app.api.settings import ServerConfig, default_data_dir, read_keys

    folder = Path(config.data_dir) if config.data_dir else default_data_dir()
    limits = dataclasses.replace(config.limits, workers=config.most)
    settings = ServerConfig(folder, keys=read_keys(None), limits=limits)
    return create_app(load_avatar, settings)


def application(arguments: dict[str, Any]) -> "Application":
    """What `serve run app.api.ray_serve:application` and a RayService's import_path want;
    `arguments` are the fields of ServiceConfig. Raises DependencyError without Ray Serve.
    """
    try:
        from ray import serve as ray_serve
    except ImportError as error:
        raise DependencyError(
            f"the service needs Ray Serve, which is not installed: {how_to_add('ray')}"
        ) from error
    serve: Any = ray_serve  # its decorators have types that lose what they decorate
    config = ServiceConfig.read(arguments)
    base = AvatarSettings(config.avatar, device=config.device, threads=max(1, int(config.cpus)))

    class Served(Replica):
        @serve.multiplexed(max_num_models_per_replica=_MODELS)
        async def avatar(self, model: str) -> Avatar:
            return await self.load(model)

        async def render(self, request: RenderRequest, files: Any, suffix: str) -> Any:
            avatar = await self.avatar(serve.get_multiplexed_model_id() or DEFAULT_MODEL)
            return await asyncio.to_thread(self.draw, avatar, request, files, suffix)

    def gateway() -> Any:
        """Evaluated in the gateway's process, where the handle is."""
        name = serve.get_replica_context().app_name
        handle = serve.get_deployment_handle(RENDERERS, name)

        def load() -> Avatar:
            own = base.load()  # live conversations are drawn here
            return RemoteAvatar(own.tracker, own.generator, own.renderer, handle=handle)

        module, _, function = config.api.partition(":")
        make: Callable[[Callable[[], Avatar], ServiceConfig], Any] = getattr(
            importlib.import_module(module), function
        )
        return make(load, config)

    class Gateway:
        def __init__(self, renderers: Any) -> None:
            self._renderers = renderers

    replicas = serve.deployment(Served).options(
        name=RENDERERS,
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": config.cpus, "num_gpus": config.gpus},
        autoscaling_config={
            "min_replicas": config.least,
            "max_replicas": config.most,
            "target_ongoing_requests": config.target,
        },
    )
    front = serve.deployment(serve.ingress(gateway)(Gateway)).options(
        name="gateway", num_replicas=1, max_ongoing_requests=1000
    )
    return front.bind(replicas.bind(base))
