"""The parts of a running server that know no protocol: what its conversations and routes share."""

import threading
from dataclasses import dataclass, field

from app.intake.limits import Limits
from app.jobs.database import Database
from app.jobs.loader import Loader
from app.jobs.queue import JobQueue
from app.jobs.store import FileStore
from audio2motion.voice.endpoint import Endpoint


@dataclass(frozen=True, eq=False, kw_only=True)
class Service:
    """`endpoint` is a language model that visitors may ask; `closing` is set when the server
    stops.
    """

    limits: Limits
    endpoint: Endpoint | None
    database: Database
    store: FileStore
    loader: Loader
    queue: JobQueue
    closing: threading.Event = field(default_factory=threading.Event)
