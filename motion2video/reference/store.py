"""Where the files of a family are: in the cache, converted, or in a folder of the user's as they
are.

Light: neither PyTorch nor a network is needed to say what is there.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from motion2video.reference.families import FAMILIES, Family, Part
from weights.errors import InputError, WeightsError
from weights.opening import read_regular
from weights.registry import cache_dir, how_to_fetch
from weights.saving import save_whole

FOLDER_VARIABLE = "VISAVIS_WEIGHTS_DIR"
"""Names a folder with these files, such as ComfyUI's `models`."""
_BASE: tuple[Part, ...] = ("vae", "image_encoder", "taesd")  # the same for every family
_RECORD = "sources.json"
_MOST_RECORD = 1 << 20


@dataclass(frozen=True)
class Record:
    """Where a converted file comes from, written down when it was first fetched: the repository's
    `revision`, the hash and size of the file there, and those of the converted one.
    """

    repository: str
    file: str
    revision: str
    licence: str
    sha256: str
    size: int
    converted_sha256: str
    converted_size: int


@dataclass(frozen=True)
class Found:
    """A part's file; `converted` by a fetch, else as it is published."""

    path: Path
    converted: bool


def family_of(name: str) -> Family:
    """Raises InputError for a name that is none."""
    if name not in FAMILIES:
        raise InputError(f"got the renderer {name!r}; wanted {' or '.join(FAMILIES)}")
    return FAMILIES[name]


def folder_of(family: Family, part: Part) -> Path:
    """Where a converted part is kept; what families share is there once."""
    return cache_dir() / "reference" / ("base" if part in _BASE else family.name)


def converted_path(family: Family, part: Part) -> Path:
    """Where the converted file of a part is, or would be."""
    return folder_of(family, part) / f"{part}.safetensors"


def records(folder: Path) -> dict[str, Record]:
    """Part to what is known of its converted file. Raises WeightsError for a broken list."""
    path = folder / _RECORD
    if not path.exists():
        return {}
    try:
        tables = json.loads(read_regular(path, "list of weights", _MOST_RECORD))
        return {part: Record(**table) for part, table in tables.items()}
    except (ValueError, TypeError, AttributeError, InputError) as error:
        raise WeightsError(
            f"the list of weights {path} is broken; remove it and fetch anew"
        ) from error


def write_record(folder: Path, part: Part, record: Record) -> None:
    """Add a part to the list."""
    known = {name: asdict(one) for name, one in records(folder).items()}
    told = json.dumps({**known, part: asdict(record)}, indent=1)
    save_whole(folder / _RECORD, told.encode(), "the list of weights")


def known_hashes(family: Family) -> dict[str, str]:
    """`family/part` to the SHA-256 of what was fetched; empty for files in a folder of the
    user's.
    """
    return {
        f"{family.name}/{part}": record.sha256
        for part in family.sources
        if (record := records(folder_of(family, part)).get(part)) is not None
    }


def verify_family(family: Family) -> None:
    """Hash every converted file. Raises WeightsError for one that is missing or has changed."""
    for part in family.sources:
        path, known = converted_path(family, part), records(folder_of(family, part)).get(part)
        if known is None or not path.is_file():
            raise WeightsError(f"{path} is not there or not known: {how_to_fetch(family.name)}")
        if sha256_of(path) != known.converted_sha256:
            raise WeightsError(
                f"{path} has changed since it was converted: remove it and "
                f"{how_to_fetch(family.name)}"
            )


def sha256_of(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_folder(given: str | os.PathLike[str] | None) -> Path | None:
    """The folder that is given, else that of the environment. Raises InputError where it is
    none.
    """
    named = given or os.environ.get(FOLDER_VARIABLE)
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_dir():
        raise InputError(f"there is no folder {path} with weights")
    return path


def find_all(family: Family, given: str | os.PathLike[str] | None = None) -> Mapping[Part, Found]:
    """Every part of a family that is on this machine. What a user's folder holds comes first."""
    found: dict[Part, Found] = {}
    for part in family.sources:
        path = converted_path(family, part)
        if path.is_file():
            found[part] = Found(path, converted=True)
    folder = user_folder(given)
    if folder is not None:
        found |= {part: Found(path, False) for part, path in in_folder(family, folder).items()}
    return found


def require_all(
    family: Family, given: str | os.PathLike[str] | None = None
) -> Mapping[Part, Found]:
    """The same. Raises WeightsError when a part is missing that drawing needs."""
    found = find_all(family, given)
    missing = [p for p, source in family.sources.items() if p not in found and not source.optional]
    if "denoising_unet" in found:
        missing = [part for part in missing if part != "motion_module"]  # it may hold them itself
    if missing:
        places = [str(folder_of(family, part)) for part in ("denoising_unet", "vae")]
        folder = user_folder(given)
        looked = ", ".join([*([str(folder)] if folder else []), *places])
        raise WeightsError(
            f"the weights of {family.title} are not on this machine (missing: "
            f"{', '.join(missing)}; looked in {looked}): {how_to_fetch(family.name)}, or name the "
            f"folder that has them with --weights-dir or {FOLDER_VARIABLE}"
        )
    return found


def in_folder(family: Family, folder: Path) -> dict[Part, Path]:
    """The parts of a family somewhere below a folder, under their usual names.

    Several families call their files alike; those of one lie side by side, and its pose guider says
    whose they are.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found: dict[Part, Path] = {}
    for part in _BASE:
        source = family.sources[part]
        for name in _usual(source.repository, source.file, source.names):
            match = next((p for p in files if f"/{p.as_posix()}".endswith(f"/{name}")), None)
            if match is not None:
                found[part] = match
                break
    own: list[Part] = [part for part in family.sources if part not in _BASE]
    names: dict[Part, tuple[str, ...]] = {
        part: (family.sources[part].file, *family.sources[part].names) for part in own
    }
    for guider in (path for path in files if path.name in names["pose_guider"]):
        if _is_of(family, guider):
            beside = {path.name: path for path in files if path.parent == guider.parent}
            for part in own:
                for name in names[part]:
                    if name in beside:
                        found.setdefault(part, beside[name])
            break
    return found


def _usual(repository: str, file: str, names: tuple[str, ...]) -> Iterator[str]:
    """Ends of the paths under which a file is kept; a bare name that many files have is none."""
    yield f"{repository}/{file}"
    yield f"{repository.split('/')[-1]}/{file}"
    yield from names
    if "/" in file:
        yield file


def _is_of(family: Family, guider: Path) -> bool:
    """Whether a pose guider's file has the tensors of a family's."""
    from motion2video.reference.keys import guider_keys
    from motion2video.reference.reading import shapes_in

    return shapes_in(guider) == guider_keys(family.shapes.guider, family.shapes.unet)
