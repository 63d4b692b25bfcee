"""doctor and weights: what is there, what is missing, what to do."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import app.cli.doctor as doctor
from app.cli.commands import main
from motion2video.reference.families import FAMILIES
from weights import load_manifest, registry


@pytest.mark.slow
@pytest.mark.weights("denoiser", "motion_generator", "speech_encoder", "face_landmarker")
def test_a_sound_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = {f["name"]: f for f in report["findings"]}
    assert report["healthy"]
    assert found["video and sound encoders"]["detail"] == "h264, aac"
    assert found["confined decoders"]["detail"].startswith("limits of time and memory yes, seccomp")
    assert found["self check"]["detail"].startswith("5 frames of 256 x 256")
    assert {
        "python",
        "torch",
        "onnxruntime",
        "opencv",
        "espeak-ng",
        "CPU",
        "GPU",
        "backends",
    } <= found.keys()
    assert {f"weights {role}" for role in load_manifest().roles} <= found.keys()


def test_an_obstacle_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("torch", "no-such-package"))
    assert main(["doctor", "--quick"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  no-such-package" in out
    assert "remedy for no-such-package: install it with `pip install no-such-package`" in out
    assert out.endswith("A video cannot be made yet.\n")


def test_builds_of_opencv_that_overwrite_each_other_are_an_obstacle_with_one_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left behind by a package that wants another build."""
    names = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "torch")
    several = [SimpleNamespace(name=name, version="5.0") for name in names]
    monkeypatch.setattr(doctor.metadata, "distributions", lambda: several)
    assert main(["doctor", "--quick"]) == 1
    assert (
        "remedy for opencv: `pip uninstall -y opencv-contrib-python opencv-python && "
        "pip install --force-reinstall --no-deps opencv-python-headless==5.0`"
    ) in capsys.readouterr().out


def test_weights_of_a_wrong_hash_are_an_obstacle(
    landmarker_is_wrong: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--quick"]) == 1
    assert "remedy for weights face_landmarker: " in capsys.readouterr().out


@pytest.fixture
def landmarker_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file in the place of the embedded one."""
    damaged = tmp_path / "landmarker.safetensors"
    damaged.write_bytes(b"damaged")
    locate = registry.locate
    monkeypatch.setattr(
        registry,
        "locate",
        lambda role, manifest=None: (
            damaged if role == "face_landmarker" else locate(role, manifest)
        ),
    )


def test_wrong_weights_end_a_render(
    landmarker_is_wrong: None,
    portrait: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.mp4"
    words = ["render", "--portrait", str(portrait), "--text", "Hi", "--out", str(out), "--json"]
    assert main(words) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "WeightsError"
    assert "face_landmarker" in error["message"] and "check the file out" in error["message"]
    assert not out.exists()


def test_missing_weights_end_a_render(
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path))
    words = ["--portrait", str(portrait), "--text", "Hi", "--out", str(tmp_path / "out.mp4")]
    assert main(["render", *words, "--detector", "insightface"]) == 2
    err = capsys.readouterr().err
    assert "insightface" in err and err.count("\n") == 1


def test_weights_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list", "--json"]) == 0
    listed = {w["role"]: w for w in json.loads(capsys.readouterr().out)}
    assert listed.keys() == {*load_manifest().roles, *FAMILIES}
    assert "AniPortrait" in listed["aniportrait"]["summary"]
    assert listed["face_landmarker"]["status"] == "embedded"
    assert "non-commercial" in listed["insightface_buffalo_l"]["licence"]


def test_weights_are_verified(
    landmarker_is_wrong: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "verify", "face_basis"]) == 0
    assert main(["weights", "verify", "face_landmarker"]) == 2
    out, err = capsys.readouterr()
    assert "WRONG HASH" in out and "check the file out again" in err


def test_unknown_weights_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("verify", "fetch"):
        assert main(["weights", command, "nonsense"]) == 2
        assert "no weights called 'nonsense'" in capsys.readouterr().err


def test_weights_that_are_there_are_not_fetched_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["weights", "fetch", "face_basis", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["face_basis"].endswith("face_basis.safetensors")
