"""What a video takes and gives, and making one: a request, both voices, and the Avatar where both
sciences meet. It knows nothing of servers, queues or screens."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
