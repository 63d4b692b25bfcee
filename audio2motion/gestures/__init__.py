"""What a user asks of the face: emotion, expressivity, gaze, style, and gestures placed in time or
found in words. It is checked here, and becomes rows of motion or a condition of the network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
