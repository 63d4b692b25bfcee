"""A job whose work is a function of this process, and which therefore ends with it."""

import threading
from collections.abc import Callable
from typing import Any

from app.jobs.crew import Running
from app.jobs.table import Job

Work = Callable[[Running], Any]
"""What an errand does; it tells `Running` how far it is, and shows it frames."""


class Errand:
    """An errand as whoever asked for it watches it; the queue has its state. `result` is what the
    work has returned.
    """

    def __init__(
        self,
        running: Running,
        work: Work,
        look: Callable[[], Job],
        cancel: Callable[[], object],
    ) -> None:
        self.running, self.work = running, work
        self.look, self.cancel = look, cancel
        self.result: Any = None
        self.over = threading.Event()
        """Set when nothing more will happen, and its thread has let it go."""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.over.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        return self.over.wait(seconds)

    @property
    def state(self) -> str:
        """As the queue knows it."""
        return self.look().state
