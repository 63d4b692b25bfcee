"""A tab of the studio that is loaded anew, in a real browser: nothing of it is lost."""

import time
from collections.abc import Iterator

import pytest

from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from tests.app.studio.studio_server import (
    QUIET,
    Studio,
    Window,
    chromium,
    prepare,
    serve,
    window,
)

pytestmark = [pytest.mark.browser, *QUIET]

LONG = "This is a rather long text that takes its time. " * 4


@pytest.fixture(scope="module")
def studio(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with serve(avatar, tmp_path_factory.mktemp("studio")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def visitor(browser, studio: Studio) -> Iterator[Window]:
    with window(browser, studio) as opened:
        yield opened
        assert opened.faults == []


def busy(studio: Studio) -> list[object]:
    """What is being made for anybody."""
    pages = list(studio.workshop._pages.values())
    return [errand for page in pages for errand in page.errands if not errand.ended]


def test_a_reload_loses_neither_photo_nor_text_nor_the_video_under_way(
    visitor: Window, studio: Studio
):
    page = visitor.page
    prepare(visitor, DEFAULT_PORTRAIT, LONG, 128)
    page.locator("#preset label", has_text="lively").click()
    page.locator("#voice input").fill("en-us")
    page.locator("#voice input").press("Enter")
    page.click("#make")
    page.wait_for_selector(".v-look")
    (errand,) = busy(studio)
    page.reload()
    page.wait_for_selector(".v-run")
    assert busy(studio) == [errand], "it goes on, and is not begun anew"
    page.wait_for_selector("#photo img")
    page.wait_for_selector("#cancel:enabled")
    assert page.locator("#make").is_disabled()
    assert page.locator("#text textarea").input_value() == LONG
    assert page.locator("#preset input:checked").input_value() == "lively"
    visitor.shoot("reload-rendering-1280-light")
    page.wait_for_selector("#video video")
    page.wait_for_function("document.querySelector('#v-heard').innerText === 'Done.'")
    page.wait_for_selector("#make:enabled")
    page.wait_for_selector("#past-list button")
    page.reload()
    page.wait_for_selector("#video video")
    page.wait_for_selector("#edit:enabled")
    assert page.locator("#past-list button").count() == 1


def test_a_copy_of_a_tab_is_a_page_of_its_own(visitor: Window, studio: Studio):
    page = visitor.page
    prepare(visitor, DEFAULT_PORTRAIT, "Mine.", 96)
    page.wait_for_function("document.querySelector('#plan').innerText.includes('96 px')")
    name = page.evaluate("sessionStorage.getItem('visavis-tab')")
    copy = page.context.new_page()
    copy.add_init_script(
        f"sessionStorage.getItem('n') || sessionStorage.setItem('n', 1);"
        f"sessionStorage.getItem('visavis-tab') || "
        f"sessionStorage.setItem('visavis-tab', '{name}')"
    )
    copy.goto(page.url)
    copy.wait_for_selector("#make")
    copy.wait_for_function(f"sessionStorage.getItem('visavis-tab') !== '{name}'")
    page.locator("#text textarea").fill("Still mine.")
    page.click("#make")
    page.wait_for_selector("#video video")
    assert copy.locator("#text textarea").input_value() != "Mine."


def test_a_closed_tab_ends_its_video(visitor: Window, studio: Studio):
    page = visitor.page
    prepare(visitor, DEFAULT_PORTRAIT, LONG, 256)
    page.click("#make")
    page.wait_for_selector(".v-look")
    (errand,) = busy(studio)
    studio.workshop.grace_s = 0.5
    page.close()
    deadline = time.monotonic() + 20
    while busy(studio) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert errand.state == "cancelled"
