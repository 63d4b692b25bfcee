"""Running the server: `visavis app`."""

import contextlib
import faulthandler
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING

from app.api.memory import Trimmer, limit_heaps
from app.api.settings import ServerConfig
from weights.errors import DependencyError, InputError
from weights.installation import how_to_add

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI


STOP_WITHIN_S = 30.0
"""Who was told to stop and still has not ends all the same, and says where every thread hung; what
was being made begins again at the next start.
"""


def uvicorn_settings(app: "FastAPI", config: ServerConfig) -> "uvicorn.Config":
    """How uvicorn shall run the app. Raises DependencyError where it is not installed."""
    try:
        import uvicorn
    except ImportError as error:
        raise DependencyError(f"the server needs the extra `app`: {how_to_add('app')}") from error
    from app.api.connections import protocols

    over_http, over_socket = protocols(config)
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses of visitors and tokens in URLs are nobody's business
        server_header=False,
        http=over_http,
        proxy_headers=bool(config.proxies),
        forwarded_allow_ips=list(config.proxies),
        timeout_keep_alive=15,
        timeout_graceful_shutdown=1,
        ws=over_socket,
        ws_max_size=8 * 2**20,
        ws_ping_interval=20.0,
        ws_per_message_deflate=False,  # pictures are compressed already
    )


def listen(config: ServerConfig) -> socket.socket:
    """The place where visitors will arrive, taken before anything slow is done; the caller closes
    it. Raises InputError when another program has it, or it is none of this machine.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=256)
    except OSError as error:
        raise InputError(
            f"cannot listen on {config.host}, port {config.port}: {error.strerror} (--port takes "
            "another; 0 a free one)"
        ) from error


def address_of(listener: socket.socket) -> str:
    """The address of a server that listens there."""
    host, port = listener.getsockname()[:2]
    return (
        f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
    )


def serve(app: "FastAPI", config: ServerConfig, listener: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM; then running jobs are put back into the queue, and
    the process has STOP_WITHIN_S to end.
    """
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.context.closing.set()  # or streams that never end would be waited for
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # no file, or no stderr
                faulthandler.dump_traceback_later(STOP_WITHIN_S, exit=True, file=sys.stderr)
            super().handle_exit(sig, frame)

    limit_heaps()
    settings = uvicorn_settings(app, config)
    trimmer = Trimmer()
    try:
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once all is down
            Server(settings).run(sockets=[listener])
    finally:
        trimmer.close()
