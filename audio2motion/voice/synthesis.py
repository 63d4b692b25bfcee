"""Speech from text by espeak-ng, with the time of every phoneme and word.

The library comes with the package `espeakng-loader` and is called through ctypes, so nothing
needs root. It keeps global state and cannot be entered twice: every call here loads it, speaks
and unloads it again under one lock. That costs 2 ms and makes the result a function of the
arguments; a library that stays loaded carries the phase of its oscillators from text to text.
"""

import _ctypes
import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio2motion.gestures.text_limits import MAX_CHARACTERS, MAX_SPEECH_S
from audio2motion.gestures.transcript import Transcript, timed_words
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from weights.errors import DependencyError, InputError, LimitError

SLOWEST, FASTEST = 80, 450
"""Limits of the speaking rate, words a minute."""

_LOCK = threading.Lock()
# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DO_NOT_EXIT = 0x0001, 0x0002, 0x8000
_UTF_8 = 1
_BY_CHARACTER = 1
_RATE, _PITCH = 1, 3
_EVENT_LIST_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7


class Phoneme(NamedTuple):
    """One sound: its IPA symbol (with stress and length marks), from `start` to `end` seconds."""

    ipa: str
    start: float
    end: float


class Utterance(NamedTuple):
    """What espeak-ng made of a text: 16-bit samples at its own rate, and where things are."""

    samples: np.ndarray
    rate: int
    phonemes: list[tuple[str, int]]  # IPA symbol or "" for a pause, first sample
    words: list[tuple[int, int]]  # first character, first sample


@dataclass(frozen=True)
class Voice:
    """A voice that `synthesize` knows: `name` to ask for it, and the `languages` it speaks."""

    name: str
    description: str
    languages: tuple[str, ...]
    identifier: str


class _EventId(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def synthesize(
    text: str, voice: str = "en-us", words_per_minute: int = 160, pitch: int = 50
) -> Waveform:
    """Speak `text` with a voice of `list_voices`, at 16 kHz; same arguments, same samples.

    `voice` is a name or language ("en-us", "de", "ar"), if wanted with one of the variants of
    `list_variants` behind a plus ("en-us+f3" is a woman). `pitch` is 0..99. Raises InputError
    for a text without anything to say or over 20,000 characters, an unknown voice, or a rate or
    pitch out of range; DependencyError when espeak-ng cannot be loaded.
    """
    return synthesize_phonemes(text, voice, words_per_minute, pitch)[0]


def synthesize_phonemes(
    text: str, voice: str = "en-us", words_per_minute: int = 160, pitch: int = 50
) -> tuple[Waveform, list[Phoneme]]:
    """As `synthesize`, with the phonemes in order; where there is none, there is a pause."""
    spoken = utter(text, voice, words_per_minute, pitch)
    return _resampled(spoken), _phonemes(spoken)


def synthesize_transcript(
    text: str, voice: str = "en-us", words_per_minute: int = 160, pitch: int = 50
) -> tuple[Waveform, Transcript]:
    """As `synthesize`, with the time of every word."""
    spoken = utter(text, voice, words_per_minute, pitch)
    sound, phonemes = _resampled(spoken), _phonemes(spoken)
    starts = [phoneme.start for phoneme in phonemes[1:]] + [sound.seconds]
    pauses = [(p.end, start) for p, start in zip(phonemes, starts, strict=True) if start > p.end]
    marks = [(position, sample / spoken.rate) for position, sample in spoken.words]
    words = timed_words(text, marks, [*pauses, (phonemes[-1].end, sound.seconds)])
    return sound, Transcript(text, words, language_of(voice))


def language_of(voice: str) -> str | None:
    """The language of a voice that is named by one, such as "de+f3"; else None."""
    language = voice.partition("+")[0].replace("_", "-").lower()
    return language if len(language.partition("-")[0]) == 2 else None


def utter(
    text: str, voice: str = "en-us", words_per_minute: int = 160, pitch: int = 50
) -> Utterance:
    """As `synthesize`, but what espeak-ng itself gives; at least one phoneme is in it."""
    _check(text, words_per_minute, pitch)
    with _LOCK, _loaded() as (library, rate):
        _choose_voice(library, voice)
        library.espeak_SetParameter(_RATE, words_per_minute, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        spoken = _speak(library, text, rate)
    if not _phonemes(spoken):
        raise InputError(f"there is nothing to say in the text {text[:40]!r}; give some words")
    return spoken


def _phonemes(spoken: Utterance) -> list[Phoneme]:
    events, rate = spoken.phonemes, spoken.rate
    ends = [start for _, start in events[1:]] + [len(spoken.samples)]
    return [
        Phoneme(ipa, start / rate, end / rate)
        for (ipa, start), end in zip(events, ends, strict=True)
        if ipa and end > start
    ]


def _resampled(spoken: Utterance) -> Waveform:
    import soxr

    samples = spoken.samples.astype(np.float32) / 32768.0
    return Waveform(
        np.clip(soxr.resample(samples, spoken.rate, SAMPLE_RATE, quality="HQ"), -1.0, 1.0)
    )


def list_voices() -> tuple[Voice, ...]:
    """The voices there are, by name. Raises DependencyError without espeak-ng."""
    with _LOCK, _loaded() as (library, _):
        return _voices(library)


def list_variants() -> tuple[str, ...]:
    """Names that change a voice when put behind it with a plus: "f3", "m2", "whisper"."""
    return tuple(sorted(p.name for p in (_data_path() / "voices" / "!v").iterdir()))


def check_text(text: str) -> None:
    """Raise InputError for a text that nobody could speak: it is empty, too long or no text."""
    if not text.strip():
        raise InputError("the text to speak is empty; give some words")
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"the text has {len(text)} characters; at most {MAX_CHARACTERS} are spoken at once"
        )
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise InputError("the text is not plain text: it holds characters that are not letters")


def _check(text: str, words_per_minute: int, pitch: int) -> None:
    check_text(text)
    if not SLOWEST <= words_per_minute <= FASTEST:
        raise InputError(f"got {words_per_minute} words a minute; wanted {SLOWEST} to {FASTEST}")
    if not 0 <= pitch <= 99:
        raise InputError(f"got pitch {pitch}; wanted 0 to 99")


def _data_path() -> Path:
    try:
        import espeakng_loader
    except ImportError as error:
        raise DependencyError(
            "speech from text needs espeak-ng: pip install espeakng-loader"
        ) from error
    return Path(espeakng_loader.get_data_path())


@contextmanager
def _loaded() -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library, freshly loaded and initialised, and its sample rate; unloaded afterwards."""
    data = _data_path()
    import espeakng_loader

    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as error:
        raise DependencyError(
            f"espeak-ng's library cannot be loaded ({error}); reinstall espeakng-loader"
        ) from error
    try:
        options = _PHONEME_EVENTS | _PHONEME_IPA | _DO_NOT_EXIT
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), options)
        if rate <= 0:
            raise DependencyError(
                f"espeak-ng cannot use its data in {data} (a path over 150 characters is too "
                "long for it); reinstall espeakng-loader or move the installation"
            )
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        library.espeak_Synth.argtypes = [
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        ]
        yield library, rate
    finally:
        library.espeak_Terminate()
        close = _ctypes.FreeLibrary if sys.platform == "win32" else _ctypes.dlclose
        close(library._handle)


def _voices(library: ctypes.CDLL) -> tuple[Voice, ...]:
    listed = library.espeak_ListVoices(None)
    voices = []
    index = 0
    while listed[index]:
        entry = listed[index].contents
        index += 1
        identifier = entry.identifier.decode()
        if identifier.startswith("mb/"):  # needs the separate program mbrola
            continue
        languages = tuple(name for _, name in sorted(_languages(entry.languages)))
        name = identifier.rpartition("/")[2].lower()
        voices.append(Voice(name, entry.name.decode(), languages, identifier))
    return tuple(sorted(voices, key=lambda voice: voice.name))


def _languages(address: int) -> Iterator[tuple[int, str]]:
    """(priority, tag) pairs of a voice: a byte and a string each, up to a zero byte."""
    while priority := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        yield priority, tag.decode()
        address += len(tag) + 2


def _choose_voice(library: ctypes.CDLL, wanted: str) -> None:
    base, plus, variant = wanted.partition("+")
    voices = _voices(library)
    key = base.strip().lower().replace("_", "-")
    # By its own name first, then by language: the voice for which it is the first one.
    named = [v for v in voices if key in (v.name, v.description.lower(), v.identifier.lower())]
    speaking = sorted(
        (v for v in voices if key in v.languages), key=lambda v: v.languages.index(key)
    )
    if not (named or speaking):
        near = [v.name for v in voices if key and v.name[:2] == key[:2]][:4]
        some = ", ".join(dict.fromkeys([*near, "en-us", "en-gb", "de", "fr", "es", "ar", "cmn"]))
        raise InputError(f"there is no voice {wanted!r}; there are {len(voices)}, such as {some}")
    if plus and variant not in list_variants():
        raise InputError(
            f"there is no voice variant {variant!r}; there are f1 to f5, m1 to m8, whisper "
            "and others"
        )
    identifier = (named + speaking)[0].identifier + plus + variant
    if library.espeak_SetVoiceByName(identifier.encode()) != 0:
        raise InputError(f"espeak-ng cannot load its voice {identifier!r}; choose another")


def _speak(library: ctypes.CDLL, text: str, rate: int) -> Utterance:
    pieces: list[np.ndarray] = []
    phonemes: list[tuple[str, int]] = []
    words: list[tuple[int, int]] = []
    interrupts: list[KeyboardInterrupt] = []
    room = round(MAX_SPEECH_S * rate)

    def collect(samples, count, event) -> int:
        nonlocal room
        try:
            room -= max(count, 0)
            if room < 0:
                return 1  # the library stops
            if samples and count > 0:
                pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
            index = 0
            while event[index].type != _EVENT_LIST_END:
                if event[index].type == _EVENT_PHONEME:
                    # Eight bytes, not always ended by a zero: read the field, not a pointer.
                    symbol = event[index].id.string.decode("utf-8", errors="ignore")
                    phonemes.append((symbol, event[index].sample))
                elif event[index].type == _EVENT_WORD:
                    # Positions are counted in characters from 1.
                    words.append((event[index].text_position - 1, event[index].sample))
                index += 1
        except KeyboardInterrupt as interrupt:
            # ctypes would print and forget it; 1 makes the library stop.
            interrupts.append(interrupt)
            return 1
        return 0

    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    data = text.encode() + b"\0"
    status = library.espeak_Synth(data, len(data), 0, _BY_CHARACTER, 0, _UTF_8, None, None)
    if interrupts:
        raise interrupts[0]
    if room < 0:
        raise LimitError(
            f"the text {text[:40]!r}... takes over {MAX_SPEECH_S / 60:g} minutes to speak; "
            "give a shorter one"
        )
    if status != 0:
        raise InputError(f"espeak-ng could not speak the text {text[:40]!r} (error {status})")
    return Utterance(np.concatenate([np.empty(0, np.int16), *pieces]), rate, phonemes, words)
