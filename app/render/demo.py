"""The embedded demo: a default photo and a short conversation in two synthetic voices."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform

ASSETS = Path(__file__).parents[1] / "assets"
DEFAULT_PORTRAIT = ASSETS / "portraits" / "default.jpg"
EXAMPLES = tuple(sorted(DEFAULT_PORTRAIT.parent.glob("*.jpg")))
"""Photos that come with the software, whose names tell a woman from a man."""
_SCRIPT = ASSETS / "demo.toml"


@dataclass(frozen=True)
class Turn:
    """What one person says after `pause` seconds of silence."""

    who: str
    pause: float
    text: str


def default_output() -> Path:
    """demo.mp4 at the top of the checkout, or in the current folder when there is none."""
    root = Path(__file__).resolve().parents[2]
    return (root if (root / "pyproject.toml").is_file() else Path.cwd()) / "demo.mp4"


def conversation(script: Path = _SCRIPT) -> tuple[Waveform, Waveform]:
    """The voices of the agent and the interlocutor, in turns on one clock, equally long; spoken by
    espeak-ng, who is quick and the same on every machine, for whoever measures something else.
    """
    agent, interlocutor, _ = play(script, natural=False)
    return agent, interlocutor


def play(
    script: Path = _SCRIPT,
    notify: Callable[[str], None] | None = None,
    natural: bool = True,
) -> tuple[Waveform, Waveform, Transcript]:
    """As `conversation`, with what the agent says and when, in natural voices. `notify` is told
    when espeak-ng has to stand in for them.
    """
    from audio2motion.voice.speakers import Speaker, find_speaker

    data = tomllib.loads(script.read_text(encoding="utf-8"))
    speakers = {who: find_speaker(data[who]["voice"]) for who in ("agent", "interlocutor")}
    if not natural:
        speakers = {who: Speaker(speaker.espeak) for who, speaker in speakers.items()}
    notices = {speaker.notice for speaker in speakers.values() if speaker.notice is not None}
    if notify is not None:
        for notice in notices:
            notify(notice)
    voices: dict[str, list[np.ndarray]] = {who: [] for who in speakers}
    said = Transcript("")
    for turn in (Turn(**table) for table in data["turns"]):
        pause = np.zeros(round(turn.pause * SAMPLE_RATE), np.float32)
        spoken, words = speakers[turn.who].say(turn.text)
        for who, parts in voices.items():
            parts.append(pause)
            if who == turn.who == "agent":
                said = said.followed_by(words, sum(map(len, parts)) / SAMPLE_RATE)
            parts.append(spoken.samples if who == turn.who else np.zeros_like(spoken.samples))
    end = np.zeros(round(data["end"]["pause"] * SAMPLE_RATE), np.float32)
    agent, interlocutor = (Waveform(np.concatenate([*parts, end])) for parts in voices.values())
    return agent, interlocutor, said
