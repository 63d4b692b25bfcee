"""Parts come when they are asked for, once; a verb asks for those it needs."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from app.render.parts import Later, may_come_later
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, RenderRequest
from weights.errors import DependencyError, InputError

ROOT = Path(__file__).parents[3]


@may_come_later("part")
@dataclass(frozen=True)
class Holder:
    part: str
    name: str = "holder"


def test_a_part_is_loaded_once_however_many_ask_at_once() -> None:
    loads: list[int] = []

    def load() -> str:
        loads.append(len(loads))
        time.sleep(0.05)
        return "part"

    holder = Holder(Later(load))  # pyrefly: ignore[bad-argument-type]
    assert loads == []
    found: list[str] = []
    asking = [threading.Thread(target=lambda: found.append(holder.part)) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert (found, loads) == (["part"] * 8, [0])
    assert replace(holder, name="other").part == "part"
    assert loads == [0]


def test_a_part_that_was_given_is_held_and_one_that_fails_is_tried_again() -> None:
    assert Holder("given").part == "given"
    answers = [OSError("not yet"), "there"]

    def load() -> str:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    holder = Holder(Later(load))  # pyrefly: ignore[bad-argument-type]
    with pytest.raises(OSError, match="not yet"):
        _ = holder.part
    assert holder.part == "there"


# Which of the files of weights a command opens, the hashing of them included.
OPENED = """
import sys
opened = set()

def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and "/weights/" in arguments[0]:
        opened.add(arguments[0].rpartition("/")[2])

sys.addaudithook(hook)
from app.cli import main
assert main(sys.argv[1:]) == 0
print(*sorted(name for name in opened if not name.endswith((".py", ".pyc", ".pyi", ".toml"))))
"""


@pytest.mark.slow
@pytest.mark.weights("speech_encoder", "motion_generator", "face_basis")
def test_motion_opens_no_weights_of_the_renderer(tmp_path: Path) -> None:
    words = ["motion", "--text", "Hi.", "--voice", "de", "--out", str(tmp_path / "m.npz")]
    done = subprocess.run(
        [sys.executable, "-c", OPENED, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    opened = done.stdout.splitlines()[-1].split()
    wanted = {"speech_encoder", "motion_generator", "face_basis"}  # the last has a smile's detail
    assert {name.partition(".")[0] for name in opened} == wanted


@pytest.mark.weights(
    "face_landmarker", "autoencoder", "denoiser", "speech_encoder", "motion_generator"
)
def test_each_verb_takes_a_request_or_its_fields(avatar: Avatar, portrait: Path) -> None:
    by_fields = avatar.motion(text="Hi.", seed=3)
    by_request = avatar.motion(MotionRequest(text="Hi.", seed=3))
    assert np.array_equal(by_fields.values, by_request.values)
    fields = {"portrait": portrait, "motion": by_fields[:2], "size": 64}
    one, two = list(avatar.frames(**fields)), list(avatar.frames(RenderRequest(**fields)))
    assert len(one) == 2
    assert np.array_equal(one, two)


def test_settings_that_cannot_be_used_are_told_before_anything_is_loaded() -> None:
    with pytest.raises(InputError, match="steps"):
        Avatar.load(device="cpu", steps=1000)
    with pytest.raises(DependencyError, match="device"):
        Avatar.load(device="abacus")
