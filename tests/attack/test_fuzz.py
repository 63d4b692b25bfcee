"""The fuzzer over every reader: a short run here, a long one with the mark `endurance`."""

from pathlib import Path

import pytest

from tests.attack.fuzz import child, parent
from tests.attack.fuzz.child import Watch, case, judge
from tests.attack.fuzz.corpus import good_files
from tests.attack.fuzz.readers import READERS
from tests.attack.limited import Limited
from weights.errors import InputError

CASES = Path(child.__file__).with_name("cases")
SLACK = 6.0
"""The machine runs other tests at the same time."""


@pytest.mark.parametrize("reader", READERS)
def test_good_files_are_read(tmp_path: Path, reader: str) -> None:
    """So that mutations reach what lies behind the first check."""
    for suffix, data in good_files(reader):
        path = tmp_path / f"good{suffix}"
        path.write_bytes(data)
        assert READERS[reader].read(path) is not None


def test_cases_are_the_same_every_time() -> None:
    good = good_files("npz")
    assert case("npz", 1, 7, good) == case("npz", 1, 7, good)
    assert len({case("npz", 1, number, good) for number in range(50)}) > 40


def test_what_is_not_allowed_is_seen(tmp_path: Path) -> None:
    watch, inside = Watch(tmp_path / "in"), tmp_path / "in"
    inside.mkdir()

    def told(message: str) -> None:
        raise InputError(message)

    assert judge(lambda _: 7, inside, watch) is None
    assert judge(lambda _: told("one sentence"), inside, watch) is None
    assert judge(lambda _: (inside / "own").write_text("x"), inside, watch) is None
    wrong = {
        "KeyError": lambda _: {}["a"],
        "MemoryError": lambda _: bytearray(1 << 62),
        "an empty line": lambda _: told(""),
        "for writing": lambda _: (tmp_path / "other").write_text("x"),
        "os.mkdir": lambda _: (tmp_path / "folder").mkdir(),
        "subprocess.Popen": lambda _: __import__("subprocess").run(["true"], check=True),
        "socket.getaddrinfo": lambda _: __import__("socket").getaddrinfo("127.0.0.1", 9),
    }
    for said, act in wrong.items():
        assert said in (judge(act, inside, watch) or ""), said


@pytest.mark.parametrize("kind", ["hang", "death"])
def test_a_child_that_hangs_or_dies_is_told_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(parent, "CHILD", "tests.attack.fuzz.broken")
    monkeypatch.setenv("PATH", f"{kind}:/usr/bin")
    (report,) = parent.fuzz(["gestures"], 4, 0, 1, tmp_path / "found", slack=0.1)
    assert report.cases == 3 and [found.number for found in report.found] == [1]
    assert {"hang": "more than 1 s", "death": "dies with"}[kind] in report.found[0].wrong
    assert report.found[0].path.read_bytes() == case("gestures", 0, 1, good_files("gestures"))[1]


@pytest.mark.slow
@pytest.mark.parametrize("found", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once_is_taken_well(limited: Limited, found: Path) -> None:
    """Cases are named READER-SEED-NUMBER, as the fuzzer writes them."""
    answer = limited.read(found.name.rsplit("-", 2)[0], found)
    assert answer.ours and "\n" not in answer.message, answer


def run(cases: int, seed: int, folder: Path) -> int:
    """Cases done, none of which was taken badly."""
    reports = parent.fuzz(list(READERS), cases, seed, 2, folder / "found", SLACK)
    assert not any(report.found for report in reports), parent.table(reports)
    return sum(report.cases for report in reports)


@pytest.mark.slow
def test_a_hundred_cases(tmp_path: Path) -> None:
    assert run(100, 1, tmp_path) >= 100


@pytest.mark.endurance
@pytest.mark.timeout(1_800)
def test_four_thousand_cases(tmp_path: Path) -> None:
    assert run(4_000, 2, tmp_path) >= 4_000


def test_the_address_limit_is_lifted_again() -> None:
    before = child.resource.getrlimit(child.resource.RLIMIT_AS)
    with child.bounded_addresses():
        assert child.resource.getrlimit(child.resource.RLIMIT_AS)[0] > 0
    assert child.resource.getrlimit(child.resource.RLIMIT_AS) == before
