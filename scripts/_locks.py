"""Lock files, the sha256 of every file that may be installed: write them, or pick packages out.

requirements.lock holds what PyPI has, requirements-cuda.lock what torch's default build on Linux
needs beside it, and requirements-cpu.lock the CPU builds of torch, which only PyTorch's index has.
`uv pip install --constraints` checks them all; pip needs lines picked out (`pick`). Standard
library only: scripts/_setup.sh runs it before anything is installed.
"""

import argparse
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAIN, CPU, CUDA = (
    ROOT / name for name in ("requirements.lock", "requirements-cpu.lock", "requirements-cuda.lock")
)
TORCH_INDEX = "https://download.pytorch.org/whl/cpu/torch/"
TORCH_PYTHONS = ("cp311", "cp312", "cp313")
TORCH_MACHINES = ("x86_64", "aarch64")
UNWANTED = {"opencv-python"}  # as overrides.txt has it

_MADE = "# Made by scripts/update_constraints: do not edit."
_PIN = re.compile(r"([a-z0-9-]+)==([^\s;\\]+)")
_FOR_CUDA = re.compile(r"nvidia-|cuda-|triton$")
_LINK = re.compile(r"""href=["']([^"'#]+)#sha256=([0-9a-f]{64})""")


def read_lock(text: str) -> dict[str, str]:
    """Name -> its entry: `name==version ; marker`, then a line for each hash."""
    entries: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if match := _PIN.match(line):
            name = match[1]
            entries[name] = line + "\n"
        elif line.startswith(" ") and name:
            entries[name] += line + "\n"
    return entries


def version_in(entry: str) -> str:
    """The version that an entry pins."""
    match = _PIN.match(entry)
    assert match is not None, entry
    return match[2]


def without_hashes(entry: str) -> str:
    """An entry's first line as constraints.txt has it."""
    return entry.partition("\n")[0].rstrip("\\ ") + "\n"


def pick(wanted: Mapping[str, str | None], locks: Iterable[Path]) -> tuple[str, list[str]]:
    """The entries of packages (name -> version, None = whichever), and those that no lock holds."""
    found: dict[str, str] = {}
    for lock in locks:
        for name, entry in read_lock(lock.read_text(encoding="utf-8")).items():
            if name in wanted and wanted[name] in (None, version_in(entry)):
                found[name] = entry
    missing = [
        f"{name}=={version}" if version else name
        for name, version in wanted.items()
        if name not in found
    ]
    return "".join(found[name] for name in sorted(found)), missing


def report_of_pip(path: Path) -> dict[str, str | None]:
    """Name -> version of what `pip install --dry-run --report` would install, less ourselves."""
    report = json.loads(path.read_text(encoding="utf-8"))
    wanted: dict[str, str | None] = {}
    for item in report["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        if name != "visavis" and name not in UNWANTED:
            wanted[name] = item["metadata"]["version"]
    return wanted


def cpu_hashes(page: str, version: str) -> dict[str, str]:
    """File name -> sha256 of torch's CPU builds for Linux on the page of PyTorch's index."""
    found = {}
    for address, digest in _LINK.findall(page):
        name = urllib.parse.unquote(address.rpartition("/")[2])
        parts = name.removesuffix(".whl").split("-")
        known = len(parts) == 5 and parts[2] in TORCH_PYTHONS
        if known and parts[1] == f"{version}+cpu" and parts[4].endswith(TORCH_MACHINES):
            found[name] = digest
    return found


def cpu_lock(version: str, digests: Iterable[str]) -> str:
    """The text of requirements-cpu.lock."""
    lines = [f"torch=={version}+cpu ; sys_platform == 'linux'"]
    lines += [f"    --hash=sha256:{digest}" for digest in sorted(digests)]
    return (
        f"{_MADE} torch's CPU builds for CPython 3.11 to 3.13 on x86-64\n"
        "# and ARM, as PyTorch's index has them. Elsewhere the build of requirements.lock is it.\n"
    ) + (" \\\n".join(lines) + "\n")


def write_cpu_lock(version: str) -> None:
    """Ask PyTorch's index; where it is out of reach, what is known of this very version stays."""
    try:
        with urllib.request.urlopen(TORCH_INDEX, timeout=30) as answer:
            digests = cpu_hashes(answer.read().decode("utf-8"), version)
        if len(digests) != len(TORCH_PYTHONS) * len(TORCH_MACHINES):
            sys.exit(f"{TORCH_INDEX} names {len(digests)} CPU builds of torch {version}; wanted 6")
        CPU.write_text(cpu_lock(version, digests.values()), encoding="utf-8")
    except (urllib.error.URLError, TimeoutError) as error:
        known = read_lock(CPU.read_text(encoding="utf-8")) if CPU.exists() else {}
        if "torch" in known and version_in(known["torch"]) == f"{version}+cpu":
            print(f"{TORCH_INDEX} is out of reach ({error}): {CPU.name} stays", file=sys.stderr)
        else:
            sys.exit(
                f"{TORCH_INDEX} is out of reach ({error}), so that no hash is known of the CPU "
                f"builds of torch {version}: run this where it can be reached"
            )


def write(compiled: str) -> None:
    """Write constraints.txt and the locks from the output of `uv pip compile --generate-hashes`."""
    entries = read_lock(compiled)
    kept = {n: e for n, e in entries.items() if "sys_platform == 'never'" not in e}
    if bare := [name for name, entry in kept.items() if "--hash=" not in entry]:
        sys.exit(f"no hash is known of {', '.join(bare)}")
    write_cpu_lock(version_in(kept["torch"]))
    cuda = {name: entry for name, entry in kept.items() if _FOR_CUDA.match(name)}
    main = {name: entry for name, entry in kept.items() if name not in cuda}
    (ROOT / "constraints.txt").write_text(
        f"{_MADE} The versions that are tested together.\n"
        "# torch's pin fits its CPU and its CUDA builds; what a CUDA build needs, it pins itself.\n"
        + "".join(map(without_hashes, main.values())),
        encoding="utf-8",
    )
    MAIN.write_text(
        f"{_MADE} constraints.txt with the sha256 of every file.\n" + "".join(main.values()),
        encoding="utf-8",
    )
    CUDA.write_text(
        f"{_MADE} What torch's default build on Linux needs more.\n" + "".join(cuda.values()),
        encoding="utf-8",
    )


def main() -> None:
    """`pick NAME...`, `pick --report FILE --missing FILE`, or `write COMPILED`."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    picking = commands.add_parser("pick")
    picking.add_argument("names", nargs="*")
    picking.add_argument("--report", type=Path)
    picking.add_argument("--missing", type=Path)
    commands.add_parser("write").add_argument("compiled", type=Path)
    options = parser.parse_args()
    if options.command == "write":
        write(options.compiled.read_text(encoding="utf-8"))
        return
    wanted: dict[str, str | None] = dict.fromkeys(options.names)
    if options.report:
        wanted |= report_of_pip(options.report)
    text, missing = pick(wanted, [MAIN, CUDA, CPU])
    if options.missing:
        options.missing.write_text("".join(f"{pin}\n" for pin in missing), encoding="utf-8")
    elif missing:
        sys.exit(f"no lock holds {', '.join(missing)}")
    print(text, end="")


if __name__ == "__main__":
    main()
