"""The exception tree of Visavis: everything a caller may want to catch, on one screen.

It lives in the bottom package so that every other one can raise it. `exit_code` is what the
command line returns; the message is one sentence that says what was got, what was wanted and
what to do about it.
"""

import unicodedata

_LONGEST = 2_000
_UNSEEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
_BIDI = frozenset(map(chr, (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def one_line(text: str) -> str:
    """A text with its control characters, line breaks, lone surrogates and marks that change the
    direction of writing shown as escapes: on one line, and no trick on the terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode()
        if c in _BIDI or unicodedata.category(c) in _UNSEEN
        else c
        for c in text
    )


def _shown(line: str) -> str:
    """A line as `one_line` shows it, without its middle where it is too long to be read."""
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 4 :]}"
    return one_line(line)


class VisavisError(Exception):
    """Base of every error that Visavis raises on purpose.

    A message is one line of bounded length, whatever was in the path or value that it quotes;
    `more` are further lines for a list of problems.
    """

    exit_code = 2

    def __init__(self, message: str = "", *more: str) -> None:
        super().__init__("\n".join(_shown(str(line)) for line in (message, *more)))


class InputError(VisavisError):
    """Something the user gave cannot be used: a file, a value, an option."""


class MediaError(InputError):
    """A picture, sound or video is unreadable, truncated, empty, silent or too long."""


class FaceError(InputError):
    """No usable face: none found, wrong index, too small, turned away."""


class MotionError(InputError):
    """A motion file or array has the wrong shape, rate or values."""


class EndpointError(VisavisError):
    """A language model's endpoint cannot be reached, refuses, breaks off or answers nonsense.

    `status` is the HTTP status code of a refusal, else None. No message holds a key.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class LimitError(InputError):
    """More than this place takes: too many bytes, pixels, seconds or files."""


class WeightsError(VisavisError):
    """Weights are missing, do not match their hash, or do not fit the network."""


class OutputError(VisavisError):
    """The result cannot be written: it is a folder, the disk is full, no permission."""


class StateError(VisavisError):
    """A stream state was used twice or after its end."""


class DependencyError(VisavisError):
    """An optional package or device is missing; the message says how to get it."""


class BusyError(VisavisError):
    """A server has no room for more work now; `retry_after` is seconds after which it may."""

    def __init__(self, message: str, retry_after: int = 10) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FullError(VisavisError):
    """A server has no room left for anybody's files."""


class UnavailableError(VisavisError):
    """Something that a server stands on cannot be used now; nothing was changed, and the same may
    be tried again after `retry_after` seconds.
    """

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotFoundError(VisavisError):
    """There is no such thing, or it belongs to somebody else: both look the same."""


class ConflictError(VisavisError):
    """The request contradicts an earlier one."""
