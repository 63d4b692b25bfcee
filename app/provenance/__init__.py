"""Where a video comes from: a mark in its pictures, signed credentials in its file, lines in a log.
The verdict on a video that somebody shows is put together from these three."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
