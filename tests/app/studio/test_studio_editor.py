"""The motion editor and the comparison in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from tests.app.studio.studio_server import QUIET, Studio, chromium, prepare, serve, window

pytestmark = [pytest.mark.browser, *QUIET]


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests here."""
    with chromium() as running:
        yield running


OUTPUT = "document.querySelector('{}').innerText"


@pytest.fixture(scope="module")
def studio(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server for all tests here."""
    with serve(avatar, tmp_path_factory.mktemp("studio")) as running:
        yield running


def test_an_edited_range_alone_is_drawn_again(browser, studio: Studio, avatar: Avatar):
    with window(browser, studio) as visitor:
        page = visitor.page
        prepare(visitor, DEFAULT_PORTRAIT, "Hello there.", 128)
        page.click("#make")
        page.wait_for_selector("#video video")
        page.click("#edit")
        page.wait_for_selector("svg.curves polyline")
        (project,) = [s.project for s in list(studio.workshop._pages.values()) if s.project]
        before = [frame.copy() for _, frame in project.frames(avatar)]
        total = len(before)
        for name, value in (("start", "0.2"), ("end", "0.4")):
            page.locator(f"#edit-{name} input").fill(value)
            page.locator(f"#edit-{name} input").blur()
        page.click("#apply-offset")
        page.wait_for_function(f"{OUTPUT.format('#edit-told')}.includes('To draw: 5')")
        assert page.locator("svg.curves .stale").count() == 1
        visitor.shoot("editor-edited-1280-light")
        page.click("#undo")
        page.wait_for_function(f"!{OUTPUT.format('#edit-told')}.includes('To draw')")
        page.click("#redo")
        page.wait_for_function(f"{OUTPUT.format('#edit-told')}.includes('To draw: 5')")
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
        assert visitor.faults == []


def test_two_settings_are_seen_side_by_side(browser, studio: Studio):
    with window(browser, studio) as visitor:
        page = visitor.page
        prepare(visitor, DEFAULT_PORTRAIT, "Hi.", 96)
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


def test_screenshots_are_no_part_of_the_project():
    ignored = (Path(__file__).parents[3] / ".gitignore").read_text().splitlines()
    assert "/build/" in ignored
