from .canvas import Canvas as Canvas
from .warp import FaceWarp as FaceWarp
from .warp import Mesh as Mesh

__all__ = ["Canvas", "FaceWarp", "Mesh"]
