"""The command as a process of its own: signals, what is left behind, what it prints."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-c", "import sys; from app.cli.commands import main; sys.exit(main())"]
LONG_TEXT = "This takes long enough to be interrupted, because there is so much to say. " * 3


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def started_writing(out: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the video's temporary file is there."""
    deadline = time.monotonic() + 120
    while not list(out.parent.glob(f".{out.name}.*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.weights("denoiser", "motion_generator", "speech_encoder", "face_landmarker")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "visavis: interrupted; nothing was written\n"),
        (signal.SIGTERM, 143, ""),
        pytest.param(signal.SIGKILL, -9, "", marks=pytest.mark.endurance),
    ],
)
def test_an_end_in_the_middle(
    portrait: Path, tmp_path: Path, number: signal.Signals, code: int, said: str
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"what was there before")
    process = start(
        "render", "--portrait", portrait, "--text", LONG_TEXT, "--voice", "en-us", "--out", out
    )
    started_writing(out, process)
    process.send_signal(number)
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert stdout == "" and stderr.endswith(said)
    # Neither a traceback nor the chatter of libraries: only what we say.
    ours = ("note: ", "rendering: ", "visavis: ")
    assert all(line.startswith(ours) for line in stderr.splitlines()), stderr
    assert out.read_bytes() == b"what was there before"
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == [out]


def test_a_fault_of_ours_is_a_sentence(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom app.cli import commands\ncommands.run = lambda *_: 1 / 0\n"
        "sys.exit(commands.main())"
    )
    for debug, lines in (("", 1), ("1", 4)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "VISAVIS_DEBUG": debug},
        )
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.count("\n") >= lines
        assert done.stderr.startswith("visavis: this is a fault") == (not debug)


def test_a_closed_pipe_is_quiet() -> None:
    process = start("weights", "list")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom app.cli.commands import main\nassert main(['--help']) == 0\n"
        "heavy = {'torch', 'av', 'cv2', 'onnxruntime', 'gradio', 'diffusers'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
