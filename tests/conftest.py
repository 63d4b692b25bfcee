"""What all tests share: shape checking of our packages, few threads, and the skip marks.

jaxtyping's import hook makes beartype check every annotated signature of the four packages, so a
wrong shape fails at the call and not three calls later. Only tests pay for that.
"""

import os

# Before torch or ONNX Runtime is loaded: pytest-xdist already uses every core, and threads that
# spin while they wait for work take those cores from the other worker.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import importlib.util

import pytest
from jaxtyping import install_import_hook

PACKAGES = ["app", "audio2motion", "motion2video", "weights"]

install_import_hook(PACKAGES, "beartype.beartype")


def _missing_for(item: pytest.Item) -> str | None:
    """Why a marked test cannot run here, or None."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device"
    if item.get_closest_marker("browser") and importlib.util.find_spec("playwright") is None:
        return "playwright is not installed (extra `browser`)"
    for mark in item.iter_markers("weights"):
        from weights import locate

        for role in mark.args:
            if locate(role) is None:
                return f"the weights {role!r} are not on this machine"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason in the report."""
    for item in items:
        if reason := _missing_for(item):
            item.add_marker(pytest.mark.skip(reason=reason))
