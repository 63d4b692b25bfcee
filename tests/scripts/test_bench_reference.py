"""The measurement that waits for a GPU runs: every row that a CPU can, on tiny networks."""

from dataclasses import replace

import pytest

from scripts.benchmarks.reference import ROWS, measure
from tests.motion2video.reference import tiny


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "half guided", "preview", "offload sequential"])
def test_a_row_is_measured(name: str) -> None:
    row = replace(next(row for row in ROWS if row.name == name), precision="fp32")
    found = measure(row, tiny.FAMILIES["aniportrait"], "cpu", 64, 2)
    assert found["seconds_per_frame"] > 0 and found["peak_gb"] > 0
    assert found["passes"] == {"half guided": 3}.get(name, 4)
    assert found["notices"] == []
