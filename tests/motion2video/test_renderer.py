"""The renderer's stream laws and what its pictures must keep, on the embedded weights."""

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from motion2video.drawing.crops import plan_windows
from motion2video.motion import Motion, channel_index
from motion2video.network.compute import ComputeConfig, pick_device
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer
from weights.errors import DependencyError, InputError, StateError

CPU = ComputeConfig(device="cpu")
PHOTO = Path(__file__).parents[2] / "app" / "assets" / "portraits" / "default.jpg"


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return Portrait.load(PHOTO, size=256)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer.load(RenderConfig(), compute=CPU)


def talking(frames: int = 7) -> Motion:
    """A mouth that opens and closes, a blink and a small nod."""
    motion = Motion.neutral(frames)
    wave = (0.5 - 0.5 * np.cos(np.arange(frames) * 2 * np.pi / max(frames - 1, 1))).astype("f4")
    motion.values[:, channel_index("jawOpen")] = 0.6 * wave
    for side in ("Left", "Right"):
        motion.values[:, channel_index(f"eyeBlink{side}")] = 0.6 * wave
    motion.values[:, 52] = 0.1 * wave
    return motion


def test_any_cut_of_the_motion_gives_the_same_frames(
    renderer: Renderer, portrait: Portrait
) -> None:
    motion = talking()
    whole = np.stack(list(renderer.stream(portrait, [motion], seed=3)))
    state, pieces = renderer.init_state(portrait, seed=3), []
    for part in (motion[:1], motion[1:1], motion[1:5], motion[5:]):
        state, frames = renderer.step(state, part)
        pieces.append(frames)
    state, last = renderer.flush(state)
    assert len(last) == 0
    assert np.array_equal(np.concatenate(pieces), whole)
    assert whole.shape == (7, *portrait.image.shape) and whole.dtype == np.uint8


def test_later_motion_never_changes_earlier_frames(renderer: Renderer, portrait: Portrait) -> None:
    motion, other = talking(), talking()
    other.values[4:] *= -0.5
    one = list(renderer.stream(portrait, [motion]))
    two = list(renderer.stream(portrait, [other]))
    assert all(np.array_equal(a, b) for a, b in zip(one[:4], two[:4], strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one[4:], two[4:], strict=True))


def test_the_seed_decides(renderer: Renderer, portrait: Portrait) -> None:
    motion = talking(4)[2:3]
    first, again, other = (
        next(renderer.stream(portrait, [motion], seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other), "the noise reaches the picture"


def test_a_used_state_is_refused(renderer: Renderer, portrait: Portrait) -> None:
    state = renderer.init_state(portrait)
    ahead, _ = renderer.step(state, talking(2))
    with pytest.raises(StateError, match="used already"):
        renderer.step(state, talking(2))
    ended, _ = renderer.flush(ahead)
    for stale in (ahead, ended):
        with pytest.raises(StateError, match="ended"):
            renderer.step(stale, talking(1))


def test_two_streams_of_one_renderer_do_not_meet(renderer: Renderer, portrait: Portrait) -> None:
    motion = talking(4)
    alone = list(renderer.stream(portrait, [motion]))
    other = renderer.stream(portrait, [talking(4)], seed=9)
    mixed = []
    for frame in renderer.stream(portrait, [motion]):
        next(other)
        mixed.append(frame)
    assert all(np.array_equal(a, b) for a, b in zip(alone, mixed, strict=True))


def test_no_motion_is_the_photo_and_does_not_flicker(
    renderer: Renderer, portrait: Portrait
) -> None:
    frames = list(renderer.stream(portrait, [Motion.neutral(3)]))
    difference = np.abs(frames[0].astype(int) - portrait.image)
    assert difference.mean() < 0.5
    assert np.array_equal(frames[0], frames[1]) and np.array_equal(frames[1], frames[2])


def test_an_open_mouth_has_an_inside_and_the_background_stays(
    renderer: Renderer, portrait: Portrait
) -> None:
    motion = Motion.neutral(1)
    motion.values[0, channel_index("jawOpen")] = 0.6
    frame = next(renderer.stream(portrait, [motion]))
    state = renderer.init_state(portrait)
    marks, _ = state.prepared.face.keypoints(motion)
    x, y = np.round((marks[0, 13] + marks[0, 14])[:2] / 2).astype(int)
    inside = frame[y - 1 : y + 2, x - 3 : x + 4].astype(float).mean()
    skin = frame[tuple(np.round(marks[0, 50, 1::-1]).astype(int))].astype(float).mean()
    assert inside < 0.8 * skin, "darker than the cheek: no smear of skin or lips"
    moved = np.abs(frame[:20].astype(int) - portrait.image[:20])
    assert moved.mean() < 1.5, "a dropping jaw leaves the hair about where it is"


def test_warp_only_needs_no_network(portrait: Portrait) -> None:
    renderer = Renderer.load(RenderConfig(steps=0), compute=CPU)
    frame = next(renderer.stream(portrait, [talking(3)[1:2]]))
    assert frame.shape == portrait.image.shape
    assert int(frame.reshape(-1, 3).min(0).max()) <= 40, "the open mouth is dark"


def test_motion_of_no_frames_gives_no_frames(renderer: Renderer, portrait: Portrait) -> None:
    state, frames = renderer.step(renderer.init_state(portrait), Motion.neutral(0))
    assert frames.shape == (0, *portrait.image.shape)
    _, more = renderer.step(state, Motion.neutral(1))
    assert len(more) == 1


@pytest.mark.parametrize("steps", [-1, 65])
def test_nonsense_steps_are_refused(steps: int) -> None:
    with pytest.raises(InputError, match="steps"):
        RenderConfig(steps=steps)


def test_nonsense_settings_are_refused() -> None:
    with pytest.raises(InputError, match="temperature"):
        RenderConfig(temperature=1.5)


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(DependencyError, match="wanted auto"):
        pick_device("toaster")
    if not torch.cuda.is_available():
        with pytest.raises(DependencyError, match="sees no GPU"):
            pick_device("cuda")


@pytest.mark.gpu
def test_gpu_frames_match_the_cpus(portrait: Portrait, renderer: Renderer) -> None:
    motion = talking(3)
    here = np.stack(list(renderer.stream(portrait, [motion])))
    there = np.stack(
        list(Renderer.load(compute=ComputeConfig(device="cuda")).stream(portrait, [motion]))
    )
    away = np.abs(here.astype(int) - there)
    assert away.mean() < 0.4 and np.quantile(away, 0.999) <= 12


def test_closed_lips_and_open_eyes_are_left_to_the_photo(
    renderer: Renderer, portrait: Portrait
) -> None:
    prepared = renderer.init_state(portrait).prepared
    marks, eyes = prepared.face.keypoints(talking(7)[:4:3])
    chosen = plan_windows(marks, eyes[:1].repeat(2, 0)).chosen
    mouths, lidded = chosen["mouth"].tolist(), chosen["left eye"].tolist()
    assert mouths == [False, True] and lidded == [False, True]


@pytest.mark.slow
def test_one_renderer_serves_two_portraits_at_once(renderer: Renderer, portrait: Portrait) -> None:
    other = Portrait.load(PHOTO.with_name("man_1.jpg"), size=200)
    alone = [list(renderer.stream(one, [talking(4)])) for one in (portrait, other)]
    pairs = zip(*(renderer.stream(one, [talking(4)]) for one in (portrait, other)), strict=True)
    for together, *wanted in zip(pairs, *alone, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(together, wanted, strict=True))


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_the_frames(portrait: Portrait) -> None:
    motion = talking(6)
    one, three = (
        list(
            Renderer.load(compute=ComputeConfig(device="cpu", threads=n)).stream(portrait, [motion])
        )
        for n in (1, 3)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


@pytest.mark.slow
def test_the_first_frame_comes_before_the_last_motion(portrait: Portrait) -> None:
    renderer = Renderer.load(compute=ComputeConfig(device="cpu", threads=2))
    asked = []

    def arriving() -> Iterator[Motion]:
        for k in range(40):
            asked.append(k)
            yield Motion.neutral(1)

    frames = renderer.stream(portrait, arriving())
    next(frames)
    assert len(asked) <= 4, "two threads look two frames ahead"
    assert len(list(frames)) == 39


def test_an_error_in_the_motion_reaches_the_caller(renderer: Renderer, portrait: Portrait) -> None:
    def broken() -> Iterator[Motion]:
        yield Motion.neutral(1)
        raise InputError("the voice is gone")

    with pytest.raises(InputError, match="voice is gone"):
        list(renderer.stream(portrait, broken()))
    assert len(list(renderer.stream(portrait, [Motion.neutral(2)]))) == 2, "and it goes on"


@pytest.mark.slow
def test_processes_of_their_own_give_the_same_frames(
    renderer: Renderer, portrait: Portrait
) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_digest, [PHOTO, PHOTO]))
    here = b"".join(f.tobytes() for f in renderer.stream(portrait, [talking(3)]))
    assert found == [hashlib.sha256(here).hexdigest()] * 2


def _digest(photo: Path) -> str:
    """In a process of its own, without the test run's type checks."""
    frames = Renderer.load(compute=CPU).stream(Portrait.load(photo, size=256), [talking(3)])
    return hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest()
