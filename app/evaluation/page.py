"""The table as one page of HTML that needs nothing else: every row with its interval drawn."""

from collections.abc import Callable
from html import escape

from app.evaluation.table import Row, Table, cells
from app.quality.intervals import Interval

_WIDTH, _HEIGHT, _EDGE = 220, 26, 8
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif;
  --made: #1668b8; --second: #b4560b; --real: #1a8f4c; --floor: #767676; }
@media (prefers-color-scheme: dark) {
  :root { --made: #6db3f2; --second: #f0974b; --real: #4cc981; --floor: #a0a0a0; }
}
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 1.2rem 0 .3rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
td { white-space: nowrap; } small { display: block; opacity: .8; }
svg { display: block; }
.wide { overflow-x: auto; }
.made { fill: var(--made); stroke: var(--made); color: var(--made); }
.second { fill: var(--second); stroke: var(--second); color: var(--second); }
.real { stroke: var(--real); color: var(--real); }
.floor { stroke: var(--floor); stroke-dasharray: 2 2; color: var(--floor); }
.key { margin-right: 1.2rem; white-space: nowrap; } .key b { font-size: 1.2em; }
@media (max-width: 40rem) {
  th[scope=row] { position: sticky; left: 0; background: Canvas; max-width: 8rem; }
  svg { width: 9rem; height: auto; } th, td { padding: .25rem .3rem; }
}
"""


def page(table: Table, title: str) -> str:
    """The whole page."""
    compared = table.names[1] is not None
    first, second = table.names
    head = ["figure", "", first, "real", "floor", "better"]
    head += [f"{second}", f"{first} - {second}"] if compared else []
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    parts = []
    for role in dict.fromkeys(row.role for row in table.rows):
        body = "".join(_row(row, compared) for row in table.rows if row.role == role)
        parts.append(
            f'<div class="wide" tabindex="0" role="region" aria-label="{escape(role)}"><table>'
            f"<caption>{escape(role)}</caption><thead><tr>{heads}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
        )
    keys = [("made", "&bull;", first), ("second", "&bull;", second), ("real", "|", "real")]
    keys += [("floor", "&#166;", "floor: chance, a still face")]
    legend = " ".join(
        f'<span class="key"><b class="{kind}">{sign}</b> {escape(name)}</span>'
        for kind, sign, name in keys
        if name
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    told = f"{table.pairs} pairs of {table.people} people. Whiskers: 95 of 100 bootstrap means."
    told += " * where it does not hold 0." if compared else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1><p>{told}</p>"
        f"<p>{legend}</p>{''.join(parts)}{notes}</body></html>\n"
    )


def _row(row: Row, compared: bool) -> str:
    name, _, *rest = cells(row, compared)
    columns = "".join(f"<td>{_cell(cell)}</td>" for cell in rest)
    return f'<tr><th scope="row">{escape(name)}</th><td>{_plot(row)}</td>{columns}</tr>'


def _cell(text: str) -> str:
    """A mean, with its interval below."""
    mean, bracket, interval = escape(text).partition(" [")
    return f"{mean}<small>[{interval}</small>" if bracket else mean


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
        f'<svg role="img" aria-label="{label}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">'
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
