"""Who speaks when: the order of two voices on the clock of the video, and how long that makes it.

Two recordings of about one length are the tracks of one conversation, which keep their clock.
Anything else is a question and its answer: the agent waits until the other person has finished.
"""

from typing import Literal

Order = Literal["auto", "turns", "together"]
Arranged = Literal["turns", "together"]
"""What an order comes to for two voices."""

PAUSE = 0.3
"""Seconds from the other's last word to the agent's first. The usual gap between turns is .2 s
(Stivers et al. 2009, PNAS 106, 10587); this is among people who hear the end coming.
"""
LEAD_IN = TAIL = 0.3
"""Seconds of silence before and after what is spoken from words, whose sound begins and ends with
the words: a video neither starts in the middle of a movement nor ends in one.
"""
_ALIKE, _ALIKE_S = 0.01, 0.1
"""Of the longer one, and at least in seconds: how far tracks of one conversation may differ in
length. Encoders pad a track by less than 0.1 s.
"""


def arrange(order: Order, from_words: bool, agent: float, other: float) -> Arranged:
    """What `order` comes to, for an agent's voice of `agent` seconds (spoken from words or else a
    recording) and the other's of `other` seconds.
    """
    if order != "auto":
        return order
    alike = abs(agent - other) <= max(_ALIKE_S, _ALIKE * max(agent, other))
    return "together" if alike and not from_words else "turns"


def agent_start(arranged: Arranged | None, from_words: bool, ended: float, pause: float) -> float:
    """Seconds at which the agent's voice begins; `arranged` is None where there is no other voice,
    which in turns has `ended` by then.
    """
    if arranged == "turns":
        return ended + pause
    return LEAD_IN if from_words and arranged is None else 0.0


def tail(from_words: bool) -> float:
    """Seconds of silence after the agent's voice."""
    return TAIL if from_words else 0.0


def length(
    order: Order,
    pause: float,
    from_words: bool,
    agent: float | None,
    other: float | None,
    seen: float | None = None,
) -> tuple[float, Arranged | None]:
    """Seconds that the voices last, at most, and in which order: from the lengths of the agent's
    voice, the other's voice and the other's face, None for what is not there; 0 without any. In
    turns it is less where the other's recording goes on after their last word.
    """
    arranged = None
    if agent is not None:
        if other is not None:
            arranged = arrange(order, from_words, agent, other)
        agent += agent_start(arranged, from_words, other or 0.0, pause) + tail(from_words)
    return max(agent or 0.0, other or 0.0, seen or 0.0), arranged
