"""The renderer's judge: it knows its own frames again and sees a missing mouth."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.render.demo import DEFAULT_PORTRAIT
from motion2video.drawing.stage import draw
from motion2video.faces.tracker import FaceTracker
from motion2video.motion import Motion, channel_index
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer
from scripts.evaluate.identity import Identity
from scripts.evaluate.renderer import (
    Case,
    Judge,
    control,
    draw_worst,
    evaluate,
    laws,
    mouth_box,
    summary,
)
from weights.errors import DependencyError, WeightsError

COMPUTE = ComputeConfig(device="cpu", threads=1)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(FaceTracker.load(), None, None)


@pytest.fixture(scope="module")
def case(judge: Judge) -> Case:
    """A portrait, and what the default renderer makes of it with an open mouth and a turn."""
    photo = Portrait.load(DEFAULT_PORTRAIT, tracker=judge.tracker, size=320)
    renderer = Renderer.load(RenderConfig(), COMPUTE)
    motion = Motion.neutral(2)
    motion.values[:, channel_index("jawOpen")] = 0.6, 0.3
    prepared = renderer.init_state(photo).prepared
    marks, open_eyes = prepared.face.keypoints(motion)
    return Case("a", photo, draw(prepared.stage, marks, open_eyes), marks, open_eyes)


@pytest.mark.slow
def test_figures_tell_a_good_frame_from_a_bad_one(case: Case, judge: Judge, tmp_path: Path) -> None:
    renderers = {
        "default": Renderer.load(RenderConfig(), COMPUTE),
        "warp": Renderer.load(RenderConfig(steps=0), COMPUTE),
    }
    shown = evaluate([case], renderers, judge)
    rows = {name: summary([one.figures for one in frames]) for name, frames in shown.items()}
    assert rows["default"]["face PSNR"] > 60, "the truth was made by this very renderer"
    assert rows["default"]["mouth SSIM"] > 0.998
    assert rows["warp"]["mouth PSNR"] < rows["default"]["mouth PSNR"] - 20
    assert rows["warp"]["mouth PSNR"] < rows["warp"]["face PSNR"], "only the mouth is missing"
    assert rows["true frame"]["found"] == 1 and rows["true frame"]["mouth"] < 3
    assert control([case], judge) == {}, "nobody asked for identities"
    draw_worst(shown["warp"], tmp_path / "new" / "worst.png")
    picture = cv2.imread(str(tmp_path / "new" / "worst.png"))
    assert picture is not None and picture.shape == (512, 4 * 768, 3)


def test_the_mouth_box_stays_inside_the_square() -> None:
    points = np.full((478, 2), 128.0)
    for centre in ((128, 128), (0, 0), (255, 255), (-50, 300)):
        points[:] = centre
        box = np.zeros((256, 256))[mouth_box(points)]
        assert min(box.shape) >= 32


def test_identity_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises((DependencyError, WeightsError), match=r"ai-edge-litert|there is no file"):
        Identity(tmp_path / "none.tflite")


def album(folder: Path, tracker: FaceTracker) -> Path:
    """The dataset layout with two embedded portraits and one clip's motion."""
    names, marks = ["default.jpg", "man_1.jpg"], []
    for name in names:
        picture = cv2.imread(str(DEFAULT_PORTRAIT.with_name(name)))
        assert picture is not None
        cv2.imwrite(str(folder / name), picture)
        marks.append(tracker.detect(np.ascontiguousarray(picture[..., ::-1]))[0].landmarks)
    np.savez(folder / "stills.npz", names=np.array(names), landmarks=np.stack(marks))
    rows = [f"{name},{name},test,{name}" for name in names]
    (folder / "stills.csv").write_text("\n".join(["name,identity,split,image", *rows]) + "\n")
    motion = Motion.neutral(17)
    motion.values[:, channel_index("jawOpen")] = np.linspace(0, 0.5, 17)
    motion.values[:, 53] = np.linspace(-0.1, 0.2, 17)
    (folder / "motion").mkdir()
    motion.save(folder / "motion" / "clip.npz")
    head = "clip,group,identity,split,frames,motion,audio,video,native_fps,partner"
    line = "clip,made up,driver,test,17,motion/clip.npz,,video/clip.mp4,25,"
    (folder / "index.csv").write_text(f"{head}\n{line}\n")
    return folder


@pytest.mark.slow
def test_the_laws_of_any_photo_hold(tmp_path: Path, judge: Judge) -> None:
    """Closed mouths and eyes are closed, a held pose is still, and cuts of the motion leave no
    trace; a tracker sees in the frames what the motion asked for.
    """
    found = laws(album(tmp_path, judge.tracker), "test", judge, photos=4)
    assert found["shut"]["frames"] == found["seams"]["frames"] == 2
    assert found["shut"]["lips"] < 2.0
    assert found["shut"]["shut lids"] < 0.6 * found["shut"]["open lids"]
    assert found["held"]["still"] == 0 and found["held"]["noisy"] < 1.5
    assert found["seams"]["difference"] == 0
    driven = found["other people's motion"]
    assert driven["found"] == 1 and driven["mouth"] < 3 and driven["eyes"] < 3
