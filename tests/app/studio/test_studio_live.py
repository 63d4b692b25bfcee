"""The live tab in Chromium, whose fake microphone plays a voice into the portrait's ear."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.render.pipeline import Avatar
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.synthesis import synthesize
from tests.app.studio.studio_server import QUIET, Studio, chromium, serve, window

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator

pytestmark = [pytest.mark.browser, *QUIET]


@pytest.fixture(scope="module")
def studio(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server for all tests here."""
    with serve(avatar, tmp_path_factory.mktemp("studio")) as running:
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
INSIDE = """() => {
  const [me, face] = ['me', 'face'].map(id => document.getElementById(id).getBoundingClientRect());
  return me.width > 0 && me.left >= face.left && me.right <= face.right
    && me.top >= face.top && me.bottom <= face.bottom;
}"""
SLOW = """() => {
  for (let i = 0; i < 25; i++) live.pace(500);
  return document.getElementById('slow').textContent;
}"""


def say_until_heard(frame: "FrameLocator") -> None:
    """On a slow machine the visitor's next words may come first and cut the agent's off."""
    from playwright.sync_api import TimeoutError

    for _ in range(6):
        frame.locator("#say").click()
        with contextlib.suppress(TimeoutError):
            frame.locator("#state", has_text="It speaks").wait_for(timeout=8_000)
            return
    pytest.fail(f"the agent never spoke: {frame.locator('#problem').inner_text()}")


def test_the_portrait_listens_speaks_and_is_interrupted(studio: Studio, microphone: Path):
    with chromium(microphone) as browser, window(browser, studio) as visitor:
        page = visitor.page
        visitor.show_tab("Live")
        frame = page.frame_locator("iframe.v-live")
        frame.locator("#connect").wait_for()
        live = page.frame(url="**/live*")
        assert live is not None
        live.wait_for_function(MET)
        frame.locator("#connect").click()
        frame.locator("#say").wait_for()
        page.wait_for_function(
            "+document.querySelector('iframe.v-live').contentDocument"
            ".getElementById('frames').textContent > 10"
        )
        assert frame.locator("#problem").inner_text() == ""
        assert live.evaluate(INSIDE), "the visitor's own picture hangs over the portrait"
        assert "slow" in live.evaluate(SLOW)
        frame.locator("#words").fill("I could talk about this for a very long time. " * 12)
        say_until_heard(frame)
        visitor.shoot("live-speaks-1280-light")
        delay = frame.locator("#latency").inner_text()
        assert re.fullmatch(r"(at once|with a short delay|late) \(\d+ ms\)", delay)
        frame.locator("#barge", has_text="fell silent").wait_for()
        told = frame.locator("#barge").inner_text()
        assert int(re.findall(r"\d+", told)[0]) <= 300
        visitor.shoot("live-interrupted-1280-light")
        print(f"its answer: {delay}; barge-in {told}")
        drawn = page.evaluate(
            "(() => { const c = document.querySelector('iframe.v-live').contentDocument"
            ".getElementById('face'); return [...c.getContext('2d').getImageData(0, 0, c.width,"
            " c.height).data.slice(0, 4000)].some(v => v > 0 && v < 255); })()"
        )
        assert drawn
        frame.locator("#connect").click()
        frame.locator("#state", has_text="Not connected").wait_for()
        assert visitor.faults == []
