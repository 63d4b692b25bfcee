"""`visavis export` and `visavis import`: to 3D programs and back, and into a render."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from app import Avatar
from app.cli.commands import main
from motion2video.exchange import EXPORTS
from motion2video.formats.head_mesh import HeadMesh
from motion2video.geometry.basis import FaceBasis
from motion2video.geometry.head_model import HeadModel
from motion2video.geometry.retarget import PortraitFace
from motion2video.media.video import probe
from motion2video.motion import ROTATION, Motion
from motion2video.portrait.portrait import Portrait
from tests.motion2video.formats.test_exchange import KEPT, moving
from tests.motion2video.formats.test_gltf import chunks, numbers

_MIDDLE_OF_THE_FACE = [*range(0, 20), 50, 101, 108, 117, 151, 199, 205, 280, 330, 337, 346, 425]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return moving(30.0).save(tmp_path / "talk.npz")


@pytest.mark.parametrize("suffix", EXPORTS)
def test_there_and_back(
    talk: Path, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, again = tmp_path / f"talk{suffix}", tmp_path / "again.npz"
    assert main(["export", str(talk), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 120
    assert main(["import", str(out), "--out", str(again), "--fps", "30"]) == 0
    motion, first = Motion.load(again), Motion.load(talk)
    for channels in KEPT[suffix]:
        assert np.allclose(motion.values[:, channels], first.values[:, channels], atol=2e-5)
    assert main(["import", str(out), "--out", str(again)]) == 0
    assert Motion.load(again).fps == 25.0 and len(Motion.load(again)) == 100


def test_at_another_rate(talk: Path, tmp_path: Path) -> None:
    out = tmp_path / "talk.csv"
    assert main(["export", str(talk), "--out", str(out), "--fps", "60"]) == 0
    assert len(out.read_text().splitlines()) == 241


@pytest.mark.slow
@pytest.mark.weights("face_landmarker")
def test_the_head_of_a_photo(talk: Path, portrait: Path, tmp_path: Path) -> None:
    out = tmp_path / "talk.glb"
    assert main(["export", str(talk), "--out", str(out), "--portrait", str(portrait)]) == 0
    gltf, binary = chunks(out)
    (image,) = gltf["images"]
    view = gltf["bufferViews"][image["bufferView"]]
    picture = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    assert image["mimeType"] == "image/jpeg" and picture[:2] == b"\xff\xd8"
    part = gltf["meshes"][0]["primitives"][0]
    uv = numbers(gltf, binary, part["attributes"]["TEXCOORD_0"])
    points = numbers(gltf, binary, part["attributes"]["POSITION"])
    assert uv.min() >= 0 and uv[:, 1].max() <= 1 and uv[:, 0].max() < 1.5, "once around"
    assert uv[points[:, 1].argmax(), 1] < uv[points[:, 1].argmin(), 1], "v goes down"
    material = gltf["materials"][part["material"]]
    assert material["pbrMetallicRoughness"]["baseColorTexture"]["index"] == 0


@pytest.mark.slow
@pytest.mark.weights("face_landmarker")
def test_the_texture_shows_the_face(avatar: Avatar, portrait: Path) -> None:
    photo = Portrait.load(portrait, tracker=avatar.tracker)
    head = HeadMesh.of_portrait(photo, FaceBasis.load())
    assert head.texture is not None
    fitted = PortraitFace.fit(photo.face.landmarks, photo.face.expression, FaceBasis.load())
    under = HeadModel.load().fitted(fitted.points).anchors
    inner = KDTree(head.parts["skin"].points).query(
        HeadModel.load().fitted(fitted.neutral).anchors[_MIDDLE_OF_THE_FACE]
    )[1]
    size = np.array([head.texture.shape[1], head.texture.shape[0]])
    at = (head.uv[inner] * size).astype(int) % size
    here = head.texture[at[:, 1], at[:, 0]].astype(float)
    marks = fitted.pose.project(under[None])[0][_MIDDLE_OF_THE_FACE, :2].round().astype(int)
    there = photo.image[marks[:, 1], marks[:, 0]].astype(float)
    assert np.median(np.abs(here - there)) < 12


@pytest.mark.weights("face_landmarker")
def test_the_back_of_the_head_has_the_colour_of_the_hair(avatar: Avatar, portrait: Path) -> None:
    photo = Portrait.load(portrait, tracker=avatar.tracker)
    head = HeadMesh.of_portrait(photo, FaceBasis.load())
    assert head.texture is not None
    height, width = head.texture.shape[:2]
    back = head.texture[height // 5 : height // 2, : width // 10].reshape(-1, 3)
    face = head.texture[height // 2 - 20 : height // 2 + 20, width // 2 - 60 : width // 2 + 60]
    assert np.median(back) < 0.7 * np.median(face), "she has dark hair"


@pytest.mark.slow
@pytest.mark.weights("face_landmarker", "autoencoder", "denoiser")
@pytest.mark.parametrize("suffix", EXPORTS)
def test_a_render_takes_such_files(
    suffix: str,
    portrait: Path,
    avatar: Avatar,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Avatar, "load", staticmethod(lambda *_, **__: avatar))
    talk, other, out = (tmp_path / name for name in ("m.npz", f"m{suffix}", "m.mp4"))
    moving(30.0, seconds=0.4).save(talk)
    assert main(["export", str(talk), "--out", str(other)]) == 0
    words = ["render", "--portrait", str(portrait), "--motion", str(other), "--size", "128"]
    assert main([*words, "--out", str(out)]) == 0
    assert probe(out).frames == 10


def test_what_is_lost_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    motion = moving(25.0)
    motion.mask[3:5] = False
    talk = motion.save(tmp_path / "talk.npz")
    assert main(["export", str(talk), "--out", str(tmp_path / "talk.csv")]) == 0
    told = capsys.readouterr().err
    assert "2 of 100 frames were filled in" in told and "32 detail components" in told


def test_bad_input_gets_one_sentence(
    talk: Path, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, out = tmp_path / "talk.csv", tmp_path / "m.npz"
    csv.write_text("a,b\n1,2\n")
    for words, said in (
        (["export", talk, "--out", tmp_path / "talk.fbx"], "must end in .csv or .bvh or .glb"),
        (["export", tmp_path / "none.npz", "--out", csv], "there is no motion file"),
        (["export", talk, "--out", csv, "--fps", "0"], "wanted 1 to 240"),
        (["export", talk, "--out", csv, "--portrait", portrait], "only a .glb file shows a head"),
        (["import", csv, "--out", out], "lacks the column Timecode"),
        (["import", tmp_path / "none.glb", "--out", out], "there is no motion file"),
        (["import", csv, "--out", tmp_path / "m.csv"], "must end in .npz"),
    ):
        assert main([str(word) for word in words]) == 2, words
        stdout, stderr = capsys.readouterr()
        assert stdout == "" and stderr.count("\n") == 1 and said in stderr, stderr
    assert not out.exists()
    assert np.ptp(Motion.load(talk).values[:, ROTATION]) > 0
