"""What a visitor has made, for as long as their session lasts: it outlives the page, and a reload.

Copies of the video, its motion and all that it was made from lie in folders of the visitor's shelf,
which is a page like theirs that no browser opens, and goes when they do nothing for long.
"""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from app.render.subtitles import place_of
from app.studio.made import Creation, Made, Sheet
from app.studio.turn_rows import exchanged
from app.studio.workshop import Page
from weights.errors import InputError

MOST = 12
"""Results that are kept of one visitor; the oldest go."""


def keep(shelf: Page, made: Creation, sheet: Sheet, told: Mapping[str, Any], thumb: bytes) -> Made:
    """Put a result on the shelf. Raises as FileStore.add_folder does."""
    while len(shelf.results) >= MOST:
        remove(shelf, shelf.results[0].key)
    folder = shelf.new_folder()
    copies = {
        name: _copy(Path(path), folder / "given" / name / Path(path).name)
        for name, path in sheet.files.items()
    }
    form = {**sheet.form, **copies}
    if (rows := form.get("turns")) is not None:
        numbers = count(1)

        def copied(path: str) -> str:
            return _copy(Path(path), folder / "given" / f"turn {next(numbers)}" / Path(path).name)

        form["turns"] = exchanged(rows, copied)
    if (words := place_of(made.video)).is_file():
        _copy(words, folder / words.name)
    kept = Made(folder, _moved(made, folder), replace(sheet, form=form, files=copies), told, thumb)
    shelf.results.append(kept)
    return kept


def _moved(made: Creation, folder: Path) -> Creation:
    """The same with copies of its files in a folder."""
    video = Path(_copy(made.video, folder / made.video.name))
    motion = Path(_copy(made.motion, folder / made.motion.name))
    driver = made.driver and Path(_copy(made.driver, folder / "given" / "driver.npz"))
    return replace(made, video=video, motion=motion, driver=driver)


def find(shelf: Page, key: str) -> Made:
    """A result by its key. Raises InputError for one that is gone, or never was theirs."""
    for made in shelf.results:
        if made.key == key and made.creation.video.exists():
            return made
    raise InputError("that video is gone")


def remove(shelf: Page, key: str) -> None:
    """Take a result from the shelf, with its files. Raises InputError as `find`."""
    made = find(shelf, key)
    shelf.results.remove(made)
    shelf.drop(made.folder)


def again(made: Made, page: Page) -> Sheet:
    """What the screen of a result showed, whose files become the page's."""

    def own(path: str) -> str:
        return _copy(Path(path), page.new_folder() / Path(path).name)

    files = {name: own(path) for name, path in made.sheet.files.items()}
    form = {**made.sheet.form, **files}
    if (rows := form.get("turns")) is not None:
        form["turns"] = exchanged(rows, own)
    return replace(made.sheet, form=form, files=files)


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
            video = made.creation.video
            name = f"{number:02d}-{video.stem}"
            archive.write(video, f"{name}{video.suffix}")
            archive.write(made.creation.motion, f"{name}.npz")
            archive.writestr(f"{name}.json", json.dumps(made.told, indent=2))
    return packed


def _copy(source: Path, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return str(target)
