"""Recordings of a dialogue's turns come along with a request, whatever brings it."""

import base64
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.client import Client
from audio2motion.hearing.audio import Waveform
from tests.app.api.test_app import refused
from tests.app.serving import Served, running, small_avatar, wait_ended


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(small_avatar(), tmp_path_factory.mktemp("data")) as it:
        yield it


def test_a_dialogue_has_recordings_by_form_by_json_and_by_the_client(
    http: httpx.Client, served: Served, photo: bytes, portrait: Path, voice: Path
) -> None:
    sound = voice.read_bytes()
    rows = [
        {"who": "interlocutor", "audio": "../asked.wav", "pause": 0.2},
        {"who": "agent", "text": "Fine.", "voice": "en-us"},
        {"who": "interlocutor", "audio": "../asked.wav", "pause": 0},
    ]
    form = {"turns": json.dumps(rows), "size": "64"}
    parts = [("portrait", ("x", photo)), ("recordings", ("../asked.wav", sound))]
    key = {"Idempotency-Key": "once"}
    job = http.post("/v1/videos", files=parts, data=form, headers=key).json()
    same = http.post("/v1/videos", files=parts, data=form, headers=key).json()
    assert same["id"] == job["id"]
    longer = [parts[0], ("recordings", ("../asked.wav", sound + b"0"))]
    refused(http.post("/v1/videos", files=longer, data=form, headers=key), 422, "another")
    done = wait_ended(http, job["id"])
    assert done["state"] == "succeeded", done
    assert done["result"]["seconds"] > 2 * Waveform.load(voice).seconds
    told = done["result"]["settings"]["turns"]
    assert [turn.get("audio") for turn in told] == ["a recording", None, "a recording"]
    encoded = {n: base64.b64encode(sound).decode() for n in ("../asked.wav",)}
    whole = {"portrait": base64.b64encode(photo).decode(), "turns": rows, "size": 64}
    again = http.post("/v1/videos", json=whole | {"recordings": encoded}).json()
    made = wait_ended(http, again["id"])
    assert made["result"]["seconds"] == done["result"]["seconds"]
    with Client(served.url) as client:
        own = [{**row, "audio": voice} if "audio" in row else row for row in rows]
        mine = client.create(portrait=portrait, turns=own, size=64)
        *_, last = client.follow(mine["id"])
    assert last["result"]["seconds"] == done["result"]["seconds"]


def test_recordings_and_turns_that_do_not_fit_are_told(http: httpx.Client, photo: bytes) -> None:
    silent = io.BytesIO()
    with wave.open(silent, "wb") as written:
        written.setparams((1, 2, 16_000, 0, "NONE", ""))
        written.writeframes(bytes(32_000))
    turns = {"turns": '[{"who": "agent", "audio": "a"}]'}

    def post(*recordings: tuple[str, bytes], data: dict[str, str] = turns) -> httpx.Response:
        parts = [("portrait", ("x", photo)), *(("recordings", file) for file in recordings)]
        return http.post("/v1/videos", files=parts, data=data)

    refused(post(), 422, "turn 1: its audio 'a' is none of the recordings")
    refused(post(("b", b"")), 422, "turn 1: its audio 'a' is none")
    refused(post(("a", b"."), ("b", b"")), 422, "no turn has the audio 'b'")
    refused(post(("a", b"."), ("a", b".")), 422, "given twice")
    refused(post(("a", b"."), data={"text": "Hi"}), 422, "no turn has the audio 'a'")
    refused(post(("a", b"no sound"), data=turns), 422, "turn 1: the recording cannot be used")
    many = [(f"{number}", b".") for number in range(120)]
    refused(post(*many), 422, "the form cannot be read: Too many files")
    job = post(("a", silent.getvalue())).json()
    failed = wait_ended(http, job["id"])
    assert failed["error"].startswith("turn 1: its recording is silent ("), failed["error"]
