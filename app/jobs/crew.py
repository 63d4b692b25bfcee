"""The threads that do jobs, and the one that looks after them: a dead or frozen one is replaced.

Python cannot end a thread. One whose job makes no progress for too long is dismissed: its job has
failed, another thread takes its place, and should it ever wake it finds nothing left to do.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from app.jobs.preview import Preview
from app.jobs.table import Step
from app.render.request import MotionRequest
from weights.errors import UnavailableError

LOOK_S = 0.5
"""How often the threads are looked after."""
MOST_FROZEN = 4
"""So many frozen threads are replaced; then the process is to be started anew."""
_log = logging.getLogger("visavis.jobs")


class Cancelled(Exception):  # noqa: N818 (nothing went wrong)
    """Raised inside the work of a job that is to stop."""


class Running:
    """What is known of a running job and not worth writing down; `drawn` is told of each frame."""

    def __init__(
        self,
        identity: str,
        owner: str,
        files: list[str],
        drawn: Callable[[], None] = lambda: None,
    ) -> None:
        self.id, self.owner, self.files = identity, owner, files
        self.notices: list[str] = []
        self.request: MotionRequest | None = None
        self.preview = Preview()
        self._drawn = drawn
        self.stop = threading.Event()
        self.step = Step()
        self.beat = time.monotonic()
        """When it was last heard of."""
        self._began = ("", 0.0, 0)

    def heard(self) -> None:
        """It is not silent, even if it waits for something."""
        self.beat = time.monotonic()

    def check(self) -> None:
        """It waits for a file to be read; raises Cancelled when it is to stop."""
        self.heard()
        if self.stop.is_set():
            raise Cancelled

    def progress(self, what: str, done: int, total: int) -> None:
        """As app.render.request.Progress; raises Cancelled when the job is to stop."""
        now = self.beat = time.monotonic()
        if self.stop.is_set():
            raise Cancelled
        if self._began[0] != what:
            self._began = (what, now, done)
        spent = now - self._began[1]
        rate = (done - self._began[2]) / spent if spent > 0.1 else 0.0
        self.step = Step(what, done, total, rate)
        if what == "rendering":
            self._drawn()

    @property
    def silent_s(self) -> float:
        """Seconds without progress; 0 while the networks are loaded, which is no job's fault."""
        loads = self.step.what.startswith("loading")
        return 0.0 if loads else time.monotonic() - self.beat


@dataclass(eq=False)
class Hand:
    """One thread that does jobs, and the job it is at."""

    name: str
    running: Running | None = None
    dismissed: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def lives(self) -> bool:
        """Whether its thread has not ended."""
        return self.thread is not None and self.thread.is_alive()


class Crew:
    """`count` threads that each call `serve`, which returns when its Hand is dismissed or the crew
    is `closing`. `tend` is called between looks, `give_up` with a job that has been silent for
    longer than `stall_s` seconds.
    """

    def __init__(
        self,
        count: int,
        serve: Callable[[Hand], None],
        tend: Callable[[], None],
        give_up: Callable[[Running], None],
        stall_s: float,
    ) -> None:
        self._count, self._serve, self._tend, self._give_up = count, serve, tend, give_up
        self._stall_s = stall_s
        self.closing = threading.Event()
        self.replaced: Counter[str] = Counter()
        """Threads that were replaced since the start: those that "died" and that "froze"."""
        self._hands: list[Hand] = []
        self._frozen: list[Hand] = []
        self._made = 0
        self._thread = threading.Thread(target=self._look_after, name="visavis-crew", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @property
    def living(self) -> int:
        """Threads that work or wait for work."""
        return sum(hand.lives for hand in self._hands)

    @property
    def frozen(self) -> int:
        """Dismissed threads that have not come back."""
        return sum(hand.lives for hand in self._frozen)

    def at_work(self) -> list[Running]:
        """The jobs of threads that work."""
        return [hand.running for hand in self._hands if hand.running is not None]

    def close(self, seconds: float) -> list[Running]:
        """Tell all to stop and wait so long; the jobs of those that still have not."""
        self.closing.set()
        end = time.monotonic() + seconds
        for running in self.at_work():
            running.stop.set()
        for thread in (self._thread, *(hand.thread for hand in self._hands)):
            if thread is not None and thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))
        return [hand.running for hand in self._hands if hand.lives and hand.running is not None]

    def _look_after(self) -> None:
        troubled = False
        while not self.closing.is_set():
            try:
                self._tend()
                self._look()
                if troubled:
                    _log.warning("the database can be used again")
                troubled = False
            except UnavailableError as error:
                if not troubled:
                    _log.warning("%s", error)
                troubled = True
            except Exception:
                # Without this thread nobody would replace the others: it must outlive any fault.
                _log.exception("the threads that do jobs could not be looked after")
            self.closing.wait(LOOK_S)

    def _look(self) -> None:
        for hand in list(self._hands):
            if not hand.lives:
                self._hands.remove(hand)
                self.replaced["died"] += 1
                _log.error("the thread %s has died and is replaced", hand.name)
            elif (running := hand.running) and running.silent_s > self._stall_s:
                self._give_up(running)
                running.stop.set()
                hand.dismissed.set()
                self._hands.remove(hand)
                self._frozen.append(hand)
                self.replaced["froze"] += 1
                _log.error(
                    "job %s made no progress for %g s (%s) and has failed; its thread %s is left "
                    "behind",
                    *(running.id, self._stall_s, running.step.what, hand.name),
                )
        self._frozen = [hand for hand in self._frozen if hand.lives]
        while len(self._hands) < self._count and len(self._frozen) < MOST_FROZEN:
            self._hire()

    def _hire(self) -> None:
        hand = Hand(f"visavis-job-{self._made}")
        self._made += 1
        hand.thread = threading.Thread(target=self._run, args=(hand,), name=hand.name, daemon=True)
        self._hands.append(hand)
        hand.thread.start()

    def _run(self, hand: Hand) -> None:
        try:
            self._serve(hand)
        except Exception:
            _log.exception("a fault in the thread %s", hand.name)
