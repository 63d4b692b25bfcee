from .autoencoder import Autoencoder as Autoencoder
from .compute import ComputeConfig as ComputeConfig
from .compute import pick_device as pick_device
from .denoiser import Denoiser as Denoiser
from .painter import Painter as Painter
from .painter import make_painter as make_painter

__all__ = ["Autoencoder", "ComputeConfig", "Denoiser", "Painter", "make_painter", "pick_device"]
