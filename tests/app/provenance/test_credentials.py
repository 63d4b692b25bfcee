"""Signing and reading again: in the file or beside it, with a key of one's own making or given."""

import stat
from pathlib import Path

import numpy as np
import pytest

from app.provenance import credentials
from app.provenance.authority import given_identity, own_identity, trusted
from app.provenance.credentials import Credentials, read, sidecar_of
from app.provenance.origin import OFF, Origin, Provenance
from app.provenance.record import Log
from app.render.reading import HERE
from app.render.verifying import verify
from motion2video.media.video import EncoderConfig, VideoWriter, read_video
from motion2video.portrait.portrait import load_image
from weights.errors import InputError

pytest.importorskip("c2pa", reason="the extra `provenance` is not installed")
CLAIM = {"version": "0.1.0", "kind": "video", "seed": 3, "consent": "the person agreed"}


def said(notice: str) -> None:
    raise AssertionError(notice)


def film(out: Path, origin: Origin, photo: np.ndarray, count: int = 6) -> Path:
    height, width = photo.shape[:2]

    def seal(path: Path) -> None:
        origin.seal(path, out, said)

    with VideoWriter(out, (width, height), seal=seal) as writer:
        writer.write(np.stack([origin.mark(photo)] * count))
    return out


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    import cv2

    from app.render.demo import DEFAULT_PORTRAIT

    image = load_image(DEFAULT_PORTRAIT)[0]
    return cv2.resize(image, (384, 384), interpolation=cv2.INTER_AREA)


def test_the_key_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    made = own_identity(tmp_path / "keys")
    assert own_identity(tmp_path / "keys") == made
    assert stat.S_IMODE((tmp_path / "keys" / "key.pem").stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(made) and trusted(tmp_path / "keys").count("BEGIN CERT") == 1


def test_a_lost_key_is_made_anew_and_what_it_signed_stays_ours(
    tmp_path: Path, photo: np.ndarray
) -> None:
    provenance = Provenance(folder=tmp_path / "keys")
    out = film(tmp_path / "a.mp4", provenance.origin(CLAIM), photo)
    (tmp_path / "keys" / "key.pem").unlink()
    assert own_identity(tmp_path / "keys").key
    known = read(out, provenance.anchors)
    assert known is not None and known.state == "trusted"


def test_another_key_than_the_certificates_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        own_identity(tmp_path / name)
    with pytest.raises(InputError, match="is not that of the first certificate"):
        given_identity(tmp_path / "one" / "certificate.pem", tmp_path / "two" / "key.pem")
    (tmp_path / "junk.pem").write_bytes(b"\0junk")
    with pytest.raises(InputError, match="cannot be read; wanted a chain of certificates"):
        given_identity(tmp_path / "junk.pem", tmp_path / "two" / "key.pem")
    with pytest.raises(InputError, match="give both, or neither"):
        Provenance(certificate=tmp_path / "one" / "certificate.pem")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_video_is_untouched_until_a_byte_changes(
    tmp_path: Path, photo: np.ndarray, suffix: str
) -> None:
    provenance = Provenance(folder=tmp_path / "keys")
    origin = provenance.origin(CLAIM)
    out = film(tmp_path / f"a{suffix}", origin, photo)
    beside = sidecar_of(out).read_bytes() if suffix == ".webm" else None
    assert origin.told()["signed"] == ("sidecar" if beside else "embedded")
    found = verify(out, provenance, HERE, said, beside)
    known = found.credentials
    assert found.verdict == "untouched" and known is not None
    assert known == Credentials("trusted", origin.id, known.signer, "Visavis", True)
    assert found.mark is not None and found.mark.payload == origin.payload
    assert found.record is not None and found.record["consent"] == "the person agreed"
    stranger = Provenance(folder=tmp_path / "another's")
    elsewhere = verify(out, stranger, HERE, said, beside)
    assert elsewhere.verdict == "changed" and "nobody here vouches" in elsewhere.sentence
    data = bytearray(out.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / f"b{suffix}").write_bytes(data)
    known = read(tmp_path / f"b{suffix}", provenance.anchors, beside)
    assert known is not None and known.state == "invalid"


def test_coded_again_it_is_ours_and_changed(tmp_path: Path, photo: np.ndarray) -> None:
    provenance = Provenance(folder=tmp_path / "keys")
    origin = provenance.origin(CLAIM)
    out, again = film(tmp_path / "a.mp4", origin, photo), tmp_path / "again.mp4"
    with (
        read_video(out) as frames,
        VideoWriter(again, frames.size, config=EncoderConfig(crf=28)) as writer,
    ):
        for frame in frames:
            writer.write(frame[None])
    found = verify(again, provenance, HERE, said)
    assert found.verdict == "changed" and origin.id in found.sentence
    assert found.record is not None and found.record["file"] == "a.mp4"
    assert found.to_json()["mark"]["payload"] == origin.id
    provenance = Provenance(folder=tmp_path / "another's")
    assert "another Visavis made it" in verify(again, provenance, HERE, said).sentence


def test_what_is_made_of_the_same_has_the_same_mark(tmp_path: Path) -> None:
    provenance = Provenance(folder=tmp_path)
    first, second = (provenance.origin(dict(claim)) for claim in (CLAIM, CLAIM))
    assert first.payload == second.payload == first.part.payload
    assert provenance.origin({**CLAIM, "seed": 4}).payload != first.payload


def test_off_is_said_by_result_notice_and_log(tmp_path: Path, photo: np.ndarray) -> None:
    told: list[str] = []
    origin = Provenance(enabled=False, folder=tmp_path / "keys").origin(CLAIM)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a video")
    origin.seal(path, path, told.append)
    assert (origin.mark(photo) == photo).all() and told == [OFF]
    assert origin.told()["watermark"] is False and origin.told()["signed"] is None
    entry = next(Log(tmp_path / "keys").entries())
    assert entry["provenance"] is False and path.read_bytes() == b"a video"


def test_without_c2pa_the_mark_stays_and_a_notice_says_so(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "missing", lambda: "c2pa-python is not installed")
    told: list[str] = []
    origin = Provenance(folder=tmp_path / "keys").origin(CLAIM)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a video")
    origin.seal(path, path, told.append)
    assert told == [
        "this video has its watermark, but no signed credentials: c2pa-python is not installed"
    ]
    assert origin.told()["watermark"] and (origin.mark(photo) != photo).any()


def test_a_log_that_cannot_be_written_costs_no_video(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where a folder belongs")
    told: list[str] = []
    origin = Provenance(folder=tmp_path / "keys").origin(CLAIM)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a video")
    origin.seal(path, path, told.append)
    assert len(told) == 2 and "signing key" in told[0] and "not in the log" in told[1]


def test_rubbish_is_no_video_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for data in (b"", b"junk" * 50, b"PK\x03\x04junk", b"\0\0\0\x18ftypisom" + bytes(200)):
        path.write_bytes(data)
        with pytest.raises(InputError):
            verify(path, Provenance(folder=tmp_path / "keys"), HERE, said)


def test_the_credentials_of_the_photo_are_kept(tmp_path: Path, photo: np.ndarray) -> None:
    """A picture with credentials, here a moving one of ours, is what another video is made of."""
    import c2pa

    provenance = Provenance(folder=tmp_path / "keys")
    first = film(tmp_path / "photo.webp", provenance.origin(CLAIM), photo, 1)
    origin = provenance.origin({**CLAIM, "seed": 4}, first.read_bytes())
    out = film(tmp_path / "a.mp4", origin, photo)
    with out.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        active = reader.get_active_manifest()
        assert active is not None
        (ingredient,) = active["ingredients"]
    assert ingredient["relationship"] == "inputTo" and ingredient["active_manifest"]
