"""The fitted head under a photo: how deep it is, where it closes, and what lies behind."""

import copy
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from motion2video.drawing.crops import CropStage
from motion2video.drawing.layered import LayeredWarp
from motion2video.drawing.layered_canvas import LayeredCanvas
from motion2video.drawing.stage import draw
from motion2video.faces.tracker import FaceTracker
from motion2video.geometry.angles import head_rotation
from motion2video.geometry.basis import FACE_OVAL, FaceBasis, interocular, rotation_matrix
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION, Motion
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.head import Silhouette, at
from motion2video.portrait.layers import unmixed
from motion2video.portrait.portrait import Portrait
from motion2video.portrait.skull import Skull
from motion2video.renderer import RenderConfig, Renderer

PHOTO = Path(__file__).parents[3] / "app" / "assets" / "portraits" / "man_1.jpg"
EAR = 234  # the face's border before the ear at the picture's left


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return Portrait.load(PHOTO, tracker=FaceTracker.load(), size=256)


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    return FaceBasis.load()


@pytest.fixture(scope="module")
def outline(portrait: Portrait, basis: FaceBasis) -> Silhouette:
    assert portrait.matte is not None
    marks = portrait.face.landmarks
    return Silhouette.of(portrait.matte, marks, float(interocular(marks)), basis)


def test_a_head_is_as_deep_as_heads_are_and_closes_at_its_outline(outline: Silhouette):
    """Adults' heads are some 19 cm long and 15 cm wide: three interocular distances."""
    skull, u = outline.skull, outline.unit
    between = outline.landmarks[[33, 133, 263, 362]].mean(0)
    brow = between[:2] - [0, 0.6 * u]
    depth = float((at(skull.far, brow[None]) - at(skull.near, brow[None]))[0]) / u
    assert 2.4 < depth < 3.6
    assert (skull.far >= skull.near).all()
    rim = (outline.solid > 0) & (outline.to_edge <= 2)
    assert np.abs(skull.far - skull.near)[rim].max() == 0


def test_the_skin_goes_on_from_the_faces_border_without_a_step(outline: Silhouette):
    oval = outline.landmarks[FACE_OVAL]
    depth, _ = outline.depths(oval[:, :2])
    assert np.abs(depth - oval[:, 2]).max() < 0.1 * outline.unit


def test_a_neck_closes_behind_the_jaw(outline: Silhouette):
    """Its front and its back meet at the outline, so that neither leaves the other as it turns."""
    u = outline.unit
    rows = slice(outline.ears[1] + round(0.4 * u), round(outline.chin + 0.4 * u))
    rim = np.zeros(outline.solid.shape, bool)
    rim[rows] = ((outline.solid > 0) & (outline.to_edge <= 1.5) & (outline.to_face > 0.25 * u))[
        rows
    ]
    near, far = outline.depths(np.argwhere(rim)[:, ::-1].astype(np.float32))
    assert len(near) > 20
    assert (far - near).max() < 0.06 * u


@pytest.mark.parametrize("gpu", [False, True])
def test_the_nape_is_seen_between_a_turned_jaw_and_the_neck(basis: FaceBasis, gpu: bool):
    """What the jaw uncovers is the nape, not the wall: without it there is a gap below the ear."""
    portrait = Portrait.load(PHOTO.with_stem("man_2"), size=256)
    assert portrait.matte is not None
    face = PortraitFace.fit(portrait.face.landmarks, portrait.face.expression, basis)
    warp = LayeredWarp(portrait.image, portrait.face.landmarks, basis, portrait.matte)
    without = copy.copy(warp)
    without.shell = dataclasses.replace(warp.shell, nape=0)
    values = np.zeros((1, MOTION_DIM), np.float32)
    values[0, ROTATION] = head_rotation(np.radians([[-25.0, 0, 0]]))[0]
    marks, eyes = face.keypoints(Motion(values))
    if gpu:
        engine = Renderer.load(RenderConfig(steps=0), ComputeConfig(device="cpu"))
        made = engine.init_state(portrait).prepared
        stages = [
            LayeredCanvas(one, made.inside, made.brush, torch.device("cpu"))
            for one in (warp, without)
        ]
        pair = [stage.drawn(marks, eyes)[0].permute(1, 2, 0).numpy() for stage in stages]
    else:
        pair = [one.warp(marks[0], eyes[0]) for one in (warp, without)]
    with_it, bare = (frame[..., :3].astype(int) for frame in pair)
    differs = np.abs(with_it - bare).max(-1) > 30
    wall = np.median(portrait.image[:20].reshape(-1, 3), 0)
    where = np.argwhere(differs)
    assert len(where) > 0.004 * warp.unit**2
    assert np.abs(bare[differs] - wall).mean() < np.abs(with_it[differs] - wall).mean()
    top = marks[0, 2, 1]  # the nose
    assert (where[:, 0] > top).mean() > 0.8


def test_over_a_head_that_bows_comes_no_second_one(portrait: Portrait, basis: FaceBasis):
    """The border of the canvas mirrors the photo, hair and all."""
    assert portrait.matte is not None
    cut = int(np.argmax((portrait.matte > 0.5).any(1))) - 3
    image, matte = portrait.image[cut:], portrait.matte[cut:]
    marks = portrait.face.landmarks - np.array([0, cut, 0], np.float32)
    warp = LayeredWarp(np.ascontiguousarray(image), marks, basis, matte)
    down = marks + np.array([0, 0.4 * warp.unit, 0], np.float32)
    above = warp.warp(down)[: round(0.2 * warp.unit)].astype(int)
    wall = np.median(above.reshape(-1, 3), 0)
    assert np.abs(above - wall).max() < 40


def test_hair_makes_the_head_larger_but_the_face_no_deeper(
    portrait: Portrait, basis: FaceBasis, outline: Silhouette
):
    """The same face under a tall hat."""
    marks, u = portrait.face.landmarks, outline.unit
    hat = outline.solid.copy()
    x, y = marks[10, :2].astype(int)
    hat[: y - round(0.2 * u), x - round(u) : x + round(u)] = 1
    edge = cv2.distanceTransform(hat, cv2.DIST_L2, 5)
    worn = Skull.under(marks, basis, hat, edge, u)
    above = np.array([[x, y - 0.9 * u]])
    assert at(worn.near, above) < at(outline.skull.near, above) - 0.1 * u  # the hat's front
    nose = marks[[1], :2]
    assert abs(float((at(worn.near, nose) - at(outline.skull.near, nose))[0])) < 0.05 * u


def test_behind_the_ear_of_a_turned_head_is_the_head(portrait: Portrait, basis: FaceBasis):
    """And no wall: below the lobe the nape comes to be seen."""
    assert portrait.matte is not None
    face = PortraitFace.fit(portrait.face.landmarks, portrait.face.expression, basis)
    warp = LayeredWarp(portrait.image, portrait.face.landmarks, basis, portrait.matte)
    values = np.zeros((2, MOTION_DIM), np.float32)
    values[1, ROTATION] = head_rotation(np.radians([[25.0, 0, 0]]))[0]
    neck = np.array([0, -0.82, -0.73], np.float32)
    values[1, TRANSLATION] = neck - rotation_matrix(values[1, ROTATION]) @ neck
    marks, _ = face.keypoints(Motion(values))
    seen = []
    for one in marks:
        frame = warp.warp(one).astype(int)
        lobe = one[EAR, :2] + [0, 0.55 * warp.unit]
        row, left = int(lobe[1]), int(lobe[0])
        wall = frame[row, 4].astype(int)
        dark = np.abs(frame[row, :left] - wall).max(-1) > 40
        seen.append(int(dark.sum()))
    assert seen[1] > seen[0] + 0.04 * warp.unit


def test_a_matte_that_is_too_large_is_cut_to_what_is_seen():
    """A dark square before a light wall, three pixels larger in the matte than in the picture."""
    wall = np.full((80, 80, 3), 220.0, np.float32)
    canvas = wall.astype(np.uint8)
    canvas[20:60, 20:60] = 40
    alpha = np.zeros((80, 80), np.float32)
    alpha[17:63, 17:63] = 1
    cut = unmixed(canvas, wall, alpha, 60.0)
    assert cut[40, 18] < 0.1 and cut[40, 61] < 0.1
    assert cut[40, 22] > 0.95 and cut[30:50, 30:50].min() == 1
    alike = unmixed(wall.astype(np.uint8), wall, alpha, 60.0)
    assert np.array_equal(alike, alpha)  # where both are alike, nobody can tell


@pytest.mark.parametrize("within", [0.0, 0.3])
def test_a_face_that_fills_the_picture_is_drawn(portrait: Portrait, within: float):
    """Of a person who covers all of it there is no back to be seen, on a GPU either."""
    marks = portrait.face.landmarks
    low, high = marks[:, :2].min(0), marks[:, :2].max(0)
    low = low + within * (high - low)
    x0, y0, x1, y1 = (2 * (int(v) // 2) for v in (*low, *high))
    image = np.ascontiguousarray(portrait.image[y0:y1, x0:x1])
    moved = dataclasses.replace(
        portrait.face,
        landmarks=marks - np.array([x0, y0, 0], np.float32),
        image_size=(x1 - x0, y1 - y0),
    )
    cut = Portrait(image, moved)
    cut.__dict__["matte"] = np.ones(image.shape[:2], np.float32)
    renderer = Renderer.load(RenderConfig(steps=0), ComputeConfig(device="cpu"))
    prepared = renderer.init_state(cut).prepared
    stage = prepared.stage
    assert isinstance(stage, CropStage) and isinstance(stage.warp, LayeredWarp)
    assert not len(stage.warp.shell.back)
    there = LayeredCanvas(stage.warp, prepared.inside, prepared.brush, torch.device("cpu"))
    still, eyes = prepared.face.keypoints(Motion.neutral(1))
    frames = [draw(one, still, eyes)[0].astype(int) for one in (stage, there)]
    assert np.abs(frames[0] - image).mean() < 6
    assert np.abs(frames[0] - frames[1]).mean() < 1
