"""The bench of the renderer: a row has what a table of speeds needs, and its numbers make sense."""

import json

import numpy as np
import pytest

from app.render.demo import DEFAULT_PORTRAIT
from motion2video.motion import Motion, channel_index
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig
from scripts.benchmarks.render import measure, table


@pytest.mark.endurance
def test_a_row_of_the_bench() -> None:
    motion = Motion.neutral(6)
    motion.values[:, channel_index("jawOpen")] = np.linspace(0, 0.5, 6)
    portrait = Portrait.load(DEFAULT_PORTRAIT, size=200)
    row = measure(portrait, motion, RenderConfig("live"), ComputeConfig(device="cpu", threads=1))
    assert (row["device"], row["backend"], row["precision"]) == ("cpu", "onnxruntime", "int8")
    assert (row["size"], row["steps"], row["threads"], row["frames"]) == (200, 1, 1, 6)
    assert row["quality"] == "live"
    timed = ("fps", "warp_ms", "diffuse_ms", "paste_ms", "encode_ms", "network_ms", "eager_ms")
    assert all(row[name] > 0 for name in (*timed, "network_speed_up", "peak_memory_mb"))
    assert 0 < row["difference"] < 16, "what int8 may differ from eager by"
    assert json.loads(json.dumps(row)) == row
    header, line = table([row]).splitlines()
    assert "speed-up" in header and "onnxruntime" in line
