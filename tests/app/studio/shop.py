"""A workshop with a queue of its own, without a server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.intake.limits import Limits
from app.jobs.database import Database
from app.jobs.loader import Loader
from app.jobs.queue import JobQueue
from app.jobs.store import FileStore
from app.render.pipeline import Avatar
from app.studio.workshop import Workshop


def no_avatar() -> Avatar:
    raise AssertionError("the networks were not to be needed")


@contextmanager
def open_shop(
    folder: Path, load: Callable[[], Avatar] = no_avatar, limits: Limits | None = None
) -> Iterator[Workshop]:
    """Its queue is at work; closed at the end."""
    limits = limits or Limits()
    database = Database(folder / "server")
    queue = JobQueue(database, FileStore(database, limits), Loader(load).get, limits)
    queue.start()
    shop = Workshop(queue)
    try:
        yield shop
    finally:
        shop.close()
        left = list(queue.store.folder.iterdir())
        queue.close()
        database.close()
    assert left == []
