"""A decoder that hangs, crashes, floods or is taken over costs one file and reaches nothing."""

import ast
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.dataset import recordings, sources
from app.dataset.config import ImportConfig
from app.dataset.importing import import_recordings
from app.intake.confinement import Confinement
from app.intake.sandbox import Sandbox, SandboxLimits, shared_sandbox
from app.intake.values import SandboxReader
from app.render.demo import DEFAULT_PORTRAIT
from app.render.reading import HERE, Reader
from audio2motion.gestures.gestures import Gesture
from audio2motion.hearing.audio import Waveform
from motion2video.exchange import EXPORTS, write_motion
from motion2video.media.video import VideoWriter
from motion2video.motion import Motion
from tests.app.serving import running, small_avatar, wait_ended
from tests.attack.sandbox_operations import trap
from weights.errors import BusyError, MediaError, VisavisError

OPERATIONS = "tests.attack.sandbox_operations"
SILENT_S = 2.0
LIMITS = SandboxLimits(silent_s=SILENT_S, memory_bytes=512 * 2**20, at_once=2)
SLACK_S = 8.0
"""What a busy machine may take beside the limits."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    it = Sandbox(LIMITS, OPERATIONS)
    yield it
    it.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def ask(sandbox: Sandbox, operation: str, path: Path, most: int = 0, **arguments: Any) -> list[Any]:
    return [m.value for m in sandbox.messages(operation, path, arguments, most)]


def works(sandbox: Sandbox) -> bool:
    return SandboxReader(sandbox).picture(DEFAULT_PORTRAIT)[0].shape == (512, 512, 3)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("loop", "within 2 s"),
        ("sleep", "within 2 s"),
        ("hold the gil", "within 2 s"),
        ("memory", "more memory|within 2 s"),
        ("abort", "broke off"),
        ("segfault", "broke off"),
        ("fault", "broke off"),
        ("recursion", "broke off"),
        ("flood", "broke off"),
    ],
)
def test_a_bad_decoder_costs_its_file_alone_and_bounded_time(
    operation: str, said: str, sandbox: Sandbox, file: Path
) -> None:
    sandbox.start()
    began = time.monotonic()
    with pytest.raises(MediaError, match=said) as raised:
        ask(sandbox, operation, file)
    assert time.monotonic() - began < SILENT_S + SLACK_S
    assert "\n" not in str(raised.value) and works(sandbox)


@pytest.mark.slow
def test_processor_time_is_bounded_whatever_the_decoder_says(file: Path) -> None:
    sandbox = Sandbox(SandboxLimits(cpu_s=1), OPERATIONS)
    with pytest.raises(MediaError, match="broke off"):
        ask(sandbox, "endless", file, most=100)
    sandbox.close()


def test_a_taken_over_decoder_reaches_nothing(
    sandbox: Sandbox, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sandbox.confinement() != Confinement(system_calls=True, files=True):
        pytest.skip("this kernel has no seccomp or no Landlock")
    monkeypatch.setenv("VISAVIS_API_KEYS", "secret" * 4)
    (file.parent / "neighbour").write_bytes(b"another visitor's")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (told,) = ask(sandbox, "tries", file, server=os.getpid(), port=port)
    came = told["came"]
    assert {name for name, result in came.items() if result == "done"} == {
        "read the file",
        "start a thread",
    }
    assert len(came) > 30
    assert set(told["environment"]) <= {
        *("LANG", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LC_CTYPE")
    }
    assert file.read_bytes() == b"content"
    assert {path.name for path in file.parent.iterdir()} == {"file", "neighbour"}


@pytest.mark.parametrize("operation", ["loop", "hold the gil", "endless"])
def test_a_cancelled_decoder_is_gone_within_a_second(
    operation: str, sandbox: Sandbox, file: Path
) -> None:
    sandbox.start()
    wanted = threading.Event()

    def check() -> None:
        if wanted.is_set():
            raise InterruptedError

    threading.Timer(0.3, wanted.set).start()
    began = time.monotonic()
    with pytest.raises(InterruptedError):
        for _ in sandbox.messages(operation, file, {}, 100, check):
            check()
    assert time.monotonic() - began < 1.3
    time.sleep(0.3)
    assert children_of(sandbox) == []


def children_of(sandbox: Sandbox) -> list[str]:
    """What the helper has started and not yet buried."""
    helper = sandbox._helper
    assert helper is not None
    pid = helper._process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_who_asks_for_no_more_frames_leaves_no_decoder(sandbox: Sandbox, file: Path) -> None:
    messages = sandbox.messages("endless", file, {}, 100)
    next(messages)
    assert len(children_of(sandbox)) == 1
    messages.close()  # pyrefly: ignore[missing-attribute]
    time.sleep(0.3)
    assert children_of(sandbox) == []


@pytest.mark.slow
def test_only_so_many_files_are_read_at_once(sandbox: Sandbox, file: Path) -> None:
    held = [sandbox.messages("endless", file, {}, 100) for _ in range(LIMITS.at_once)]
    for messages in held:
        next(messages)
    with pytest.raises(BusyError, match="too many files"):
        ask(sandbox, "say", file)
    for messages in held:
        messages.close()  # pyrefly: ignore[missing-attribute]
    assert ask(sandbox, "say", file, value=1) == [1]


def test_a_dead_helper_is_replaced(sandbox: Sandbox, file: Path) -> None:
    sandbox.start()
    assert sandbox._helper is not None
    first = sandbox._helper._process
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert ask(sandbox, "say", file, value=2) == [2]
    assert sandbox._helper._process.pid != first.pid


def test_the_helper_is_alone_in_its_process_and_dies_with_a_killed_server(tmp_path: Path) -> None:
    code = (
        "import sys, time; from app.intake.sandbox import Sandbox; s = Sandbox(); s.start();"
        "print(s._helper._process.pid, flush=True); time.sleep(60)"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with server:
        assert server.stdout is not None
        status = Path(f"/proc/{int(server.stdout.readline())}/status")
        assert "Threads:\t1\n" in status.read_text()  # or forking it would not be safe
        server.kill()
    for _ in range(100):
        if not status.exists() or "State:\tZ" in status.read_text():
            break
        time.sleep(0.1)
    assert not status.exists() or "State:\tZ" in status.read_text()


@pytest.mark.parametrize(
    "sent",
    [
        "00",
        "ff" * 16,
        "0000000000000002" + "0000000000000000" + "7b7d",
        "0000000000000004" + "ffffffffffffffff" + "6e756c6c",
        "0000000003938700" + "0000000000000000" + "5b" * 100,
        "0000000000000064" + "0000000000000000" + "5b" * 100,
    ],
)
def test_bytes_that_are_no_message_end_it(sent: str, sandbox: Sandbox, file: Path) -> None:
    with pytest.raises(MediaError, match="broke off"):
        ask(sandbox, "bytes", file, hex=sent)
    assert works(sandbox)


class _Says(Sandbox):
    """A sandbox whose decoder gives the same answer to every question."""

    def __init__(self, sandbox: Sandbox, **answer: Any) -> None:
        super().__init__()
        self._sandbox, self._answer = sandbox, answer

    def messages(
        self, operation: str, path: Any, arguments: Any, most_bytes: int, check: Any = None
    ) -> Iterator[Any]:
        return self._sandbox.messages("say", path, self._answer, most_bytes, check)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("picture", {"value": [], "arrays": [["uint8", [4, 4]]]}),
        ("picture", {"value": [], "arrays": [["float32", [4, 4, 3]]]}),
        ("picture", {"value": [1], "arrays": [["uint8", [4, 4, 3]]]}),
        ("picture", {"value": [], "arrays": [["uint8", [0, 4, 3]]]}),
        ("picture", {"value": [], "arrays": [["uint8", [9000, 9000, 3]]]}),
        ("sound", {"arrays": [["uint8", [4]]]}),
        ("sound", {"arrays": [["float32", [2, 2]]]}),
        ("motion", {"value": "25", "arrays": [["float32", [3, 90]], ["bool", [3]]]}),
        ("motion", {"value": 25.0, "arrays": [["float32", [3, 91]], ["bool", [3]]]}),
        ("motion", {"value": 25.0, "arrays": [["float32", [3, 90]]]}),
        ("info", {"value": {"seconds": 3}}),
        ("gestures", {"value": [{"kind": ["nod"]}]}),
        ("gestures", {"value": {"kind": "nod"}}),
        ("transcript", {"value": {"text": ""}, "arrays": [["float64", [2, 3]]]}),
        ("transcript", {"value": {"text": 3}, "arrays": [["float64", [0, 4]]]}),
        ("transcript", {"value": {"text": "", "language": 1}, "arrays": [["float64", [0, 4]]]}),
        ("rows", {"value": [3]}),
        ("picture", {"kind": "error", "value": ["SystemExit", "gone"]}),
        ("picture", {"kind": "error", "value": ["__file__", "gone"]}),
        ("picture", {"kind": "end"}),
        ("picture", {"kind": "of its own"}),
    ],
)
def test_an_impossible_answer_is_no_value(
    question: str, answer: dict[str, Any], sandbox: Sandbox, file: Path
) -> None:
    reader: Any = SandboxReader(_Says(sandbox, **answer))
    with pytest.raises(MediaError, match="cannot be read"):
        getattr(reader, question)(file)


# -- what is honest -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each kind, by its ending, and one of each that is broken."""
    folder = tmp_path_factory.mktemp("samples")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (40, 60, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    for name in ("a.jpeg", "a.png", "a.webp", "a.tiff", "a.bmp", "a.gif"):
        more: dict[str, Any] = {"exif": exif} if name == "a.jpeg" else {}
        Image.fromarray(pixels).save(folder / name, **more)
    sound = Waveform(random.normal(0, 0.1, 30_000).astype(np.float32))
    sound.save(folder / "a.wav")
    frames = random.integers(0, 255, (9, 32, 48, 3), np.uint8)
    with VideoWriter(folder / "a.mp4", (48, 32), 15.0, sound.samples, 16_000) as writer:
        writer.write(frames)
    motion = Motion(random.normal(0, 0.1, (30, 90)).astype(np.float32), 30.0)
    for suffix in (".npz", *EXPORTS):
        write_motion(motion, folder / f"a{suffix}")
    (folder / "a.json").write_text('["nod@0.5", {"kind": "smile", "start": 1, "intensity": 1.5}]')
    (folder / "a.srt").write_text("1\n00:00:00,500 --> 00:00:02,000\nYes, <b>of course</b>.\n")
    for path in list(folder.iterdir()):
        data = path.read_bytes()
        (folder / f"cut{path.suffix}").write_bytes(data[: len(data) * 2 // 3])
        (folder / f"text{path.suffix}").write_text("no such thing")
    return folder


CASES = [
    *[("picture", suffix) for suffix in (".jpeg", ".png", ".webp", ".tiff", ".bmp", ".gif")],
    *[("sound", ".wav"), ("sound", ".mp4"), ("info", ".wav"), ("info", ".mp4")],
    *[("frames", ".mp4"), ("frames", ".gif")],
    *[("motion", suffix) for suffix in (".npz", *EXPORTS)],
    *[("gestures", ".json"), ("transcript", ".srt")],
]


def read(reader: Reader, question: str, path: Path) -> Any:
    """What a reader says, to be compared; an error by its type and sentence."""
    try:
        if question == "frames":
            return np.stack(list(reader.frames(path, 25.0)))
        value = getattr(reader, question)(path)
    except VisavisError as error:
        return type(error).__name__, str(error)
    if question == "sound":
        return value.read(0, len(value) + 1)
    if question == "motion":
        return np.concatenate([value.values, value.mask[:, None]], 1), value.fps
    return value


@pytest.mark.parametrize("name", ["a", "cut", "text", "none"])
@pytest.mark.parametrize(("question", "suffix"), CASES)
def test_values_and_errors_are_the_same_bits_as_without(
    question: str, suffix: str, name: str, samples: Path
) -> None:
    path = samples / f"{name}{suffix}"
    here = read(HERE, question, path)
    there = read(SandboxReader(shared_sandbox()), question, path)
    np.testing.assert_equal(there, here)
    failed = isinstance(here, tuple) and isinstance(here[0], str)
    assert name == "cut" or failed == (name != "a")  # of some, a part is enough
    if question == "gestures" and name == "a":
        assert there[0] == Gesture.at("nod", 0.5)


@pytest.mark.slow
def test_no_job_but_its_own_suffers_from_a_picture_that_traps_its_decoder(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("app.jobs.queue", "app.jobs.store"):
        monkeypatch.setattr(f"{module}.shared_sandbox", lambda: sandbox)
    photo = DEFAULT_PORTRAIT.read_bytes()
    with running(small_avatar(), tmp_path / "data") as served, served.http() as http:
        bad = [post(http, photo + trap(what)) for what in ("loop", "segfault", "memory")]
        stuck = post(http, photo + trap("loop"))
        good = post(http, photo)
        for identity in bad:
            ended = wait_ended(http, identity)
            assert ended["state"] == "failed", ended
            assert ended["error"].startswith("portrait cannot be read: "), ended
        while http.get(f"/v1/videos/{stuck}").json()["state"] == "queued":
            time.sleep(0.05)
        began = time.monotonic()
        http.delete(f"/v1/videos/{stuck}")
        assert wait_ended(http, good)["state"] == "succeeded"
        assert time.monotonic() - began < 30
        assert http.get("/healthz").status_code == 200


def post(http: httpx.Client, portrait: bytes) -> str:
    answer = http.post(
        "/v1/videos", data={"text": "Hi.", "size": "64"}, files={"portrait": ("a.png", portrait)}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


DIRECT = {
    *("load_image", "open_picture", "decode_sound", "decode_pieces", "probe", "frames_at"),
    *("read_video", "read_motion", "load_timeline", "read_rows", "imread", "imdecode"),
    *("Portrait.load", "Recording.load", "Waveform.load", "Motion.load", "Transcript.load"),
    *("Image.open", "np.load", "av.open", "intake.inspect"),
}
WITH_READER = {"video_seconds": 2, "load_sound": 2, "make_plan": 3, "find_faces": 3, "hear": 5}
"""These read in this process unless their last argument says otherwise."""
SERVERS = ("api", "jobs", "live", "studio")
ROOT = Path(__file__).parents[2] / "app"


def test_no_part_of_a_server_decodes_a_file_itself() -> None:
    """All but a webcam's small JPEGs, 25 a second, which have one fixed decoder."""
    found = set()
    for path in [p for room in SERVERS for p in sorted((ROOT / room).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                few = len(node.args) + len(node.keywords) < WITH_READER.get(name, 0)
                if few or name in DIRECT or name == "inspect":
                    found.add(f"{path.relative_to(ROOT)}: {name}")
    assert found == {"api/live_connection.py: open_picture"}


IMPORTS = ("recordings", "pairs", "seamless", "seamless_files", "sources", "speaking", "importing")
MEDIA = {"decode_sound", "decode_pieces", "count_channels", "probe", "frames_at", "read_video"}
MEDIA |= {"stored_frames", "Recording.load", "Waveform.load", "av.open", "VideoCapture", "HERE"}


def test_imports_decode_recordings_in_the_sandbox_alone() -> None:
    found = set()
    for path in (ROOT / "dataset" / f"{name}.py" for name in IMPORTS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in MEDIA or name.rpartition(".")[2] in MEDIA:
                    found.add(f"{path.name}: {name}")
    assert found == set()


def test_a_recording_that_traps_its_decoder_costs_an_import_that_recording(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video that is a trap for whoever decodes it, beside one that is a film of nobody."""
    (tmp_path / "in").mkdir()
    with VideoWriter(tmp_path / "in" / "wall.mp4", (64, 48), 25.0) as writer:
        writer.write(np.zeros((9, 48, 64, 3), np.uint8))
    for what in ("loop", "segfault", "memory"):
        (tmp_path / "in" / f"{what}.mp4").write_bytes(trap(what))
    monkeypatch.setattr(recordings, "media", lambda: SandboxReader(sandbox))
    monkeypatch.setattr(sources, "media", recordings.media)
    told = list[str]()
    done = import_recordings(
        str(tmp_path / "in"), tmp_path / "out", ImportConfig(workers=0), told.append
    )
    why = dict(done.failed)
    assert set(why) == {"wall.mp4", "loop.mp4", "segfault.mp4", "memory.mp4"}
    assert "broke off" in why["segfault.mp4"] and "within 2 s" in why["loop.mp4"]
    assert "cannot be read" in why["memory.mp4"] and "no face" in why["wall.mp4"]
    assert works(sandbox)
