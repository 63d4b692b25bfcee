from .agent_voice import AgentVoice as AgentVoice
from .agent_voice import FileVoice as FileVoice
from .agent_voice import TextVoice as TextVoice
from .endpoint import Endpoint as Endpoint
from .language import LanguageVoice as LanguageVoice
from .synthesis import list_voices as list_voices
from .synthesis import synthesize as synthesize

__all__ = [
    "AgentVoice",
    "Endpoint",
    "FileVoice",
    "LanguageVoice",
    "TextVoice",
    "list_voices",
    "synthesize",
]
