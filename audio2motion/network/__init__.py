"""The flow-matching network over Motion tokens, what it is conditioned on, and the generator that
samples it chunk by chunk. The state of its stream can be saved as bytes and go on elsewhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
