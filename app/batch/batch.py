"""A batch from beginning to end: manifest, keys, ledger, engine, driver, report."""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.batch import storage
from app.batch.driver import BatchConfig, Driver, Summary
from app.batch.engine import Engine, HereEngine, Recipe
from app.batch.estimate import Estimate, estimate
from app.batch.events import Listener
from app.batch.keys import key_of, networks_of
from app.batch.ledger import Ledger
from app.batch.manifest import Item, read_manifest
from app.batch.report import write_report
from app.batch.work import AvatarSettings, Place, Task
from app.render.request import Notify
from weights import cache_dir
from weights.errors import InputError, OutputError

EngineKind = Literal["local", "ray"]
LEDGER = "ledger.sqlite"
_AT_ONCE = 16  # files looked at


@dataclass(frozen=True)
class EngineOptions:
    """Where the work is done. `workers` None: one here, as many as fit on a cluster; 0: in this
    very process. `timeout` in seconds an item. The rest is for Ray: its `address` (None: a
    cluster of this machine alone), and what each worker is given of a node.
    """

    kind: EngineKind = "local"
    workers: int | None = None
    timeout: float | None = None
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise InputError(f"got {self.workers} workers; wanted 0 or more")
        if self.timeout is not None and self.timeout <= 0:
            raise InputError(f"got a time of {self.timeout} s for an item; wanted more than 0")
        if self.cpus < 0 or self.gpus < 0:
            raise InputError("got a negative share of a node for each worker; wanted 0 or more")
        if self.kind == "local" and (self.address is not None or self.gpus):
            raise InputError(
                "got an address or a share of GPUs for the engine local; they are for --engine ray"
            )

    def open(self, recipe: Recipe) -> Engine:
        """The engine, not started yet. Raises DependencyError for Ray where it is missing."""
        if self.kind == "ray":
            from app.batch.ray_engine import RayEngine

            return RayEngine(recipe, self.workers, self.address, self.cpus, self.gpus, self.timeout)
        if self.workers == 0:
            return HereEngine(recipe)
        from app.batch.local import LocalEngine

        return LocalEngine(recipe, 1 if self.workers is None else self.workers, self.timeout)


@dataclass(frozen=True)
class Batch:
    """What is to be made, where to and how; `defaults` are for rows that do not say. `ledger`
    None: in the folder `out`, or for a store in the cache, with a copy in the store.
    """

    manifest: str
    out: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    settings: AvatarSettings = field(default_factory=AvatarSettings)
    engine: EngineOptions = field(default_factory=EngineOptions)
    config: BatchConfig = field(default_factory=BatchConfig)
    ledger: Path | None = None
    keep_failed: bool = False

    @property
    def folder(self) -> str:
        """The address of the batch's folder."""
        return storage.resolve(self.out, str(Path.cwd()))

    @property
    def ledger_path(self) -> Path:
        """Where the ledger is: always on this machine."""
        if self.ledger is not None:
            return self.ledger.absolute()
        if not storage.is_remote(self.folder):
            return Path(self.folder) / LEDGER
        name = hashlib.sha256(self.folder.encode()).hexdigest()[:24]
        return cache_dir() / "batches" / name / LEDGER

    def run(self, listeners: Sequence[Listener] = (), notify: Notify | None = None) -> Summary:
        """Make what is not made yet. Raises InputError for a manifest that cannot be used, before
        anything is started; StateError while another process works on the ledger; OutputError
        where nothing can be written.
        """
        items = read_manifest(self.manifest, self.defaults)
        self._require_folder()
        place = Place.below(self.folder, self.ledger_path)
        recipe = Recipe(self.settings, place, self.config.split)
        engine = self.engine.open(recipe)
        self._restore_ledger()
        with Ledger(self.ledger_path) as ledger:
            place.clear(earlier=True)
            wanted, keys = self._plan(ledger, items)
            split = self.config.split is not None
            tasks = [Task(i, keys[i.output], "motion" if split else "whole") for i in wanted]
            try:
                with engine if tasks else contextlib.nullcontext():
                    driver = Driver(ledger, engine, self.config, listeners)
                    return driver.run(tasks, len(items) - len(wanted))
            finally:
                self._finish(ledger, place, notify or (lambda _: None))
                place.clear()

    def estimate(self) -> Estimate:
        """What `run` would do, and how long it would take; nothing is written."""
        items = read_manifest(self.manifest, self.defaults)
        with self._ledger_copy() as ledger:
            wanted, _ = self._plan(ledger, items)
            return estimate(items, wanted, ledger, self.settings, self.engine.workers)

    def _plan(self, ledger: Ledger, items: Sequence[Item]) -> tuple[list[Item], dict[str, str]]:
        """The items to be made, and the key of every item by its output."""
        hashes = _hashes(ledger, items)
        there = _sizes(self.folder, items)
        networks = networks_of(self.settings)
        keys = {i.output: key_of(i, networks, hashes.__getitem__) for i in items}
        taken = ((i, keys[i.output], _inputs(i, hashes)) for i in items)
        return ledger.plan(taken, there, self.keep_failed), keys

    def _require_folder(self) -> None:
        """Raise OutputError or DependencyError when the folder cannot be written into."""
        storage.check_store(self.folder)
        if storage.is_remote(self.folder):
            return
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {self.folder}: {error.strerror}; give another --out"
            ) from error

    def _restore_ledger(self) -> None:
        """Where another machine has worked into a store, go on from what it has written down."""
        if not storage.is_remote(self.folder) or self.ledger_path.exists():
            return
        copy = storage.join(self.folder, LEDGER)
        if storage.exists(copy):
            self.ledger_path.parent.mkdir(parents=True, exist_ok=True)
            storage.fetch(copy, self.ledger_path)

    def _finish(self, ledger: Ledger, place: Place, notify: Notify) -> None:
        """Report, and a copy of the ledger in a store. A full disk must not hide how it ended."""
        try:
            staging = place.local()
            write_report(ledger, self.folder, staging)
            if storage.is_remote(self.folder):
                ledger.snapshot(staging / LEDGER)
                storage.publish(staging / LEDGER, storage.join(self.folder, LEDGER))
        except OutputError as error:
            notify(f"there is no report: {error}")

    @contextlib.contextmanager
    def _ledger_copy(self) -> Iterator[Ledger]:
        with tempfile.TemporaryDirectory(prefix="visavis-ledger-") as name:
            copy = Path(name) / LEDGER
            if self.ledger_path.exists():
                for path in self.ledger_path.parent.glob(f"{self.ledger_path.name}*"):
                    if not path.name.endswith((".lock", "-shm")):
                        shutil.copy(path, copy.with_name(path.name.replace(path.stem, copy.stem)))
            with Ledger(copy) as ledger:
                yield ledger


def _inputs(item: Item, hashes: Mapping[str, str]) -> dict[str, str]:
    return {item.fields[name]: hashes[item.fields[name]] for name in item.files}


def _hashes(ledger: Ledger, items: Sequence[Item]) -> dict[str, str]:
    """Address to hash of every input; those that have not changed are not read again."""
    addresses = list(dict.fromkeys(i.fields[name] for i in items for name in i.files))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        stamps = dict(zip(addresses, pool.map(storage.stamp, addresses), strict=True))
        known = {a: ledger.known_hash(a, *stamps[a]) for a in addresses}
        new = [a for a in addresses if known[a] is None]
        for address, value in zip(new, pool.map(storage.content_hash, new), strict=True):
            ledger.remember_hash(address, *stamps[address], value)
            known[address] = value
    return {a: value for a, value in known.items() if value is not None}


def _sizes(folder: str, items: Sequence[Item]) -> dict[str, int | None]:
    """Output to the bytes that are there now."""
    outputs = [item.output for item in items]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda name: storage.size(storage.join(folder, name)), outputs)
        return dict(zip(outputs, found, strict=True))
