"""What answers come to: strengths of systems (Bradley and Terry 1952), with intervals over raters.

A tie counts as half a win for either. Strengths are in natural log odds, with a mean of 0: a
difference of 1.1 is a preference of three to one. Half a win and half a loss against everybody are
added, so that a system that always wins has a strength.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from app.study.dimensions import ANSWERS, DIMENSIONS
from weights.errors import InputError

DRAWS = 1000
ROUNDS = 200
PRIOR = 0.5
MOST_BYTES = 20_000_000
_MEMBERS = {
    "visavis-study-1": ("study", "systems", "trials"),
    "visavis-answers-1": ("study", "rater", "answers"),
}


@dataclass(frozen=True)
class Strength:
    """Of one system in one dimension, with an interval of 95 of 100 bootstraps over raters."""

    dimension: str
    system: str
    strength: float
    low: float
    high: float
    wins: float
    trials: int


@dataclass(frozen=True)
class Outcome:
    """All strengths; how many raters and answers; and the share of answers that are `left`, which
    is about a half of those that are no ties where sides do not matter.
    """

    strengths: tuple[Strength, ...]
    raters: int
    answers: int
    left_share: float

    def to_json(self) -> dict[str, Any]:
        """As a file has it."""
        return {"format": "visavis-outcome-1", **asdict(self)}

    def __str__(self) -> str:
        """For a terminal."""
        lines = [
            f"{self.raters} raters, {self.answers} answers, {100 * self.left_share:.0f} % of those "
            "that are no ties for the left one"
        ]
        lines += [
            f"{s.dimension:14} {s.system:24} {s.strength:+.2f} [{s.low:+.2f}, {s.high:+.2f}]  "
            f"{s.wins:g} of {s.trials}"
            for s in self.strengths
        ]
        return "\n".join(lines)


def bradley_terry(wins: Float[np.ndarray, "*n s s"]) -> Float[np.ndarray, "*n s"]:
    """Log strengths (mean 0) from wins[i, j], how often i won over j (Hunter 2004)."""
    games = wins + wins.swapaxes(-1, -2)
    strength = np.ones(wins.shape[:-1])
    for _ in range(ROUNDS):
        shared = games / (strength[..., :, None] + strength[..., None, :])
        strength = wins.sum(-1) / np.maximum(shared.sum(-1), 1e-12)
        strength /= np.exp(np.log(strength).mean(-1, keepdims=True))
    return np.log(strength)


def analyse(key: Path, files: list[Path], seed: int = 0) -> Outcome:
    """The outcome of a study from its key and the files of answers.

    Raises InputError for files that are not of this study, or a rater who is there twice.
    """
    about = _read(key, "visavis-study-1")
    systems, trials = list(about["systems"]), about["trials"]
    counts = []
    seen: dict[int, Path] = {}
    left = decided = answers = 0
    for path in files:
        told = _read(path, "visavis-answers-1")
        if told["study"] != about["study"]:
            raise InputError(f"{path} belongs to another study than {key}; leave it out")
        if told["rater"] in seen:
            raise InputError(
                f"{path} and {seen[told['rater']]} are of the same rater; keep one of them"
            )
        seen[told["rater"]] = path
        counts.append(np.zeros((len(DIMENSIONS), len(systems), len(systems))))
        for shown, dimension, answer in _answers(path, told, trials):
            i, j = (systems.index(shown[side]) for side in ("left", "right"))
            share = {"left": 1.0, "right": 0.0, "equal": 0.5}[answer]
            counts[-1][dimension, i, j] += share
            counts[-1][dimension, j, i] += 1 - share
            answers += 1
            decided += answer != "equal"
            left += answer == "left"
    if not counts:
        raise InputError("got no files of answers; give those that the raters saved")
    whole = np.stack(counts)
    strengths = _strengths(whole, systems, np.random.default_rng(seed))
    return Outcome(strengths, len(counts), answers, left / decided if decided else 0.5)


def _answers(
    path: Path, told: dict[str, Any], trials: dict[str, Any]
) -> Iterator[tuple[dict[str, str], int, str]]:
    """What each trial of a rater showed, the number of the dimension, and the answer."""
    for row in told["answers"]:
        shown = trials.get(row["trial"])
        if shown is None:
            raise InputError(f"{path} has a trial {row['trial']!r} that the key does not know")
        for number, dimension in enumerate(DIMENSIONS):
            answer = row["answers"].get(dimension)
            if answer not in ANSWERS:
                raise InputError(f"{path} has the answer {answer!r}; wanted {', '.join(ANSWERS)}")
            yield shown, number, answer


def _strengths(
    whole: Float[np.ndarray, "r d s s"], systems: list[str], rng: np.random.Generator
) -> tuple[Strength, ...]:
    raters, out = len(whole), []
    prior = PRIOR * (1 - np.eye(len(systems)))
    drawn = rng.multinomial(raters, np.full(raters, 1 / raters), DRAWS).astype(float)
    again = bradley_terry(np.einsum("nr,rdij->ndij", drawn, whole) + prior)
    low, high = np.percentile(again, [2.5, 97.5], axis=0)
    total = whole.sum(0)
    fitted = bradley_terry(total + prior)
    for d, dimension in enumerate(DIMENSIONS):
        for i, system in enumerate(systems):
            games = round(float(total[d, i].sum() + total[d, :, i].sum()))
            ends = (float(fitted[d, i]), float(low[d, i]), float(high[d, i]))
            out.append(Strength(dimension, system, *ends, float(total[d, i].sum()), games))
    return tuple(out)


def _read(path: Path, wanted: str) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than a file of {wanted} can be")
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path}: wanted a JSON file ({wanted})") from error
    if not isinstance(told, dict) or told.get("format") != wanted:
        raise InputError(f"{path} is not a file of the format {wanted}")
    lacking = [name for name in _MEMBERS[wanted] if name not in told]
    if lacking:
        raise InputError(f"{path} lacks {', '.join(lacking)}; give the file as it was saved")
    return told
