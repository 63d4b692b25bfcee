"""Faces in pictures: where they are, their 478 landmarks, what they express, whose they are. The
models behind it are other people's, but for the small identity network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
