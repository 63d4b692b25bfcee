"""A language model as the agent's voice: its reply is spoken while it is still being written.

The chat streams as server-sent events; every sentence goes to the endpoint's speech model as soon
as it is complete, or to a voice of our own where there is none. A thread of its own does this and
puts the pieces in a queue, so that closing the iterator, from any thread and at any moment, breaks
off the requests at once: a live conversation can be interrupted.
"""

import asyncio
import json
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from audio2motion.gestures.text_limits import MAX_CHARACTERS
from audio2motion.gestures.transcript import Word, split_words
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.hearing.sound_stream import SoundStream
from audio2motion.voice.agent_voice import AgentVoice, Pieces, SpokenPiece
from audio2motion.voice.endpoint import Endpoint
from audio2motion.voice.http_exchange import Exchange, error_message
from audio2motion.voice.reply_codes import Sentence, place, system_prompt
from audio2motion.voice.sentences import SentenceStream
from audio2motion.voice.speakers import DEFAULT_VOICE, find_speaker
from weights.errors import EndpointError, MediaError

if TYPE_CHECKING:
    import httpx

MAX_SENTENCE_SECONDS = 120.0
_PCM_RATE = 24_000  # of bare samples, unless their content type says otherwise (OpenAI's "pcm")
_FIRST_PACE = 15.0  # characters a second until a sentence of this voice has been heard
_NO_SPEECH_MODEL = (404, 405, 501)


@dataclass(frozen=True)
class Turn:
    """One turn of the conversation so far."""

    role: Literal["user", "assistant"]
    content: str


class LanguageVoice(AgentVoice):
    """What a language model answers to `prompt`, after the turns of `history`.

    `persona` is added to the system prompt. `voice`, one of `list_speakers`, speaks where the
    endpoint has no speech model. `codes` False neither asks for codes nor gives any. `notify` gets
    a sentence for the user now and then, in the thread that takes the pieces.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        prompt: str,
        persona: str | None = None,
        history: tuple[Turn, ...] = (),
        voice: str = DEFAULT_VOICE,
        codes: bool = True,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint, self.speaker, self.codes = endpoint, find_speaker(voice), codes
        self.messages = (
            {"role": "system", "content": system_prompt(persona, codes)},
            *({"role": turn.role, "content": turn.content} for turn in history),
            {"role": "user", "content": prompt},
        )
        # What an endpoint speaks is any language; a voice of ours has one.
        self.language = self.speaker.language if endpoint.speech_model is None else None
        self._notify = notify

    def speak(self) -> Pieces:
        """Ask, and give the pieces of the reply as they come. Raises EndpointError at a piece."""
        return _Speaking(_Worker(self), self._notify)


_Item = SpokenPiece | str | Exception | None
"""A piece, a notice, what went wrong, or the end."""


class _Speaking:
    """The taking end of a worker's queue; see Pieces."""

    def __init__(self, worker: "_Worker", notify: Callable[[str], None] | None) -> None:
        self._worker, self._notify, self._closed = worker, notify, False
        # An iterator that is dropped instead of closed must not leave a connection behind.
        weakref.finalize(self, worker.cancel)
        worker.start()

    def __iter__(self) -> Iterator[SpokenPiece]:
        return self

    def __next__(self) -> SpokenPiece:
        while not self._closed:
            item = self._worker.queue.get()
            if self._closed or item is None:
                break
            if isinstance(item, Exception):
                self._closed = True
                raise item
            if isinstance(item, SpokenPiece):
                return item
            if self._notify is not None:
                self._notify(item)
        self._closed = True
        raise StopIteration

    def close(self) -> None:
        """Stop at once and close the connections; whoever waits for a piece gets the end."""
        self._closed = True
        self._worker.cancel()
        if threading.current_thread() is not self._worker:
            self._worker.join(timeout=5.0)


class _Worker(threading.Thread):
    """Runs a reply's event loop; knows nothing of the iterator, so that that can be dropped."""

    def __init__(self, voice: LanguageVoice) -> None:
        super().__init__(name="visavis-language", daemon=True)
        self.queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._voice = voice
        self._lock = threading.Lock()
        self._cancelled = False
        self._cancel: Callable[[], object] | None = None

    def run(self) -> None:
        """The thread: speak the reply, hand on what goes wrong, say that it is over."""
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.queue.put(error)
        finally:
            self.queue.put(None)

    def cancel(self) -> None:
        """Break off, from any thread; harmless when it is over."""
        with self._lock:
            self._cancelled = True
            if self._cancel is not None:
                self._cancel()

    async def _main(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        with self._lock:
            if self._cancelled:
                return
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            await _Reply(self._voice, self.queue.put).speak()
        finally:
            with self._lock:
                self._cancel = None


class _Reply:
    """One reply: `_write` makes sentences of the chat, `speak` makes sound of the sentences."""

    def __init__(self, voice: LanguageVoice, put: Callable[[_Item], None]) -> None:
        self._voice, self._put = voice, put
        self._samples = self._spoken = 0  # of all; of sentences that the endpoint spoke
        self._characters = 0  # of those
        self._endpoint_speaks = voice.endpoint.speech_model is not None
        self._told = False  # that another voice stands in

    async def speak(self) -> None:
        """Ask and speak, at the same time; a failure of the chat comes after what was written."""
        endpoint = self._voice.endpoint
        for notice in endpoint.notices:
            self._put(notice)
        sentences: asyncio.Queue[Sentence | None] = asyncio.Queue()
        try:
            async with asyncio.timeout(endpoint.total_timeout), Exchange(endpoint) as exchange:
                writing = asyncio.create_task(self._write(exchange, sentences))
                try:
                    while (sentence := await sentences.get()) is not None:
                        await self._say(exchange, sentence)
                    await writing
                finally:
                    writing.cancel()
                    await asyncio.gather(writing, return_exceptions=True)
        except TimeoutError:
            raise EndpointError(
                f"the language model's reply took longer than {endpoint.total_timeout:g} s"
            ) from None

    async def _write(self, exchange: Exchange, sentences: "asyncio.Queue[Sentence | None]") -> None:
        stream = SentenceStream(self._voice.codes)
        payload = {
            "model": self._voice.endpoint.model,
            "messages": list(self._voice.messages),
            "stream": True,
        }
        try:
            async with exchange.post("chat/completions", payload) as response:
                async for text in _chat(exchange, response, self._put):
                    for sentence in stream.push(text):
                        sentences.put_nowait(sentence)
                    if stream.length > MAX_CHARACTERS:
                        self._put(f"the reply is over {MAX_CHARACTERS} characters: it is cut there")
                        break
            for sentence in stream.flush():
                sentences.put_nowait(sentence)
            if not stream.length:
                raise EndpointError(f"{exchange.name} answered without a word; ask it otherwise")
        finally:
            sentences.put_nowait(None)

    async def _say(self, exchange: Exchange, sentence: Sentence) -> None:
        if sentence.has_words and self._endpoint_speaks:
            try:
                await self._say_by_endpoint(exchange, sentence)
                return
            except EndpointError as error:
                if error.status not in _NO_SPEECH_MODEL:
                    raise
                self._endpoint_speaks = False
                model = self._voice.endpoint.speech_model
                speaker = self._voice.speaker
                who = speaker.natural.name if speaker.natural else f"espeak-ng's {speaker.espeak}"
                self._put(
                    f"{exchange.name} has no speech model {model!r} ({error.status}): {who} speaks"
                )
        sound, words = Waveform.silence(0.0), ()
        if sentence.has_words:
            if (notice := self._voice.speaker.notice) is not None and not self._told:
                self._told = True
                self._put(notice)
            sound, said = await asyncio.to_thread(self._voice.speaker.say, sentence.text)
            words = said.words
        self._emit(sound.samples, sentence, words, exact=True)

    async def _say_by_endpoint(self, exchange: Exchange, sentence: Sentence) -> None:
        endpoint, first = self._voice.endpoint, sentence.span[0] - sentence.first
        payload = {
            "model": endpoint.speech_model,
            "input": sentence.text.strip(),
            "voice": endpoint.speech_voice,
            "response_format": "wav",
        }
        pace = self._characters * SAMPLE_RATE / self._spoken if self._spoken else _FIRST_PACE
        words = tuple(
            Word(a, b, max(0, a - first) / pace, max(0, b - first) / pace)
            for a, b in split_words(sentence.text)
        )
        before, pending = self._samples, sentence
        async with exchange.post("audio/speech", payload) as response:
            async for samples in _sound(exchange, response):
                if len(samples):
                    self._emit(samples, pending, words, exact=False)
                    pending, words = Sentence("", sentence.span[0], ()), ()
                if self._samples - before > MAX_SENTENCE_SECONDS * SAMPLE_RATE:
                    raise EndpointError(
                        f"{exchange.name} spoke for over {MAX_SENTENCE_SECONDS:g} s at one sentence"
                    )
        if pending is sentence:
            raise EndpointError(f"{exchange.name} spoke no sound for a sentence")
        self._spoken += self._samples - before
        self._characters += sentence.span[1] - sentence.span[0]

    def _emit(
        self,
        samples: np.ndarray,
        sentence: Sentence,
        words: tuple[Word, ...],
        exact: bool,
    ) -> None:
        """A piece; characters and times of `words` are those of the sentence."""
        start, first = self._samples / SAMPLE_RATE, sentence.first
        words = tuple(
            Word(w.first + first, w.last + first, w.start + start, w.end + start) for w in words
        )
        codes = place(sentence, start, words)
        sound = Waveform(samples)
        self._put(SpokenPiece(sound, start, sentence.text, sentence.span, words, codes, exact))
        self._samples += len(samples)


async def _chat(
    exchange: Exchange, response: "httpx.Response", notify: Callable[[str], None]
) -> AsyncIterator[str]:
    """The text of a streamed chat completion, piece by piece.

    A server that does not stream answers with one object. Raises EndpointError for an error in the
    stream, for what is no completion, and for a stream that ends before the reply does.
    """
    if "json" in response.headers.get("content-type", ""):
        body = ""
        async for line in exchange.lines(response):
            body += line
        text, _ = _content(exchange, body, "message")
        yield text
        return
    finished, other = None, ""
    async for line in exchange.lines(response):
        if not line.startswith("data:"):
            other = other or line  # a comment, an event's name; or no event stream at all
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            finished = finished or "stop"
            break
        text, reason = _content(exchange, data, "delta")
        finished = reason or finished
        yield text
    if finished is None:
        got = f" (it began: {exchange.quoted(other)})" if other else ""
        raise EndpointError(f"{exchange.name} broke off before its reply was complete{got}")
    if finished in ("length", "content_filter"):
        notify(f"the language model's reply is not whole: it was ended by its {finished}")


def _content(exchange: Exchange, data: str, key: str) -> tuple[str, str | None]:
    """Text and reason of the end in an object of a chat completion."""
    try:
        answer: Any = json.loads(data)
    except ValueError:
        raise EndpointError(
            f"{exchange.name} sent something that is not JSON: {exchange.quoted(data)}"
        ) from None
    if message := error_message(answer):
        raise EndpointError(f"{exchange.name} gave up: {exchange.quoted(message)}")
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list):
        raise EndpointError(
            f"{exchange.name} sent something that is no chat completion: {exchange.quoted(data)}"
        )
    if not choices:  # figures of use come in an object of their own
        return "", None
    choice = choices[0] if isinstance(choices[0], dict) else {}
    part = choice.get(key)
    text = part.get("content") if isinstance(part, dict) else None
    reason = choice.get("finish_reason")
    return text if isinstance(text, str) else "", reason if isinstance(reason, str) else None


async def _sound(exchange: Exchange, response: "httpx.Response") -> AsyncIterator[np.ndarray]:
    """The samples of a speech answer at 16 kHz, as they come."""
    kind = response.headers.get("content-type", "").lower()
    if kind.startswith(("application/json", "text/")):
        raise EndpointError(
            f"{exchange.name} answered audio/speech with {exchange.quoted(kind)} instead of sound"
        )
    rate = None
    if kind.startswith(("audio/pcm", "audio/l16")):
        stated = kind.partition("rate=")[2].partition(";")[0].strip()
        rate = int(stated) if stated.isdecimal() else _PCM_RATE
    try:
        stream = SoundStream(rate)
        async for data in response.aiter_bytes():
            yield stream.push(data)
        yield stream.flush()
    except MediaError as error:
        raise EndpointError(
            f"the speech of {exchange.name} cannot be used: {error}; wanted wav or pcm"
        ) from None
