"""The catalogues of the pages' sentences: complete, and of nothing but what the pages say."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.render.demo import ASSETS
from app.render.knobs import settings
from app.render.request import RenderRequest
from app.studio import words
from app.studio.screens import blocks
from app.studio.workshop import Workshop
from audio2motion.gestures.emotion import EMOTIONS
from tests.app.studio.shop import open_shop
from tests.app.studio.studio_server import QUIET

pytestmark = [*QUIET]

STUDIO = ASSETS / "studio"
_TEXT = re.compile(r">\s*([^<>{}]*[a-z][^<>{}]*?)\s*<")
_SAID = re.compile(r'(?:title|aria-label)="([^"{}]+)"')
NAMES = {"mp4", "webm", "mov", "gif", "webp", "zip"}
"""Choices that are named alike everywhere."""


def seen(config: dict[str, Any], at_first: bool) -> Iterator[str]:
    """What gradio's components say: labels, hints, buttons, and the choices of radio buttons; all
    of them, or those that are seen `at_first`.
    """
    for part in config["components"]:
        kind, told = part["type"], part["props"]
        if kind in ("tabitem", "button", "accordion", "form", "tab"):
            yield from filter(None, (told.get("label"), told.get("value")))
        elif (told.get("visible") is True or not at_first) and kind not in (
            "html",
            "tabs",
            "gallery",
        ):
            yield from filter(None, (told.get("label"), told.get("info")))
            yield from (choice[0] for choice in told.get("choices", ()) if kind == "radio")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The studio's components."""

    async def built(shop: Workshop) -> Any:
        return blocks.build(shop, "/live").get_config_file()

    # Outside a loop gradio makes some of its own and never closes them; this thread may be in one.
    with open_shop(tmp_path_factory.mktemp("shop")) as shop, ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, built(shop)).result()


def test_all_languages_say_the_same_sentences():
    told = {language: words.catalogue(language) for language in words.LANGUAGES}
    keys = set(told["de"])
    for catalogue in told.values():
        assert set(catalogue) == keys
        assert all(sentence.strip() for sentence in catalogue.values())
    files = {path.stem for path in (STUDIO / "words").glob("*.json")}
    assert files == set(words.LANGUAGES)


def test_what_the_components_say_is_in_the_catalogues(config: dict[str, Any]):
    said = {one for one in seen(config, at_first=True) if isinstance(one, str)}
    assert len(said) > 90
    assert said - set(words.catalogue("de")) - set(words.said("de")) - NAMES == set()


def test_what_the_live_page_says_is_in_the_catalogues():
    page = (STUDIO / "live" / "page.html").read_text(encoding="utf-8").partition("<script>")[0]
    page = re.sub(r"<textarea.*?</textarea>", "", page)  # words of the visitor's
    said = {*_TEXT.findall(page), *_SAID.findall(page)}
    assert len(said) > 30
    assert said - set(words.catalogue("de")) == set()


def test_the_catalogues_have_nothing_that_no_page_says(config: dict[str, Any]):
    sources = [*Path(STUDIO).rglob("*.js"), *Path(STUDIO).rglob("*.html")]
    sources += [path for path in (ASSETS.parent / "studio").rglob("*.py")]
    text = " ".join(re.sub(r'"\s+"', "", path.read_text(encoding="utf-8")) for path in sources)
    text = re.sub(r"\s+", " ", text.replace(r"\"", '"'))
    said = {one for one in seen(config, at_first=False) if isinstance(one, str)}
    assert {one for one in words.catalogue("de") if one not in text} - said - {*EMOTIONS} == set()


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_hint_names_choices_as_they_are_shown(language: str):
    """Whoever reads what a choice does has to find it among those that are there."""
    for field in ("quality", "driving_regions", "crop"):
        told = next(one for one in settings(RenderRequest) if one.name == field)
        hint = words.catalogue(language)[told.help].lower()
        for choice in told.choices:
            assert words.shown(choice, language).lower() in hint, (field, choice)


def test_a_script_can_stand_within_a_page():
    script = words.script()
    assert "{catalogues}" not in script and "</" not in script
    told = script.partition("const CATALOGUES = ")[2].partition(";\n")[0]
    assert json.loads(told)["zh"]["Create"] == "制作"
