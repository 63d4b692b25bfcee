"""Errors as application/problem+json (RFC 9457): a sentence for the caller, nothing of ours."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from weights.errors import (
    BusyError,
    ConflictError,
    FullError,
    InputError,
    LimitError,
    NotFoundError,
    UnavailableError,
    VisavisError,
)

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    401: "An API key is needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Not in this state",
    413: "Too large",
    414: "Too long",
    416: "Range not satisfiable",
    421: "Misdirected request",
    422: "The input cannot be used",
    429: "Too busy",
    431: "Too long",
    500: "A fault of the server",
    503: "Not ready",
    507: "No room left",
}
_STATUS: tuple[tuple[type[VisavisError], int], ...] = (
    (NotFoundError, 404),
    (LimitError, 413),
    (ConflictError, 422),
    (BusyError, 429),
    (FullError, 507),
    (UnavailableError, 503),
    (InputError, 422),
)
_log = logging.getLogger("visavis.api")


class Problem(Exception):  # noqa: N818 (the RFC's own word)
    """An answer other than success: `status`, and a `detail` that the caller may read."""

    def __init__(self, status: int, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after

    @staticmethod
    def of(error: VisavisError) -> "Problem":
        """What a caller is told of an error: those that are no fault of theirs stay in the log."""
        for kind, status in _STATUS:
            if isinstance(error, kind):
                wait = (
                    error.retry_after if isinstance(error, BusyError | UnavailableError) else None
                )
                return Problem(status, str(error), wait)
        _log.error("%s: %s", type(error).__name__, error)
        return Problem(503, "the server cannot do this at the moment; its log says why")

    def body(self, request_id: str) -> dict[str, object]:
        """The members of the problem object."""
        return {
            "type": "about:blank",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }

    def response(self, request_id: str) -> JSONResponse:
        """The answer."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(request_id), self.status, headers, media_type=MEDIA_TYPE)


SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
    "example": Problem(404, "there is no such job").body("q1w2e3r4t5"),
}


def responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The problems that an operation may answer with, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {s: {"description": _TITLES[s], "content": content} for s in statuses}


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return error.response(_request_id(request))

    @app.exception_handler(VisavisError)
    async def ours(request: Request, error: VisavisError) -> Response:
        return Problem.of(error).response(_request_id(request))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return Problem(422, in_words(error.errors())).response(_request_id(request))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        answer = Problem(error.status_code, str(error.detail)).response(_request_id(request))
        answer.headers.update(error.headers or {})
        if error.status_code == 405:  # the router names the methods of the first route alone
            answer.headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return answer

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        _log.error("a fault in %s", request.url.path, exc_info=error)
        return Problem(500, "a fault of the server; its log says more").response(
            _request_id(request)
        )


def in_words(errors: object) -> str:
    """What pydantic found, without the values that were sent."""
    found = [
        f"{'.'.join(str(part) for part in error['loc'] if part != 'body') or 'the body'}: "
        f"{error['msg']}"
        for error in (errors if isinstance(errors, list | tuple) else [])
    ]
    return "; ".join(found[:5]) or "the request is not valid"


def _methods(app: FastAPI, request: Request) -> set[str]:
    """The methods that some route at the request's path has."""
    found: set[str] = set()
    for route in app.routes:
        if route.matches(request.scope)[0] != Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return found


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", "-"))
