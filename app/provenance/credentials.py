"""Content credentials (C2PA 2): what is signed about a video, and reading it again.

They are written last, because whatever writes the file anew drops them. A video whose format has no
place for them gets them in a file beside it, which ends in `.c2pa`.
"""

import io
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from app.provenance.authority import Identity, write_atomic
from weights.errors import DependencyError, MediaError
from weights.opening import open_regular

if TYPE_CHECKING:
    from c2pa import Context

Placement = Literal["embedded", "sidecar"]
State = Literal["trusted", "valid", "invalid"]
"""Signed by an authority that is trusted here and unchanged; by another one; changed since."""

SIDECAR = ".c2pa"
RECIPE = "org.visavis.recipe"
"""The assertion of our own: what the video was made of."""
WATERMARK = "org.visavis.watermark.1"
MOST_BYTES = 4 * 2**20
"""Of credentials in a file of their own."""
_LONGEST = 200
_EMBEDDED = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
_BESIDE = {".webm": "video/webm", ".mkv": "video/x-matroska", ".zip": "application/zip"}
_PHOTOS = {
    b"\xff\xd8": "image/jpeg",
    b"\x89PNG": "image/png",
    b"RIFF": "image/webp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}
_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True)
class Credentials:
    """What the credentials of a file say: `id` is the payload of the mark (hexadecimal) if they are
    of a video of ours, `synthetic` whether they call it made by a trained model.
    """

    state: State
    id: str | None = None
    signer: str | None = None
    generator: str | None = None
    synthetic: bool = False


def missing() -> str | None:
    """Why nothing can be signed here, None where it can."""
    try:
        import c2pa  # noqa: F401
        import cryptography  # noqa: F401
    except (ImportError, OSError, RuntimeError):  # its library may not fit the system
        return "c2pa-python is not installed or does not load here (extra `provenance`)"
    return None


def sidecar_of(video: Path) -> Path:
    """Where the credentials of a video lie whose format has no place for them: `a.webm.c2pa`."""
    return video.with_name(video.name + SIDECAR)


def forget(video: Path) -> None:
    """Remove the file beside a video that had the credentials of one before it."""
    if video.suffix.lower() in _BESIDE:
        sidecar_of(video).unlink(missing_ok=True)


def sign(
    path: Path,
    name: Path,
    identity: Identity,
    claim: Mapping[str, Any],
    photo: bytes | None = None,
) -> Placement:
    """Sign the finished file `path`, which will be called `name`: in it, or beside `name`. `photo`
    has credentials of its own, which are kept as an ingredient.

    Raises DependencyError without c2pa, MediaError for what it refuses to sign, OSError.
    """
    import c2pa

    suffix = name.suffix.lower()
    kind = _EMBEDDED.get(suffix) or _BESIDE[suffix]
    signed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.signed")
    try:
        with _context("") as context, c2pa.Builder(_manifest(name, claim), context) as builder:
            builder.set_intent(
                c2pa.C2paBuilderIntent.CREATE,
                c2pa.C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
            )
            if photo is not None and (photo_is := photo_kind(photo)) is not None:
                about = json.dumps({"title": "portrait", "relationship": "inputTo"})
                builder.add_ingredient(about, photo_is, io.BytesIO(photo))
            given = c2pa.C2paSignerInfo(
                identity.algorithm.encode(), identity.chain, identity.key, None
            )
            with c2pa.Signer.from_info(given) as signer, path.open("rb") as source:
                if suffix in _BESIDE:
                    builder.set_no_embed()
                    data = builder.sign(signer, kind, source, io.BytesIO())
                    write_atomic(sidecar_of(name), data, 0o666 & ~_umask())
                    return "sidecar"
                with signed.open("w+b") as target:
                    builder.sign(signer, kind, source, target)
        os.replace(signed, path)
        return "embedded"
    except c2pa.C2paError as error:
        raise MediaError(f"{name} could not be signed: {error}") from error
    finally:
        signed.unlink(missing_ok=True)


def read(path: Path, anchors: str = "", beside: bytes | None = None) -> Credentials | None:
    """The credentials in a file, or those `beside` it; None for none. `anchors` are the trusted
    authorities in PEM. Nothing is fetched.

    Raises DependencyError without c2pa, MediaError for a file that cannot be read.
    """
    if (why := missing()) is not None:
        raise DependencyError(why)
    import c2pa

    with open_regular(path, "file", 1 << 40, MediaError) as file:
        kind = _kind(file.read(64))
        file.seek(0)
        if kind is None:
            return None
        try:
            with (
                _context(anchors) as context,
                c2pa.Reader(kind, file, beside, context=context) as reader,
            ):
                state, said = reader.get_validation_state(), reader.get_active_manifest() or {}
        except c2pa.C2paError.ManifestNotFound:  # pyrefly: ignore[missing-attribute]
            return None
        except c2pa.C2paError:  # there is something, and it is damaged
            return Credentials("invalid")
    return _understood(state, said)


def photo_kind(photo: bytes) -> str | None:
    """The media type of a photo that may hold credentials."""
    if b"jumb" not in photo or b"c2pa" not in photo:
        return None
    return next((kind for head, kind in _PHOTOS.items() if photo.startswith(head)), None)


def _manifest(name: Path, claim: Mapping[str, Any]) -> str:
    generator = {"name": "Visavis", "version": str(claim["version"])}
    bound = {"alg": WATERMARK, "blocks": [{"scope": {}, "value": claim["id"]}]}
    assertions = [{"label": RECIPE, "data": dict(claim)}]
    if claim["watermark"]:
        assertions.append({"label": "c2pa.soft-binding", "data": bound})
    return json.dumps(
        {"claim_generator_info": [generator], "title": name.name, "assertions": assertions}
    )


def _context(anchors: str) -> "Context":
    """What c2pa is told: no network, no thumbnails, whom to trust."""
    import c2pa

    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "builder": {"thumbnail": {"enabled": False}},
    }
    if anchors:
        settings["trust"] = {"trust_anchors": anchors}
    return c2pa.Context.from_dict(settings)


def _understood(state: str | None, said: Mapping[str, Any]) -> Credentials:
    """What is asked of a manifest, whoever wrote it."""
    known: dict[str, State] = {"Trusted": "trusted", "Valid": "valid"}
    found = {a.get("label"): a.get("data") for a in said.get("assertions", ())}
    recipe, actions = found.get(RECIPE), found.get("c2pa.actions.v2")
    generators = said.get("claim_generator_info") or [{}]
    identity = recipe.get("id") if isinstance(recipe, dict) else None
    return Credentials(
        known.get(state or "", "invalid"),
        _text(identity),
        _text((said.get("signature_info") or {}).get("common_name")),
        _text(generators[0].get("name")),
        _MADE in json.dumps(actions),
    )


def _text(value: object) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) else None


def _kind(head: bytes) -> str | None:
    """The media type that a file has by its content."""
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm"
    if head.startswith(b"GIF8"):
        return "image/gif"
    if head.startswith(b"PK\x03\x04"):
        return "application/zip"
    return next((kind for start, kind in _PHOTOS.items() if head.startswith(start)), None)


def _umask() -> int:
    """That of this process, which only setting it tells; Linux has it in a file."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))
