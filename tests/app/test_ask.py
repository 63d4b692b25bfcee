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

from app.cli import main
from app.pipeline import Avatar
from app.request import MotionRequest, RenderRequest
from app.voices import REPLY_GAP, hear
from audio2motion.audio import Waveform
from audio2motion.synthesis import synthesize
from motion2video.motion import Motion
from tests.audio2motion.endpoint_server import CANARY, Server, serve
from weights.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
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
    def no_video(path: Path) -> Motion:
        raise AssertionError(f"{path} should not have been tracked")

    return hear(MotionRequest(**fields), no_video, print)


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
    assert first["time"] == pytest.approx(question.speech_end + REPLY_GAP, abs=0.1)
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
    from audio2motion.endpoint import Endpoint

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


def test_ctrl_c_ends_a_request_that_hangs(server: Server, tmp_path: Path) -> None:
    server.chat = "hang"
    code = "import sys; from app.cli import main; sys.exit(main())"
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
    _, printed = process.communicate(timeout=20)
    assert process.returncode == 130
    assert printed == "visavis: interrupted; nothing was written\n"


def test_the_codes_move_the_face(server: Server) -> None:
    heard = voices(ask="Hi.")
    assert heard.controls(MotionRequest().controls).emotion == "happiness"
    assert heard.agent is not None and heard.agent.has_speech


def test_the_user_wins_over_the_codes(server: Server) -> None:
    angry = voices(ask="Hi.", emotion="anger")
    assert [c.name for c in angry.reply.codes] == ["nod"]
    assert angry.controls(MotionRequest(emotion="anger").controls).emotion == "anger"
    plain = voices(ask="Hi.", reply_codes=False)
    assert plain.reply.codes == () and plain.reply.text == "It was lovely, thank you!"
    assert plain.controls(MotionRequest().controls).emotion == "neutral"


def test_codes_in_a_text() -> None:
    heard = voices(text="[sadness] I am [shake] not well.")
    assert heard.reply.text == "I am not well."
    assert [c.name for c in heard.reply.codes] == ["sadness", "shake"]
    assert voices(text="[nod] Yes.", reply_codes=False).reply.codes == ()


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
