"""Samples as one page to look at: faces, curves, voices; nothing that is fetched from elsewhere."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from app.dataset.checks import statistics
from app.dataset.layout import Dataset, Sample, Track
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from motion2video.geometry.basis import FACE_OVAL, FaceBasis
from motion2video.motion import FPS, ROTATION, Motion
from weights.errors import InputError
from weights.saving import save_whole

SECONDS = 12.0
"""So much of each sample is shown."""
_WIDTH, _HEIGHT = 900, 46
_COLOURS = ("#1f6f8b", "#b5532a", "#5a7d2a", "#7a4a8c")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
h2{font-size:1rem;margin:2rem 0 .3rem;border-top:1px solid #ddd;padding-top:1rem}
h2{overflow-wrap:anywhere}
.row{display:flex;gap:1rem;align-items:flex-start;flex-wrap:wrap}.face{width:150px;flex:none}
.curves{flex:1;min-width:20rem}svg{display:block;width:100%;height:auto;background:#fafafa}
table{border-collapse:collapse}td,th{padding:.1rem .8rem .1rem 0;text-align:left;vertical-align:top}
small{color:#666}audio{width:100%;margin-top:.3rem}
@media (prefers-color-scheme:dark){body{background:#16181b;color:#ddd}svg{background:#1e2126}
small{color:#999}h2{border-color:#333}}
"""


def show(dataset: Dataset, out: Path, count: int = 24, split: str | None = None) -> list[Sample]:
    """Write a page of samples, evenly chosen of a split (or all); the two of a conversation follow
    each other. Raises InputError where there is none.
    """
    samples = chosen(dataset.samples(split), count)
    if not samples:
        raise InputError(
            f"{dataset.address} has no samples to show{f' in {split}' if split else ''}"
        )
    basis = FaceBasis.load()
    parts = [_section(dataset, sample, basis) for sample in samples]
    figures = "".join(
        f"<tr><th>{html.escape(k.replace('_', ' '))}</th><td>{html.escape(_said(v))}</td></tr>"
        for k, v in statistics(dataset).items()
    )
    title = html.escape(Path(dataset.address).name or "dataset")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style><h1>{title}</h1><table>{figures}</table>"
        f"<p>{len(samples)} samples, the first {SECONDS:g} s of each.</p>{''.join(parts)}</html>"
    )
    save_whole(out, page.encode(), "the page")
    return samples


def chosen(samples: Sequence[Sample], count: int) -> list[Sample]:
    """So many samples, evenly over all, with their partners."""
    if not samples:
        return []
    by_key = {s.key: s for s in samples}
    at = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    out: dict[str, Sample] = {}
    for n in at.tolist():
        one = samples[n]
        for sample in (one, by_key.get(one.partner)):
            if sample is not None and len(out) < count:
                out[sample.key] = sample
    return sorted(out.values(), key=lambda s: s.key)


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return "not known" if value is None else str(value)


def _section(dataset: Dataset, sample: Sample, basis: FaceBasis) -> str:
    frames = min(sample.frames, round(SECONDS * FPS))
    motion, track, voice = dataset.motion(sample), dataset.track(sample), dataset.voice(sample)
    told = [sample.person, dataset.split_of(sample.person), f"{sample.seconds:.1f} s"]
    told += [f"motion: {sample.motion or 'none'}", f"voice: {sample.voice or 'none'}"]
    if sample.sync_r is not None:
        told.append(f"lips and voice: r = {sample.sync_r:.2f}, {sample.sync_ms:.0f} ms")
    if sample.partner:
        told.append(f"talks to {sample.partner}")
    words = " ".join(w for w, a, _ in dataset.words(sample) if a < SECONDS)
    curves = []
    if voice is not None:
        curves.append(_voice_row(voice, sample, frames))
    if motion is not None:
        curves += _motion_rows(motion, basis, frames)
    if words:
        curves.append(f"<p>{html.escape(words)}</p>")
    if voice is not None:
        heard = Waveform(voice.samples[: frames * SAMPLES_PER_FRAME], voice.sample_rate).to_wav()
        data = base64.b64encode(heard).decode()
        curves.append(f'<audio controls preload="none" src="data:audio/wav;base64,{data}"></audio>')
    line = html.escape("; ".join(told))
    face = _face(dataset, sample, track)
    return (
        f"<section><h2>{html.escape(sample.key)}</h2><small>{line}</small>"
        f'<div class="row"><div class="face">{face}</div>'
        f'<div class="curves">{"".join(curves)}</div></div></section>'
    )


def _face(dataset: Dataset, sample: Sample, track: Track | None) -> str:
    """A picture of the face where there is one, else its points in the middle frame."""
    still = _still(dataset, sample)
    if still is not None:
        data = base64.b64encode(still).decode()
        return f'<img width="150" alt="the face" src="data:image/jpeg;base64,{data}">'
    if track is None:
        return ""
    points = track.landmarks[len(track) // 2, :, :2]
    low, high = points.min(0), points.max(0)
    points = (points - low) / float((high - low).max()) * 140 + 5
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r=".8"/>' for x, y in points)
    oval = " ".join(f"{x:.1f},{y:.1f}" for x, y in points[FACE_OVAL])
    return (
        '<svg viewBox="0 0 150 150" role="img" aria-label="points of the face">'
        f'<g fill="{_COLOURS[0]}">{dots}</g>'
        f'<polygon points="{oval}" fill="none" stroke="{_COLOURS[0]}"/></svg>'
    )


def _still(dataset: Dataset, sample: Sample) -> bytes | None:
    """The middle frame of the face's video as a JPEG."""
    import tempfile

    from PIL import Image

    from motion2video.media.video import read_video

    data = dataset.read(sample, "faces.mp4")
    if data is None:
        return None
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        with read_video(file.name) as reader:
            for n, frame in enumerate(reader):
                if n == sample.frames // 2:
                    target = io.BytesIO()
                    Image.fromarray(frame).resize((150, 150)).save(target, "JPEG", quality=85)
                    return target.getvalue()
    return None


def _voice_row(voice: Waveform, sample: Sample, frames: int) -> str:
    """How loud the voice is, with stretches of speech and of doubt below it."""
    whole = voice.samples[: frames * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    level = np.clip(10 * np.log10((whole**2).mean(1) + 1e-6) + 60, 0, None)
    bars = "".join(
        f'<rect x="{_x(a, frames):.1f}" y="{_HEIGHT - 5}" height="5" fill="{colour}" '
        f'width="{max(0.0, _x(min(b, frames / FPS), frames) - _x(a, frames)):.1f}"/>'
        for stretches, colour in ((sample.speech, _COLOURS[2]), (sample.doubt, _COLOURS[1]))
        for a, b in stretches
        if a < frames / FPS
    )
    return _svg("voice", [(level, _COLOURS[0])], bars)


def _motion_rows(motion: Motion, basis: FaceBasis, frames: int) -> list[str]:
    values = motion.values[:frames]
    turns = np.degrees(values[:, ROTATION])
    shown = Motion(values)
    blink = (shown.channel("eyeBlinkLeft") + shown.channel("eyeBlinkRight")) / 2
    smile = (shown.channel("mouthSmileLeft") + shown.channel("mouthSmileRight")) / 2
    return [
        _svg("gap of the lips", [(basis.lip_gap(values), _COLOURS[0])]),
        _svg("blinks, smiles", [(blink, _COLOURS[1]), (smile, _COLOURS[2])]),
        _svg("nod, turn, tilt", [(turns[:, n], _COLOURS[n]) for n in range(3)]),
    ]


def _svg(name: str, curves: Sequence[tuple[Float[np.ndarray, "T"], str]], more: str = "") -> str:
    """Curves on one scale."""
    low = min(float(c.min(initial=0.0)) for c, _ in curves)
    high = max(float(c.max(initial=0.0)) for c, _ in curves)
    span = max(high - low, 1e-6)
    lines = ""
    for curve, colour in curves:
        ys = _HEIGHT - 8 - (curve - low) / span * (_HEIGHT - 20)
        xs = np.linspace(0, _WIDTH, len(curve))
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        lines += f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">'
        f'<text x="2" y="10" font-size="9" fill="currentColor">{name}, {low:.2f} to {high:.2f}'
        f"</text>{lines}{more}</svg>"
    )


def _x(seconds: float, frames: int) -> float:
    return max(0.0, seconds) * FPS / frames * _WIDTH
