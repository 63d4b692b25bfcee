"""A language model that a server's visitors may ask: live, by the API and in the studio; the key
goes to the model alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import app.cli.app_command as app_command
import app.live.framing as framing
from app.cli.commands import main
from app.render.pipeline import Avatar
from app.studio.screens.form import GREETING
from audio2motion.voice.endpoint import ApiKey, Endpoint
from tests.app.api.test_live import Visitor, silence
from tests.app.serving import Served, running, small_avatar, wait_ended
from tests.app.studio.studio_server import QUIET
from tests.app.studio.studio_server import serve as serve_studio
from tests.audio2motion.voice.endpoint_server import CANARY, Server, serve

pytestmark = [pytest.mark.timeout(180), *QUIET]


@pytest.fixture(scope="module")
def small() -> Avatar:
    return small_avatar()


@pytest.fixture
def model() -> Iterator[Server]:
    """A language model that asks for a key and speaks itself."""
    with serve() as plan:
        yield plan


@pytest.fixture
def endpoint(model: Server) -> Endpoint:
    return model.endpoint(key=ApiKey(CANARY))


def asked_with_key(model: Server) -> str:
    """The last thing that the model was asked."""
    chats = [(body, key) for path, body, key in model.asked if path.endswith("completions")]
    assert chats[-1][1] == f"Bearer {CANARY}"
    return chats[-1][0]["messages"][-1]["content"]


def test_the_portrait_says_what_the_model_answers(
    small: Avatar, model: Server, endpoint: Endpoint, tmp_path: Path
):
    with running(small, tmp_path, endpoint=endpoint) as served, Visitor(served) as visit:
        visit.tell(type="ask", text="How was your day?")
        for count in range(1, 60):
            visit.send(silence(0.2))
            visit.hear("chunk", count)
            if visit.said[-1]["agent_speaks"]:
                break
        said = framing.to_samples(b"".join(p.data for p in visit.of(framing.AGENT)))
        visit.tell(type="end")
    assert np.abs(said).max() > 0.1
    assert asked_with_key(model) == "How was your day?"
    assert CANARY not in json.dumps([visit.ready, *visit.said])


@pytest.mark.slow
def test_the_model_is_told_what_was_said_before(small: Avatar, model: Server, tmp_path: Path):
    """In one conversation, and after the server was stopped and started again."""
    endpoint = model.endpoint(key=ApiKey(CANARY), speech_model=None)
    model.pieces = ["[smile] Fine."]
    with running(small, tmp_path, endpoint=endpoint) as served, Visitor(served) as visit:
        for question in ("How are you?", "And your dog?"):
            visit.tell(type="ask", text=question)
            let_it_answer(visit)
    with (
        running(small, tmp_path, endpoint=endpoint) as served,
        Visitor(served, type="resume", session=visit.ready["session"]) as again,
    ):
        again.tell(type="ask", text="Good dog!")
        let_it_answer(again)
        again.tell(type="end")
    chats = [body["messages"] for path, body, _ in model.asked if path.endswith("completions")]
    wanted = [("user", "How are you?"), ("assistant", "Fine."), ("user", "And your dog?")]
    wanted += [("assistant", "Fine."), ("user", "Good dog!")]
    for chat, turns in zip(chats, (wanted[:1], wanted[:3], wanted), strict=True):
        assert [(turn["role"], turn["content"]) for turn in chat[1:]] == turns


def let_it_answer(visit: Visitor) -> None:
    """Listen until the agent has spoken and is silent again."""
    spoke, before = False, sum(message["type"] == "chunk" for message in visit.said)
    for count in range(before + 1, before + 80):
        visit.send(silence(0.2))
        visit.hear("chunk", count)
        if spoke and not visit.said[-1]["agent_speaks"]:
            return
        spoke = spoke or visit.said[-1]["agent_speaks"]
    raise AssertionError("the agent did not answer, or did not end")


@pytest.mark.slow
def test_a_video_of_the_answer(small: Avatar, model: Server, tmp_path: Path):
    endpoint = model.endpoint(key=ApiKey(CANARY), speech_model=None)
    model.pieces = ["[nod] Rather fine,", " thank you."]
    with running(small, tmp_path, endpoint=endpoint) as served:
        job = ask_for_video(served, ask="How was your day?")
    assert job["state"] == "succeeded", job["error"]
    assert job["result"]["reply"]["text"] == "Rather fine, thank you."
    assert asked_with_key(model) == "How was your day?"
    assert CANARY not in json.dumps(job) and model.url not in json.dumps(job)


def ask_for_video(served: Served, **values: Any) -> dict[str, Any]:
    photo = Path(__file__).parents[3] / "app/assets/portraits/default.jpg"
    with served.http(**{"X-Visavis-Session": "visitor-ask-1"}) as client:
        sent = client.post(
            "/v1/videos", files={"portrait": photo.read_bytes()}, data={"size": "96", **values}
        )
        return wait_ended(client, sent.raise_for_status().json()["id"])


@pytest.mark.slow
def test_the_studio_offers_the_model(
    small: Avatar, model: Server, endpoint: Endpoint, tmp_path: Path
):
    model.pieces = ["It was ", "lovely, thank you."]
    with serve_studio(small, tmp_path, endpoint) as studio:
        assert "ANSWERS = true" in httpx.get(f"{studio.url}/live").text
        config = httpx.get(f"{studio.url}/studio/config", timeout=60).text
        assert '"elem_id":"prompt"' in config.replace(" ", "")
        assert CANARY not in config and model.url not in config
        assert reply(studio.url, "How was your day?") == "It was lovely, thank you."
        assert asked_with_key(model) == "How was your day?"
        assert model.count("speech") == 0, "only its words are wanted"
        with pytest.raises(Exception, match="ask the language model something"):
            reply(studio.url, " ")
        model.chat = "401"
        with pytest.raises(Exception, match="did not answer") as caught:
            reply(studio.url, "And now?")
        assert CANARY not in str(caught.value) and "127.0.0.1" not in str(caught.value)


def reply(url: str, prompt: str) -> str:
    """What the button on the page gets."""
    from gradio_client import Client

    client = Client(f"{url}/studio/", verbose=False)
    try:
        return client.predict(prompt=prompt, api_name="/reply")
    finally:
        client.close()


@pytest.mark.slow
def test_without_a_model_there_is_nothing_to_see(small: Avatar, tmp_path: Path):
    with serve_studio(small, tmp_path) as studio:
        assert "ANSWERS = false" in httpx.get(f"{studio.url}/live").text
        config = httpx.get(f"{studio.url}/studio/config", timeout=60).text
        assert GREETING in config
        assert '"run_history":false' in config.replace(" ", ""), "a browser keeps what was asked"
        assert '"elem_id":"prompt"' not in config.replace(" ", "")


@pytest.mark.parametrize("flags", [True, False])
def test_flags_or_environment_name_the_model(
    flags: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    started: list[Any] = []
    monkeypatch.setattr(
        app_command, "serve", lambda app, config, say: started.append((app, config))
    )
    for name in ("VISAVIS_SPEECH_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    words = ["app", "--no-studio", "--data-dir", str(tmp_path / "data")]
    if flags:
        (tmp_path / "key").write_text(CANARY)
        words += ["--llm-url", "http://localhost:9/v1", "--llm-model", "chat"]
        words += ["--llm-key-file", str(tmp_path / "key"), "--speech-model", "tts"]
    else:
        monkeypatch.setenv("VISAVIS_LLM_BASE_URL", "http://localhost:9/v1")
        monkeypatch.setenv("VISAVIS_LLM_MODEL", "chat")
        monkeypatch.setenv("VISAVIS_LLM_API_KEY", CANARY)
        words.append("--llm")
    assert main(words) == 0
    ((app, config),) = started
    app.state.context.database.close()
    assert config.endpoint.url("x") == "http://localhost:9/v1/x"
    assert config.endpoint.key.header() == f"Bearer {CANARY}"
    assert config.endpoint.speech_model == ("tts" if flags else None)
    assert CANARY not in repr(config)


def test_nobody_is_asked_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A model in the environment is not for visitors before its owner says so."""
    started: list[Any] = []
    monkeypatch.setattr(
        app_command, "serve", lambda app, config, say: started.append((app, config))
    )
    monkeypatch.setenv("VISAVIS_LLM_BASE_URL", "http://localhost:9/v1")
    monkeypatch.setenv("VISAVIS_LLM_MODEL", "chat")
    assert main(["app", "--no-studio", "--data-dir", str(tmp_path / "data")]) == 0
    ((app, config),) = started
    app.state.context.database.close()
    assert config.endpoint is None
