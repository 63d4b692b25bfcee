from .app import create_app as create_app
from .context import ServerContext as ServerContext
from .run import ServerConfig as ServerConfig
from .run import serve as serve

__all__ = ["ServerConfig", "ServerContext", "create_app", "serve"]
