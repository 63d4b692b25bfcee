"""MediaPipe's Face Landmarker on an array: 478 points in pixels and 52 expression scores.

The only place that knows MediaPipe. It is loaded in the constructor, never at import, and sends
nothing to its makers.
"""

import ctypes
import importlib
import logging
import mmap
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion2video.motion import EXPRESSION_NAMES
from weights.errors import DependencyError

LANDMARKS = 478

# Between two frames of a video. MediaPipe smooths by time stamps: with true ones it damps the lip
# aperture to 85% and delays it by 0.4 frame; this far apart it leaves the landmarks alone.
_STEP_MS = 1_000_000
_STDERR = 2
_stderr_lock = threading.Lock()
_log = logging.getLogger("visavis.faces")

# MediaPipe's library reports every use to this address and has no switch for it. The copy in
# memory gets another of the same length, whose scheme its HTTP client does not know: it gives up
# before it asks for an address, and opens no socket.
_REPORTS_TO = b"https://play.googleapis.com/log"
_NOWHERE = b"nowhere:///reports-stay-at-home"

Mesh = tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "52"]]
"""Landmarks in pixels of the picture, and expression scores."""


class Landmarker:
    """One MediaPipe graph. `video` follows faces from picture to picture (it keeps a state:
    one Landmarker a video, pictures in order); otherwise every picture stands alone.
    """

    def __init__(self, model: Path, faces: int, video: bool) -> None:
        with _quiet_stderr():
            mediapipe = _load_mediapipe()
            from mediapipe.tasks.python import BaseOptions, vision

            self._make_image = lambda array: mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=array
            )
            mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model)),
                running_mode=mode,
                num_faces=faces,
                output_face_blendshapes=True,
            )
            self._graph = vision.FaceLandmarker.create_from_options(options)
            self._close = weakref.finalize(self, _close, self._graph)
            self._video = video
            self._time_ms = 0
            self(np.zeros((64, 64, 3), np.uint8))  # what is built lazily also logs

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Mesh]:
        """The faces of one picture, in MediaPipe's order."""
        picture = self._make_image(np.ascontiguousarray(image))
        if self._video:
            result = self._graph.detect_for_video(picture, self._time_ms)
            self._time_ms += _STEP_MS
        else:
            result = self._graph.detect(picture)
        height, width = image.shape[:2]
        scale = np.array([width, height, width], np.float32)
        meshes: list[Mesh] = []
        for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(p.x, p.y, p.z) for p in points], np.float32) * scale
            by_name = {score.category_name: score.score for score in scores}
            expression = np.array([by_name[name] for name in EXPRESSION_NAMES], np.float32)
            meshes.append((landmarks, expression))
        return meshes

    def close(self) -> None:
        """Free the graph and its threads; also done when the object or the program ends."""
        self._close()


def _load_mediapipe() -> Any:
    """The package, which reports nothing from here on. Called under `_stderr_lock`.

    It imports matplotlib and sounddevice for what is not used here; they cost two seconds, run a
    compiler to find PortAudio, and write a list of fonts into the user's home.
    """
    if "mediapipe" not in sys.modules:
        aside = _Aside("matplotlib.pyplot")
        names: dict[str, Any] = {"sounddevice": None}  # MediaPipe takes it for not installed
        if "matplotlib" not in sys.modules:
            names |= {"matplotlib": ModuleType("matplotlib"), "matplotlib.pyplot": aside}
            names["matplotlib"].pyplot = aside
        names = {name: module for name, module in names.items() if name not in sys.modules}
        sys.modules.update(names)
        try:
            importlib.import_module("mediapipe")
        finally:
            for name in names:
                sys.modules.pop(name, None)
    bindings = importlib.import_module("mediapipe.tasks.python.core.mediapipe_c_bindings")
    _turn_reports_off(Path(bindings.load_raw_library()._name))
    return sys.modules["mediapipe"]


class _Aside(ModuleType):
    """Stands for a module that is imported when somebody uses it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def _turn_reports_off(library: Path) -> None:
    """Overwrite the address of reports in the loaded library. Doing so again changes nothing.

    Raises DependencyError where the library has it elsewhere than in its constants: then it cannot
    be kept from reporting.
    """
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        offset = content.find(_REPORTS_TO)
    if offset < 0:  # a build that reports nothing, or to an address that the tests would find
        return
    maps, loaded = Path("/proc/self/maps"), os.path.realpath(library)
    if not maps.exists():
        _log.warning("MediaPipe may report to its makers: they can be kept out on Linux only")
        return
    for line in maps.read_text().splitlines():
        words = line.split(maxsplit=5)
        if len(words) < 6 or words[5] != loaded or words[1] not in ("r--p", "r-xp"):
            continue
        start, end = (int(word, 16) for word in words[0].split("-"))
        address = start + offset - int(words[2], 16)
        if start <= address < end - len(_REPORTS_TO):
            _overwrite(address, executable="x" in words[1])
            return
    raise DependencyError(
        f"got a MediaPipe whose reports to its makers cannot be turned off ({library}); wanted one "
        "that has their address in its constants, such as mediapipe 1.2.3"
    )


def _overwrite(address: int, executable: bool) -> None:
    """Put _NOWHERE where _REPORTS_TO is, in pages that are read-only before and after."""
    if ctypes.string_at(address, len(_NOWHERE)) == _NOWHERE:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    first = address - address % mmap.PAGESIZE
    size = ctypes.c_size_t(address + len(_NOWHERE) - first)
    runs = mmap.PROT_EXEC if executable else 0
    for writes in (mmap.PROT_WRITE, 0):
        if libc.mprotect(ctypes.c_void_p(first), size, mmap.PROT_READ | runs | writes) != 0:
            raise DependencyError(
                "MediaPipe's reports to its makers cannot be turned off: this system lets no "
                f"program change its own memory ({os.strerror(ctypes.get_errno())})"
            )
        if writes:
            ctypes.memmove(address, _NOWHERE, len(_NOWHERE))


def _close(graph: Any) -> None:
    """Close a MediaPipe graph, or forget it at the end of the program: then the thread pool that
    MediaPipe closes it with has already stopped, and its __del__ would print a traceback."""
    try:
        graph.close()
    except RuntimeError:
        graph._handle = None


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """MediaPipe's C++ logs to file descriptor 2 whatever Python or the environment says; send
    that nowhere for the moment. Python exceptions are raised as usual. One thread at a time: two
    that saved and restored the descriptor in turns would lose it."""
    with _stderr_lock:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            saved = os.dup(_STDERR)
        except OSError:  # no standard error at all, as in a daemon: nothing to silence
            yield
            return
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), _STDERR)
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
