"""The terminal: `visavis` and one file for each family of its commands. It turns words into
requests and results into lines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
