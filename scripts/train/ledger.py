"""OUT/stages.json: what every stage of a chain was made of, and what came out."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from weights.errors import InputError
from weights.saving import save_whole

VERSION = 1


@dataclass(frozen=True)
class Made:
    """All that a stage depends on: its arguments, and hashes by names of inputs, of the weights
    that it opens, and of code.
    """

    arguments: tuple[str, ...]
    inputs: dict[str, str]
    weights: dict[str, str]
    code: dict[str, str]

    def other(self, before: "Made") -> str:
        """What is another than before, in words; "" when nothing is."""
        if self.arguments != before.arguments:
            return "other arguments"
        for what in ("inputs", "weights", "code"):
            now, then = getattr(self, what), getattr(before, what)
            for name in sorted(now.keys() | then.keys()):
                if now.get(name) != then.get(name):
                    return f"{name} changed"
        return ""


@dataclass(frozen=True)
class Entry:
    """A stage that was begun or is done: of what, with which command and seed, when (UTC), for how
    many seconds, and the hash of its product. `accepted` where somebody said that an older product
    will do.
    """

    state: Literal["begun", "done"]
    made: Made
    command: str
    seed: int | None
    began: str
    seconds: float = 0.0
    product: str = ""
    accepted: bool = False


@dataclass(frozen=True)
class Ledger:
    """The entries of a folder, by stage; written whole at every change."""

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    @staticmethod
    def open(path: Path) -> "Ledger":
        """What is there. Raises InputError where the file is not one of these."""
        if not path.is_file():
            return Ledger(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                raise ValueError(f"version {data['version']!r}, wanted {VERSION}")
            return Ledger(path, {name: _entry(one) for name, one in data["stages"].items()})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not a list of stages ({error}): move it away and begin anew"
            ) from error

    def note(self, name: str, entry: Entry, **changes: Any) -> Entry:
        """Put an entry in, and on the disk."""
        self.entries[name] = entry = replace(entry, **changes)
        stages = {name: asdict(one) for name, one in self.entries.items()}
        text = json.dumps({"version": VERSION, "stages": stages}, indent=1)
        save_whole(self.path, text.encode(), "the list of stages")
        return entry


def _entry(data: dict[str, Any]) -> Entry:
    made = data.pop("made")
    return Entry(made=Made(arguments=tuple(made.pop("arguments")), **made), **data)
