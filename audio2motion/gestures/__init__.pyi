from .controls import Controls as Controls
from .controls import Regions as Regions
from .gestures import Gesture as Gesture
from .gestures import GestureSchedule as GestureSchedule
from .style import STYLES as STYLES
from .style import measure_style as measure_style
from .timeline import load_timeline as load_timeline
from .timeline import parse_gesture as parse_gesture
from .transcript import Transcript as Transcript
from .transcript import Word as Word

__all__ = [
    "STYLES",
    "Controls",
    "Gesture",
    "GestureSchedule",
    "Regions",
    "Transcript",
    "Word",
    "load_timeline",
    "measure_style",
    "parse_gesture",
]
