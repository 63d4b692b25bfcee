"""The one Avatar of a process: loaded once, by whoever asks first, for everybody."""

import threading
from collections.abc import Callable

from app.render.pipeline import Avatar

AvatarFactory = Callable[[], Avatar]
"""Loads the one Avatar that serves everybody; called once, in a thread."""


class Loader:
    """Calls `load` once; when that fails, the next who asks tries again."""

    def __init__(self, load: AvatarFactory) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._avatar: Avatar | None = None

    def get(self) -> Avatar:
        """The Avatar, as soon as it is there. Raises what loading raises."""
        with self._lock:
            if self._avatar is None:
                self._avatar = self._load()
            return self._avatar

    @property
    def ready(self) -> bool:
        """Whether `get` would answer at once."""
        return self._avatar is not None
