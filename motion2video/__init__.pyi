from .motion import EXPRESSION_NAMES as EXPRESSION_NAMES
from .motion import FPS as FPS
from .motion import Motion as Motion

__all__ = ["EXPRESSION_NAMES", "FPS", "Motion"]
