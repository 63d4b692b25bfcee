"""The manifest: which weights exist, where they come from and what they must hash to.

`manifest.toml` has one table per role. Every key is checked; an unknown one is an error, because
a misspelt `sha256` would otherwise switch a check off.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from weights.errors import InputError, WeightsError
from weights.opening import read_regular

MANIFEST_PATH = Path(__file__).with_name("manifest.toml")
MANIFEST_VARIABLE = "VISAVIS_MANIFEST"
"""Environment variable: another manifest.toml, beside whose files lie (weights of one's own)."""
UNSET_HASH = "0" * 64
"""Stands in the manifest for an embedded file that has not been made yet."""

_MAX_BYTES = 1 << 20
_HASH = re.compile(r"[0-9a-f]{64}")
_TYPES: dict[str, type] = {"size": int, "optional": bool, "members": dict}  # all others: str
_LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Role:
    """One entry: either embedded (`file`, below the weights folder) or downloaded (`url`).

    `members` makes it a pack: the URL is a zip, of which these files are unpacked, each with its
    own SHA-256. `size` is in bytes, of the file or of the zip.
    """

    name: str
    summary: str
    used_by: str
    sha256: str
    size: int
    source: str
    revision: str
    licence: str
    file: str = ""
    card: str = ""
    url: str = ""
    optional: bool = False
    members: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def embedded(self) -> bool:
        """True for weights that are part of the project."""
        return bool(self.file)

    @property
    def is_pack(self) -> bool:
        """True when the role is a folder of files rather than one file."""
        return bool(self.members)


@dataclass(frozen=True)
class Manifest:
    """All roles by name; `root` is the folder that embedded files are relative to."""

    roles: Mapping[str, Role]
    root: Path

    def role(self, name: str) -> Role:
        """The role of that name; WeightsError names the known ones when there is none."""
        if name not in self.roles:
            raise WeightsError(
                f"there are no weights called {name!r}; the manifest has {', '.join(self.roles)}"
            )
        return self.roles[name]


def load_manifest(path: Path | None = None) -> Manifest:
    """`read_manifest`, once a process: without a path of $VISAVIS_MANIFEST, else the project's."""
    if path is None:
        named = os.environ.get(MANIFEST_VARIABLE)
        path = Path(named).expanduser().absolute() if named else MANIFEST_PATH
    return _kept(path)


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest; WeightsError when it is missing, broken or not as described."""
    try:
        tables = tomllib.loads(read_regular(path, "weights manifest", _MAX_BYTES).decode())
    except InputError as error:
        raise WeightsError(f"cannot read the weights manifest: {error}") from error
    # ValueError: also bytes that are not UTF-8, and whole numbers of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the weights manifest {path} is not valid TOML: {error}") from error
    roles = {name: _role(name, table) for name, table in tables.items()}
    return Manifest(roles=MappingProxyType(roles), root=path.parent)


_kept = cache(read_manifest)


def _role(name: str, table: Any) -> Role:
    """Check one table of the manifest; `Any` because TOML may hold anything."""
    if not isinstance(table, dict):
        raise WeightsError(f"manifest: {name!r} is {table!r}, but only [role] tables may be there")
    known = {f.name: f for f in fields(Role) if f.name != "name"}
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise WeightsError(
            f"manifest [{name}]: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    for key, value in table.items():
        wanted = _TYPES.get(key, str)
        if type(value) is not wanted:
            raise WeightsError(
                f"manifest [{name}]: {key} is {value!r}, but wants a {wanted.__name__}"
            )
    required = [k for k, f in known.items() if f.default is MISSING and k != "members"]
    missing = [key for key in required if table.get(key, "") == ""]
    if missing:
        raise WeightsError(f"manifest [{name}]: {missing[0]} is missing or empty")
    values = table | {"members": MappingProxyType(dict(table.get("members", {})))}
    role = Role(name=name, **values)
    _check(role)
    return role


def _check(role: Role) -> None:
    """The rules between the keys of one role."""
    problems = {
        "exactly one of file and url must be given": bool(role.file) == bool(role.url),
        "an embedded role has no members": role.embedded and bool(role.members),
        "sha256 must be 64 lower-case hex digits": not _HASH.fullmatch(role.sha256),
        "only an embedded role may leave its sha256 at zeros": not role.embedded
        and role.sha256 == UNSET_HASH,
        "size must be given, in bytes": role.size < (0 if role.embedded else 1),
        "url must be https": bool(role.url) and not _safe_url(role.url),
        "url must end in the name of a file": bool(role.url) and not _url_name(role.url),
        "url of a pack must name a .zip": role.is_pack and not role.url.endswith(".zip"),
        "paths must be relative and stay inside": not all(
            is_inside(p) for p in (role.file, role.card, *role.members)
        ),
        "every member needs the sha256 of its file": not all(
            isinstance(h, str) and _HASH.fullmatch(h) for h in role.members.values()
        ),
    }
    for rule, broken in problems.items():
        if broken:
            raise WeightsError(f"manifest [{role.name}]: {rule}")


def is_inside(name: str) -> bool:
    """True when a relative path with forward slashes cannot leave the folder it is put in."""
    path = PurePosixPath(name)
    return not (path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name)


def _safe_url(url: str) -> bool:
    """https, or plain http to this very machine (a mirror of one's own, and the tests)."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _url_name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name
