"""A language model as a voice, against a small server on this machine: order and failures."""

import gc
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio2motion.voice.agent_voice import listen
from audio2motion.voice.endpoint import ApiKey, Endpoint
from audio2motion.voice.language import LanguageVoice, Turn
from audio2motion.voice.synthesis import synthesize
from tests.audio2motion.voice.endpoint_server import CANARY, Server, serve
from weights.errors import EndpointError, InputError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as plan:
        yield plan


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "visavis-language"]


def said(server: Server, **changes: Any) -> Any:
    return listen(LanguageVoice(server.endpoint(**changes), "Hi.", voice="en-us"))


def test_a_reply_is_asked_for_and_spoken(server: Server) -> None:
    server.pieces = ["[smi", "le] Hel", "lo there, my fri", "end. I am [nod] very", " well."]
    voice = LanguageVoice(
        server.endpoint(key=ApiKey(CANARY)),
        "How are you?",
        persona="You are Ada.",
        history=(Turn("user", "Hi."), Turn("assistant", "Hello.")),
    )
    reply = listen(voice)
    assert reply.text == "Hello there, my friend. I am very well."
    assert [c.name for c in reply.codes] == ["smile", "nod"]
    assert [reply.text[slice(*c.span)] for c in reply.codes] == ["Hello", "very"]
    # 15 characters a second is how the server speaks.
    assert [c.time for c in reply.codes] == pytest.approx([0.0, (23 + 5) / 15], abs=0.1)
    assert reply.sound.seconds == pytest.approx((23 + 15) / 15, abs=0.01) and reply.sound.peak > 0.3
    (_, chat, key), (_, first, _), (_, second, speech_key) = server.asked
    assert key == speech_key == f"Bearer {CANARY}"
    assert chat["stream"] is True and chat["model"] == "chat"
    assert [m["role"] for m in chat["messages"]] == ["system", "user", "assistant", "user"]
    assert "[brow-raise]" in chat["messages"][0]["content"]
    assert chat["messages"][0]["content"].endswith("You are Ada.")
    assert first == {
        "model": "tts", "voice": "alloy", "response_format": "wav", "input": "Hello there, my friend."  # noqa: E501
    }  # fmt: skip
    assert second["input"] == "I am very well."


def test_the_first_sound_leaves_before_the_reply_is_complete(server: Server) -> None:
    server.chat, server.pieces = "wait", ["Good morning. How ", "are you?"]
    pieces = LanguageVoice(server.endpoint(), "Hi.").speak()
    first = next(pieces)
    assert not server.go_on.is_set() and first.text == "Good morning." and len(first.sound)
    server.go_on.set()
    rest = list(pieces)
    assert "".join(p.text for p in rest) == " How are you?"
    whole = [first, *rest]
    starts = np.cumsum([0, *(len(p.sound) for p in whole[:-1])]) / 16_000
    assert [p.start for p in whole] == pytest.approx(starts.tolist())


def test_sound_leaves_before_its_sentence_is_complete(server: Server) -> None:
    server.speech = "wait"
    pieces = LanguageVoice(server.endpoint(), "Hi.").speak()
    assert len(next(pieces).sound) and not server.go_on.is_set()
    pieces.close()
    assert server.gone.wait(5)


def test_without_a_speech_model_espeak_speaks(server: Server) -> None:
    server.pieces = ["Good morning. [shake] I do not ", "[surprise] believe it."]
    reply = said(server, speech_model=None)
    assert server.count("speech") == 0
    assert reply.sound.has_speech and reply.sound.seconds > 1.5
    spoken = synthesize("Good morning.")
    assert np.array_equal(reply.sound.samples[: len(spoken)], spoken.samples)
    shake, surprise = reply.codes
    assert (shake.time, reply.text[slice(*shake.span)]) == (pytest.approx(spoken.seconds), "I")
    assert reply.text[slice(*surprise.span)] == "believe"
    assert spoken.seconds + 0.2 < surprise.time < reply.sound.seconds - 0.2


def test_an_endpoint_without_speech_is_told_and_espeak_speaks(server: Server) -> None:
    server.speech, server.pieces = "404", ["Good morning. ", "How are you?"]
    told: list[str] = []
    reply = listen(LanguageVoice(server.endpoint(), "Hi.", voice="de", notify=told.append))
    assert reply.sound.has_speech and server.count("speech") == 1
    assert len(told) == 1 and "no speech model 'tts' (404): espeak-ng's de speaks" in told[0]


def test_bare_samples_and_whole_answers(server: Server) -> None:
    server.speech = "pcm"
    streamed = said(server)
    server.chat, server.speech = "json", "ok"
    assert np.array_equal(said(server).sound.samples, streamed.sound.samples)


def test_codes_can_be_left_out(server: Server) -> None:
    server.pieces = ["[nod] Yes, wonderful."]
    reply = listen(LanguageVoice(server.endpoint(), "Hi.", codes=False))
    assert reply.text == "Yes, wonderful." and reply.codes == ()
    assert "[nod]" not in server.asked[0][1]["messages"][0]["content"]


def test_a_code_after_the_last_word_goes_with_it(server: Server) -> None:
    server.pieces = ["See you soon! [smile]"]
    reply = said(server)
    (code,) = reply.codes
    assert reply.text == "See you soon!" and reply.text[slice(*code.span)] == "soon"
    assert 0.3 < code.time < reply.sound.seconds


def test_it_is_told_when_a_reply_is_not_whole(server: Server) -> None:
    server.chat = "length"
    told: list[str] = []
    assert listen(LanguageVoice(server.endpoint(), "Hi.", notify=told.append)).text
    assert told == ["the language model's reply is not whole: it was ended by its length"]


@pytest.mark.parametrize("mode", ["429 then ok", "503 then ok"])
def test_what_passes_is_asked_for_again(server: Server, mode: str) -> None:
    server.chat = server.speech = mode
    assert said(server).text == "Hello there."
    assert server.count("completions") == server.count("speech") == 3


FAILURES = [
    ({"chat": "401"}, r"refused the key \(401: no, not with Bearer \*\*\*\); set VISAVIS_LLM_API_KEY"),  # noqa: E501
    ({"chat": "400"}, "refused the request"),
    ({"chat": "404"}, "does not know the route or the model 'chat'"),
    ({"chat": "302"}, "sends us elsewhere"),
    ({"chat": "500"}, r"out of order \(500: .*, 4 times\)"),
    ({"chat": "429"}, r"overloaded or out of order \(429"),
    ({"chat": "hang"}, "was silent for 0.5 s"),
    ({"chat": "drip"}, "was silent for 0.5 s"),
    ({"chat": "cut"}, "broke off its answer to chat/completions"),
    ({"chat": "garbage"}, "not JSON: .*Bearer [*]{3}"),
    ({"chat": "html"}, r"broke off before its reply .*began: <p>Welcome to the proxy, Bearer \*\*\*"),  # noqa: E501
    ({"chat": "error"}, r"gave up: lost Bearer \*\*\*"),
    ({"pieces": []}, "answered without a word"),
    ({"pieces": ["[nod]"]}, "answered without a word"),
    ({"speech": "401"}, "refused the key"),
    ({"speech": "500"}, "out of order"),
    ({"speech": "hang"}, "was silent for 0.5 s"),
    ({"speech": "cut"}, "broke off its answer to audio/speech"),
    ({"speech": "json"}, "with application/json instead of sound"),
    ({"speech": "noise"}, "it is not a wav file; wanted wav or pcm"),
    ({"speech": "empty"}, "cut off before any sound"),
]  # fmt: skip


@pytest.mark.parametrize(("modes", "message"), FAILURES)
def test_a_failure_is_a_sentence_without_the_key(
    server: Server, modes: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    vars(server).update(modes)
    caplog.set_level(logging.DEBUG)
    voice = LanguageVoice(server.endpoint(key=ApiKey(CANARY), silence_timeout=0.5), "Hi.")
    started = time.monotonic()
    with pytest.raises(EndpointError, match=message) as caught:
        listen(voice)
    assert time.monotonic() - started < 5
    assert str(caught.value).count("\n") == 0 and len(str(caught.value)) < 500
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    seen = [
        *shown.format(),
        caplog.text,
        repr(caught.value),
        repr(voice.endpoint),
        repr(vars(voice)),
    ]
    assert CANARY not in "".join(seen)
    assert any(f"Bearer {CANARY}" == key for _, _, key in server.asked), "the key was sent"
    assert not threads()


def test_what_was_written_before_a_failure_is_said(server: Server) -> None:
    server.chat, server.pieces = "cut", ["Good morning. How are", " you"]
    heard = []
    with pytest.raises(EndpointError, match="broke off"):
        heard.extend(LanguageVoice(server.endpoint(), "Hi.").speak())
        raise AssertionError("unreachable")
    pieces = LanguageVoice(server.endpoint(), "Hi.").speak()
    assert next(pieces).text == "Good morning."
    pieces.close()


def test_nobody_there_is_a_sentence() -> None:
    with serve() as gone:
        endpoint = gone.endpoint(key=ApiKey(CANARY))
    with pytest.raises(EndpointError, match="cannot be reached; check --llm-url"):
        listen(LanguageVoice(endpoint, "Hi."))


def test_no_reply_lasts_for_ever(server: Server) -> None:
    server.chat = "hang"
    with pytest.raises(EndpointError, match=r"took longer than 0\.3 s"):
        said(server, total_timeout=0.3)


@pytest.mark.parametrize("how", ["close", "drop", "hang"])
def test_breaking_off_closes_the_connection(server: Server, how: str) -> None:
    server.chat = "hang" if how == "hang" else "wait"
    server.pieces = ["Good morning. How are ", "you?"]
    pieces = LanguageVoice(server.endpoint(silence_timeout=30.0), "Hi.").speak()
    if how != "hang":
        assert next(pieces).text == "Good morning."
    started = time.monotonic()
    if how == "drop":
        del pieces
        gc.collect()
    else:
        pieces.close()
        pieces.close()
        assert next(pieces, None) is None
    if how != "hang":
        assert server.gone.wait(5)
    while threads():
        assert time.monotonic() - started < 5
        time.sleep(0.01)
    assert time.monotonic() - started < 5


def test_another_thread_can_interrupt_who_waits(server: Server) -> None:
    server.chat = "hang"
    pieces = LanguageVoice(server.endpoint(silence_timeout=30.0), "Hi.").speak()
    timer = threading.Timer(0.2, pieces.close)
    timer.start()
    started = time.monotonic()
    assert list(pieces) == [] and time.monotonic() - started < 5
    timer.join()


# -- settings --------------------------------------------------------------------------------


def test_the_environment_says_what_is_not_given(tmp_path: Path) -> None:
    own = {
        "VISAVIS_LLM_BASE_URL": "http://a/v1", "VISAVIS_LLM_API_KEY": CANARY,
        "VISAVIS_LLM_MODEL": "m", "VISAVIS_SPEECH_MODEL": "s", "VISAVIS_SPEECH_VOICE": "v",
        "OPENAI_BASE_URL": "http://b/v1", "OPENAI_API_KEY": "other",
    }  # fmt: skip
    found = Endpoint.find(environment=own)
    assert (found.base_url, found.model) == ("http://a/v1", "m")
    assert (found.speech_model, found.speech_voice) == ("s", "v")
    assert found.key is not None and found.key.header() == f"Bearer {CANARY}"
    assert found.notices == ("the key goes to a unencrypted: its address is not https",)
    others = {k: v for k, v in own.items() if k.startswith("OPENAI")}
    file = tmp_path / "key"
    file.write_text("from-a-file\n")
    found = Endpoint.find(model="n", environment=others)
    assert found.base_url == "http://b/v1" and found.speech_model is None
    assert found.key is not None and found.key.header() == "Bearer other"
    found = Endpoint.find(model="n", key_file=file, environment=others)
    assert found.key is not None and found.key.header() == "Bearer from-a-file"
    assert Endpoint.find("http://c", "n", environment={}).key is None


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        ({}, {}, "give --llm-url .* or set VISAVIS_LLM_BASE_URL"),
        ({"base_url": "http://a"}, {}, "give --llm-model or set VISAVIS_LLM_MODEL"),
        ({"base_url": f"http://me:{CANARY}@a/v1", "model": "m"}, {}, "address at a has a name"),
        ({"base_url": f"http://a/v1?key={CANARY}", "model": "m"}, {}, "query"),
        ({"base_url": CANARY, "model": "m"}, {}, "wanted http://"),
        ({"base_url": f"http://[{CANARY}", "model": "m"}, {}, "not an address"),
        ({"base_url": "http://a", "model": "m", "key_file": "/none"}, {}, "cannot read the key"),
        (
            {"base_url": "http://a", "model": "m"},
            {"VISAVIS_LLM_API_KEY": f"{CANARY}\r\nX: y"},
            "VISAVIS_LLM_API_KEY: the key holds characters",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_without_showing_a_key(
    given: dict[str, Any], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Endpoint.find(**given, environment=environment)
    assert CANARY not in str(caught.value)


def test_a_key_does_not_show() -> None:
    import dataclasses
    import json
    import pickle

    endpoint = Endpoint("http://a", "m", ApiKey(CANARY))
    shown = [repr(endpoint), str(endpoint.key), f"{endpoint.key}", repr([endpoint.key])]
    shown.append(repr(dataclasses.asdict(dataclasses.replace(endpoint, key=None))))
    assert CANARY not in "".join(shown)
    with pytest.raises(TypeError):
        json.dumps({"key": endpoint.key})
    with pytest.raises(TypeError, match="not stored"):
        pickle.dumps(endpoint.key)
