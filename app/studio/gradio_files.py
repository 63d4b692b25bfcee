"""Where gradio keeps what visitors upload: in the server's data folder, and not for longer than it
runs; by itself it leaves them in the system's temporary folder for ever."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

_FOLDER = "GRADIO_TEMP_DIR"


def keep_uploads_in(folder: Path) -> None:
    """Let gradio write below `folder`, which is emptied. Call it before gradio is imported: parts
    of it look only then. Others that use this computer cannot read what is in there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ[_FOLDER] = str(folder)


def remove_at_end(app: "FastAPI", *folders: Path) -> None:
    """Remove these folders once the app has shut down."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: "FastAPI") -> AsyncIterator[Any]:
        try:
            async with inner(served) as state:
                yield state
        finally:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)

    app.router.lifespan_context = lifespan
