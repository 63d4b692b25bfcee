"""What a bad network does to a live conversation, over the WebSocket and over WebRTC.

    scripts/bench loss [--loss 0 2 5 10] [--delay 20] [--seconds 30] [--size 256] [--json]

As root, on Linux. The server and a Chromium with the live page live in network namespaces of their
own; between them is nothing but a program that carries every packet of both, TCP and UDP, throws
away so many per cent of them each way, and hands on the rest after a delay: the kernels' own TCP
and the browser's own WebRTC have to cope with it. A visitor talks now and then into the agent's
words. `answer` is from when a sound was recorded to the picture that answers it (median, 95 %);
`pictures` those shown in a second; `longest stand` the longest time without a new one; `gaps` the
share of time in which the agent's sound had to be made up or waited for; `barge-in` from the
visitor's first sound to the page's knowing that the agent was silenced.
"""

import argparse
import contextlib
import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.synthesis import synthesize

_TUNSETIFF, _TUN, _NO_HEADER = 0x400454CA, 0x0001, 0x1000
_SERVER, _CLIENT, _PORT = "10.77.0.1", "10.77.0.2", 8000
_TALK = "I will tell you a very long story about a man by the sea, and about his boat. " * 8
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_WATCH = """() => {
  window.seen = {frames: [], delays: [], onsets: [], stops: []};
  const {frame, interrupt} = news, {answers, send} = Talk.prototype;
  let loud = 0;
  news.frame = () => { seen.frames.push(performance.now()); frame(); };
  news.interrupt = (message) => {
    seen.stops.push(performance.now());
    interrupt(message);
    setTimeout(() => $('say').click(), 1000);
  };
  Talk.prototype.answers = function (time) {
    answers.call(this, time);
    seen.delays.push(this.delays.at(-1));
  };
  Talk.prototype.send = function (samples) {
    const now = performance.now();
    if (samples.some((x) => Math.abs(x) > 0.02)) {
      if (now - loud > 1500) seen.onsets.push(now);
      loud = now;
    }
    send.call(this, samples);
  };
}"""
_GAPS = """async () => {
  let made = 0;
  for (const one of (await live.peer?.getStats())?.values() ?? []) {
    if (one.type === 'inbound-rtp' && one.kind === 'audio') made = one.concealedSamples / 48000;
  }
  return live.peer?.carries ? made : live.gaps;
}"""


class Line:
    """Two devices, and what carries packets from one to the other: `loss` of them not at all, the
    rest after `delay` seconds.
    """

    def __init__(self, delay: float) -> None:
        self.loss, self._delay = 0.0, delay
        ends = [_tun(name) for name in ("vvserver", "vvclient")]
        for taken, given in (ends, ends[::-1]):
            queue: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
            threading.Thread(target=self._take, args=(taken, queue), daemon=True).start()
            threading.Thread(target=self._give, args=(given, queue), daemon=True).start()

    def _take(self, device: int, queue: "SimpleQueue[tuple[float, bytes]]") -> None:
        while True:
            packet = os.read(device, 2048)
            if random.random() >= self.loss:
                queue.put((time.monotonic() + self._delay, packet))

    def _give(self, device: int, queue: "SimpleQueue[tuple[float, bytes]]") -> None:
        while True:
            due, packet = queue.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):  # its namespace has ended
                os.write(device, packet)


def _tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN | _NO_HEADER))
    return device


@contextlib.contextmanager
def apart(device: str, address: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """This program with `words`, in a network namespace with one end of the line."""
    command = ["unshare", "--net", sys.executable, "-m", "scripts.benchmarks.loss", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            heard(process, "apart")
            subprocess.run(["ip", "link", "set", device, "netns", str(process.pid)], check=True)
            inside = ["nsenter", "--target", str(process.pid), "--net", "ip"]
            for change in (
                ["address", "add", f"{address}/24", "dev", device],
                ["link", "set", device, "up"],
                ["link", "set", "lo", "up"],
            ):
                subprocess.run([*inside, *change], check=True)
            tell(process)
            yield process
        finally:  # its end of the line would go with the namespace
            back = ["ip", "link", "set", device, "netns", str(os.getpid())]
            enter = ["nsenter", "--target", str(process.pid), "--net"]
            subprocess.run([*enter, *back], stderr=subprocess.DEVNULL)
            process.terminate()


def heard(process: "subprocess.Popen[str]", word: str) -> str:
    """What follows a word that the process prints, when it does."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise SystemExit(f"a part of the measurement ended before it said {word!r}")


def tell(process: "subprocess.Popen[str]") -> None:
    """Let a process that waits for a line go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def serve() -> None:
    """The server with the live page, in this process."""
    from app.api.app import create_app
    from app.api.run import listen
    from app.api.run import serve as answer
    from app.api.settings import ServerConfig
    from app.render.pipeline import Avatar
    from app.studio.screens.live import add_page

    avatar = Avatar.load().ready()
    with tempfile.TemporaryDirectory() as folder:
        config = ServerConfig(Path(folder), _SERVER, _PORT, webrtc=True)
        app = create_app(lambda: avatar, config)
        add_page(app, "/v1/live", answers=False)
        with listen(config) as listener:
            print("serving", flush=True)
            answer(app, config, listener)


def visit(over: str, seconds: float, size: int) -> dict[str, Any]:
    """What one visitor's browser sees and hears."""
    from playwright.sync_api import sync_playwright

    origin = f"http://{_SERVER}:{_PORT}"
    said = synthesize("Wait, stop please. I would like to say something now.").samples
    silence = np.zeros(8 * SAMPLE_RATE, np.float32)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        voice = Waveform(np.concatenate([silence, said])).save(Path(folder) / "visitor.wav")
        browser = playwright.chromium.launch(
            executable_path=next(found for name in _CHROMIUM if (found := shutil.which(name))),
            args=[
                *("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"),
                *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
                f"--use-file-for-fake-audio-capture={voice}",
                f"--unsafely-treat-insecure-origin-as-secure={origin}",
            ],
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)
        if over == "websocket":
            page.add_init_script("delete window.RTCPeerConnection;")
        page.goto(f"{origin}/live")
        page.evaluate(_WATCH)
        page.select_option("#size", str(size))
        page.select_option("#camera", "none")
        page.fill("#words", _TALK)
        page.click("#connect")
        page.wait_for_selector("#say:enabled")
        if over == "webrtc":
            page.wait_for_selector("#stage[data-media=webrtc]")
        page.wait_for_function("seen.delays.length > 50")
        print("begun", flush=True)
        sys.stdin.readline()
        before = page.evaluate(_GAPS)
        page.evaluate("for (const one of Object.values(seen)) one.length = 0;")
        page.click("#say")
        page.wait_for_timeout(1000 * seconds)
        seen = page.evaluate("seen") | {"gaps": page.evaluate(_GAPS) - before}
        seen["over"] = page.evaluate("$('stage').dataset.media") or "websocket"
        browser.close()
    return figures(seen, seconds)


def figures(seen: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The measured times in few numbers; milliseconds, but for the gaps in per cent of time."""
    delays, frames = seen["delays"], np.array(seen["frames"])
    barges = [
        min((stop - onset for stop in seen["stops"] if 0 < stop - onset < 3000), default=None)
        for onset in seen["onsets"]
    ]
    known = [one for one in barges if one is not None]
    return {
        "over": seen["over"],
        "answer_ms": round(float(np.median(delays))) if delays else None,
        "answer_p95_ms": round(float(np.quantile(delays, 0.95))) if delays else None,
        "pictures_per_s": round(len(frames) / seconds, 1),
        "longest_stand_ms": round(float(np.diff(frames).max(initial=0.0))),
        "gaps_percent": round(100 * seen["gaps"] / seconds, 1),
        "barge_in_ms": round(float(np.median(known))) if known else None,
    }


def measure(a: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each loss and each way."""
    line, rows = Line(a.delay / 1000), []
    with apart("vvserver", _SERVER, "--serve") as server:
        heard(server, "serving")
        for loss in a.loss:
            for over in ("websocket", "webrtc"):
                words = ["--visit", over, "--seconds", str(a.seconds), "--size", str(a.size)]
                with apart("vvclient", _CLIENT, *words) as client:
                    heard(client, "begun")
                    line.loss = loss / 100
                    tell(client)
                    row = {"loss_percent": loss, "asked": over} | json.loads(heard(client, "row"))
                line.loss = 0.0
                rows.append(row)
                if not a.json:
                    print(shown(row), flush=True)
    return rows


def shown(row: dict[str, Any]) -> str:
    """A row as a sentence."""
    return (
        f"{row['loss_percent']:g} % lost, {row['asked']}: answer {row['answer_ms']} ms "
        f"(95 %: {row['answer_p95_ms']}), {row['pictures_per_s']} pictures/s, longest stand "
        f"{row['longest_stand_ms']} ms, gaps {row['gaps_percent']} %, barge-in "
        f"{row['barge_in_ms']} ms"
        + ("" if row["over"] == row["asked"] else f"; ended {row['over']}")
    )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--loss", type=float, nargs="+", default=[0, 2, 5, 10], help="per cent")
    parser.add_argument("--delay", type=float, default=20.0, help="milliseconds, each way")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--visit", choices=("websocket", "webrtc"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.serve or a.visit:
        print("apart", flush=True)
        sys.stdin.readline()
    if a.serve:
        serve()
    elif a.visit:
        print("row", json.dumps(visit(a.visit, a.seconds, a.size)), flush=True)
        sys.stdin.readline()
    elif os.geteuid() != 0:
        raise SystemExit("network namespaces need root: run this with sudo")
    elif (rows := measure(a)) and a.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
