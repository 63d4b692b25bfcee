"""Libraries that write to their makers when they are loaded: they are told not to, just before.

Loading is the moment that counts. ONNX Runtime asks for the address of a Microsoft host, and leaves
files in the temporary and the home folder, from within its import; its own
`disable_telemetry_events()` can only be called after that. OpenVINO sends an event to Google
Analytics from within its import, and leaves an identifier in the home folder.
"""

import importlib
import os
import sys
from types import ModuleType
from typing import Any

_OPENVINO_REPORTER = "openvino_telemetry"


def import_onnxruntime() -> ModuleType:
    """ONNX Runtime that sends nothing. Every import of it goes through here, also one that a
    library of somebody else's is about to make. Child processes inherit the setting.

    Raises ImportError where it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return importlib.import_module("onnxruntime")


def import_openvino() -> ModuleType:
    """OpenVINO that sends nothing: while it is imported, its reporter is not to be found, for
    which it has a stand-in. Its only switch is a file in the home folder.

    Raises ImportError where it is not installed.
    """
    before = {n: m for n, m in sys.modules.items() if n.split(".")[0] == _OPENVINO_REPORTER}
    hidden: dict[str, Any] = dict.fromkeys([*before, _OPENVINO_REPORTER])  # None: is not there
    sys.modules |= hidden
    try:
        return importlib.import_module("openvino")
    finally:
        sys.modules.pop(_OPENVINO_REPORTER)
        sys.modules |= before
