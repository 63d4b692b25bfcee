"""The route that says whether a video is ours."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from app.api.context import ServerContext
from app.api.problems import Problem, responses
from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.provenance.credentials import MOST_BYTES
from app.provenance.verdict import Judgement
from app.render.verifying import verify


class VerdictOut(BaseModel):
    """What is known of a video; `mark`, `credentials` and `record` say what it rests on."""

    verdict: Literal["untouched", "changed", "unknown"] = Field(
        description="Made here and untouched; made with Visavis and changed since; not known."
    )
    sentence: str
    mark: dict[str, Any] | None
    credentials: dict[str, Any] | None
    record: dict[str, Any] | None


def make_verify_router(context: ServerContext) -> APIRouter:
    """The route under /v1 that judges a file."""
    router = APIRouter(prefix="/v1", tags=["provenance"])

    @router.post(
        "/verify",
        response_model=VerdictOut,
        summary="Whether a video was made here, and is untouched",
        responses=responses(401, 413, 422, 429, 503, 507),
    )
    async def verify_file(
        request: Request,
        file: Annotated[UploadFile, File(description="A video or a picture.")],
        credentials: Annotated[
            UploadFile | None, File(description="Its .c2pa file, where it has one beside it.")
        ] = None,
    ) -> VerdictOut:
        owner = request.state.owner
        if owner is None:
            raise Problem(401, "give an API key: Authorization: Bearer KEY")
        beside = None if credentials is None else await credentials.read(MOST_BYTES + 1)
        if beside is not None and len(beside) > MOST_BYTES:
            raise Problem(413, f"credentials: at most {MOST_BYTES} bytes are taken")
        found = await run_in_threadpool(_judged, context, owner, file, beside)
        return VerdictOut(**found.to_json())

    return router


def _judged(
    context: ServerContext, owner: str, file: UploadFile, beside: bytes | None
) -> Judgement:
    """The file is in the store as long as it is looked at, like any other upload."""
    kept = context.store.add(owner, file.file, ("video", "picture"), "file")
    try:
        reader = SandboxReader(shared_sandbox())
        return verify(kept.path, context.config.provenance, reader, lambda _: None, beside)
    finally:
        context.store.remove(kept.id, owner)
