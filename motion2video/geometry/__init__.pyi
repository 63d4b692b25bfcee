from .angles import head_angles as head_angles
from .basis import FaceBasis as FaceBasis
from .basis import HeadPose as HeadPose
from .basis import Neutral as Neutral
from .basis import estimate_neutral as estimate_neutral
from .basis import motion_from_landmarks as motion_from_landmarks
from .retarget import PortraitFace as PortraitFace

__all__ = [
    "FaceBasis",
    "HeadPose",
    "Neutral",
    "PortraitFace",
    "estimate_neutral",
    "head_angles",
    "motion_from_landmarks",
]
