"""What a person sees while it runs: a bar on a terminal, plain lines elsewhere. All on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.render.request import Progress
from weights.errors import one_line

LINE_SECONDS = 4.0
"""Plain lines come at most this often."""


class Reporter:
    """Writes notices and progress to stderr; one for each command."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def notify(self, notice: str) -> None:
        """One sentence for the user."""
        self._console.print(f"note: {one_line(notice)}", markup=False)

    @contextmanager
    def progress(self, unit: str = "frames") -> Iterator[Progress]:
        """A callback that shows how far things are, counted in `unit`."""
        if not self._console.is_terminal:
            yield self._lines(unit)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        rate = "{task.fields[rate]:.1f} {task.fields[unit]}/s"
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bar(
            *columns,
            TextColumn(rate),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        ) as bar:
            tasks = {}
            clock = _Clock()

            def update(what: str, done: int, total: int) -> None:
                if what in _UNCOUNTED:
                    return
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total, rate=0.0, unit=unit)
                bar.update(tasks[what], completed=done, total=total, rate=clock.rate(what, done))

            yield update

    def _lines(self, unit: str) -> Progress:
        clock = _Clock()
        said = time.perf_counter()

        def update(what: str, done: int, total: int) -> None:
            nonlocal said
            if what in _UNCOUNTED:
                return
            rate = clock.rate(what, done)
            if time.perf_counter() - said < LINE_SECONDS:
                return
            said = time.perf_counter()
            line = f"{what}: {done} of {total} {unit}"
            if rate > 0:
                line += f", {rate:.1f} {unit}/s, {(total - done) / rate:.0f} s left"
            self._console.print(line, markup=False)

        return update


_UNCOUNTED = ("loading", "preparing")
"""What is done before the first frame, in no unit that could be shown."""


class _Clock:
    """How fast each thing goes, from the first time it is heard of."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[float, int]] = {}

    def rate(self, what: str, done: int) -> float:
        now = time.perf_counter()
        start, before = self._first.setdefault(what, (now, done))
        return (done - before) / (now - start) if now > start else 0.0
