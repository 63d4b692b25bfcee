"""The whole comparison: pairs of files in, the table out."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.evaluation.answers import TOO_LITTLE, Answers
from app.evaluation.catalogue import Found
from app.evaluation.clips import Clip, Pair, read_clip
from app.evaluation.figures import Measures
from app.evaluation.syncing import sync_figures, sync_of
from app.evaluation.table import Table, tabulate
from app.evaluation.watching import Look, Watcher, stretch
from app.quality.distributions import frechet
from app.render.parts import Later
from app.render.request import Notify, Progress

if TYPE_CHECKING:
    from app.quality.perceptual import Network


@dataclass(frozen=True)
class Wanted:
    """What is looked at beside the motion. `pictures`: the frames of videos too; `lpips` (which
    networks of it) and `fid` need packages, `fvd` the file of I3D, `syncnet` that of SyncNet.
    `seed` is that of bootstraps, clusters and chance.
    """

    pictures: bool = True
    lpips: "tuple[Network, ...]" = ()
    fid: bool = False
    fvd: Path | None = None
    syncnet: Path | None = None
    seed: int = 0


class Evaluation:
    """Reads pairs and measures them; everything is loaded when it is first needed."""

    def __init__(self, wanted: Wanted, notify: Notify, progress: Progress | None = None) -> None:
        """Raises DependencyError or InputError at once for networks that are not there."""
        from app.quality.lip_sync import LipSyncJudge
        from app.quality.perceptual import Lpips
        from app.quality.standard import I3d, Inception
        from app.quality.syncnet import SyncNet
        from motion2video.faces.tracker import FaceTracker
        from motion2video.geometry.basis import FaceBasis

        self._wanted, self._notify, self._progress = wanted, notify, progress
        self._tracker = Later(FaceTracker.load)
        self._watcher = Later(self._load_watcher)
        self._lpips = {name: Lpips(network=name) for name in wanted.lpips}
        self._networks: dict[str, Inception | I3d] = {}
        if wanted.fid:
            self._networks["FID"] = Inception()
        if wanted.fvd is not None:
            self._networks["FVD"] = I3d(wanted.fvd)
        self._syncnet = None if wanted.syncnet is None else SyncNet.load(wanted.syncnet)
        clusters = find_spec("sklearn") is not None
        self._measures = Measures(FaceBasis.load(), LipSyncJudge.load(), clusters, wanted.seed)
        self.notes: list[str] = []
        if not clusters:
            self.notes.append("no SID: it needs scikit-learn (the extra `evaluate`)")
        self._seen: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}

    def table(self, pairs: list[Pair], names: tuple[str, str | None]) -> Table:
        """The table of all pairs. Raises what reading a file raises, naming it."""
        found: list[Found] = []
        second: list[Found] = []
        people, answers = [], Answers()
        for done, pair in enumerate(pairs, 1):
            real = self._read(pair.real)
            partner = self._read(pair.partner) if pair.partner else None
            made = self._read(pair.made)
            other = self._read(pair.other) if pair.other else None
            found.append(self._pair(made, real, partner, "made"))
            if other is not None:
                second.append(self._pair(other, real, partner, "second"))
            if partner is not None:
                answers.add(made, real, other, partner)
            people.append(real.person)
            if self._progress is not None:
                self._progress("comparing", done, len(pairs))
        gains = answers.rows(self._wanted.seed)
        notes = [*self.notes, *self._distances()]
        if not gains and any(pair.partner for pair in pairs):
            notes.append(TOO_LITTLE)
        table = tabulate(found, people, names, second or None, notes, self._wanted.seed)
        return replace(table, rows=(*table.rows, *gains))

    def _read(self, path: Path) -> Clip:
        return read_clip(path, self._tracker, self._notify)

    def _pair(self, made: Clip, real: Clip, partner: Clip | None, side: str) -> Found:
        found = self._measures.of(made, real, partner)
        if not (self._wanted.pictures and made.video and real.video):
            return found
        seconds = min(made.motion.seconds, real.motion.seconds)
        watcher = self._watcher.get()
        paths = [made.video, real.video]
        looks = [list(watcher.looks(path, seconds)) for path in paths]
        self._keep(side, looks, paths, seconds)
        return found | watcher.of(*looks) | self._sync(made, real)

    def _sync(self, made: Clip, real: Clip) -> Found:
        """Sync-C and Sync-D of two videos, each with its own voice."""
        if self._syncnet is None:
            return {}
        tracker, judge = self._tracker.get(), self._syncnet
        return sync_figures(*(sync_of(clip, tracker, judge) for clip in (made, real)))

    def _keep(self, side: str, looks: list[list[Look]], paths: list[Path], seconds: float) -> None:
        """Features of frames (FID) and of frames in a row (FVD), for distances over all pairs."""
        for name, network in self._networks.items():
            seen = self._seen.setdefault(f"{name} {side}", ([], []))
            for features, own, path in zip(seen, looks, paths, strict=True):
                frames = stretch(path, seconds) if name == "FVD" else [look.image for look in own]
                features += network.features(frames)

    def _distances(self) -> list[str]:
        """FID and FVD, which are of all pairs at once, as sentences."""
        told = []
        for name, (made, real) in self._seen.items():
            if len(made) < 2 or len(real) < 2:
                told.append(f"no {name}: it needs two clips or more")
                continue
            value = frechet(np.stack(made), np.stack(real))
            told.append(f"{name}: {value:.2f}, of {len(made)} and {len(real)} (fewer: larger)")
        return told

    def _load_watcher(self) -> Watcher:
        from motion2video.faces.identity import FaceIdentity
        from motion2video.faces.insight import IdentityEmbedder

        embedder = IdentityEmbedder.load_if_there() or FaceIdentity.load()
        return Watcher(self._tracker.get(), embedder, self._lpips)
