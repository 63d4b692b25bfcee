"""What a server makes is marked and signed, and it says so of what it is given."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app.live.framing as framing
from app.provenance.detector import detect
from app.provenance.origin import Provenance
from app.provenance.record import Log
from motion2video.motion import Motion
from tests.app.api.test_live import Visitor, silence
from tests.app.provenance.making import CONSENT, SIDE, coded_again
from tests.app.serving import Served, running, small_avatar, wait_ended

pytest.importorskip("c2pa", reason="the extra `provenance` is not installed")
pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(small_avatar(), tmp_path_factory.mktemp("data")) as it:
        yield it


def test_the_server_marks_signs_and_verifies(
    served: Served, portrait: Path, tmp_path: Path
) -> None:
    still = Motion.neutral(10).save(tmp_path / "still.npz").read_bytes()
    photo = portrait.read_bytes()
    with served.http(**{"X-Visavis-Session": "visitor-provenance"}) as http:

        def create(form: str) -> tuple[dict, bytes]:
            files = {"portrait": ("p.jpg", photo), "motion": ("m.npz", still)}
            data = {"size": str(SIDE), "format": form, "consent": CONSENT}
            job = http.post("/v1/videos", files=files, data=data).json()
            told = wait_ended(http, job["id"])
            return told, http.get(f"/v1/videos/{job['id']}/content").content

        def asked(content: bytes, **more: tuple[str, bytes]) -> dict:
            files = {"file": ("a", content), **more}
            return http.post("/v1/verify", files=files).raise_for_status().json()

        told, content = create("mp4")
        identity = told["result"]["provenance"]["id"]
        found = asked(content)
        assert found["verdict"] == "untouched" and found["mark"]["payload"] == identity
        assert found["record"]["consent"] == CONSENT
        (tmp_path / "a.mp4").write_bytes(content)
        again = asked(coded_again(tmp_path / "a.mp4", tmp_path / "b.mp4").read_bytes())
        assert again["verdict"] == "changed" and again["mark"]["payload"] == identity
        told, content = create("webm")
        beside = http.get(f"/v1/videos/{told['id']}/credentials").raise_for_status().content
        found = asked(content, credentials=("a.c2pa", beside))
        assert found["verdict"] == "untouched" and found["credentials"]["state"] == "trusted"
        assert http.post("/v1/verify", files={"file": ("a", b"junk")}).status_code == 422


def test_pictures_of_a_conversation_have_its_mark(served: Served) -> None:
    with Visitor(served, size=SIDE) as visit:
        identity = visit.ready["provenance"]["id"]
        for _ in range(4):
            visit.send(silence(0.2))
        visit.hear("chunk", 4)
        visit.tell(type="end")
    pictures = [
        np.asarray(Image.open(io.BytesIO(packet.data)).convert("RGB"))
        for packet in visit.of(framing.JPEG)
    ]
    found = detect(pictures)
    assert found is not None and f"{found.payload:012x}" == identity
    entry = next(e for e in Log(Provenance().place).entries() if e["id"] == identity)
    assert entry["kind"] == "live" and set(entry["inputs"]) == {"portrait"}
