"""What visitors of a live conversation may send as JSON: read, checked, or refused."""

import contextlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

import app.live.framing as framing
from app.api.json_bodies import JsonBody, JsonBounds, LongText, check_json
from app.api.problems import Problem
from app.api.schema import decoded
from app.live.config import LiveConfig
from app.render.knobs import by_name
from app.render.request import RenderRequest
from audio2motion.gestures.text_limits import MAX_NAME
from audio2motion.voice.speakers import QUICK_VOICE

_MOST_TEXT = 64 * 1024
"""Bytes of a message of JSON, but for the first, whose photo may be larger."""


def _setting(name: str, **changes: Any) -> Any:
    """A field with the default and the range that a video's request has, but for `changes`."""
    setting = by_name(RenderRequest)[name]
    known: dict[str, Any] = {
        "default": setting.default,
        "ge": setting.knob.low,
        "le": setting.knob.high,
    }
    return Field(**(known | changes))


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Start(_Message):
    """Begin a conversation. `portrait` is a photo in base64, the embedded one when missing."""

    type: Literal["start"]
    api_key: str | None = None
    portrait: str | None = None
    size: int = _setting("size", default=256, le=1024)
    video: framing.Video = "jpeg"
    seed: int = _setting("seed")
    emotion: str = _setting("emotion", max_length=MAX_NAME)
    expressivity: float = _setting("expressivity")
    barge_in: bool = LiveConfig.barge_in
    consent: str | None = _setting("consent", max_length=400)


class Resume(_Message):
    """Go on with a conversation that was left, with its id."""

    type: Literal["resume"]
    session: str = Field(pattern="^[A-Za-z0-9_-]{22}$")
    api_key: str | None = None
    video: framing.Video = "jpeg"


class Say(_Message):
    """Words for the agent to say, in one of `GET /v1/voices`."""

    type: Literal["say"]
    text: str = Field(min_length=1, max_length=4000)
    voice: str = Field(QUICK_VOICE, max_length=64)


class Ask(_Message):
    """The visitor's words; a language model answers them, where the server has one."""

    type: Literal["ask"]
    text: str = Field(min_length=1, max_length=4000)
    voice: str = Field(QUICK_VOICE, max_length=64)


class Stop(_Message):
    """The agent says nothing more of what is waiting."""

    type: Literal["stop"]


class End(_Message):
    """The conversation is over and shall not be kept."""

    type: Literal["end"]


class Size(_Message):
    """Go on in pictures of another size, as soon as the photo has been looked at again."""

    type: Literal["size"]
    size: int = _setting("size", default=..., le=1024)


class Offer(_Message):
    """Take sound and pictures over WebRTC, where `ready` has `webrtc`: the offer of a browser, with
    its candidates in it.
    """

    type: Literal["offer"]
    sdp: str = Field(min_length=1, max_length=32_000)


class HangUp(_Message):
    """Sound and pictures come over the WebSocket again: WebRTC does not get through any more."""

    type: Literal["hang_up"]


class _First(RootModel[Annotated[Start | Resume, Field(discriminator="type")]]):
    """What a conversation begins with."""


Later = Say | Ask | Stop | End | Size | Offer | HangUp


class _Later(RootModel[Annotated[Later, Field(discriminator="type")]]):
    """What may come afterwards."""


def beginning(text: str | None) -> tuple[Start | Resume, bytes | None]:
    """The first message, and the photo in it. In a thread: photos are large."""
    with contextlib.closing(JsonBody(JsonBounds(texts=1))) as body:
        body.feed((text or "").encode("utf-8", "surrogatepass"))
        given, photo = body.values(), None
        if isinstance(given, dict) and isinstance(given.get("portrait"), LongText):
            photo = given.pop("portrait").file.read()
        try:
            message = _First.model_validate(given).root
        except ValidationError as error:
            raise _not_understood(error) from error
    if isinstance(message, Start) and message.portrait is not None:
        photo = decoded(message.portrait, "portrait")
    return message, photo


def parsed(text: str | None) -> Later:
    data = (text or "").encode("utf-8", "surrogatepass")
    if len(data) > _MOST_TEXT:
        raise Problem(413, f"got a message of {len(data)} bytes; wanted at most {_MOST_TEXT}")
    check_json(data)
    try:
        return _Later.model_validate_json(data).root
    except ValidationError as error:
        raise _not_understood(error) from error


def _not_understood(error: ValidationError) -> Problem:
    found = error.errors(include_input=False, include_context=False, include_url=False)
    detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:3])
    return Problem(422, f"this message is not understood: {detail}")
