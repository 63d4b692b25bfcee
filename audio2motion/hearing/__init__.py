"""What is heard: sound from any file as a stream of samples, speech features, voice activity.
A recording is decoded once and read piece by piece, so that memory does not grow with its
length."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
