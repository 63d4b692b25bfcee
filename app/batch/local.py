"""Worker processes on this machine: one task at a time each; a dead one is replaced.

A worker ends by itself when its parent does, however that happens, so that a batch that was killed
leaves nobody behind who still writes.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from app.batch.doing import do_task
from app.batch.engine import LoadError, Recipe, lost_outcome
from app.batch.work import Outcome, Task, with_threads
from weights.errors import VisavisError

_FAILED_STARTS = 3  # in a row, of workers that die before they are ready
_GOODBYE_S = 5.0


@dataclass(eq=False)
class _Process:
    """A worker as its parent sees it."""

    name: str
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None
    since: float = 0.0


class LocalEngine:
    """`workers` processes, this machine's cores divided among them."""

    name = "local"

    def __init__(self, recipe: Recipe, workers: int, timeout: float | None = None) -> None:
        settings = with_threads(recipe.settings, workers)
        self._recipe = Recipe(settings, recipe.place, recipe.split)
        self.workers = workers
        self._timeout = timeout
        self._started = self._failed_starts = 0
        self._processes: list[_Process] = []

    def __enter__(self) -> "LocalEngine":
        self._processes = [self._start() for _ in range(self.workers)]
        return self

    def __exit__(self, *error: object) -> None:
        for one in self._processes:
            with contextlib.suppress(OSError):
                one.pipe.send(None)
            if one.task is not None or error[0] is not None:
                one.process.terminate()
        deadline = time.monotonic() + _GOODBYE_S
        for one in self._processes:
            one.process.join(max(0.0, deadline - time.monotonic()))
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
            one.pipe.close()
        self._processes = []

    @property
    def free(self) -> int:
        """Workers that are ready and have nothing to do."""
        return sum(one.ready and one.task is None for one in self._processes)

    @property
    def process_ids(self) -> list[int]:
        """Of the workers that live."""
        return [one.process.pid for one in self._processes if one.process.pid is not None]

    def submit(self, task: Task) -> None:
        """Hand a task to a free worker."""
        one = next(p for p in self._processes if p.ready and p.task is None)
        one.task, one.since = task, time.monotonic()
        with contextlib.suppress(OSError):  # dead: `wait` will see it
            one.pipe.send(task)

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Outcomes as soon as there are any. Raises LoadError where no worker comes up."""
        waiting = {one.pipe: one for one in self._processes}
        if self._timeout is not None:
            seconds = min(seconds, 1.0)
        outcomes = []
        for pipe in connection.wait(list(waiting), seconds):
            outcome = self._heard(waiting[pipe])  # pyrefly: ignore[bad-index]
            if outcome is not None:
                outcomes.append(outcome)
        self._end_overdue()
        return outcomes

    def _heard(self, one: _Process) -> Outcome | None:
        """What a worker has to say: that it is ready, that it cannot start, an outcome; or it is
        dead, and another one takes its place.
        """
        try:
            said = one.pipe.recv()
        except (EOFError, OSError):
            return self._replace(one)
        if isinstance(said, VisavisError):
            raise said
        if isinstance(said, str):
            raise LoadError(f"a worker cannot load its networks: {said}")
        if said is None:
            one.ready, self._failed_starts = True, 0
            return None
        one.task = None
        return said

    def _replace(self, one: _Process) -> Outcome | None:
        one.process.join()
        code = one.process.exitcode or 0
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if not one.ready:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise LoadError(
                    f"{_FAILED_STARTS} workers in a row died while loading ({how}); "
                    "is there enough memory for as many?"
                )
        one.pipe.close()
        self._processes[self._processes.index(one)] = self._start()
        return lost_outcome(one.task, one.name, one.since, self._timeout, how)

    def _end_overdue(self) -> None:
        """Kill what takes longer than it may; `wait` sees it as a death."""
        for one in self._processes:
            overdue = one.task is not None and self._timeout is not None
            if overdue and time.monotonic() - one.since >= (self._timeout or 0):
                one.process.kill()

    def _start(self) -> _Process:
        name = f"local-{self._started}"
        self._started += 1
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        threads = str(self._recipe.settings.threads)
        process = context.Process(target=_serve, args=(self._recipe, name, theirs), daemon=True)
        with _environment(OMP_NUM_THREADS=threads, OMP_WAIT_POLICY="passive"):
            process.start()
        theirs.close()  # or its end would never be seen
        return _Process(name, process, ours)


@contextlib.contextmanager
def _environment(**changes: str) -> Iterator[None]:
    """Set while a process starts: OpenMP looks at it once, before anything can be called."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(recipe: Recipe, name: str, pipe: Connection) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to see
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        worker = recipe.make(name)
    except VisavisError as error:
        pipe.send(error)
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(None)
    try:
        while (task := pipe.recv()) is not None:
            pipe.send(do_task(worker, task))
    except (EOFError, OSError):
        os._exit(1)
    finally:
        worker.close()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
