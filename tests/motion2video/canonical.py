"""The mean face of the embedded basis, in the middle of a picture."""

import numpy as np

from motion2video.geometry.basis import FaceBasis, HeadPose, rotation_matrix
from motion2video.geometry.retarget import PortraitFace

SIDE = 400


def canonical_face() -> PortraitFace:
    """Fitted in a picture of SIDE pixels, its eyes 90 pixels apart."""
    basis = FaceBasis.load()
    pose = HeadPose(
        rotation_matrix(np.zeros((1, 3), np.float32)),
        np.array([[SIDE / 2, -SIDE / 2, 0]], np.float32),
        np.array([90.0], np.float32),
    )
    landmarks = pose.project(basis.canonical[None])[0].astype(np.float32)
    return PortraitFace.fit(landmarks, basis.rest_expression, basis)
