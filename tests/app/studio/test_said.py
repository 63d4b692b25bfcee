"""What the server says to visitors has its sentence in every language: plans, errors, notices."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.quality.bars import BARS
from app.render.demo import ASSETS
from app.studio import words
from app.studio.screens import markup
from app.studio.screens.form import style_choices, voice_choices
from app.studio.screens.languages import in_language
from audio2motion.gestures.gestures import KINDS

ROOT = ASSETS.parents[1]
HOLE = re.compile(r"\{#?(\d)\}")
SAYING = {
    *("InputError", "MediaError", "FaceError", "LimitError", "BusyError", "FullError"),
    *("NotFoundError", "UnavailableError", "EndpointError"),
    *("fail", "alert", "note", "done", "lacking", "notify", "progress"),
}
MODULES = (
    *("app/studio", "app/intake/allowance.py", "app/intake/visitor_manifest.py"),
    *("app/jobs/table.py", "app/jobs/work.py", "app/render/finish.py", "app/render/layout.py"),
    *("app/render/disclosure.py", "app/render/performance.py", "app/render/voices.py"),
    *("app/render/subtitles.py", "app/render/direction.py", "motion2video/faces/tracker.py"),
    *("audio2motion/hearing/decoding.py", "audio2motion/voice/speakers.py"),
)
TO_PROGRAMS = {
    "the request names no page (session_hash), so it has no files",
    "got a file where none belongs",
    "wanted a list of files that were uploaded here",
    "got a motion without frames; wanted at least one",
    "the output {} is not of the format {}; leave the format out, or let the name end in .{}",
    "cannot write {}: {}",
    "got detector={}; wanted {}",
}
"""Of callers that are no page of ours, or that write to files of their own."""


def template(node: ast.expr) -> str | None:
    """A sentence as it is written, with {} for what is put into it; None where it is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return None


def sentences(path: Path) -> Iterator[str]:
    """What a module says, in the words of the screens."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        said = template(node.args[0]) if name in SAYING else None
        if said and re.search(r"[a-z]{2,} [a-z]", said):
            yield from (line for line in markup.plain(said).splitlines() if line != "{}")


def modules() -> list[Path]:
    found = [ROOT / name for name in MODULES]
    return [path for one in found for path in ([one] if one.suffix else sorted(one.rglob("*.py")))]


def bare(sentence: str) -> str:
    return HOLE.sub("{}", sentence)


def test_all_languages_say_the_same_with_the_same_holes():
    english = set(words.said("de"))
    assert english & set(words.catalogue("de")) == set(), "it is in the other catalogue"
    for language in words.LANGUAGES:
        told = words.said(language)
        assert set(told) == english
        for sentence, said in told.items():
            assert sorted(HOLE.findall(sentence)) == sorted(HOLE.findall(said)), sentence
            assert "#" not in HOLE.sub("", said).replace("#20a060", ""), said


def test_what_the_server_says_is_in_the_catalogues():
    known = {bare(one) for one in (*words.said("de"), *words.catalogue("de"))}
    said = {one for path in modules() for one in sentences(path)}
    assert len(said) > 110
    assert said - known - TO_PROGRAMS == set()


def test_a_sentence_that_is_not_there_is_seen(tmp_path: Path):
    module = tmp_path / "m.py"
    module.write_text('raise InputError(f"the interlocutor has {n} noses; " "give one")')
    assert [*sentences(module)] == ["the other person has {} noses; give one"]


def test_figures_of_the_report_are_in_the_catalogues():
    told = words.said("de")
    assert {bar.name for bar in BARS.values()} - set(told) == set()
    assert {f"{{#0}} {bar.unit}" for bar in BARS.values() if len(bar.unit) > 2} - set(told) == set()


def test_the_catalogues_have_nothing_that_the_server_does_not_say():
    """By the longest piece between two holes; names of voices, edits and places are short."""
    files = [
        path
        for room in ("app", "audio2motion", "motion2video")
        for path in ROOT.joinpath(room).rglob("*.py")
    ]
    text = " ".join(re.sub(r'"\s+f?"', "", path.read_text(encoding="utf-8")) for path in files)
    text = markup.plain(text.replace(r"\"", '"'))
    pieces = {max(HOLE.split(one)[::2], key=len).strip(" :") for one in words.said("de")}
    pieces -= {"picture or video", "video or picture", "sound or video"}  # put together from kinds
    assert {piece for piece in pieces if len(piece) > 12 and piece not in text} == set()


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_entries_of_drop_downs_change_their_words_and_not_their_values(language: str):
    before = [*voice_choices(), *style_choices(), *((kind, kind) for kind in KINDS)]
    after = in_language(before, language)
    assert [value for _, value in after] == [value for _, value in before]
    changed = sum(old != new for (old, _), (new, _) in zip(before, after, strict=True))
    assert changed > len(style_choices()) + len(KINDS) + 20
    assert len({told for told, _ in after}) == len({told for told, _ in before})
