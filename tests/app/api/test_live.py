"""A live conversation through the WebSocket of a real server on loopback."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

import app.live.framing as framing
from app.api.settings import AI_NOTICE
from app.client import ServerError
from app.intake.limits import Limits
from app.live.session import CHUNK_SAMPLES
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import SAMPLE_RATE
from audio2motion.voice.synthesis import synthesize
from tests.app.live.test_session import BARGE_IN_S, visitor
from tests.app.serving import Served, running, small_avatar

pytestmark = pytest.mark.network

PACKET = 320  # 20 ms, as browsers send


@pytest.fixture(scope="module")
def small() -> Avatar:
    return small_avatar()


@pytest.fixture(scope="module")
def served(small: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = Limits(max_live=2)
    with running(small, tmp_path_factory.mktemp("data"), limits) as it:
        yield it


class Visitor:
    """A client that plays in real time what it hears, and obeys `interrupt`."""

    def __init__(self, served: Served, **first: object) -> None:
        headers = {"X-Visavis-Session": "visitor-live-1"}
        url = served.url.replace("http", "ws") + "/v1/live"
        self._connection = connect(url, additional_headers=headers, max_size=None, max_queue=None)
        self.socket: ClientConnection = self._connection.__enter__()
        self.packets: list[framing.Packet] = []
        self.said: list[dict] = []
        self.tell(**({"type": "start", "size": 128, **first} if "type" not in first else first))
        self.ready = json.loads(self.socket.recv(30))

    def tell(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def send(self, samples: np.ndarray) -> None:
        self.socket.send(bytes([framing.SOUND]) + framing.to_bytes(samples))

    def hear(self, until: str, count: int = 1, seconds: float = 30) -> None:
        """Take messages in until there are so many of a type."""
        end = time.monotonic() + seconds
        while sum(m["type"] == until for m in self.said) < count:
            message = self.socket.recv(max(0.01, end - time.monotonic()))
            if isinstance(message, bytes):
                self.packets.append(framing.Packet.unpack(message))
            else:
                self.said.append(json.loads(message))

    def of(self, what: int) -> list[framing.Packet]:
        return [packet for packet in self.packets if packet.what == what]

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.__exit__(None, None, None)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def test_frames_and_voice_as_documented(served: Served, portrait: Path) -> None:
    photo = base64.b64encode(portrait.read_bytes()).decode()
    with Visitor(served, portrait=photo, emotion="happiness") as visit:
        assert visit.ready["type"] == "ready" and visit.ready["chunk_samples"] == CHUNK_SAMPLES
        assert visit.ready["notice"] == AI_NOTICE and visit.ready["provenance"]["watermark"]
        size = (visit.ready["width"], visit.ready["height"])
        assert size == (128, 128)
        visit.tell(type="say", text="Hello there.")
        voice = synthesize("How are you?").samples
        visit.socket.send(bytes([framing.VOICE]) + framing.to_bytes(voice))
        visit.socket.send(bytes([framing.PICTURE]) + portrait.read_bytes())
        time.sleep(0.5)
        for _ in range(15):
            visit.send(silence(0.2))
        visit.hear("chunk", 15)
        visit.tell(type="end")
    frames, sound = visit.of(framing.JPEG), visit.of(framing.AGENT)
    assert [p.chunk for p in sound] == list(range(15))
    assert [(p.chunk, p.number) for p in frames] == [(c, n) for c in range(15) for n in range(5)]
    assert all(p.time == p.chunk * CHUNK_SAMPLES + p.number * 640 for p in frames)
    assert all(len(p.data) == 2 * CHUNK_SAMPLES for p in sound)
    assert np.abs(framing.to_samples(b"".join(p.data for p in sound))).max() > 0.05
    assert frames[0].data.startswith(b"\xff\xd8")


def test_h264_decodes(served: Served) -> None:
    with Visitor(served, video="h264") as visit:
        for _ in range(6):
            visit.send(silence(0.2))
        visit.hear("chunk", 6)
        visit.tell(type="end")
    units = visit.of(framing.H264)
    assert units[0].flags == framing.KEY_FRAME and units[25].flags == framing.KEY_FRAME
    codec = av.CodecContext.create("h264", "r")
    decoded = []
    for unit in units:
        decoded += codec.decode(av.Packet(unit.data))
    decoded += codec.decode(None)
    assert len(decoded) == 30 and (decoded[0].width, decoded[0].height) == (128, 128)


def test_sentences_are_told_and_pictures_change_their_size(served: Served) -> None:
    with Visitor(served, size=64) as visit:
        visit.tell(type="say", text="Hello there. [smile] How are you?")
        time.sleep(0.3)
        visit.send(silence(1.0))
        visit.hear("caption")
        told = next(m for m in visit.said if m["type"] == "caption")
        assert (told["who"], told["text"]) == ("agent", "Hello there.")
        assert told["time"] >= CHUNK_SAMPLES
        visit.tell(type="size", size=96)
        end = time.monotonic() + 60
        while not any(m["type"] == "size" for m in visit.said):
            assert time.monotonic() < end
            visit.send(silence(0.2))
            visit.hear("chunk", sum(m["type"] == "chunk" for m in visit.said) + 1)
        said = next(m for m in visit.said if m["type"] == "size")
        assert (said["width"], said["height"]) == (96, 96)
        visit.tell(type="end")
    shown = cv2.imdecode(np.frombuffer(visit.of(framing.JPEG)[-1].data, np.uint8), 1)
    assert shown is not None and shown.shape[:2] == (96, 96)


def test_who_comes_back_need_not_wait_for_a_line_that_died_unnoticed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.live.rooms._GONE_S", 0.3)
    with Visitor(served, size=64) as dead:
        dead.send(silence(0.2))
        dead.hear("chunk")
        time.sleep(0.5)
        with Visitor(served, type="resume", session=dead.ready["session"]) as back:
            assert back.ready["type"] == "ready"
            dead.hear("problem")
            assert dead.said[-1]["status"] == 409
            back.send(silence(0.2))
            back.hear("chunk")
            assert back.of(framing.AGENT)[0].chunk == 1
            back.tell(type="end")


class Talk:
    """Sound that a visitor sends as it would be recorded, and when which messages came: seconds
    after the first sample, by the wall clock at the client.
    """

    def __init__(self, visit: Visitor) -> None:
        self.sent, self.came = 0, list[tuple[float, dict]]()
        self._visit, self._began = visit, time.monotonic()

    def send(self, sound: np.ndarray) -> None:
        for at in range(0, len(sound), PACKET):
            self._visit.send(sound[at : at + PACKET])
            self.sent += len(sound[at : at + PACKET])
            self.hear(self._began + self.sent / SAMPLE_RATE - time.monotonic())

    def hear(self, seconds: float) -> None:
        """Take in what comes within a time; at least what is there."""
        end = time.monotonic() + seconds
        while True:
            try:
                message = self._visit.socket.recv(max(0.001, end - time.monotonic()))
            except TimeoutError:
                return
            if isinstance(message, str):
                self.came.append((time.monotonic() - self._began, json.loads(message)))

    def of(self, what: str) -> list[dict]:
        return [message for _, message in self.came if message["type"] == what]


def test_barge_in_and_latency_in_real_time(
    served: Served, record_property: Callable[[str, object], None]
) -> None:
    """The visitor begins as soon as the agent speaks, however long this machine took for that."""
    with Visitor(served) as visit:
        visit.tell(type="say", text="I will tell you a very long story about a man by the sea.")
        talk = Talk(visit)
        while not any(chunk["agent_speaks"] for chunk in talk.of("chunk")):
            assert talk.sent < 30 * SAMPLE_RATE
            talk.send(silence(0.1))
        onset = talk.sent
        talk.send(visitor("Wait, stop please.", "en-us", 0.0))
        end = time.monotonic() + 60
        while not talk.of("interrupt") or len(talk.of("chunk")) < talk.sent // CHUNK_SAMPLES:
            assert time.monotonic() < end
            talk.hear(0.1)
        visit.tell(type="end")
    first = next(t for t, m in talk.came if m["type"] == "chunk")
    stopped = next(t for t, m in talk.came if m["type"] == "interrupt") - onset / SAMPLE_RATE
    print(f"first frame after {first * 1000:.0f} ms, barge-in {stopped:.3f} s")
    record_property("first_frame_ms", round(first * 1000))
    record_property("barge_in_ms", round(stopped * 1000))
    (interrupt,) = talk.of("interrupt")
    # In time of the sound always; on the wall clock as far as this machine keeps up with it.
    assert (interrupt["heard"] - onset) / SAMPLE_RATE < BARGE_IN_S
    over = interrupt["heard"] + CHUNK_SAMPLES
    later = [chunk for chunk in talk.of("chunk") if chunk["chunk"] * CHUNK_SAMPLES > over]
    assert later and not any(chunk["agent_speaks"] for chunk in later)


def test_a_server_that_still_draws_notices_the_visitor_at_once(served: Served) -> None:
    """Three seconds come at once, and talking after them: `interrupt` does not wait for their
    pictures, comes once, and nothing of the agent's words is in what is drawn from then on.
    """
    sound = visitor("Wait, stop please.", "en-us", 3.0)
    with Visitor(served) as visit:
        visit.tell(type="say", text="I will tell you a very long story about a man by the sea.")
        time.sleep(0.5)
        for at in range(0, len(sound), PACKET):
            visit.send(sound[at : at + PACKET])
        visit.hear("interrupt")
        drawn, heard = sum(m["type"] == "chunk" for m in visit.said), len(visit.of(framing.AGENT))
        visit.hear("chunk", len(sound) // CHUNK_SAMPLES)
        visit.tell(type="end")
    assert drawn < 10, "it waited for the pictures"
    assert sum(m["type"] == "interrupt" for m in visit.said) == 1
    later = visit.of(framing.AGENT)[heard + 2 :]
    assert np.abs(framing.to_samples(b"".join(p.data for p in later))).max() < 0.01


def test_who_was_interrupted_is_not_interrupted_again_while_the_server_still_draws(
    served: Served,
) -> None:
    """The visitor begins to talk twice before a picture without the agent's words is there."""
    sound = np.concatenate([visitor(words, "en-us", 0.0) for words in ("Wait!", "Stop please.")])
    with Visitor(served) as visit:
        visit.tell(type="say", text="I will tell you a very long story about a man by the sea.")
        talk = Talk(visit)
        while not any(chunk["agent_speaks"] for chunk in talk.of("chunk")):
            assert talk.sent < 30 * SAMPLE_RATE
            talk.send(silence(0.1))
        for at in range(0, len(sound), PACKET):
            visit.send(sound[at : at + PACKET])
        end = time.monotonic() + 60
        while len(talk.of("chunk")) < (talk.sent + len(sound)) // CHUNK_SAMPLES:
            assert time.monotonic() < end
            talk.hear(0.1)
        visit.tell(type="end")
    assert len(talk.of("interrupt")) == 1


def test_a_broken_connection_is_resumed(small: Avatar, tmp_path: Path) -> None:
    """In the same server, and after it was stopped and started again."""
    folder = tmp_path / "data"
    with running(small, folder, Limits(max_live=1)) as served:
        with Visitor(served) as visit:
            visit.tell(type="say", text="Hello there, how are you today?")
            time.sleep(0.5)
            visit.send(silence(0.45))
            visit.hear("chunk", 2)
        name = visit.ready["session"]
        with Visitor(served, type="resume", session=name, size=1) as bad:
            assert bad.ready["status"] == 422
        with resumed(served, name) as again:
            again.send(silence(0.2))
            again.hear("chunk", 1)
            assert again.of(framing.AGENT)[0].chunk == 2
            with resumed(served, name, 429) as busy:
                assert busy.ready["status"] == 429
    with running(small, folder, Limits(max_live=1)) as served, resumed(served, name) as later:
        assert later.ready["session"] == name
        later.send(silence(0.4))
        later.hear("chunk", 2)
        assert [p.chunk for p in later.of(framing.AGENT)] == [3, 4]
        heard = framing.to_samples(b"".join(p.data for p in later.of(framing.AGENT)))
        assert np.abs(heard).max() > 0.01, "what waited to be said is said"


def test_the_client_talks_leaves_and_comes_back(served: Served, portrait: Path) -> None:
    with served.client() as client:
        with client.live(portrait, size=64) as talk:
            talk.say("Hello there.")
            talk.hear(silence(0.4))
            heard = [talk.receive(30.0) for _ in range(13)]
            talk.leave()
        kinds = [m.what if isinstance(m, framing.Packet) else m and m["type"] for m in heard]
        assert kinds.count(framing.JPEG) >= 9 and kinds.count(framing.AGENT) == 2, kinds
        end = time.monotonic() + 10
        while True:
            with suppress(ServerError):
                later = client.resume(talk.name)
                break
            assert time.monotonic() < end
            time.sleep(0.1)
        with later:
            assert later.ready["session"] == talk.ready["session"]
            later.stop()
            later.hear(silence(0.2))
            seen = [later.receive(30.0) for _ in range(7)]
            numbers = {m.chunk for m in seen if isinstance(m, framing.Packet)}
            assert numbers == {2}, "the conversation goes on"
        with pytest.raises(ServerError, match="has ended"):
            later.receive(5.0)
        with pytest.raises(ServerError, match="422"):
            client.live(size=1)


def resumed(served: Served, name: str, status: int | None = None) -> Visitor:
    """A visitor who comes back, as soon as it was noticed that they had gone."""
    end = time.monotonic() + 10
    while True:
        visit = Visitor(served, type="resume", session=name)
        if visit.ready.get("status") == status or time.monotonic() > end:
            return visit
        visit.__exit__()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("not json", 422),
        ('{"type": "start", "path": "/etc/passwd"}', 422),
        ('{"type": "start", "portrait": "http://127.0.0.1/"}', 422),
        ('{"type": "start", "emotion": "boredom"}', 422),
        ('{"type": "start", "expressivity": 3}', 422),
        ('{"type": "start", "seed": 2147483648}', 422),
        ('{"type": "start", "size": 63}', 422),
        ('{"type": "start", "size": 9999}', 422),
        ('{"type": "resume", "session": "../../../etc/passwd"}', 422),
        ('{"type": "resume", "session": "aaaaaaaaaaaaaaaaaaaaaa"}', 404),
        (b"\x01\x00\x00", 422),
    ],
)
def test_beginnings_that_are_refused(served: Served, message: str | bytes, status: int) -> None:
    with connect(served.url.replace("http", "ws") + "/v1/live") as socket:
        socket.send(message)
        answer = json.loads(socket.recv(10))
        assert answer["type"] == "problem" and answer["status"] == status
        assert "/" not in answer["detail"].replace("and/or", "")
        with pytest.raises(ConnectionClosed):
            socket.recv(10)


@pytest.mark.parametrize(
    "message", [b"\x09abc", b"\x01abc", b"\x02no jpeg", '{"type": "ask", "text": "Hi"}']
)
def test_messages_that_end_a_conversation(served: Served, message: str | bytes) -> None:
    with Visitor(served) as visit:
        visit.socket.send(message)
        with suppress(ConnectionClosed):  # the server may be faster than the sound
            visit.send(silence(0.2))
        visit.hear("problem")
        assert visit.said[-1]["status"] == 422
    wait_empty(served)


def wait_empty(served: Served) -> None:
    """Until conversations that were left make room: they are resumed and ended."""
    rooms = [r for r in list(served.app.state.rooms._rooms.values())]
    for room in rooms:
        deadline = time.monotonic() + 5
        while room.attached and time.monotonic() < deadline:
            time.sleep(0.02)
        served.app.state.rooms.end(room)


def test_other_origins_may_not_connect_and_rooms_are_few(served: Served) -> None:
    url = served.url.replace("http", "ws") + "/v1/live"
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(url, origin=Origin("https://evil.example")),
    ):
        pass
    wait_empty(served)
    with Visitor(served) as one, Visitor(served) as two:
        assert one.ready["type"] == two.ready["type"] == "ready"
        with Visitor(served) as three:
            assert three.ready["status"] == 429
        one.tell(type="end")
        two.tell(type="end")


@pytest.mark.slow
def test_pictures_for_players(served: Served) -> None:
    """What OBS and ffmpeg read: JPEG after JPEG over HTTP, by an address with a token."""
    wait_empty(served)
    with Visitor(served) as visit:
        url = served.url + visit.ready["pictures_url"]
        assert httpx.get(url.partition("?")[0], timeout=5).status_code == 422
        assert httpx.get(url[:-1], timeout=5).status_code == 404
        with httpx.stream("GET", url, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
            visit.send(silence(0.4))
            data = b""
            for part in answer.iter_bytes():
                data += part
                if data.count(b"--visavis\r\n") >= 1 and b"\xff\xd9" in data:
                    break
        assert b"Content-Type: image/jpeg" in data and b"\xff\xd8" in data
        visit.tell(type="end")


def test_a_key_in_the_first_message(small: Avatar, tmp_path: Path) -> None:
    key = "k" * 20
    with running(small, tmp_path / "data", keys=(key,)) as served:
        with Visitor(served) as visit:
            assert visit.ready["status"] == 401
        with Visitor(served, api_key="q" * 20) as visit:
            assert visit.ready["status"] == 401
        with Visitor(served, api_key=key) as visit:
            assert visit.ready["type"] == "ready"
