"""What a worker does: load an Avatar once, then make one video after another.

Nothing that goes wrong with an item leaves as an exception: it comes back as a Failure, with what
it means for the item and for the batch.
"""

import contextlib
import hashlib
import importlib
import io
import os
import secrets
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from app.batch import storage
from app.batch.ledger import Made
from app.batch.manifest import Item
from app.provenance.credentials import sidecar_of
from app.render.loading import LoadSettings
from app.render.pipeline import Avatar
from app.render.subtitles import place_of
from weights.errors import InputError, OutputError

DEFAULT_AVATAR = "app.batch.work:load_avatar"
_NO_PICTURE = (
    *("device", "threads", "compile"),
    *("provenance_dir", "signing_certificate", "signing_key"),
)
"""Settings that change no frame."""
_THUMBNAIL = 96  # pixels on the long side
_KEPT_FILES = 32  # copies of remote files that a worker keeps


@dataclass(frozen=True)
class AvatarSettings(LoadSettings):
    """How workers load their Avatar: the arguments of Avatar.load, and by what import path."""

    factory: str = DEFAULT_AVATAR

    @property
    def identity(self) -> dict[str, Any]:
        """What of it changes the pictures."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {k: v for k, v in values.items() if k not in _NO_PICTURE}

    def load(self) -> Avatar:
        """The Avatar. Raises InputError for an import path that leads nowhere, and what
        Avatar.load raises.
        """
        module, _, name = self.factory.partition(":")
        try:
            make: Callable[[AvatarSettings], Avatar] = getattr(
                importlib.import_module(module), name
            )
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(
                f"got the avatar {self.factory!r}, which cannot be imported ({error}); wanted "
                "module:function"
            ) from error
        return make(self)


def load_avatar(settings: AvatarSettings) -> Avatar:
    """The embedded networks."""
    return Avatar.load(settings).ready()


@dataclass(frozen=True)
class Place:
    """Where the videos go, `folder`, and where they are made, `staging`: on the same disk when
    the folder is on this machine, else in the folder for temporary files.
    """

    folder: str
    staging: str

    @staticmethod
    def below(folder: str, ledger: Path) -> "Place":
        """For a new run into a folder, by the owner of a ledger."""
        owner = hashlib.sha256(os.fsencode(ledger)).hexdigest()[:12]
        return Place(folder, storage.join(folder, f".partial/{owner}/{secrets.token_hex(6)}"))

    def clear(self, earlier: bool = False) -> None:
        """Remove what this run has staged; with `earlier`, what runs left that were killed."""
        storage.remove_tree(storage.parent(self.staging) if earlier else self.staging)
        if not storage.is_remote(self.folder):
            with contextlib.suppress(OSError):  # somebody else's is in it, or it was not there
                os.removedirs(storage.parent(self.staging))
        else:
            shutil.rmtree(self._here, ignore_errors=True)

    def local(self) -> Path:
        """A folder on this machine to make files in."""
        path = self._here
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {path}: {error.strerror}") from error
        return path

    @property
    def _here(self) -> Path:
        if storage.is_remote(self.folder):
            return Path(tempfile.gettempdir()) / f"visavis-{os.path.basename(self.staging)}"
        return Path(self.staging)


@dataclass(frozen=True)
class Task:
    """A piece of work: a whole item, or a part of one (see app/batch/segments.py): first its
    `motion`, then the `frames` of each of `cuts` (first frame, end), last all of them `joined`.
    """

    item: Item
    key: str
    kind: Literal["whole", "motion", "frames", "join"] = "whole"
    part: int = 0
    cuts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a task came to nothing. `input`: it would again, so it is not tried again. `output`:
    nothing can be written, so the batch stops. `fault`: not expected. `lost`: the worker died.
    """

    kind: Literal["input", "output", "fault", "lost"]
    message: str


@dataclass(frozen=True)
class Outcome:
    """What came of a task: a video (`made`), cuts of one, nothing (a part), or a failure."""

    task: Task
    worker: str
    seconds: float
    made: Made | None = None
    cuts: tuple[tuple[int, int], ...] = ()
    failure: Failure | None = None


@dataclass(eq=False)
class Worker:
    """Makes videos with one Avatar; one task at a time."""

    name: str
    avatar: Avatar
    place: Place
    split: float | None = None
    _copies: "OrderedDict[str, Path]" = field(default_factory=OrderedDict)

    def make(self, item: Item, key: str) -> Made:
        """A whole video, from its inputs to its name."""
        folder = self.place.local()
        out = folder / f"{secrets.token_hex(8)}{Path(item.output).suffix}"
        try:
            result = self.avatar.render(item.request(**self.inputs(item)), out)
            return self.deliver(item, key, out, result.to_json())
        finally:
            out.unlink(missing_ok=True)
            place_of(out).unlink(missing_ok=True)
            sidecar_of(out).unlink(missing_ok=True)

    def inputs(self, item: Item) -> dict[str, str]:
        """Field to path on this machine, of an item's files in stores; copies are kept a while."""
        return {
            name: str(self._copy(item.fields[name]))
            for name in item.files
            if storage.is_remote(item.fields[name])
        }

    def deliver(self, item: Item, key: str, path: Path, result: dict[str, Any]) -> Made:
        """Put a finished file where it belongs, and the subtitles beside it; what the ledger wants
        to know of it.
        """
        address = storage.join(self.place.folder, item.output)
        data = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                data.update(block)
        made = Made(
            {**result, "out": address, "key": key},
            data.hexdigest(),
            path.stat().st_size,
            thumbnail(path),
        )
        if (beside := place_of(path)).exists():
            storage.publish(beside, os.path.splitext(address)[0] + beside.suffix)
        if (beside := sidecar_of(path)).exists():
            storage.publish(beside, address + beside.suffix)
        storage.publish(path, address)
        return made

    def _copy(self, address: str) -> Path:
        token = "-".join(map(str, storage.stamp(address)))
        name = hashlib.sha256(f"{address} {token}".encode()).hexdigest()
        if name not in self._copies:
            folder = Path(tempfile.mkdtemp(prefix="visavis-input-"))
            self._copies[name] = storage.fetch(address, folder / os.path.basename(address))
            while len(self._copies) > _KEPT_FILES:
                self._forget(self._copies.popitem(last=False)[1])
        self._copies.move_to_end(name)
        return self._copies[name]

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.parent.rmdir()

    def close(self) -> None:
        """Remove the copies."""
        while self._copies:
            self._forget(self._copies.popitem()[1])


def thumbnail(path: Path) -> bytes:
    """A small JPEG of a video's first frame."""
    from PIL import Image

    from motion2video.media.video import read_video
    from motion2video.portrait.portrait import load_image

    if path.suffix.lower() == ".webp":
        picture = Image.fromarray(load_image(path)[0])
    else:
        with read_video(path) as frames:
            picture = Image.fromarray(next(iter(frames)))
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=70)
    return data.getvalue()


def with_threads(settings: AvatarSettings, workers: int) -> AvatarSettings:
    """The settings of one of `workers` on this machine, its cores divided among them."""
    if settings.threads is not None:
        return settings
    cores = len(os.sched_getaffinity(0))
    return replace(settings, threads=max(1, cores // max(1, workers)))
