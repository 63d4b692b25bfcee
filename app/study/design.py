"""Which pairs a rater sees, and on which side: balanced over systems, clips and sides, and blinded.

The files are copied under names that say nothing; who they are of is in `key.json`, which stays
with whoever makes the study and is not part of the page.
"""

import json
import secrets
import shutil
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from app.study.dimensions import DIMENSIONS
from app.study.page import page
from weights.errors import InputError, OutputError
from weights.saving import save_whole

VIDEOS = (".mp4", ".webm")
"""What browsers play."""


@dataclass(frozen=True)
class Trial:
    """One question of a rater: which files are shown at the left and at the right."""

    trial: str
    left: str
    right: str


@dataclass(frozen=True)
class Shown:
    """What a trial shows, for the key: the clip, and both systems."""

    clip: str
    left: str
    right: str


def find_systems(folders: list[Path]) -> dict[str, dict[str, Path]]:
    """The videos of every system by their names; a folder each, with the same names in all.

    Raises InputError for fewer than two systems, two of one name, or names that differ.
    """
    if len(folders) < 2:
        raise InputError("got one system; give two folders or more, of videos with the same names")
    found: dict[str, dict[str, Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"there is no folder {folder}; give a folder of videos for each system"
            )
        name = folder.resolve().name
        if name in found:
            raise InputError(f"got two systems of the name {name}; give their folders other names")
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEOS)
        found[name] = {path.stem: path for path in files}
        if len(found[name]) != len(files):
            raise InputError(f"{folder} has two videos of one name; keep one of them")
    wanted = set(next(iter(found.values())))
    for name, files in found.items():
        if set(files) != wanted or not files:
            lacking = sorted(wanted ^ set(files))[:3]
            raise InputError(
                f"the system {name} has other videos than the first one ({', '.join(lacking)}); "
                "every folder needs videos (.mp4 or .webm) of the same names"
            )
    return found


def plan(
    clips: list[str], systems: list[str], raters: int, each: int, seed: int
) -> list[list[Shown]]:
    """The trials of every rater: `each` of them, or all there are. Every pair of systems on every
    clip is shown equally often, but for one, and within a rater each pair's sides are balanced but
    for one. The order is shuffled.
    """
    rng = np.random.default_rng(seed)
    everything = [(clip, *pair) for clip in clips for pair in combinations(systems, 2)]
    each = min(each, len(everything))
    deck: list[tuple[str, str, str]] = []
    out = []
    for rater in range(raters):
        drawn: list[tuple[str, str, str]] = []
        while len(drawn) < each:
            if not deck:
                deck = [everything[i] for i in rng.permutation(len(everything))]
            at = next((i for i, trial in enumerate(deck) if trial not in drawn), None)
            if at is None:  # what is left over was drawn before the deck was dealt anew
                deck += [everything[i] for i in rng.permutation(len(everything))]
                continue
            drawn.append(deck.pop(at))
        turned: dict[tuple[str, str], int] = {}
        shown = []
        for clip, one, two in drawn:
            count = turned.get((one, two), rater % 2)
            turned[one, two] = count + 1
            left, right = (one, two) if count % 2 == 0 else (two, one)
            shown.append(Shown(clip, left, right))
        out.append([shown[i] for i in rng.permutation(len(shown))])
    return out


def make_study(
    folders: list[Path], out: Path, raters: int = 20, each: int = 20, seed: int = 0, title: str = ""
) -> int:
    """Write the page into `out/page` and the key into `out/key.json`; how many trials a rater has.

    Raises InputError as `find_systems`, OutputError where `out` is there already.
    """
    systems = find_systems(folders)
    if out.exists():
        raise OutputError(f"{out} is there already; give the study a new folder")
    clips = sorted(next(iter(systems.values())))
    trials = plan(clips, list(systems), raters, each, seed)
    folder = out / "page"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    names = {
        (system, clip): f"{secrets.token_hex(6)}{path.suffix.lower()}"
        for system, files in systems.items()
        for clip, path in files.items()
    }
    for (system, clip), name in names.items():
        shutil.copyfile(systems[system][clip], folder / name)
    study = secrets.token_hex(6)
    questions: list[list[dict[str, str]]] = []
    key: dict[str, dict[str, str]] = {}
    for rater, shown in enumerate(trials):
        rows = []
        for number, one in enumerate(shown):
            trial = f"{rater}-{number}"
            key[trial] = asdict(one)
            left, right = (names[side, one.clip] for side in (one.left, one.right))
            rows.append(asdict(Trial(trial, left, right)))
        questions.append(rows)
    html = page(study, title or "Which video is better?", DIMENSIONS, questions)
    save_whole(folder / "index.html", html.encode(), "the page")
    about = {"format": "visavis-study-1", "study": study, "systems": list(systems), "trials": key}
    save_whole(out / "key.json", json.dumps(about, indent=1).encode(), "the key")
    return len(trials[0]) if trials else 0
