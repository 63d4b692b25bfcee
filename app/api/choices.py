"""The routes that list what a request may choose from: voices, emotions, example portraits."""

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from app.api.problems import Problem, responses
from app.render.demo import EXAMPLES
from audio2motion.gestures.emotion import EMOTIONS, VALENCE_AROUSAL
from audio2motion.voice.speakers import Listed, list_speakers

_PORTRAITS: dict[str, FilePath] = {path.stem: path for path in EXAMPLES}
_PICTURE = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}

Name = Annotated[str, Path(max_length=64, description="A name of the list.")]


class EmotionOut(BaseModel):
    """An emotion, and where it lies on the plane of valence and arousal, -1 to 1."""

    name: str = Field(description="What a request calls `emotion`.")
    valence: float
    arousal: float


class PortraitOut(BaseModel):
    """A photo that comes with the software."""

    name: str
    content_url: str = Field(description="The picture, a JPEG.")


def make_choices_router() -> APIRouter:
    """The routes under /v1 that list choices; they need no job and no Avatar."""
    router = APIRouter(prefix="/v1", tags=["choices"])

    @router.get("/voices", summary="The voices that say a text, favourites first")
    async def voices() -> list[Listed]:
        return list(await run_in_threadpool(list_speakers))

    @router.get("/emotions", summary="The emotions that a face may show")
    async def emotions() -> list[EmotionOut]:
        places = ((name, *VALENCE_AROUSAL[name]) for name in EMOTIONS)
        return [EmotionOut(name=name, valence=v, arousal=a) for name, v, a in places]

    @router.get("/portraits", summary="Photos to try it with")
    async def portraits() -> list[PortraitOut]:
        return [PortraitOut(name=n, content_url=f"/v1/portraits/{n}") for n in _PORTRAITS]

    @router.get(
        "/portraits/{name}",
        summary="One of these photos",
        response_class=FileResponse,
        responses={
            **responses(404, 422),
            200: {"description": "The picture.", "content": _PICTURE},
        },
    )
    async def portrait(name: Name) -> FileResponse:
        if name not in _PORTRAITS:
            raise Problem(404, "there is no such portrait")
        return FileResponse(_PORTRAITS[name], media_type="image/jpeg")

    return router
