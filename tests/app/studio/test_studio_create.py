"""The studio in a real browser: photo and voice in, a video that plays out, and what goes wrong."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.render.demo import ASSETS, DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import Waveform
from tests.app.studio.studio_server import (
    QUIET,
    Studio,
    Window,
    chromium,
    give_photo,
    prepare,
    serve,
    window,
)

pytestmark = [pytest.mark.browser, *QUIET]

PLAYED = """async () => {
  const video = document.querySelector('#video video');
  await video.play();
  await new Promise(done => setTimeout(done, 600));
  return {at: video.currentTime, size: [video.videoWidth, video.videoHeight],
          seconds: video.duration, sound: video.webkitAudioDecodedByteCount};
}"""


SHOWN = """name => [...document.querySelectorAll('[role=tab][aria-selected=true]')]
  .some(tab => tab.textContent.includes(name))"""
DRAWN = """() => new Promise(done => {
  let before = '';
  const look = () => {
    const size = document.documentElement.scrollWidth + 'x' + document.documentElement.scrollHeight;
    if (size === before) done(); else { before = size; setTimeout(look, 60); }
  };
  requestAnimationFrame(() => requestAnimationFrame(look));
})"""


@pytest.fixture(scope="module")
def studio(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server for all tests here."""
    with serve(avatar, tmp_path_factory.mktemp("studio")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(voice: Path):
    with chromium(voice) as running:
        yield running


@pytest.fixture
def visitor(browser, studio: Studio) -> Iterator[Window]:
    with window(browser, studio) as opened:
        yield opened
        assert opened.faults == []
        outside = [u for u in opened.requests if not u.startswith((studio.url, "data:", "blob:"))]
        assert outside == [], "something is loaded from another host"


def test_a_photo_and_a_recording_become_a_video_that_plays(visitor: Window, voice: Path):
    page = visitor.page
    prepare(visitor, DEFAULT_PORTRAIT, "unused", 192)
    page.locator("#says label", has_text="a recording").click()
    page.set_input_files("#agent-audio input[type=file]", voice)
    length = f"{Waveform.load(voice).seconds:.1f} s of video"
    page.wait_for_function(f"document.querySelector('#plan').innerText.includes('{length}')")
    visitor.shoot("create-ready-1280-light")
    page.click("#make")
    page.wait_for_function(  # both in one look: the next may be of the finished video
        "document.querySelector('.v-look') && "
        "document.querySelector('#status').innerText.includes('frame')"
    )
    visitor.shoot("create-rendering-1280-light")
    page.wait_for_selector("#video video")
    played = page.evaluate(PLAYED)
    assert played["at"] > 0.2
    assert played["size"] == [192, 192]
    assert played["seconds"] == pytest.approx(Waveform.load(voice).seconds, abs=0.1)
    assert played["sound"] > 0
    figures = page.locator("#figures").inner_text()
    assert "frames a second" in figures
    with page.expect_download() as download:
        page.locator("#video a[download], #video button[title*='ownload']").first.click()
    assert download.value.path().stat().st_size > 1000
    assert ".npz" in page.locator("#motion").inner_text()
    page.click("#use-seed")
    page.wait_for_function("!document.querySelector('#new-seed input').checked")
    seed = page.locator("#seed input").input_value()
    assert f"seed\n{seed}" in figures
    visitor.shoot("create-done-1280-light")


def test_a_video_drives_a_photo_which_then_plays(visitor: Window, driving: Path):
    page = visitor.page
    visitor.show_tab("Puppet")
    page.wait_for_function(SHOWN, arg="Puppet")
    page.set_input_files("#puppet-photo input[type=file]", DEFAULT_PORTRAIT)
    page.wait_for_selector("#puppet-faces img")
    page.set_input_files("#puppet-driving-video input[type=file]", driving)
    page.wait_for_function("document.querySelector('#puppet-plan').innerText.includes('s of vid')")
    page.locator("#puppet-regions label", has_text="face").click()
    page.locator("button.label-wrap:visible", has_text="Picture and quality").click()
    page.locator("#puppet-size input").fill("96")
    page.locator("#puppet-size input").press("Enter")
    page.click("#puppet-make")
    page.wait_for_selector("#puppet-video video")
    played = page.evaluate(PLAYED.replace("#video", "#puppet-video"))
    assert played["size"] == [96, 96] and played["sound"] > 0 and played["at"] > 0.2
    assert "frames a second" in page.locator("#puppet-figures").inner_text()
    page.locator("#puppet-driving-video button[aria-label*='lear']").first.click()
    page.click("#puppet-make")
    page.wait_for_selector("#puppet-status [role=alert]")
    assert "there is no video yet" in page.locator("#puppet-status").inner_text()


def test_with_several_faces_one_is_picked(visitor: Window, tmp_path: Path):
    two = [cv2.imread(str(ASSETS / "portraits" / f"{n}.jpg")) for n in ("man_1", "woman_2")]
    side = [cv2.resize(p, (512, 512)) for p in two if p is not None]
    photo = tmp_path / "two.jpg"
    cv2.imwrite(str(photo), np.concatenate(side, 1))
    page = visitor.page
    give_photo(visitor, photo)
    page.wait_for_selector("#face input[type=radio]")
    options = page.locator("#face input[type=radio]")
    assert options.count() == 2
    page.locator("#faces img").click(position={"x": 20, "y": 100})
    page.wait_for_function("document.querySelectorAll('#face input')[0].checked")
    page.wait_for_timeout(500)
    marked = page.locator("#faces img").get_attribute("src")
    page.locator("#face label").nth(1).click()
    page.wait_for_function("old => document.querySelector('#faces img').src !== old", arg=marked)
    visitor.shoot("faces-1280-light")
    page.locator("#text textarea").fill("Hi.")
    page.locator("button.label-wrap", has_text="Picture and quality").click()
    page.locator("#size input").fill("96")
    page.locator("#size input").press("Enter")
    page.click("#make")
    page.wait_for_selector("#video video")
    page.locator("button.label-wrap", has_text="Settings as JSON").click()
    page.wait_for_function("document.querySelector('#settings')?.innerText.includes('face')")
    text = page.locator("#settings").inner_text().replace("\n", "").replace(" ", "")
    assert '"face":"2"' in text
    assert "/tmp" not in text


def test_cancel_stops_within_a_second_and_leaves_nothing(visitor: Window, studio: Studio):
    page = visitor.page
    prepare(visitor, DEFAULT_PORTRAIT, "This is a rather long text that takes its time. " * 8, 512)
    page.click("#make")
    page.wait_for_selector(".v-look")
    (mine,) = [page for page in list(studio.workshop._pages.values()) if page.busy]
    run = mine.errands[-1]
    page.click("#cancel")
    pressed = time.perf_counter()
    assert run.wait(5.0)
    stopped = time.perf_counter() - pressed
    page.wait_for_function("document.querySelector('#status').innerText.includes('Cancelled')")
    assert run.state == "cancelled"
    assert stopped < 1.0
    store = studio.workshop.queue.store
    rows = store._database.rows("select file from pages where page = ?", mine.key)
    folders = [store.folder / row["file"] for row in rows]
    left = {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert left <= {"faces.jpg", DEFAULT_PORTRAIT.name}
    assert page.locator("#make").is_enabled()


def test_a_photo_without_a_face_is_refused_with_a_sentence(visitor: Window, tmp_path: Path):
    photo = tmp_path / "wall.png"
    cv2.imwrite(str(photo), np.full((300, 300, 3), 180, np.uint8))
    page = visitor.page
    give_photo(visitor, photo)
    page.wait_for_selector("#trouble [role=alert]")
    assert "no face found" in page.locator("#trouble").inner_text()
    page.click("#make")
    page.wait_for_selector("#status [role=alert]")
    said = page.locator("#status").inner_text()
    assert "no face found" in said
    assert "/tmp" not in said
    visitor.shoot("no-face-1280-light")


def test_what_is_one_visitors_is_not_anothers(browser, studio: Studio, visitor: Window):
    page = visitor.page
    prepare(visitor, DEFAULT_PORTRAIT, "Hi.", 96)
    page.click("#make")
    page.wait_for_selector("#video video")
    with window(browser, studio) as other:
        other.show_tab("Motion editor")
        other.page.wait_for_selector("#curves p")
        assert "Make a video first" in other.page.locator("#curves").inner_text()
    # The latest with a project: visitors of earlier tests may not have been let go yet.
    mine = [s for s in list(studio.workshop._pages.values()) if s.project][-1]
    assert mine.project is not None
    folder = mine.project.cache.folder
    assert folder.exists()
    page.close()
    deadline = time.monotonic() + 15
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists(), "the files of a visitor who left stay"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])  # colours have no size
def test_every_tab_fits_the_window(browser, studio: Studio, width: int, dark: bool):
    shade = "dark" if dark else "light"
    with window(browser, studio, width, dark) as visitor:
        page = visitor.page
        page.locator("#examples button").nth(3).click()
        page.wait_for_selector("#faces img")
        for tab in ("Create", "Puppet", "Motion editor", "Compare", "Batch", "Live"):
            visitor.show_tab(tab)
            page.wait_for_function(SHOWN, arg=tab)
            page.evaluate(DRAWN)
            visitor.shoot(f"{tab.split()[0].lower()}-{width}-{shade}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), tab
        if width == 390:
            live = page.frame(url="**/live*")
            assert live is not None
            inner = live.evaluate("document.documentElement.scrollHeight - innerHeight")
            assert inner <= 0, "a page within the page scrolls, which fingers hate"
        missing = page.evaluate(
            "[...document.querySelectorAll('img:not([alt])')].map(image => image.outerHTML)"
        )
        assert missing == []


def test_the_keyboard_reaches_the_button(visitor: Window):
    page = visitor.page
    page.locator("#text textarea").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "make":
            break
    assert page.evaluate("document.activeElement.id") == "make"
    page.keyboard.press("Enter")
    page.wait_for_selector("#status [role=alert]")
    assert "no photo yet" in page.locator("#status").inner_text()


def test_endpoints_have_names_and_work_with_gradio_client(studio: Studio, voice: Path):
    from gradio_client import Client, handle_file

    client = Client(f"{studio.url}/studio/", verbose=False)
    info = client.view_api(return_format="dict", print_info=False)
    assert isinstance(info, dict)
    named = set(info["named_endpoints"])
    assert {"/create", "/plan", "/faces", "/cancel", "/compare", "/puppet", "/render_edit"} <= named
    assert not info["unnamed_endpoints"]
    photo = handle_file(str(DEFAULT_PORTRAIT))
    plan = client.predict(
        photo=photo, says="a recording", agent_audio=handle_file(str(voice)), api_name="/plan"
    )
    assert f"{Waveform.load(voice).seconds:.1f} s of video" in plan
    made = client.predict(
        photo=photo,
        says="a recording",
        agent_audio=handle_file(str(voice)),
        size=96,
        new_seed=False,
        seed=7,
        api_name="/create",
    )
    assert '"seed": 7' in json.dumps(made)
    sample = client.predict(voice="de", api_name="/voice_sample")
    assert Waveform.load(sample["value"] if isinstance(sample, dict) else sample).has_speech
    with pytest.raises(Exception, match="no photo yet"):
        client.predict(api_name="/create")
