"""The table as one page of HTML that needs nothing else: every row with its interval drawn."""

from collections.abc import Callable
from html import escape

from app.evaluation.table import Row, Table, cells
from app.quality.intervals import Interval

_WIDTH, _HEIGHT, _EDGE = 220, 26, 8
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 1.2rem 0 .3rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
svg { display: block; }
.made { fill: #1668b8; stroke: #1668b8; } .second { fill: #b4560b; stroke: #b4560b; }
.real { stroke: #1a8f4c; } .floor { stroke: #888; stroke-dasharray: 2 2; }
.key { margin-right: 1.2rem; } .key b { font-size: 1.2em; }
"""


def page(table: Table, title: str) -> str:
    """The whole page."""
    compared = table.names[1] is not None
    head = ["figure", "", "made", "real", "floor", "better"]
    head += ["second", "made - second"] if compared else []
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    parts = []
    for role in dict.fromkeys(row.role for row in table.rows):
        body = "".join(_row(row, compared) for row in table.rows if row.role == role)
        parts.append(
            f"<table><caption>{escape(role)}</caption><thead><tr>{heads}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )
    keys = [("made", "#1668b8", table.names[0]), ("second", "#b4560b", table.names[1])]
    legend = "".join(
        f'<span class="key"><b style="color:{colour}">&bull;</b> {escape(name)}</span>'
        for _, colour, name in keys
        if name
    )
    legend += '<span class="key"><b style="color:#1a8f4c">|</b> real</span>'
    legend += (
        '<span class="key"><b style="color:#888">&#166;</b> floor: chance, a still face</span>'
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    told = f"{table.pairs} pairs of {table.people} people. Whiskers: 95 of 100 bootstrap means."
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1><p>{told}</p>"
        f"<p>{legend}</p>{''.join(parts)}{notes}</body></html>\n"
    )


def _row(row: Row, compared: bool) -> str:
    name, _, *rest = cells(row, compared)
    columns = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
    return f'<tr><th scope="row">{escape(name)}</th><td>{_plot(row)}</td>{columns}</tr>'


def _plot(row: Row) -> str:
    """Intervals on one scale, from the least to the greatest of them all."""
    whiskers = [("made", row.made)] + ([("second", row.other)] if row.other else [])
    ends = [x for _, w in whiskers if w.count for x in _ends(w)]
    lines = [("real", row.real), ("floor", row.floor)]
    ends += [w.mean for _, w in lines if w.count]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * (value - low) / span

    drawn = [
        f'<line class="{name}" x1="{at(w.mean):.1f}" x2="{at(w.mean):.1f}" y1="2" '
        f'y2="{_HEIGHT - 2}" stroke-width="2"/>'
        for name, w in lines
        if w.count
    ]
    known = [(name, w) for name, w in whiskers if w.count]
    for k, (name, w) in enumerate(known):
        drawn.append(_whisker(name, w, at, _HEIGHT * (k + 1) / (len(known) + 1)))
    label = escape(f"{row.figure.name}, {row.role}")
    return (
        f'<svg role="img" aria-label="{label}" width="{_WIDTH}" height="{_HEIGHT}">'
        f"{''.join(drawn)}</svg>"
    )


def _whisker(name: str, found: Interval, at: Callable[[float], float], y: float) -> str:
    low, high = _ends(found)
    return (
        f'<line class="{name}" x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{y:.1f}" '
        f'y2="{y:.1f}" stroke-width="2"/>'
        f'<circle class="{name}" cx="{at(found.mean):.1f}" cy="{y:.1f}" r="3.5"/>'
    )


def _ends(found: Interval) -> tuple[float, float]:
    """Of its whisker; a single value has none."""
    return (found.mean, found.mean) if found.count == 1 else (found.low, found.high)
