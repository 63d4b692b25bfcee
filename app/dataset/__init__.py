"""Recordings of people as something to train on: the layout of a dataset, the importers that make
one of a folder of videos, of pairs or of Seamless Interaction, checks, pages to look at, splits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
