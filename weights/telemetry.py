"""Libraries that write to their makers when they are loaded: they are told not to, just before.

Loading is the moment that counts: ONNX Runtime asks for the address of a Microsoft host, and leaves
files in the temporary and the home folder, from within its import; its own
`disable_telemetry_events()` can only be called after that.
"""

import importlib
import os
from types import ModuleType


def import_onnxruntime() -> ModuleType:
    """ONNX Runtime that sends nothing. Every import of it goes through here, also one that a
    library of somebody else's is about to make. Child processes inherit the setting.

    Raises ImportError where it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return importlib.import_module("onnxruntime")
