"""Files to try it with, under the names that the documentation's examples give them."""

import json
from collections.abc import Callable
from pathlib import Path

from app.render.demo import DEFAULT_PORTRAIT, play
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.speakers import DEFAULT_VOICE, MANS_VOICE, find_speaker
from weights.errors import OutputError

_QUESTION = "And what did you do up there, all day, in the fog?"
_ANSWER = "Nothing at all. We sat at the lake and waited. No, really, it was wonderful!"
_DIALOGUE = (
    {"who": "interlocutor", "audio": "question.wav"},
    {"who": "agent", "text": "[smile] Mostly nothing. I counted the ducks."},
    {"who": "interlocutor", "text": "Really? And how many were there?", "pause": 0.5},
    {"who": "agent", "text": "Seven. No, wait, eight: one was asleep.", "pause": 0.2},
)
_GESTURES = ("brow-raise@0.2", "nod@0.9:0.6x0.8", "smile@1.6")


def write_samples(folder: Path, notify: Callable[[str], None]) -> list[Path]:
    """me.jpg, question.wav and answer.wav with answer.srt, a conversation as two tracks (left.wav,
    right.wav), gestures (timeline.json), and the turns of a dialogue (dialogue.json). A file that
    is there already stays. Returns what was written; raises OutputError.
    """
    made: list[Path] = []

    def new(name: str) -> Path | None:
        path = folder / name
        if path.exists():
            notify(f"{name} is there already: it stays")
            return None
        made.append(path)
        return path

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path := new("me.jpg"):
            path.write_bytes(DEFAULT_PORTRAIT.read_bytes())
        if path := new("timeline.json"):
            path.write_text(json.dumps(list(_GESTURES), indent=2) + "\n", encoding="utf-8")
        if path := new("dialogue.json"):
            path.write_text(json.dumps(_DIALOGUE, indent=2) + "\n", encoding="utf-8")
        if path := new("question.wav"):
            _said(_QUESTION, MANS_VOICE, notify)[0].save(path)
        if path := new("answer.wav"):
            sound, words = _said(_ANSWER, DEFAULT_VOICE, notify)
            sound.save(path)
            if path := new("answer.srt"):
                path.write_text(as_srt(words), encoding="utf-8")
        tracks = [path for name in ("left.wav", "right.wav") if (path := new(name))]
        if tracks:
            left, right, _ = play(notify=notify)
            both = {"left.wav": left, "right.wav": right}
            for path in tracks:
                both[path.name].save(path)
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error
    return made


def _said(text: str, voice: str, notify: Callable[[str], None]) -> tuple[Waveform, Transcript]:
    speaker = find_speaker(voice)
    if speaker.notice is not None:
        notify(speaker.notice)
    return speaker.say(text)


def as_srt(words: Transcript) -> str:
    """A transcript as SubRip has it: a cue for every word and the marks after it."""
    ends = [word.first for word in words.words[1:]] + [len(words.text)]
    cues = [
        f"{number}\n{_clock(word.start)} --> {_clock(word.end)}\n"
        f"{words.text[word.first : end].strip()}\n"
        for number, (word, end) in enumerate(zip(words.words, ends, strict=True), 1)
    ]
    return "\n".join(cues)


def _clock(seconds: float) -> str:
    minutes, millis = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{millis // 1000:02},{millis % 1000:03}"
