"""The service on Ray Serve: a small load test with tiny networks, on loopback."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.api.ray_serve import ServiceConfig, model_settings
from app.batch.work import AvatarSettings
from app.intake.limits import Limits
from motion2video.media.video import probe
from tests.app.batch.conftest import ROOT, make_rows
from tests.app.batch.tiny import FACTORY
from weights.errors import InputError


def test_a_models_name() -> None:
    base = AvatarSettings()
    assert model_settings(base, "default") == base
    made = model_settings(base, "steps=4,precision=fp32")
    assert (made.steps, made.precision, made.backend) == (4, "fp32", "auto")
    for wrong in ("steps=x", "precision=fp7", "colour=red"):
        with pytest.raises(InputError, match="in a model's name"):
            model_settings(base, wrong)


def test_settings_come_as_text_or_numbers() -> None:
    made = ServiceConfig.read({"most": "8", "gpus": 0.25})
    assert (made.most, made.gpus, made.least) == (8, 0.25, 1)
    assert made.limits == Limits()
    set_too = ServiceConfig.read(
        {"max_upload": "100", "max_seconds": 60, "expiry": "0.5", "max_size": "512"}
    ).limits
    assert (set_too.max_upload_bytes, set_too.max_request_bytes) == (100 * 10**6, 200 * 10**6)
    assert (set_too.max_seconds, set_too.expiry_s, set_too.max_size) == (60.0, 30.0, 512)
    for wrong, said in (
        ({"workers": 2}, "no setting"),
        ({"max_size": "0"}, "at least 1"),
        ({"many": 1}, "no setting"),
        ({"most": "x"}, "not a number"),
        ({"most": 0}, "replicas"),
    ):
        with pytest.raises(InputError, match=said):
            ServiceConfig.read(wrong)


SERVER = """
import sys
import ray
from ray import serve
from app.api.ray_serve import application
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
arguments = {"least": "2", "most": "2", "cpus": "0.5", "avatar": sys.argv[2], "api": sys.argv[3]}
serve.run(application(arguments))
print("ready", flush=True)
sys.stdin.readline()
serve.shutdown()
ray.shutdown()
"""


@pytest.fixture
def service(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The service in a process of its own; its address."""
    pytest.importorskip("ray.serve")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    words = [sys.executable, "-c", SERVER, str(port), FACTORY, "tests.app.batch.tiny:tiny_api"]
    with subprocess.Popen(
        words,
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line == "ready\n":
                break
        assert said[-1:] == ["ready\n"], "".join(said[-30:])
        yield f"http://127.0.0.1:{port}"
        process.stdin.write("end\n")
        process.stdin.close()
        process.wait(120)


@pytest.mark.endurance
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
def test_a_small_load(service: str, tiny: Path, tmp_path: Path) -> None:
    """Twelve requests at once through one gateway and two replicas: all are answered, each with
    its own video, by both replicas; bad input is the caller's.
    """
    make_rows(tmp_path, 12)
    (tmp_path / "motion11.npz").write_bytes(b"no motion")
    (tmp_path / "portrait.png").symlink_to(tiny / "portrait.png")

    def ask(number: int) -> tuple[int, bytes, str]:
        address = f"{service}/v1/draw?folder={tmp_path}&number={number}"
        try:
            with urllib.request.urlopen(address, timeout=300) as answer:
                return answer.status, answer.read(), answer.headers["X-Process"]
        except urllib.error.HTTPError as error:
            return error.code, error.read(), ""

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert [status for status, _, _ in answers] == [200] * 11 + [422]
    assert b"is not a motion file" in answers[11][1]
    assert len({data for _, data, _ in answers[:11]}) == 11
    assert len({process for _, _, process in answers[:11]}) == 2
    (tmp_path / "v.mp4").write_bytes(answers[3][1])
    assert probe(tmp_path / "v.mp4").frames == 3
