"""How many things at a time there may be in all, and of one address."""

import re

from starlette.types import Scope

_STREAM = re.compile(
    r"/v1/(?:live|live/[^/]+\.mjpeg|videos/[^/]+/events)"
    r"|/studio/.*/(?:queue/data|heartbeat/[^/]+|upload_progress|call/.+|reload)"
)


class Budget:
    """Lives in the event loop; not safe for threads."""

    def __init__(self, total: int, each: int) -> None:
        self._total, self._each = total, each
        self._taken: dict[str, int] = {}

    @property
    def taken(self) -> int:
        """How many there are now."""
        return sum(self._taken.values())

    def take(self, place: str) -> bool:
        """One more for this address, if there may be."""
        mine = self._taken.get(place, 0)
        if mine >= self._each or self.taken >= self._total:
            return False
        self._taken[place] = mine + 1
        return True

    def give_back(self, place: str) -> None:
        """One less."""
        self._taken[place] -= 1
        if not self._taken[place]:
            del self._taken[place]


def is_stream(scope: Scope) -> bool:
    """Whether an answer goes on for as long as something else does."""
    return scope.get("method", "GET") == "GET" and bool(_STREAM.fullmatch(scope["path"]))
