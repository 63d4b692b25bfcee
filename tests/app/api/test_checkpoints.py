"""A video of a public checkpoint by the API's field `renderer`, where it is offered."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.intake.limits import Limits
from app.render.parts import Later
from motion2video.motion import Motion
from tests.app.render.test_reference import tiny_reference
from tests.app.serving import Served, running, small_avatar, wait_ended

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    avatar = replace(small_avatar(), references={"aniportrait": Later(tiny_reference)})
    limits = Limits(renderers=("embedded", "aniportrait"))
    with running(avatar, tmp_path_factory.mktemp("data"), limits) as it:
        yield it


def test_a_checkpoint_draws_by_the_api_where_it_is_offered(
    http: httpx.Client, photo: bytes, tmp_path: Path
) -> None:
    motion = Motion.neutral(6).save(tmp_path / "still.npz").read_bytes()
    files = {"portrait": ("p.jpg", photo), "motion": ("m.npz", motion)}
    refused = http.post(
        "/v1/videos", files=files, data={"renderer": "animate-anyone", "size": "128"}
    )
    assert refused.status_code == 422
    assert "not offered here; wanted embedded or aniportrait" in refused.json()["detail"]
    made = http.post("/v1/videos", files=files, data={"renderer": "aniportrait", "size": "128"})
    assert made.status_code == 202, made.text
    done = wait_ended(http, made.json()["id"])
    assert done["state"] == "succeeded", done
    settings = done["result"]["settings"]
    assert (settings["renderer"], settings["backend"]) == ("aniportrait", "diffusers")
    assert done["result"]["frames"] == 6 and done["result"]["report"] is not None
