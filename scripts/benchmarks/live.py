"""How soon a live portrait answers, and what many clients at once cost: the real server measured.

    scripts/bench live [--size 256 512] [--seconds 20] [--clients 20] [--rounds 2] [--voice joe]
                       [--talks 20] [--json]

Starts `visavis app` on a free port of the loopback. A visitor's voice is sent in real time, 20 ms
at a time, while the agent speaks. `first frame` is from the first sample sent to the first frame
there; `voice to photon` from when a frame's last sample was recorded to the frame being there,
which includes the up to 200 ms that a chunk of five frames is waited for; `pictures` how many of
the 25 frames a second are not the one before again, which a server that is late sends; `barge-in`
from when the visitor begins to talk to the message that silences the agent. Then as many clients
as asked for make a video of two seconds each at once, in rounds: failures, seconds, the server's
memory. Each line is printed when it is known; all of it takes two or three minutes on two cores,
half of them for the clients (`--clients 0` leaves them out).

With `--voice` the agent and the videos of the clients speak in that voice, and `--talks` begins so
many conversations at once, each of which is spoken to and asked to speak: how many are refused,
since `--max-live` are held (as many as asked for, here), and how the others keep up.
"""

import argparse
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from app.client import Client, Conversation, ServerError
from app.live.framing import H264, JPEG, Packet
from app.render.demo import DEFAULT_PORTRAIT
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import FPS, Motion

_PACKET = SAMPLE_RATE // 50
_TALK = "I will tell you a very long story about a man by the sea, and about his boat. " * 8
_INTERRUPT = "Wait, stop please. I would like to say something now."
_AUDIBLE = 0.02
_START = "import sys; from app.cli.commands import main; sys.exit(main())"
_START_S = 120
_STOP_S = 40
"""What a server is given to stop; it gives itself 30 s."""
_VIDEO_S = 2
_SAYS = "It is good to see you."
"""What a client's video says, in about two seconds."""


@contextlib.contextmanager
def server(folder: Path, waiting: int, talks: int = 0) -> Iterator[tuple[str, psutil.Process]]:
    """A server of its own process, ready: its address."""
    words = ["app", "--port", "0", "--no-studio", "--data-dir", str(folder)]
    words += ["--max-waiting", str(waiting)]
    if talks:
        words += ["--max-live", str(talks)]
    command = [sys.executable, "-c", _START, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip().removeprefix("Visavis is at ")
            if not url.startswith("http"):
                raise SystemExit("the server did not start")
            end = time.monotonic() + _START_S
            while httpx.get(f"{url}/readyz").status_code != 200:
                if time.monotonic() > end:
                    raise TimeoutError(f"the server was not ready in {_START_S} s")
                time.sleep(0.2)
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise SystemExit(f"the server did not stop within {_STOP_S} s") from None


class Listener:
    """Takes in what the server sends, with the time it came."""

    def __init__(self, talk: Conversation) -> None:
        self.came: list[tuple[float, Packet | dict[str, Any]]] = []
        self._talk = talk
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(ServerError):
            while True:
                message = self._talk.receive()
                if message is not None:
                    self.came.append((time.monotonic(), message))

    def frames(self) -> list[tuple[float, Packet]]:
        """The frames, and when they came."""
        return [
            (at, message)
            for at, message in self.came
            if isinstance(message, Packet) and message.what in (JPEG, H264)
        ]


def visitor(seconds: float, begin: float) -> np.ndarray:
    """So many seconds of a quiet room in which somebody talks from `begin` on, to the sample."""
    sound = np.random.default_rng(0).normal(0, 1e-4, round(seconds * SAMPLE_RATE))
    said = synthesize(_INTERRUPT).samples
    said = said[np.argmax(np.abs(said) > _AUDIBLE) :]
    start = round(begin * SAMPLE_RATE)
    said = said[: len(sound) - start]
    sound[start : start + len(said)] += said
    return sound.astype(np.float32)


def converse(url: str, size: int, seconds: float, voice: str | None = None) -> dict[str, Any]:
    """Figures of one conversation in which the visitor interrupts at three quarters of it. Raises
    TimeoutError when no picture came.
    """
    begin = 0.75 * seconds + 0.13
    sound = visitor(seconds, begin)
    with Client(url) as client, client.live(DEFAULT_PORTRAIT, size=size) as talk:
        listener = Listener(talk)
        talk.say(_TALK, voice)
        time.sleep(1.0)
        began = time.monotonic()
        for at in range(0, len(sound), _PACKET):
            due = began + (at + _PACKET) / SAMPLE_RATE
            time.sleep(max(0.0, due - time.monotonic()))
            talk.hear(sound[at : at + _PACKET])
        time.sleep(1.0)
    frames = listener.frames()
    if not frames:
        raise TimeoutError("no picture came")
    settled = frames[5:] or frames
    late = [at - began - (packet.time + SAMPLES_PER_FRAME) / SAMPLE_RATE for at, packet in settled]
    stops = [
        at
        for at, message in listener.came
        if isinstance(message, dict) and message["type"] == "interrupt"
    ]
    spoken = [packet.data for _, packet in frames if packet.time < begin * SAMPLE_RATE]
    changes = sum(a != b for a, b in itertools.pairwise(spoken))
    return {
        "size": size,
        "frames": len(frames),
        "pictures_per_s": round(changes / begin, 1),
        "frames_due": round(seconds * FPS),
        "first_frame_ms": round(1000 * (frames[0][0] - began)),
        "voice_to_photon_ms": round(1000 * float(np.median(late))),
        "voice_to_photon_p95_ms": round(1000 * float(np.quantile(late, 0.95))),
        "barge_in_ms": round(1000 * (stops[0] - began - begin)) if stops else None,
    }


def crowd(url: str, talks: int, seconds: float, voice: str | None) -> dict[str, Any]:
    """Figures of many conversations at once."""

    def one(_: int) -> dict[str, Any] | None:
        try:
            return converse(url, 256, seconds, voice)
        except (ServerError, OSError):  # refused, broken off, or without a picture
            return None

    with ThreadPoolExecutor(talks) as pool:
        rows = [row for row in pool.map(one, range(talks)) if row is not None]
    held = [row["frames"] / row["frames_due"] for row in rows]
    stops = [row["barge_in_ms"] for row in rows if row["barge_in_ms"] is not None]
    return {
        "talks": talks,
        "held": len(rows),
        "frames_share": round(float(np.median(held)), 2) if rows else None,
        "pictures_per_s": round(float(np.median([row["pictures_per_s"] for row in rows])), 1)
        if rows
        else None,
        "interrupted": len(stops),
        "barge_in_ms": round(float(np.median(stops))) if stops else None,
    }


def load(
    url: str,
    process: psutil.Process,
    clients: int,
    rounds: int,
    folder: Path,
    voice: str | None = None,
) -> dict[str, Any]:
    """Figures of many clients at once, some times over."""
    still = Motion.neutral(round(_VIDEO_S * FPS)).save(folder / "still.npz")
    made: dict[str, Any] = {"motion": still} if voice is None else {"text": _SAYS, "voice": voice}

    def visit(number: int) -> bool:
        with Client(url, timeout=600) as client:
            job = client.create(portrait=DEFAULT_PORTRAIT, size=256, **made)
            for now in client.follow(job["id"]):
                job = now
            out = folder / f"{number}.mp4"
            client.download(job["id"], out)
            client.cancel(job["id"])
            return job["state"] == "succeeded" and out.stat().st_size > 0

    taken, memory = [], []
    failed = 0
    for _ in range(rounds):
        started = time.monotonic()
        with ThreadPoolExecutor(clients) as pool:
            asked = [pool.submit(visit, n) for n in range(clients)]
        failed += sum(one.exception() is not None or not one.result() for one in asked)
        taken.append(round(time.monotonic() - started, 1))
        memory.append(round(process.memory_info().rss / 1e6))
    return {"clients": clients, "failed": failed, "seconds": taken, "memory_mb": memory}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--voice")
    parser.add_argument("--talks", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    talks: list[dict[str, Any]] = []
    many = together = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder / "data", max(1, 2 * a.clients), a.talks) as (url, process):
            for size in a.size:
                talks.append(converse(url, size, a.seconds, a.voice))
                if not a.json:
                    print(_talk_told(talks[-1]), flush=True)
            if a.talks:
                together = crowd(url, a.talks, a.seconds, a.voice)
                if not a.json:
                    print(_crowd_told(together), flush=True)
            if a.clients:
                many = load(url, process, a.clients, a.rounds, folder, a.voice)
                if not a.json:
                    print(_load_told(many), flush=True)
    if a.json:
        print(json.dumps({"live": talks, "together": together, "load": many}))


def _talk_told(row: dict[str, Any]) -> str:
    return (
        f"{row['size']} px: first frame {row['first_frame_ms']} ms, voice to photon "
        f"{row['voice_to_photon_ms']} ms (95 %: {row['voice_to_photon_p95_ms']} ms), barge-in "
        f"{row['barge_in_ms']} ms, {row['frames']} of {row['frames_due']} frames, "
        f"{row['pictures_per_s']} pictures/s"
    )


def _crowd_told(row: dict[str, Any]) -> str:
    return (
        f"{row['talks']} conversations at once: {row['held']} held, each with "
        f"{row['frames_share']} of its frames and {row['pictures_per_s']} pictures/s; "
        f"{row['interrupted']} interrupted, after {row['barge_in_ms']} ms"
    )


def _load_told(many: dict[str, Any]) -> str:
    return (
        f"{many['clients']} clients at once: {many['failed']} failed; round by round "
        f"{many['seconds']} s, memory of the server {many['memory_mb']} MB"
    )


if __name__ == "__main__":
    main()
