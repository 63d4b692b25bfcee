"""A language model's reply through the command line and Python, against a server of the test's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.commands import main
from app.render.direction import direct
from app.render.order import PAUSE
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, RenderRequest
from app.render.voices import hear
from audio2motion.gestures.controls import Controls
from audio2motion.gestures.transcript import LEAD_S
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.synthesis import synthesize
from tests.app.render.test_voices import no_video
from tests.audio2motion.voice.endpoint_server import CANARY, Server, serve
from weights.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.timeout(120)
PIECES = ["[happi", "ness] It was [nod] lovely", ", thank you! [laughs]"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An endpoint, and an environment that names it; its voice is espeak-ng's."""
    for name in ("VISAVIS_SPEECH_MODEL", "VISAVIS_SPEECH_VOICE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with serve() as plan:
        plan.pieces = PIECES
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("VISAVIS_LLM_BASE_URL", plan.url)
        monkeypatch.setenv("VISAVIS_LLM_MODEL", "chat")
        monkeypatch.setenv("VISAVIS_LLM_API_KEY", CANARY)
        yield plan


def voices(**fields: Any) -> Any:
    return hear(MotionRequest(**fields), no_video, print)


@pytest.mark.slow
@pytest.mark.weights("denoiser", "motion_generator", "speech_encoder", "face_landmarker")
def test_the_readme_command(
    server: Server,
    avatar: Avatar,
    portrait: Path,
    voice: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Avatar, "load", staticmethod(lambda *_, **__: avatar))
    out = tmp_path / "reply.mp4"
    words = ["--portrait", portrait, "--interlocutor-audio", voice, "--ask", "How was your day?"]
    words += ["--persona", "You are Ada, a cheerful pilot.", "--size", 128, "--out", out, "--json"]
    assert main(["render", *map(str, words)]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    reply = result["reply"]
    assert reply["text"] == "It was lovely, thank you!"
    assert [(c["kind"], c["name"]) for c in reply["codes"]] == [
        ("emotion", "happiness"), ("gesture", "nod")
    ]  # fmt: skip
    first, nod = reply["codes"]
    question = Waveform.load(voice)
    assert first["time"] == pytest.approx(question.speech_end + PAUSE, abs=0.1)
    assert [g["source"]["word"] for g in result["gestures"]] == ["lovely"]
    assert reply["text"][slice(*nod["span"])] == "lovely" and nod["time"] > first["time"] + 0.1
    assert out.is_file() and result["seconds"] > question.seconds + 1
    assert result["settings"]["ask"] == "How was your day?"
    (_, asked, key), *_ = server.asked
    assert key == f"Bearer {CANARY}" and server.count("speech") == 0
    assert asked["messages"][0]["content"].endswith("You are Ada, a cheerful pilot.")
    assert CANARY not in printed.out + printed.err


@pytest.mark.weights("motion_generator", "speech_encoder")
def test_the_endpoint_speaks_and_the_key_is_in_a_file(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import io
    import wave

    def speak(text: str) -> bytes:
        sound = synthesize(text)
        with io.BytesIO() as file:
            with wave.open(file, "wb") as writer:
                writer.setnchannels(1)
                writer.setsampwidth(2)
                writer.setframerate(sound.sample_rate)
                writer.writeframes((sound.samples * 32_767).astype("<i2").tobytes())
            return file.getvalue()

    monkeypatch.delenv("VISAVIS_LLM_API_KEY")
    server.voice = speak
    key = tmp_path / "key.txt"
    key.write_text(f"{CANARY}\n")
    words = ["--ask", "Tell me a story.", "--llm-url", server.url, "--llm-model", "other"]
    words += ["--speech-model", "tts-1", "--speech-voice", "nova", "--llm-key-file", str(key)]
    out = tmp_path / "m.npz"
    assert main(["motion", *words, "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["reply"]["text"] == "It was lovely, thank you!"
    (_, chat, sent), (_, speech, _) = server.asked
    assert (chat["model"], sent) == ("other", f"Bearer {CANARY}")
    assert (speech["model"], speech["voice"]) == ("tts-1", "nova")
    assert CANARY not in printed.out + printed.err
    # The key file is an input: never the place of the result.
    assert main(["motion", *words, "--out", str(key.with_suffix(".npz")), "--json"]) == 0
    assert key in MotionRequest(ask="Hi.", llm_key_file=key).inputs


@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize("mode", ["401", "500", "cut", "garbage", "error", "html"])
def test_an_error_is_one_sentence_without_the_key(
    server: Server,
    mode: str,
    debug: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from audio2motion.voice.endpoint import Endpoint

    monkeypatch.setattr(Endpoint, "__init__", _impatient(Endpoint.__init__))
    server.chat = mode
    words = ["motion", "--ask", "Hi.", "--out", str(tmp_path / "m.npz"), "--json"]
    assert main([*debug, *words]) == 2
    printed = capfd.readouterr()
    assert json.loads(printed.out)["error"]["type"] == "EndpointError"
    assert printed.err.count("\n") == 1 and "the language model at 127.0.0.1" in printed.err
    assert CANARY not in printed.out + printed.err and not list(tmp_path.iterdir())


def _impatient(original: Any) -> Any:
    return lambda self, *words, **fields: original(self, *words, **{"backoff": 0.01} | fields)


@pytest.mark.slow
def test_ctrl_c_ends_a_request_that_hangs(server: Server, tmp_path: Path) -> None:
    server.chat = "hang"
    code = "import sys; from app.cli.commands import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "motion", "--ask", "Hi.", "--out", str(tmp_path / "m.npz")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 60
    while not server.asked:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        _, printed = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert printed == "visavis: interrupted; nothing was written\n"


def directed(**fields: Any) -> tuple[Any, Controls]:
    """What is said, and the controls."""
    request, heard = MotionRequest(**fields), voices(**fields)
    return heard.reply, direct(request, heard, no_video, print)


def named(controls: Controls) -> list[tuple[str, str]]:
    """Each gesture with where it is from."""
    return [(g.kind, g.source.meaning if g.source else "placed") for g in controls.gestures]


def test_the_codes_move_the_face(server: Server, voice: Path) -> None:
    reply, controls = directed(ask="Hi.", interlocutor_audio=voice)
    assert controls.emotion == "happiness" and reply.sound.has_speech
    assert named(controls) == [("nod", "code")], "thanks would be a smile"
    (nod,), code = controls.gestures, reply.codes[1]
    assert nod.start == pytest.approx(code.time - LEAD_S, abs=0.001)
    assert nod.source and reply.text[nod.source.first : nod.source.last] == "lovely"


def test_the_user_wins_over_the_codes(server: Server) -> None:
    reply, controls = directed(ask="Hi.", emotion="anger", gestures=["tilt@0.4", "wink@3"])
    assert [c.name for c in reply.codes] == ["nod"]
    assert controls.emotion == "anger"
    assert named(controls) == [("tilt", "placed"), ("wink", "placed")], "no nod in a tilt"
    _, felt = directed(ask="Hi.", valence=-0.5)
    assert (felt.emotion, felt.valence) == ("neutral", -0.5)


def test_words_stand_in_for_codes(server: Server, voice: Path) -> None:
    reply, controls = directed(ask="Hi.", reply_codes=False, interlocutor_audio=voice)
    assert reply.codes == () and reply.text == "It was lovely, thank you!"
    assert controls.emotion == "neutral" and controls.gestures
    assert "code" not in dict(named(controls)).values()
    assert all(g.start >= Waveform.load(voice).speech_end for g in controls.gestures)
    assert not directed(ask="Hi.", reply_codes=False, auto_gestures=False)[1].gestures
    server.pieces = ["[sadness] No, never."]
    reply, controls = directed(ask="Hi.")
    assert controls.emotion == "sadness" and ("shake", "negation") in named(controls)


def test_codes_in_a_text() -> None:
    reply, controls = directed(text="[sadness] Hello, I am [wink] not well.")
    assert reply.text == "Hello, I am not well."
    assert [c.name for c in reply.codes] == ["sadness", "wink"]
    assert controls.emotion == "sadness" and named(controls) == [("wink", "code")]
    reply, controls = directed(text="[tilt] Yes.", reply_codes=False)
    assert reply.text == "Yes." and reply.codes == () and "tilt" not in dict(named(controls))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ask": " "}, "empty prompt"),
        ({"ask": "Hi.", "text": "Hello."}, "both a prompt"),
        ({"ask": "Hi.", "agent_audio": "a.wav"}, "both a prompt"),
        (
            {"text": "Hi.", "persona": "Ada", "llm_model": "m"},
            "persona and llm_model but no prompt",
        ),
        ({"ask": "Hi.", "motion": "m.npz"}, "a prompt together with a motion file"),
        ({"ask": "Hi.", "llm_url": f"http://u:{CANARY}@host/v1"}, "address at host has a name"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        RenderRequest(portrait="me.jpg", **fields)
    assert CANARY not in str(caught.value)


def test_without_an_address_it_is_said_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISAVIS_LLM_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="give --llm-url"):
        voices(ask="Hi.")
