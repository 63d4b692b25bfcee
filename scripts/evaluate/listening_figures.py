"""Figures of how somebody listens and speaks, each beside its range and its chance floors.

Ranges are those of published and measured conversations (see
audio2motion/behaviour/statistics.py). Floors: `random` puts as many events at random frames of the
same role; `shuffled` moves the curve in time against the conversation, by at least 10 s and in a
circle. Directions in degrees, times in seconds.

Speaking is the agent's voice activity with pauses under 0.4 s bridged, listening its absence with
0.2 s trimmed. A nod is a run of peaks of the head's pitch above 0.3 Hz, of a prominence of at least
1.5 degrees, that follow each other within a second; its cycles are its peaks. Gaze is where eyes
and head together point; within 4.5 degrees of the camera it is at the partner. Head energy is the
mean squared angular speed of the head. Overlaps and gaps are those of the conversations made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from app.quality.activity import Roles, bridged, widened
from app.quality.events import (
    AT_PARTNER,
    SMILE,
    blinks,
    fast,
    gaze_angle,
    grouped,
    peaks,
)
from motion2video.motion import FPS, ROTATION, TRANSLATION, channel_index
from scripts.evaluate.conversations import Conversation

PARTNER_PROMINENCE = 2.5
"""Of the other's nods, whose answers are looked for: a talking head is never still."""
FASTEST_ANSWER = 8
"""Frames (0.3 s): nobody answers faster to what they see."""
SHUFFLES = 100
STRETCH, WILD = 50, 4.0
"""Frames (2 s); and degrees of fast pitch in them beyond which nobody nods: of conversations put
together, whose nods have published sizes, 99 of 100 stretches are below 3.5.
"""
SECOND = int(FPS)
MIRRORED = 0.4
"""Correlation of the other's smile and one's own, at its best lag, that counts as an answer."""


@dataclass(frozen=True, eq=False)
class Listener:
    """A conversation with the motion made for it [T, 90], both voices' activity [T], and the gap of
    the lips [T] in interocular distances.
    """

    conversation: Conversation
    values: Float[np.ndarray, "T 90"]
    agent: Bool[np.ndarray, "T"]
    other: Bool[np.ndarray, "T"]
    gap: Float[np.ndarray, "T"]

    @property
    def speaks(self) -> Bool[np.ndarray, "T"]:
        """Speaking, short pauses included."""
        return Roles.of(self.agent).speaks

    @property
    def listens(self) -> Bool[np.ndarray, "T"]:
        """Not speaking, trimmed."""
        return Roles.of(self.agent).listens


@dataclass(frozen=True)
class Figure:
    """A number, the range it should lie in, and what chance gives, in words."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    chance: str = ""

    @property
    def passes(self) -> bool | None:
        """Whether it lies in its range; None without one."""
        if self.low is None and self.high is None:
            return None
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return bool(low <= self.value <= high)


def figures(listeners: list[Listener], seed: int = 0) -> list[Figure]:
    """All figures, over all conversations together."""
    rng = np.random.default_rng(seed)
    return [
        *_nods(listeners, rng),
        *_blinks(listeners),
        *_gaze(listeners, rng),
        *_answers(listeners, rng),
        *_movement(listeners),
        *_turns(listeners),
    ]


def _per_minute(count: float, frames: float) -> float:
    return float(count / max(frames, 1) * 60 * FPS)


def _nods(listeners: list[Listener], rng: np.random.Generator) -> list[Figure]:
    heard, frames, near, chance, cycles, steps, rms, stretches = 0, 0, [], [], [], [], [], []
    random = np.zeros((SHUFFLES, 2))
    for x in listeners:
        listens = x.listens
        found = peaks(x.values[:, ROTATION.start])
        mine = found[listens[found]]
        heard, frames = heard + len(mine), frames + int(listens.sum())
        close = _after_pauses(x.other)
        near += close[mine].tolist()
        chance += close[listens].tolist()
        where = np.flatnonzero(listens)
        for row in random:
            at = rng.choice(where, len(mine)) if len(where) else where
            row += close[at].sum(), len(at)
        for nod in grouped(found):
            if listens[nod].all():
                cycles.append(len(nod))
                steps += np.diff(nod).tolist()
        quick = fast(x.values[:, ROTATION.start])
        rms.append((quick[listens] ** 2).mean())
        stretches += _stretches(quick, listens)
    after = float(np.mean(near) / np.mean(chance))
    floor = np.percentile(random[:, 0] / random[:, 1] / np.mean(chance), [2.5, 97.5])
    usual, wildest = np.percentile(stretches or [np.nan], [75, 99])
    return [
        Figure("nods/min listening", _per_minute(heard, frames), 15, 45, "0 for a still head"),
        Figure(
            "P(nod < 1 s after a partner's pause) / chance",
            after,
            0.8,
            1.6,
            f"random {floor[0]:.2f}..{floor[1]:.2f}",
        ),
        Figure("share of nods with 1 cycle", float(np.mean(np.array(cycles) == 1)), 0.35, 0.5),
        Figure("nod frequency, Hz (median within nods)", float(FPS / np.median(steps)), 1, 4),
        Figure("head pitch RMS listening, degrees", float(np.sqrt(np.mean(rms))), 1, 3),
        Figure("the same of 2 s, of 3 in 4 at most", float(usual)),
        Figure("the same of 2 s, of 99 in 100 at most", float(wildest), None, WILD),
    ]


def _stretches(quick: np.ndarray, listens: np.ndarray) -> list[float]:
    """RMS of every STRETCH that is listening throughout."""
    starts = range(0, len(quick) - STRETCH + 1, STRETCH // 2)
    return [
        float(np.sqrt((quick[at : at + STRETCH] ** 2).mean()))
        for at in starts
        if listens[at : at + STRETCH].all()
    ]


def _after_pauses(other: Bool[np.ndarray, "T"]) -> Bool[np.ndarray, "T"]:
    """Frames within a second after the other falls silent."""
    close = np.zeros(len(other), bool)
    for t in np.flatnonzero(other[:-1] & ~other[1:]).tolist():
        close[t + 1 : t + 1 + SECOND] = True
    return close


def _blinks(listeners: list[Listener]) -> list[Figure]:
    counts, frames, intervals = [0, 0], [0, 0], []
    for x in listeners:
        found, speaks = blinks(x.values), x.speaks
        for role, mask in enumerate((~speaks, speaks)):
            counts[role] += int(mask[found].sum())
            frames[role] += int(mask.sum())
        intervals += np.diff(found).tolist()
    spread = float(np.log(np.array(intervals) / FPS).std())
    fitted = float(np.sqrt(np.exp(spread**2) - 1))
    return [
        Figure("blinks/min speaking", _per_minute(counts[1], frames[1]), 20, 32),
        Figure("blinks/min listening", _per_minute(counts[0], frames[0]), 12, 22),
        Figure("blink intervals, CV of the log-normal fit", fitted, 0.5, None, "metronome 0"),
    ]


def _shuffled(
    listeners: list[Listener], rng: np.random.Generator, measure: Callable[[list[int]], float]
) -> np.ndarray:
    """A measure with every conversation's curve moved by its own number of frames."""
    return np.array(
        [
            measure([int(rng.integers(10 * SECOND, len(x.agent) - 10 * SECOND)) for x in listeners])
            for _ in range(SHUFFLES)
        ]
    )


def _gaze(listeners: list[Listener], rng: np.random.Generator) -> list[Figure]:
    direct = [gaze_angle(x.values) < AT_PARTNER for x in listeners]
    roles = [(x.listens, x.speaks) for x in listeners]
    share = [
        float(np.concatenate([d[r[role]] for d, r in zip(direct, roles, strict=True)]).mean())
        for role in (0, 1)
    ]
    starts = [_turn_starts(x) for x in listeners]
    ends = [_turn_ends(x) for x in listeners]

    def averted(moves: list[int]) -> float:
        return 1 - _mean_at(direct, starts, (5, 25), moves)

    def at_end(moves: list[int]) -> float:
        return _mean_at(direct, ends, (0, 20), moves)

    still = [0] * len(listeners)
    floors = [np.percentile(_shuffled(listeners, rng, f), [2.5, 97.5]) for f in (averted, at_end)]
    texts = [f"shuffled {f[0]:.2f}..{f[1]:.2f}" for f in floors]
    return [
        Figure("gaze at the partner, listening", share[0], 0.65, 0.85),
        Figure("gaze at the partner, speaking", share[1], 0.3, 0.55),
        Figure(
            "averted at own turn start (0.2-1 s after)",
            averted(still),
            max(0.5, float(floors[0][1])),
            None,
            texts[0],
        ),
        Figure(
            "direct at turn end (0-0.8 s after)",
            at_end(still),
            max(0.5, float(floors[1][1])),
            None,
            texts[1],
        ),
    ]


def _turn_starts(x: Listener) -> np.ndarray:
    """First frames of speech after at least a second of silence."""
    speaks = bridged(x.agent, SECOND)
    return np.flatnonzero(~speaks[:-1] & speaks[1:]) + 1


def _turn_ends(x: Listener) -> np.ndarray:
    speaks = bridged(x.agent, SECOND)
    return np.flatnonzero(speaks[:-1] & ~speaks[1:]) + 1


def _mean_at(
    curves: list[np.ndarray],
    moments: list[np.ndarray],
    window: tuple[int, int],
    moves: list[int],
) -> float:
    """Mean of the curves, moved in time, in a window after the moments."""
    found = []
    for curve, at, move in zip(curves, moments, moves, strict=True):
        moved = np.roll(curve, move)
        for t in at.tolist():
            found += moved[t + window[0] : t + window[1]].tolist()
    return float(np.mean(found)) if found else float("nan")


def _answers(listeners: list[Listener], rng: np.random.Generator) -> list[Figure]:
    """Smiles and nods that come back, where the other is seen."""
    seen = [x for x in listeners if x.conversation.motion is not None]
    if not seen:
        return []
    lags = _smile_lags(seen, [0] * len(seen))
    noise = [
        _smile_lags(seen, [int(rng.integers(500, len(x.agent) - 500)) for x in seen])
        for _ in range(10)
    ]
    lag, excess, floor = _nod_back(seen, rng)
    few = np.mean([len(n) for n in noise])
    return [
        Figure(
            "smile lag, ms (median)",
            float(np.median(lags) * 1000) if len(lags) else float("nan"),
            200,
            1000,
            f"shuffled {np.median(np.concatenate(noise)) * 1000:.0f}",
        ),
        Figure(
            f"smiles answered (r > {MIRRORED})",
            float(len(lags)),
            float(few * 1.2),
            None,
            f"shuffled {few:.0f}",
        ),
        Figure("partner-nod lag, ms (peak of the excess)", lag * 1000, 600, 800),
        Figure(
            "P(nod 0.4-1 s after the partner's) / chance",
            excess,
            float(floor[1]),
            None,
            f"random {floor[0]:.2f}..{floor[1]:.2f}",
        ),
    ]


def _smile_lags(seen: list[Listener], moves: list[int]) -> np.ndarray:
    """Lag (s) of the best correlation around every onset of the other's smile, if it is good."""
    found = []
    for x, move in zip(seen, moves, strict=True):
        assert x.conversation.motion is not None
        theirs = np.convolve(x.conversation.motion.values[:, SMILE].mean(1), np.ones(5) / 5, "same")
        mine = np.roll(x.values[:, SMILE].mean(1), move)
        rise = theirs[12:] - theirs[:-12] > 0.12
        onsets = np.flatnonzero(rise[1:] & ~rise[:-1]) + 6
        for t in onsets.tolist():
            if t < 40 or t + 140 > len(theirs):
                continue
            part = theirs[t - 25 : t + 75]
            rs = [
                float(np.corrcoef(part, mine[t - 25 + lag : t + 75 + lag])[0, 1])
                if mine[t - 25 + lag : t + 75 + lag].std() > 1e-4
                else 0.0
                for lag in range(-12, 51)
            ]
            if max(rs) > MIRRORED:
                found.append((int(np.argmax(rs)) - 12) / FPS)
    return np.array(found)


def _nod_back(seen: list[Listener], rng: np.random.Generator) -> tuple[float, float, np.ndarray]:
    """Lag (s) at which nods exceed chance most, P in 0.4-1 s over chance, and that of as many nods
    at random frames of listening. First peaks count: it is the begin of a nod that answers. The
    lag is looked for from FASTEST_ANSWER on: what comes sooner is moving along, not an answer.
    """
    reach = 2 * SECOND
    real, null = np.zeros(reach), np.zeros((SHUFFLES, reach))
    for x in seen:
        assert x.conversation.motion is not None
        theirs = peaks(x.conversation.motion.values[:, ROTATION.start], PARTNER_PROMINENCE)
        theirs = theirs[theirs < len(x.agent) - reach]
        listens = x.listens
        found = peaks(x.values[:, ROTATION.start])
        first = np.array([n[0] for n in grouped(found)], int)
        first = first[listens[first]]
        windows = theirs[:, None] + np.arange(reach)
        mine = np.zeros(len(x.agent))
        mine[first] = 1
        real += mine[windows].sum(0)
        for row in null:
            mine[:] = 0
            mine[rng.choice(np.flatnonzero(listens), len(first), replace=False)] = 1
            row += mine[windows].sum(0)
    excess = np.convolve(real - null.mean(0), np.hanning(13), "same")
    near = slice(round(0.4 * FPS), round(1.0 * FPS))
    level = null[:, near].sum(1).mean() + 1e-9
    floor = np.percentile(null[:, near].sum(1) / level, [2.5, 97.5])
    lag = FASTEST_ANSWER + int(excess[FASTEST_ANSWER:].argmax())
    return lag / FPS, float(real[near].sum() / level), floor


def _movement(listeners: list[Listener]) -> list[Figure]:
    energy, body, brows, quiet, loud = ([], []), ([], []), ([], []), [], []
    for x in listeners:
        speed = np.degrees(np.diff(x.values[:, ROTATION], axis=0)) * FPS
        shift = np.diff(x.values[:, TRANSLATION], axis=0) * FPS
        brow = x.values[:, channel_index("browInnerUp")]
        for role, mask in enumerate((x.listens, x.speaks)):
            energy[role].append((speed[mask[1:]] ** 2).sum(1))
            body[role].append((shift[mask[1:]] ** 2).sum(1))
            brows[role].append(brow[mask])
        away = ~widened(x.agent, round(0.4 * FPS))
        quiet.append(np.abs(x.gap[away]))
        loud.append(x.gap[x.agent])
    heads, bodies = (
        [float(np.concatenate(v[role]).mean()) for role in (0, 1)] for v in (energy, body)
    )
    lift = [float(np.concatenate(brows[role]).std()) for role in (0, 1)]
    return [
        Figure("head energy speaking / listening", heads[1] / heads[0], 2, None, "1 without roles"),
        Figure("head energy speaking, (degrees/s)^2", heads[1]),
        Figure("head energy listening, (degrees/s)^2", heads[0]),
        Figure("position energy speaking / listening", bodies[1] / bodies[0]),
        Figure("brow deviation speaking / listening", lift[1] / lift[0]),
        Figure(
            "lip gap when silent / deviation speaking",
            float(np.concatenate(quiet).mean() / np.concatenate(loud).std()),
            0,
            0.2,
        ),
    ]


def _turns(listeners: list[Listener]) -> list[Figure]:
    offsets, both, any_speech = [], 0, 0
    for x in listeners:
        turns = x.conversation.turns
        pairs = pairwise(turns)
        offsets += [(b.start - a.end) / FPS for a, b in pairs if a.agent != b.agent]
        both += int((x.agent & x.other).sum())
        any_speech += int((x.agent | x.other).sum())
    return [
        Figure("(given) floor transfer offset, s, median", float(np.median(offsets))),
        Figure("(given) transfers with overlap", float((np.array(offsets) < 0).mean())),
        Figure("(given) both speak, share of speech", both / max(any_speech, 1)),
    ]
