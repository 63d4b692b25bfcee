"""Recordings of people as something to train on: the layout of a dataset, and the importers that
make one of a folder of videos, of pairs or of Seamless Interaction. Checks, pages to look at and
splits are here too."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
