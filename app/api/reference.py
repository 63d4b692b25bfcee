"""/docs: the API's reference, Swagger UI whose files come from a package and not another host."""

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

_FILES = "/docs/files"
_SHOWN = {"tryItOutEnabled": True, "displayRequestDuration": True, "filter": True}


def add_reference(app: FastAPI) -> None:
    """Serve the reference, which reads /openapi.json."""
    files = StaticFiles(packages=[("fastapi_swagger", "resources")])
    app.mount(_FILES, files, name="reference-files")

    @app.get("/docs", include_in_schema=False)
    async def reference(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        return get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title}: the API",
            swagger_js_url=f"{root}{_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{_FILES}/swagger-ui.css",
            swagger_favicon_url=f"{root}{_FILES}/favicon-32x32.png",
            swagger_ui_parameters=_SHOWN,
        )
