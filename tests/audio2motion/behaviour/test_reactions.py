"""What the agent does with the other's face: nods back, mirrors smiles, not fooled by gaps."""

import numpy as np
import pytest

from audio2motion.behaviour.events import SMILE_CHANNELS, EventState, Scene, Seen, step_events
from audio2motion.behaviour.nods import LOST_FRAMES, NodState
from motion2video.motion import FPS, ROTATION, Motion
from tests.unchecked import unchecked

NOD = round(3 * FPS)  # when the other nods, in the motions made here
TAKES = 40
BEFORE, WINDOW = 45, range(10, 31)  # frames looked at before, and in which an answer may begin


def seen(seconds: float = 6.0) -> Motion:
    """Somebody who is still."""
    return Motion.neutral(round(seconds * FPS))


def nods(motion: Motion, at: int = NOD, degrees: float = 9.0) -> Motion:
    """The same with one nod of half a second."""
    values = motion.values.copy()
    down = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(13) / 12)
    values[at : at + 13, ROTATION.start] += np.radians(degrees) * down
    return Motion(values, motion.fps, motion.mask)


def lost(motion: Motion, start: float, end: float) -> Motion:
    """The same, not seen from `start` to `end` seconds."""
    mask = motion.mask.copy()
    mask[round(start * FPS) : round(end * FPS)] = False
    return Motion(motion.values, motion.fps, mask)


def react(motion: Motion, seed: int = 0) -> tuple[list[int], np.ndarray]:
    """Frames in which a nod begins, and the mirrored smile, of an agent who hears nothing."""
    # So long after the last word nobody nods without a cause.
    state, began, smile = EventState(nod=NodState(quiet=1000)), [], []
    for frame in range(len(motion)):
        there = motion.mask[frame]
        scene = Scene(
            agent_speaks=False,
            interlocutor_speaks=False,
            seen=Seen.of(motion.values[frame]) if there else None,
        )
        before = state.nod.age
        state, added = step_events(state, seed, frame, scene)
        if before < 0 <= state.nod.age:
            began.append(frame)
        smile.append(added[SMILE_CHANNELS[0]])
    return began, np.array(smile)


def answers(motion: Motion, since: int) -> float:
    """The share of takes in which a nod begins 0.4 to 1.2 s after a frame."""
    start = max(0, since - BEFORE)
    cut = motion[start : since + WINDOW.stop]
    with unchecked():
        hits = [any(f + start - since in WINDOW for f in react(cut, s)[0]) for s in range(TAKES)]
    return float(np.mean(hits))


def test_a_nod_is_returned() -> None:
    assert 0.4 < answers(nods(seen()), NOD) < 0.9
    assert answers(seen(), NOD) < 0.05


def test_a_nod_that_is_not_seen_is_not_returned() -> None:
    assert answers(lost(nods(seen()), 2.5, 4.0), NOD) < 0.05


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (2.0, 3.0), (3.0, 3.0 + LOST_FRAMES / FPS)])
def test_a_head_found_again_elsewhere_is_no_nod(start: float, end: float) -> None:
    motion = seen()
    motion.values[round(end * FPS) :, ROTATION.start] += np.radians(8)
    assert answers(lost(motion, start, end), round(end * FPS)) < 0.05


def test_a_head_held_low_from_the_first_frame_is_no_nod() -> None:
    motion = seen()
    motion.values[:, ROTATION.start] = np.radians(8)
    assert answers(motion, 40) < 0.05


def test_one_lost_frame_does_not_hide_a_nod() -> None:
    middle = (NOD + 3) / FPS
    assert answers(lost(nods(seen()), middle, middle + 1 / FPS), NOD) > 0.2


def test_a_smile_is_mirrored_after_half_a_second() -> None:
    motion = seen()
    motion.values[50:100, list(SMILE_CHANNELS)] = 0.8
    _, smile = react(motion)
    assert smile[:50].max() == 0 and 0.15 < smile.max() < 0.7
    half = int(np.argmax(smile > smile.max() / 2))
    assert 5 <= half - 50 <= 25, "200 to 1000 ms"


def test_a_smile_does_not_stay_while_nobody_is_seen() -> None:
    """The values of lost frames are held ones; the mirrored smile goes, and goes smoothly."""
    motion = seen()
    motion.values[25:, list(SMILE_CHANNELS)] = 0.8
    whole, (_, gapped) = react(motion)[1], react(lost(motion, 3.0, 4.5))
    assert gapped[112] < 0.15 * whole[74]
    assert gapped[149] > 0.6 * whole[149], "it comes back with the face"
    # Every smile that comes has a lag, and so a pace, of its own.
    assert np.abs(np.diff(gapped)).max() <= 1.5 * np.abs(np.diff(whole)).max()


def test_a_smile_that_was_only_filled_in_is_not_mirrored() -> None:
    motion = seen()
    motion.values[50:75, list(SMILE_CHANNELS)] = 0.8
    assert react(lost(motion, 2.0, 3.0))[1].max() == 0
