"""The GPU's way to paste a frame gives what the CPU's gives; it runs on any device."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import motion2video.drawing.raster as raster
from motion2video.drawing.canvas import Canvas, sample
from motion2video.drawing.crops import Crops, CropStage
from motion2video.drawing.layered import LayeredWarp
from motion2video.drawing.layered_canvas import LayeredCanvas
from motion2video.drawing.places import INNER_LIPS, fill_polygon
from motion2video.drawing.stage import draw
from motion2video.drawing.warp import FaceWarp
from motion2video.motion import Motion, channel_index
from motion2video.network.choices import Quality
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import PreparedPortrait, RenderConfig, Renderer

PHOTO = Path(__file__).parents[3] / "app" / "assets" / "portraits" / "default.jpg"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def lively() -> Motion:
    """At rest, speaking with the head turned, a blink, a laugh with half-shut eyes."""
    motion = Motion.neutral(4)
    motion.values[:, channel_index("jawOpen")] = [0.0, 0.3, 0.0, 0.7]
    motion.values[:, 53] = [0.0, 0.2, -0.1, -0.25]  # turns the head
    for side in ("eyeBlinkLeft", "eyeBlinkRight"):
        motion.values[:, channel_index(side)] = [0.0, 0.0, 0.8, 0.3]
    return motion


def warp_of(prepared: PreparedPortrait) -> FaceWarp:
    assert isinstance(prepared.stage, CropStage) and isinstance(prepared.stage.warp, FaceWarp)
    return prepared.stage.warp


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [200, 384])
def test_a_canvas_draws_what_the_cpu_draws(device: str, size: int) -> None:
    portrait = Portrait.load(PHOTO, size=size)
    renderer = Renderer.load(
        RenderConfig(head="warp"), ComputeConfig(device="cpu", backend="torch", precision="fp32")
    )
    here = renderer.init_state(portrait).prepared
    marks, eyes = here.face.keypoints(lively())
    wanted = here.stage.begin(marks, eyes)
    found = Canvas(warp_of(here), here.inside, here.brush, torch.device(device)).begin(marks, eyes)
    assert isinstance(wanted, Crops) and len(wanted.frames) == len(found.frames) == len(marks)
    for i, frame in enumerate(wanted.frames):
        seen = found.frames[i].permute(1, 2, 0).cpu().numpy()
        hole = fill_polygon(marks[i][INNER_LIPS, :2], (frame.shape[1], frame.shape[0])) > 0
        assert np.abs(seen - frame)[~hole].mean() < 0.4
    for name in wanted.areas:
        picks = np.flatnonzero(wanted.chosen[name]).tolist()
        planes = [stage.conditions(name, picks).cpu().numpy() for stage in (wanted, found)]
        assert picks and np.abs(planes[0] - planes[1]).mean() < 0.004, name
    if device == "cuda":
        return  # the network lies elsewhere: test_gpu_frames_match_the_cpus
    wanted.paint()
    found.paint()
    for frame, true in zip(found.paste(), wanted.paste(), strict=True):
        assert frame.shape == true.shape and frame.dtype == np.uint8
        away = np.abs(frame.astype(int) - true)
        assert away.mean() < 0.4 and np.quantile(away, 0.999) <= 12


@pytest.mark.parametrize("device", DEVICES)
def test_a_canvas_without_a_network_shows_the_drawn_mouth(device: str) -> None:
    portrait = Portrait.load(PHOTO, size=200)
    renderer = Renderer.load(RenderConfig(steps=0, head="warp"), ComputeConfig(device="cpu"))
    here = renderer.init_state(portrait).prepared
    there = Canvas(warp_of(here), here.inside, here.brush, torch.device(device))
    marks, eyes = here.face.keypoints(lively()[3:])
    frames = [draw(stage, marks, eyes)[0] for stage in (here.stage, there)]
    away = np.abs(frames[0].astype(int) - frames[1])
    assert away.mean() < 0.4 and np.quantile(away, 0.999) <= 12


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_any_cut_gives_the_same_frames(device: str) -> None:
    portrait = Portrait.load(PHOTO, size=200)
    renderer = Renderer.load(
        RenderConfig(steps=1, head="warp"), ComputeConfig(device=device, backend="torch")
    )
    renderer.batch = 4
    prepared = renderer.init_state(portrait).prepared
    stage = Canvas(warp_of(prepared), prepared.inside, prepared.brush, torch.device(device))
    marks, eyes = prepared.face.keypoints(lively())
    together = draw(stage, marks, eyes)
    cut = [
        frame
        for part in (slice(0, 1), slice(1, 4))
        for frame in draw(stage, marks[part], eyes[part])
    ]
    assert len(together) == len(cut) == 4
    assert all(np.array_equal(a, b) for a, b in zip(together, cut, strict=True))


def test_triangles_cover_each_other_in_their_order() -> None:
    square = [[[10.0, 10], [50, 10], [10, 50]], [[50, 50], [50, 10], [10, 50]]]
    over = [[[20.0, 20], [24, 20], [20, 24]]]
    ids = raster.draw_triangles(torch.tensor([square + over]), 64)[0]
    assert ids[5, 5] == -1 and ids[12, 12] == 0 and ids[48, 48] == 1
    assert ids[21, 21] == 2, "the last one lies on top, however small"
    under = raster.draw_triangles(torch.tensor([over + square]), 64)[0]
    assert (under[11:49, 11:49] > 0).all()


def test_shapes_are_what_opencv_draws() -> None:
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, (5, 12)), 1)
    points = 32 + rng.uniform(8, 24, (5, 12, 1)) * np.stack([np.cos(angle), np.sin(angle)], -1)
    drawn = raster.fill_polygons(torch.from_numpy(points.astype(np.float32)), 64).numpy()
    for plane, corners in zip(drawn, points, strict=True):
        wanted = np.zeros((64, 64), np.uint8)
        cv2.fillPoly(wanted, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        assert np.abs(255 * plane - wanted).mean() < 2
    plane = torch.from_numpy(rng.random((1, 40, 50), np.float32))
    soft = cv2.GaussianBlur(plane[0].numpy(), (9, 9), 1.2)
    assert np.abs(raster.blur(plane, 1.2, 4)[0].numpy() - soft).max() < 1e-5
    hole = rng.random((1, 30, 30)) < 0.8
    depth = cv2.distanceTransform(hole[0].astype(np.uint8), cv2.DIST_L2, 3)
    mine = raster.depth_in(torch.from_numpy(hole))[0].numpy()
    assert np.abs(np.minimum(mine, 1.5) - np.minimum(depth, 1.5)).max() < 0.01


def test_sampling_follows_pixels_and_keeps_the_edge() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    grid = torch.tensor([[[[0.0, 0.0], [1.5, 1.0], [9.0, 2.0], [-3.0, -3.0]]]])
    assert sample(image, grid).flatten().tolist() == pytest.approx([0.0, 5.5, 11.0, 0.0], abs=1e-5)


def test_batches_are_filled_up_and_their_filling_is_dropped() -> None:
    """On a GPU several frames go together; the last few alone give the same frames."""
    portrait = Portrait.load(PHOTO, size=200)
    renderer = Renderer.load(
        RenderConfig(steps=1, head="warp"),
        ComputeConfig(device="cpu", backend="torch", precision="fp32"),
    )
    motion = Motion.neutral(3)
    motion.values[:, channel_index("jawOpen")] = [0.2, 0.4, 0.6]
    one_by_one = list(renderer.stream(portrait, [motion]))
    renderer.batch = 4
    together = list(renderer.stream(portrait, [motion]))
    assert len(together) == 3
    for a, b in zip(one_by_one, together, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("quality", ["live", "best"])
def test_a_gpu_draws_the_layers_that_the_cpu_draws(device: str, quality: Quality) -> None:
    portrait = Portrait.load(PHOTO, size=160)
    renderer = Renderer.load(
        RenderConfig(quality, steps=0), ComputeConfig(device="cpu", backend="torch")
    )
    here = renderer.init_state(portrait).prepared
    assert isinstance(here.stage, CropStage) and isinstance(here.stage.warp, LayeredWarp)
    there = LayeredCanvas(here.stage.warp, here.inside, here.brush, torch.device(device))
    motion = lively()
    motion.values[:, 55] = [0.0, 0.1, -0.1, 0.2]  # and goes aside, the torso after it
    marks, eyes = here.face.keypoints(motion)
    wanted, found = draw(here.stage, marks, eyes), draw(there, marks, eyes)
    for frame, true in zip(found, wanted, strict=True):
        assert frame.shape == true.shape and frame.dtype == np.uint8
        away = np.abs(frame.astype(int) - true)
        assert away.mean() < 0.5 and np.quantile(away, 0.99) <= 12


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_any_cut_gives_the_same_layers(device: str) -> None:
    portrait = Portrait.load(PHOTO, size=128)
    renderer = Renderer.load(RenderConfig("live", steps=0), ComputeConfig(device="cpu"))
    renderer.batch = 4
    here = renderer.init_state(portrait).prepared
    assert isinstance(here.stage, CropStage) and isinstance(here.stage.warp, LayeredWarp)
    there = LayeredCanvas(here.stage.warp, here.inside, here.brush, torch.device(device))
    marks, eyes = here.face.keypoints(lively())
    together = draw(there, marks, eyes)
    cut = [f for part in (slice(0, 1), slice(1, 4)) for f in draw(there, marks[part], eyes[part])]
    assert all(np.array_equal(a, b) for a, b in zip(together, cut, strict=True))
