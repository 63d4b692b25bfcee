"""The report of a batch: report.html for people, report.json for machines.

The page is one file that asks no other host for anything: pictures are in it, charts are SVG.
"""

import base64
import calendar
import json
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.batch import storage
from app.batch.charts import histogram, over_time, shares
from app.batch.ledger import STATES, Entry, Ledger

_PICTURES = 500
_COLOURS = {"done": "#2a9d5c", "failed": "#c8443c", "pending": "#c9c9c9", "running": "#e0a530"}
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:960px;padding:0 1em;color:#222}
h1,h2{font-weight:600} table{border-collapse:collapse;width:100%;font-size:13px}
td,th{text-align:left;padding:.3em .6em;border-bottom:1px solid #ddd;vertical-align:top}
.grid{display:flex;flex-wrap:wrap;gap:8px}.grid a{width:100px;font-size:11px;overflow-wrap:anywhere;
color:inherit;text-decoration:none}.grid img{display:block;width:96px;border-radius:4px}
.chart rect{fill:#4a78b5}.chart text{font-size:11px;fill:#555}
.chart .title{font-size:13px;fill:#222}
.charts{display:flex;flex-wrap:wrap;gap:20px}.failed{color:#c8443c}
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}td,th{border-color:#333}
.chart .title{fill:#ddd}.chart text{fill:#aaa}}
"""


def write_report(ledger: Ledger, folder: str, staging: Path) -> None:
    """Write both into the batch's folder, at once and whole. Raises OutputError."""
    entries = list(ledger.entries())
    runs = ledger.runs()
    summary = summarise(entries, runs)
    data = {"summary": summary, "runs": runs, "items": [vars(entry) for entry in entries]}
    text = json.dumps(data, indent=1, allow_nan=False)
    storage.write_bytes(storage.join(folder, "report.json"), text.encode(), staging)
    page = "\n".join(_page(ledger, entries, runs, summary))
    storage.write_bytes(storage.join(folder, "report.html"), page.encode(), staging)


def summarise(entries: list[Entry], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a batch over all its runs."""
    done = [entry for entry in entries if entry.state == "done"]
    work = sum(entry.seconds or 0.0 for entry in done)
    frames = sum(entry.frames or 0 for entry in done)
    return {
        "items": len(entries),
        **{state: sum(entry.state == state for entry in entries) for state in STATES},
        "runs": len(runs),
        "wall_seconds": round(sum(run["seconds"] or 0.0 for run in runs), 3),
        "work_seconds": round(work, 3),
        "video_seconds": round(sum(entry.video_seconds or 0.0 for entry in done), 3),
        "frames": frames,
        "frames_per_work_second": round(frames / work, 2) if work else None,
        "bytes": sum(entry.bytes or 0 for entry in done),
        "attempts": sum(entry.attempts for entry in entries),
    }


def _page(
    ledger: Ledger, entries: list[Entry], runs: list[dict[str, Any]], summary: dict[str, Any]
) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><title>Visavis batch</title>'
    # Whatever is in the names and errors, the page cannot fetch or run anything.
    yield (
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
    )
    yield f"<style>{_STYLE}</style><h1>{summary['done']} of {summary['items']} videos</h1>"
    yield shares([(state, summary[state], _COLOURS[state]) for state in _COLOURS])
    hours = summary["video_seconds"] / 3600
    yield (
        f"<p>{summary['done']} done, <span class=failed>{summary['failed']} failed</span>, "
        f"{summary['pending'] + summary['running']} to do. {hours:.2f} hours of video, "
        f"{summary['bytes'] / 1e6:.1f} MB, made in {summary['work_seconds'] / 3600:.2f} hours of "
        f"work ({summary['frames_per_work_second'] or 0} frames/s of each worker), "
        f"{summary['attempts']} attempts in {summary['runs']} runs.</p>"
    )
    done = [entry for entry in entries if entry.state == "done"]
    yield '<div class="charts">'
    yield histogram([entry.seconds or 0.0 for entry in done], "Work for a video", "s")
    yield histogram([entry.video_seconds or 0.0 for entry in done], "Length of a video", "s")
    times = sorted(_seconds(entry.finished) for entry in done if entry.finished)
    yield over_time([t - times[0] for t in times], "Videos finished") + "</div>"
    failed = [entry for entry in entries if entry.state == "failed"]
    if failed:
        yield "<h2>What failed</h2><table><tr><th>row<th>output<th>attempts<th>why</tr>"
        for e in failed:
            yield (
                f"<tr><td>{e.row}<td>{escape(e.output)}<td>{e.attempts}"
                f"<td>{escape(e.error or '')}</tr>"
            )
        yield "</table>"
    yield '<h2>Videos</h2><div class="grid">'
    for entry in done[:_PICTURES]:
        picture = ledger.thumbnail(entry.output)
        source = base64.b64encode(picture or b"").decode()
        yield (
            f'<a href="{quote(entry.output)}"><img loading="lazy" alt="" '
            f'src="data:image/jpeg;base64,{source}">{escape(entry.output)}</a>'
        )
    yield "</div>"
    if len(done) > _PICTURES:
        yield f"<p>and {len(done) - _PICTURES} more; report.json has all of them.</p>"
    shown = ("started", "engine", "workers", "seconds", "done", "outcome")
    yield f"<h2>Runs</h2><table><tr>{''.join(f'<th>{name}' for name in shown)}</tr>"
    for run in runs:
        values = (run[name] for name in shown)
        cells = "".join(f"<td>{escape('' if v is None else str(v))}" for v in values)
        yield f"<tr>{cells}</tr>"
    yield "</table></html>"


def _seconds(moment: str) -> float:
    """A time of day as the ledger writes it, in seconds."""
    return float(calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")))
