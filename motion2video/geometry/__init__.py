"""The face in space: head pose, the linear face basis, and keypoints as a function of Motion and of
one portrait. Numbers only: no pictures, no networks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
