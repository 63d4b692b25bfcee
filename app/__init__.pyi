from .render.pipeline import Avatar as Avatar
from .render.request import MotionRequest as MotionRequest
from .render.request import RenderRequest as RenderRequest
from .render.result import RenderResult as RenderResult

__all__ = ["Avatar", "MotionRequest", "RenderRequest", "RenderResult"]
