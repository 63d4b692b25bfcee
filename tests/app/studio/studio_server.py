"""The studio as a server in a thread, and a Chromium to look at it with: for the browser tests."""

import asyncio
import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.intake.limits import Limits
from app.render.pipeline import Avatar
from app.studio.gradio_files import at_end
from app.studio.workshop import Workshop
from audio2motion.voice.endpoint import Endpoint
from tests.conftest import CHROMIUM, missing_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
# gradio's own dependencies warn of each other's futures; what they do to our pages, tests see.
QUIET = (
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
)
PLAYED = """async () => {
  const video = document.querySelector('#video video');
  await video.play();
  await new Promise(done => setTimeout(done, 600));
  return {at: video.currentTime, size: [video.videoWidth, video.videoHeight],
          seconds: video.duration, sound: video.webkitAudioDecodedByteCount};
}"""
SHOWN = """name => [...document.querySelectorAll('[role=tab][aria-selected=true]')]
  .some(tab => tab.textContent.includes(name))"""
SHOTS = Path(__file__).parents[3] / "build" / "screenshots"


@dataclass
class Studio:
    """A running server: its address and what serves it."""

    url: str
    workshop: Workshop


@dataclass
class Window:
    """One visitor's page: `requests` are all addresses that it asked for, `faults` its errors."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def show_tab(self, name: str) -> None:
        """Click a tab; where the window is narrow it is in a menu."""
        tab = self.page.locator("button[role=tab]", has_text=name).locator("visible=true")
        if not tab.count():
            self.page.locator(".overflow-menu > button").click()
            tab = self.page.locator(".overflow-dropdown button", has_text=name)
        tab.first.click()

    def shoot(self, name: str) -> None:
        """Keep a picture of the whole page, to be looked at by a person."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@contextlib.contextmanager
def serve(
    avatar: Avatar,
    folder: Path,
    endpoint: Endpoint | None = None,
    limits: Limits | None = None,
    webrtc: bool | None = None,
) -> Iterator[Studio]:
    """The studio on a free port of the loopback; visitors may ask the model at `endpoint`."""
    import uvicorn

    from app.api.app import create_app
    from app.api.run import ServerConfig
    from app.studio.screens import mount

    limits = limits or Limits()
    config = ServerConfig(folder / "server", endpoint=endpoint, limits=limits, webrtc=webrtc)
    app = create_app(lambda: avatar, config)
    workshop = Workshop(app.state.context.queue, endpoint)
    at_end(app, workshop.close)

    async def mounted() -> None:
        mount(app, workshop, live="/v1/live")

    # Outside a loop gradio makes three of its own and never closes them; this thread may be in one.
    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, mounted()).result()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            "127.0.0.1",
            port,
            log_level="critical",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.05)
    yield Studio(f"http://127.0.0.1:{port}", workshop)
    server.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive(), "the server did not stop"


@contextlib.contextmanager
def chromium(microphone: Path | None = None) -> Iterator["Browser"]:
    """The system's Chromium with fake devices, whose microphone hears a wav file."""
    from playwright.sync_api import sync_playwright

    reason = missing_browser()
    assert reason is None, reason
    flags = [*FLAGS, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}")
    path = next(found for name in CHROMIUM if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@contextlib.contextmanager
def window(
    browser: "Browser",
    studio: Studio,
    width: int = 1280,
    dark: bool = False,
    language: str = "en-US",
) -> Iterator[Window]:
    """A new visitor with an open page."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        permissions=["microphone", "camera"],
        locale=language,
    )
    page = context.new_page()
    page.set_default_timeout(90_000)  # a machine may be busy with much else
    opened = Window(page)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("pageerror", lambda error: opened.faults.append(str(error)))
    page.goto(f"{studio.url}/studio/?__theme={'dark' if dark else 'light'}")
    page.wait_for_selector("#make")
    yield opened
    context.close()


AXE = "axe_playwright_python"
"""Of this package of the extra `browser` its axe.min.js is used."""
_BARRIERS = """async () => {
  const found = await axe.run(document, {resultTypes: ['violations'], iframes: false});
  const headings = ['heading-order', 'page-has-heading-one'];
  return found.violations
    .filter(rule => ['serious', 'critical'].includes(rule.impact) || headings.includes(rule.id))
    .flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.target} ${node.failureSummary}`));
}"""


def barriers(page: "Page | Frame") -> list[str]:
    """What axe-core finds serious or critical in what a page, or a frame of one, shows now; and
    headings that are not there, or skip a level.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate((files(AXE) / "axe.min.js").read_text(encoding="utf-8"))
    return page.evaluate(_BARRIERS)


def give_photo(visitor: Window, path: Path) -> None:
    """Upload a photo, in the place of the one that is there."""
    there = visitor.page.locator("#photo button[aria-label='Remove Image']")
    if there.count():
        there.click()
    visitor.page.set_input_files("#photo input[type=file]", path)


def prepare(visitor: Window, photo: Path, words: str, size: int = 160) -> None:
    """A photo, a text and a small picture."""
    page = visitor.page
    give_photo(visitor, photo)
    page.wait_for_selector("#make:enabled")
    page.locator("#text textarea").fill(words)
    box = page.locator("#size input")
    if not box.is_visible():
        page.locator("button.label-wrap", has_text="Picture and quality").click()
    box.fill(str(size))
    box.press("Enter")
