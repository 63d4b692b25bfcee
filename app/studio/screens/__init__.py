"""The studio's screens, one file a tab, and who may reach what of them. No other place knows
gradio.

from app.studio.screens import mount
mount(app, workshop)  # app: FastAPI
"""

from typing import TYPE_CHECKING

from app.studio.workshop import Workshop

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["PATH", "mount"]

PATH = "/studio"


def mount(app: "FastAPI", workshop: Workshop, live: str | None = None) -> None:
    """Put the studio at PATH of a FastAPI app, with `/` leading there.

    `live` is the path of the live WebSocket in the same app; None leaves the live tab empty.
    """
    import gradio as gr
    from fastapi.responses import FileResponse, RedirectResponse
    from starlette.routing import Mount

    from app.studio.screens import blocks
    from app.studio.screens import live as live_tab
    from app.studio.screens.gate import Gate

    answers = workshop.endpoint is not None
    page = live_tab.add_page(app, live, answers) if live is not None else None

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse(PATH)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(blocks.ICON, media_type="image/svg+xml")

    gr.mount_gradio_app(
        app,
        blocks.build(workshop, page),
        path=PATH,
        footer_links=["api", "settings"],
        show_error=True,
        max_file_size=workshop.limits.max_upload_bytes,
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        theme=blocks.theme(),
        css_paths=[blocks.STYLE],
        head="".join(f"<script>{script}</script>" for script in blocks.scripts()),
    )
    for route in app.routes:
        if isinstance(route, Mount) and route.path == PATH:
            route.app = Gate(route.app, workshop.files)
