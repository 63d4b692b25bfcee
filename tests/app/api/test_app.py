"""The API on loopback, by plain HTTP: jobs, files, events, and what is refused."""

import base64
import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app.intake.limits import Limits
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import probe
from motion2video.motion import Motion
from tests.app.serving import Served, running, small_avatar, wait_ended

PROBLEM = "application/problem+json"
SMALL = Limits(
    max_upload_bytes=2_000_000,
    max_request_bytes=4_000_000,
    quota_bytes=6_000_000,
    max_pixels=4_000_000,
    max_seconds=20.0,
    max_size=256,
    max_waiting=12,
    max_waiting_each=4,
)


@pytest.fixture(scope="module")
def small() -> Avatar:
    return small_avatar()


@pytest.fixture(scope="module")
def served(small: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(small, tmp_path_factory.mktemp("data"), SMALL) as it:
        yield it


def still(seconds: float, tmp_path: Path) -> bytes:
    """A motion file that does nothing: renders fast and needs no voice."""
    return Motion.neutral(round(seconds * 25)).save(tmp_path / "still.npz").read_bytes()


def refused(answer: httpx.Response, status: int, words: str = "") -> dict:
    """A problem as RFC 9457 wants it, that tells nothing of ours."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert body["status"] == status and body["request_id"] == answer.headers["x-request-id"]
    assert words in body["detail"]
    for secret in ("/tmp", "/home", "/work", "Traceback", ".py", "sqlite"):
        assert secret not in answer.text
    return body


def test_a_video_by_form(http: httpx.Client, photo: bytes, voice: Path, tmp_path: Path) -> None:
    files = {"portrait": ("../../etc/passwd", photo), "agent_audio": ("x.exe", voice.read_bytes())}
    data = {"size": "128", "emotion": "happiness", "gestures": '["nod@0.2"]', "seed": "3"}
    created = http.post("/v1/videos", files=files, data=data)
    assert created.status_code == 202, created.text
    job = created.json()
    assert created.headers["location"] == f"/v1/videos/{job['id']}"
    done = wait_ended(http, job["id"])
    assert done["state"] == "succeeded", done
    assert done["result"]["size"] == [128, 128] and done["result"]["seed"] == 3
    assert done["result"]["settings"]["emotion"] == "happiness"
    assert {"out", "notices"} & set(done["result"]) == set()
    assert "/" not in json.dumps(done["result"]["settings"])
    out = tmp_path / "out.mp4"
    out.write_bytes(http.get(f"/v1/videos/{job['id']}/content").content)
    info = probe(out)
    assert info.size == (128, 128) and info.audio_codec == "aac"
    assert info.frames == done["result"]["frames"]


def test_the_same_by_json(http: httpx.Client, photo: bytes, voice: Path, tmp_path: Path) -> None:
    body = {
        "portrait": base64.b64encode(photo).decode(),
        "agent_audio": base64.b64encode(voice.read_bytes()).decode(),
        "size": 128,
        "gestures": ["nod@0.2"],
        "gaze": [5, 0],
    }
    job = http.post("/v1/videos", json=body).json()
    assert wait_ended(http, job["id"])["state"] == "succeeded"


def test_range_requests(http: httpx.Client, photo: bytes, tmp_path: Path) -> None:
    files = {"portrait": photo, "motion": still(0.4, tmp_path)}
    job = http.post("/v1/videos", files=files, data={"size": "64"}).json()
    early = http.get(f"/v1/videos/{job['id']}/content")
    assert early.status_code in (200, 409)
    done = wait_ended(http, job["id"])
    url = f"/v1/videos/{job['id']}/content"
    whole = http.get(url)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    part = http.get(url, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    tail = http.get(url, headers={"Range": "bytes=-5"})
    assert tail.content == whole.content[-5:]
    assert http.get(url, headers={"Range": "bytes=99999999-"}).status_code == 416
    head = http.head(url)
    assert head.headers["content-length"] == str(len(whole.content)) and not head.content
    stale = {"Range": "bytes=0-3", "If-Range": '"other"'}
    assert http.get(url, headers=stale).status_code == 200
    # The address for players needs no header, but its token.
    bare = httpx.get(f"{http.base_url}{done['content_url']}")
    assert bare.content == whole.content
    assert httpx.get(f"{http.base_url}{url}").status_code == 404
    assert httpx.get(f"{http.base_url}{url}?token=0").status_code == 404


def test_a_video_has_the_type_of_its_format_and_its_subtitles(
    http: httpx.Client, photo: bytes, tmp_path: Path
) -> None:
    """A picture that is none is refused as a portrait would be."""
    data = {"size": "64", "background": "transparent", "quality": "draft"}
    files = {"portrait": photo, "motion": still(0.1, tmp_path)}
    clear = wait_ended(http, http.post("/v1/videos", files=files, data=data).json()["id"])
    assert clear["state"] == "succeeded", clear
    got = http.get(f"/v1/videos/{clear['id']}/content")
    assert got.headers["content-type"] == "video/webm" and got.content[:4] == b"\x1aE\xdf\xa3"
    refused(http.get(f"/v1/videos/{clear['id']}/subtitles"), 404, "without subtitles")
    data = {"text": "Good day.", "voice": "en-us", "size": "64", "quality": "draft"}
    data |= {"subtitles": "file", "format": "gif"}
    made = http.post("/v1/videos", files={"portrait": photo}, data=data).json()
    assert wait_ended(http, made["id"])["state"] == "succeeded"
    told = http.get(f"/v1/videos/{made['id']}/subtitles")
    assert told.headers["content-type"].startswith("text/vtt") and "\nGood day.\n" in told.text
    assert http.get(f"/v1/videos/{made['id']}/content").headers["content-type"] == "image/gif"
    files |= {"background_picture": b"#!/bin/sh"}
    refused(http.post("/v1/videos", files=files), 422, "background_picture")
    opaque = {"background": "transparent", "format": "mp4"}
    refused(http.post("/v1/videos", files={"portrait": photo}, data=opaque), 422, "take .webm")
    wrong = http.post("/v1/videos", files=files, data={"background": "/etc/passwd"})
    assert wrong.status_code == 422


@pytest.mark.slow
def test_events_tell_of_progress_and_end(http: httpx.Client, photo: bytes, tmp_path: Path) -> None:
    files = {"portrait": photo, "motion": still(4, tmp_path)}
    job = http.post("/v1/videos", files=files, data={"size": "256"}).json()
    seen = []
    with http.stream("GET", f"/v1/videos/{job['id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            assert line == "" or line.startswith(("event: job", "data: ", ":"))
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
    assert seen[-1]["state"] == "succeeded"
    done = [job["progress"]["done"] for job in seen if job["progress"]["what"] == "rendering"]
    assert done == sorted(done)
    refused(http.get(f"/v1/videos/{'x' * 22}/events"), 404)


def test_cancel_within_a_second(http: httpx.Client, photo: bytes, tmp_path: Path) -> None:
    files = {"portrait": photo, "motion": still(19, tmp_path)}
    job = http.post("/v1/videos", files=files, data={"size": "256"}).json()
    url = f"/v1/videos/{job['id']}"
    deadline = time.monotonic() + 60
    while http.get(url).json()["progress"]["what"] != "rendering":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    assert http.get("/healthz").status_code == 200
    answer = time.monotonic() - started  # how slow this machine is at the moment
    assert http.delete(url).status_code == 204
    assert time.monotonic() - started < 1 + 5 * answer
    assert http.get(url).json()["state"] == "cancelled"
    refused(http.get(f"{url}/content"), 409, "cancelled")
    # The thread is free again: the next job is done.
    next_files = {"portrait": photo, "motion": still(0.2, tmp_path)}
    after = http.post("/v1/videos", files=next_files, data={"size": "64"}).json()
    assert wait_ended(http, after["id"])["state"] == "succeeded"
    assert http.delete(f"/v1/videos/{after['id']}").status_code == 204
    refused(http.get(f"/v1/videos/{after['id']}"), 404)


def test_voices_are_listed(http: httpx.Client) -> None:
    listed = http.get("/v1/voices").json()
    assert [voice["name"] for voice in listed[:2]] == ["heart", "emma"]
    assert listed[0]["sex"] == "woman" and listed[0]["favourite"] and not listed[-1]["favourite"]


def test_idempotency(http: httpx.Client, photo: bytes, tmp_path: Path) -> None:
    files = {"portrait": photo, "motion": still(0.2, tmp_path)}
    key = {"Idempotency-Key": "order-66"}

    def create(size: str) -> httpx.Response:
        return http.post("/v1/videos", files=files, data={"size": size}, headers=key)

    first, again = create("64"), create("64")
    assert first.json()["id"] == again.json()["id"]
    refused(create("72"), 422, "another request")
    other = http.post(
        "/v1/videos",
        files=files,
        data={"size": "64"},
        headers={**key, "X-Visavis-Session": "somebody else"[:8]},
    )
    assert other.json()["id"] != first.json()["id"]
    refused(http.post("/v1/videos", files=files, headers={"Idempotency-Key": "a b"}), 422)


def test_a_motion(http: httpx.Client, voice: Path, speech: Waveform, tmp_path: Path) -> None:
    out = tmp_path / "m.npz"
    answer = http.post("/v1/motion", files={"agent_audio": voice.read_bytes()})
    assert answer.status_code == 200, answer.text
    out.write_bytes(answer.content)
    assert len(Motion.load(out)) == speech.frames
    refused(http.post("/v1/motion", json={}), 422, "nothing was given")
    silence = Waveform.silence(1.0).save(tmp_path / "s.wav").read_bytes()
    refused(http.post("/v1/motion", files={"agent_audio": silence}), 422, "is silent")


def test_two_visitors_do_not_see_each_other(served: Served, photo: bytes, tmp_path: Path) -> None:
    files = {"portrait": photo, "motion": still(0.2, tmp_path)}
    with (
        served.http(**{"X-Visavis-Session": "alice-0001"}) as alice,
        served.http(Cookie="visavis_session=bob-000001") as bob,
    ):
        job = alice.post("/v1/videos", files=files, data={"size": "64"}).json()["id"]
        wait_ended(alice, job)
        for path in ("", "/content", "/events"):
            refused(bob.get(f"/v1/videos/{job}{path}"), 404)
        refused(bob.delete(f"/v1/videos/{job}"), 404)
        assert alice.get(f"/v1/videos/{job}/content").status_code == 200


def test_a_fault_in_the_photo_is_told_without_paths(http: httpx.Client, voice: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((200, 200, 3), 128, np.uint8)).save(out, "PNG")
    files = {"portrait": out.getvalue(), "agent_audio": voice.read_bytes()}
    job = http.post("/v1/videos", files=files).json()
    done = wait_ended(http, job["id"])
    assert done["state"] == "failed" and "no face found" in done["error"]
    assert "/" not in done["error"]


def zip_bomb() -> bytes:
    """A motion file of a few hundred bytes whose array claims 400 million frames."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("format", "fps", "valid", "names", "values"):
            array = io.BytesIO()
            shape = (400_000_000, 90) if name == "values" else ()
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(array, header)
            archive.writestr(f"{name}.npy", array.getvalue() + bytes(4))
    return out.getvalue()


def huge_png() -> bytes:
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")
    return out.getvalue()


BAD_FILES = [
    ("portrait", b"", "empty"),
    ("portrait", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
    ("portrait", b"http://169.254.169.254/latest/meta-data", "no picture"),
    ("portrait", b"#EXTM3U\nhttp://127.0.0.1/x.ts\n", "no picture"),
    ("agent_audio", b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1/x.ts\n", "no sound"),
    ("agent_audio", b"ffconcat version 1.0\nfile /etc/passwd\n", "no sound"),
    ("agent_audio", b"\x00\x01\x02" * 1000, "cannot be used"),
    ("interlocutor_video", b"RIFF\x00\x00\x00\x00AVI \x00", "cannot be used"),
    ("driving_video", b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1/x.ts\n", "no video"),
    ("motion", b"PK\x03\x04" + b"\x00" * 100, "no motion file"),
    ("motion", zip_bomb(), "no motion file"),
    ("gesture_file", b"\xff\xfe\x00", "cannot be used"),
]


@pytest.mark.parametrize(("field", "content", "words"), BAD_FILES)
def test_files_are_judged_by_their_content(
    http: httpx.Client, served: Served, photo: bytes, field: str, content: bytes, words: str
) -> None:
    before = len(list(served.context.store.folder.iterdir()))
    files = {"portrait": ("me.jpg", photo, "image/jpeg")}
    files[field] = ("me.jpg", content, "image/jpeg")
    body = refused(http.post("/v1/videos", files=files, data={"text": "Hi"}), 422, field)
    assert words in body["detail"]
    assert len(list(served.context.store.folder.iterdir())) == before


def test_limits(http: httpx.Client, photo: bytes, tmp_path: Path) -> None:
    text = {"text": "Hi"}
    refused(http.post("/v1/videos", files={"portrait": huge_png()}, data=text), 413, "pixels")
    big = photo + bytes(2_100_000)
    refused(http.post("/v1/videos", files={"portrait": big}, data=text), 413, "2 MB")
    refused(http.post("/v1/videos", content=bytes(4_100_000)), 413)

    def endless() -> Iterator[bytes]:
        for _ in range(50):
            yield bytes(100_000)

    chunked = {"Content-Type": "application/json"}
    refused(http.post("/v1/videos", content=endless(), headers=chunked), 413)
    long = Waveform.silence(21.0).save(tmp_path / "long.wav").read_bytes()
    refused(http.post("/v1/motion", files={"agent_audio": long}), 413, "20 s")
    still_long = still(21, tmp_path)
    refused(http.post("/v1/videos", files={"portrait": photo, "motion": still_long}), 413, "20 s")
    refused(http.post("/v1/videos", json={"portrait": "", "text": "x" * 4001}), 413)
    refused(http.post("/v1/videos", files={"portrait": photo}, data={"size": "512"}), 413)


def test_one_visitor_may_not_fill_the_queue(
    http: httpx.Client, photo: bytes, tmp_path: Path
) -> None:
    files = {"portrait": photo, "motion": still(10, tmp_path)}
    answers = [http.post("/v1/videos", files=files, data={"size": "256"}) for _ in range(5)]
    assert [a.status_code for a in answers[:4]] == [202] * 4
    refused(answers[4], 429, "too many jobs")
    assert answers[4].headers["retry-after"].isdecimal()
    assert answers[3].json()["position"] >= 1
    for answer in answers[:4]:
        assert http.delete(f"/v1/videos/{answer.json()['id']}").status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"portrait": "/etc/passwd", "text": "x"}',
        b'{"portrait": "https://example.org/me.jpg", "text": "x"}',
        b'{"portrait": "", "text": "x"}',
        b'{"portrait": 1, "text": "x"}',
        b'{"text": "x", "path": "/etc/passwd"}',
        b'{"portrait": "aGk=", "text": "x", "fps": NaN}',
        b'{"portrait": "aGk=", "text": "x", "seed": 1e400}',
    ],
)
def test_bodies_that_are_refused(http: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    refused(http.post("/v1/videos", content=body, headers=headers), 422)


def test_no_path_and_no_address_in_a_form(http: httpx.Client, photo: bytes) -> None:
    for value in ("/etc/passwd", "http://127.0.0.1/", "file:///etc/passwd"):
        answer = http.post("/v1/videos", files={"portrait": photo}, data={"agent_audio": value})
        refused(answer, 422, "agent_audio")
    refused(http.post("/v1/videos", data={"portrait": "x"}), 422)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/videos/..%2f..%2fetc%2fpasswd",
        "/v1/videos/..%2f..%2f..%2fetc/content",
        "/v1/videos/%2e%2e/content",
        "/v1/videos/" + "a" * 22 + "/content",
        "/v1/live/..%2f..%2fx.mjpeg?token=1",
        "/v1/files/1",
    ],
)
def test_traversal(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    refused(answer, 422 if answer.status_code == 422 else 404)


def test_hosts_and_origins(http: httpx.Client) -> None:
    refused(http.get("/readyz", headers={"Host": "evil.example"}), 421)
    refused(http.get("/readyz", headers={"Origin": "https://evil.example"}), 403)
    port = http.base_url.port
    own = {"Origin": f"http://127.0.0.1:{port}"}
    assert http.get("/readyz", headers=own).status_code == 200
    assert "access-control-allow-origin" not in http.get("/readyz", headers=own).headers


def test_request_ids_and_metrics(http: httpx.Client) -> None:
    assert http.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == (
        "mine-1"
    )
    strange = http.get("/healthz", headers={"X-Request-ID": "a b\tc"}).headers["x-request-id"]
    assert len(strange) == 16
    text = http.get("/metrics").text
    assert 'visavis_requests_total{method="GET",route="/healthz",status="200"}' in text
    for name in ("visavis_jobs", "visavis_frames_total", "visavis_live_sessions"):
        assert f"\n{name}" in text


def test_openapi_has_examples_and_loads_nothing_from_elsewhere(http: httpx.Client) -> None:
    schema = http.get("/openapi.json").json()
    body = schema["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert body["application/json"]["example"] and body["multipart/form-data"]["schema"]["example"]
    assert {"gestures", "regions", "style_clip", "transcript"} <= set(
        body["multipart/form-data"]["schema"]["properties"]
    )
    page = http.get("/docs").text
    named = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page)
    assert len(named) == 4 and all(name.startswith("/") for name in named), named
    for name in named:
        assert http.get(name).status_code == 200, name
    refused(http.get("/docs/files/../app.py"), 404)
    refused(http.get("/redoc"), 404)


def test_what_may_be_chosen_is_listed_and_taken(http: httpx.Client) -> None:
    voices, emotions, portraits = (
        http.get(f"/v1/{kind}").json() for kind in ("voices", "emotions", "portraits")
    )
    assert {"name", "language", "favourite"} <= set(voices[0])
    calm, *_, last = emotions
    assert calm == {"name": "neutral", "valence": 0.0, "arousal": 0.0}
    assert portraits[0]["name"] == "default" and len(portraits) > 5
    picture = http.get(portraits[1]["content_url"])
    assert picture.headers["content-type"] == "image/jpeg"
    data = {"size": "64", "emotion": last["name"], "voice": voices[0]["name"], "text": "Hi."}
    made = http.post("/v1/videos", files={"portrait": picture.content}, data=data)
    assert made.status_code == 202, made.text
    for name in ("nobody", "default.jpg", "..", "%2e%2e%2fCREDIT.txt", "x" * 99):
        answer = http.get(f"/v1/portraits/{name}")
        refused(answer, 422 if len(name) > 64 else 404)


def test_everybody_lists_their_own_videos(
    http: httpx.Client, served: Served, photo: bytes, tmp_path: Path
) -> None:
    files = {"portrait": photo, "motion": still(0.1, tmp_path)}
    made = [http.post("/v1/videos", files=files, data={"size": "64"}).json() for _ in range(2)]
    for job in made:
        wait_ended(http, job["id"])
    listed = http.get("/v1/videos").json()
    assert [job["id"] for job in listed] == [job["id"] for job in reversed(made)]
    assert http.get(listed[0]["content_url"]).status_code == 200
    assert len(http.get("/v1/videos?limit=1").json()) == 1
    refused(http.get("/v1/videos?limit=0"), 422)
    with served.http(**{"X-Visavis-Session": "somebody-else"}) as other:
        assert other.get("/v1/videos").json() == []
    with served.http() as nobody:
        refused(nobody.get("/v1/videos"), 401, "X-Visavis-Session")


def test_keys_and_cors(small: Avatar, photo: bytes, tmp_path: Path) -> None:
    one, two = "k" * 20, "q" * 20
    origin = "https://app.example"
    files = {"portrait": photo, "motion": still(0.2, tmp_path)}
    with (
        running(small, tmp_path / "data", SMALL, (one, two), (origin,)) as served,
        served.http() as http,
    ):
        for path in ("/v1/videos/" + "a" * 22, "/metrics", "/v1/videos/" + "a" * 22 + "/content"):
            refused(http.get(path), 401)
        for wrong in ("k", "k" * 21, "é" * 20, one.upper()):
            headers = httpx.Headers({"Authorization": f"Bearer {wrong}"}, encoding="utf-8")
            refused(http.get("/metrics", headers=headers), 401)
        assert http.get("/healthz").status_code == 200
        assert http.get("/metrics", headers={"X-API-Key": one}).status_code == 200
        mine = {"Authorization": f"Bearer {one}"}
        job = http.post("/v1/videos", files=files, data={"size": "64"}, headers=mine).json()
        refused(http.get(f"/v1/videos/{job['id']}", headers={"X-API-Key": two}), 404)
        http.headers.update(mine)
        done = wait_ended(http, job["id"])
        assert httpx.get(served.url + done["content_url"]).status_code == 200
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        allowed = http.options("/v1/videos", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == origin
        answer = http.get("/healthz", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        asked["Origin"] = "https://evil.example"
        assert http.options("/v1/videos", headers=asked).status_code == 400
