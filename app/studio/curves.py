"""Curves of a motion over both voices, as SVG: what the editor shows.

Inline, so that the page's own colours, dark or light, are used; nothing is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float

from app.studio.editor import CURVES, Take
from audio2motion.gestures.gestures import Gesture
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform

WIDTH, LEFT, RIGHT = 1000, 118, 14
_WAVE, _LANE, _CURVE, _AXIS = 40, 26, 46, 22
_LARGE = 2  # the timeline shows in a column half as wide as the editor
_BINS = 500


@dataclass(frozen=True, eq=False)
class VoiceRow:
    """One person's voice below the curves: its samples and where somebody speaks in it."""

    name: str
    voice: Waveform
    speaking: Sequence[tuple[float, float]]


def draw_curves(
    take: Take,
    voices: Sequence[VoiceRow],
    shown: Sequence[str],
    selected: tuple[float, float],
    stale: Sequence[tuple[int, int]],
) -> str:
    """An `<svg>` of the curves in `shown` (names of CURVES) over the voices, with a band where
    somebody speaks, a mark for each gesture, the selected range, and the frames still to be drawn.
    """
    seconds = max(take.seconds, 1e-3)
    rows: list[str] = []
    y = 4
    for row in voices:
        rows.append(_voice(row, y, seconds))
        y += _WAVE
    lanes = _lanes(take.gestures)
    rows.append(_gestures(lanes, y, seconds))
    y += _LANE * len(lanes)
    for name in shown:
        rows.append(_curve(name, take.curve(name), y))
        y += _CURVE
    rate = take.motion.fps
    marks = [
        f'<rect class="stale" x="{_x(a / rate, seconds):.1f}" y="{y - 2}" '
        f'width="{_x(b / rate, seconds) - _x(a / rate, seconds):.1f}" height="4"/>'
        for a, b in stale
    ]
    start, end = (_x(min(max(t, 0), seconds), seconds) for t in selected)
    chosen = (
        f'<rect class="chosen" x="{start:.1f}" y="2" width="{max(end - start, 1):.1f}" '
        f'height="{y - 2}"/>'
    )
    axis = _axis(y, seconds)
    speech = "; ".join(f"{r.name} speaks {_spans(r.speaking)}" for r in voices)
    title = f"Curves of {', '.join(shown) or 'nothing'} over {seconds:.2f} seconds. {speech}."
    return (
        f'<svg class="curves" viewBox="0 0 {WIDTH} {y + _AXIS}" role="img" '
        f'aria-label="{escape(title)}" data-seconds="{seconds:.4f}" data-left="{LEFT}" '
        f'data-width="{WIDTH}" data-right="{RIGHT}">{chosen}{"".join(rows)}'
        f'{"".join(marks)}{axis}<line class="now" x1="{LEFT}" x2="{LEFT}" y1="2" y2="{y}"/></svg>'
    )


def draw_timeline(gestures: Sequence[Gesture], seconds: float) -> str:
    """A narrow `<svg>` of gestures in time, for choosing them before there is a motion."""
    seconds = max([seconds, 1.0, *(g.end for g in gestures)])
    names = ", ".join(str(g) for g in gestures) or "none"
    lanes = _lanes(gestures)
    lane, height = _LARGE * _LANE, _LARGE * _LANE * len(lanes) + 2
    return (
        f'<svg class="curves large" viewBox="0 0 {WIDTH} {height + _LARGE * _AXIS}" role="img" '
        f'aria-label="Gestures: {escape(names)}">'
        f"{_gestures(lanes, 2, seconds, lane)}{_axis(height, seconds, _LARGE * 16)}</svg>"
    )


def _x(t: float, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * t / seconds


def _label(text: str, y: float) -> str:
    return f'<text class="name" x="{LEFT - 8}" y="{y:.1f}" text-anchor="end">{escape(text)}</text>'


def _voice(row: VoiceRow, y: int, seconds: float) -> str:
    """A waveform as its peaks, on a band where somebody speaks."""
    bands = "".join(
        f'<rect class="speech" x="{_x(a, seconds):.1f}" y="{y}" '
        f'width="{_x(min(b, seconds), seconds) - _x(a, seconds):.1f}" height="{_WAVE - 4}"/>'
        for a, b in row.speaking
        if a < seconds
    )
    peaks = _peaks(row.voice, seconds)
    middle, half = y + (_WAVE - 4) / 2, (_WAVE - 8) / 2
    step = seconds / len(peaks)
    path = "".join(
        f"M{_x((i + 0.5) * step, seconds):.1f} {middle - half * p:.1f}v{2 * half * p:.1f}"
        for i, p in enumerate(peaks.tolist())
    )
    return f'{bands}<path class="wave" d="{path}"/>{_label(row.name, middle + 4)}'


def _peaks(voice: Waveform, seconds: float) -> Float[np.ndarray, "n"]:
    """The largest sample of each piece, relative to the loudest of all but no louder than it is."""
    count = max(1, round(seconds * SAMPLE_RATE))
    samples = np.abs(np.pad(voice.samples, (0, max(0, count - len(voice.samples))))[:count])
    edges = np.linspace(0, count, min(_BINS, count) + 1).astype(int)[:-1]
    peaks = np.maximum.reduceat(samples, edges)
    return peaks / max(float(peaks.max()), 0.05)


def _lanes(gestures: Sequence[Gesture]) -> list[list[Gesture]]:
    """Gestures that overlap go into lanes of their own."""
    lanes: list[list[Gesture]] = [[]]
    for gesture in sorted(gestures, key=lambda g: g.start):
        for lane in lanes:
            if not lane or lane[-1].end <= gesture.start:
                lane.append(gesture)
                break
        else:
            lanes.append([gesture])
    return lanes


def _gestures(
    lanes: Sequence[Sequence[Gesture]], y: int, seconds: float, lane_height: int = _LANE
) -> str:
    marks = []
    for top, gesture in ((y + k * lane_height, g) for k, lane in enumerate(lanes) for g in lane):
        x = _x(min(gesture.start, seconds), seconds)
        width = max(3.0, _x(min(gesture.end, seconds), seconds) - x)
        marks.append(
            f'<g class="gesture"><title>{escape(str(gesture))}, {gesture.duration:g} s</title>'
            f'<rect x="{x:.1f}" y="{top + 3}" width="{width:.1f}" height="{lane_height - 6}" '
            f'rx="3"/><text x="{x + 5:.1f}" y="{top + 0.68 * lane_height:.0f}">'
            f"{escape(gesture.kind)}</text></g>"
        )
    return "".join(marks) + _label("gestures", y + 0.66 * lane_height)


def _curve(name: str, values: Float[np.ndarray, "T"], y: int) -> str:
    """One curve, on a scale of its own that holds zero."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    room = max(high - low, 0.02 * CURVES[name].scale, 1e-6)
    top, height = y + 4, _CURVE - 10
    xs = np.linspace(LEFT, WIDTH - RIGHT, len(values)) if len(values) > 1 else np.array([LEFT])
    ys = top + height * (1 - (values - low) / room)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs.tolist(), ys.tolist(), strict=True))
    zero = top + height * (1 + low / room)
    unit = CURVES[name].unit.strip()
    digits = 1 if unit == "°" else 2
    extent = f"{values.min():.{digits}f} to {values.max():.{digits}f} {unit}"
    return (
        f'<line class="zero" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
        f'<polyline class="curve" points="{points}"/>{_label(name, top + height / 2 + 1)}'
        f'<text class="most" x="{LEFT - 8}" y="{top + height / 2 + 14:.1f}" text-anchor="end">'
        f"{extent.replace('eye distances', '')}</text>"
    )


def _axis(y: int, seconds: float, drop: int = 16) -> str:
    step = next((s for s in (0.2, 0.5, 1, 2, 5, 10, 30, 60) if seconds / s <= 12), 120)
    ticks = "".join(
        f'<text class="tick" x="{_x(k * step, seconds):.1f}" y="{y + drop}">{k * step:g}</text>'
        for k in range(int(seconds / step) + 1)
    )
    return f'<line class="zero" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>{ticks}'


def _spans(spans: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{a:.1f} to {b:.1f}" for a, b in spans[:8]) or "never"
