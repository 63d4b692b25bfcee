#!/usr/bin/env python3
"""What measured conversations say: smiles, gaze, turns, backchannels and nods, as a table.

    scripts/data/measured_dyads.py --pack PACK [--json]

PACK/dyads holds measured behaviour of two people without video: smile intensities and gaze of
video calls (OpenFace), fixations by role, time-stamped turns of telephone and face-to-face talk,
annotated nods. The constants of audio2motion/behaviour/statistics.py come from this table; run it
again after the pack has changed. Everything is computed in a few seconds and without chance, apart
from the pairs that are compared with shuffled ones (all of them, not a sample).
"""

import argparse
import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

SMILE_RISE = 1.0
"""Rise of the smile intensity (0-5) within a second that counts as the onset of a smile."""
BACKCHANNELS = frozenset({"b", "b^r", "bh", "bk", "ba", "aa"})
FACE_RADIUS_PX = 300.0
"""Radius of the partner's face about a person's median fixation while listening."""


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a gzipped csv."""
    with gzip.open(path, "rt", newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def quantiles(values: list[float] | np.ndarray) -> dict[str, float]:
    """10th, 50th, 90th percentile, and the standard deviation of the logarithm of the positive."""
    found = np.asarray(values, float)
    low, middle, high = np.percentile(found, [10, 50, 90])
    positive = found[found > 0]
    spread = float(np.log(positive).std()) if len(positive) else 0.0
    return {
        "count": len(found),
        "p10": round(float(low), 3),
        "median": round(float(middle), 3),
        "p90": round(float(high), 3),
        "log sd": round(spread, 2),
    }


def lagged_correlation(one: np.ndarray, two: np.ndarray, window: int, reach: int) -> np.ndarray:
    """[2 reach + 1] mean over windows of Pearson's r of `one` [n] and `two` [n] moved by -reach to
    reach samples; a peak at a positive lag says that `two` follows `one`.
    """
    total = []
    for start in range(reach, len(one) - window - reach, window):
        a = one[start : start + window] - one[start : start + window].mean()
        if a.std() < 0.05:
            continue
        row = []
        for lag in range(-reach, reach + 1):
            b = two[start + lag : start + lag + window]
            b = b - b.mean()
            size = float(np.sqrt((a**2).sum() * (b**2).sum()))
            row.append(float((a * b).sum()) / size if size > 1e-6 else 0.0)
        total.append(row)
    return np.mean(total, axis=0) if total else np.full(2 * reach + 1, np.nan)


def onsets(smile: np.ndarray, fps: float) -> np.ndarray:
    """Samples at which an intensity [n] rises by SMILE_RISE within a second; 2 s apart at least."""
    second = int(fps)
    rise = smile[second:] - smile[:-second] >= SMILE_RISE
    starts = np.nonzero(rise[1:] & ~rise[:-1])[0] + second // 2
    kept: list[int] = []
    for t in starts.tolist():
        if not kept or t - kept[-1] > 2 * second:
            kept.append(t)
    return np.array(kept, int)


def smiles(pack: Path) -> dict[str, object]:
    """Mimicry in the video calls: matched against all mismatched pairs of the same resolution."""
    with np.load(pack / "dyads" / "video_calls.npz") as data:
        smile, fps = data["au12_r"].astype(np.float64), float(data["fps"])
        session, resolution = data["session"], data["resolution"]
    kernel = np.ones(7) / 7
    smile = np.apply_along_axis(lambda x: np.convolve(x, kernel, "same"), 1, smile)[:, ::3]
    fps /= 3
    window, reach = int(10 * fps), int(2 * fps)
    matched, shuffled, lags, followed, chance = [], [], [], [], []
    for i in range(len(smile)):
        matched.append(lagged_correlation(smile[i, :, 0], smile[i, :, 1], window, reach))
        for j in range(len(smile)):
            if resolution[i] == resolution[j] and session[i] != session[j]:
                other = lagged_correlation(smile[i, :, 0], smile[j, :, 1], window, 0)
                shuffled.append(float(other[0]))
        for one, two in ((0, 1), (1, 0)):
            mine = onsets(smile[i, :, two], fps)
            for t in onsets(smile[i, :, one], fps):
                after = (mine - t) / fps
                near = after[(after > 0) & (after <= 2)]
                followed.append(len(near) > 0)
                lags += near[:1].tolist()
            chance.append(1 - np.exp(-len(mine) * 2 / 180))
    mean = np.nanmean(matched, axis=0)
    both = (mean + mean[::-1]) / 2
    high = smile > np.median(smile, axis=1, keepdims=True) + SMILE_RISE
    rates = [len(onsets(smile[i, :, p], fps)) / 3 for i in range(len(smile)) for p in (0, 1)]
    return {
        "windowed r, lag 0, matched": round(float(mean[reach]), 3),
        "windowed r, lag 0, shuffled": round(float(np.nanmean(shuffled)), 3),
        "peak lag either way, s": round(abs(int(both.argmax()) - reach) / fps, 2),
        "r at lag 0.5 s / at 0": round(float(both[reach + round(0.5 * fps)] / both[reach]), 2),
        "P(own onset within 2 s after the other's)": round(float(np.mean(followed)), 3),
        "the same by chance": round(float(np.mean(chance)), 3),
        "lag of those onsets, s": quantiles(lags),
        "onsets/min": quantiles(rates),
        "share of time smiling": quantiles(high.mean(1).ravel()),
    }


def runs(mask: np.ndarray) -> np.ndarray:
    """Lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return edges[1::2] - edges[::2]


def gaze(pack: Path) -> dict[str, object]:
    """Time at the partner's face, by role and by person, and how long a look at it lasts."""
    with np.load(pack / "dyads" / "video_calls.npz") as data:
        region = data["gaze"]
    at_face = region == 3
    looks = np.concatenate(
        [runs(at_face[i, :, p]) / 30 for i in range(len(region)) for p in (0, 1)]
    )
    out: dict[str, object] = {
        "video calls, share at the partner by person": quantiles(at_face.mean(1).ravel()),
        "video calls, length of looks >= 0.2 s": quantiles(looks[looks >= 0.2]),
    }
    people = defaultdict(lambda: defaultdict(list))
    for row in read(pack / "dyads" / "gaze_by_role.csv.gz"):
        spot = [float(row[k]) for k in ("x_px", "y_px", "duration_ms", "pause_ms")]
        people[row["role"]][row["person"]].append(spot)
    for role in ("LISTEN", "SPEAK"):
        share, at, away, fixations = [], [], [], []
        for person, rows in people[role].items():
            found = np.array(rows)
            # Where the partner's face is, from where this person looks when listening.
            middle = np.median(np.array(people["LISTEN"].get(person, rows))[:, :2], axis=0)
            near = np.hypot(*(found[:, :2] - middle).T) < FACE_RADIUS_PX
            span = (found[:, 2] + np.minimum(found[:, 3], 1000)) / 1000
            share.append(float(span[near].sum() / span.sum()))
            fixations += (found[:, 2] / 1000).tolist()
            edges = np.flatnonzero(np.diff(near.astype(int))) + 1
            for part, is_near in zip(np.split(span, edges), np.split(near, edges), strict=True):
                (at if is_near[0] else away).append(float(part.sum()))
        out[f"{role}, share at the partner by person"] = quantiles(share)
        out[f"{role}, length of looks at the partner, s"] = quantiles(at)
        out[f"{role}, length of looks away, s"] = quantiles(away)
        out[f"{role}, length of fixations, s"] = quantiles(fixations)
    return out


def turns(pack: Path) -> dict[str, object]:
    """Turns, floor transfers, pauses, overlap and backchannels."""
    calls = defaultdict(list)
    for row in read(pack / "dyads" / "telephone_turns.csv.gz"):
        entry = (float(row["start"]), float(row["end"]), row["side"], row["act"])
        calls[row["conversation"]].append(entry)
    lengths, transfers, pauses, both, rates, after = [], [], [], [], [], []
    for entries in calls.values():
        found = _call(sorted(entries))
        lengths += found[0]
        transfers += found[1]
        pauses += found[2]
        both.append(found[3])
        rates.append(found[4])
        after.append(found[5])
    face = read(pack / "dyads" / "face_to_face_turns.csv.gz")
    spans = [float(r["end"]) - float(r["begin"]) for r in face if r["nature"] == "talk"]
    offsets = np.array([float(r["FTO"]) for r in face if r["FTO"]]) / 1000
    after_pairs = np.array([a for a in after if a is not None])
    return {
        "telephone, turn length, s": quantiles(lengths),
        "telephone, floor transfer offset, s": quantiles(transfers),
        "telephone, share of transfers with overlap": round(
            float((np.array(transfers) < 0).mean()), 3
        ),
        "telephone, pauses within a turn, s": quantiles(pauses),
        "telephone, both at once, share of speech": round(float(np.mean(both)), 3),
        "telephone, backchannels per minute of the other's turns": quantiles(rates),
        "telephone, P(backchannel within 1 s after a pause) / chance": round(
            float(after_pairs[:, 0].mean() / after_pairs[:, 1].mean()), 2
        ),
        "face to face, length of talk, s": quantiles(spans),
        "face to face, floor transfer offset, s": quantiles(offsets),
        "face to face, share of transfers with overlap": round(float((offsets < 0).mean()), 3),
    }


def _call(
    entries: list[tuple[float, float, str, str]],
) -> tuple[list[float], list[float], list[float], float, float, tuple[float, float] | None]:
    """Of a telephone call: turn lengths, transfers, pauses, overlap, backchannel rate, and the
    shares of backchannels and of time within a second after a pause.
    """
    floor = [e for e in entries if e[3] not in BACKCHANNELS]
    back = [e for e in entries if e[3] in BACKCHANNELS]
    lengths, transfers, pauses = [], [], []
    turn: tuple[float, float, str] | None = None
    for start, end, side, _ in floor:
        if turn is None or side != turn[2]:
            if turn is not None:
                lengths.append(turn[1] - turn[0])
                if abs(start - turn[1]) < 5:
                    transfers.append(start - turn[1])
            turn = start, end, side
        else:
            if 0.1 < start - turn[1] < 5:
                pauses.append(start - turn[1])
            turn = turn[0], max(turn[1], end), side
    total = entries[-1][1]
    grid = np.zeros((2, int(total * 25) + 2), bool)
    for start, end, side, _ in entries:
        grid[int(side == "B"), int(start * 25) : int(end * 25)] = True
    overlap = float((grid[0] & grid[1]).sum() / max(1, (grid[0] | grid[1]).sum()))
    near, time, hits = 0, 0, 0
    for side in (0, 1):
        speech = grid[1 - side]
        close = np.zeros(len(speech), bool)
        for t in np.flatnonzero(speech[:-1] & ~speech[1:]).tolist():
            close[t : t + 25] = True
        mine = [int(e[0] * 25) for e in back if (e[2] == "B") == bool(side)]
        hits += sum(bool(close[t]) for t in mine)
        near += len(mine)
        time += float(close[~grid[side]].mean()) / 2
    rate = len(back) / max(sum(e[1] - e[0] for e in floor) / 60, 0.1)
    return lengths, transfers, pauses, overlap, rate, (hits / near, time) if near > 5 else None


def nods(pack: Path) -> dict[str, object]:
    """Nods in spoken German and Russian. Amplitudes are in units of the picture, not degrees: what
    counts is their spread, and feedback against the other functions.
    """
    tables = defaultdict(list)
    for row in read(pack / "dyads" / "nods.csv.gz"):
        tables[row["language"], row["label"], row["measure"]].append(float(row["value"]))
    out: dict[str, object] = {}
    for language in ("German", "Russian"):
        for label in ("feedback", "other"):
            length = np.array(tables[language, label, "length (seconds)"])
            turning = np.array(tables[language, label, "nodturn"])
            moves = turning > 0
            rate = turning[moves] / 2 / length[moves]
            name = f"{language}, {label}"
            out[f"{name}, length, s"] = quantiles(length)
            out[f"{name}, cycles a second (half the turning points)"] = quantiles(rate)
            out[f"{name}, share of at most one cycle"] = round(float((turning <= 2).mean()), 3)
            out[f"{name}, amplitude"] = quantiles(tables[language, label, "extremes amplitude"])
            out[f"{name}, velocity"] = quantiles(tables[language, label, "velocity"])
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = {
        "smiles": smiles(options.pack),
        "gaze": gaze(options.pack),
        "turns": turns(options.pack),
        "nods": nods(options.pack),
    }
    if options.json:
        print(json.dumps(table))
        return
    for title, rows in table.items():
        print(title)
        for name, value in rows.items():
            text = value
            if isinstance(value, dict):
                text = "  ".join(f"{k} {v}" for k, v in value.items())
            print(f"  {name:62} {text}")


if __name__ == "__main__":
    main()
