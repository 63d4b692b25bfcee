"""Programs: the HTTP API under /v1, its WebSocket, and what every request passes first. What it
asks for is done by the rooms below."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
