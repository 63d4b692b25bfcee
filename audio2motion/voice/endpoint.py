"""Where a language model is: address, key, names of models; from flags or the environment.

Any server with OpenAI's `/chat/completions` and, for its own voice, `/audio/speech` will do
(OpenAI API reference, "Chat" and "Audio"; vLLM, llama.cpp, Ollama, LocalAI and others have them).

    VISAVIS_LLM_BASE_URL or OPENAI_BASE_URL    https://host/v1
    VISAVIS_LLM_API_KEY or OPENAI_API_KEY      the key; nothing for a server that wants none
    VISAVIS_LLM_MODEL                          chat model
    VISAVIS_SPEECH_MODEL                       speech model; without one a voice of our own speaks
    VISAVIS_SPEECH_VOICE                       its voice
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from weights.errors import InputError

BASE_URL = ("VISAVIS_LLM_BASE_URL", "OPENAI_BASE_URL")
API_KEY = ("VISAVIS_LLM_API_KEY", "OPENAI_API_KEY")
CHAT_MODEL = ("VISAVIS_LLM_MODEL",)
SPEECH_MODEL = ("VISAVIS_SPEECH_MODEL",)
SPEECH_VOICE = ("VISAVIS_SPEECH_VOICE",)

_LONGEST_KEY = 4096
# A shorter "key" is a placeholder for a server that wants none; replacing it would garble messages.
_SHORTEST_SECRET = 6


class ApiKey:
    """A key that does not show: not when printed, formatted, copied into JSON or pickled.

    Raises InputError, without the key, for what cannot stand in an HTTP header.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        value = value.strip()
        if not value or len(value) > _LONGEST_KEY:
            raise InputError(f"the key has {len(value)} characters; wanted 1 to {_LONGEST_KEY}")
        if not all("!" <= c <= "~" for c in value):
            raise InputError("the key holds characters that no key has; give the key alone")
        self._value = value

    def __repr__(self) -> str:
        return "ApiKey(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not stored")

    def header(self) -> str:
        """The value of the Authorization header: for the request alone."""
        return f"Bearer {self._value}"

    def hide_in(self, text: str) -> str:
        """`text` without the key, for what a server says and others will read."""
        return text.replace(self._value, "***") if len(self._value) >= _SHORTEST_SECRET else text

    @staticmethod
    def load(path: Path) -> "ApiKey":
        """Read the key, the only thing in a text file. Raises InputError."""
        try:
            with path.open(encoding="utf-8") as file:
                return ApiKey(file.read(_LONGEST_KEY + 2))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InputError(f"cannot read the key file {path}: {why}") from None


@dataclass(frozen=True)
class Endpoint:
    """A language model that can be asked, and maybe speak.

    `connect_timeout` and `silence_timeout` (no byte for so long) and `total_timeout` (the whole
    reply) are seconds; an answer 429 or 5xx is asked for again, `attempts` times in all, after
    `backoff` seconds, then twice as long, or as long as the server says.
    Raises InputError for an address that is none, or that has a secret in it.
    """

    base_url: str
    model: str
    key: ApiKey | None = None
    speech_model: str | None = None
    speech_voice: str = "alloy"
    connect_timeout: float = 10.0
    silence_timeout: float = 60.0
    total_timeout: float = 600.0
    attempts: int = 4
    backoff: float = 0.5
    longest_wait: float = field(default=20.0, repr=False)

    def __post_init__(self) -> None:
        check_url(self.base_url)
        if not self.model.strip():
            raise InputError("the name of the chat model is empty")
        if self.attempts < 1:
            raise InputError(f"got {self.attempts} attempts; wanted at least 1")

    def url(self, path: str) -> str:
        """The address of a route, such as "chat/completions"."""
        return f"{self.base_url.rstrip('/')}/{path}"

    def hide_key(self, text: str) -> str:
        """`text` without the key."""
        return text if self.key is None else self.key.hide_in(text)

    @property
    def notices(self) -> tuple[str, ...]:
        """What there is to tell about it."""
        parts = urlsplit(self.base_url)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if self.key is not None and parts.scheme == "http" and not local:
            return (f"the key goes to {parts.hostname} unencrypted: its address is not https",)
        return ()

    @staticmethod
    def find(
        base_url: str | None = None,
        model: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        speech_model: str | None = None,
        speech_voice: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> "Endpoint":
        """What is given, and for the rest the environment. A key is never an argument.

        Raises InputError when there is no address or no chat model, or the key cannot be read.
        """

        def first(names: tuple[str, ...]) -> str | None:
            return next((v for n in names if (v := environment.get(n, "").strip())), None)

        base_url, model = base_url or first(BASE_URL), model or first(CHAT_MODEL)
        if base_url is None:
            raise InputError(
                "it is not said where the language model is: give --llm-url (like "
                f"http://localhost:8000/v1) or set {BASE_URL[0]}"
            )
        if model is None:
            raise InputError(
                "it is not said which language model to ask: give --llm-model or set "
                f"{CHAT_MODEL[0]}"
            )
        return Endpoint(
            base_url=base_url,
            model=model,
            key=ApiKey.load(Path(key_file)) if key_file else _key(environment),
            speech_model=speech_model or first(SPEECH_MODEL),
            speech_voice=speech_voice or first(SPEECH_VOICE) or Endpoint.speech_voice,
        )


def _key(environment: Mapping[str, str]) -> ApiKey | None:
    name = next((n for n in API_KEY if environment.get(n, "").strip()), None)
    if name is None:
        return None
    try:
        return ApiKey(environment[name])
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def check_url(url: str) -> None:
    """Raise InputError unless `url` is a plain http address. The message never repeats it whole: a
    password or a token may be what is wrong with it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InputError("the language model's address is not an address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("the language model's address is none: wanted http://... or https://...")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            f"the language model's address at {parts.hostname} has a name, password, query or "
            f"fragment in it; give the address alone and the key as {API_KEY[0]}"
        )
