"""From a role to a file whose hash has been checked: find, verify, fetch.

A role is embedded in the project or lies in the cache folder. Nothing is downloaded unless `fetch`
is called.
"""

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from platformdirs.unix import Unix

from weights.errors import InputError, OutputError, WeightsError
from weights.manifest import UNSET_HASH, Manifest, Role, is_inside, load_manifest
from weights.opening import open_regular
from weights.saving import writing_whole

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_BLOCK = 1 << 20
_ANY_SIZE = 1 << 62
_TIMEOUT_S = 30.0

# Files whose hash was found right in this process: (path, size, mtime in ns, sha256).
_verified: set[tuple[str, int, int, str]] = set()


def make_cache_folder(path: Path) -> None:
    """Make a folder in the cache. Raises OutputError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the cache folder {path}: {error.strerror}; "
            "set VISAVIS_CACHE to a folder that can be written"
        ) from error


def cache_dir() -> Path:
    """$VISAVIS_CACHE, else $XDG_CACHE_HOME/visavis, else ~/.cache/visavis. Not created here.

    Without a home folder it is below the folder for temporary files.
    """
    if os.environ.get("VISAVIS_CACHE"):
        return Path(os.environ["VISAVIS_CACHE"]).expanduser()
    try:
        return Unix("visavis").user_cache_path
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "visavis-cache"


def locate(role: str, manifest: Manifest | None = None) -> Path | None:
    """Where the file (or a pack's folder) of a role is, unchecked; None when it is nowhere."""
    manifest = manifest or load_manifest()
    entry = manifest.role(role)
    if entry.embedded:
        path = manifest.root / entry.file
        return path if path.is_file() else None
    cached = _target(entry)
    there = cached.is_dir() if entry.is_pack else cached.is_file()
    return cached if there else None


def find(role: str, manifest: Manifest | None = None) -> Path:
    """The checked file (or a pack's folder) of a role.

    Raises WeightsError when it is not on this machine or does not match its hash. A file is
    hashed once per process and change of the file.
    """
    manifest = manifest or load_manifest()
    entry = manifest.role(role)
    path = locate(role, manifest)
    if path is None:
        raise WeightsError(_missing(entry, manifest))
    for file, sha256, size in _parts(entry, path):
        _check(file, sha256, size, entry)
    return path


def verify(role: str, manifest: Manifest | None = None) -> Path:
    """Like `find`, but hashes again even when this process has done so before."""
    path = locate(role, manifest)
    if path is not None:
        prefix = str(path)
        _verified.difference_update({key for key in _verified if key[0].startswith(prefix)})
    return find(role, manifest)


def fetch(role: str, manifest: Manifest | None = None, progress: Progress | None = None) -> Path:
    """The checked file of a role, downloaded into the cache folder when it is not there.

    A copy in the cache that does not match its hash is replaced. Raises WeightsError when the
    download fails or does not match, OutputError when the cache cannot be written.
    """
    manifest = manifest or load_manifest()
    entry = manifest.role(role)
    target = _target(entry)
    if entry.embedded or (locate(role, manifest) is not None and not target.exists()):
        return find(role, manifest)
    if target.exists():
        try:
            return find(role, manifest)
        except WeightsError:
            _remove(target)
    make_cache_folder(target.parent)
    if entry.is_pack:
        _fetch_pack(entry, target, progress)
    else:
        _download(entry, target, progress)
    return find(role, manifest)


def _target(entry: Role) -> Path:
    """Where a downloaded role lives in the cache: a file, or for a pack a folder."""
    name = PurePosixPath(urlsplit(entry.url).path).name
    return cache_dir() / entry.name / (name.removesuffix(".zip") if entry.is_pack else name)


def _parts(entry: Role, path: Path) -> list[tuple[Path, str, int | None]]:
    """Every file of a role with the hash and (when known) the size that it must have."""
    if entry.is_pack:
        return [(path / name, sha256, None) for name, sha256 in entry.members.items()]
    return [(path, entry.sha256, entry.size)]


def how_to_fetch(name: str) -> str:
    """What a user does who lacks a file: the one command that is named down here, as only the place
    where the file is missing knows its name.
    """
    return f"run `visavis weights fetch {name}`"


def _missing(entry: Role, manifest: Manifest) -> str:
    if entry.embedded:
        return (
            f"the embedded weights {entry.name!r} are missing: {manifest.root / entry.file} is not "
            "there; check the file out again or reinstall visavis"
        )
    return (
        f"the weights {entry.name!r} are not on this machine (looked in {_target(entry)}): "
        f"{how_to_fetch(entry.name)}"
    )


def _check(file: Path, sha256: str, size: int | None, entry: Role) -> None:
    """Raise WeightsError unless the file has this hash; remembers a success."""
    remedy = (
        "check the file out again, or after training run scripts/update_manifest.py"
        if entry.embedded
        else how_to_fetch(entry.name)
    )
    if sha256 == UNSET_HASH:
        raise WeightsError(
            f"the manifest has no hash for the embedded weights {entry.name!r}: "
            "run scripts/update_manifest.py"
        )
    try:
        stat = file.stat()
        key = (str(file), stat.st_size, stat.st_mtime_ns, sha256)
        if key in _verified:
            return
        if size is not None and stat.st_size != size:
            raise WeightsError(
                f"{file} has {stat.st_size} bytes, but the weights {entry.name!r} have {size}: "
                f"{remedy}"
            )
        got = _hash(file)
    except InputError as error:
        raise WeightsError(f"{error}: {remedy}") from error
    except OSError as error:
        raise WeightsError(
            f"cannot read {file} of the weights {entry.name!r} ({error.strerror}): {remedy}"
        ) from error
    if got != sha256:
        raise WeightsError(
            f"{file} is not the file of the weights {entry.name!r}: its SHA-256 is {got}, "
            f"wanted {sha256}: {remedy}"
        )
    _verified.add(key)


def _hash(file: Path) -> str:
    with open_regular(file, "weights file", _ANY_SIZE) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch_pack(entry: Role, target: Path, progress: Progress | None) -> None:
    """Download a zip (or take the one the user has put beside the target) and unpack it."""
    archive = target.with_name(target.name + ".zip")
    own = not archive.exists()
    if own:
        _download(entry, archive, progress)
    _check(archive, entry.sha256, entry.size, entry)
    try:
        _unpack(entry, archive, target)
    finally:
        if own:
            archive.unlink(missing_ok=True)


def _unpack(entry: Role, archive: Path, target: Path) -> None:
    """Unpack the members that the manifest names, and no other, into the folder `target`.

    Raises WeightsError when any name in the zip could leave the folder, even one that would not
    be unpacked: such an archive is not what it says it is.
    """
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with zipfile.ZipFile(archive) as pack:
            names = pack.namelist()
            bad = [name for name in names if not is_inside(name)]
            if bad:
                raise WeightsError(f"{archive} holds the unsafe path {bad[0]!r}: not unpacked")
            for member in entry.members:
                # Some packs have their files at the top, some below one folder of their name.
                inside = next((n for n in (member, f"{target.name}/{member}") if n in names), None)
                if inside is None:
                    raise WeightsError(f"{archive} does not hold {member!r} of {entry.name!r}")
                path = staging / member
                path.parent.mkdir(parents=True, exist_ok=True)
                with pack.open(inside) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink, _BLOCK)
        staging.chmod(0o755)
        staging.rename(target)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{archive} is not a sound zip file: {error}") from error
    except OSError as error:
        raise OutputError(f"cannot unpack {archive} to {target}: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _download(entry: Role, target: Path, progress: Progress | None) -> None:
    """Download to a temporary name beside `target`, check the hash, then rename."""
    digest = hashlib.sha256()
    done = 0
    with writing_whole(target, f"the weights {entry.name!r}") as sink:
        for block in _blocks(entry, target):
            digest.update(block)
            done += len(block)
            sink.write(block)
            if done > entry.size:
                break
            if progress is not None:
                progress(done, entry.size)
        if digest.hexdigest() != entry.sha256:
            raise WeightsError(
                f"what {entry.url} sent is not the weights {entry.name!r}: {done} bytes with "
                f"SHA-256 {digest.hexdigest()}, wanted {entry.size} bytes with {entry.sha256}; "
                "nothing was kept, try again later"
            )


def _blocks(entry: Role, target: Path) -> Iterator[bytes]:
    """The body of a role's URL, block by block; network trouble comes out as WeightsError."""
    request = urllib.request.Request(entry.url, headers={"User-Agent": "visavis"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            while block := response.read(_BLOCK):
                yield block
    except (OSError, http.client.HTTPException) as error:
        reason: object = error
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is also the response, with its socket
        elif isinstance(error, urllib.error.URLError):
            reason = error.reason
        raise WeightsError(
            f"could not download the weights {entry.name!r} from {entry.url} ({reason}): connect "
            f"to the network, or put that file at {target} by hand, and try again"
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
