"""What is to be done when the server ends, in its order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from app.studio.gradio_files import at_end


def test_the_studio_closes_before_the_servers_parts_and_its_folders_go_after_them(tmp_path: Path):
    told: list[str] = []
    folder = tmp_path / "pages"
    folder.mkdir()

    @asynccontextmanager
    async def parts(app: FastAPI) -> AsyncIterator[None]:
        told.append("begun")
        yield
        told.append(f"parts ended, folder there: {folder.exists()}")

    app = FastAPI(lifespan=parts)
    at_end(app, lambda: told.append("studio closed"), folder)

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            told.append("served")

    asyncio.run(serve())
    assert told == ["begun", "served", "studio closed", "parts ended, folder there: True"]
    assert not folder.exists()
