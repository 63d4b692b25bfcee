"""Requests and answers of the API as OpenAPI knows them, derived from MotionRequest and
RenderRequest: a field that is added there is a field here.
"""

import base64
import binascii
import io
import json
import types
import typing
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal, cast

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from app.api import recordings as of_turns
from app.api.json_bodies import JsonBody, JsonBounds, LongText, check_json, read_json
from app.api.problems import Problem, in_words
from app.api.settings import ServerConfig
from app.jobs.queue import Job
from app.jobs.record import file_fields, frozen
from app.jobs.store import Upload
from app.render.knobs import Setting, settings
from app.render.request import FILE_KINDS, SERVERS_OWN, MotionRequest, RenderRequest
from app.render.turns import MOST_PAUSE, Turn, Who
from audio2motion.gestures.text_limits import MAX_CHARACTERS, MAX_NAME, shown

_PLAIN = (bool, type(None))
_EXAMPLES = {
    "video": {"text": "Nice to meet you.", "emotion": "happiness", "size": 256, "seed": 3},
    "motion": {"text": "Nice to meet you.", "gestures": ["nod@0.4"], "seed": 3},
}

FileInput = tuple[str, Upload]
"""The field that an upload is for, and its content."""


@dataclass(frozen=True)
class Incoming:
    """A request as it came in: the `values` of its fields, its `files`, and `recordings` of turns
    by their names. Raises Problem where turns and recordings do not fit together.
    """

    values: dict[str, Any]
    files: list[FileInput]
    recordings: dict[str, Upload] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of_turns.require_told(self.values.get("turns") or (), self.recordings)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ProgressOut(BaseModel):
    """How far a job is: frames done and in all, of what is being done."""

    what: str
    done: int
    total: int


class JobOut(BaseModel):
    """A job. Times in seconds since 1970; `position` is how many jobs wait before it."""

    id: str
    kind: Literal["video", "motion"]
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    created: float
    started: float | None
    finished: float | None
    restarts: int = Field(description="How often the server was restarted while it worked on this.")
    position: int | None
    progress: ProgressOut
    eta_seconds: float | None
    notices: list[str]
    error: str | None
    result: dict[str, Any] | None
    content_url: str | None = Field(
        description="Where the result is, with a token: whoever has this address may read it."
    )

    @staticmethod
    def of(job: Job, content_url: str | None) -> "JobOut":
        """The job as its owner reads it."""
        return JobOut(
            id=job.id,
            kind=cast("Literal['video', 'motion']", job.kind),  # no errand has an address
            state=job.state,
            created=job.created,
            started=job.started,
            finished=job.finished,
            restarts=job.restarts,
            position=job.position,
            progress=ProgressOut(what=job.step.what, done=job.step.done, total=job.step.total),
            eta_seconds=job.step.eta_s if job.state == "running" else None,
            notices=list(job.notices),
            error=job.error,
            result=job.result,
            content_url=content_url if job.state == "succeeded" else None,
        )


@cache
def values_model(kind: str) -> type[BaseModel]:
    """The fields of a "video" or "motion" request that are no files."""
    return _model(kind, "Values", {})


@cache
def json_model(kind: str) -> type[BaseModel]:
    """A whole request as JSON: files are base64."""
    encoded: Any = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
    files: dict[str, Any] = {}
    required = {"portrait"}
    for name in upload_fields(kind):
        about = f"Content of a file, in base64: {' or '.join(FILE_KINDS[name])}."
        if name in required:
            files[name] = (encoded, Field(description=about))
        else:
            files[name] = (encoded | None, Field(None, description=about))
    about = f"{of_turns.ABOUT}: contents of files, in base64."
    most: dict[str, Any] = {"maxProperties": of_turns.MOST}
    told = Field(None, description=about, json_schema_extra=most)
    files[of_turns.FIELD] = (dict[str, encoded] | None, told)
    return _model(kind, "Request", files)


def upload_fields(kind: str) -> tuple[str, ...]:
    """The fields of a request that take a file from a visitor."""
    return tuple(name for name in file_fields(kind) if name not in SERVERS_OWN)


def _model(kind: str, name: str, more: dict[str, Any]) -> type[BaseModel]:
    cls = RenderRequest if kind == "video" else MotionRequest
    given: dict[str, Any] = {}
    for setting in settings(cls):
        if not (setting.is_file or setting.knob.servers_own):
            about = Field(setting.default, description=setting.help)
            given[setting.name] = (_json_type(setting.hint, setting), about)
    return create_model(
        f"{kind.title()}{name}",
        __base__=_Strict,
        __doc__=f"What a {kind} is made of; the fields are those of `visavis render`.",
        **given,
        **more,
    )


class TurnIn(_Strict):
    """A turn of a dialogue."""

    who: Who = Field(description="Who says it.")
    text: str | None = Field(None, description="The words.", max_length=MAX_CHARACTERS)
    audio: str | None = Field(
        None,
        description=f"Instead of a text, the name of one of the `{of_turns.FIELD}`.",
        max_length=MAX_NAME,
    )
    voice: str | None = Field(
        None, description="The voice, unless it is `voice`'s.", max_length=200
    )
    pause: float | None = Field(
        None, description="Seconds before it, unless it is `pause`'s.", ge=0, le=MOST_PAUSE
    )


_LONGEST = 10_000
_MOST_FIELDS = 64


def _json_type(hint: Any, setting: Setting) -> Any:
    """The part of a setting's type that JSON can hold; `types.NoneType` where there is none.

    Ranges and choices are only told: the request itself checks them, in words of its own.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    knob = setting.knob
    if hint is str:
        told: Any = {"enum": list(setting.choices)} if setting.choices else {}
        return Annotated[str, Field(max_length=min(knob.longest, _LONGEST), json_schema_extra=told)]
    if hint in (int, float):
        told = {"minimum": knob.low, "maximum": knob.high} if knob.low is not None else {}
        return Annotated[hint, Field(json_schema_extra=told)]
    if hint in _PLAIN or origin is Literal or origin is tuple:
        return hint
    if origin in (typing.Union, types.UnionType):
        kept = [_json_type(a, setting) for a in arguments]
        kept = [k for k, a in zip(kept, arguments, strict=True) if k is not type(None) or a is k]
        return typing.Union[tuple(kept)]  # pyrefly: ignore[invalid-annotation] # noqa: UP007 (made at run time)
    if origin is Sequence and Turn in typing.get_args(arguments[0]):
        line = Annotated[str, Field(max_length=_LONGEST)]
        # Told in full at its place: a form's parts have no definitions to refer to.
        told = {"anyOf": [{"type": "string", "maxLength": _LONGEST}, TurnIn.model_json_schema()]}
        return list[Annotated[line | TurnIn, WithJsonSchema(told)]]
    if origin is Sequence:
        return list[_json_type(arguments[0], setting)]  # pyrefly: ignore[invalid-annotation]
    if origin is Mapping:
        return dict[arguments[0], _json_type(arguments[1], setting)]  # pyrefly: ignore[invalid-annotation]
    return type(None)


def request_body(kind: str) -> dict[str, Any]:
    """OpenAPI's requestBody: multipart with files as parts, or JSON with files in base64."""
    values = values_model(kind).model_json_schema(ref_template="#/components/schemas/{model}")
    parts: dict[str, Any] = {n: {"type": "string", "format": "binary"} for n in upload_fields(kind)}
    several = {"type": "array", "items": {"type": "string", "format": "binary"}}
    about = f"{of_turns.ABOUT}: a part each, which has it as the name of its file."
    parts[of_turns.FIELD] = {**several, "maxItems": of_turns.MOST, "description": about}
    form = {
        "type": "object",
        "properties": {**values["properties"], **parts},
        "required": ["portrait"] if kind == "video" else [],
        "additionalProperties": False,
        "example": _EXAMPLES[kind],
    }
    example = {**_EXAMPLES[kind], **({"portrait": "/9j/4AAQSkZJRg..."} if kind == "video" else {})}
    schema = json_model(kind).model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": schema, "example": example},
            },
        }
    }


@asynccontextmanager
async def read_request(
    request: Request, kind: str, config: ServerConfig
) -> AsyncIterator[Incoming]:
    """A request from either form; its files go when the block ends. Raises Problem."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if content_type == "multipart/form-data":
            yield _checked(await _read_form(request, kind), config)
        elif content_type == "application/json":
            most = len(upload_fields(kind)) + of_turns.MOST
            with closing(JsonBody(JsonBounds(texts=most, within=of_turns.FIELD))) as body:
                given = await read_json(request.stream(), body)
                yield _checked(await run_in_threadpool(_read_json, given, kind), config)
        else:
            raise Problem(422, "wanted multipart/form-data or application/json")
    finally:
        await request.close()  # the temporary files of its form


def _checked(incoming: Incoming, config: ServerConfig) -> Incoming:
    _check_limits(incoming.values, config)
    return replace(incoming, values=_frozen(incoming.values))


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    return {name: frozen(value) for name, value in values.items()}


def _check_limits(values: dict[str, Any], config: ServerConfig) -> None:
    limits = config.limits
    for name in ("text", "ask", "persona"):
        if len(values.get(name) or "") > limits.max_text:
            raise Problem(413, f"{name} is longer than {limits.max_text} characters")
    if values.get("ask") is not None and config.endpoint is None:
        raise Problem(422, "ask: this server has no language model for visitors")
    if values.get("size", 0) > limits.max_size:
        raise Problem(413, f"size is larger than {limits.max_size}, the most that is made here")
    renderer = values.get("renderer") or RenderRequest.renderer
    if renderer not in limits.renderers:
        offered = " or ".join(limits.renderers)
        raise Problem(422, f"the renderer {renderer} is not offered here; wanted {offered}")


async def _read_form(request: Request, kind: str) -> Incoming:
    try:
        form = await request.form(
            max_files=len(upload_fields(kind)) + of_turns.MOST,
            max_fields=_MOST_FIELDS,
            max_part_size=JsonBounds().bytes,
        )
    except HTTPException as error:  # Starlette's own 400 is no answer of ours
        raise Problem(422, f"the form cannot be read: {error.detail}") from error
    texts: dict[str, str] = {}
    files: list[FileInput] = []
    recordings: dict[str, Upload] = {}
    for name, part in form.multi_items():
        if name in upload_fields(kind) or name == of_turns.FIELD:
            if not isinstance(part, UploadFile):
                raise Problem(422, f"{name}: wanted a file, not a text: no path and no address")
            if name == of_turns.FIELD:
                recordings[of_turns.named(part.filename, recordings)] = part.file
                continue
            if any(known == name for known, _ in files):
                raise Problem(422, f"{name} was given twice")
            files.append((name, part.file))
        elif isinstance(part, UploadFile):
            raise Problem(422, f"{name}: got a file where none belongs")
        elif name in texts:
            raise Problem(422, f"{name} was given twice; write a list as JSON")
        else:
            texts[name] = part
    return Incoming(await run_in_threadpool(_from_texts, texts, kind), files, recordings)


def _from_texts(texts: dict[str, str], kind: str) -> dict[str, Any]:
    given = {name: _from_text(text, name, kind) for name, text in texts.items()}
    return _validated(values_model(kind), given)


def _from_text(text: str, name: str, kind: str) -> Any:
    """A form's text as what its field takes: lists and objects are JSON, the rest stays text."""
    if text[:1] in ("[", "{") or text == "null":
        field = values_model(kind).model_fields.get(name)
        if field is not None and field.annotation is not str:
            check_json(text.encode("utf-8", "surrogatepass"))
            try:
                return json.loads(text)
            except ValueError as error:
                raise Problem(422, f"{name}: this is no JSON") from error
    return text


def _read_json(given: Any, kind: str) -> Incoming:
    """The values and files of an object whose long texts are decoded already."""
    files: list[FileInput] = []
    recordings: dict[str, Upload] = {}
    if isinstance(given, dict):
        for name, value in given.items():
            if isinstance(value, LongText):
                if name not in upload_fields(kind):
                    raise Problem(413, f"{name}: this text is too long")
                files.append((name, value.file))
        inside = given.get(of_turns.FIELD)
        for name, value in inside.items() if isinstance(inside, dict) else ():
            if isinstance(value, LongText):
                recordings[of_turns.named(name, recordings)] = value.file
        given = {name: _without_files(value) for name, value in given.items()}
    values = _validated(json_model(kind), given)
    known = [name for name, _ in files]
    for name in upload_fields(kind):
        encoded = values.pop(name, None)
        if encoded is not None and name not in known:
            files.append((name, io.BytesIO(decoded(encoded, name))))
    for name, encoded in (values.pop(of_turns.FIELD, None) or {}).items():
        if name not in recordings:
            said = f"{of_turns.FIELD}: {shown(name)}"
            recordings[of_turns.named(name, ())] = io.BytesIO(decoded(encoded, said))
    return Incoming(values, files, recordings)


def _without_files(value: Any) -> Any:
    if isinstance(value, LongText):
        return ""
    return {n: _without_files(v) for n, v in value.items()} if isinstance(value, dict) else value


def decoded(text: str, name: str) -> bytes:
    """Base64 -> bytes; raises Problem for anything else, such as an address."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(422, f"{name}: wanted base64; no path and no address") from error


def _validated(model: type[BaseModel], values: object) -> dict[str, Any]:
    try:
        made = model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        raise Problem(422, in_words(found)) from error
    return made.model_dump(exclude_unset=True)
