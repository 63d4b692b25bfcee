"""A process whose Python stands still ends itself, so that whoever started it can start it again.

One call into C that keeps the interpreter's lock stops every thread, those that watch the others
included, and signals are not heard. The kernel's timer of the processor time that was spent needs
no Python: a thread sets it anew, and when that cannot run any more, it ends the process. A machine
that sleeps or a process that is paused spends no such time. It is the timer of the time in user
code, not of all (ITIMER_PROF): profilers send SIGPROF, which would end us.
"""

import faulthandler
import signal
import sys
import threading
from types import TracebackType

_BEAT_S = 1.0  # at most


class Pulse:
    """Ends this process by SIGVTALRM, with the traces of all threads on stderr, when no thread of
    Python's ran for `stall_s` seconds of user processor time. Use `with`, in the main thread.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="visavis-pulse", daemon=True)

    def __enter__(self) -> "Pulse":
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGVTALRM, sys.stderr, all_threads=True, chain=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        faulthandler.unregister(signal.SIGVTALRM)

    def _beat(self) -> None:
        while not self._over.is_set():
            signal.setitimer(signal.ITIMER_VIRTUAL, self._stall_s)
            self._over.wait(min(_BEAT_S, self._stall_s / 4))
