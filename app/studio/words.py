"""The pages' sentences in other languages: one catalogue a language, by the English sentence.

A page takes the catalogue of its browser's language; words.js puts the sentences in their places.
"""

import json
from functools import cache

from app.render.demo import ASSETS

LANGUAGES = ("de", "es", "fr", "zh")
"""Beside English, in which the pages are written."""
_FOLDER = ASSETS / "studio" / "words"
_SCRIPT = ASSETS / "studio" / "words.js"


def catalogue(language: str) -> dict[str, str]:
    """English sentence -> that of one of LANGUAGES."""
    return json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))


@cache
def script() -> str:
    """The JavaScript of a page that speaks all of the languages."""
    told = json.dumps({language: catalogue(language) for language in LANGUAGES}, ensure_ascii=False)
    safe = told.replace("</", r"<\/")  # it may stand within a page
    return _SCRIPT.read_text(encoding="utf-8").replace("{catalogues}", safe)
