"""A tab of the studio that is opened, in whatever language, loaded anew, copied and closed, and the
motion editor and the comparison, in a real browser.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from app.intake.sandbox import Check
from app.jobs.errand import Errand
from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from audio2motion.voice.synthesis import synthesize
from tests.app.studio.studio_server import (
    QUIET,
    SHOTS,
    Studio,
    Window,
    chromium,
    give_photo,
    serve,
    window,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, *QUIET]

TOP_AND_BOTTOM = """() => {
  const photo = document.querySelector('#photo img'), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [photo.naturalWidth, photo.naturalHeight];
  const brush = canvas.getContext('2d', {willReadFrequently: true});
  brush.drawImage(photo, 0, 0);
  const mean = (y) => {
    const {data} = brush.getImageData(0.4 * canvas.width, y * canvas.height, 0.2 * canvas.width, 8);
    return data.reduce((sum, value) => sum + value, 0) / data.length;
  };
  return [mean(0.2), mean(0.96)];
}"""
COPIED = """name => {
  if (sessionStorage.getItem('copied')) return;
  sessionStorage.setItem('copied', 'yes');
  sessionStorage.setItem('visavis-tab', name);
}"""


@pytest.fixture(scope="module")
def studio(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with serve(avatar, tmp_path_factory.mktemp("studio")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of a voice."""
    said = synthesize("This is a text that takes its time. " * 2)
    return said.save(tmp_path_factory.mktemp("voice") / "talk.wav")


@pytest.fixture
def visitor(browser, studio: Studio) -> Iterator[Window]:
    with window(browser, studio) as opened:
        yield opened
        assert opened.faults == []


def begin(visitor: Window, talk: Path, size: int) -> None:
    """Make a video of a photo and a recording, until frames of it are seen."""
    page = visitor.page
    give_photo(visitor, DEFAULT_PORTRAIT)
    page.locator("#preset label", has_text="lively").click()
    page.locator("#says label", has_text="a recording").click()
    page.set_input_files("#agent-audio input[type=file]", talk)
    page.locator("button.label-wrap", has_text="Picture and quality").click()
    page.locator("#size input").fill(str(size))
    page.locator("#size input").press("Enter")
    page.wait_for_function(f"document.querySelector('#plan').innerText.includes('up to {size} px')")
    page.wait_for_selector("#make:enabled")
    page.click("#make")
    page.wait_for_selector(".v-look")


def busy(studio: Studio) -> list[Errand]:
    """What is being made for anybody."""
    pages = list(studio.workshop._pages.values())
    return [errand for page in pages for errand in page.errands if not errand.ended]


TOLD = "document.querySelector('#edit-told').innerText"
FITS = "document.documentElement.scrollWidth <= innerWidth + 1"


def says_in_german(page: "Page"):
    """What the server says there: a plan, entries of drop-downs, errors."""
    assert "Speicher" in page.locator("#plan").inner_text()
    page.wait_for_function("document.querySelector('#voice input').value.includes('Frau (heart)')")
    for english, german in (
        ("me.jpg: it is no picture", "me.jpg: sie ist kein Bild"),
        (
            "rendering: frame 3 of 9 · 20.1 frames/s · 2 s left",
            "zeichnet: Bild 3 von 9 · 20.1 Bilder/s · noch 2 s",
        ),
        (
            "turn 2: got the pause 9; wanted 0 to 5 seconds",
            "Beitrag 2: Pause 9; erwartet 0 bis 5 Sekunden",
        ),
        ("what nobody has translated: 3", "what nobody has translated: 3"),
    ):
        assert page.evaluate("sentence => visavisWords(sentence)", english) == german
    page.locator("#says label", has_text="nichts").click()
    page.wait_for_selector("#make:disabled")
    page.wait_for_function(
        "document.querySelector('#plan').innerText.includes('noch ist niemand zu hören')"
    )
    page.locator("#says label", has_text="ein Text").click()
    page.wait_for_selector("#make:enabled")


@pytest.mark.parametrize(
    ("language", "width", "make", "start"),
    [
        ("de-AT", 1280, "Video erstellen", "Gespräch beginnen"),
        pytest.param(
            "de", 390, "Video erstellen", "Gespräch beginnen", marks=pytest.mark.endurance
        ),
        pytest.param("zh-CN", 390, "生成视频", "开始对话", marks=pytest.mark.endurance),
        pytest.param("zh-CN", 1280, "生成视频", "开始对话", marks=pytest.mark.endurance),
        pytest.param(
            "ar", 1280, "Make the video", "Start the conversation", marks=pytest.mark.endurance
        ),
    ],
)
def test_the_pages_speak_the_browsers_language(
    browser, studio: Studio, language: str, width: int, make: str, start: str
):
    """Right to left is no language of ours: such a browser is spoken to in English."""
    with window(browser, studio, width, language=language) as visitor:
        page = visitor.page
        page.wait_for_selector("#make:enabled")
        assert page.locator("#make").inner_text() == make
        if language != "ar":
            assert page.evaluate("document.documentElement.lang")[:2] == language[:2]
        assert page.evaluate(FITS)
        if language == "de-AT":
            says_in_german(page)
        visitor.shoot(f"create-{width}-{language}")
        live = page.context.new_page()
        live.goto(f"{studio.url}/live")
        live.wait_for_function(
            "wanted => document.querySelector('#connect').textContent === wanted", arg=start
        )
        assert live.locator("#emotion").input_value() == "neutral", "what is sent stays English"
        assert live.evaluate(FITS)
        live.screenshot(path=SHOTS / f"live-{width}-{language}.png", full_page=True)
        assert visitor.faults == []


def shows_what_it_makes(visitor: Window) -> None:
    """The first screen can work at once, and plays an example."""
    page = visitor.page
    page.wait_for_selector("#make:enabled")
    assert "s of video" in page.locator("#plan").inner_text()
    assert page.locator("#photo img").is_visible()
    assert page.locator("#make").inner_text() == "Make the video"
    shown = "document.querySelector('#example video')"
    page.wait_for_function(f"{shown}.readyState > 0")
    assert page.evaluate(f"[{shown}.videoWidth, {shown}.paused]") == [384, True]
    visitor.shoot("create-opened-1280-light")


def test_a_reload_loses_neither_what_was_filled_in_nor_the_video_under_way_which_is_edited(
    visitor: Window,
    studio: Studio,
    avatar: Avatar,
    talk: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    page = visitor.page
    shows_what_it_makes(visitor)
    page.locator("#text textarea").fill("Words for later.")
    begin(visitor, talk, 96)
    (errand,) = busy(studio)
    page.reload()
    page.wait_for_selector(".v-run, #video video")
    assert not errand.ended or errand.state == "succeeded"
    page.wait_for_selector("#photo img")
    assert page.locator("#says input:checked").input_value() == "a recording"
    assert page.locator("#preset input:checked").input_value() == "lively"
    page.wait_for_selector("#video video")
    page.wait_for_selector("#make:enabled")
    assert busy(studio) == []
    page.wait_for_function("document.querySelectorAll('#past-list button').length === 1")
    assert page.locator("#example").is_hidden(), "their own is in its place"
    edits_a_range(visitor, studio, avatar)
    shows_two_settings_side_by_side(visitor)
    page.reload()
    page.wait_for_selector("#video video")
    page.locator("#says label", has_text="a text").click()
    assert page.locator("#text textarea").input_value() == "Words for later."
    opens_the_edited_one(visitor)
    page.locator("#past-list button").last.click()
    page.wait_for_selector("#past-list button:last-child[aria-pressed=true]")
    page.wait_for_selector("#past-edit:enabled")
    opens_an_old_one_across_a_reload(visitor, studio, monkeypatch)


def opens_the_edited_one(visitor: Window) -> None:
    """What was edited is among their videos: beside others, and again in the editor."""
    page = visitor.page
    listed = page.locator("#past-list button")
    assert listed.count() == 2 and "edited" in listed.first.inner_text()
    visitor.show_tab("Compare")
    page.wait_for_function("document.querySelector('#pair-left input').value !== ''")
    names = [page.locator(f"#pair-{side} input").input_value() for side in ("left", "right")]
    assert "edited" not in names[0] and "edited" in names[1]
    page.click("#pair-show")
    for side in ("left", "right"):
        page.wait_for_selector(f"#pair-{side}-video video")
    visitor.show_tab("Create")
    listed.first.click()
    page.wait_for_selector("#past-edit:enabled")
    page.locator("button.label-wrap", has_text="Settings as JSON").click()
    page.wait_for_function("document.querySelector('#settings')?.innerText.includes('head yaw')")
    page.click("#past-again")
    page.wait_for_function("document.querySelector('#edit-told')?.innerText.includes('head yaw')")
    assert page.locator("#curves").is_visible(), "its screen is the editor"
    visitor.show_tab("Create")


def opens_an_old_one_across_a_reload(
    visitor: Window, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To be edited: it is neither given up while it is opened nor lost afterwards."""
    page, going_on = visitor.page, threading.Event()
    there = studio.workshop.avatar

    def held(check: Check | None = None) -> Avatar:
        assert going_on.wait(180)
        return there(check)

    monkeypatch.setattr(studio.workshop, "avatar", held)
    page.click("#past-edit")
    page.wait_for_selector("#status .v-run")
    page.reload()
    page.wait_for_selector("#status .v-run")
    going_on.set()
    page.wait_for_selector("svg.curves polyline")
    assert "kept as they are: 0" in page.locator("#edit-told").inner_text()
    page.reload()
    page.wait_for_selector("#make:enabled")
    assert page.locator("#curves").is_hidden(), "it is opened once"
    visitor.show_tab("Motion editor")
    page.wait_for_selector("svg.curves polyline")


def edits_a_range(visitor: Window, studio: Studio, avatar: Avatar) -> None:
    """Of the video that was just made, that range alone is drawn again."""
    page = visitor.page
    page.click("#edit")
    page.wait_for_selector("svg.curves polyline")
    # The latest: visitors of earlier tests may not have been let go yet.
    project = [s.project for s in list(studio.workshop._pages.values()) if s.project][-1]
    before = [frame.copy() for _, frame in project.frames(avatar)]
    total = len(before)
    for name, value in (("start", "0.2"), ("end", "0.4")):
        page.locator(f"#edit-{name} input").fill(value)
        page.locator(f"#edit-{name} input").blur()
    page.click("#apply-offset")
    page.wait_for_function(f"{TOLD}.includes('To draw: 5')")
    assert page.locator("svg.curves .stale").count() == 1
    visitor.shoot("editor-edited-1280-light")
    page.click("#undo")
    page.wait_for_function(f"!{TOLD}.includes('To draw')")
    page.click("#redo")
    page.wait_for_function(f"{TOLD}.includes('To draw: 5')")
    page.click("#render-edit")
    page.wait_for_selector("#edit-video video")
    said = page.locator("#edit-status").inner_text()
    assert f"5 frames drawn anew, {total - 5} kept as they were" in said
    after = [frame for _, frame in project.frames(avatar)]
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [not 5 <= i < 10 for i in range(total)]
    page.evaluate("window.scrollTo(0, 0)")
    box = page.locator("svg.curves").bounding_box()
    assert box is not None
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 0.2 * box["width"], y, steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('#edit-end input').value > 0.41")
    page.locator("#edit-end input").fill("9")
    page.locator("#edit-start input").fill("8")
    page.locator("#edit-start input").blur()
    page.click("#apply-scale")
    page.wait_for_selector("#scale-wrong [role=alert]")
    assert "no frame lies between 8 and 9 s" in page.locator("#scale-wrong").inner_text()
    assert page.locator(".toast-body").count() == 0, "it is said twice"
    page.locator("#edit-start input").fill("0")
    page.locator("#edit-start input").blur()
    page.click("#apply-scale")
    page.wait_for_selector("#scale-wrong [role=alert]", state="detached")
    page.reload()
    page.wait_for_selector("#make")
    visitor.show_tab("Motion editor")
    page.wait_for_selector("#edit-video video")
    assert "5 frames drawn anew" in page.locator("#edit-status").inner_text()
    page.wait_for_selector("svg.curves polyline")


def shows_two_settings_side_by_side(visitor: Window) -> None:
    """Of the photo and the words that are there."""
    page = visitor.page
    visitor.show_tab("Create")
    page.locator("#says label", has_text="a text").click()
    page.wait_for_selector("#text textarea")
    visitor.show_tab("Compare")
    page.get_by_label("Seed, left").fill("7")
    page.click("#compare-make")
    page.wait_for_selector("#compare-status .v-run")
    page.reload()
    page.wait_for_selector("#make")
    visitor.show_tab("Compare")
    page.wait_for_selector("#compare-video video")
    assert page.get_by_label("Seed, left").input_value() == "7"
    page.wait_for_function("document.querySelector('#compare-video video').videoWidth > 0")
    video = "document.querySelector('#compare-video video')"
    assert page.evaluate(f"[{video}.videoWidth, {video}.videoHeight]") == [192, 96]
    visitor.shoot("compare-done-1280-light")


@pytest.mark.parametrize(("quarters", "said"), [(1, "a quarter to the right"), (2, "upside down")])
def test_a_photo_that_is_not_upright_is_turned(
    visitor: Window, tmp_path: Path, quarters: int, said: str
):
    page, photo = visitor.page, tmp_path / "sideways.png"
    upright = cv2.imread(str(DEFAULT_PORTRAIT))
    assert upright is not None
    cv2.imwrite(str(photo), cv2.resize(np.rot90(upright, quarters), (400, 400)))
    give_photo(visitor, photo)
    page.wait_for_selector("#turn")
    assert said in page.locator("#trouble").inner_text()
    page.wait_for_function("document.querySelector('#plan').innerText.includes('beside it')")
    assert page.locator("#make").is_disabled(), "it could not work"
    visitor.shoot(f"turned-{quarters}-1280-light")
    page.click("#turn")
    page.wait_for_selector("#turn", state="hidden")
    page.wait_for_selector("#make:enabled")
    assert page.locator("#trouble").inner_text() == ""
    photo = "document.querySelector('#photo img')"
    page.wait_for_function(f"{photo}.naturalWidth > 0")
    brightness = page.evaluate(TOP_AND_BOTTOM)
    assert brightness[0] < brightness[1], "hair above, a white collar below"


@pytest.mark.endurance
def test_a_copy_of_a_tab_is_a_page_of_its_own(visitor: Window, studio: Studio):
    page = visitor.page
    page.wait_for_selector("#make:enabled")
    name = page.evaluate("sessionStorage.getItem('visavis-tab')")
    copy = page.context.new_page()
    copy.add_init_script(f"({COPIED})('{name}')")
    copy.goto(page.url)
    copy.wait_for_selector("#make:enabled")
    names = {one.tab for one in list(studio.workshop._pages.values())}
    other = copy.evaluate("sessionStorage.getItem('visavis-tab')")
    assert other != name
    assert {name, other} <= names


@pytest.mark.endurance
def test_a_closed_tab_ends_its_video(visitor: Window, studio: Studio, talk: Path):
    begin(visitor, talk, 512)
    (errand,) = busy(studio)
    studio.workshop.grace_s = 0.5
    visitor.page.close()
    deadline = time.monotonic() + 20
    while busy(studio) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert errand.state == "cancelled"


def test_screenshots_are_no_part_of_the_project():
    ignored = (Path(__file__).parents[3] / ".gitignore").read_text().splitlines()
    assert "/build/" in ignored
