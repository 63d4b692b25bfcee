"""Many clients at once, and everything that the OpenAPI schema says put to the test."""

import io
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from PIL import Image

from app.intake.limits import Limits
from motion2video.motion import Motion
from tests.app.serving import running, small_avatar, wait_ended

CLIENTS = 12
MEMORY_MB = 150
NOT_CHECKED = (
    # What values mean together (a voice without a text, a photo without a face) no schema can say.
    "positive_data_acceptance",
)


@pytest.mark.slow
def test_many_clients(portrait: Path, tmp_path: Path) -> None:
    """Each makes a video, follows it, reads it and forgets it, after a few who warm the server up.
    Nothing fails, the memory that it takes does not grow, and no file is left.
    """
    with Image.open(portrait) as image:
        photo = io.BytesIO()
        image.resize((256, 256)).save(photo, "JPEG")
    motion = Motion.neutral(2).save(tmp_path / "still.npz").read_bytes()
    limits = Limits(max_waiting=2 * CLIENTS)
    with running(small_avatar(), tmp_path / "data", limits) as served:

        def visit(number: int) -> float:
            started = time.monotonic()
            with served.http(**{"X-Visavis-Session": f"client-{number:04}"}) as client:
                files = {"portrait": photo.getvalue(), "motion": motion}
                created = client.post("/v1/videos", files=files, data={"size": "64"})
                assert created.status_code == 202, created.text
                identity = created.json()["id"]
                with client.stream("GET", f"/v1/videos/{identity}/events") as answer:
                    assert sum(len(data) for data in answer.iter_bytes()) > 0
                assert wait_ended(client, identity)["state"] == "succeeded"
                assert client.get(f"/v1/videos/{identity}/content").status_code == 200
                assert client.delete(f"/v1/videos/{identity}").status_code == 204
            return time.monotonic() - started

        with ThreadPoolExecutor(CLIENTS) as pool:
            first = list(pool.map(visit, range(CLIENTS // 3)))
            before = psutil.Process().memory_info().rss
            second = list(pool.map(visit, range(CLIENTS)))
            grown = (psutil.Process().memory_info().rss - before) / 1e6
        print(
            f"{len(first)} and {CLIENTS} clients: {max(first):.1f} s and {max(second):.1f} s for "
            f"the slowest, {grown:+.0f} MB in the second round"
        )
        assert grown < MEMORY_MB
        assert list(served.context.store.folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ("--phases", "examples,coverage", "--max-time", "20"),
        # Its fuzzer cannot make wrong files ("Unsupported type: 'Binary'"): only right ones here.
        (
            "--phases",
            "fuzzing,stateful",
            "--mode",
            "positive",
            "--max-examples",
            "5",
            "--max-time",
            "7",
        ),
    ],
    ids=["coverage", "fuzzing"],
)
def test_the_schema_is_kept(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Schemathesis: generated requests, good and bad, and runs of linked ones. No fault of the
    server, no answer that is not described, nothing taken that the schema forbids.
    """
    with running(small_avatar(), tmp_path / "data", Limits(max_waiting=200)) as served:
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "run"),
                *("--checks", "all", "--exclude-checks", ",".join(NOT_CHECKED)),
                *("--generation-deterministic", "--no-shrink", "--no-color", "--warnings", "off"),
                *("--request-timeout", "30", "--continue-on-failure"),
                *("--suppress-health-check", "all", *more),
                f"{served.url}/openapi.json",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    print(done.stdout[-700:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
