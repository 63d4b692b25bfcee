"""The latent diffusion that paints what geometry cannot know: autoencoder, denoiser, flow matching,
and the painter that runs them by PyTorch, ONNX Runtime or OpenVINO. What a user may choose of how
they run is in `choices`, which is light."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
