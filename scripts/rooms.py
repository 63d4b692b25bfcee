"""The map of the code: rooms and their arrows, and the way of four things through them.

    scripts/rooms                       # rooms: modules, lines, what they import; circles if any
    scripts/rooms ways                  # a portrait, a voice, a live frame, a batch row, as they go
    scripts/rooms --markdown            # as the page of the docs has it
    scripts/rooms --root OTHER_CHECKOUT # another state of the code, for before and after

A *room* is a folder of a package, or a module on its first floor. An arrow is an import, wherever
in a file it stands; those for type checkers alone are left out. A *way* is what really runs: the
functions of ours between a command and a kernel, taken from the stack when the kernel is entered
(across threads: from where the work was handed over). *Stops* are these functions, *places* the
modules they live in, *climbs* the steps from a room to one that stands above it.
"""

import argparse
import contextlib
import importlib
import io
import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

PACKAGES = ("app", "audio2motion", "motion2video", "weights")
# What a way ends at, by its names of today; --kernel and --block give those of another state.
KERNEL = "motion2video.drawing.layered:LayeredWarp.warp"
BLOCK = "audio2motion.network.attention:Block.step"
LIVE = "app.live.session:LiveSession"


# -- the map -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """One room: its first sentences, how large it is, and the rooms it imports."""

    name: str
    about: str
    modules: int
    lines: int
    arrows: tuple[str, ...]


def room_of(module: str) -> str:
    """`motion2video.media.video` -> `motion2video.media`; a module on the first floor is itself."""
    return ".".join(module.split(".")[:2])


def read_map(root: Path) -> tuple[list[Room], list[list[str]]]:
    """All rooms, top first, and the circles between rooms or modules (there should be none)."""
    import grimp

    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    arrows: dict[str, set[str]] = defaultdict(set)
    edges: dict[str, set[str]] = {}
    files: dict[str, list[Path]] = defaultdict(list)
    for module in graph.modules:
        path = root / (module.replace(".", "/") + ".py")
        path = path if path.is_file() else root / module.replace(".", "/") / "__init__.py"
        files[room_of(module)].append(path)
        edges[module] = set(graph.find_modules_directly_imported_by(module))
        arrows[room_of(module)] |= {room_of(m) for m in edges[module]} - {room_of(module)}
    circles = [c for g in (arrows, edges) for c in _circles(g)]
    rooms = [
        Room(
            name,
            _about(root, name),
            sum(path.name != "__init__.py" for path in paths),
            sum(len(path.read_text().splitlines()) for path in paths),
            tuple(sorted(arrows[name])),
        )
        for name, paths in files.items()
    ]
    depth = _depths(arrows)
    order = {package: i for i, package in enumerate(PACKAGES)}
    rooms.sort(key=lambda r: (order[r.name.split(".")[0]], -depth.get(r.name, 0), r.name))
    return rooms, circles


def _about(root: Path, name: str) -> str:
    import ast

    path = root / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split())


def _depths(arrows: dict[str, set[str]]) -> dict[str, int]:
    """How many floors each room stands above the ground."""
    depth: dict[str, int] = {}

    def of(name: str, above: frozenset[str]) -> int:
        if name not in depth:
            below = arrows.get(name, set()) - above
            depth[name] = 1 + max((of(b, above | {name}) for b in below), default=-1)
        return depth[name]

    for name in list(arrows):
        of(name, frozenset({name}))
    return depth


def _circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted({*edges, *(b for found in edges.values() for b in found)})
    index = {name: i for i, name in enumerate(names)}
    pairs = [(index[a], index[b]) for a, found in edges.items() for b in found]
    if not pairs:
        return []
    rows, columns = np.array(pairs).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
    _, label = connected_components(graph, directed=True, connection="strong")
    groups: dict[int, list[str]] = defaultdict(list)
    for name in names:
        groups[int(label[index[name]])].append(name)
    return [group for group in groups.values() if len(group) > 1]


def as_text(rooms: list[Room], circles: list[list[str]]) -> str:
    """A line a room."""
    width = max(len(r.name) for r in rooms)
    lines = [
        f"{r.name:{width}}  {r.modules:3} modules {r.lines:6} lines  -> {' '.join(r.arrows) or '-'}"
        for r in rooms
    ]
    for package in PACKAGES:
        mine = [r for r in rooms if r.name.split(".")[0] == package]
        total = sum(r.modules for r in mine), sum(r.lines for r in mine)
        lines.append(f"{package:{width}}  {total[0]:3} modules {total[1]:6} lines in all")
    lines.append(f"circles: {len(circles)}" + "".join(f"\n  {' '.join(c)}" for c in circles))
    return "\n".join(lines)


def as_markdown(rooms: list[Room], circles: list[list[str]]) -> str:
    """Two tables a package, as the docs show them."""
    lines = []
    for package in PACKAGES:
        lines += [f"### {package}", "", "| room | what lives there | modules | lines | imports |"]
        lines += ["|---|---|---|---|---|"]
        for r in (r for r in rooms if r.name.split(".")[0] == package):
            to = ", ".join(f"`{a}`" for a in r.arrows) or "nothing of ours"
            about = r.about.replace("|", "\\|")
            lines.append(f"| `{r.name}` | {about} | {r.modules} | {r.lines} | {to} |")
        lines.append("")
    lines.append(f"Circles between rooms or modules: {len(circles)}.")
    return "\n".join(lines)


# -- the ways ------------------------------------------------------------------------------------


@dataclass
class Way:
    """The functions between a command and a kernel, from above."""

    name: str
    stops: list[tuple[str, str]] = field(default_factory=list)

    @property
    def places(self) -> int:
        """Modules on the way."""
        return len({module for module, _ in self.stops})

    def climbs(self, floors: dict[str, int]) -> int:
        """Steps from a room to one above it."""
        at = [floors.get(room_of(module), 0) for module, _ in self.stops]
        return sum(later > earlier for earlier, later in pairwise(at))


class _Handed(threading.local):
    """The stack of whoever handed the work to this thread."""

    stack: tuple[tuple[str, str], ...] = ()


class Tracer:
    """Watches one kernel: keeps the stack of its first call."""

    def __init__(self, root: Path, kernel: str) -> None:
        self._root = os.fspath(root.resolve()) + os.sep
        module, _, path = kernel.partition(":")
        *owners, self._attribute = path.split(".")
        self._owner: Any = importlib.import_module(module)
        for owner in owners:
            self._owner = getattr(self._owner, owner)
        self._kernel = (module, path)
        self._handed = _Handed()
        self.stops: list[tuple[str, str]] = []

    def _ours(self) -> tuple[tuple[str, str], ...]:
        """Functions of ours on this thread's stack, and on those that led to it."""
        found = []
        frame = sys._getframe(2)
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(self._root):
                inside = code.co_filename[len(self._root) :]
                if inside.split(os.sep)[0] in PACKAGES:
                    module = inside.removesuffix(".py").replace(os.sep, ".")
                    found.append((module, code.co_qualname))
            frame = frame.f_back
        return (*self._handed.stack, *reversed(found))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While the block runs, the kernel and every thread pool are watched."""
        kernel, submit = getattr(self._owner, self._attribute), ThreadPoolExecutor.submit
        tracer = self

        def watched(*values: Any, **named: Any) -> Any:
            if not tracer.stops:
                tracer.stops = [*tracer._ours(), tracer._kernel]
            return kernel(*values, **named)

        def handed(pool: Any, work: Callable[..., Any], *values: Any, **named: Any) -> Any:
            stack = tracer._ours()

            def run() -> Any:
                tracer._handed.stack = stack
                return work(*values, **named)

            return submit(pool, run)

        setattr(self._owner, self._attribute, watched)
        ThreadPoolExecutor.submit = handed
        try:
            yield
        finally:
            setattr(self._owner, self._attribute, kernel)
            ThreadPoolExecutor.submit = submit


def walk(root: Path, kernel: str, block: str, live: str) -> list[Way]:
    """Run the four ways in this process, on a photo and a sentence of the project's own."""
    from app.cli import main

    photo = os.fspath(root / "app/assets/portraits/man_1.jpg")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        motion = os.fspath(place / "m.npz")
        rows = place / "rows.jsonl"
        rows.write_text(f'{{"portrait": "{photo}", "motion": "{motion}", "output": "b.mp4"}}\n')
        commands: list[tuple[str, str, Callable[[], Any]]] = [
            (
                "a voice: visavis motion -> the network's block",
                block,
                lambda: main(["motion", "--text", "Hi.", "--out", motion]),
            ),
            (
                "a portrait: visavis render -> the warp",
                kernel,
                lambda: main(
                    [
                        "render",
                        "--portrait",
                        photo,
                        "--motion",
                        motion,
                        "--size",
                        "128",
                        "--out",
                        os.fspath(place / "r.mp4"),
                    ]
                ),
            ),
            (
                "a batch row: visavis batch -> the warp",
                kernel,
                lambda: main(
                    [
                        "batch",
                        os.fspath(rows),
                        "--out",
                        os.fspath(place / "out"),
                        "--workers",
                        "0",
                        "--size",
                        "128",
                    ]
                ),
            ),
            ("a live frame: LiveSession.push -> the warp", kernel, lambda: _converse(live, photo)),
        ]
        ways = []
        for name, target, run in commands:
            tracer = Tracer(root, target)
            quiet = io.StringIO()
            with tracer.watching(), contextlib.redirect_stdout(quiet):
                run()
            ways.append(Way(name, tracer.stops))
    return ways


def _converse(live: str, photo: str) -> None:
    import numpy as np

    from app import Avatar

    module, _, name = live.partition(":")
    avatar = Avatar.load(device="cpu")
    portrait: Any = importlib.import_module("motion2video.portrait").Portrait
    session = getattr(importlib.import_module(module), name)(
        avatar, portrait.load(photo, tracker=avatar.tracker, size=128)
    )
    for _ in range(3):
        session.push(np.zeros(3200, np.float32))
    session.close()


def ways_as_text(ways: list[Way], floors: dict[str, int]) -> str:
    """Each way with its stops, one a line."""
    lines = []
    for way in ways:
        lines.append(
            f"{way.name}: {len(way.stops)} stops, {way.places} places, {way.climbs(floors)} climbs"
        )
        lines += [f"    {module}:{function}" for module, function in way.stops]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="?", default="map", choices=["map", "ways"])
    parser.add_argument("--markdown", action="store_true", help="tables for the docs")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="another checkout")
    parser.add_argument("--kernel", default=KERNEL, help="MODULE:NAME of the warp there")
    parser.add_argument("--block", default=BLOCK, help="MODULE:NAME of the network's block there")
    parser.add_argument("--live", default=LIVE, help="MODULE:NAME of the live session there")
    options = parser.parse_args()
    root = options.root.resolve()
    os.chdir(root)
    sys.path.insert(0, os.fspath(root))
    rooms, circles = read_map(root)
    if options.what == "map":
        print((as_markdown if options.markdown else as_text)(rooms, circles))
        return
    floors = {r.name: len(rooms) - i for i, r in enumerate(rooms)}
    print(ways_as_text(walk(root, options.kernel, options.block, options.live), floors))


if __name__ == "__main__":
    main()
