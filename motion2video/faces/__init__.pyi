from .identity import FaceEmbedder as FaceEmbedder
from .identity import FaceIdentity as FaceIdentity
from .identity import IdentityNetwork as IdentityNetwork
from .insight import IdentityEmbedder as IdentityEmbedder
from .insight import InsightDetector as InsightDetector
from .tracker import Face as Face
from .tracker import FaceTrack as FaceTrack
from .tracker import FaceTracker as FaceTracker
from .tracker import pick_face as pick_face

__all__ = [
    "Face",
    "FaceEmbedder",
    "FaceIdentity",
    "FaceTrack",
    "FaceTracker",
    "IdentityEmbedder",
    "IdentityNetwork",
    "InsightDetector",
    "pick_face",
]
