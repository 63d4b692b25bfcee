"""One photo, made ready to be moved, once for all its frames. A matte takes it apart into layers,
and what the photo does not show is filled in: behind the person, and behind their lips."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
