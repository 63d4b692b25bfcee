"""The live tab in Chromium, whose fake microphone plays a voice into the portrait's ear."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from app.render.demo import ASSETS
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.synthesis import synthesize
from tests.app.studio.studio_server import (
    QUIET,
    SHOTS,
    Studio,
    barriers,
    chromium,
    serve,
    window,
)

if TYPE_CHECKING:
    from playwright.sync_api import Frame, FrameLocator, Page

pytestmark = [pytest.mark.browser, *QUIET]


@pytest.fixture(scope="module")
def studio(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server for all tests here."""
    folder = tmp_path_factory.mktemp("studio")
    with serve(avatar, folder, webrtc=find_spec("aiortc") is not None) as running:
        yield running


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of silence, then somebody who interrupts; Chromium plays it in a circle."""
    silence = np.zeros(10 * SAMPLE_RATE, np.float32)
    spoken = synthesize("Wait a moment, may I say something about that?", "en-gb").samples
    sound = Waveform(np.concatenate([silence, spoken]))
    return sound.save(tmp_path_factory.mktemp("microphone") / "visitor.wav")


MET = """() => {
  const face = document.getElementById('face');
  return face.getContext('2d').getImageData(face.width / 2, face.height / 2, 1, 1).data[3] === 255;
}"""
ALIVE = """() => {
  const idle = document.getElementById('idle');
  return !idle.hidden && !idle.paused && idle.currentTime > 0.2;
}"""
INSIDE = """() => {
  const [me, face] = ['me', 'face'].map(id => document.getElementById(id).getBoundingClientRect());
  return me.width > 0 && me.left >= face.left && me.right <= face.right
    && me.top >= face.top && me.bottom <= face.bottom;
}"""
SLOW = """() => {
  for (let i = 0; i < 25; i++) live.pace(500);
  return document.getElementById('slow').textContent;
}"""
SIZES = """() => {
  const told = [], tell = live.tell;
  live.tell = (message) => told.push(message.size);
  document.getElementById('size').value = '0';
  const judge = (now, usual) => { size.now = now; size.asked = 0; size.judge(usual, 25); };
  size.most = 512;
  judge(256, 30);   // much time is left: the largest
  judge(256, 100);  // some: the next
  judge(256, 150);  // little: as it is
  judge(512, 190);  // too much: the one before
  judge(384, 30);   // and not up again to what was too much
  size.judge(30, 3);  // too early to tell
  live.tell = tell;
  size.begin();
  return told;
}"""
# In place of the browser's own, which needs a service that these tests have not.
RECOGNISER = """() => {
  window.SpeechRecognition = class {
    static async available({processLocally}) { return processLocally ? 'available' : 'no'; }
    start(track) { this.track = track; window.heard = this; }
    abort() { window.heard = null; }
  };
}"""
SAYS = """text => heard.onresult({resultIndex: 1, results: [
  Object.assign([{transcript: 'before'}], {isFinal: true}),
  Object.assign([{transcript: text}], {isFinal: true}),
  Object.assign([{transcript: 'not sure'}], {isFinal: false}),
]})"""
FRAMES = "+document.getElementById('frames').textContent"


def say_until_heard(frame: "FrameLocator") -> None:
    """On a slow machine the visitor's next words may come first and cut the agent's off."""
    from playwright.sync_api import TimeoutError

    for _ in range(6):
        frame.locator("#say").click()
        with contextlib.suppress(TimeoutError):
            frame.locator("#state", has_text="It speaks").wait_for(timeout=8_000)
            said = frame.locator("#said li", has_text="It: I could talk about this").first
            said.wait_for(state="attached", timeout=8_000)
            return
    pytest.fail(f"the agent never spoke: {frame.locator('#problem').inner_text()}")


def test_the_portrait_listens_speaks_and_is_interrupted(studio: Studio, microphone: Path):
    with chromium(microphone) as browser, window(browser, studio) as visitor:
        page = visitor.page
        visitor.show_tab("Live")
        frame = page.frame_locator("iframe.v-live")
        frame.locator("#connect").wait_for()
        live = page.frame(url="**/live")
        assert live is not None
        live.wait_for_function(MET)
        live.wait_for_function(ALIVE)
        frame.locator("#size").select_option("256")
        frame.locator("#connect").focus()
        page.keyboard.press("Enter")
        frame.locator("#say").wait_for()
        live.wait_for_function(f"{FRAMES} > 10")
        assert live.is_hidden("#idle"), "it hides who talks"
        assert frame.locator("#problem").inner_text() == ""
        assert live.evaluate(INSIDE), "the visitor's own picture hangs over the portrait"
        assert "slow" in live.evaluate(SLOW)
        talk_over_webrtc(live)
        heard = live.evaluate("live.media.getAudioTracks()[0].getSettings()")
        assert heard["echoCancellation"], "its own voice would interrupt it"
        frame.locator("#words").fill("I could talk about this for a very long time. " * 12)
        say_until_heard(frame)
        visitor.shoot("live-speaks-1280-light")
        shown = "caption('visitor', 'Is it?'), document.getElementById('caption').textContent"
        assert live.evaluate(shown) == "You: Is it?"
        delay = frame.locator("#latency").inner_text()
        assert re.fullmatch(r"(at once|with a short delay|late) \(\d+ ms\)", delay)
        frame.locator("#barge", has_text="fell silent").wait_for()
        told = frame.locator("#barge").inner_text()
        assert int(re.findall(r"\d+", told)[0]) <= 300
        print(f"its answer: {delay}; barge-in {told}")
        assert live.evaluate(SIZES) == [512, 384, 384]
        read_what_one_says(live)
        use_the_controls(live, page)
        frame.locator("#end").press("Enter")
        frame.locator("#state", has_text="Not connected").wait_for()
        assert live.evaluate("document.activeElement.id") == "connect"
        assert visitor.faults == []


MINE = "fetch('/v1/videos').then(answer => answer.json()).then(jobs => jobs.map(job => job.state))"
LOOPS = """() => {
  const idle = document.getElementById('idle');
  return idle.src.startsWith('blob:') && !idle.hidden && idle.currentTime > 0.2
    && idle.loop && idle.videoWidth === 256;
}"""


def test_a_photo_of_ones_own_is_alive_until_it_talks(
    studio: Studio, microphone: Path, tmp_path: Path
):
    """Drawn by a job that is nobody's any more when it is done, or when one goes on."""
    wall, one, other = (tmp_path / name for name in ("wall.png", "one.jpg", "other.jpg"))
    cv2.imwrite(str(wall), np.full((300, 300, 3), 180, np.uint8))
    for path, example in ((one, "man_1"), (other, "woman_2")):
        shutil.copy(ASSETS / "portraits" / f"{example}.jpg", path)
    with chromium(microphone) as browser, window(browser, studio) as visitor:
        visitor.show_tab("Live")
        visitor.page.frame_locator("iframe.v-live").locator("#connect").wait_for()
        live = visitor.page.frame(url="**/live")
        assert live is not None
        live.wait_for_load_state("load")  # before that nothing listens
        live.set_input_files("#photo", wall)
        live.wait_for_function("document.getElementById('problem').textContent.includes('no face')")
        live.set_input_files("#photo", one)
        assert live.is_hidden("#idle") and live.inner_text("#problem") == ""
        live.wait_for_function(LOOPS)
        visitor.shoot("live-own-1280-light")
        live.wait_for_function(f"{MINE}.then(states => states.length === 0)")
        first = live.get_attribute("#idle", "src")
        live.set_input_files("#photo", other)
        live.wait_for_function(f"{MINE}.then(states => states.length === 1)")
        live.set_input_files("#photo", one)
        live.wait_for_function(LOOPS)
        assert live.get_attribute("#idle", "src") == first, "it is drawn once"
        live.wait_for_function(f"{MINE}.then(states => !states.some(one => /ing|ued/.test(one)))")
        live.select_option("#size", "256")
        live.click("#connect")
        assert live.evaluate("!document.getElementById('idle').hidden"), "until it is drawn"
        live.wait_for_function(f"{FRAMES} > 2")
        assert live.is_hidden("#idle")
        live.click("#end")
        live.wait_for_function(LOOPS)
        live.select_option("#portrait", index=2)
        live.wait_for_function(ALIVE)
        assert "/idle" in str(live.get_attribute("#idle", "src")), "the example, then"
        assert visitor.faults == []


def talk_over_webrtc(live: "Frame") -> None:
    """Where it gets through: pictures come that say which sound they answer; and the WebSocket goes
    on where they end.
    """
    if find_spec("aiortc") is None or not aioice_addresses():
        return
    live.wait_for_selector("#stage[data-media=webrtc]")
    live.wait_for_selector("#far", state="visible")
    live.wait_for_function("live.origin !== undefined && live.delays.length > 5")
    assert live.evaluate("live.delays.every(ms => ms > 0 && ms < 60000)")
    live.evaluate("live.hangUp()")
    live.wait_for_selector("#far", state="hidden")
    live.wait_for_function(f"{FRAMES} > {live.evaluate(FRAMES) + 5}")


def aioice_addresses() -> list[str]:
    """Addresses of this machine, but for the loopback, over which WebRTC does not go."""
    from aioice.ice import get_host_addresses

    return get_host_addresses(use_ipv4=True, use_ipv6=False)


def read_what_one_says(live: "Frame") -> None:
    """Only when it is wanted, on this device where the browser can, and not while one is mute."""
    live.evaluate(RECOGNISER)
    assert live.get_attribute("#mine", "aria-pressed") == "false", "nobody has asked for it"
    live.click("#mine")
    live.wait_for_function("window.heard?.track === live.media.getAudioTracks()[0]")
    assert live.evaluate("heard.processLocally && heard.continuous && heard.lang === 'en-US'")
    live.evaluate(SAYS, " Where are you? ")
    lines = live.evaluate("[...document.querySelectorAll('#said li')].map(li => li.textContent)")
    assert lines[-1] == "You: Where are you?" and "You: not sure" not in lines
    live.evaluate("heard.onend()")  # as after a sentence; it goes on
    live.evaluate("window.heard = null")
    live.wait_for_function("window.heard")
    live.click("#mute")
    assert live.evaluate("window.heard") is None
    live.click("#mute")
    live.wait_for_function("window.heard")
    live.evaluate("heard.onerror({error: 'no-speech'})")
    assert live.get_attribute("#mine", "aria-pressed") == "true"
    live.evaluate("heard.onerror({error: 'network'})")
    assert live.get_attribute("#mine", "aria-pressed") == "false"
    assert "could not write down" in live.inner_text("#problem")
    assert live.evaluate("window.heard") is None


def use_the_controls(live: "Frame", page: "Page") -> None:
    """What one does while one talks: each works, and the conversation goes on."""
    live.focus("#mute")
    page.keyboard.press("Space")
    live.wait_for_selector("#mute[aria-pressed=true]")
    assert not live.evaluate("live.media.getAudioTracks()[0].enabled")
    live.wait_for_function("document.getElementById('state').textContent.includes('not hear')")
    live.select_option("#microphone", index=1)
    live.wait_for_function("live.source.mediaStream.getAudioTracks()[0].readyState === 'live'")
    assert not live.evaluate("live.media.getAudioTracks()[0].enabled"), "another one is mute too"
    live.click("#mute")
    live.select_option("#camera", "none")
    live.wait_for_function("document.getElementById('me').hidden")
    live.click("#captions")
    assert live.is_hidden("#caption")
    live.click("#full")
    live.wait_for_function("document.fullscreenElement !== null")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "live-full-1280-light.png")
    live.click("#full")
    live.wait_for_function("document.fullscreenElement === null")
    session = live.evaluate("live.drop(), live.session")  # as when the network is gone
    live.wait_for_function("document.getElementById('state').textContent.includes('again')")
    live.wait_for_function("live.connected")
    assert live.evaluate("live.session") == session
    live.wait_for_function(f"{FRAMES} > {live.evaluate(FRAMES) + 5}")
    assert barriers(live) == []
    page.set_viewport_size({"width": 390, "height": 900})
    assert live.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=SHOTS / "live-talks-390-light.png", full_page=True)
