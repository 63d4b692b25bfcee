from .agent_voice import AgentVoice as AgentVoice
from .agent_voice import FileVoice as FileVoice
from .agent_voice import TextVoice as TextVoice
from .endpoint import Endpoint as Endpoint
from .language import LanguageVoice as LanguageVoice
from .speakers import DEFAULT_VOICE as DEFAULT_VOICE
from .speakers import find_speaker as find_speaker
from .speakers import list_speakers as list_speakers
from .synthesis import list_voices as list_voices
from .synthesis import synthesize as synthesize

__all__ = [
    "DEFAULT_VOICE",
    "AgentVoice",
    "Endpoint",
    "FileVoice",
    "LanguageVoice",
    "TextVoice",
    "find_speaker",
    "list_speakers",
    "list_voices",
    "synthesize",
]
