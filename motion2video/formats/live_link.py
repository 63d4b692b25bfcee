"""Motion to and from the CSV files of Epic's Live Link Face app, which Unreal and Blender read.

The columns are those of the app's export: Timecode (HH:MM:SS:FF.fff with 60 frames a second, the
app's clock, so that any rate fits), BlendShapeCount, ARKit's 52 shapes in PascalCase, and yaw,
pitch and roll of head and eyes in radians (axes and order: angles.py). TongueOut, which Motion
does not have, is 0; Motion's `_neutral`, head translation and detail components are not in the
file. The eyes' angles say again what the EyeLook columns say and are not read.
"""

import csv
import io
import math
import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motion2video.formats.keyframes import motion_at_one_rate
from motion2video.geometry.angles import EYES, eye_angles, head_angles, head_rotation
from motion2video.motion import (
    EXPRESSION_NAMES,
    MAX_FRAMES,
    MOTION_DIM,
    ROTATION,
    Motion,
    channel_index,
)
from weights.errors import MotionError
from weights.opening import open_regular
from weights.saving import save_whole

SHAPES: tuple[str, ...] = (
    *("EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft"),
    *("EyeSquintLeft", "EyeWideLeft"),
    *("EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight"),
    *("EyeSquintRight", "EyeWideRight"),
    *("JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker"),
    *("MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft"),
    *("MouthFrownRight", "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft"),
    *("MouthStretchRight", "MouthRollLower", "MouthRollUpper", "MouthShrugLower"),
    *("MouthShrugUpper", "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft"),
    *("MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight"),
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight"),
    *("CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight"),
    "TongueOut",
)
HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
_EYE_COLUMNS = tuple(f"{eye}Eye{angle}" for eye in EYES for angle in ("Yaw", "Pitch", "Roll"))
COLUMNS = ("Timecode", "BlendShapeCount", *SHAPES, *HEAD, *_EYE_COLUMNS)
CLOCK = 60
"""Frames a second that the timecodes of the app count in; FF runs from 0 to 59."""
_CLOCKS = (24, 25, 30, 48, 50, 60)
_DIGITS = 8
_TIMECODE = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)[:;](\d{1,3}(?:\.\d{1,9})?)", re.ASCII)
_DAY_S = 24 * 3600.0
_MAX_BYTES = 1 << 30
_MAX_LINE = 1 << 14
_LARGEST = 1e6


def write_live_link(motion: Motion, path: str | os.PathLike[str]) -> Path:
    """Write a Live Link Face CSV, one row a frame. Raises OutputError."""
    names = {name.casefold(): i for i, name in enumerate(EXPRESSION_NAMES)}
    columns = [names.get(shape.casefold()) for shape in SHAPES]
    silent = np.zeros(len(motion))
    shapes = [silent if c is None else motion.expression[:, c] for c in columns]
    eyes = [np.pad(eye_angles(motion, eye), ((0, 0), (0, 1))) for eye in EYES]
    table = np.column_stack([*shapes, head_angles(motion.rotation), *eyes])
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    count = len(COLUMNS) - 2
    for frame, row in enumerate(table):
        numbers = [f"{value + 0.0:.{_DIGITS}f}" for value in row]
        out.writerow([_timecode(frame / motion.fps), count, *numbers])
    return save_whole(path, text.getvalue().encode(), "the motion")


def read_live_link(path: str | os.PathLike[str], clock: int | None = None) -> Motion:
    """Read a Live Link Face CSV; dropped rows become frames that are not valid.

    Columns may come in any order and case; the nine angles and TongueOut may be missing.
    Translation and detail are zero. `clock` is how many frames a second the timecodes count in:
    by default that of 24, 25, 30, 48, 50 and 60 which makes the rows most
    even, 60 for less than two seconds.
    Raises InputError when there is no such file, MotionError when it is not such a table.
    """
    path = Path(path)
    rows = _rows(path)
    header = next(rows, None)
    if not header:
        raise MotionError(f"{path} is empty; wanted a Live Link Face CSV")
    places = {name.strip().casefold(): i for i, name in enumerate(header)}
    wanted = ["Timecode", *(shape for shape in SHAPES if shape != "TongueOut")]
    missing = [name for name in wanted if name.casefold() not in places]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise MotionError(
            f"{path} lacks the column {', '.join(missing[:3])}{more}; wanted the header of a Live "
            "Link Face CSV"
        )
    known = {name.casefold(): i for i, name in enumerate(EXPRESSION_NAMES)}
    shapes = [(places[name], i) for name, i in known.items() if name in places]
    turned = all(name.casefold() in places for name in HEAD)
    head = [places[name.casefold()] for name in HEAD] if turned else []
    codes, angles = array("d"), array("d")
    values = array("f")
    for line, row in enumerate(rows, 2):
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(header):
            raise MotionError(
                f"line {line} of {path} has {len(row)} fields; the header has {len(header)}"
            )
        if len(codes) >= 2 * MAX_FRAMES:
            raise MotionError(f"{path} has more than {MAX_FRAMES} rows, the most that are read")
        codes.extend(_seconds_and_frames(row[places["timecode"]], path, line))
        frame = [0.0] * MOTION_DIM
        for place, channel in shapes:
            frame[channel] = _number(row[place], header[place], path, line)
        values.extend(frame)
        angles.extend(_number(row[place], header[place], path, line) for place in head)
    table = np.array(values).reshape(-1, MOTION_DIM)
    if turned and len(table):
        table[:, ROTATION] = head_rotation(np.array(angles).reshape(-1, 3))
    table[:, channel_index("_neutral")] = 0
    return motion_at_one_rate(_times(codes, clock), table, str(path))


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV, one a line: a quoted field that goes on over lines is none of the app's,
    and could make one row of the whole file."""
    try:
        with (
            open_regular(path, "motion file", _MAX_BYTES) as data,
            io.TextIOWrapper(data, "utf-8-sig", newline="") as file,
        ):
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                if len(line) >= _MAX_LINE:
                    raise MotionError(
                        f"line {number} of {path} has {_MAX_LINE} characters or more; wanted the "
                        "rows of a Live Link Face CSV"
                    )
                yield next(csv.reader((line,)), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MotionError(f"{path} is not a readable CSV file ({error})") from error


def _number(text: str, column: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < _LARGEST:
        raise MotionError(
            f"line {line} of {path} has {text[:40]!r} for {column.strip()}; wanted a finite number"
        )
    return value


def _timecode(seconds: float) -> str:
    thousandths = round(seconds * CLOCK * 1000)
    second, rest = divmod(thousandths, CLOCK * 1000)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{hour:02}:{minute:02}:{second:02}:{rest // 1000:02}.{rest % 1000:03}"


def _seconds_and_frames(text: str, path: Path, line: int) -> tuple[float, float]:
    match = _TIMECODE.fullmatch(text.strip())
    if match is None:
        raise MotionError(
            f"line {line} of {path} has the timecode {text[:40]!r}; wanted HH:MM:SS:FF, maybe .fff"
        )
    hours, minutes, seconds = (int(match[i]) for i in (1, 2, 3))
    return hours * 3600.0 + minutes * 60 + seconds, float(match[4])


def _times(codes: array, clock: int | None) -> Float[np.ndarray, "N"]:
    """Seconds; a fall by about a day is midnight."""
    second, frame = np.array(codes).reshape(-1, 2).T
    midnights = np.cumsum(np.diff(second, prepend=second[:1]) < -_DAY_S / 2)
    second = second + midnights * _DAY_S
    if clock is None:
        fits = [c for c in _CLOCKS if c > frame.max(initial=0)]
        # The right clock makes steps alike; less than a whole second does not show it.
        whole = len(second) > 0 and second[-1] - second[0] >= 2
        clock = (
            min(fits, key=lambda c: _unevenness(second + frame / c)) if whole and fits else CLOCK
        )
    return second + frame / clock


def _unevenness(times: Float[np.ndarray, "N"]) -> float:
    steps = np.diff(times)
    return float(np.abs(steps - np.median(steps)).mean())
