"""Write docs/third-party.md: every locked package with its version, licence, and what it is for.

Licences come from what is installed in this environment (and in the folders of --path, for what is
not); where that says nothing, or less than the files do, SAID_BY_HAND has it with the reason.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import _locks

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "third-party.md"
TOOLS = "dev"
COPYLEFT = re.compile(r"(?<!L)GPL|General Public", re.IGNORECASE)
SAID_BY_HAND = {
    "av": "BSD-3-Clause; wheels carry FFmpeg (LGPL-3.0-or-later), x264 and x265 (GPL-2.0-or-later)",
    "axe-playwright-python": "MIT; carries axe-core (MPL-2.0)",
    "espeakng-loader": "carries espeak-ng (GPL-3.0-or-later)",
    "insightface": "MIT (code alone: its models are for non-commercial research)",
}
"""Package -> what its metadata leaves out. Each is explained in docs/licences.md."""


def licence_of(distribution: Distribution) -> str:
    """What a package's metadata says, as briefly as it says it; `unknown` where it is silent."""
    data = distribution.metadata
    if expressions := data.get_all("License-Expression"):
        return expressions[0]
    classifiers = [c for c in data.get_all("Classifier", []) if c.startswith("License ::")]
    names = [c.rpartition(" :: ")[2] for c in classifiers if c != "License :: OSI Approved"]
    text = "\n".join(data.get_all("License", [])).strip().splitlines()
    return "; ".join(names) or (text[0] if text and len(text[0]) < 80 else "unknown")


def installed(paths: Iterable[str]) -> dict[str, Distribution]:
    """Name -> what is installed here; this environment goes before the folders."""
    found: dict[str, Distribution] = {}
    for distribution in [*distributions(), *distributions(path=list(paths))]:
        found.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution)
    return found


def reach(requirements: Iterable[str], there: dict[str, Distribution]) -> set[str]:
    """Names of all packages that requirements bring along on this machine."""
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(r), "") for r in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in ["", *requirement.extras]:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                needs = there[name].requires or [] if name in there else []
                waiting += [(Requirement(need), wanted) for need in needs]
    return {name for name, _ in seen}


def purposes(there: dict[str, Distribution]) -> dict[str, str]:
    """Name -> `base`, else the extras that bring it, else `tools` for development alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = reach(project["dependencies"], there)
    found = dict.fromkeys(base, "base")
    extras: dict[str, list[str]] = {}
    for extra, requirements in project["optional-dependencies"].items():
        if extra != TOOLS:
            for name in reach(requirements, there) - base:
                extras.setdefault(name, []).append(extra)
    return found | {name: ", ".join(names) for name, names in extras.items()}


def table(there: dict[str, Distribution]) -> tuple[list[str], list[str]]:
    """Lines of the table, and the names of locked packages of which nothing is known here."""
    lines, unknown = [], []
    used = purposes(there)
    for lock in (_locks.MAIN, _locks.CUDA):
        for name, entry in _locks.read_lock(lock.read_text(encoding="utf-8")).items():
            if lock == _locks.CUDA and name not in there:
                licence, use = "NVIDIA's terms, or as the package says", "torch with CUDA"
            elif name in SAID_BY_HAND:
                licence, use = SAID_BY_HAND[name], used.get(name, "tools")
            elif name in there:
                licence, use = licence_of(there[name]), used.get(name, "tools")
            else:
                unknown.append(name)
                continue
            lines.append(f"| {name} | {_locks.version_in(entry)} | {licence} | {use} |")
    return lines, unknown


def main() -> None:
    """Write the table, or say of which packages nothing is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", action="append", default=[], help="a folder of packages to read")
    there = installed(parser.parse_args().path)
    lines, unknown = table(there)
    if unknown:
        sys.exit(f"not installed here, so that their licences are unknown: {' '.join(unknown)}")
    OUT.write_text(
        "# Third-party packages\n\n"
        "Made by `python -m scripts.licences` from the lock and what is installed. *base*: comes "
        "with every installation; names: the extras that bring it; *tools*: development, or other "
        "systems. What copyleft means here: `docs/licences.md`.\n\n"
        "| package | version | licence, as it says itself | for |\n|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
