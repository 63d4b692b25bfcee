"""Files of pictures and sound: opened safely, read and written as streams. PyAV and Pillow live
here."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
