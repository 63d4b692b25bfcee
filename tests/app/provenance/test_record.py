"""The log: added to by many at once, whole lines only, and never larger than it may be."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from app.provenance import record
from app.provenance.record import KEPT, NAME, Log


def test_entries_come_back_the_latest_first(tmp_path: Path) -> None:
    log = Log(tmp_path / "new")
    for number in range(3):
        log.add({"id": "a" if number else "b", "number": number})
    assert [entry["number"] for entry in log.entries()] == [2, 1, 0]
    found = log.find("a")
    assert found is not None and found["number"] == 2 and log.find("c") is None
    assert stat.S_IMODE((tmp_path / "new" / NAME).stat().st_mode) == 0o600


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    log = Log(tmp_path)
    added = [
        threading.Thread(target=lambda n=n: log.add({"id": str(n), "x": "y" * 900}))
        for n in range(16)
    ]
    for thread in added:
        thread.start()
    for thread in added:
        thread.join()
    lines = (tmp_path / NAME).read_text().splitlines()
    assert sorted(int(json.loads(line)["id"]) for line in lines) == list(range(16))


def test_a_line_that_was_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.add({"id": "a"})
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"id": "b", "x')
    log.add({"id": "c"})
    assert [entry["id"] for entry in log.entries()] == ["c", "a"]


def test_it_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MOST_BYTES", 300)
    log = Log(tmp_path)
    for number in range(60):
        log.add({"id": str(number), "x": "y" * 50})
    files = sorted(path for path in os.listdir(tmp_path) if path.startswith(NAME))
    assert len(files) == KEPT + 1
    assert all((tmp_path / name).stat().st_size <= 300 for name in files)
    assert next(iter(log.entries()))["id"] == "59" and log.find("0") is None
