from .portrait import Portrait as Portrait
from .portrait import load_image as load_image

__all__ = ["Portrait", "load_image"]
