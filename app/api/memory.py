"""Memory goes back to the system: few heaps, and a thread that trims them after work.

glibc keeps what was freed, in up to eight heaps a core, one for each thread that found the others
busy; a server whose threads come and go fills them all. It has no reason to be asked elsewhere:
with another C library both functions do nothing.
"""

import ctypes
import gc
import platform
import threading
import time

_ARENA_MAX = -8  # M_ARENA_MAX of <malloc.h>
_ARENAS = 2
_LOOK_S = 5.0
_TRIM_S = 30.0
_BUSY = 0.1


def limit_heaps() -> None:
    """At most two heaps from now on; those that are there stay. Before the threads start."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def hand_back() -> None:
    """Give free pages of all heaps back to the system."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


class Trimmer:
    """Hands memory back every half minute of work, and once more, after a collection of cycles,
    when the work is over. A process works while it uses more than a tenth of a core."""

    def __init__(self, look_s: float = _LOOK_S, trim_s: float = _TRIM_S) -> None:
        self._look_s, self._trim_s = look_s, trim_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="visavis-memory", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        worked, trimmed = True, time.monotonic()
        used = time.process_time()
        while not self._end.wait(self._look_s):
            before, used = used, time.process_time()
            works = used - before > _BUSY * self._look_s
            now = time.monotonic()
            if worked and not works:
                gc.collect()
                hand_back()
                used, trimmed = time.process_time(), now
            elif works and now - trimmed >= self._trim_s:
                hand_back()
                trimmed = now
            worked = works

    def close(self) -> None:
        """Stop the thread."""
        self._end.set()
        self._thread.join()
