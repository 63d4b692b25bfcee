"""motion2video: Motion and one portrait photo in, video frames out.

The facade is `motion2video.renderer.Renderer`; `motion2video.portrait` loads a photo,
`motion2video.faces` finds faces, `motion2video.media` reads and writes files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
