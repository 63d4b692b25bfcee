"""Many videos for many people, on one machine, surviving restarts: a queue, its database, and the
files that people gave or get. Who asks, by which protocol, is the business of the rooms above."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
