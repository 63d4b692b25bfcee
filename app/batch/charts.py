"""Charts as inline SVG: they need no script, no font and no other host."""

from collections.abc import Sequence
from html import escape

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _BELOW = 460, 150, 44, 26


def histogram(values: Sequence[float], title: str, unit: str, bins: int = 20) -> str:
    """How often values are how large. Empty for no values."""
    if not values:
        return ""
    low, high = 0.0, max(max(values), 1e-9)
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    return _bars(
        counts.astype(float).tolist(), title, f"{low:g} {unit}", f"{high:.3g} {unit}", "videos"
    )


def over_time(seconds: Sequence[float], title: str, bins: int = 40) -> str:
    """How many things happened in each stretch of time; `seconds` are times after the first."""
    if not seconds:
        return ""
    high = max(max(seconds), 1.0)
    counts, _ = np.histogram(seconds, bins=bins, range=(0.0, high))
    rates = (counts * (60 * bins / high)).tolist()
    return _bars(rates, title, "0 s", f"{high:.0f} s", "a minute")


def shares(parts: Sequence[tuple[str, int, str]]) -> str:
    """One bar, cut into (name, count, colour)."""
    total = sum(count for _, count, _ in parts) or 1
    x, drawn = 0.0, []
    for name, count, colour in parts:
        width = 940 * count / total
        if count:
            drawn.append(
                f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="22" fill="{colour}">'
                f"<title>{escape(name)}: {count}</title></rect>"
            )
        x += width
    return f'<svg role="img" viewBox="0 0 940 22" width="100%" height="22">{"".join(drawn)}</svg>'


def _bars(values: Sequence[float], title: str, first: str, last: str, unit: str) -> str:
    top = max(max(values), 1e-9)
    step = (_WIDTH - _LEFT) / len(values)
    height = _HEIGHT - _BELOW - 20
    bars = [
        f'<rect x="{_LEFT + i * step:.1f}" y="{20 + height * (1 - v / top):.1f}" '
        f'width="{step * 0.9:.1f}" height="{height * v / top:.1f}"/>'
        for i, v in enumerate(values)
    ]
    base = _HEIGHT - 8
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" class="chart">'
        f'<text x="0" y="12" class="title">{escape(title)}</text>'
        f'<text x="0" y="32">{top:.3g}</text><text x="0" y="{_HEIGHT - _BELOW}">0</text>'
        f"{''.join(bars)}"
        f'<text x="{_LEFT}" y="{base}">{escape(first)}</text>'
        f'<text x="{_WIDTH}" y="{base}" text-anchor="end">{escape(last)} ({escape(unit)})</text>'
        "</svg>"
    )
