"""The figures of one pair, for all of it and for talking and listening apart."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from app.evaluation.catalogue import Found, Role, Value
from app.evaluation.clips import Clip
from app.quality import coupling, distributions, events, kinematics
from app.quality.activity import Roles, active
from app.quality.groups import CLUSTERS, PROTOCOL
from app.quality.lip_sync import MOST_FRAMES
from app.quality.loudness import loudness
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Sound, Waveform, speech_probability
from motion2video.motion import DETAIL, EXPRESSION, FPS

if TYPE_CHECKING:
    from app.quality.lip_sync import LipSyncJudge
    from motion2video.geometry.basis import FaceBasis

LEAST_FRAMES = 20
"""Of a role, for its figures to be told."""
LEAST_RUN = 8
"""Frames in a row, for speeds within a role."""
NAN = float("nan")
Mask = Bool[np.ndarray, "T"]
_EVENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nods": events.nods,
    "blinks": events.blinks,
    "smiles": events.smile_onsets,
    "looks away": events.looks_away,
}


class Measures:
    """What one pair is measured with; load once."""

    def __init__(
        self, basis: "FaceBasis", judge: "LipSyncJudge", clusters: bool, seed: int
    ) -> None:
        """`clusters`: whether scikit-learn is there, for the Shannon index."""
        self.basis, self.judge, self.clusters, self.seed = basis, judge, clusters, seed

    def of(self, made: Clip, real: Clip, partner: Clip | None = None) -> Found:
        """All figures of motion and voice, of as many frames as both have."""
        lengths = [len(clip.motion) for clip in (made, real, partner) if clip is not None]
        count = min(lengths)
        a, b = (clip.motion.values[:count].astype(np.float64) for clip in (made, real))
        theirs = None if partner is None else partner.motion.values[:count].astype(np.float64)
        voice = real.voice or made.voice
        found = self._lips(made, real)
        for role, mask in self._masks(voice, count).items():
            if mask.sum() < LEAST_FRAMES:
                continue
            for part, columns in PROTOCOL.items():
                found |= self._distributions(role, part, a[:, columns], b[:, columns], mask)
                if theirs is not None:
                    found |= self._coupling(
                        role, part, a[:, columns], b[:, columns], theirs[:, columns], mask
                    )
            found |= self._points(role, a[mask], b[mask])
            found |= self._events(role, a, b, mask)
        if voice is not None:
            found |= _beats(a, b, voice)
        return found

    def _masks(self, voice: Sound | None, count: int) -> dict[Role, Mask]:
        masks: dict[Role, Mask] = {"all": np.ones(count, bool)}
        if voice is not None:
            roles = Roles.of(active(speech_probability(voice), count))
            masks |= {"talking": roles.speaks, "listening": roles.listens}
        return masks

    def _distributions(
        self, role: Role, part: str, a: np.ndarray, b: np.ndarray, mask: np.ndarray
    ) -> Found:
        x, y = a[mask], b[mask]
        half, still = len(y) // 2, np.repeat(y.mean(0, keepdims=True), len(y), 0)
        apart = distributions.squared_error(still, y)
        out: Found = {
            (role, f"FD {part}"): Value(
                distributions.frechet(x, y),
                distributions.frechet(y[:half], y[half:]),
                distributions.frechet(still, y),
            ),
            (role, f"MSE {part}"): Value(distributions.squared_error(x, y), 0.0, apart),
            (role, f"Var {part}"): Value(
                distributions.variation(x), distributions.variation(y), 0.0
            ),
            (role, f"diversity {part}"): Value(
                distributions.diversity(x, self.seed), distributions.diversity(y, self.seed), 0.0
            ),
        }
        if self.clusters and len(y) >= CLUSTERS[part]:
            both = (distributions.shannon_index(z, y, CLUSTERS[part], self.seed) for z in (x, y))
            made, real = both
            out[role, f"SID {part}"] = Value(made, real, 0.0)
        pieces = _runs(mask)
        if pieces:
            sts = [distributions.sts(a[p], b[p]) for p in pieces]
            calm = [distributions.sts(np.zeros_like(b[p]), b[p]) for p in pieces]
            both = (float(np.linalg.norm(x)) for x in (sts, [0.0], calm))
            out[role, f"STS {part}"] = Value(*both)
            weights = [p.stop - p.start for p in pieces]
            jerks = ([kinematics.jerk(z[p]) for p in pieces] for z in (a, b))
            made, real = (float(np.average(j, weights=weights)) for j in jerks)
            out[role, f"jerk {part}"] = Value(made, real, 0.0)
        return out

    def _coupling(
        self,
        role: Role,
        part: str,
        a: np.ndarray,
        b: np.ndarray,
        theirs: np.ndarray,
        mask: np.ndarray,
    ) -> Found:
        x, y, s = a[mask], b[mask], theirs[mask]
        wrong = coupling.rolled(s, np.random.default_rng(self.seed))
        made, lag = coupling.lagged_correlation(x, s)
        real, real_lag = coupling.lagged_correlation(y, s)
        return {
            (role, f"P-FD {part}"): Value(
                distributions.paired_frechet(x, y, s),
                0.0,
                distributions.frechet(np.c_[wrong, y], np.c_[s, y]),
            ),
            (role, f"rPCC {part}"): Value(
                coupling.residual_pearson(x, y, s),
                0.0,
                abs(
                    coupling.pearson(y.ravel(), s.ravel())
                    - coupling.pearson(y.ravel(), wrong.ravel())
                ),
            ),
            (role, f"TLCC peak {part}"): Value(
                made, real, coupling.lagged_correlation(x, wrong)[0]
            ),
            (role, f"TLCC lag {part}"): Value(lag, real_lag),
        }

    def _points(self, role: Role, a: np.ndarray, b: np.ndarray) -> Found:
        lips, upper = kinematics.LIP_POINTS, kinematics.UPPER_POINTS
        still = np.repeat(b.mean(0, keepdims=True), len(b), 0)
        sides = [self._offsets(values, [*lips, *upper]) for values in (a, b, still)]
        near = [points[:, : len(lips)] for points in sides]
        brow = [points[:, len(lips) :] for points in sides]
        return {
            (role, "lip keypoint error"): Value(
                kinematics.farthest(near[0], near[1]), 0.0, kinematics.farthest(near[2], near[1])
            ),
            (role, "upper-face keypoint dynamics"): Value(
                kinematics.calmness(brow[0], brow[1]), 0.0, kinematics.calmness(brow[2], brow[1])
            ),
        }

    def _offsets(self, values: np.ndarray, points: list[int]) -> Float[np.ndarray, "T n 3"]:
        """How far points are from the neutral face's, in the head frame."""
        moved = np.tensordot(values[:, EXPRESSION], self.basis.expression[:, points], 1)
        return moved + np.tensordot(values[:, DETAIL], self.basis.detail[:, points], 1)

    def _events(self, role: Role, a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> Found:
        out: Found = {}
        frames = int(mask.sum())
        for name, find in _EVENTS.items():
            made, real = (at[mask[at]] for at in (find(a), find(b)))
            rates = (events.per_minute(len(at), frames) for at in (made, real))
            out[role, name] = Value(*rates)
            floor = events.chance(len(made), real / FPS, mask, seed=self.seed)
            out[role, f"{name} F1"] = Value(events.event_f1(made / FPS, real / FPS), 1.0, floor)
        looks = (float((events.gaze_angle(z)[mask] < events.AT_PARTNER).mean()) for z in (a, b))
        out[role, "gaze at the partner"] = Value(*looks)
        return out

    def _lips(self, made: Clip, real: Clip) -> Found:
        """The floor of how lips and voice agree is that of another part of the same voice."""
        voice = made.voice or real.voice
        if voice is None:
            return {}
        spoken = float((speech_probability(voice) > 0.5).sum() / FPS)
        samples = voice.read(0, MOST_FRAMES * SAMPLES_PER_FRAME)
        elsewhere = Waveform(np.roll(samples, len(samples) // 2), voice.sample_rate)
        sides = [
            self.judge.judge(self.judge.seen(motion.values), sound, spoken)
            for motion, sound in (
                (made.motion, voice),
                (real.motion, real.voice or voice),
                (made.motion, elsewhere),
            )
        ]
        offsets = [NAN if s is None or not s.sure else s.offset_ms for s in sides]
        agreed = [NAN if s is None else s.confidence for s in sides]
        return {
            ("all", "lips behind the voice"): Value(*offsets[:2]),
            ("all", "lips and voice agree"): Value(*agreed),
        }


def _beats(a: np.ndarray, b: np.ndarray, voice: Sound) -> Found:
    heard = kinematics.voice_beats(loudness(voice, len(a), FPS))
    head = PROTOCOL["pose"]
    made, real = (kinematics.motion_beats(z[:, head]) for z in (a, b))
    floor = kinematics.beat_floor(heard, len(made), len(a) / FPS)
    ours, theirs = (kinematics.beat_consistency(heard, beats) for beats in (made, real))
    return {("all", "beat consistency"): Value(ours, theirs, floor)}


def _runs(mask: Bool[np.ndarray, "T"]) -> list[slice]:
    """Stretches of at least LEAST_RUN frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    both = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [slice(start, end) for start, end in both if end - start >= LEAST_RUN]
