"""What a visitor has made, for as long as their session lasts: it outlives the page, and a reload.

Copies of the video, its motion and all that it was made from lie in folders of the visitor's shelf,
which is a page like theirs that no browser opens, and goes when they do nothing for long.
"""

import json
import shutil
import zipfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from app.render.subtitles import place_of
from app.studio.creation import Creation
from app.studio.made import Made
from app.studio.turn_rows import exchanged
from app.studio.workshop import Page
from weights.errors import InputError

MOST = 12
"""Results that are kept of one visitor; the oldest go."""


def keep(
    shelf: Page,
    made: Creation,
    form: Mapping[str, Any],
    files: Mapping[str, str],
    told: Mapping[str, Any],
    thumb: bytes,
) -> Made:
    """Put a result on the shelf, with the `files` of its form by field. Raises as
    FileStore.add_folder does.
    """
    while len(shelf.results) >= MOST:
        remove(shelf, shelf.results[0].key)
    folder = shelf.new_folder()
    copies = {
        name: _copy(Path(path), folder / "given" / name / Path(path).name)
        for name, path in files.items()
    }
    if (rows := form.get("turns")) is not None:
        numbers = count(1)

        def copied(path: str) -> str:
            return _copy(Path(path), folder / "given" / f"turn {next(numbers)}" / Path(path).name)

        copies["turns"] = exchanged(rows, copied)
    if (words := place_of(made.video)).is_file():
        _copy(words, folder / words.name)
    kept = Made(
        folder,
        Path(_copy(made.video, folder / made.video.name)),
        Path(_copy(made.motion, folder / made.motion.name)),
        made.result,
        {**form, **copies},
        told,
        thumb,
        made.editable,
    )
    shelf.results.append(kept)
    return kept


def find(shelf: Page, key: str) -> Made:
    """A result by its key. Raises InputError for one that is gone, or never was theirs."""
    for made in shelf.results:
        if made.key == key and made.video.exists():
            return made
    raise InputError("that video is gone")


def remove(shelf: Page, key: str) -> None:
    """Take a result from the shelf, with its files. Raises InputError as `find`."""
    made = find(shelf, key)
    shelf.results.remove(made)
    shelf.drop(made.folder)


def again(made: Made, page: Page) -> dict[str, Any]:
    """The form of a result, whose files become the page's."""
    inside = str(made.folder)
    form = dict(made.form)
    for name, value in form.items():
        if isinstance(value, str) and value.startswith(inside):
            form[name] = _copy(Path(value), page.new_folder() / Path(value).name)
    if (rows := form.get("turns")) is not None:
        form["turns"] = exchanged(
            rows, lambda path: _copy(Path(path), page.new_folder() / Path(path).name)
        )
    return form


def pack(shelf: Page) -> Path:
    """All results with their settings in one zip file. Raises InputError where there are none."""
    if not shelf.results:
        raise InputError("there is no video yet")
    if shelf.packed is not None:
        shelf.drop(shelf.packed)
    shelf.packed = shelf.new_folder()
    packed = shelf.packed / "videos.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # videos do not shrink
        for number, made in enumerate(shelf.results, 1):
            name = f"{number:02d}-{made.video.stem}"
            archive.write(made.video, f"{name}{made.video.suffix}")
            archive.write(made.motion, f"{name}.npz")
            archive.writestr(f"{name}.json", json.dumps(made.told, indent=2))
    return packed


def _copy(source: Path, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return str(target)
