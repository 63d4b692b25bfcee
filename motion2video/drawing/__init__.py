"""How pixels are moved: the mesh of the face, the falloff around it, and where the network paints;
on a CPU in numpy (`crops`), on a GPU in PyTorch (`canvas`). Both are a `stage`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
