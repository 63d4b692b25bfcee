"""gradio's own folder, which it makes when it is imported: in the server's data folder, and not for
longer than it runs. Visitors' files are never in it (see visitor_files.py)."""

import os
import shutil
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

_FOLDER = "GRADIO_TEMP_DIR"


def keep_gradio_in(folder: Path) -> None:
    """Let gradio write below `folder`, which is emptied. Call it before gradio is imported: parts
    of it look only then. Others that use this computer cannot read what is in there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ[_FOLDER] = str(folder)


def at_end(app: "FastAPI", close: Callable[[], None], *folders: Path) -> None:
    """Call `close` when the app shuts down, before its own parts do; then remove the folders."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: "FastAPI") -> AsyncIterator[Any]:
        try:
            async with inner(served) as state:
                try:
                    yield state
                finally:
                    await to_thread(close)
        finally:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)

    app.router.lifespan_context = lifespan
