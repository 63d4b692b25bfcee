"""Public Stable-Diffusion checkpoints that draw a Motion, on diffusers, for who has a GPU. The one
place that imports diffusers: `families` says which checkpoints there are and is light, `renderer`
draws.

docs/checkpoints.md says what is verified of it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
