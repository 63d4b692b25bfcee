"""A conversation: the visitor's sound goes in as it is recorded, the portrait comes out. Sessions
know no network; `rooms` keeps those of one server."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
