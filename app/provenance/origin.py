"""Where one video comes from: its frames' mark, its file's signature, its line in the log.

The payload of the mark is the first 48 bits of the SHA-256 of what the video is made of: contents
of the files, settings, seed, weights, version. So the same command gives the same frames.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import UInt8
from numpy import ndarray

from weights.errors import DependencyError, InputError, MediaError, OutputError
from weights.opening import open_regular

if TYPE_CHECKING:
    from app.provenance.credentials import Placement
    from app.provenance.watermark import Marker

Frame = UInt8[ndarray, "H W c"]
_BLOCK = 1 << 20
_BITS = 48  # as PAYLOAD_BITS of pattern.py, which takes time to load
_LEAST_KEY, _MOST_KEY = 16, 4096
OFF = "this video has no watermark and no credentials: provenance was switched off"


@dataclass(frozen=True)
class Provenance:
    """How videos say where they come from. `enabled` is off only where somebody asked for that;
    `folder` has keys and log (None: that of this user); `certificate` and `private_key` are one's
    own PEM files instead of those in the folder, `watermark_key` a file whose content is a key of
    one's own for the mark, `trusts` a certificate (PEM) that `verify` trusts too. Raises
    InputError for one of a pair.
    """

    enabled: bool = True
    folder: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    watermark_key: Path | None = None
    trusts: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise InputError(
                "got only one of signing certificate and signing key; give both, or neither"
            )

    @cached_property
    def key(self) -> bytes:
        """The key of the mark. Raises InputError for a file that cannot be one."""
        from app.provenance.pattern import PUBLIC_KEY

        if self.watermark_key is None:
            return PUBLIC_KEY
        with open_regular(self.watermark_key, "watermark key", _MOST_KEY) as file:
            key = file.read().strip()
        if len(key) < _LEAST_KEY:
            raise InputError(
                f"the watermark key {self.watermark_key} has {len(key)} bytes; wanted at least "
                f"{_LEAST_KEY} that nobody can guess"
            )
        return key

    @property
    def place(self) -> Path:
        """Where keys and log are. Raises OutputError without a home."""
        if self.folder is not None:
            return self.folder
        from platformdirs.unix import Unix

        try:
            return Unix("visavis").user_data_path / "provenance"
        except RuntimeError as error:
            raise OutputError("there is no home folder: give --provenance-dir") from error

    @property
    def anchors(self) -> str:
        """PEM of whom `verify` trusts."""
        from app.provenance.authority import trusted

        return trusted(self.place, self.trusts or self.certificate)

    def origin(self, claim: Mapping[str, Any], photo: bytes | None = None) -> "Origin":
        """Of a video that is made of what `claim` says; `photo` has credentials of its own."""
        return Origin(self, claim, photo)


@dataclass(frozen=True, eq=False)
class Origin:
    """One video's: `mark` its frames, `seal` its file. `claim` is plain JSON: what it is made of.

    A `partial` one is of a part: its frames are marked, its file is not yet the video.
    """

    provenance: Provenance
    claim: Mapping[str, Any]
    photo: bytes | None = None
    partial: bool = False
    sealed: "Sealed" = field(default_factory=lambda: Sealed())

    @cached_property
    def payload(self) -> int:
        """What the mark says."""
        text = json.dumps(self.claim, sort_keys=True, allow_nan=False).encode()
        return int.from_bytes(hashlib.sha256(text).digest()[: _BITS // 8], "big")

    @property
    def id(self) -> str:
        """The payload as it is written."""
        return f"{self.payload:0{_BITS // 4}x}"

    @property
    def part(self) -> "Origin":
        """The same for a part of the video, whose file is not yet it."""
        return replace(self, partial=True)

    @cached_property
    def _marker(self) -> "Marker":
        from app.provenance.watermark import Marker

        return Marker(self.payload, self.provenance.key)

    def mark(self, frame: Frame) -> Frame:
        """The frame as it leaves."""
        return self._marker.mark(frame) if self.provenance.enabled else frame

    def seal(self, path: Path, name: Path, notify: Callable[[str], None]) -> None:
        """Sign the finished file `path`, which will be called `name`, and write it down. What
        cannot be done is told. Raises OSError where the file cannot be written.
        """
        from app.provenance.credentials import forget

        if self.partial:
            return
        if not self.provenance.enabled:
            notify(OFF)
        else:
            self.sealed.placement = self._sign(path, name, notify)
        if self.sealed.placement != "sidecar":
            forget(name)
        self.log({"file": name.name, "sha256": digest_of(path)}, notify)

    def log(self, more: Mapping[str, Any], notify: Callable[[str], None]) -> None:
        """A line in the log, with `more` in it."""
        from app.provenance.record import Log

        about = {"id": self.id, "provenance": self.provenance.enabled}
        about |= {"signed": self.sealed.placement, **self.claim}
        try:
            Log(self.provenance.place).add({**about, **more, "id": self.id})
        except (OSError, OutputError) as error:
            notify(
                "this video is not in the log, so its mark leads nowhere: "
                f"{getattr(error, 'strerror', None) or error}"
            )

    def told(self) -> dict[str, Any]:
        """What a result says of it."""
        enabled = self.provenance.enabled
        return {
            "id": self.id,
            "watermark": enabled,
            "signed": self.sealed.placement,
            "consent": self.claim.get("consent"),
        }

    def _sign(self, path: Path, name: Path, notify: Callable[[str], None]) -> "Placement | None":
        from app.provenance import credentials
        from app.provenance.authority import given_identity, own_identity

        unsigned = "this video has its watermark, but no signed credentials"
        if (why := credentials.missing()) is not None:
            notify(f"{unsigned}: {why}")
            return None
        given = self.provenance
        try:
            if given.certificate is not None and given.private_key is not None:
                identity = given_identity(given.certificate, given.private_key)
            else:
                identity = own_identity(given.place)
            claim = {**self.claim, "id": self.id, "watermark": True}
            return credentials.sign(path, name, identity, claim, self.photo)
        except (OutputError, MediaError, DependencyError) as error:
            notify(f"{unsigned}: {error}")
            return None


@dataclass
class Sealed:
    """Where the credentials of a finished file are, None where it has none."""

    placement: "Placement | None" = None


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content. Raises OSError."""
    value = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value.update(block)
    return value.hexdigest()
