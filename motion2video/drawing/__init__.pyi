from .canvas import Canvas as Canvas
from .crops import CropStage as CropStage
from .stage import Stage as Stage
from .stage import draw as draw
from .warp import FaceWarp as FaceWarp
from .warp import Mesh as Mesh
from .windows import Brush as Brush

__all__ = ["Brush", "Canvas", "CropStage", "FaceWarp", "Mesh", "Stage", "draw"]
