"""The measurement that waits for a GPU runs: every row that a CPU can, on tiny networks, and with
nothing installed but PyTorch.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from scripts.benchmarks.carried import needed, pack
from scripts.benchmarks.reference import PACKAGES, ROWS, measure
from tests.motion2video.reference import tiny


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "half guided", "preview", "offload sequential"])
def test_a_row_is_measured(name: str) -> None:
    row = replace(next(row for row in ROWS if row.name == name), precision="fp32")
    found = measure(row, tiny.FAMILIES["aniportrait"], "cpu", 64, 2)
    assert found["seconds_per_frame"] > 0 and found["peak_gb"] > 0
    assert found["passes"] == {"half guided": 3}.get(name, 4)
    assert found["notices"] == []


def only_torch(folder: Path) -> Path:
    """Where PyTorch can be imported and what it needs itself, and nothing else."""
    folder.mkdir()
    for name in ["torch", *needed(["torch"], there="pip")]:
        for file in metadata.distribution(name).files or ():
            top = file.parts[0]
            if top != ".." and top != "__pycache__" and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_where_there_is_nothing_but_pytorch_it_runs_with_what_was_carried(tmp_path: Path) -> None:
    bare, wheels = only_torch(tmp_path / "bare"), tmp_path / "wheels"
    assert not (bare / "diffusers").exists() and not (bare / "numpy").exists()
    names = {path.name.partition("-")[0] for path in pack(needed(PACKAGES), wheels)}
    assert {"diffusers", "accelerate", "numpy"} <= names and "torch" not in names
    rows = ["base", "lcm", "preview", "offload model"]
    words = ["--wheels", wheels, "--tiny", "--device", "cpu", "--size", "64", "--steps", "1"]
    root = Path(__file__).parents[2]
    module = [sys.executable, "-S", "-m", "scripts.benchmarks.reference"]
    done = subprocess.run(
        [*module, *map(str, words), "--json", "--rows", *rows],
        cwd=root,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{root}{os.pathsep}{bare}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["row"] for row in found] == rows
    assert all(row.get("seconds_per_frame", 0) > 0 for row in found), found
