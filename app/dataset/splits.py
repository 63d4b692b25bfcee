"""Splits by identity: nobody is in two of them, nor are two who talk to each other, nor two names
whose faces look like one person's.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.dataset.config import ALIKE
from app.dataset.layout import SPLITS, Dataset, Sample
from weights.errors import InputError


@dataclass(frozen=True)
class SplitSummary:
    """People and seconds of each split; `notices` are sentences for the user."""

    people: dict[str, int]
    seconds: dict[str, float]
    notices: tuple[str, ...]


def split(
    dataset: Dataset,
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    again: bool = False,
    alike: float = ALIKE,
) -> SplitSummary:
    """Give everybody a split and write people.csv. Shares are of the seconds. Who has one keeps it
    unless `again`: held-out figures stay comparable as a dataset grows.

    Raises InputError for shares that cannot be, for no samples, and where people who have different
    splits must now be together.
    """
    if min(val, test) < 0 or val + test >= 1:
        raise InputError(f"got the shares {val} and {test}; wanted parts of 1 that leave some")
    samples = dataset.samples()
    if not samples:
        raise InputError(f"{dataset.address} has no samples to split; import some first")
    seconds: dict[str, float] = defaultdict(float)
    for sample in samples:
        seconds[sample.person] += sample.seconds
    before = {} if again else {p: s for p, s in dataset.splits().items() if p in seconds}
    groups = _groups(samples, alike)
    given = {}
    for group in groups:
        had = sorted({before[p] for p in group if p in before})
        if len(had) > 1:
            raise InputError(
                f"{', '.join(sorted(group)[:4])} belong together (they talk to each other, or look "
                f"like one person) but are in {' and '.join(had)}; split again from the beginning"
            )
        if had:
            given |= dict.fromkeys(group, had[0])
    rest = [group for group in groups if group[0] not in given]
    rest.sort(key=lambda group: hashlib.sha256(f"{seed} {group[0]}".encode()).digest())
    total = sum(seconds.values())
    notices = []
    for name, share in (("test", test), ("val", val)):
        left = share * total - sum(seconds[p] for p, s in given.items() if s == name)
        for group in _chosen(rest, left, share * total, seconds):
            given |= dict.fromkeys(group, name)
            rest.remove(group)
        if share > 0 and name not in given.values():
            notices.append(
                f"{name} is empty: there are too few people who are apart from the others"
            )
    for group in rest:
        given |= dict.fromkeys(group, "train")
    dataset.write_splits(given)
    largest = max(groups, key=len)
    if len(largest) > len(seconds) / 2 and len(groups) > 1:
        notices.append(
            f"{len(largest)} of {len(seconds)} people hang together and stay in one split"
        )
    return SplitSummary(
        {name: sum(s == name for s in given.values()) for name in SPLITS},
        {n: round(sum(seconds[p] for p, s in given.items() if s == n), 2) for n in SPLITS},
        tuple(notices),
    )


def _chosen(
    groups: Sequence[list[str]], left: float, wanted: float, seconds: dict[str, float]
) -> list[list[str]]:
    """Groups, in their order, until there are `left` seconds; none that alone are far too many."""
    out = []
    for group in groups:
        length = sum(seconds[p] for p in group)
        if left <= 0 or len(groups) - len(out) <= 1:
            break
        if length <= max(left, 1.5 * wanted):
            out.append(group)
            left -= length
    return out


def _groups(samples: Sequence[Sample], alike: float) -> list[list[str]]:
    """People who must stay together, each group sorted, by its first name."""
    parent = {s.person: s.person for s in samples}

    def root(person: str) -> str:
        while parent[person] != person:
            parent[person] = parent[parent[person]]
            person = parent[person]
        return person

    talking: dict[str, str] = {}
    for sample in samples:
        if sample.conversation:
            other = talking.setdefault(sample.conversation, sample.person)
            parent[root(sample.person)] = root(other)
    for a, b, _ in look_alikes(samples, alike):
        parent[root(a)] = root(b)
    groups: dict[str, list[str]] = defaultdict(list)
    for person in sorted(parent):
        groups[root(person)].append(person)
    return sorted(groups.values())


def look_alikes(samples: Sequence[Sample], alike: float) -> list[tuple[str, str, float]]:
    """Pairs of names whose mean faces are nearer than that, and how near; nobody who was ever seen
    talking to the other.
    """
    faces: dict[str, list[np.ndarray]] = defaultdict(list)
    apart = set()
    person = {s.key: s.person for s in samples}
    for sample in samples:
        if sample.embedding is not None:
            faces[sample.person].append(sample.embedding)
        if sample.partner in person:
            apart.add((sample.person, person[sample.partner]))
    names = sorted(faces)
    if len(names) < 2:
        return []
    means = np.stack([np.mean(faces[name], axis=0) for name in names])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
    found = []
    for n, name in enumerate(names[:-1]):
        near = means[n + 1 :] @ means[n]
        for k in np.flatnonzero(near >= alike).tolist():
            other = names[n + 1 + k]
            if (name, other) not in apart:
                found.append((name, other, float(near[k])))
    return found
