"""Whoever speaks, by name: the natural voices of English and espeak-ng's of every language.

A natural voice whose package is not installed has an espeak-ng voice that stands in for it, and a
notice says so.
"""

from dataclasses import dataclass
from typing import Literal

from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.natural import NATURAL, NaturalVoice, installed, synthesize_naturally
from audio2motion.voice.synthesis import language_of, list_voices, synthesize_transcript

DEFAULT_VOICE = "heart"
"""Speaks English where nobody is named."""
MANS_VOICE = "michael"
"""The same where a man is to be heard."""
QUICK_VOICE = "joe"
"""The same where somebody waits for every word: a live conversation."""
SAMPLE_TEXT = "Hello! This is how I sound. What shall we talk about?"

_WOMAN = "+f4"  # of the women the one without breath, whose noise differs from call to call
_FAVOURITES = {
    **{"en-us": "English (America)", "en-gb": "English (Britain)", "de": "German"},
    **{"es": "Spanish", "fr": "French", "it": "Italian", "pt-br": "Portuguese (Brazil)"},
    **{"ru": "Russian", "ar": "Arabic", "hi": "Hindi", "cmn": "Chinese", "ja": "Japanese"},
}
_NOTICE = "the natural voices are not installed (extra `voices`): espeak-ng speaks instead"
# Languages of novels and of the test of a synthesiser.
_INVENTED = ("jbo", "piqd", "py", "qdb", "qya", "sjn", "xex")


@dataclass(frozen=True)
class Listed:
    """A voice as a user chooses it. `favourite` ones are the first to be shown; what espeak-ng
    speaks for all the rest has no `sex`.
    """

    name: str
    description: str
    language: str
    sex: Literal["woman", "man"] | None
    favourite: bool

    @property
    def label(self) -> str:
        """Everything but the name, in a line."""
        return self.description if self.sex is None else f"{self.description}, {self.sex}"


@dataclass(frozen=True)
class Speaker:
    """Who speaks: a `natural` voice or, where that is None, espeak-ng with its voice `espeak`.
    `notice` is what a user should know of it.
    """

    espeak: str
    natural: NaturalVoice | None = None
    notice: str | None = None

    @property
    def language(self) -> str | None:
        """The language, where the voice's name tells it."""
        return language_of(self.natural.accent if self.natural else self.espeak)

    def say(self, text: str) -> tuple[Waveform, Transcript]:
        """The sound, and when each word is said. Raises InputError for a text without a word to
        say and a voice that espeak-ng does not know, DependencyError for broken packages.
        """
        if self.natural is None:
            return synthesize_transcript(text, self.espeak)
        speech = synthesize_naturally(text, self.natural)
        return speech.sound, speech.transcript


def find_speaker(name: str) -> Speaker:
    """Who speaks when a voice of this name is asked for: one of NATURAL, else one of espeak-ng's,
    which is not looked up before it speaks.
    """
    voice = NATURAL.get(name.strip().lower())
    if voice is None:
        return Speaker(name)
    if installed(voice):
        return Speaker(voice.stand_in, voice)
    return Speaker(voice.stand_in, notice=_NOTICE)


def list_speakers() -> tuple[Listed, ...]:
    """All voices: natural ones, a woman and a man for common languages, then espeak-ng's others by
    language, invented languages last. Raises DependencyError without espeak-ng.
    """
    natural = [
        Listed(v.name, _described(v), "en", "woman" if v.woman else "man", True)
        for v in NATURAL.values()
    ]
    favourites = [
        Listed(language + variant, f"{told}, espeak-ng", language, sex, True)
        for language, told in _FAVOURITES.items()
        for variant, sex in ((_WOMAN, "woman"), ("", "man"))
    ]
    others = sorted(
        (voice for voice in list_voices() if voice.name not in _FAVOURITES),
        key=lambda v: (v.name in _INVENTED, not v.name.startswith("en"), v.description),
    )
    rest = [
        Listed(v.name, f"{v.description.strip()}, espeak-ng", v.name, None, False) for v in others
    ]
    return (*natural, *favourites, *rest)


def _described(voice: NaturalVoice) -> str:
    return voice.description + ("" if installed(voice) else " (not installed: espeak-ng)")
