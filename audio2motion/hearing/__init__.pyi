from .audio import SAMPLE_RATE as SAMPLE_RATE
from .audio import SAMPLES_PER_FRAME as SAMPLES_PER_FRAME
from .audio import Dyad as Dyad
from .audio import VoiceActivity as VoiceActivity
from .audio import Waveform as Waveform
from .recording import Recording as Recording
from .speech import SpeechEncoder as SpeechEncoder
from .speech import VoiceEncoder as VoiceEncoder

__all__ = [
    "SAMPLES_PER_FRAME",
    "SAMPLE_RATE",
    "Dyad",
    "Recording",
    "SpeechEncoder",
    "VoiceActivity",
    "VoiceEncoder",
    "Waveform",
]
