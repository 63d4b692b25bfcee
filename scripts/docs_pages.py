"""Pages of the docs that are made at every build (a hook of MkDocs, named in mkdocs.yml).

The map of the rooms and the ways through them come from `scripts.rooms`, the reference from the
rooms' lists of public names, the model cards and the project's own papers from where they lie.
Nothing on the built pages is loaded from another host.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("app", "audio2motion", "motion2video", "weights")
PAPERS = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "reporting.md": "SECURITY.md",
    "cards/terms.md": "weights/LICENSE.md",
    "cards/making.md": "weights/README.md",
}

CARDS = "cards/*.md"  # in mkdocs.yml: every card of weights/
MAP = "# Map of the rooms\n\nPrinted by `scripts/rooms --markdown`.\n\n"
WAYS = """# One frame's way

Printed by `scripts/rooms ways`: the functions that really run between a command and a kernel, from
above. A *place* is a module, a *climb* a step up to a room above.

"""


def on_config(config: MkDocsConfig) -> None:
    """The place for model cards in the list of pages gets those that there are."""
    config.nav = _with_cards(config.nav or [])


def _with_cards(pages: list) -> list:
    found: list = []
    for page in pages:
        if page == CARDS:
            found += [f"cards/{path.name}" for path in cards()]
        elif isinstance(page, dict):
            named = ((n, _with_cards(p) if isinstance(p, list) else p) for n, p in page.items())
            found.append(dict(named))
        else:
            found.append(page)
    return found


def cards() -> list[Path]:
    """The model cards, by name."""
    papers = {Path(name).name for name in PAPERS.values()}
    return sorted(p for p in (ROOT / "weights").glob("*.md") if p.name not in papers)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs asks here which files there are besides those in docs/."""
    for address, text in pages():
        files.append(File.generated(config, address, content=text))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """The theme's script would fetch two parts elsewhere that these pages do not need."""
    for script in Path(config.site_dir, "assets", "javascripts").rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        script.write_text(text.replace("https://unpkg.com/", ""), encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """Address and Markdown of every page that is made."""
    for address, path in PAPERS.items():
        yield address, (ROOT / path).read_text(encoding="utf-8")
    for card in cards():
        yield f"cards/{card.name}", card.read_text(encoding="utf-8")
    for package in PACKAGES:
        yield f"reference/{package}.md", reference(package)
    yield "rooms.md", f"{MAP}{rooms('--markdown')}"
    yield "one-frames-way.md", f"{WAYS}```text\n{rooms('ways')}```\n"


def rooms(*options: str) -> str:
    """What `scripts/rooms` prints; its errors end the build."""
    command = [sys.executable, "-W", "ignore", "-m", "scripts.rooms", *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def reference(package: str) -> str:
    """A page with every public name of a package and its rooms, for mkdocstrings to fill."""
    lines = [f"# {package}", "", f"Public names of `{package}` and its rooms.", ""]
    seen: set[str] = set()
    for folder in sorted({p.parent for p in (ROOT / package).rglob("__init__.py*")}):
        names = [n for n in public_names(folder) if n not in seen]
        seen.update(names)
        if names:
            room = ".".join(folder.relative_to(ROOT).parts)
            lines += [f"## {room} {{ #room-{room.replace('.', '-')} }}", ""]
            lines += [f"::: {name}\n" for name in names]
    return "\n".join(lines)


def public_names(folder: Path) -> list[str]:
    """Where the public names of a room are defined, from its stub or its `__init__`."""
    stub = folder / "__init__.pyi"
    path = stub if stub.exists() else folder / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room = ".".join(folder.relative_to(ROOT).parts)
    found = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
            module = f"{room}.{node.module}" if node.level else node.module
            if re.match(rf"{'|'.join(PACKAGES)}\b", module):
                found += [f"{module}.{alias.name}" for alias in node.names]
    return sorted(found)
