"""Make every embedded file of weights from the research pack, stage by stage.

    scripts/train/all --pack PACK --files FILES --out OUT      all of them, in OUT/weights
    scripts/train/all --list                                   the stages and what they need
    scripts/train/all ... --dry-run                            what would be run, and why
    scripts/train/all ... --only-free                          of what may be used commercially
    scripts/train/all --tiny --out OUT                         on made-up data, in a minute

The stages are in scripts/train/stages.py, and each has a folder of its own in OUT. One is left out
while its arguments, its inputs, the weights that it opens and the code that it runs are what they
were when it ended (OUT/stages.json has their hashes). After a crash or a kill the same command goes
on: trainers from their checkpoints. FILES has what others publish, see weights/README.md. The
weights are used by VISAVIS_MANIFEST=OUT/weights/manifest.toml.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np

from scripts.data.free_pack import build
from scripts.train.free import BORROWED, FREE, LEFT_OUT, LENT, summary
from scripts.train.hashes import code_of, hash_of
from scripts.train.ledger import Entry, Ledger, Made
from scripts.train.offering import offer
from scripts.train.stages import CHAIN, TINY, Stage
from weights import load_manifest
from weights.errors import BusyError, InputError, VisavisError
from weights.manifest import MANIFEST_PATH, MANIFEST_VARIABLE, Manifest
from weights.saving import save_whole
from weights.tensors import read_safetensors, save_safetensors

ROOT = Path(__file__).resolve().parents[2]


class StageError(VisavisError):
    """A stage ended with an error, which it has told itself."""


@dataclass(frozen=True)
class Places:
    """Where things are: the pack and what others publish, where they were named; the results; and
    the checkout whose modules are run.
    """

    out: Path
    pack: Path | None = None
    files: Path | None = None
    root: Path = ROOT


class Chain:
    """Stages in a row, of which each sees what those before it have made."""

    def __init__(
        self, stages: Sequence[Stage], places: Places, manifest: Manifest, free: bool = False
    ) -> None:
        """`manifest` has the embedded weights: what a stage opens that none before it makes; of a
        `free` chain, where scripts/train/free.py lets it.
        """
        self.stages, self.manifest, self.free = stages, manifest, free
        self.places = replace(places, out=places.out.absolute())
        places.out.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger.open(self.places.out / "stages.json")
        self._hashes: dict[Path, str] = {}

    def lacking(self, wanted: Sequence[Stage]) -> list[str]:
        """What is not there for the `wanted` stages, a sentence each."""
        lacks = list[str]()
        for stage in wanted:
            for name, path in self._inputs(stage).items():
                if name.startswith("{") and not path.exists():
                    lacks.append(f"{stage.name} needs {path}")
            for name in stage.packages:
                if importlib.util.find_spec(name) is None:
                    lacks.append(f"{stage.name} needs the package {name}")
        return lacks

    def why(self, stage: Stage) -> str:
        """Why a stage has to be run; "" where it has not. Raises InputError where an input is not
        there, such as the product of a stage that was not run.
        """
        entry = self.ledger.entries.get(stage.name)
        if entry is None:
            return "was not run"
        if other := self.made_of(stage).other(entry.made):
            return other
        if entry.state == "begun":
            return "goes on" if stage.resumes else "was not ended"
        product = self.product(stage)
        if not product.exists() or self._hash(product) != entry.product:
            return "its product is gone or another"
        return ""

    def plan(self, wanted: Sequence[Stage]) -> list[tuple[Stage, str]]:
        """Every wanted stage with `why`; what comes after a stage to be run may have to be, too."""
        found, fresh = list[tuple[Stage, str]](), set[str]()
        for stage in wanted:
            before = [name for name in self.before(stage) if name in fresh]
            why = f"if {before[0]} gives something else" if before else self.why(stage)
            if why:
                fresh.add(stage.name)
            found.append((stage, why))
        return found

    def run(self, wanted: Sequence[Stage], notify: Callable[[str], None]) -> None:
        """Run what has to be run, then write OUT/weights. Raises BusyError while another run is at
        work here, StageError where a stage fails.
        """
        with self.alone() as lock:
            for number, stage in enumerate(wanted, 1):
                why = self.why(stage)
                notify(f"[{number}/{len(wanted)}] {stage.name}: {why or 'is as it was'}")
                if why:
                    self._run(stage, lock, fresh=why != "goes on")
            self.collect(notify)

    def accept(self, stage: Stage) -> None:
        """Take the product that is there for that of what the stage is made of now. Raises
        BusyError as `run` does.
        """
        product = self.product(stage)
        if not product.exists():
            raise InputError(f"{product} is not there: run the stage {stage.name}")
        with self.alone():
            entry, found = self._entry(stage), self._hash(product)
            self.ledger.note(stage.name, entry, state="done", product=found, accepted=True)

    def product(self, stage: Stage) -> Path:
        """The file, or the folder, that counts of a stage."""
        return self.places.out / stage.name / stage.makes

    def made_of(self, stage: Stage) -> Made:
        """All that a stage depends on, now. Raises InputError where an input is not there."""
        inputs = {name: self._hash(path) for name, path in self._inputs(stage).items()}
        weights = {role: self._hash(path) for role, path in self._opened(stage).items()}
        return Made(stage.arguments, inputs, weights, code_of(stage.module, self.places.root))

    def collect(self, notify: Callable[[str], None]) -> None:
        """OUT/weights: the embedded files, with those in their place that are done here. Their
        headers say what they were made of. Tells which of them have other numbers.
        """
        made, own = dict[str, Path](), self.places.out / "weights"
        for stage in self.stages:
            entry = self.ledger.entries.get(stage.name)
            if stage.role and entry is not None and entry.state == "done":
                path = own / ".made" / self.manifest.role(stage.role).file
                path.parent.mkdir(parents=True, exist_ok=True)
                tensors, config = read_safetensors(self.product(stage))
                save_safetensors(path, tensors, config, _history(stage, entry))
                made[stage.role] = path
        for role, path in made.items():
            alike = _alike(path, self._embedded(role))
            notify(f"{role}: {'the numbers of the embedded file' if alike else 'other numbers'}")
        embedded = [role.name for role in self.manifest.roles.values() if role.embedded]
        files = {
            role: made.get(role, self._embedded(role))
            for role in embedded
            if role in made or not self.free or role in LENT
        }
        offer(own, files, self.manifest)
        if self.free:
            names = {role: self.manifest.role(role).file for role in embedded}
            text = summary(self.stages, self.ledger.entries, self.before, names)
            notify(f"of what: {save_whole(own / 'FREE.md', text.encode(), 'the summary')}")
        shutil.rmtree(own / ".made", ignore_errors=True)

    @contextmanager
    def alone(self) -> Iterator[IO[str]]:
        """While nobody else is at work in the folder; with the ledger as it is then. Raises
        BusyError while somebody is.
        """
        with (self.places.out / "lock").open("a+") as lock:
            _hold(lock, self.places.out)
            self.ledger = Ledger.open(self.ledger.path)
            yield lock

    def _run(self, stage: Stage, lock: IO[str], fresh: bool) -> None:
        if lacks := self.lacking([stage]):
            raise InputError(lacks[0])
        here, entry = self.places.out / stage.name, self._entry(stage)
        if fresh and here.is_symlink():
            here.unlink()
        elif fresh:
            shutil.rmtree(here, ignore_errors=True)
        else:
            entry = replace(self.ledger.entries[stage.name], made=entry.made)
        here.mkdir(exist_ok=True)
        self.ledger.note(stage.name, entry)
        seen = self.places.out / "seen"
        offer(seen, self._opened(stage), self.manifest)
        command = self._command(stage)
        environment = {**os.environ, MANIFEST_VARIABLE: str(seen / MANIFEST_PATH.name)}
        began = time.monotonic()
        # The stage holds the lock too: where this process is killed, nobody begins beside it.
        with subprocess.Popen(
            command, cwd=self.places.root, env=environment, pass_fds=[lock.fileno()]
        ) as process:
            _write_owner(lock, process.pid)
            code = process.wait()
        seconds = entry.seconds + time.monotonic() - began
        product = self.product(stage)
        if code or not product.exists():
            self.ledger.note(stage.name, entry, seconds=seconds)
            what = f"ended with {code}" if code else f"left no {product}"
            raise StageError(
                f"the stage {stage.name} {what}: put right what it says above, and give the same "
                "command again"
            )
        self._hashes.pop(product, None)
        self.ledger.note(
            stage.name, entry, state="done", seconds=seconds, product=self._hash(product)
        )

    def _entry(self, stage: Stage) -> Entry:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        command = shlex.join(["python", "-m", stage.module, *stage.arguments])
        return Entry("begun", self.made_of(stage), command, stage.seed, now)

    def _command(self, stage: Stage) -> list[str]:
        filled = (self._filled(stage, argument) for argument in stage.arguments)
        return [sys.executable, "-m", stage.module, *filled]

    def _filled(self, stage: Stage, argument: str) -> str:
        """An argument with its place in it."""
        if not argument.startswith("{"):
            return argument
        name, _, rest = argument[1:].partition("}")
        if name == "here":
            name = stage.name
        return str(self._place(name)) + rest

    def _place(self, name: str) -> Path:
        """The absolute folder of a name in braces."""
        given = {"pack": self.places.pack, "files": self.places.files}
        if name in given:
            path = given[name]
            if path is None:
                raise InputError(f"--{name} is needed: see weights/README.md")
            return path.absolute()
        return self.places.out / name

    def _inputs(self, stage: Stage) -> dict[str, Path]:
        """What a stage reads, by names that are the same on every machine."""
        found = {f"{{pack}}/{part}": self._place("pack") / part for part in stage.pack}
        known = {one.name: one for one in self.stages}
        for argument in stage.arguments:
            name = argument[1:].partition("}")[0] if argument.startswith("{") else ""
            if name in known:
                found[name] = self.product(known[name])
            elif name == "files" or argument.startswith("{pack}/"):
                found[argument] = Path(self._filled(stage, argument))
            elif name and name not in ("pack", "here"):
                raise InputError(
                    f"{stage.name} needs what {name} makes: leave both out, or neither"
                )
        return found

    def before(self, stage: Stage) -> list[str]:
        """The stages whose products or weights a stage takes."""
        makers = [one.name for role in stage.opens if (one := self._maker(stage, role))]
        return [*stage.after, *makers]

    def _maker(self, stage: Stage, role: str) -> Stage | None:
        """The last stage before another one that makes a role."""
        before = self.stages[: self.stages.index(stage)]
        return next((one for one in reversed(before) if one.role == role), None)

    def _opened(self, stage: Stage) -> dict[str, Path]:
        """The file of every role that a stage opens."""
        makers = {role: self._maker(stage, role) for role in stage.opens}
        return {
            role: self._lent(stage, role) if maker is None else self.product(maker)
            for role, maker in makers.items()
        }

    def _lent(self, stage: Stage, role: str) -> Path:
        """The embedded file of a role that a stage opens."""
        if self.free and role not in LENT and (stage.name, role) not in BORROWED:
            raise InputError(
                f"{stage.name} opens {role}, whose embedded file is not of free data: leave out "
                "no stage that makes it"
            )
        return self._embedded(role)

    def _embedded(self, role: str) -> Path:
        return self.manifest.root / self.manifest.role(role).file

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            try:
                self._hashes[path] = hash_of(path)
            except FileNotFoundError as error:
                raise InputError(f"{path} is not there: run what makes it, or name it") from error
        return self._hashes[path]


def _alike(one: Path, other: Path) -> bool:
    """Whether two files of weights have the same tensors and configuration."""
    (a, b), (c, d) = read_safetensors(one), read_safetensors(other)
    return (b, a.keys()) == (d, c.keys()) and all(np.array_equal(a[name], c[name]) for name in a)


def _history(stage: Stage, entry: Entry) -> dict[str, object]:
    """What the header of a file says of where it comes from."""
    return {
        "stage": stage.name,
        "command": entry.command,
        "seed": entry.seed,
        "began": entry.began,
        "accepted": entry.accepted,
        "inputs": entry.made.inputs,
        "weights": entry.made.weights,
        "code": hashlib.sha256(json.dumps(entry.made.code).encode()).hexdigest(),
        "revision": _revision(),
    }


def _revision() -> str:
    """The commit of the checkout, where git knows it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _hold(lock: IO[str], out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        raise BusyError(
            f"process {lock.read().strip() or 'unknown'} is at work in {out}: wait until it has "
            "ended, or end it"
        ) from error
    _write_owner(lock, os.getpid())


def _write_owner(lock: IO[str], process: int) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(str(process))
    lock.flush()


def described(stages: Sequence[Stage]) -> str:
    """The list of stages as text."""
    lines = list[str]()
    for stage in stages:
        role = (
            f" -> {stage.role} ({stage.embedded or 'before its last stage'})" if stage.role else ""
        )
        lines.append(f"{stage.name}{role}")
        lines.append(f"    python -m {stage.module} {' '.join(stage.arguments)}")
        facts = [f"seed {stage.seed}" if stage.seed is not None else "no chance"]
        facts += [f"after {', '.join(stage.after)}"] if stage.after else []
        facts += [f"opens {', '.join(stage.opens)}"] if stage.opens else []
        facts += [f"needs {', '.join(stage.packages)}"] if stage.packages else []
        lines.append(f"    {stage.says} ({'; '.join(facts)})")
    return "\n".join(lines)


def chosen(stages: Sequence[Stage], only: Sequence[str], without: Sequence[str]) -> list[Stage]:
    """The stages that are asked for. Raises InputError for a name that is not there."""
    names = [stage.name for stage in stages]
    for name in (*only, *without):
        if name not in names:
            raise InputError(f"there is no stage {name}: they are {', '.join(names)}")
    return [s for s in stages if (not only or s.name in only) and s.name not in without]


def asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/train/all", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, help="folder for everything that is made")
    parser.add_argument("--pack", type=Path, help="the research data pack")
    parser.add_argument("--files", type=Path, help="what others publish, see weights/README.md")
    parser.add_argument("--only", nargs="+", default=[], metavar="STAGE", help="these alone")
    parser.add_argument("--without", nargs="+", default=[], metavar="STAGE", help="all but these")
    parser.add_argument(
        "--accept",
        nargs="+",
        default=[],
        metavar="STAGE",
        help="take what these made before, although something has changed; runs nothing",
    )
    parser.add_argument(
        "--only-free", action="store_true", help="of what may be used commercially; OUT of its own"
    )
    parser.add_argument("--list", action="store_true", help="say what the stages are")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and why")
    parser.add_argument("--tiny", action="store_true", help="a chain on made-up data")
    options = parser.parse_args(arguments)
    if options.out is None and not options.list:
        parser.error("--out is needed (or --list)")
    if options.only_free and (options.tiny or not (options.pack or options.list)):
        parser.error("--only-free goes with --pack, and not with --tiny, which is of made-up data")
    return options


def work(options: argparse.Namespace) -> None:
    """Do what was asked for."""
    stages = TINY if options.tiny else FREE if options.only_free else CHAIN
    for name in (*options.only, *options.without, *options.accept):
        if options.only_free and name in LEFT_OUT:
            raise InputError(f"the stage {name} is left out of --only-free: {LEFT_OUT[name]}")
    wanted = chosen(stages, options.only, options.without)
    if options.list:
        print(described(wanted))
        if options.only_free:
            print("\n".join(f"left out: {name}, {why}" for name, why in LEFT_OUT.items()))
        return
    view = options.out / "free"
    if options.only_free != view.exists() and (options.out / "stages.json").exists():
        before = "the whole pack" if options.only_free else "--only-free"
        raise InputError(f"{options.out} is of {before}: name another folder")
    places = Places(options.out, view if options.only_free else options.pack, options.files)
    kept = chosen(stages, [], options.without)
    chain = Chain(kept, places, load_manifest(MANIFEST_PATH), options.only_free)
    if options.only_free:
        with chain.alone():
            build(options.pack, view)
    if options.accept:
        for stage in chosen(stages, options.accept, []):
            chain.accept(stage)
        return
    lacks = chain.lacking(wanted)
    if options.dry_run:
        for stage, why in chain.plan(wanted):
            print(f"{stage.name}: {why or 'is as it was'}")
        print("\n".join(lacks), end="\n" if lacks else "")
        return
    if lacks:
        raise InputError("; ".join(lacks) + ": put it there, or name what goes --without it")
    chain.run(wanted, lambda line: print(line, flush=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    try:
        work(asked(arguments))
    except VisavisError as error:
        print(f"scripts/train/all: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("scripts/train/all: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
