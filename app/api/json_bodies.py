"""JSON that comes in: measured before it is parsed, and read as it comes, files in base64 apart.

A parser makes objects of whatever it is told, and holds the interpreter while it does: a few
megabytes of keys are seconds in which nobody is answered. So signs, depth and bytes are counted
first, in one pass without backtracking; long texts, which only files are, never reach the parser.
"""

import binascii
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any

from fastapi.concurrency import run_in_threadpool

from app.api.problems import Problem

LONG = 64 * 1024
"""Characters from which on a text is a file in base64, and goes to a file of its own."""
_BLOCK = 1 << 20
_BRACKET = re.compile(rb"[{}\[\]]")
# Until Python 3.11.4 a possessive group keeps what it has half read: the last * is a plain one.
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*', re.DOTALL)


@dataclass(frozen=True)
class JsonBounds:
    """What JSON may hold: `bytes` beside long texts, `signs` (quotes, commas, brackets: a key with
    a value has five), `depth` of nesting, `texts` that are long, as its own values or those of the
    object `within`.
    """

    bytes: int = 256 * 1024
    signs: int = 20_000
    depth: int = 16
    texts: int = 0
    within: str | None = None


class JsonBody:
    """A body of JSON as it comes in, piece by piece. Close it at the end.

    Raises Problem (413) beyond the bounds, and (422) for a long text that is no base64.
    """

    def __init__(self, bounds: JsonBounds = JsonBounds()) -> None:
        self._bounds = bounds
        self._small = bytearray()
        self._signs = self._depth = 0
        self._carry = b""
        self._inside = False
        self._began = 0
        """Where the text that is being read begins in `_small`."""
        self._long: LongText | None = None
        self._mark = secrets.token_hex(16)
        self._texts: list[LongText] = []

    def feed(self, data: bytes) -> None:
        """Take in the next bytes, however they were cut."""
        data, self._carry, at = self._carry + data, b"", 0
        if data.count(b'"') - data.count(b'\\"') > self._bounds.signs:
            self._count(self._bounds.signs + 1)  # without a look at each
        while at < len(data):
            at = self._in_text(data, at) if self._inside else self._between(data, at)
        if len(self._small) > self._bounds.bytes:
            raise Problem(413, f"wanted at most {self._bounds.bytes} bytes of JSON beside files")

    @property
    def full(self) -> bool:
        """Whether so much of a file has come in that `spill` should be called."""
        return self._long is not None and len(self._long.waiting) >= _BLOCK

    def spill(self) -> None:
        """Decode what has come in of a file; takes milliseconds a megabyte."""
        if self._long is not None:
            self._long.spill()

    def values(self) -> Any:
        """The whole, parsed; a long text is a LongText. Raises Problem (422)."""
        try:
            self._small += self._carry
            parsed = json.loads(self._small)
        except (ValueError, RecursionError) as error:
            raise Problem(422, "the body is no JSON") from error
        for text in self._texts:
            text.finish()
        return self._placed(parsed)

    def close(self) -> None:
        """Let the files go."""
        for text in self._texts:
            text.file.close()

    def _between(self, data: bytes, at: int) -> int:
        """From `at`, outside of texts, to behind the next quote or the end of the data."""
        quote = data.find(b'"', at)
        end = len(data) if quote < 0 else quote + 1
        piece = data[at:end]
        self._small += piece
        brackets = len(piece) - len(piece.translate(None, b"{}[]"))
        for found in _BRACKET.finditer(piece) if brackets else ():
            self._depth += 1 if found[0] in b"{[" else -1
            if self._depth > self._bounds.depth:
                raise Problem(422, f"the JSON is nested deeper than {self._bounds.depth}")
        self._count(brackets + piece.count(b",") + piece.count(b'"'))
        if quote >= 0:
            self._inside, self._began = True, len(self._small)
        return end

    def _count(self, signs: int) -> None:
        self._signs += signs
        if self._signs > self._bounds.signs:
            raise Problem(
                413,
                f"the JSON has more than {self._bounds.signs} quotes, commas and brackets; "
                "wanted fewer keys and values",
            )

    def _in_text(self, data: bytes, at: int) -> int:
        """From `at`, inside a text, to behind its end or to the end of the data."""
        found = _TEXT.match(data, at)
        end = at if found is None else found.end()
        self._add(data[at:end])
        if end == len(data):
            return end
        if data[end : end + 1] == b"\\":  # what it escapes comes with the next piece
            self._carry = data[end:]
            return len(data)
        self._finish_text()
        self._count(1)
        return end + 1

    def _add(self, piece: bytes) -> None:
        if self._long is None and len(self._small) - self._began + len(piece) > LONG:
            if len(self._texts) >= self._bounds.texts:
                raise Problem(413, f"got a text longer than {LONG} bytes; wanted a shorter one")
            self._long = LongText()
            self._long.add(bytes(self._small[self._began :]))
            del self._small[self._began :]
            self._texts.append(self._long)
        if self._long is None:
            self._small += piece
        else:
            self._long.add(piece)

    def _finish_text(self) -> None:
        if self._long is not None:
            self._small += f"{self._mark}:{len(self._texts) - 1}".encode()
            self._long = None
        self._small += b'"'
        self._inside = False

    def _placed(self, parsed: Any) -> Any:
        """The parsed object with its long texts in their places, which are its own values and those
        of one object in it.
        """
        if not self._texts:
            return parsed
        texts = {f"{self._mark}:{n}": text for n, text in enumerate(self._texts)}

        def filled(value: Any) -> Any:
            return texts.pop(value, value) if isinstance(value, str) else value

        values = {}
        for name, value in parsed.items() if isinstance(parsed, dict) else ():
            inside = name == self._bounds.within and isinstance(value, dict)
            values[name] = {n: filled(v) for n, v in value.items()} if inside else filled(value)
        if texts:
            raise Problem(422, f"got a text longer than {LONG} bytes where no file belongs")
        return values


class LongText:
    """Base64 that is decoded as it comes; `file` holds the bytes."""

    def __init__(self) -> None:
        self.file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(  # noqa: SIM115 (JsonBody.close)
            max_size=_BLOCK
        )
        self.waiting = bytearray()
        self._ended = False

    def add(self, piece: bytes) -> None:
        """The next characters; some writers of JSON escape every slash."""
        self.waiting += piece.replace(b"\\/", b"/") if b"\\" in piece else piece

    def spill(self) -> None:
        """Decode what makes whole groups of four characters."""
        whole = len(self.waiting) // 4 * 4
        for at in range(0, whole, _BLOCK):
            self._decode(bytes(self.waiting[at : min(at + _BLOCK, whole)]))
        del self.waiting[:whole]

    def finish(self) -> None:
        """Everything is here: `file` can be read from its beginning."""
        self.spill()
        if self.waiting:
            raise Problem(422, "a long text is no base64: its length is no multiple of four")
        self.file.seek(0)

    def _decode(self, block: bytes) -> None:
        try:
            data = b"" if self._ended else binascii.a2b_base64(block, strict_mode=True)
        except binascii.Error as error:
            raise Problem(422, "a long text is no base64; wanted one for a file") from error
        if self._ended:
            raise Problem(422, "a long text is no base64: something follows its end")
        self._ended = block.endswith(b"=")
        self.file.write(data)


def check_json(data: bytes, bounds: JsonBounds = JsonBounds()) -> None:
    """Raise Problem where JSON goes beyond the bounds; whether it is JSON its parser says."""
    with closing(JsonBody(bounds)) as body:
        body.feed(data)


async def read_json(stream: AsyncIterator[bytes], body: JsonBody) -> Any:
    """What a request's body says, parsed in a thread; a file's part is decoded there too."""
    async for piece in stream:
        body.feed(piece)
        if body.full:
            await run_in_threadpool(body.spill)
    return await run_in_threadpool(body.values)
