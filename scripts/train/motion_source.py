"""Fit how motion goes on (audio2motion/network/source.py) to real motion."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from audio2motion.behaviour.eyes import BLINK_CHANNELS, LOOK_CHANNELS
from audio2motion.network.bursts import PLACES
from audio2motion.network.condition import CHUNK
from audio2motion.network.marginals import swings
from audio2motion.network.source import YOKED, swells
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION

STIFFNESS = 3.0
"""Of the ridge, in frames of unit deviation."""
DAMPED = 0.995
"""Of a chunk that goes on, how much: whoever is left alone comes to rest."""
FLOOR = 0.02
"""What is open of any channel, in deviations: more than trackers and less than people do."""
MIXED, FAR = 0.98, 4.0
POSE = [*range(*ROTATION.indices(MOTION_DIM)), *range(*TRANSLATION.indices(MOTION_DIM))]

EYES = (*BLINK_CHANNELS, *LOOK_CHANNELS)
SWELLING = [i for i in PLACES if i not in EYES]
"""Faces and heads are pushed for a chunk; eyes jump and lids fall in a frame, and lips follow the
voice, frame by frame.
"""


class Source(NamedTuple):
    """The buffers of MotionNetwork of these names."""

    recall: Float[np.ndarray, "90 5 5"]
    heard: Float[np.ndarray, "90 5"]
    rest: Float[np.ndarray, "90 5"]
    drive: Float[np.ndarray, "90 5 5"]
    mix: Float[np.ndarray, "90 90"]


def fit(
    curves: list[Float[np.ndarray, "T 90"]],
    known: list[Float[np.ndarray, "T 90"]],
    guesses: list[Float[np.ndarray, "T 90"]],
    styles: list[Float[np.ndarray, "s"]],
) -> Source:
    """What is guessed of a chunk, how it goes on from as far off as the one before it was of what
    was guessed then, channel by channel, and what that leaves open.
    """
    pairs = [_pairs(*parts) for parts in zip(curves, known, guesses, styles, strict=True)]
    past, now, guess_before, guess, sure, swing = (
        np.concatenate(part) for part in zip(*pairs, strict=True)
    )
    recall = np.zeros((MOTION_DIM, CHUNK, CHUNK))
    heard, rest = np.zeros((2, MOTION_DIM, CHUNK))
    drive = np.repeat(FLOOR * np.eye(CHUNK)[None], MOTION_DIM, 0)
    missed = np.zeros_like(now)
    for channel in range(MOTION_DIM):
        use = sure[:, channel]
        a, b, g, g_before = (x[use][:, :, channel] for x in (past, now, guess, guess_before))
        if not len(b) or b.std() == 0:
            continue
        both = np.stack([g.ravel(), np.ones(g.size)], 1)
        stiff = both.T @ both + STIFFNESS * np.eye(2)
        heard[channel], rest[channel] = np.linalg.solve(stiff, both.T @ b.ravel())
        off_before = a - g_before * heard[channel] - rest[channel]
        off_now = b - g * heard[channel] - rest[channel]
        stiff = off_before.T @ off_before + STIFFNESS * np.eye(CHUNK)
        recall[channel] = DAMPED * np.linalg.solve(stiff, off_before.T @ off_now).T
        missed[use, :, channel] = off_now - off_before @ recall[channel].T
        off = missed[use, :, channel] / swing[use][:, channel, None]
        drive[channel] = np.linalg.cholesky(off.T @ off / len(off) + FLOOR**2 * np.eye(CHUNK))
    drive[SWELLING] = drive[SWELLING] @ swells().double().numpy().T
    for eyes in YOKED:
        for table in (recall, heard, rest, drive):
            table[list(eyes)] = table[list(eyes)].mean(0)
    white = np.einsum("cij,njc->nic", np.linalg.inv(drive), missed / swing[:, None])
    flat = white.reshape(-1, MOTION_DIM).clip(-FAR, FAR)
    together = flat.T @ flat
    spread = np.sqrt(np.diag(together)).clip(1e-9)
    likeness = MIXED * together / spread / spread[:, None]
    np.fill_diagonal(likeness, 1)
    mix = np.linalg.cholesky(likeness)
    for left, right in YOKED:
        mix[right] = mix[left]
    return Source(recall, heard, rest, drive, mix)


def _pairs(
    values: Float[np.ndarray, "T 90"],
    weight: Float[np.ndarray, "T 90"],
    guess: Float[np.ndarray, "T 90"],
    style: Float[np.ndarray, "s"],
) -> tuple[np.ndarray, ...]:
    """Chunks [n, 5, 90], those after them, what is guessed of both, whether both are known [n, 90],
    and how far the style swings [n, 90].
    """
    parts = []
    for phase in range(0, CHUNK, 2):
        count = (len(values) - phase) // CHUNK
        here = slice(phase, phase + count * CHUNK)
        rows, guessed, known = (
            x[here].reshape(count, CHUNK, -1) for x in (values, guess, weight > 0)
        )
        whole = np.all(known, axis=1)
        swing = np.repeat(swings(style)[None], count - 1, 0)
        known_both = whole[:-1] & whole[1:]
        parts.append((rows[:-1], rows[1:], guessed[:-1], guessed[1:], known_both, swing))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
