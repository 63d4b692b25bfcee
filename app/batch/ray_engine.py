"""The engine `ray`: workers are actors on a cluster, each with its networks loaded once.

One task at a time is with an actor, so what is in memory does not grow. An actor that dies, with
its node or without, is replaced: where there is no room, the new one waits until the autoscaler has
made some, while the others go on.
"""

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.batch.doing import do_task
from app.batch.engine import LoadError, Recipe, lost_outcome
from app.batch.work import Outcome, Task, Worker
from weights.errors import DependencyError, InputError, VisavisError
from weights.installation import how_to_add

_FAILED_STARTS = 3  # in a row, of actors that die before they are ready
_ANSWER_S = 10.0
_LOOK_S = 5.0  # how often new nodes are looked for


class _Actor:
    """What lives on the cluster."""

    def __init__(self, recipe: Recipe, name: str) -> None:
        self._recipe, self._name = recipe, name
        self._worker: Worker | None = None

    def load(self) -> str | VisavisError:
        """Load the networks; the worker's name with its node's, or why it cannot be."""
        import ray

        try:
            node = ray.get_runtime_context().get_node_id()[:8]
            self._worker = self._recipe.make(f"{self._name}@{node}")
        except VisavisError as error:
            return error
        return self._worker.name

    def work(self, task: Task) -> Outcome:
        """Do a task."""
        assert self._worker is not None
        return do_task(self._worker, task)


@dataclass(eq=False)
class _Hired:
    """An actor as the driver sees it; `reference` is to what it is doing now."""

    name: str
    actor: Any
    reference: Any
    ready: bool = False
    task: Task | None = None
    since: float = 0.0


class RayEngine:
    """`workers` actors with `cpus` cores and `gpus` GPUs (or shares of one) each; None: as many as
    fit, and more when nodes come. `address` None is a cluster of this machine alone, unless
    RAY_ADDRESS or a running session says otherwise. Raises DependencyError without Ray.
    """

    name = "ray"

    def __init__(
        self,
        recipe: Recipe,
        workers: int | None,
        address: str | None,
        cpus: float,
        gpus: float,
        timeout: float | None,
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise DependencyError(
                f"the engine ray needs Ray, which is not installed: {how_to_add('ray')}"
            ) from error
        if workers == 0:
            raise InputError("got 0 workers for the engine ray; wanted 1 or more")
        self._ray: Any = ray
        settings = recipe.settings
        if settings.threads is None:
            settings = replace(settings, threads=max(1, int(cpus)))
        self._recipe = Recipe(settings, recipe.place, recipe.split)
        self._asked, self._address = workers, address
        self._share = {"CPU": cpus, "GPU": gpus}
        self._timeout = timeout
        self._mine = False
        self._named = self._failed_starts = 0
        self._looked = 0.0
        self._hired: list[_Hired] = []

    def __enter__(self) -> "RayEngine":
        if not self._ray.is_initialized():
            self._connect()
        self._hired = [self._hire() for _ in range(self._asked or max(1, self._fitting()))]
        self._looked = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        for one in self._hired:
            with contextlib.suppress(Exception):
                self._ray.kill(one.actor)
        self._hired = []
        if self._mine:
            self._ray.shutdown()

    @property
    def workers(self) -> int:
        """Actors that there are or that wait for room."""
        return len(self._hired)

    @property
    def free(self) -> int:
        """Actors that are ready and have nothing to do."""
        return sum(one.ready and one.task is None for one in self._hired)

    def submit(self, task: Task) -> None:
        """Hand a task to a free actor."""
        one = next(h for h in self._hired if h.ready and h.task is None)
        one.task, one.since = task, time.monotonic()
        one.reference = one.actor.work.remote(task)

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Outcomes as soon as there are any. Raises LoadError where no actor comes up."""
        self._grow()
        busy = {one.reference: one for one in self._hired if one.reference is not None}
        if not busy:
            return ()
        done, _ = self._ray.wait(list(busy), num_returns=1, timeout=seconds)
        if done:  # whatever else is there too
            done, _ = self._ray.wait(list(busy), num_returns=len(busy), timeout=0)
        outcomes = [self._heard(busy[reference]) for reference in done]
        self._end_overdue()
        return [outcome for outcome in outcomes if outcome is not None]

    def _heard(self, one: _Hired) -> Outcome | None:
        """What an actor has to say, or that it died: then another one takes its place."""
        try:
            said = self._ray.get(one.reference)
        except self._ray.exceptions.RayActorError as error:
            return self._replace(one, f"{type(error).__name__}: {_first_line(error)}")
        except self._ray.exceptions.RayError as error:
            if not one.ready:
                raise LoadError(
                    f"an actor cannot load its networks: {_first_line(error)}; is the same "
                    "visavis installed on all nodes?"
                ) from error
            return self._replace(one, f"{type(error).__name__}: {_first_line(error)}")
        if isinstance(said, VisavisError):
            raise said
        one.reference = None
        if isinstance(said, str):
            one.ready, one.name, self._failed_starts = True, said, 0
            return None
        one.task = None
        return said

    def _replace(self, one: _Hired, why: str) -> Outcome | None:
        if not one.ready:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise LoadError(f"{_FAILED_STARTS} actors in a row died while loading ({why})")
        with contextlib.suppress(Exception):  # it may only have been out of reach: end it for good
            self._ray.kill(one.actor)
        self._hired[self._hired.index(one)] = self._hire()
        return lost_outcome(one.task, one.name, one.since, self._timeout, why)

    def _end_overdue(self) -> None:
        for one in self._hired:
            overdue = one.task is not None and self._timeout is not None
            if overdue and time.monotonic() - one.since >= (self._timeout or 0):
                self._ray.kill(one.actor)

    def _connect(self) -> None:
        """To the cluster, or to one of our own that ends with us."""
        address = self._address or ("auto" if os.environ.get("RAY_ADDRESS") else None)
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if address is not None:
                _require_answer(address)
                self._ray.init(address=address, **quiet)
            else:
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
                self._ray.init(address="local", include_dashboard=False, **quiet)
        except Exception as error:  # what Ray raises when a node is slow to start
            self._ray.shutdown()
            raise InputError(
                f"no Ray cluster answers at {address or 'this machine'}: {_first_line(error)}"
            ) from error
        self._mine = True
        if address is None and not self._fitting():
            have = {name: self._ray.cluster_resources().get(name, 0) for name in self._share}
            self._ray.shutdown()
            raise InputError(f"a worker wants {self._share}; this machine has {have}")

    def _fitting(self) -> int:
        """Actors that the cluster has room for when nothing else is on it."""
        have = self._ray.cluster_resources()
        room = [have.get(name, 0) / share for name, share in self._share.items() if share]
        return int(min(room, default=1))

    def _grow(self) -> None:
        """Hire for nodes that have come."""
        if self._asked is not None or time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        self._hired += [self._hire() for _ in range(self._fitting() - len(self._hired))]

    def _hire(self) -> _Hired:
        name = f"ray-{self._named}"
        self._named += 1
        actor = (
            self._ray.remote(_Actor)
            .options(
                num_cpus=self._share["CPU"],
                num_gpus=self._share["GPU"],
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
            )
            .remote(self._recipe, name)
        )
        return _Hired(name, actor, actor.load.remote())


def _require_answer(address: str) -> None:
    """Raise OSError where nobody listens; Ray itself would ask for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
