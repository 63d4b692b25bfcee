"""The service on Ray Serve: a small load test with tiny networks, on loopback."""

import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.batch.work import AvatarSettings
from app.serve import ServiceConfig, application, model_settings
from motion2video.video import probe
from tests.app.batch.conftest import make_rows
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
    for wrong, said in (
        ({"many": 1}, "no setting"),
        ({"most": "x"}, "not a number"),
        ({"most": 0}, "replicas"),
    ):
        with pytest.raises(InputError, match=said):
            ServiceConfig.read(wrong)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
def test_a_small_load(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve requests at once through one gateway and two replicas: all are answered, each with
    its own video, by both replicas; bad input is the caller's.
    """
    ray = pytest.importorskip("ray")
    from ray import serve

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    make_rows(tmp_path, 12)
    (tmp_path / "motion11.npz").write_bytes(b"no motion")
    (tmp_path / "portrait.png").symlink_to(tiny / "portrait.png")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        arguments = {"least": 2, "most": 2, "cpus": 0.5, "avatar": FACTORY}
        arguments["api"] = "tests.app.batch.tiny:tiny_api"
        serve.run(application(arguments))

        def ask(number: int) -> tuple[int, bytes, str]:
            address = f"http://127.0.0.1:{port}/v1/draw?folder={tmp_path}&number={number}"
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
    finally:
        serve.shutdown()
        ray.shutdown()
