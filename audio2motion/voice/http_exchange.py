"""One HTTP exchange with an endpoint: sent again where that helps, and every failure a sentence."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from audio2motion.voice.endpoint import API_KEY, Endpoint
from weights.errors import EndpointError

if TYPE_CHECKING:
    import httpx

_TRY_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_LONGEST_SAID = 200
_LONGEST_LINE = 1_000_000


class Exchange:
    """Requests to one endpoint over connections that are kept; use as `async with`.

    Raises EndpointError, never an exception of httpx: those may quote what was sent or received.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        import httpx

        self.endpoint = endpoint
        self.name = f"the language model at {urlsplit(endpoint.base_url).netloc}"
        timeout = httpx.Timeout(endpoint.silence_timeout, connect=endpoint.connect_timeout)
        # No redirects: the key is for this address.
        self._client = httpx.AsyncClient(timeout=timeout, auth=self._authorize)

    async def __aenter__(self) -> "Exchange":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def _authorize(self, request: "httpx.Request") -> "httpx.Request":
        # At the last moment: this way no variable and no repr of ours ever holds the key.
        if self.endpoint.key is not None:
            request.headers["Authorization"] = self.endpoint.key.header()
        return request

    @asynccontextmanager
    async def post(self, path: str, payload: dict[str, Any]) -> AsyncIterator["httpx.Response"]:
        """The answer to a JSON request, its body still to come; closed at the end of the block."""
        import httpx

        failed: str | None = None
        try:
            request = self._client.build_request("POST", self.endpoint.url(path), json=payload)
            response = await self._send(request)
            try:
                yield response
            finally:
                await response.aclose()
        except httpx.ConnectTimeout:
            failed = f"cannot be reached within {self.endpoint.connect_timeout:g} s"
        except httpx.TimeoutException:
            failed = f"was silent for {self.endpoint.silence_timeout:g} s"
        except httpx.ConnectError:
            failed = "cannot be reached; check --llm-url and that it runs"
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.DecodingError):
            failed = f"broke off its answer to {path}"
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            failed = f"cannot be talked to ({type(error).__name__})"
        if failed is not None:
            raise EndpointError(f"{self.name} {failed}") from None

    async def _send(self, request: "httpx.Request") -> "httpx.Response":
        """Send until the answer is good, or bad for good."""
        attempts = self.endpoint.attempts
        for attempt in range(attempts):
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code == 200:
                    return response
                said = await self._said(response)
            except BaseException:
                await response.aclose()
                raise
            await response.aclose()
            if response.status_code not in _TRY_AGAIN or attempt + 1 == attempts:
                raise self._refusal(response.status_code, said)
            await asyncio.sleep(self._wait(attempt, response.headers.get("retry-after", "")))
        raise AssertionError("the loop ends by itself")

    def _wait(self, attempt: int, retry_after: str) -> float:
        """Seconds until the next try; a little by chance, so that clients do not come together."""
        wait = self.endpoint.backoff * 2**attempt * random.uniform(0.8, 1.2)
        if retry_after.isdecimal():
            wait = max(wait, float(retry_after))
        return min(wait, self.endpoint.longest_wait)

    async def _said(self, response: "httpx.Response") -> str:
        """What a refusal says, short and without the key."""
        body = b""
        async for data in response.aiter_bytes():
            body += data
            if len(body) > 10_000:
                break
        text = body.decode("utf-8", errors="replace")
        with suppress(ValueError):
            text = error_message(json.loads(text)) or text
        return self.quoted(text)

    async def lines(self, response: "httpx.Response") -> AsyncIterator[str]:
        """The lines of a body, as they come, without the key, whoever wrote that into them.

        They end in a line feed and in nothing else (httpx's own also end at U+2028, which JSON may
        hold). Raises EndpointError for a line without end.
        """
        held = b""
        async for data in response.aiter_bytes():
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                yield self._read(line)
            if len(held) > _LONGEST_LINE:
                raise EndpointError(f"{self.name} sent a line that does not end")
        if held:
            yield self._read(held)

    def _read(self, line: bytes) -> str:
        return self.endpoint.hide_key(line.rstrip(b"\r").decode("utf-8", errors="replace"))

    def quoted(self, text: str) -> str:
        """Text from outside for one line of a message: short, printable, without the key."""
        text = "".join(c if c.isprintable() else " " for c in self.endpoint.hide_key(text))
        text = " ".join(text.split())
        return text if len(text) <= _LONGEST_SAID else text[:_LONGEST_SAID] + "..."

    def _refusal(self, status: int, said: str) -> EndpointError:
        answer = f"{status}: {said}" if said else str(status)
        if status in (401, 403):
            key = "the key" if self.endpoint.key else "a request without a key"
            what = f"refused {key} ({answer}); set {API_KEY[0]} or give --llm-key-file"
        elif status == 404:
            what = (
                f"does not know the route or the model {self.endpoint.model!r} ({answer}); check "
                "--llm-url (most end in /v1) and --llm-model"
            )
        elif status in _TRY_AGAIN:
            what = f"is overloaded or out of order ({answer}, {self.endpoint.attempts} times)"
        elif 300 <= status < 400:
            what = f"sends us elsewhere ({answer}); give the final address as --llm-url"
        else:
            what = f"refused the request ({answer})"
        return EndpointError(f"{self.name} {what}", status)


def error_message(answer: object) -> str | None:
    """The message of an error object, as endpoints send it instead of an answer; else None."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "an error without a message")
    return str(error) if error else None
