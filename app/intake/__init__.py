"""What strangers give: what a file is by its content, how much may be asked, and decoding it in
confined processes, so that a file can cost no more than its own job. The limits of a server are
written here once, for every room above."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
