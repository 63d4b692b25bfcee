"""What runs the tasks of a batch: here, in processes beside this one, or on a cluster."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from app.batch.doing import do_task
from app.batch.work import AvatarSettings, Failure, Outcome, Place, Task, Worker, with_threads
from weights.errors import VisavisError


@runtime_checkable
class Engine(Protocol):
    """Takes tasks and gives outcomes, one for each, in any order; use it in a `with`.

    `free` tasks are taken at once; more are not: whoever gives them waits. A worker that dies is
    replaced and its task comes back as a Failure `lost`. Where no worker can be started, `wait`
    raises a VisavisError.
    """

    name: str

    @property
    def workers(self) -> int:
        """Workers that there are or that have been asked for."""
        ...

    @property
    def free(self) -> int:
        """How many more tasks may be given now."""
        ...

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *error: object) -> None: ...

    def submit(self, task: Task) -> None:
        """Hand a task to a free worker."""
        ...

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Outcomes as soon as there are any, none after `seconds`."""
        ...


@dataclass(frozen=True)
class Recipe:
    """All that a worker is made from; travels to other processes and machines."""

    settings: AvatarSettings
    place: Place
    split: float | None = None

    def make(self, name: str) -> Worker:
        """Load the networks. Raises a VisavisError where that cannot be done."""
        return Worker(name, self.settings.load(), self.place, self.split)


def lost_outcome(
    task: Task | None, name: str, since: float, timeout: float | None, how: str
) -> Outcome | None:
    """What comes of the task of a worker that died, `how` it did; None where it had none."""
    if task is None:
        return None
    seconds = time.monotonic() - since
    if timeout is not None and seconds >= timeout:
        how = f"it took more than {timeout:g} s"
    return Outcome(task, name, seconds, failure=Failure("lost", f"the worker died on it: {how}"))


class HereEngine:
    """Everything in this process: no other is started, and nothing protects it from a crash."""

    name = "here"
    workers = 1

    def __init__(self, recipe: Recipe) -> None:
        settings = with_threads(recipe.settings, 1)
        self._recipe = Recipe(settings, recipe.place, recipe.split)
        self._worker: Worker | None = None
        self._task: Task | None = None

    def __enter__(self) -> "HereEngine":
        self._worker = self._recipe.make("here")
        return self

    def __exit__(self, *error: object) -> None:
        if self._worker is not None:
            self._worker.close()

    @property
    def free(self) -> int:
        """How many more tasks may be given now."""
        return int(self._task is None)

    def submit(self, task: Task) -> None:
        """Keep the task until `wait`."""
        self._task = task

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Do the task that there is."""
        task, self._task = self._task, None
        if task is None or self._worker is None:
            return ()
        return (do_task(self._worker, task),)


class LoadError(VisavisError):
    """No worker can be started: whatever it was, it would be the same for the next one."""
