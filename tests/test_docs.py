"""The README and the docs are true of this checkout: commands, options, Python, links, figures."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import pytest

from app.cli.commands import main

ROOT = Path(__file__).resolve().parents[1]
BEFORE = ROOT / "tests" / "golden" / "readme_before.md"
MAKING = ROOT / "weights" / "README.md"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), MAKING]
)
SHELL = "(?:bash|sh|console)"
# Pages that MkDocs makes at every build: scripts/docs_pages.py.
MADE = re.compile(r"(cards|reference)/\w+\.md|(changelog|contributing|reporting|rooms)\.md")


def named(page: Path) -> str:
    """Of a page, among the tests."""
    return str(page.relative_to(ROOT).with_suffix(""))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def lines_of_shell(page: Path) -> Iterator[str]:
    """Commands of a page: in fenced blocks, and whole between backticks."""
    for block in blocks(page, SHELL):
        yield from (line.partition("#")[0] for line in block.replace("\\\n", " ").splitlines())
    plain = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for command in re.findall(r"`([^`]+)`", plain):
        if re.match(r"(\.venv/bin/)?(visavis|python|scripts/\w+|\w+ scripts/\w+)\s", command):
            yield command


def wrong_commands(line: str) -> list[str]:
    """What a command names that is not there: scripts, modules, subcommands and options."""
    wrong = []
    for script in re.findall(r"(?<![\w/.])scripts/[\w./]+\w", line):
        path = ROOT / script
        if not (path.is_file() and (path.suffix == ".py" or os.access(path, os.X_OK))):
            wrong.append(script)
    line = re.sub(r"(?<!\S)scripts/bench (\w+)", r"python -m scripts.benchmarks.\1", line)
    line = re.sub(r"(?<!\S)scripts/rooms(?!\S)", "python -m scripts.rooms", line)
    line = re.sub(r"(?<!\S)scripts/train/all(?!\S)", "python -m scripts.train.chain", line)
    for module, rest in re.findall(r"python -m (scripts\.[\w.]+)(.*)", line):
        if not (ROOT / (module.replace(".", "/") + ".py")).is_file():
            wrong.append(module)
            continue
        source = source_of(module)
        wrong += [f"{module} {o}" for o in options_in(rest) if f'"{o}"' not in source]
    # `(?<!\S)`: not the `visavis` of a path, an image or a folder.
    for words, rest in re.findall(r"(?<!\S)(?:\.venv/bin/)?visavis ((?:[a-z]+ ?)+)(.*)", line):
        known = visavis_help(
            tuple(words.split()[: 2 if words.startswith(("weights ", "data ", "study ")) else 1])
        )
        wrong += [f"visavis {words.strip()} {o}" for o in options_in(rest) if o not in known]
    return wrong


def options_in(text: str) -> list[str]:
    return re.findall(r"(?<=\s)--[a-z][a-z-]*", " " + text.partition(" | ")[0])


@cache
def source_of(module: str) -> str:
    """A script's own text and that of the scripts it imports: there its options are."""
    path = ROOT / (module.replace(".", "/") + ".py")
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^from (scripts\.[\w.]+) import", text, flags=re.M)
    files = (ROOT / (name.replace(".", "/") + ".py") for name in found)
    return text + "".join(f.read_text(encoding="utf-8") for f in files if f.is_file())


@cache
def visavis_help(words: tuple[str, ...]) -> str:
    """`visavis WORDS... --help`, without colours and line breaks inside options."""
    plain = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, plain), redirect_stdout(io.StringIO()) as out:
        assert main([*words, "--help"]) == 0, words
    return out.getvalue()


@pytest.mark.parametrize("page", [*PAGES, BEFORE], ids=named)
def test_every_command_and_option_exists(page: Path):
    wrong = {line: found for line in lines_of_shell(page) if (found := wrong_commands(line))}
    assert wrong == {}


def test_commands_that_are_not_there_are_seen():
    assert wrong_commands("scripts/nothing --json") == ["scripts/nothing"]
    assert wrong_commands("python -m scripts.evaluate.clip a b --sise 3")
    assert wrong_commands("scripts/bench nothing") and wrong_commands("scripts/rooms --markup")
    assert wrong_commands(".venv/bin/visavis render --potrait me.jpg")


@pytest.mark.slow
@pytest.mark.parametrize(
    "pages",
    [PAGES, pytest.param([BEFORE], marks=pytest.mark.endurance)],
    ids=["today", "before"],
)
def test_python_of_every_page_runs(tmp_path: Path, pages: list[Path]):
    """Page after page, from the top of a checkout as a reader would.

    The folder is a copy that only holds links, so what the snippets write does not land here.
    """
    for path in ROOT.iterdir():
        if not path.name.startswith("."):
            (tmp_path / path.name).symlink_to(path)
    scripts = {p: "\n".join(found) for p in pages if (found := blocks(p, "python"))}
    wanted = {BEFORE.name} if pages == [BEFORE] else {"README.md", "python.md"}
    assert wanted <= {p.name for p in scripts}
    # As in other tests espeak-ng speaks: natural voices take seconds.
    code = "import audio2motion.voice.speakers as it\nit.installed = lambda voice: False\n"
    code += "".join(
        f"print({p.name!r}, flush=True)\nexec({c!r}, {{}})\n" for p, c in scripts.items()
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_and_named_file_is_there(page: Path):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(\s*([^)#\s]+)[^)]*\)", text)
    local = [t for t in targets if not re.match(r"[a-z]+:", t)]
    lost = [t for t in local if not (page.parent / t).exists() and not MADE.fullmatch(t)]
    lost = [t for t in lost if t != "one-frames-way.md"]
    folders = "app|audio2motion|motion2video|weights|scripts|tests|docs"
    named = re.findall(rf"`((?:{folders})/[\w./-]+\.\w+)`", text)
    assert lost + [n for n in named if not (ROOT / n).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/measured.md", "docs/batch.md"])
def test_every_figure_stands_beside_its_command(page: str):
    """Tables with a column `command` have one in every row, or the row above's."""
    tables = re.split(r"\n\n", (ROOT / page).read_text(encoding="utf-8"))
    rows = [
        row.strip("|").split("|")[-1].strip()
        for table in tables
        if re.search(r"\| command \|$", table, flags=re.M)
        for row in table.strip().splitlines()[2:]
    ]
    assert rows
    assert [r for r in rows if not re.match(r"`(scripts/|\.venv/bin/)|the same", r)] == []


def test_the_readme_is_short_and_shows_a_small_clip():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    clips = re.findall(r"\((docs/assets/[\w.]+\.(?:webp|gif))\)", text)
    assert [c for c in clips if (ROOT / c).stat().st_size <= 1_500_000] == clips != []


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs the extra docs")
def test_every_page_is_on_the_site():
    """The list of pages in mkdocs.yml has what is in docs/ and what is made, once each."""
    from scripts.docs_pages import CARDS, PACKAGES, PAPERS

    listed = re.findall(r"- (?:[\w ]+: )?([\w/*-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    made = [*PAPERS, CARDS, *(f"reference/{p}.md" for p in PACKAGES)]
    made += ["rooms.md", "one-frames-way.md"]
    assert sorted(listed) == sorted([*made, *(p.name for p in (ROOT / "docs").glob("*.md"))])
    table = (ROOT / "docs" / "model-cards.md").read_text(encoding="utf-8")
    cards = {p.name for p in (ROOT / "weights").glob("*.md")} - {"LICENSE.md", MAKING.name}
    assert cards <= set(re.findall(r"\(cards/(\w+\.md)\)", table))


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs the extra docs")
def test_the_site_asks_no_other_host_for_anything():
    """No fonts, analytics or polyfills from elsewhere, in the theme's own templates and scripts."""
    import material
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"))
    assert config.theme["font"] is False
    assert [u for u in config.extra["polyfills"] if not (ROOT / "docs" / u).is_file()] == []
    # What the theme's script would fetch, scripts/docs_pages.py takes out.
    scripts = (Path(material.__path__[0]) / "templates" / "assets" / "javascripts").glob("*.js")
    hosts = {
        h for s in scripts for h in re.findall(r'"https?://([\w.-]+)/[^"]*\.js"', s.read_text())
    }
    assert hosts <= {"unpkg.com"}
