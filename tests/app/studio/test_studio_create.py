"""The studio in a real browser: photo and voice in, a video that plays out, and what goes wrong."""

import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.api.problems import Problem
from app.render.demo import ASSETS, DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import probe
from motion2video.motion import Motion
from tests.app.studio.studio_server import (
    AXE,
    PLAYED,
    QUIET,
    SHOWN,
    Studio,
    Window,
    barriers,
    chromium,
    give_photo,
    prepare,
    serve,
    window,
)

pytestmark = [pytest.mark.browser, *QUIET]

OPENED = """() => document.querySelectorAll('button.label-wrap:not(.open)')
  .forEach(button => button.checkVisibility() && button.click())"""
FOCUSED = """() => ({
  place: document.activeElement.id || document.activeElement.tagName,
  line: getComputedStyle(document.activeElement).outlineStyle,
})"""
CONTRAST = """() => {
  const lit = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
    .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [.2126, .7152, .0722][i], 0);
  const tab = [...document.querySelectorAll('[role=tab][aria-selected=true]')]
    .find(one => one.checkVisibility({visibilityProperty: true}));
  const behind = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return /, 0\\)$/.test(colour) ? behind(node.parentElement) : colour;
  };
  const [a, b] = [getComputedStyle(tab).color, behind(tab)];
  const [light, dark] = [lit(a), lit(b)].sort((x, y) => y - x);
  return (light + .05) / (dark + .05);
}"""
LINES = """id => {
  const range = document.createRange();
  range.selectNodeContents(document.getElementById(id));
  return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size;
}"""
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


def test_a_photo_and_a_recording_become_a_video_that_plays_and_then_a_dialogue(
    visitor: Window, voice: Path
):
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
    page.wait_for_function("document.querySelector('#video video').currentTime > 0")
    assert page.locator("#v-heard").inner_text() == "Done."
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
    assert download.value.suggested_filename == f"default-{voice.stem}.mp4"
    order = page.evaluate(
        "['video', 'use-seed', 'figures'].map("
        "id => document.getElementById(id).getBoundingClientRect().top)"
    )
    assert order == sorted(order)
    if find_spec(AXE):
        assert barriers(page) == []
    assert ".npz" in page.locator("#motion").inner_text()
    page.click("#use-seed")
    page.wait_for_function("!document.querySelector('#new-seed input').checked")
    seed = page.locator("#seed input").input_value()
    assert f"seed\n{seed}" in figures
    visitor.shoot("create-done-1280-light")
    sees_it_again(visitor, seed)
    makes_a_dialogue(visitor, voice)


def sees_it_again(visitor: Window, seed: str) -> None:
    """What was made is there after a reload, can be used again, compared, packed and deleted."""
    page = visitor.page
    page.reload()
    page.wait_for_selector("#make")
    page.locator("#past-list button").click()
    page.wait_for_selector("#video video")
    assert f"seed\n{seed}" in page.locator("#figures").inner_text()
    page.click("#past-again")
    page.wait_for_selector("#photo img")
    page.wait_for_selector("#make:enabled")
    assert page.locator("#says input:checked").input_value() == "a recording"
    page.wait_for_function("document.querySelector('#plan').innerText.includes('192 px')")
    visitor.shoot("create-again-1280-light")
    with page.expect_download() as download:
        page.click("#past-pack")
        page.locator("#past a[download]").click()
    with zipfile.ZipFile(download.value.path()) as packed:
        assert [Path(name).suffix for name in packed.namelist()] == [".mp4", ".npz", ".json"]
    visitor.show_tab("Compare")
    page.wait_for_function("document.querySelector('#pair-left input').value !== ''")
    page.click("#pair-show")
    for side in ("left", "right"):
        page.wait_for_selector(f"#pair-{side}-video video")
    page.wait_for_function(
        "[...document.querySelectorAll('.v-pair video')].every(video => video.currentTime > 0)"
    )
    visitor.shoot("compare-pair-1280-light")
    visitor.show_tab("Create")
    page.click("#past-delete")
    page.wait_for_selector("#past-list p")


def refused(problem: Problem) -> dict[str, Any]:
    """What a browser is answered."""
    answer = problem.response("1")
    return {"status": answer.status_code, "headers": dict(answer.headers), "body": answer.body}


def makes_a_dialogue(visitor: Window, voice: Path) -> None:
    """Turn by turn, and it is found again after a reload."""
    page = visitor.page
    page.locator("#says label", has_text="a text").click()
    page.wait_for_selector("#text textarea")
    prepare(visitor, DEFAULT_PORTRAIT, "unused", 96)
    page.locator("#says label", has_text="a dialogue").click()
    page.get_by_label("Turn 1 is").wait_for()
    assert page.evaluate(LINES, "hear") == 1
    page.get_by_label("Turn 1 is").select_option("audio")
    page.wait_for_selector(".v-turn-bad")
    assert "no recording yet" in page.locator(".v-turn-wrong").first.inner_text()
    assert page.locator("#make").is_disabled()
    page.get_by_label("Recording of turn 1").set_input_files(voice)
    page.get_by_label("Words of turn 2").fill("Fine, thank you.")
    page.get_by_label("Voice of turn 2").select_option("en-us")
    page.get_by_role("button", name="Delete turn 3").click()
    page.wait_for_function("document.querySelector('#plan').innerText.includes('2 turns')")
    visitor.shoot("turns-1280-light")
    if find_spec(AXE):
        assert barriers(page) == []
    shown = "document.querySelector('#video video')?.src"
    before = page.evaluate(shown)
    page.click("#make")
    page.wait_for_function(f"before => {shown} && {shown} !== before", arg=before)
    played = page.evaluate(PLAYED)
    assert played["seconds"] > Waveform.load(voice).seconds + 0.6 and played["sound"] > 0
    page.reload()
    page.wait_for_selector("#make")
    page.locator("#past-list button").click()
    page.click("#past-again")
    page.wait_for_selector(".v-turn audio")
    page.wait_for_function("document.querySelector('#plan').innerText.includes('2 turns')")
    words = "document.querySelectorAll('.v-turn')[1]?.querySelector('textarea')?.value"
    page.wait_for_function(f"{words} === 'Fine, thank you.'")


def test_what_cannot_be_is_said_and_of_several_faces_one_is_picked(
    browser, studio: Studio, visitor: Window, tmp_path: Path
):
    """One visitor: a photo without a face, then nobody to be heard, then two faces, of which one
    becomes a video that no other visitor sees; then a batch that cannot be, and too large a file.
    """
    photo = tmp_path / "wall.png"
    cv2.imwrite(str(photo), np.full((300, 300, 3), 180, np.uint8))
    page = visitor.page
    give_photo(visitor, photo)
    page.wait_for_selector("#trouble [role=alert]")
    said = page.locator("#trouble").inner_text()
    assert "no face found" in said and "/tmp" not in said
    page.wait_for_function("document.querySelector('#plan').innerText.includes('no face')")
    assert page.locator("#make").is_disabled(), "it could not work"
    visitor.shoot("no-face-1280-light")
    give_photo(visitor, DEFAULT_PORTRAIT)
    page.wait_for_selector("#make:enabled")
    page.locator("#says label", has_text="nothing").click()
    page.wait_for_selector("#make:disabled")
    assert "nobody is heard yet" in page.locator("#plan").inner_text()
    assert page.locator("#trouble").inner_text() == ""
    page.locator("#says label", has_text="a text").click()
    picks_one_of_two_faces(visitor, tmp_path)
    mine = project_folder(studio)
    is_not_anothers(browser, studio)
    tells_what_is_wrong_with_a_batch(visitor, tmp_path)
    leaves_nothing(visitor, studio, mine)


def picks_one_of_two_faces(visitor: Window, tmp_path: Path) -> None:
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
    page.locator("#preset label", has_text="actor").click()
    page.wait_for_function("document.querySelector('#movement input').value === '1.8'")
    page.locator("button.label-wrap", has_text="Picture and quality").click()
    page.locator("#size input").fill("96")
    page.locator("#size input").press("Enter")
    page.click("#make")
    page.wait_for_selector("#video video")
    page.locator("button.label-wrap", has_text="Settings as JSON").click()
    page.wait_for_function("document.querySelector('#settings')?.innerText.includes('face')")
    text = page.locator("#settings").inner_text().replace("\n", "").replace(" ", "")
    assert '"face":"2"' in text
    assert '"expressivity":1.8' in text and '"style":"lively"' in text, "what the actor does"
    assert "/tmp" not in text


def project_folder(studio: Studio) -> Path:
    """Where the latest project's files are: visitors of earlier tests may not have been let go."""
    project = [s.project for s in list(studio.workshop._pages.values()) if s.project][-1]
    assert project is not None and project.cache.folder.exists()
    return project.cache.folder


def is_not_anothers(browser, studio: Studio) -> None:
    with window(browser, studio) as other:
        other.show_tab("Motion editor")
        other.page.wait_for_selector("#curves p")
        assert "Make a video first" in other.page.locator("#curves").inner_text()


def leaves_nothing(visitor: Window, studio: Studio, folder: Path) -> None:
    usual, studio.workshop.grace_s = studio.workshop.grace_s, 0.5
    visitor.page.close()
    deadline = time.monotonic() + 15
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    studio.workshop.grace_s = usual
    assert not folder.exists(), "the files of a visitor who left stay"


def tells_what_is_wrong_with_a_batch(visitor: Window, tmp_path: Path) -> None:
    """Where it is said, and not twice."""
    page = visitor.page
    manifest = tmp_path / "my films.csv"
    manifest.write_text("portrait,text,output\nme.jpg,Hi.,a.mp4\nyou.jpg,Hi.,b.mp4\n")
    visitor.show_tab("Batch")
    page.set_input_files("#batch-files input[type=file]", manifest)
    page.wait_for_selector("#batch-files .file-preview")
    page.click("#batch-start")
    page.wait_for_selector("#batch-status [role=alert]")
    said = page.locator("#batch-status").inner_text()
    assert all(told in said for told in (manifest.name, "row 1", "me.jpg", "row 2", "you.jpg"))
    assert page.locator(".toast-body").count() == 0, "it is said twice"
    told = Problem(413, "the request is larger than 100 MB")
    page.route("**/upload?*", lambda route: route.fulfill(**refused(told)))
    page.set_input_files("#photo input[type=file]", DEFAULT_PORTRAIT)
    page.wait_for_selector(".toast-body")
    assert told.detail in (said := page.locator(".toast-body").inner_text()) and "{" not in said


def test_the_keyboard_is_enough_to_make_a_video_and_stop_it(visitor: Window, studio: Studio):
    page = visitor.page
    page.wait_for_selector("#make:enabled")
    page.locator("#photo button[aria-label='Remove Image']").click()
    page.wait_for_selector("#make:disabled")
    assert "Give a photo" in page.locator("#plan").inner_text()
    page.locator("#examples button").first.focus()
    assert page.evaluate("document.activeElement.ariaLabel") == "default"
    page.keyboard.press("Enter")
    page.wait_for_selector("#make:enabled")
    page.locator("#says input:checked").focus()
    for place in ("TEXTAREA", "make"):
        focused = page.evaluate(FOCUSED)
        for _ in range(60):
            if focused["place"] == place:
                break
            page.keyboard.press("Tab")
            focused = page.evaluate(FOCUSED)
        assert focused == {"place": place, "line": "solid"}, "where one is, is seen"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'cancel'")
    page.wait_for_function("document.querySelector('#v-heard').innerText !== ''")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'make'")
    cancels(visitor, studio)


def cancels(visitor: Window, studio: Studio) -> None:
    """It stops within a second and leaves nothing."""
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


@dataclass
class Tour:
    """What was seen of the tabs, one after the other, in a window: those that it cuts off, what
    axe-core says of each, pictures without words, how far the live page scrolls in its frame, how
    well the name of the chosen tab stands out, and on how many lines a short button's is.
    """

    cut: list[str] = field(default_factory=list)
    barriers: list[str] = field(default_factory=list)
    wordless: list[str] = field(default_factory=list)
    scrolls: int = 0
    lines: int = 0
    contrast: float = 0.0


@pytest.fixture(
    scope="module",
    params=[pytest.param((1280, False), marks=pytest.mark.endurance), (390, True)],
    ids=["light", "dark"],
)
def tour(request: pytest.FixtureRequest, browser, studio: Studio) -> Tour:
    """Through every tab, wide and light, narrow and dark: colours have no size. The wide and light
    ones other tests walk through too, and look at some.
    """
    width, dark = request.param
    shade, seen = "dark" if dark else "light", Tour()
    with window(browser, studio, width, dark) as visitor:
        page = visitor.page
        page.locator("#examples button").nth(3).click()
        page.wait_for_selector("#make:enabled")
        assert page.locator("#faces").is_hidden(), "one face is the photo again"
        for tab in ("Create", "Puppet", "Motion editor", "Compare", "Batch", "Check", "Live"):
            visitor.show_tab(tab)
            page.wait_for_function(SHOWN, arg=tab)
            page.evaluate(DRAWN)
            visitor.shoot(f"{tab.split()[0].lower()}-{width}-{shade}")
            if tab == "Create":  # where the window is narrow, others are in a menu
                seen.contrast = page.evaluate(CONTRAST)
                seen.lines = page.evaluate(LINES, "hear")
            if not page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"):
                seen.cut.append(tab)
            if find_spec(AXE):
                page.evaluate(OPENED)
                page.wait_for_function("!document.querySelector('div.empty[aria-label]')")
                seen.barriers += [f"{tab}: {told}" for told in barriers(page)]
        live = page.frame(url="**/live*")
        assert live is not None
        seen.scrolls = live.evaluate("document.documentElement.scrollHeight - innerHeight")
        if find_spec(AXE):
            seen.barriers += [f"the live page: {told}" for told in barriers(live)]
        seen.wordless = page.evaluate(
            "[...document.querySelectorAll('img:not([alt])')].map(image => image.outerHTML)"
        )
    return seen


def test_every_tab_fits_the_window(tour: Tour, request: pytest.FixtureRequest):
    assert tour.cut == []
    assert tour.wordless == []
    assert tour.contrast >= 4.5
    assert tour.lines == 1
    if "dark" in request.node.name:
        assert tour.scrolls <= 0, "a page within the page scrolls, which fingers hate"


def test_no_tab_shuts_out_who_sees_hears_or_types_otherwise(tour: Tour):
    """What axe-core calls serious or critical, in light and dark, with everything unfolded."""
    pytest.importorskip(AXE, reason="what to judge by is not installed (extra `browser`)")
    assert tour.barriers == []


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
    assert f"{Waveform.load(voice).seconds:.1f} s of video" in str(plan)
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
    video, motion = made[1:3]
    assert [Path(path).suffix for path in (video, motion)] == [".mp4", ".npz"], "paths, no more"
    assert (probe(video).video_seconds or 0) > 0 and len(Motion.load(motion)) > 0
    client.predict(voice="de", api_name="/voice_sample")
    sample = client.predict(voice="de", api_name="/voice_sample")
    written = list(studio.workshop.queue.store.folder.rglob("de.wav"))
    assert len(written) == 1, "what was heard is kept"
    assert Waveform.load(sample).has_speech
    with pytest.raises(Exception, match="no photo yet"):
        client.predict(api_name="/puppet")
