"""The files of Seamless Interaction (arXiv 2506.22554), wherever they are: names, tars, pairs.

    ROOT/LABEL/SPLIT/BATCH/ARCHIVE/ID.{wav,mp4,npz,json}     or ROOT/LABEL/SPLIT/BATCH/ARCHIVE.tar
    ID = V<vendor>_S<session>_I<interaction>_P<participant>, of some with an A at its end

The two of an interaction have the same V, S and I, and are in different tars for nearly all pairs.
Numbers of sessions and participants are given anew by each vendor. ROOT is a folder or an address
that fsspec knows; of a tar only the headers are read, and what is asked for.
"""

import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from app.batch.storage import (
    fetch,
    is_remote,
    list_files,
    read_range,
    reading,
    resolve,
    size,
    stamp,
)
from app.dataset.layout import key_of
from app.dataset.recordings import Place, Recording
from weights.errors import InputError, MediaError
from weights.saving import save_whole

FILE_ID = re.compile(r"V(\d+)_S(\d+)_I(\d+)_P(\d+)(A?)")
ENDINGS = frozenset(("wav", "mp4", "npz", "json"))
PLACEHOLDERS = {"wav": 58, "mp4": 261, "npz": 1981}
"""Bytes of the files that stand where there is nothing."""
_SPLITS = frozenset(("train", "dev", "test"))
_MOST_MEMBERS = 1_000_000
_INDEX = ".seamless.json"


def interactions_of(root: str, out: Path) -> list[Recording]:
    """A recording for each interaction below `root`, one side or both. What is in tars is kept in
    the folder `out`. Raises InputError where there is nothing of the kind.
    """
    root = resolve(root, os.getcwd())
    files, tars = list[Place](), list[str]()
    for address in list_files(root):
        name = PurePosixPath(address).name
        if name.endswith(".tar"):
            tars.append(address)
        elif (owner := _owner(name)) is not None:
            files.append(Place(*owner, address, -1, _bytes(address)))
    found, broken = _listed(tars, out)
    places = files + found
    if not places and not broken:
        raise InputError(
            f"{root} holds nothing of Seamless Interaction; wanted files or tars such as "
            "improvised/dev/0000/0000/V00_S0001_I00000001_P0001.wav"
        )
    return [*_interactions(root, places), *broken]


def person_of(file_id: str) -> str:
    """The participant: numbers are each vendor's own, and the A is no other person."""
    match = FILE_ID.fullmatch(file_id)
    assert match is not None, file_id
    return f"V{match[1]}_P{match[4]}"


def _owner(name: str) -> tuple[str, str] | None:
    """(file id, ending) of a file's name, None for any other file."""
    stem, _, ending = name.partition(".")
    known = FILE_ID.fullmatch(stem) is not None and ending in ENDINGS
    return (stem, ending) if known else None


def _bytes(address: str) -> int:
    return size(address) or 0


def _listed(tars: Sequence[str], out: Path) -> tuple[list[Place], list[Recording]]:
    """What is in the tars, and a recording with its trouble for each that cannot be read. Tars that
    were listed before are not read again.
    """
    kept, places, broken = _kept(out), list[Place](), list[Recording]()
    for address in tars:
        try:
            size_, token = stamp(address)
            mark = f"{size_} {token}"
            if kept.get(address, {}).get("mark") != mark:
                kept[address] = {"mark": mark, "members": list(_members(address))}
            for owner, ending, start, length in kept[address]["members"]:
                places.append(Place(owner, ending, address, start, length))
        except (MediaError, tarfile.TarError) as error:
            name = key_of(PurePosixPath(address).as_posix()[-50:])
            why = f"{address} cannot be read as a tar: {error}; download it again"
            broken.append(Recording(name, "seamless", (), address, trouble=why))
    if kept:
        save_whole(out / _INDEX, json.dumps(kept).encode(), "the list of tars")
    return places, broken


def _kept(out: Path) -> dict[str, dict]:
    try:
        found = json.loads((out / _INDEX).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _members(address: str) -> Iterator[tuple[str, str, int, int]]:
    with reading(address) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for count, info in enumerate(tar):
            if count >= _MOST_MEMBERS:
                raise MediaError(f"it has more than {_MOST_MEMBERS} files")
            owner = _owner(PurePosixPath(info.name).name)
            if owner is not None and info.isfile():
                yield (*owner, info.offset_data, info.size)


def _interactions(root: str, places: Sequence[Place]) -> Iterator[Recording]:
    by_file: dict[str, dict[str, Place]] = defaultdict(dict)
    for place in places:
        by_file[place.owner].setdefault(place.ending, place)
    together: dict[str, list[str]] = defaultdict(list)
    for owner in sorted(by_file):
        match = FILE_ID.fullmatch(owner)
        assert match is not None
        together[f"V{match[1]}_S{match[2]}_I{match[3]}"].append(owner)
    for name, owners in sorted(together.items()):
        for n, pair in enumerate(_pairs(owners)):
            yield _recording(root, f"{name}-{n}" if n else name, pair, by_file)


def _pairs(owners: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Two of one interaction at a time: both with the A, or both without, then whoever is left."""
    plain = [o for o in owners if not o.endswith("A")]
    marked = [o for o in owners if o.endswith("A")]
    left = []
    for group in (plain, marked):
        while len(group) >= 2:
            yield group.pop(0), group.pop(0)
        left += group
    if left:
        yield tuple(left)


def _recording(
    root: str, name: str, owners: Sequence[str], by_file: dict[str, dict[str, Place]]
) -> Recording:
    places = tuple(p for owner in owners for _, p in sorted(by_file[owner].items()))
    wav = max((p.size for p in places if p.ending == "wav"), default=0)
    above = PurePosixPath(places[0].address.removeprefix(root)).parts
    told = "".join(f"{p.address} {p.start} {p.size};" for p in places)
    return Recording(
        key_of(name),
        "seamless",
        (),
        " + ".join(owners),
        seconds=wav / 96_000 * len(owners),
        people=tuple(map(person_of, owners)),
        stamp=told,
        places=places,
        origin_split=next((part for part in above if part in _SPLITS), ""),
    )


def local(place: Place, folder: Path) -> Path:
    """The file of a place on this machine: itself, or a copy in `folder`."""
    if place.start < 0 and not is_remote(place.address):
        return Path(place.address)
    target = folder / f"{place.owner}.{place.ending}"
    if place.start < 0:
        return fetch(place.address, target)
    target.write_bytes(read_range(place.address, place.start, place.size))
    return target


def is_placeholder(place: Place) -> bool:
    """Whether it stands where there is nothing."""
    return place.size <= PLACEHOLDERS.get(place.ending, 2)
