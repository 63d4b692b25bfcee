"""MediaPipe is kept quiet without being broken: for us and for whoever else uses it."""

import subprocess
import sys
from pathlib import Path

import pytest

from motion2video.faces.landmarker import _NOWHERE, _REPORTS_TO, _turn_reports_off
from weights.errors import DependencyError

ROOT = Path(__file__).parents[2]

# A program that uses our tracker first, and MediaPipe's drawing, which needs matplotlib, later.
SHARED = """
import sys
from motion2video.faces.landmarker import _load_mediapipe
_load_mediapipe()
assert "matplotlib" not in sys.modules, "a stand-in stays"
assert "sounddevice" not in sys.modules
from mediapipe.tasks.python.vision import drawing_utils
print(drawing_utils.plt.__name__, callable(drawing_utils.plt.figure))
assert sys.modules["matplotlib.pyplot"].figure is drawing_utils.plt.figure
"""


def test_an_address_that_is_not_in_memory_is_an_error_and_no_address_is_none(tmp_path: Path):
    library = tmp_path / "libother.so"
    library.write_bytes(b"\x7fELF" + _REPORTS_TO + b"\0")
    with pytest.raises(DependencyError, match="cannot be turned off"):
        _turn_reports_off(library)
    library.write_bytes(b"\x7fELF and nothing to report")
    _turn_reports_off(library)
    assert len(_NOWHERE) == len(_REPORTS_TO), "another length would overwrite what is next to it"


def test_whoever_draws_with_mediapipe_after_us_gets_the_real_matplotlib():
    done = subprocess.run(
        [sys.executable, "-c", SHARED], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "matplotlib.pyplot True", done.stderr
