"""Directed gain: does the partner say something about a listener that the listener's own past
does not?

A simplification of R-DGG (reference-based directed Granger gain, arXiv 2609.22913, eqs 10-15):

1. Targets are 8 curves of the listener (head, smile, brow, lid, gaze, speed of the pitch), scaled
   by (variance + median variance) ^ -1/2, in place of 126 coefficients of two trackers. The
   partner's voice is loudness, activity and the time since its last pause, in place of HuBERT
   features; their motion is smile, pitch, its speed and lid. Lags are 25, spread over 1..100
   frames, as there.
2. The own block is the listener's motion and voice at these lags; the voice also at the frame
   itself and up to LOOK_AHEAD frames later, which a generator may know.
3. Reference operators are ridge regressions [own | driver] -> target, fitted on matched
   conversations of the same generator with *other* partners (folds by partner; nobody has tracked
   listeners of their own here, as R-DGG has), of which the driver's rows are kept: Z = driver B.
4. One ridge over all conversations on [own, Z of the other driver] and one with Z of this driver
   added; the gain is log(E without / E with), in nats, E the squared residual over the frames.
5. Net of the mean over circular shifts (>= 4 s) of this driver against everything else. Intervals
   are bootstraps over conversations.

A generator that does not hear the partner has a net gain of about 0, and so have partners of
another conversation. Corpus-level only.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

LAGS = tuple(sorted({*(round(x) for x in np.geomspace(1, 100, 33))}))[:25]
LOOK_AHEAD = (0, -2, -5)
REFERENCE_RIDGE, REFIT_RIDGE = 1e-3, 1e-4
SHORTEST_SHIFT = 100
"""Frames (4 s)."""
BOOTSTRAPS = 4000


@dataclass(frozen=True, eq=False)
class Case:
    """One conversation: the listener's `target` [T, 8] and `speech` [T, 2], and the partner's
    curves by driver (the same drivers, with the same columns, in every case; zeros where there is
    nothing). `mask` are the frames that count. `partner` is who the folds are made by.
    """

    partner: str
    target: Float[np.ndarray, "T d"]
    speech: Float[np.ndarray, "T s"]
    drivers: dict[str, Float[np.ndarray, "T m"]]
    mask: Bool[np.ndarray, "T"]


@dataclass(frozen=True)
class Gain:
    """Net gain in nats, its 95 % interval, and the gain before the shifts were taken off."""

    net: float
    low: float
    high: float
    raw: float

    @property
    def is_positive(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


def lagged(x: Float[np.ndarray, "T d"], lags: tuple[int, ...]) -> Float[np.ndarray, "T l"]:
    """Columns of x at every lag (negative: later), zeros beyond the ends."""
    out = np.zeros((len(x), len(lags), x.shape[1]))
    for i, lag in enumerate(lags):
        if lag >= 0:
            out[lag:, i] = x[: len(x) - lag]
        else:
            out[:lag, i] = x[-lag:]
    return out.reshape(len(x), -1)


def directed_gain(
    cases: list[Case],
    driver: str,
    mismatched: bool = False,
    reference: list[Case] | None = None,
    shifts: int = 40,
    seed: int = 0,
) -> Gain:
    """Gain of one driver beyond the others. `mismatched` gives every listener the driver of the
    next conversation with another partner; `reference` are the conversations that the operators
    are learned from (`cases` themselves without it; never the same partner's).
    """
    rng = np.random.default_rng(seed)
    scaled = _scaled(cases)
    scored = _Scored(scaled, driver, _scaled(reference) if reference else scaled)
    drivers = [case.drivers[driver] for case in scaled]
    if mismatched:
        drivers = [_partner(scaled, i, driver) for i in range(len(scaled))]
    errors = scored.errors(drivers)
    null = []
    for _ in range(shifts):
        moved = [
            np.roll(d, int(rng.integers(SHORTEST_SHIFT, len(d) - SHORTEST_SHIFT)), axis=0)
            for d in drivers
        ]
        null.append(scored.errors(moved))
    base, null_errors = scored.base, np.array(null)

    def net(rows: np.ndarray) -> tuple[float, float]:
        whole = np.log(base[rows].sum())
        raw = whole - np.log(errors[rows].sum())
        return raw, raw - float((whole - np.log(null_errors[:, rows].sum(1))).mean())

    count = len(cases)
    draws = [net(rng.integers(0, count, count))[1] for _ in range(BOOTSTRAPS)]
    raw, value = net(np.arange(count))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Gain(value, float(low), float(high), float(raw))


def _scaled(cases: list[Case]) -> list[Case]:
    """Targets by (variance + median variance)^-1/2, drivers and speech to unit variance."""
    joined = np.concatenate([c.target[c.mask] for c in cases])
    variance = joined.var(0)
    size = np.sqrt(variance + np.median(variance)) + 1e-12
    spread = {
        name: np.concatenate([c.drivers[name] for c in cases]).std(0) + 1e-6
        for name in cases[0].drivers
    }
    return [
        Case(
            c.partner,
            (c.target - joined.mean(0)) / size,
            c.speech - c.speech.mean(0),
            {name: x / spread[name] for name, x in c.drivers.items()},
            c.mask,
        )
        for c in cases
    ]


def _partner(cases: list[Case], index: int, driver: str) -> Float[np.ndarray, "T m"]:
    """The driver of the next case with another partner, at this one's length."""
    count = len(cases)
    for step in range(1, count):
        other = cases[(index + step) % count]
        if other.partner != cases[index].partner and other.drivers[driver].any():
            x = other.drivers[driver]
            return np.resize(x, (len(cases[index].target), x.shape[1]))
    raise ValueError(f"no other partner has the driver {driver!r}")


def _own(case: Case) -> Float[np.ndarray, "n k"]:
    """The listener's own past, and a constant, at the frames that count."""
    blocks = [
        lagged(case.target, LAGS),
        lagged(case.speech, (*LOOK_AHEAD, *LAGS)),
        np.ones((len(case.target), 1)),
    ]
    return np.concatenate(blocks, 1)[case.mask]


class _Scored:
    """The parts that do not change from shift to shift."""

    def __init__(self, cases: list[Case], driver: str, reference: list[Case]) -> None:
        self.cases = cases
        self.operators = self._operators(cases, driver, reference)
        others = [n for n in cases[0].drivers if n != driver]
        blocks = [_own(c) for c in cases]
        for name in others:
            found = self._operators(cases, name, reference)
            blocks = [
                np.concatenate([b, (lagged(c.drivers[name], LAGS) @ found[c.partner])[c.mask]], 1)
                for b, c in zip(blocks, cases, strict=True)
            ]
        self.blocks = blocks
        self.targets = [c.target[c.mask] for c in cases]
        self.base = _residuals(blocks, self.targets)
        x, y = np.concatenate(blocks), np.concatenate(self.targets)
        self.edges = np.cumsum([len(b) for b in blocks])[:-1]
        gram = x.T @ x
        gram += REFIT_RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        # What the base cannot explain, of the targets and, below, of Z: the refit with Z added.
        self.solve = np.linalg.solve(gram, x.T)
        self.x, self.rest = x, y - x @ (self.solve @ y)

    @staticmethod
    def _operators(
        cases: list[Case], driver: str, reference: list[Case]
    ) -> dict[str, Float[np.ndarray, "l d"]]:
        """For every partner the driver's rows of a ridge on the other partners' conversations."""
        sums, width = {}, 0
        for c in reference:
            own = _own(c)
            x = np.concatenate([own, lagged(c.drivers[driver], LAGS)[c.mask]], 1)
            gram, cross = x.T @ x, x.T @ c.target[c.mask]
            before = sums.get(c.partner, (0, 0))
            sums[c.partner] = (before[0] + gram, before[1] + cross)
            width = own.shape[1]
        out = {}
        for partner in {c.partner for c in cases}:
            kept = [s for name, s in sums.items() if name != partner]
            gram = np.sum([s[0] for s in kept], axis=0)
            cross = np.sum([s[1] for s in kept], axis=0)
            gram = gram + REFERENCE_RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
            out[partner] = np.linalg.solve(gram, cross)[width:]
        return out

    def errors(self, drivers: list[np.ndarray]) -> Float[np.ndarray, "n"]:
        """Squared residual of every case with Z of these drivers added to the base."""
        z = np.concatenate(
            [
                (lagged(d, LAGS) @ self.operators[c.partner])[c.mask]
                for d, c in zip(drivers, self.cases, strict=True)
            ]
        )
        z = z - self.x @ (self.solve @ z)
        gram = z.T @ z
        gram += REFIT_RIDGE * (np.trace(gram) / len(gram) + 1e-9) * np.eye(len(gram))
        rest = self.rest - z @ np.linalg.solve(gram, z.T @ self.rest)
        return np.array([float((p**2).sum()) for p in np.split(rest, self.edges)])


def _residuals(blocks: list[np.ndarray], targets: list[np.ndarray]) -> Float[np.ndarray, "n"]:
    x, y = np.concatenate(blocks), np.concatenate(targets)
    gram = x.T @ x
    gram += REFIT_RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    rest = y - x @ np.linalg.solve(gram, x.T @ y)
    edges = np.cumsum([len(b) for b in blocks])[:-1]
    return np.array([float((p**2).sum()) for p in np.split(rest, edges)])
