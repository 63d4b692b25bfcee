"""The pages' sentences in other languages: two catalogues a language, by the English sentence.

`words` has what stands in the pages, `said` what the server says while it works: plans, progress,
errors, notices, figures and the entries of drop-downs. A page takes the catalogues of its browser's
language; words.js puts the sentences in their places. In `said`, `{0}` stands for anything, which
may be a sentence of the catalogue itself, and `{#0}` for a number.
"""

import json
import re
from functools import cache

from app.render.demo import ASSETS

LANGUAGES = ("de", "es", "fr", "zh")
"""Beside English, in which the pages are written."""
_FOLDER = ASSETS / "studio"
_SCRIPT = ASSETS / "studio" / "words.js"
_NAMED = re.compile(r"(.*?)( \([\w+-]+\))?")


def catalogue(language: str) -> dict[str, str]:
    """English sentence of the pages -> that of one of LANGUAGES."""
    return _read("words", language)


@cache
def said(language: str) -> dict[str, str]:
    """English sentence of the server -> that of one of LANGUAGES."""
    return _read("said", language)


def _read(name: str, language: str) -> dict[str, str]:
    return json.loads((_FOLDER / name / f"{language}.json").read_text(encoding="utf-8"))


@cache
def shown(entry: str, language: str) -> str:
    """The entry of a drop-down in a language: all of it, or part by part, as voices have them."""
    told = catalogue(language) | said(language)
    if entry in told:
        return told[entry]
    found = _NAMED.fullmatch(entry)
    parts, name = (found[1], found[2] or "") if found else (entry, "")
    return ", ".join(told.get(part, part) for part in parts.split(", ")) + name


@cache
def script() -> str:
    """The JavaScript of a page that speaks all of the languages."""
    text = _SCRIPT.read_text(encoding="utf-8")
    for name, read in (("catalogues", catalogue), ("said", said)):
        told = json.dumps({language: read(language) for language in LANGUAGES}, ensure_ascii=False)
        text = text.replace(f"{{{name}}}", told.replace("</", r"<\/"))  # within a page, too
    return text
