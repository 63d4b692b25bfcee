"""What all routes of one server share."""

from dataclasses import dataclass, field

from app.api.settings import ServerConfig
from app.jobs.service import Service


@dataclass(frozen=True, eq=False, kw_only=True)
class ServerContext(Service):
    """The parts of a running server, and how it answers. `secret` signs addresses."""

    config: ServerConfig
    secret: bytes = field(repr=False)
