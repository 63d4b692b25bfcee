from .hearing.audio import SAMPLE_RATE as SAMPLE_RATE
from .hearing.audio import Dyad as Dyad
from .hearing.audio import Waveform as Waveform

__all__ = ["SAMPLE_RATE", "Dyad", "Waveform"]
