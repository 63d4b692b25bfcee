from .direction import direct as direct
from .output import check_output as check_output
from .performance import Performance as Performance
from .pipeline import Avatar as Avatar
from .request import MotionRequest as MotionRequest
from .request import RenderRequest as RenderRequest
from .result import RenderResult as RenderResult
from .result import Reply as Reply
from .voices import Voices as Voices
from .voices import hear as hear

__all__ = [
    "Avatar",
    "MotionRequest",
    "Performance",
    "RenderRequest",
    "RenderResult",
    "Reply",
    "Voices",
    "check_output",
    "direct",
    "hear",
]
