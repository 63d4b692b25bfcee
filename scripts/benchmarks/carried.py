"""Packages for a machine that has PyTorch and no network: packed here as wheels, unpacked there.

Both need the same version of Python, as some packages are compiled.
"""

import sys
import tempfile
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path


def needed(roots: Iterable[str], there: str = "torch") -> list[str]:
    """What these packages need, themselves included, and what is `there` does not bring. Raises
    PackageNotFoundError for one that is not installed.
    """
    return sorted(_closure(roots) - _closure([there]))


def _closure(roots: Iterable[str]) -> set[str]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found, todo = set[str](), [str(canonicalize_name(name)) for name in roots]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for line in metadata.requires(name) or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                todo.append(str(canonicalize_name(wanted.name)))
    return found


def pack(packages: Iterable[str], folder: Path) -> list[Path]:
    """Each as it is installed here, in a wheel of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in packages:
        found = metadata.distribution(name)
        path = folder / f"{name.replace('-', '_')}-{found.version}.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            for file in found.files or ():
                here = Path(str(file.locate()))
                if ".." not in file.parts and here.is_file() and here.suffix != ".pyc":
                    wheel.write(here, file.as_posix())
        made.append(path)
    return made


def unpack(folder: Path) -> Path:
    """Make the wheels of a folder importable; returned is where their files are now."""
    place = Path(tempfile.mkdtemp(prefix="visavis-wheels-"))
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(place)
    sys.path.insert(0, str(place))
    return place
