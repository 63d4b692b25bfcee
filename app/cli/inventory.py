"""What weights there are on this machine, and whether they are right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion2video.reference.families import FAMILIES
from motion2video.reference.store import find_all, require_all, verify_family
from weights import load_manifest, locate, verify
from weights.errors import WeightsError


@dataclass(frozen=True)
class WeightsFound:
    """One role: where it was found (None: nowhere), and what is wrong with it ("": nothing)."""

    role: str
    summary: str
    licence: str
    size: int
    sha256: str
    embedded: bool
    optional: bool
    path: Path | None
    problem: str

    @property
    def right(self) -> bool:
        """Found, and its hash is the manifest's."""
        return not self.problem

    @property
    def status(self) -> str:
        """In two words."""
        if self.path is None:
            return "not here" if self.optional else "MISSING"
        if self.problem:
            return "WRONG HASH"
        return "embedded" if self.embedded else "found"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = {**vars(self), "status": self.status}
        return {**values, "path": None if self.path is None else str(self.path)}


def all_weights(roles: Sequence[str] = ()) -> list[WeightsFound]:
    """Look up and hash these roles of the manifest (default: all of them).

    Raises WeightsError for a role that the manifest does not have.
    """
    manifest = load_manifest()
    return [_look_up(name) for name in roles or manifest.roles]


def _look_up(name: str) -> WeightsFound:
    role = load_manifest().role(name)
    problem = ""
    try:
        verify(name)
    except WeightsError as error:
        problem = str(error)
    return WeightsFound(
        role=name,
        summary=role.summary,
        licence=role.licence,
        size=role.size,
        sha256=role.sha256,
        embedded=role.embedded,
        optional=role.optional,
        path=locate(name),
        problem=problem,
    )


def checkpoints() -> list[WeightsFound]:
    """The public checkpoints, fetched or in the folder that VISAVIS_WEIGHTS_DIR names."""
    return [_checkpoint(name, "") for name in FAMILIES]


def verified_checkpoint(name: str) -> WeightsFound:
    """One of them, every file of which is hashed."""
    try:
        verify_family(FAMILIES[name])
    except WeightsError as error:
        return _checkpoint(name, str(error))
    return _checkpoint(name, "")


def _checkpoint(name: str, problem: str) -> WeightsFound:
    family = FAMILIES[name]
    found = find_all(family)
    try:
        require_all(family)
        path = found["denoising_unet"].path.parent
    except WeightsError as error:
        path, problem = None, problem or str(error)
    licences = dict.fromkeys(source.licence for source in family.sources.values())
    return WeightsFound(
        role=name,
        summary=f"{family.title}, a public checkpoint for GPUs",
        licence="; ".join(licences),
        size=sum(one.path.stat().st_size for one in found.values()),
        sha256="",
        embedded=False,
        optional=True,
        path=path,
        problem=problem,
    )


def as_table(found: Sequence[WeightsFound]) -> str:
    """One line for each role."""
    rows = [
        (w.role, w.status, f"{w.size / 1e6:.1f} MB", w.summary, f"[{w.licence}]") for w in found
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d} {e}" for a, b, c, d, e in rows
    )
