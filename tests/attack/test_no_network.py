"""Nothing is fetched, nobody is told, nothing is left behind: whole programs run under strace.

Each runs with a home, a temporary and a current folder of its own. Every system call of all its
threads and children is looked at: none may name an address that is not loopback's, none may look a
name up; and afterwards the folders hold what was asked for and nothing else.
"""

import ast
import ipaddress
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil
import pytest

from app.client import Client
from app.live.framing import H264, JPEG, Packet
from app.render.demo import DEFAULT_PORTRAIT
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import Motion
from tests.conftest import PACKAGES

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[2]
START = "import sys; from app.cli.commands import main; sys.exit(main())"
READY_S = 120
KEYS = "home/.local/share/visavis/provenance"
"""The keys and the log of whoever makes videos, see docs/provenance.md."""
CALLS = "network,open,openat,creat"
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
LOOKUP = re.compile(r"/etc/(resolv|gai|host)\.conf|/etc/hosts|io\.systemd\.Resolve")
# A program that looks a name up, and one that sends to another machine: what the watch must see.
TELLTALES = {
    "lookup": "import socket; socket.getaddrinfo('visavis.invalid', 443)",
    "thread": "import socket, threading\ndef f(): socket.socket(2, 2).connect(('192.0.2.1', 9))\n"
    "t = threading.Thread(target=f); t.start(); t.join()",
    "child": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import socket; "
    'socket.socket(10, 2).connect(("2001:db8::1", 9))\'])',
}

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None and os.environ.get("CI") != "true",
    reason="strace is missing (as root: apt-get install strace)",
)


def strangers(trace: str) -> list[str]:
    """The calls of a trace that leave this machine, or look a name up."""
    found = []
    for line in trace.splitlines():
        hosts = [v4 or v6 for v4, v6 in ADDRESS.findall(line)]
        foreign = any(
            not (at := ipaddress.ip_address(host)).is_loopback and not at.is_unspecified
            for host in hosts
        )
        if foreign or LOOKUP.search(line) or "53" in PORT.findall(line):
            found.append(line)
    return found


@dataclass(frozen=True)
class Place:
    """A program's surroundings: `folder` holds its home, temporary and current folder."""

    folder: Path

    @property
    def trace(self) -> Path:
        return self.folder / "trace.txt"

    @property
    def environment(self) -> dict[str, str]:
        """As little as can be: what this process was told must not help."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }

    def command(self, code: str, *words: str) -> list[str]:
        """Python code under strace, which leaves the trace."""
        watch = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "64"]
        watch += ["-e", f"trace={CALLS}", "-o", str(self.trace)]
        return [*watch, sys.executable, "-c", code, *words]

    def left(self) -> list[str]:
        """All files and folders that are there now, but for the three folders, the trace, and
        where keys are.
        """
        keys = self.folder / KEYS
        known = {self.trace, *(self.folder / name for name in ("home", "tmp", "cwd"))}
        known |= {keys, *keys.parents, *keys.glob("*")}
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path not in known
        )

    def run(self, *words: str) -> None:
        """`visavis` with these words, to its end, without an error."""
        done = subprocess.run(
            self.command(START, *words),
            cwd=self.folder / "cwd",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "place"
    for name in ("home", "tmp", "cwd"):
        (folder / name).mkdir(parents=True)
    return Place(folder)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of speech, in a file."""
    sound = Waveform(synthesize("Hello there.").samples[: SAMPLE_RATE // 2], SAMPLE_RATE)
    return sound.save(tmp_path_factory.mktemp("voice") / "voice.wav")


@needs_strace
@pytest.mark.parametrize("what", TELLTALES)
def test_the_watch_sees_who_looks_a_name_up_or_sends(place: Place, what: str):
    subprocess.run(
        place.command(TELLTALES[what]), env=place.environment, timeout=60, capture_output=True
    )
    assert strangers(place.trace.read_text())


@pytest.mark.slow
@needs_strace
def test_a_render_and_tracking_ask_nobody_and_leave_what_was_asked_for(place: Place, voice: Path):
    words = ["--portrait", str(DEFAULT_PORTRAIT), "--agent-audio", str(voice)]
    place.run("render", *words, "--size", "256", "--out", "talk.mp4")
    assert strangers(place.trace.read_text()) == []
    assert place.left() == ["cwd/talk.mp4"]
    place.trace.unlink()
    place.run("track", "talk.mp4", "--out", "talk.npz")
    assert strangers(place.trace.read_text()) == []
    assert place.left() == ["cwd/talk.mp4", "cwd/talk.npz"]


@contextmanager
def server(place: Place, *words: str) -> Iterator[str]:
    """`visavis app` under strace, ready: its address. It ends by SIGTERM."""
    command = place.command(START, "app", "--port", "0", "--data-dir", "data", *words)
    with subprocess.Popen(
        command, cwd=place.folder / "cwd", env=place.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip().removeprefix("Visavis is at ")
            end = time.monotonic() + READY_S
            while httpx.get(f"{url}/readyz", timeout=30).status_code != 200:
                assert time.monotonic() < end, f"the server was not ready in {READY_S} s"
                time.sleep(0.2)
            yield url
        finally:
            for traced in psutil.Process(process.pid).children():  # strace itself ignores SIGTERM
                traced.terminate()
            process.wait(60)


def converse(url: str) -> int:
    """A conversation of a second in which the visitor makes a sound; how many frames came."""
    frames = 0
    with Client(url) as client, client.live(DEFAULT_PORTRAIT, size=256) as talk:
        talk.say("Hello.")
        sound = synthesize("Hello.").samples[:SAMPLE_RATE]
        end = time.monotonic() + 30
        talk.hear(sound)
        while frames < 5 and time.monotonic() < end:
            message = talk.receive()
            frames += isinstance(message, Packet) and message.what in (JPEG, H264)
    return frames


@pytest.mark.slow
@needs_strace
def test_a_server_its_studio_and_a_conversation_ask_nobody_and_leave_the_data_folder_alone(
    place: Place, tmp_path: Path
):
    if find_spec("gradio") is None:
        pytest.skip("the extra `app` is not installed")
    still = Motion.neutral(6).save(tmp_path / "still.npz")
    with server(place) as url:
        page = httpx.get(f"{url}/studio/", timeout=60)
        assert page.status_code == 200
        photo = {"files": ("me.jpg", DEFAULT_PORTRAIT.read_bytes())}
        uploaded = httpx.post(f"{url}/studio/gradio_api/upload", files=photo, timeout=60)
        with Client(url, timeout=120.0) as client:
            job = client.create(portrait=DEFAULT_PORTRAIT, motion=still, size=256)
            states = [now["state"] for now in client.follow(job["id"])]
            client.cancel(job["id"])
        frames = converse(url)
    assert uploaded.status_code < 500
    assert states[-1] == "succeeded"
    assert frames >= 5
    assert strangers(place.trace.read_text()) == []
    left = place.left()
    assert [path for path in left if path != "cwd/data" and not path.startswith("cwd/data/")] == []
    studio = [path for path in left if path.startswith(("cwd/data/uploads", "cwd/data/studio"))]
    assert studio == [], "what visitors uploaded in the studio stays when the server has gone"


# What the libraries do when they are loaded, whatever is done with them later.
LOADS = {
    "onnxruntime": "from weights.telemetry import import_onnxruntime as f; f()",
    "openvino": "from weights.telemetry import import_openvino as f; f()",
    "insightface": "from motion2video.faces.insight import _model_zoo as f; f()",
    "transformers": "import transformers",
    "gradio": "import gradio",
}


@pytest.mark.slow
@needs_strace
def test_libraries_that_are_loaded_ask_nobody_and_leave_nothing(place: Place):
    """One after the other in one process: the call that leaves the machine is in the trace."""
    code = [load for library, load in LOADS.items() if find_spec(library) is not None]
    assert code, "none of them is installed"
    code.append("import time; time.sleep(1.5)")  # threads that they started
    done = subprocess.run(
        place.command("\n".join(code)),
        cwd=place.folder / "cwd",
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert strangers(place.trace.read_text()) == []
    assert place.left() == []


def loads_itself(path: Path) -> bool:
    """Whether a module loads such a library itself. Names for type checkers load nothing."""
    source = path.read_text(encoding="utf-8")
    if "onnxruntime" not in source and "openvino" not in source:
        return False
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [ast.unparse(given).strip("'\"") for given in node.args]
        if {"onnxruntime", "openvino"} & set(names):
            return True
    return False


def test_libraries_that_report_are_loaded_only_where_they_are_told_not_to():
    found = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if loads_itself(path)
    ]
    assert found == ["weights/telemetry.py"]
