"""What all routes of one server share."""

import threading
from dataclasses import dataclass, field

from app.database import Database
from app.jobs import JobQueue
from app.loader import Loader
from app.server import ServerConfig
from app.store import FileStore


@dataclass(frozen=True, eq=False)
class ServerContext:
    """The parts of a running server. `secret` signs addresses; `closing` is set when it stops."""

    config: ServerConfig
    database: Database
    store: FileStore
    loader: Loader
    queue: JobQueue
    secret: bytes = field(repr=False)
    closing: threading.Event = field(default_factory=threading.Event)
