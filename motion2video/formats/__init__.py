"""Motion in files of other programs: Live Link Face, BVH, glTF. `motion2video.exchange` picks one
by a file's ending."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
