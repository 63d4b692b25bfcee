"""A portrait in layers: what turns, what stays, and what a photo without a matte gets."""

import gc
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from motion2video.drawing.crops import CropStage
from motion2video.drawing.layered import LayeredWarp
from motion2video.drawing.layered_canvas import LayeredCanvas
from motion2video.drawing.places import EYES, fill_polygon
from motion2video.drawing.warp import FaceWarp, Warp
from motion2video.faces.tracker import FaceTracker
from motion2video.geometry.angles import head_rotation
from motion2video.geometry.basis import FACE_OVAL, interocular, moved_pose, rotation_matrix
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION, Motion, Rest, channel_index
from motion2video.network.choices import Quality
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.behind import Behind
from motion2video.portrait.fills import mirror_fill, push_pull
from motion2video.portrait.head import similarity
from motion2video.portrait.layers import (
    Layers,
    bare_face,
    canvas_of,
    make_plate,
    rimless,
    without_rim,
)
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer
from weights.errors import InputError

UPPER_LIDS = [160, 159, 158, 161, 157, 387, 386, 385, 388, 384]
LOWER_LIDS = [144, 145, 153, 163, 154, 373, 374, 380, 390, 381]
PHOTO = Path(__file__).parents[3] / "app" / "assets" / "portraits" / "man_1.jpg"


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return Portrait.load(PHOTO, tracker=FaceTracker.load(), size=256)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer.load(RenderConfig(steps=0), ComputeConfig(device="cpu"))


def warp_of(renderer: Renderer, portrait: Portrait) -> Warp:
    stage = renderer.init_state(portrait).prepared.stage
    assert isinstance(stage, CropStage)
    return stage.warp


def posed(yaw: float, pitch: float = 0) -> Motion:
    values = np.zeros((1, MOTION_DIM), np.float32)
    values[:, ROTATION] = head_rotation(np.radians([[yaw, pitch, 0.0]]))
    return Motion(values)


def turned(renderer: Renderer, portrait: Portrait, yaw: float, pitch: float) -> np.ndarray:
    _, frames = renderer.step(renderer.init_state(portrait), posed(yaw, pitch))
    return frames[0]


def test_the_background_stays_to_the_bit_outside_the_matte(renderer: Renderer, portrait: Portrait):
    """In any pose: what no part of the person covers, before or after."""
    assert portrait.matte is not None
    person = (portrait.matte > 0.001).astype(np.uint8)
    for yaw, pitch in ((25, 0), (-25, 0), (0, 15), (0, -15)):
        frame = turned(renderer, portrait, yaw, pitch)
        reach = cv2.dilate(person, np.ones((101, 101), np.uint8))
        assert np.array_equal(frame[reach == 0], portrait.image[reach == 0])


@pytest.mark.parametrize("yaw", [-25.0, 25.0])
def test_the_head_keeps_its_height_when_it_turns(
    renderer: Renderer, portrait: Portrait, yaw: float
):
    """The bent photo tears the hair off; a head in three dimensions does not grow or shrink."""
    plain = turned(renderer, portrait, 0, 0)
    frame = turned(renderer, portrait, yaw, 0)
    tops = [int(np.flatnonzero((f.min(-1) < 90).sum(1) > 5)[0]) for f in (plain, frame)]
    assert abs(tops[0] - tops[1]) <= 4


def test_eyes_wider_than_the_photos_show_no_background(renderer: Renderer, portrait: Portrait):
    """Eyeballs lie as in the photo; lids that open further had a hole beside them."""
    own = Portrait(portrait.image, portrait.face)  # whose layers nobody else draws from
    warp, marks = warp_of(renderer, own), portrait.face.landmarks
    assert isinstance(warp, LayeredWarp)
    warp.layers.plate[:] = (0, 255, 0)
    wide = marks.copy()
    wide[UPPER_LIDS, 1] -= 0.1 * interocular(marks)
    wide[LOWER_LIDS, 1] += 0.06 * interocular(marks)
    frame = warp.warp(wide, marks).astype(int)
    for eye, _ in EYES.values():
        opening = fill_polygon(wide[eye, :2], portrait.image.shape[1::-1]) == 255
        red, green, _ = frame[opening].T
        assert (green - red).max() < 40


def test_a_drawing_without_a_person_bends(renderer: Renderer, portrait: Portrait):
    """The network that looks for people sees none: the photo is bent, as it was before."""
    noise = np.random.default_rng(0).integers(0, 255, portrait.image.shape).astype(np.uint8)
    blind = Portrait(noise, portrait.face)
    assert blind.matte is None
    assert type(warp_of(renderer, blind)) is FaceWarp
    assert type(warp_of(renderer, portrait)) is LayeredWarp


def test_the_matte_holds_the_face_and_not_the_corners(portrait: Portrait):
    assert portrait.matte is not None
    oval = portrait.face.landmarks[FACE_OVAL, :2].astype(np.int32)
    face = cv2.fillPoly(np.zeros(portrait.matte.shape, np.uint8), [oval], 1) > 0
    assert portrait.matte[face].min() == 1
    assert portrait.matte[:20, :20].max() < 0.01


def test_a_hole_in_a_flat_wall_is_filled_with_the_wall():
    wall = np.full((40, 60, 3), 120.0, np.float32)
    known = np.ones((40, 60), np.uint8)
    known[10:30, 20:40] = 0
    holed = wall * known[..., None]
    assert np.allclose(mirror_fill(holed, known), wall)
    assert np.abs(push_pull(holed, known.astype(np.float32)) - wall).max() < 1


def test_who_stands_on_the_border_of_the_picture_leaves_nothing_in_the_hole():
    wall = np.full((60, 60, 3), 200.0, np.float32)
    known = np.ones((60, 60), np.uint8)
    known[20:, 10:50] = 0
    known[50:55, 10:20] = 1
    assert np.allclose(mirror_fill(wall * known[..., None], known), wall, atol=0.1)


def test_the_rim_of_a_person_that_the_matte_missed_does_not_stay_on_a_plain_wall():
    picture = np.full((200, 200, 3), 200, np.uint8)
    picture[60:200, 66:130] = 150
    picture[60:200, 78:130] = 40
    alpha = np.zeros((200, 200), np.float32)
    alpha[60:200, 78:130] = 1
    plate, matte = make_plate(picture, alpha, 60.0)
    assert np.abs(plate - 200).max() < 8
    assert (matte[100:190, 70:76] > 0.5).all(), "it goes with the person"


def test_a_level_line_goes_on_straight_behind_the_hole():
    wall = np.zeros((41, 60, 3), np.float32)
    wall[20] = 200
    known = np.ones((41, 60), np.uint8)
    known[:, 25:35] = 0
    filled = mirror_fill(wall * known[..., None], known)
    assert (filled[20, 25:35] > 190).all() and (filled[15, 25:35] < 10).all()


def test_similarity_is_found_again():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((20, 3))
    angle = 0.4
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    scale, rotation, offset = similarity(points, 2.5 * points @ turn.T + [1, 2, 3])
    assert scale == pytest.approx(2.5)
    assert np.allclose(rotation, turn, atol=1e-6) and np.allclose(offset, [1, 2, 3], atol=1e-5)


def lean(renderer: Renderer, portrait: Portrait, row: np.ndarray) -> np.ndarray:
    """By how many interocular distances the collar goes."""
    prepared = renderer.init_state(portrait).prepared
    marks, _ = prepared.face.keypoints(Motion(row[None]))
    warp = warp_of(renderer, portrait)
    assert isinstance(warp, LayeredWarp)
    pad = np.array([warp.pad, warp.pad, 0], np.float32)
    _, matrix = warp.shell.placed(marks[0] + pad)
    collar = np.array([warp.shell.pivot[0], warp.shell.collar])
    return (matrix[:, :2] @ collar + matrix[:, 2] - collar) / interocular(marks[0])


def test_the_torso_leans_after_a_head_that_goes_and_not_after_one_that_turns(
    renderer: Renderer, portrait: Portrait
):
    neck = np.array([0, -0.82, -0.73], np.float32)
    row = np.zeros(MOTION_DIM, np.float32)
    row[TRANSLATION] = [0.1, 0, 0]
    goes = lean(renderer, portrait, row)
    assert 0.04 < goes[0] < 0.07 and abs(goes[1]) < 0.01
    row[ROTATION] = head_rotation(np.radians([[20.0, 10.0, 0.0]]))[0]
    row[TRANSLATION] = neck - rotation_matrix(row[None, ROTATION])[0] @ neck
    assert np.abs(lean(renderer, portrait, row)).max() < 0.03


def test_a_torso_never_leaves_the_picture(renderer: Renderer, portrait: Portrait):
    row = np.zeros(MOTION_DIM, np.float32)
    row[TRANSLATION] = [30, -30, 0]
    assert np.linalg.norm(lean(renderer, portrait, row)) < 0.6


def test_strands_before_a_plain_wall_are_kept_and_leave_no_trace_behind():
    rng = np.random.default_rng(3)
    image = np.clip(rng.normal(200, 1, (160, 160, 3)), 0, 255).astype(np.uint8)
    alpha = np.zeros((160, 160), np.float32)
    alpha[60:, 60:100] = 1
    image[60:, 60:100] = (90, 60, 50)
    image[80:120, 110:112] = (30, 20, 20)  # a lock that the matte has missed
    plate, found = make_plate(image, alpha, 40.0)
    assert found[90:110, 110:112].min() > 0.8 and found[90:110, 130:].max() == 0
    assert np.abs(plate - 200).max() < 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "first, second", [("draft", "live"), ("live", "standard"), ("standard", "best")]
)
def test_a_better_quality_draws_otherwise_and_keeps_the_photo(
    portrait: Portrait, first: Quality, second: Quality
):
    renderer = Renderer.load(RenderConfig(), ComputeConfig(device="cpu"))
    motion = Motion.neutral(2)
    motion.values[1, 25] = 0.4  # jawOpen
    motion.values[1, ROTATION] = head_rotation(np.radians([[6.0, 2.0, 1.0]]))[0]
    frames = []
    for quality in (first, second):
        other = renderer.at(quality)
        _, drawn = other.step(other.init_state(portrait), motion)
        away = np.abs(drawn[0].astype(int) - portrait.image)
        assert away.mean() < 1.0
        frames.append(drawn[1].astype(int))
    assert 0 < np.abs(frames[0] - frames[1]).mean() < 4


def test_steps_that_were_asked_for_stay_at_every_quality_but_a_draft():
    assert RenderConfig("live").work.steps == 1
    assert RenderConfig("live", steps=3).work.steps == 3
    assert RenderConfig("draft", steps=3).work.steps == 0


def test_a_renderer_at_another_quality_is_made_once(renderer: Renderer):
    assert renderer.at("best") is renderer.at("best") and renderer.at("standard") is renderer
    assert renderer.at("best").at("standard") is renderer


def test_over_a_head_that_the_picture_cuts_goes_on_its_hair(portrait: Portrait):
    marks = portrait.face.landmarks
    brows = int(marks[[105, 334], 1].min())
    hairline = brows - 22
    image = np.full((200, 256, 3), (200, 160, 140), np.uint8)
    image[:14] = (60, 40, 30)
    shift = np.array([0, hairline - 14, 0], np.float32)
    alpha = np.ones((200, 256), np.float32)
    bare = bare_face(image, marks - shift)
    assert bare[20:24, 120:136].all() and not bare[:8].any()
    canvas = canvas_of(image, alpha, bare, 60)
    above = canvas[:60, 60 + 110 : 60 + 146].astype(int)
    assert np.abs(above - (60, 40, 30)).max() < 40
    assert np.array_equal(canvas[60:-60, 60:-60], image)


def test_over_a_forehead_that_the_picture_cuts_goes_on_skin(portrait: Portrait):
    """And no brow, nor single hairs of a hairline, a second time."""
    marks = portrait.face.landmarks
    cut = int(marks[[105, 334], 1].min()) - 16
    image = np.full((200, 256, 3), (200, 160, 140), np.uint8)
    image[4:9, 100:156] = (60, 40, 30)
    bare = bare_face(image, marks - np.array([0, cut, 0], np.float32))
    assert bare[0, 120:136].all()
    canvas = canvas_of(image, np.ones((200, 256), np.float32), bare, 60)
    above = canvas[:58, 60 + 105 : 60 + 151].astype(int)
    assert np.abs(above - (200, 160, 140)).max() < 40
    assert np.array_equal(canvas[60:-60, 60:-60], image)


def test_a_head_that_the_picture_cuts_stays_beyond_its_edges(
    renderer: Renderer, portrait: Portrait
):
    """Whatever it does: above the crown and below the neck nobody knows what it is like."""
    marks = portrait.face.landmarks
    whole = renderer.init_state(portrait).prepared.face
    assert whole.crown is None, "here there is room above"
    top, end = int(marks[10, 1]) - 8, int(marks[152, 1]) + 24
    cut = Portrait.load(portrait.image[top // 2 * 2 : end // 2 * 2], FaceTracker.load())
    prepared = renderer.init_state(cut).prepared
    assert prepared.face.crown is not None
    free = PortraitFace.fit(cut.face.landmarks, cut.face.expression, renderer.basis)
    rest, _ = prepared.face.keypoints(Motion.neutral(1))
    assert np.array_equal(rest, free.keypoints(Motion.neutral(1))[0])
    for yaw, pitch in ((0, 10), (0, -10), (15, 5)):
        motion = posed(yaw, pitch)
        kept, freely = (f.keypoints(motion)[0] for f in (prepared.face, free))
        moved = kept - freely
        assert np.ptp(moved[..., 1]) < 1e-2 and not moved[..., 0].any(), "as a whole, up or down"
        crown = moved_pose(free.pose, motion.values).project(prepared.face.crown[None])[..., 1]
        come = float(crown.max())
        assert come > 0.5 and come + moved[..., 1].mean() < come / 2 + 0.1
    up = np.zeros((1, MOTION_DIM), np.float32)
    up[:, TRANSLATION.start + 1] = 0.3
    rises = rest[0, 152, 1] - prepared.face.keypoints(Motion(up))[0][0, 152, 1]
    assert 0 < rises < 14, "a neck is drawn out a little"
    pose, points = free.pose, renderer.basis.canonical
    clip = Motion(up, rest=Rest(points, np.zeros(3), pose.offset[0], float(pose.scale[0])))
    for driver, same in ((Motion(up), True), (clip, False)):
        driven = renderer.init_state(cut, driver=driver).prepared.face
        assert (driven.crown is not None) == same, "a tracked head is where it was"


@pytest.mark.parametrize("yaw", [-16.0, 16.0])
def test_a_cheek_that_the_photo_does_not_show_is_skin_when_it_comes_round(
    renderer: Renderer, portrait: Portrait, yaw: float
):
    """A photo that is turned already, and turns back: no holes, and nothing of the background."""
    turned_photo = turned(renderer, portrait, 2 * yaw, 0)
    face = FaceTracker.load().detect(turned_photo)[0]
    aside = Portrait(turned_photo, face)
    back = turned(renderer, aside, -yaw, 0)
    marks, _ = renderer.init_state(aside).prepared.face.keypoints(posed(-yaw))
    oval = cv2.convexHull(marks[0, FACE_OVAL, :2].astype(np.float32))
    inside = cv2.fillConvexPoly(np.zeros(back.shape[:2], np.uint8), oval.astype(np.int32), 1)
    inside = cv2.erode(inside, np.ones((7, 7), np.uint8)) > 0
    wall = np.median(portrait.image[:10, :10].reshape(-1, 3), 0)
    assert (np.abs(back[inside].astype(int) - wall).max(-1) < 12).mean() < 0.002


@pytest.mark.parametrize("size", [128, 192, 256])
def test_a_small_face_has_no_holes_where_its_brows_rise(renderer: Renderer, size: int):
    """Neither in the skin, whose triangles are less than a pixel, nor between it and the shell."""
    small = Portrait.load(PHOTO.with_name("default.jpg"), tracker=FaceTracker.load(), size=size)
    motion = Motion.neutral(4)
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        motion.values[:, channel_index(name)] = [0.3, 0.6, 0.9, 1.0]
    _, frames = renderer.step(renderer.init_state(small), motion)
    wall = np.median(small.image[:6, :6].reshape(-1, 3), 0)
    oval = small.face.landmarks[FACE_OVAL, :2].astype(np.int32)
    face = cv2.fillPoly(np.zeros(small.image.shape[:2], np.uint8), [oval], 1)
    around = cv2.dilate(face, np.ones((9, 9), np.uint8)) > 0
    around &= np.arange(size)[:, None] < small.face.landmarks[[33, 263], 1].mean() - size / 20
    around &= np.abs(small.image.astype(int) - wall).max(-1) > 60
    around = cv2.erode(around.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    for frame in frames:
        away = np.abs(frame[around].astype(int) - wall).max(-1)
        assert np.quantile(away, 0.002) > 35


def test_the_layers_are_made_once_a_portrait_and_go_with_it(renderer: Renderer):
    portrait = Portrait.load(PHOTO, size=256)
    first, again = warp_of(renderer, portrait), warp_of(renderer, portrait)
    assert first is again
    assert warp_of(renderer.at("best"), portrait) is not first  # other sampling
    kept = weakref.ref(first)
    del first, again, portrait
    gc.collect()
    assert kept() is None


def before(portrait: Portrait, behind: Behind, renderer: Renderer, yaw: float) -> np.ndarray:
    return turned(renderer, portrait.before(behind), yaw, 0)


def test_before_another_background_the_person_stays_and_the_rest_is_that_background(
    renderer: Renderer, portrait: Portrait
):
    """Behind a head that has turned: to the bit, but where the matte itself is in doubt."""
    green = np.zeros_like(portrait.image)
    green[:] = (0, 200, 60)
    own, other = turned(renderer, portrait, 20, 0), before(portrait, green, renderer, 20)
    clear = before(portrait, "nothing", renderer, 20)
    assert clear.shape == (*own.shape[:2], 4)
    inner = cv2.erode((clear[..., 3] == 255).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    differs = (own[inner] != other[inner]).any(-1)
    assert inner.mean() > 0.1 and differs.mean() < 0.02
    outside = clear[..., 3] == 0
    assert outside.mean() > 0.2 and np.array_equal(other[outside], green[outside])


def test_a_clear_frame_laid_over_a_colour_is_the_frame_before_that_colour(
    renderer: Renderer, portrait: Portrait
):
    red = np.zeros_like(portrait.image)
    red[:] = (220, 30, 40)
    clear = before(portrait, "nothing", renderer, -18).astype(float)
    share = clear[..., 3:] / 255
    laid = clear[..., :3] * share + red * (1 - share)
    assert np.abs(laid - before(portrait, red, renderer, -18)).max() <= 3


def test_a_light_rim_gets_the_colours_within_and_dark_strands_stay():
    """Pixels of the edge of which the matte is too sure have the colour of the photo's wall."""
    front = np.zeros((40, 40, 4), np.uint8)
    front[10:30, 10:30] = (60, 60, 60, 255)
    front[10, 10:30, :3], front[29, 10:30, :3] = 160, 20
    wall = np.full((40, 40, 3), 220, np.uint8)
    seen = front[..., :3].astype(np.float32)
    within = rimless(seen, wall.astype(np.float32), front[..., 3] / np.float32(255))
    bytes_ = np.round(within).astype(np.uint8)
    cleaned = without_rim(Layers(front, front, np.zeros_like(front), wall, bytes_))
    assert np.abs(cleaned.front[10, 12:28, :3].astype(int) - 60).max() <= 4
    assert np.array_equal(cleaned.front[11:30, 10:30], front[11:30, 10:30])
    assert np.array_equal(cleaned.front[..., 3], front[..., 3])


def test_who_cannot_be_told_from_the_background_keeps_it(renderer: Renderer, portrait: Portrait):
    noise = np.random.default_rng(0).integers(0, 255, portrait.image.shape).astype(np.uint8)
    with pytest.raises(InputError, match="could not be told from the background"):
        renderer.init_state(Portrait(noise, portrait.face).before("nothing"))


@pytest.mark.parametrize("fineness", [1, 2])
def test_a_gpu_cuts_out_as_the_cpu_does(renderer: Renderer, portrait: Portrait, fineness: int):
    """On a CPU here: its arithmetic, not its speed."""
    assert portrait.matte is not None
    marks = portrait.face.landmarks
    made = LayeredWarp(portrait.image, marks, renderer.basis, portrait.matte, "linear", fineness)
    head = made.over("nothing")
    prepared = renderer.init_state(portrait).prepared
    gpu = LayeredCanvas(head, prepared.inside, prepared.brush, torch.device("cpu"))
    there = gpu.drawn(marks[None], marks[None])[0].permute(1, 2, 0).numpy()
    here = head.warp(marks, marks).astype(float)
    assert there.shape == here.shape == (*portrait.image.shape[:2], 4)
    assert np.abs(there[..., 3] - here[..., 3]).mean() < 1
    solid = (there[..., 3] == 255) & (here[..., 3] == 255)
    assert np.abs(there - here)[solid].mean() < 1


def test_a_gpu_takes_creases_away_as_the_cpu_does(renderer: Renderer, portrait: Portrait):
    """A photo that is said to smile becomes calm; on a CPU here."""
    assert portrait.matte is not None
    marks, basis = portrait.face.landmarks, renderer.basis
    prepared = renderer.init_state(portrait).prepared
    smile = np.zeros(58, np.float32)
    smile[[channel_index("mouthSmileLeft"), channel_index("mouthSmileRight")]] = 1.0
    own = {"mouth": np.tensordot(smile[:52], basis.expression, 1).astype(np.float32)}
    calm = prepared.face.pose.project((prepared.face.points - own["mouth"])[None])[0]
    plain, creased = (
        LayeredWarp(portrait.image, marks, basis, portrait.matte, "linear", 1, some)
        for some in ({}, own)
    )
    gpu = LayeredCanvas(creased, prepared.inside, prepared.brush, torch.device("cpu"))
    calm = calm.astype(np.float32)
    there = gpu.drawn(calm[None], calm[None])[0].permute(1, 2, 0).numpy()
    here = creased.warp(calm, calm).astype(float)
    assert np.abs(there - here).mean() < 1
    assert np.abs(here - plain.warp(calm, calm)).max() > 5


def test_a_turned_head_has_no_rim_of_the_wall_across_its_hair(portrait: Portrait):
    """Dark hair before a light wall: from the ear's front edge to the head's outline it is dark,
    and the outline of the back of the head has no corners.
    """
    renderer = Renderer.load(RenderConfig(steps=0), ComputeConfig(device="cpu"))
    state = renderer.init_state(portrait)
    marks, _ = state.prepared.face.keypoints(posed(25))
    warp = warp_of(renderer, portrait)
    frame = warp.warp(marks[0]).astype(int)
    wall = frame[10, 10]
    brow, eye = int(marks[0, 105, 1]), int(marks[0, 33, 1])
    ends = []
    for y in range(brow - (eye - brow) * 2, brow):
        row = frame[y, : int(marks[0, FACE_OVAL, 0].min())]
        first = int(np.argmax(np.abs(row - wall).sum(1) > 150))
        ends.append(first)
        assert row[first + 3 : first + 12].mean(1).max() < 75, y
    steps = np.abs(np.diff(ends, 2))
    assert steps.max() <= 2, ends


def test_the_back_of_a_head_has_its_hairs_colour_and_not_the_shirts(
    renderer: Renderer, portrait: Portrait
):
    warp = warp_of(renderer, portrait)
    assert isinstance(warp, LayeredWarp)
    marks = warp.fine(portrait.face.landmarks) + warp.shift
    top = int(marks[[105, 334], 1].mean())
    back = warp.layers.back[top - 20 : top, warp.pad : -warp.pad, :3]
    assert back.mean() < 60, "a white shirt is a part of the same outline"


def test_a_back_begins_beside_the_ears_and_leaves_no_slit(renderer: Renderer, portrait: Portrait):
    warp = warp_of(renderer, portrait)
    assert isinstance(warp, LayeredWarp)
    shell, points = warp.shell, warp.shell.points
    rear = points[478 + len(shell.border) :]
    marks = warp.fine(portrait.face.landmarks) + warp.shift
    beside = np.abs(rear[:, 1] - marks[[33, 263], 1].mean()) < 0.2 * warp.unit
    front = points[478 : 478 + len(shell.border)]
    across = np.abs(front[:, 1] - marks[[33, 263], 1].mean()) < 0.2 * warp.unit
    assert rear[beside, 0].min() > front[across, 0].min() + 0.1 * warp.unit
    first = rear[beside][rear[beside, 0].argmin()]
    near = np.linalg.norm(front[:, :2] - first[:2], axis=1).argmin()
    assert abs(first[2] - front[near, 2]) < 0.2 * warp.unit
