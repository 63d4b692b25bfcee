"""Fuzz the readers: `python -m tests.attack.fuzz --cases N --seed S [--reader R]`.

Prints counts by reader; a case that was not taken well is written into --found, from where
`--replay FILE --reader R` runs it again. Exits with 1 when there is one.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.attack.fuzz.child import Watch, bounded_addresses, judge
from tests.attack.fuzz.parent import fuzz, table
from tests.attack.fuzz.readers import READERS


def _replay(reader: str, path: Path) -> int:
    folder = tempfile.gettempdir()
    with bounded_addresses():
        wrong = judge(READERS[reader].read, path, Watch(Path(folder), READERS[reader].network))
    print(wrong or "taken well")
    return 1 if wrong else 0


def main() -> int:
    """Fuzz or replay as the arguments say; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, action="append")
    parser.add_argument("--jobs", type=int, default=2, help="children at a time")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"))
    parser.add_argument("--replay", type=Path)
    options = parser.parse_args()
    readers = options.reader or list(READERS)
    if options.replay:
        return _replay(readers[0], options.replay)
    reports = fuzz(readers, options.cases, options.seed, options.jobs, options.found)
    print(table(reports))
    return 1 if any(report.found for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
