"""What is installed, and can a video be made here? Each obstacle comes with its remedy."""

import itertools
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from app.cli.inventory import all_weights
from weights.errors import VisavisError
from weights.telemetry import import_onnxruntime

_EXTRAS = {
    "insightface": "the second detector and identity check",
    "openvino": "faster rendering on Intel CPUs",
    "xformers": "leaner attention on CUDA",
    "transformers": "speech features of Whisper or HuBERT",
    "diffusers": "the reference renderer",
    "ray": "batches over several machines",
    "gradio": "the browser app",
}
_PACKAGES = ("torch", "onnxruntime", "av", "silero-vad", "espeakng-loader", "soxr")
_PYTHON = ((3, 11), (3, 14))


@dataclass(frozen=True)
class Finding:
    """One line of the report. `needed` is False for what the main path can do without."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True

    def __str__(self) -> str:
        mark = "ok  " if self.ok else ("FAIL" if self.needed else "-   ")
        return f"{mark}  {self.name:<30}{self.detail}"


@dataclass(frozen=True)
class Report:
    """All findings; `healthy` when nothing that is needed is wrong."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether the main path, photo and voices to a video, can run."""
        return not self.obstacles

    @property
    def obstacles(self) -> tuple[Finding, ...]:
        """What keeps the main path from running."""
        return tuple(f for f in self.findings if f.needed and not f.ok)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"healthy": self.healthy, "findings": [vars(f) for f in self.findings]}

    def __str__(self) -> str:
        lines = [str(f) for f in self.findings]
        lines += [f"remedy for {f.name}: {f.remedy}" for f in self.obstacles]
        lines.append("A video can be made." if self.healthy else "A video cannot be made yet.")
        return "\n".join(lines)


def diagnose(quick: bool = False) -> Report:
    """Look at everything; `quick` skips rendering a few frames."""
    findings = [_python(), *_packages(), _opencv(), *_devices()]
    findings += [
        _encoders(),
        _speech(),
        _natural_voices(),
        _voice_activity(),
        _decoders(),
        *_weights(),
    ]
    findings += [_extra(name, what) for name, what in _EXTRAS.items()]
    if not quick and Report(tuple(findings)).healthy:
        findings.append(_self_check())
    return Report(tuple(findings))


def _python() -> Finding:
    low, high = _PYTHON
    ok = low <= sys.version_info[:2] < high
    wanted = f"install Python {low[0]}.{low[1]} to {high[0]}.{high[1] - 1} and set up again"
    return Finding("python", ok, f"{platform.python_version()} on {platform.platform()}", wanted)


def _packages() -> list[Finding]:
    return [_package(name) for name in _PACKAGES]


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        remedy = f"install it with `pip install {name}`, or run scripts/demo, which installs all"
        return Finding(name, False, "not installed", remedy)


def _opencv() -> Finding:
    """Builds of OpenCV: insightface and others ask for another one, and all write one folder; only
    the headless one works without the libraries of X.
    """
    wanted = "opencv-python-headless"
    found = {d.name: d.version for d in metadata.distributions() if d.name.startswith("opencv")}
    if list(found) == [wanted]:
        return Finding("opencv", True, f"{wanted} {found[wanted]}")
    others = " ".join(sorted(found.keys() - {wanted}))
    version = f"=={found[wanted]}" if wanted in found else ""
    mend = f"pip install --force-reinstall --no-deps {wanted}{version}"
    mend = f"pip uninstall -y {others} && {mend}" if others else mend
    built = ", ".join(f"{name} {version}" for name, version in sorted(found.items())) or "none"
    return Finding("opencv", False, f"{built}; wanted {wanted} alone", f"`{mend}`")


def _devices() -> list[Finding]:
    """Devices and what computes on them."""
    if util.find_spec("torch") is None:
        return []
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        gpu = Finding("GPU", True, f"{', '.join(names)} (CUDA {torch.version.cuda})", needed=False)
    else:
        detail = f"none that torch sees (CUDA build: {torch.version.cuda or 'no'}); the CPU is used"
        gpu = Finding("GPU", False, detail, needed=False)
    cpu = Finding("CPU", True, f"{torch.get_num_threads()} threads of {platform.machine()}")
    backends = ["PyTorch"]
    if util.find_spec("onnxruntime") is not None:
        onnxruntime = import_onnxruntime()
        backends += [f"ONNX Runtime {p}" for p in onnxruntime.get_available_providers()]
    return [cpu, gpu, Finding("backends", True, ", ".join(backends))]


def _encoders() -> Finding:
    """H.264 and AAC: a second of each, in memory."""
    from motion2video.media.video import VideoWriter, probe

    remedy = "reinstall PyAV from its wheel: pip install --force-reinstall --only-binary :all: av"
    with tempfile.TemporaryDirectory(prefix="visavis-") as folder:
        path = Path(folder) / "check.mp4"
        try:
            with VideoWriter(path, (64, 64), audio=np.zeros(640, np.float32)) as writer:
                writer.write(np.zeros((1, 64, 64, 3), np.uint8))
            info = probe(path)
        except (ImportError, VisavisError) as error:
            return Finding("video and sound encoders", False, str(error), remedy)
    return Finding("video and sound encoders", True, f"{info.video_codec}, {info.audio_codec}")


def _speech() -> Finding:
    from audio2motion.voice.synthesis import list_voices

    try:
        return Finding("espeak-ng", True, f"{len(list_voices())} voices")
    except VisavisError as error:
        return Finding(
            "espeak-ng", False, str(error), "pip install --force-reinstall espeakng-loader"
        )


def _natural_voices() -> Finding:
    from audio2motion.voice.natural import NATURAL, installed
    from weights.installation import how_to_add

    missing = [voice.name for voice in NATURAL.values() if not installed(voice)]
    if not missing:
        return Finding("natural voices", True, ", ".join(NATURAL))
    detail = f"not installed: {', '.join(missing)}; espeak-ng speaks instead"
    return Finding("natural voices", False, detail, how_to_add("voices"), needed=False)


def _voice_activity() -> Finding:
    from audio2motion.hearing.audio import Waveform

    try:
        found = Waveform.silence(1.0).has_speech
    except (ImportError, VisavisError) as error:
        return Finding(
            "voice activity", False, str(error), "pip install --force-reinstall silero-vad"
        )
    return Finding("voice activity", not found, "silence is found silent")


def _decoders() -> Finding:
    """How far a server can shut in what decodes strangers' files; only a server needs it."""
    name = "confined decoders"
    try:
        from app.intake.sandbox import Sandbox
    except ImportError as error:  # a system without fork and limits
        return Finding(name, False, f"not on this system ({error}); no server runs here", "", False)
    sandbox = Sandbox()
    try:
        found = sandbox.confinement()
    except VisavisError as error:
        return Finding(name, False, f"{error}; a server cannot run here", "", False)
    finally:
        sandbox.close()
    return Finding(name, found.system_calls and found.files, str(found), needed=False)


def _weights() -> list[Finding]:
    return [
        Finding(
            name=f"weights {w.role}",
            ok=w.right,
            detail=f"{w.status}, {w.size / 1e6:.1f} MB, {w.path or 'nowhere'}",
            remedy=w.problem,
            needed=not w.optional,
        )
        for w in all_weights()
    ]


def _extra(name: str, what: str) -> Finding:
    try:
        return Finding(name, True, f"{metadata.version(name)} (optional: {what})", needed=False)
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed (optional: {what})", needed=False)


def _self_check() -> Finding:
    """Five frames of the embedded photo, all the way, without a file."""
    from app.render.demo import DEFAULT_PORTRAIT
    from app.render.pipeline import Avatar

    started = time.perf_counter()
    try:
        frames = Avatar.load().frames(portrait=DEFAULT_PORTRAIT, text="Hello", size=256)
        height, width = next(frames).shape[:2]
        count = 1 + sum(1 for _ in itertools.islice(frames, 4))
    except VisavisError as error:
        return Finding("self check", False, f"{type(error).__name__}: {error}", "see the message")
    seconds = time.perf_counter() - started
    return Finding("self check", True, f"{count} frames of {width} x {height} in {seconds:.1f} s")
