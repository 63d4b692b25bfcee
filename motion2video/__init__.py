"""motion2video: Motion and one portrait photo in, video frames out.

The facade is `motion2video.renderer.Renderer`; `motion2video.portrait.Portrait` loads a photo,
`motion2video.face.FaceTracker` finds faces, `motion2video.video` reads and writes files.
"""

from motion2video.motion import EXPRESSION_NAMES, FPS, Motion

__all__ = ["EXPRESSION_NAMES", "FPS", "Motion"]
