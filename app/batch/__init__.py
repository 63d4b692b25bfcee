"""Thousands of videos from a manifest, on this machine or a cluster: every row is done once, and a
batch that was killed goes on where it stopped. What became of each row is in a ledger, and a long
video is made in parts by several workers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
