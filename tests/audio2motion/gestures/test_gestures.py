"""Gestures: shapes, composition with events, and their texts and timelines."""

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio2motion.gestures.gestures import (
    DEFAULTS,
    KINDS,
    LOOK_KINDS,
    PITCH,
    ROLL,
    YAW,
    Gesture,
    GestureSchedule,
    Span,
)
from audio2motion.gestures.timeline import load_timeline, parse_gesture
from motion2video.motion import DETAIL, FPS, channel_index
from weights.errors import InputError

SHAPES = [kind for kind in KINDS if kind not in LOOK_KINDS]


def drawn(*texts: str, frames: int = 100) -> np.ndarray:
    return GestureSchedule(tuple(map(parse_gesture, texts))).offsets(0, frames)


# -- shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHAPES)
def test_a_gesture_is_where_it_was_placed(kind: str) -> None:
    out = drawn(f"{kind}@1")
    frames = np.flatnonzero(np.abs(out).max(1) > 1e-6)
    last = 25 + DEFAULTS[kind][0] * FPS
    assert frames[0] == 26 and last - 2 <= frames[-1] < last
    assert not out[:, DETAIL].any()


@pytest.mark.parametrize("kind", SHAPES)
def test_a_gesture_starts_and_ends_without_a_jump(kind: str) -> None:
    out = np.abs(np.diff(drawn(f"{kind}@1:2"), axis=0)).max(0)
    fastest = 0.6 if kind in ("blink", "wink") else 0.18
    assert out.max() < fastest


@pytest.mark.parametrize("kind", SHAPES)
def test_a_gesture_grows_with_its_intensity(kind: str) -> None:
    sizes = [float(np.abs(drawn(f"{kind}@1x{i}")).max()) for i in (0, 0.5, 1)]
    assert sizes[0] == 0 and sizes[1] == pytest.approx(sizes[2] / 2, rel=1e-3)


def test_a_nod_goes_down_twice_and_a_shake_to_both_sides() -> None:
    pitch = np.degrees(drawn("nod@1")[:, PITCH])
    peaks = [i for i in range(1, 99) if pitch[i - 1] < pitch[i] >= pitch[i + 1]]
    assert len(peaks) == 2 and pitch[peaks[0]] > pitch[peaks[1]] > 2 and pitch.min() >= 0
    yaw = np.degrees(drawn("shake@1")[:, YAW])
    assert yaw.max() > 5 and yaw.min() < -5
    assert len(drawn("nod@1:3")) == 100 and np.degrees(drawn("nod@1:3")[:, PITCH]).max() > 5.5


def test_the_eyes_stay_where_they_look() -> None:
    out = drawn("nod@1")
    up = 32 * out[:, channel_index("eyeLookUpLeft")]
    assert np.allclose(up, np.degrees(out[:, PITCH]), atol=1e-4)
    out = drawn("shake@1")
    left = channel_index("eyeLookOutLeft"), channel_index("eyeLookInLeft")
    right = 32 * (out[:, left[0]] - out[:, left[1]])
    assert np.allclose(right, -np.degrees(out[:, YAW]), atol=1e-4)


def test_sides_are_those_of_the_picture() -> None:
    left, right = (channel_index(f"eyeBlink{s}") for s in ("Left", "Right"))
    # The picture's right is the person's left.
    assert drawn("wink/right@1")[:, left].max() > 0.9
    assert not drawn("wink/right@1")[:, right].any()
    assert drawn("wink/left@1")[:, right].max() > 0.9
    assert drawn("tilt/right@1")[:, ROLL].min() < -0.1 and drawn("tilt/left@1")[:, ROLL].min() == 0


def test_one_kind_at_once_takes_the_stronger_and_kinds_add_up() -> None:
    smile = channel_index("mouthSmileLeft")
    both = drawn("smile@1:3", "smile@1.5:1x0.5")
    assert np.array_equal(both, drawn("smile@1:3"))
    mixed = drawn("smile@1", "nod@1")
    assert np.allclose(mixed, drawn("smile@1") + drawn("nod@1"))
    assert mixed[:, smile].max() <= 0.5


gestures = st.lists(
    st.builds(
        Gesture.at,
        st.sampled_from(KINDS),
        st.floats(0, 4),
        st.floats(0.08, 3),
        st.floats(0, 2),
    ),
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(gestures, st.lists(st.integers(1, 17), min_size=1, max_size=30))
def test_any_cut_of_the_frames_gives_the_same(placed: list[Gesture], sizes: list[int]) -> None:
    schedule, total = GestureSchedule(tuple(placed)), sum(sizes)
    starts = np.cumsum([0, *sizes]).tolist()
    cut = [schedule.offsets(a, n) for a, n in zip(starts, sizes, strict=False)]
    assert np.array_equal(np.concatenate(cut), schedule.offsets(0, total))
    parts = [schedule.gaze(a, n, None) for a, n in zip(starts, sizes, strict=False)]
    assert list(chain.from_iterable(parts)) == schedule.gaze(0, total, None)
    assert np.isfinite(schedule.offsets(0, total)).all()


def test_looks_are_targets() -> None:
    schedule = GestureSchedule((parse_gesture("look-away@1:1"), parse_gesture("look-at/10,-5@3:1")))
    free, held = schedule.gaze(0, 120, None), schedule.gaze(0, 120, (3.0, 0.0))
    assert not schedule.offsets(0, 120).any()
    assert free[24] is None and free[25] == (-12, -3) and free[44] == (-12, -3)
    assert free[46] == (0, 0) and free[50] is None
    assert held[24] == (3, 0) and held[46] == (3, 0)
    assert free[75] == free[99] == (10, -5) and free[100] is None
    strong = GestureSchedule((parse_gesture("look-away/-30,0@0x2"),))
    assert strong.gaze(0, 1, None) == [(-40, 0)]


# -- texts -------------------------------------------------------------------------------------


def test_texts() -> None:
    assert parse_gesture("nod@3.2") == Gesture.at("nod", 3.2)
    assert parse_gesture(" nod@3.2:0.8x1.5 ") == Gesture("nod", 3.2, 0.8, 1.5, (0.0, 0.0))
    assert parse_gesture("brow-raise@0x.5").intensity == 0.5
    assert parse_gesture("look-at/10,-5@2:1").aim == (10, -5)
    assert parse_gesture("look-away/left@2").aim == (-12, 0)
    assert parse_gesture("wink/left@2").aim[0] < 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nod", "got the gesture 'nod'; wanted KIND"),
        ("nod@", "wanted KIND"),
        ("nod@-1", "wanted KIND"),
        ("nod@1x", "wanted KIND"),
        ("nod@nan", "wanted KIND"),
        ("bow@1", "there is no gesture 'bow'; wanted one of nod, shake"),
        ("nod@1:0", "the nod with duration 0 s; wanted 0.08 to 60 s"),
        ("nod@1x3", "the nod with intensity 3; wanted 0 to 2"),
        ("nod@1e9", "start 1e[+]09 s; wanted 0 to 86400 s"),
        ("nod/left@1", "has an aim; only tilt, wink, look-away, look-at have one"),
        ("wink/up@1", "a wink goes left or right"),
        ("look-at/far@1", "has the aim 'far'; wanted left, right"),
        ("look-at/90,0@1", "wanted two angles within 40 degrees"),
    ],
)
def test_wrong_texts(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_gesture(text)


def test_timelines(tmp_path: Path) -> None:
    wanted = (
        Gesture.at("nod", 3.2, 0.8, 1.5),
        Gesture.at("look-at", 1.0, aim=(10.0, -5.0)),
        Gesture.at("shake", 2.0, source=Span(0, 2, "no", "negation")),
    )
    path = tmp_path / "g.json"
    # What a result holds is a timeline.
    path.write_text(json.dumps({"gestures": [asdict(g) for g in wanted]}), encoding="utf-8")
    assert load_timeline(path) == wanted
    path.write_text('["nod@3.2:0.8x1.5", {"kind": "wink", "start": 1, "aim": "left"}]')
    assert load_timeline(path) == (wanted[0], Gesture.at("wink", 1.0, aim=(-12.0, 0.0)))
    table = tmp_path / "g.csv"
    table.write_bytes(
        b"\xef\xbb\xbfkind,start,duration,intensity,aim\r\nnod,3.2,0.8,1.5,\r\n"
        b'look-at,1,,,"10,-5"\r\n'
    )
    assert load_timeline(table) == wanted[:2]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("g.json", "{", "is not JSON"),
        ("g.json", "3", "holds no list of gestures"),
        ("g.json", '[{"kind": "nod"}]', "gesture 1 of .*g.json has no 'start'"),
        ("g.json", '[{"kind": "nod", "start": "soon"}]', "has the start 'soon'; wanted a number"),
        ("g.json", '[{"kind": "nod", "start": true}]', "wanted a number"),
        ("g.json", '[{"kind": "nod", "start": 1, "speed": 2}]', "has an unknown 'speed'"),
        ("g.json", "[7]", "gesture 1 of .*g.json is 7"),
        ("g.csv", "a,b\n1,2\n", "first line .* wanted kind,start"),
        ("g.csv", "kind,start\nnod\n", "line 2 of .*g.csv has other columns"),
        ("g.csv", "kind,start\nnod,x\n", "line 2 of .*g.csv has the start 'x'"),
        ("g.txt", "nod@1", "must end in .json or .csv"),
    ],
)
def test_wrong_timelines(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        load_timeline(tmp_path / name)


def test_timelines_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no timeline of gestures"):
        load_timeline(tmp_path / "none.json")
    (tmp_path / "g.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text in UTF-8"):
        load_timeline(tmp_path / "g.json")


def test_values_out_of_range() -> None:
    wrong: list[dict[str, Any]] = [
        {"start": float("nan")},
        {"start": 0.0, "duration": float("inf")},
        {"start": 0.0, "intensity": -1.0},
    ]
    for values in wrong:
        with pytest.raises(InputError, match="got the nod with"):
            Gesture.at("nod", **values)
