"""The studio's puppet in a real browser: a video of one's own drives a photo."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from tests.app.studio.studio_server import PLAYED, QUIET, SHOWN, Window, chromium, serve, window

pytestmark = [pytest.mark.browser, *QUIET]


@pytest.fixture
def visitor(avatar: Avatar, tmp_path: Path) -> Iterator[Window]:
    with (
        serve(avatar, tmp_path) as studio,
        chromium() as browser,
        window(browser, studio) as opened,
    ):
        yield opened
        assert opened.faults == []


def test_a_video_drives_a_photo_and_is_used_again_where_it_was_made(visitor: Window, driving: Path):
    page = visitor.page
    visitor.show_tab("Puppet")
    page.wait_for_function(SHOWN, arg="Puppet")
    page.set_input_files("#puppet-photo input[type=file]", DEFAULT_PORTRAIT)
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
    is_made_again_where_it_was_made(visitor, driving)
    page.locator("#puppet-driving-video button[aria-label*='lear']").first.click()
    page.wait_for_function("document.querySelector('#puppet-plan').innerText.includes('no video')")
    assert page.locator("#puppet-make").is_disabled()


def is_made_again_where_it_was_made(visitor: Window, driving: Path) -> None:
    """A result of the puppet is kept as any other, and fills its own screen again."""
    page = visitor.page
    page.reload()
    page.wait_for_selector("#past-list button")
    shown = page.locator("#past-list button")
    assert f"default {driving.stem}" in shown.inner_text()
    assert page.evaluate("document.querySelector('#past-list img').naturalWidth") > 0
    visitor.show_tab("Puppet")
    page.wait_for_function("document.querySelector('#puppet-plan')?.innerText.includes('96 px')")
    page.locator("#puppet-regions label", has_text="all").click()
    page.locator("#puppet-photo button[aria-label='Remove Image']").click()
    page.wait_for_selector("#puppet-make:disabled")
    visitor.show_tab("Create")
    shown.click()
    page.wait_for_selector("#video video")
    assert "frames a second" in page.locator("#figures").inner_text()
    visitor.shoot("create-puppet-1280-light")
    page.click("#past-again")
    page.wait_for_function(SHOWN, arg="Puppet")
    page.wait_for_selector("#puppet-photo img")
    page.wait_for_selector("#puppet-make:enabled")
    assert page.locator("#puppet-regions input:checked").input_value() == "face"
    visitor.shoot("puppet-again-1280-light")
