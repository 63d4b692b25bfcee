"""What happens in a batch, for whoever wants to know: a bar, JSON lines, metrics."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.render.request import Notify, Progress

EventName = Literal["started", "done", "retried", "failed", "stopped"]


@dataclass(frozen=True)
class Event:
    """`done`, `retried` and `failed` are of one item; `started` and `stopped` of the batch.

    `counts` says how many items of the batch are in each state now, `data` what there is to tell.
    """

    name: EventName
    counts: Mapping[str, int]
    output: str | None = None
    row: int | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As one object of plain JSON values."""
        item = {} if self.output is None else {"output": self.output, "row": self.row}
        return {"event": self.name, **item, **self.data, "counts": dict(self.counts)}


Listener = Callable[[Event], None]


def json_lines(event: Event) -> None:
    """One object a line on stdout."""
    print(json.dumps(event.to_json(), allow_nan=False), file=sys.stdout, flush=True)


def bar(progress: Progress, notify: Notify) -> Listener:
    """One bar for the batch, and a sentence for what fails or is tried again."""

    def listen(event: Event) -> None:
        if event.name == "started":
            return  # the rate is that of workers who have loaded their networks
        total = sum(event.counts.values())
        progress("batch", event.counts["done"] + event.counts["failed"], total)
        what = f"row {event.row} ({event.output})"
        if event.name == "retried":
            notify(f"{what} is tried again: {event.data['error']}")
        elif event.name == "failed":
            notify(f"{what} failed: {event.data['error']}")
        elif event.name == "stopped":
            notify(f"the batch stops: {event.data['error']}")

    return listen
