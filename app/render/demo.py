"""The embedded demo: a default photo and a short conversation in two synthetic voices."""

import tomllib
from collections.abc import Callable
from pathlib import Path

from app.render.dialogue import hold
from app.render.order import PAUSE
from app.render.turns import read_turns
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from audio2motion.hearing.recording import Recording
from audio2motion.voice.agent_voice import SpokenReply
from audio2motion.voice.speakers import DEFAULT_VOICE, Speaker, find_speaker

ASSETS = Path(__file__).parents[1] / "assets"
DEFAULT_PORTRAIT = ASSETS / "portraits" / "default.jpg"
EXAMPLES = tuple(sorted(DEFAULT_PORTRAIT.parent.glob("*.jpg")))
"""Photos that come with the software, whose names tell a woman from a man."""
_SCRIPT = ASSETS / "demo.toml"
SEED = 12
"""Somebody who nods and smiles at what is told. Seed 0, the median, would be calmer."""


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
    data = tomllib.loads(script.read_text(encoding="utf-8"))
    names = [data[who]["voice"] for who in ("agent", "interlocutor")]
    speakers = {name: find_speaker(name) for name in names}
    if not natural:
        speakers = {name: Speaker(speaker.espeak) for name, speaker in speakers.items()}
    notices = {speaker.notice for speaker in speakers.values() if speaker.notice is not None}
    if notify is not None:
        for notice in notices:
            notify(notice)

    def speak(text: str, voice: str) -> SpokenReply:
        return SpokenReply(*speakers[voice].say(text), ())

    turns = read_turns([{"voice": data[turn["who"]]["voice"], **turn} for turn in data["turns"]])
    held = hold(turns, DEFAULT_VOICE, PAUSE, data["end"]["pause"], speak, Recording.load)
    assert held.agent is not None and held.interlocutor is not None and held.reply is not None
    agent, other = (Waveform(v.read(0, len(v))) for v in (held.agent, held.interlocutor))
    return agent, other, held.reply.transcript
