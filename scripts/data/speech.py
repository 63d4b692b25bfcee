"""Voices without faces, and what a large speech encoder hears in every sound (for train_speech).

    python -m scripts.data.speech --pack PACK --data DATA --out VOICES [--spoken 60] [--judge]

Writes the folder that `scripts/train/speech.py --speech` reads: VOICES/<name>.wav (16 kHz) of the
research pack's `speech` folder and of `--spoken` minutes by espeak-ng, in thirty languages and
many variants, rates and pitches; phones.json ({name: [[symbol, start s, end s], ...]}); and
teacher/<name>.npy [T, 384] at 25 fps for these and for the sounds of DATA: Whisper-tiny.en's
encoder after two of its four layers, where lips are read best (see scripts/data/whisper.py). With
--judge also judge/<name>.npy for the sounds of DATA: its last layer, hearing 30 s at once as it was
trained to, for the baseline of scripts/evaluate/motion.py. What is there already is kept.
"""

import argparse
import json
import tempfile
import wave
import zipfile
from pathlib import Path

import numpy as np

from audio2motion.hearing.audio import SAMPLE_RATE
from audio2motion.hearing.decoding import decode_sound
from audio2motion.voice.synthesis import list_variants, synthesize_phonemes
from scripts.data.dataset import clips
from scripts.data.whisper import Whisper, model_file
from scripts.train.speech import read_wave
from weights.errors import InputError

LAYERS = 2
_WINDOW_SECONDS = 6.0
_LANGUAGES = (
    *("de", "fr-fr", "es", "it", "pt", "nl", "pl", "tr", "sv", "fi", "hi", "ja", "ko", "cmn"),
    *("ru", "el", "cs", "hu", "ro", "vi", "id", "sw", "fa", "ur", "uk", "da", "nb", "sk", "ta"),
)
_ODD_VARIANTS = ("whisper", "whisperf", "croak", "klatt6", "Half-LifeAnnouncementSystem")


def read_pack(pack: Path, out: Path) -> dict[str, list]:
    """Unpack readings, and emotions where they are; returns the labelled phones."""
    phones = {}
    for path in (pack / "speech" / f"{name}.zip" for name in ("readings_en", "emotional_de")):
        if not path.is_file():
            print(f"{path} is not there", flush=True)
            continue
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                stem = Path(member).stem
                if member.endswith(".opus"):
                    with tempfile.NamedTemporaryFile(suffix=".opus") as file:
                        file.write(archive.read(member))
                        file.flush()
                        samples = decode_sound(Path(file.name), SAMPLE_RATE, max_seconds=60)
                    write_wave(out / f"{stem}.wav", samples)
                if member.endswith(".lablaut"):
                    text = archive.read(member).decode("latin1")
                    phones[stem.removesuffix("xx")] = _labels(text)
    return phones


def _labels(text: str) -> list[list]:
    """[[symbol, start, end], ...] of an xlabel file, whose lines give the end of each label."""
    spans, start = [], 0.0
    for line in text.partition("#")[2].strip().splitlines():
        fields = line.split()
        if len(fields) < 2:
            continue
        end, symbol = float(fields[0]), fields[2] if len(fields) > 2 else ""
        spans.append([symbol.strip("!#_0123456789"), start, end])
        start = end
    return spans


def sentences(pack: Path, data: Path) -> tuple[list[str], list[str]]:
    """English sentences, and vowelled Arabic ones of the training clips, where the pack has any."""
    with zipfile.ZipFile(pack / "speech" / "readings_en.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("transcript.csv"))
        lines = archive.read(name).decode("utf8").splitlines()
    english = [line.split("|")[-1] for line in lines if "|" in line]
    arabic_words = pack / "lrc" / "words.json"
    if not arabic_words.is_file():
        return english, []
    words = json.loads(arabic_words.read_text(encoding="utf8"))
    train = {clip.name for clip in clips(data, "train")}
    arabic = [" ".join(w["diacritized"] for w in words[c]) for c in words if c in train]
    return english, [line for line in arabic if line.strip()]


def speak(out: Path, english: list[str], arabic: list[str], minutes: float) -> dict[str, list]:
    """Let espeak-ng speak until there are so many minutes; returns the phones.

    A quarter Arabic (English without any), a quarter English, the rest any of _LANGUAGES reading
    numbers, which every one of them can say, and English names, which it says in its own way.
    """
    rng = np.random.default_rng(0)
    variants = [v for v in list_variants() if v not in _ODD_VARIANTS]
    phones, seconds, n = {}, 0.0, 0
    while seconds < 60 * minutes:
        n += 1
        kind = rng.random()
        if kind < 0.25 and arabic:
            voice, text = "ar", " ".join(rng.choice(arabic, 4))
        elif kind < 0.5:
            voice, text = str(rng.choice(["en-us", "en-gb", "en-gb-scotland"])), rng.choice(english)
        else:
            voice = str(rng.choice(_LANGUAGES))
            numbers = [str(int(10 ** rng.uniform(0, 6))) for _ in range(3)]
            text = ", ".join([*numbers, *str(rng.choice(english)).split()[:8]])
        name = f"spoken_{n:04d}"
        spoken = f"{voice}+{rng.choice(variants)}"
        try:
            sound, found = synthesize_phonemes(
                str(text), spoken, int(rng.integers(120, 230)), int(rng.integers(20, 80))
            )
        except InputError:
            continue  # this installation lacks the voice
        write_wave(out / f"{name}.wav", sound.samples)
        phones[name] = [[p.ipa, p.start, p.end] for p in found]
        seconds += len(sound.samples) / SAMPLE_RATE
    return phones


def write_wave(path: Path, samples: np.ndarray) -> None:
    """Samples [N] in [-1, 1] at 16 kHz to a 16-bit mono file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, len(samples), "NONE", ""))
        file.writeframes((samples.clip(-1, 1) * 32767).round().astype("<i2").tobytes())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pack", type=Path, required=True, help="the research data pack")
    parser.add_argument(
        "--data", type=Path, required=True, help="layout of scripts/data/dataset.py"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--spoken", type=float, default=60, help="minutes of espeak-ng")
    parser.add_argument(
        "--judge", action="store_true", help="also what scripts/evaluate/motion.py wants"
    )
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    if not (a.out / "phones.json").is_file():
        phones = read_pack(a.pack, a.out)
        phones |= speak(a.out, *sentences(a.pack, a.data), a.spoken)
        (a.out / "phones.json").write_text(json.dumps(phones))
    whisper = Whisper(model_file())
    files = sorted((a.data / "audio").glob("*.wav"))
    listen(whisper, files + sorted(a.out.glob("*.wav")), a.out / "teacher", LAYERS, _WINDOW_SECONDS)
    if a.judge:
        listen(whisper, files, a.out / "judge", 4, 30.0)


def listen(whisper: Whisper, files: list[Path], out: Path, layers: int, seconds: float) -> None:
    """Write out/<name>.npy for every sound that has none yet."""
    out.mkdir(exist_ok=True)
    for n, file in enumerate(files):
        target = out / f"{file.stem}.npy"
        if not target.is_file():
            samples = read_wave(file)
            np.save(target, whisper.listen(samples[: len(samples) // 640 * 640], layers, seconds))
        if n % 200 == 0:
            print(f"{n} of {len(files)}", flush=True)


if __name__ == "__main__":
    main()
