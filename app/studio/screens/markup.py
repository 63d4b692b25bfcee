"""The pieces of HTML that the screens show: progress with its preview, errors, figures."""

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from app.jobs.preview import Preview
from app.jobs.table import Job
from app.quality.verdict import Check, Report
from app.render.result import RenderResult

_WORDS = (
    ("The interlocutor", "The other person"),
    ("the interlocutor", "the other person"),
    ("an interlocutor", "another person"),
    ("interlocutor", "other person"),
    ("The agent", "The person"),
    ("the agent", "the person"),
)

_TURN = re.compile(r"turn ([0-9]{1,3}): ")


_LAMPS = {"green": "good", "amber": "look at it", "red": "off", "unknown": "not told"}


def note(sentence: str) -> str:
    """A quiet sentence."""
    return f'<p class="v-note">{escape(plain(sentence))}</p>' if sentence else ""


def lacking(sentence: str) -> str:
    """What a video cannot be made without yet."""
    return f'<p class="v-note v-lacking"{_of_turn(sentence)}>{escape(plain(sentence))}</p>'


def _of_turn(sentence: str) -> str:
    """The mark by which an error about a turn is said at its row too."""
    found = _TURN.match(sentence)
    return "" if found is None else f' data-turn="{found[1]}"'


def alert(sentence: str) -> str:
    """An error that a screen reader says at once."""
    lines = "<br>".join(escape(plain(sentence)).splitlines())
    return f'<p class="v-alert" role="alert"{_of_turn(sentence)}>{lines}</p>'


def plain(sentence: str) -> str:
    """A sentence in the words of the screens: errors and help are those of the command line too."""
    for word, ours in _WORDS:
        sentence = sentence.replace(word, ours)
    return sentence


def without_paths(sentence: str, files: Iterable[str]) -> str:
    """A sentence that names the visitor's files as they did, and no folder of the server."""
    for file in files:
        sentence = sentence.replace(str(file), Path(file).name)
    return sentence


def progress(job: Job, made: Preview) -> str:
    """How far a job is: place in the queue or a bar with frames, rate and time left, the latest
    frame, and the film strip that grows.
    """
    if job.state == "queued":
        before = job.position
        words = f"{before} before you in the queue" if before else "next in the queue"
        told = f'data-told="Waiting: {words}"'
        return f'<div class="v-run" {told}><p>Waiting: {words}</p></div>'
    step = job.step
    total = max(step.total, 1)
    counted = step.total > 1
    words = step.what or "starting"
    if counted:
        unit = "" if "made" in step.what else "frame "
        words += f": {unit}{step.done} of {step.total}"
    if counted and step.rate > 0 and step.eta_s is not None:
        words += f" · {step.rate:.1f} frames/s · {max(step.eta_s, 0):.0f} s left"
    value = f' value="{step.done}"' if counted else ""
    told = _told(step.what, step.done / total if counted else 0.0)
    return (
        f'<div class="v-run" data-told="{escape(told)}"><p class="v-status">{escape(words)}</p>'
        f'<progress max="{total}"{value} aria-label="{escape(words)}"></progress>'
        f"{preview(made)}</div>"
    )


def _told(what: str, share: float) -> str:
    """What is said aloud of a step: now and then, not at each frame."""
    quarters = ("", ", a quarter is done", ", half is done", ", three quarters are done", ", done")
    return f"{what or 'starting'}{quarters[int(4 * min(max(share, 0.0), 1.0))]}"


def done(sentence: str) -> str:
    """A quiet sentence that a screen reader says: something has ended."""
    return f'<p class="v-note" data-told="{escape(sentence)}">{escape(sentence)}</p>'


def preview(made: Preview) -> str:
    """The latest frame and the thumbnails so far."""
    if not made.look:
        return ""
    strip = "".join(f'<img src="{_uri(thumb)}" alt="">' for thumb in made.strip)
    return (
        f'<img class="v-look" src="{_uri(made.look)}" alt="The latest frame">'
        f'<div class="v-strip" role="img" aria-label="One thumbnail a second, so far">{strip}</div>'
    )


def example(address: str, sentence: str) -> str:
    """A finished video that shows what is made here, until there is one of the visitor's own."""
    return (
        f'<video src="{escape(address)}" controls playsinline preload="metadata" '
        f'aria-label="An example video"></video>{note(sentence)}'
    )


def figures(result: RenderResult) -> str:
    """What is known of a finished run."""
    width, height = result.size
    rows = [
        ("length", f"{result.seconds:.2f} s, {result.frames} frames at {result.fps:g} a second"),
        ("size", f"{width} × {height}"),
        ("made in", f"{result.wall_seconds:.1f} s, {result.render_fps:.1f} frames a second"),
        ("seed", str(result.seed)),
        ("memory at most", f"{result.peak_memory_mb / 1000:.2f} GB"),
    ]
    if result.gestures:
        rows.append(("gestures", ", ".join(map(str, result.gestures))))
    checked = "" if result.report is None else report(result.report)
    return table(rows) + checked + "".join(note(notice) for notice in result.notices)


def report(checked: Report) -> str:
    """What was measured of a video: a lamp, in words too, the value, and its bar."""
    rows = "".join(
        f"<tr role='row' class='v-{check.level}'>"
        f"<th role='rowheader' scope='row'>{escape(check.name)}</th>"
        f"<td role='cell'><span class='v-lamp' aria-hidden='true'></span>{_LAMPS[check.level]}</td>"
        f"<td role='cell'>{escape(_value(check))}</td><td role='cell'>{escape(check.bar)}</td></tr>"
        for check in checked.checks
    )
    heads = "".join(
        f"<th role='columnheader' scope='col'>{name}</th>"
        for name in ("measured", "is", "value", "bar")
    )
    # Roles are named since a narrow page lays the rows out as blocks, which would end them.
    return (
        f"<table role='table' class='v-grid v-report'><thead role='rowgroup'><tr role='row'>{heads}"
        f"</tr></thead><tbody role='rowgroup'>{rows}</tbody></table>"
    )


def _value(check: Check) -> str:
    if check.value is None:
        return plain(check.note or "not known")
    return f"{check.value:.3g} {check.unit}".strip()


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values."""
    return (
        '<dl class="v-figures">'
        + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows)
        + "</dl>"
    )


def grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in headers)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table class='v-grid'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _uri(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()
