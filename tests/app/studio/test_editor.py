"""Edits of a motion: what they change, what they leave alone to the last bit, and their errors."""

import numpy as np
import pytest

import app.studio.editor as editor
from app.studio.curves import VoiceRow, draw_curves, draw_timeline
from app.studio.editor import Take
from audio2motion.gestures.controls import REGION_CHANNELS
from audio2motion.gestures.gestures import Gesture
from audio2motion.hearing.audio import Waveform
from motion2video.motion import MOTION_DIM, ROTATION, Motion, channel_index
from weights.errors import InputError

FPS = 25.0


@pytest.fixture
def take() -> Take:
    """Three seconds in which everything moves, coefficients within 0..1."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (75, MOTION_DIM)).astype(np.float32)
    values[:, : ROTATION.start] = rng.uniform(0.1, 0.6, (75, ROTATION.start))
    return Take(Motion(values, FPS), (Gesture.at("nod", 0.2), Gesture.at("blink", 1.0)))


EDITS = {
    "scale": lambda t: editor.scale(t, "head", 1.0, 2.0, 0.0),
    "shift": lambda t: editor.shift(t, "head yaw", 1.0, 2.0, 5.0),
    "smooth": lambda t: editor.smooth(t, "mouth", 1.0, 2.0, 0.2),
    "gesture": lambda t: editor.insert_gesture(t, Gesture.at("smile", 1.0, 1.0)),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_leaves_what_is_outside_its_range_bit_identical(take: Take, name: str):
    edited = EDITS[name](take)
    before, after = take.motion.values, edited.motion.values
    rows = (before != after).any(1)
    assert rows[27:48].all() or name == "gesture"
    assert rows.any()
    assert not rows[:25].any()
    assert not rows[50:].any()
    assert after[:25].tobytes() == before[:25].tobytes()
    assert edited.motion.fps == FPS
    assert len(edited.edits) == 1
    assert take.edits == ()


def test_scale_to_nothing_stills_the_region_and_only_it(take: Take):
    after = editor.scale(take, "head", 1.0, 2.0, 0.0).motion.values
    head = list(REGION_CHANNELS["head"])
    others = [i for i in range(MOTION_DIM) if i not in head]
    assert np.abs(after[30:45][:, head]).max() < 1e-6
    assert np.array_equal(after[:, others], take.motion.values[:, others])


def test_an_edit_fades_in_and_out(take: Take):
    still = Take(Motion.neutral(75))
    yaw = editor.shift(still, "head yaw", 1.0, 2.0, 10.0).curve("head yaw")
    assert yaw[37] == pytest.approx(10, abs=1e-4)
    assert np.abs(np.diff(yaw)).max() < 5
    whole = editor.shift(still, "head yaw", 0.0, 3.0, 10.0).curve("head yaw")
    assert np.allclose(whole, 10, atol=1e-4)  # nothing to fade from at the ends of the clip


def test_coefficients_stay_within_their_range(take: Take):
    values = editor.scale(take, "mouth", 0.0, 3.0, 3.0).motion.values[:, : ROTATION.start]
    assert values.max() <= 1
    assert values.min() >= 0


def test_smooth_takes_out_what_is_fast(take: Take):
    after = editor.smooth(take, "head", 0.0, 3.0, 0.3).motion.values[:, ROTATION]
    before = take.motion.values[:, ROTATION]
    assert np.abs(np.diff(after, axis=0)).mean() < 0.3 * np.abs(np.diff(before, axis=0)).mean()


def test_a_gesture_is_what_the_generator_would_have_drawn():
    still = Take(Motion.neutral(75))
    nodded = editor.insert_gesture(still, Gesture.at("nod", 0.4))
    assert nodded.curve("head pitch").max() == pytest.approx(6, abs=0.5)
    assert [g.kind for g in nodded.gestures] == ["nod"]
    assert nodded.motion.values[11:34, ROTATION].any()
    faster = Take(Motion.neutral(150, 50.0))
    assert editor.insert_gesture(faster, Gesture.at("nod", 0.4)).curve("head pitch")[
        ::2
    ] == pytest.approx(nodded.curve("head pitch"), abs=1e-4)


def test_trim_keeps_the_range_and_moves_the_rest(take: Take):
    cut = editor.trim(editor.trim(take, 0.4, 2.4), 0.2, 1.0)
    assert np.array_equal(cut.motion.values, take.motion.values[15:35])
    assert cut.start == pytest.approx(0.6)
    assert [(g.kind, round(g.start, 2)) for g in cut.gestures] == [("nod", 0.0), ("blink", 0.4)]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: editor.scale(t, "ears", 0.0, 1.0, 1.0), "no region 'ears'"),
        (lambda t: editor.scale(t, "head", 0.0, 1.0, 9.0), "the factor 9"),
        (lambda t: editor.scale(t, "head", 5.0, 6.0, 1.0), "no frame lies between 5 and 6"),
        (lambda t: editor.scale(t, "head", float("nan"), 6.0, 1.0), "two times in seconds"),
        (lambda t: editor.shift(t, "nose", 0.0, 1.0, 1.0), "no curve 'nose'"),
        (lambda t: editor.shift(t, "blink", 0.0, 1.0, 99.0), "an offset of 99"),
        (lambda t: editor.smooth(t, "head", 0.0, 1.0, 5.0), "a smoothing of 5 s"),
        (lambda t: editor.trim(t, 1.0, 1.08), "at least 0.2 s"),
        (lambda t: editor.insert_gesture(t, Gesture.at("nod", 9.0)), "the motion ends at 3.00"),
        (
            lambda t: editor.insert_gesture(t, Gesture.at("look-at", 1.0)),
            "a look-at cannot be added",
        ),
    ],
)
def test_what_cannot_be_done_is_said(take: Take, edit, words: str):
    with pytest.raises(InputError, match=words):
        edit(take)


def test_the_curves_show_voices_bands_gestures_and_what_is_stale(take: Take):
    tone = Waveform(np.sin(np.arange(48_000) / 10).astype(np.float32))
    rows = [VoiceRow("agent", tone, [(0.5, 1.5)]), VoiceRow("interlocutor", tone, [])]
    svg = draw_curves(take, rows, list(editor.CURVES), (1.0, 2.0), [(25, 50)])
    assert svg.count('class="wave"') == 2
    assert svg.count('class="speech"') == 1
    assert svg.count('class="gesture"') == 2
    assert svg.count('class="stale"') == 1
    assert svg.count("<polyline") == len(editor.CURVES)
    assert "agent speaks 0.5 to 1.5" in svg
    assert "<script" not in draw_timeline([Gesture.at("nod", 1.0)], 2.0)


def test_every_curve_reads_the_channel_it_names():
    values = np.zeros((1, MOTION_DIM), np.float32)
    values[0, channel_index("jawOpen")] = 0.5
    values[0, ROTATION.start + 1] = np.radians(7)
    take = Take(Motion(values))
    assert take.curve("jaw open")[0] == pytest.approx(0.5)
    assert take.curve("head yaw")[0] == pytest.approx(7)
