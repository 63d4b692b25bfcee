"""One chunk of five frames: what was heard and seen in it, what that means for the agent's habits,
and its motion as it leaves.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from audio2motion.behaviour.events import BLINK_CHANNELS, Scene, Seen
from audio2motion.gestures.controls import Controls
from audio2motion.hearing.speech import SpeechFeatures
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import GATE_ATTACK, GATE_HIGH
from audio2motion.saveable import saveable
from motion2video.motion import EXPRESSION, ROTATION


@saveable
@dataclass(frozen=True, eq=False)
class Chunk:
    """Five frames of everything that was heard and seen."""

    agent: SpeechFeatures
    interlocutor: SpeechFeatures
    interlocutor_present: Float[Tensor, "5"]
    motion: Float[Tensor, "5 90"]
    motion_present: Float[Tensor, "5"]


def scenes(
    now: Chunk, ahead: Chunk, values: Float[np.ndarray, "5 90"], controls: Controls, frame: int
) -> list[Scene]:
    """What the agent's habits (audio2motion/behaviour/events.py) go by, frame by frame from
    `frame` on; `values` is the network's motion, and `ahead` the chunk of sound after this one.
    """
    mine, other = now.agent, now.interlocutor
    activity = [*mine.activity.tolist(), *ahead.agent.activity.tolist()]
    stress = [*mine.energy.tolist(), *ahead.agent.energy.tolist()]
    heard = (other.activity * now.interlocutor_present).tolist()
    energy = other.energy.tolist()
    seen = [Seen.of(row) for row in now.motion.cpu().numpy()]
    aims = controls.aims(frame, CHUNK)
    nods = controls.schedule.nods(frame, CHUNK).tolist()
    blinks = controls.schedule.blinks(frame, CHUNK).tolist()
    return [
        Scene(
            agent_speaks=activity[i + GATE_ATTACK] > GATE_HIGH,
            agent_energy=stress[i + GATE_ATTACK],
            interlocutor_speaks=heard[i] > GATE_HIGH,
            energy=energy[i],
            seen=seen[i] if now.motion_present[i] > 0 else None,
            head=tuple(values[i, ROTATION].tolist()),
            gaze=aims[i],
            nods=nods[i],
            blinks=blinks[i],
        )
        for i in range(CHUNK)
    ]


def finish(
    values: Float[np.ndarray, "5 90"],
    added: Float[np.ndarray, "5 90"],
    controls: Controls,
    frame: int,
) -> Float[np.ndarray, "5 90"]:
    """The network's motion, the events and the gestures as the controls want them, within bounds;
    `frame` is the first of them.
    """
    lids = list(BLINK_CHANNELS)
    gestures = controls.gesture_offsets(frame, len(values))
    blink = np.maximum(added[:, lids], gestures[:, lids])
    added = added.copy()
    added[:, lids] = gestures[:, lids] = 0
    values = controls.apply(values + added) + gestures
    # A lid that is half down already has less far to go.
    values[:, lids] = values[:, lids] + blink * (1 - np.clip(values[:, lids], 0, 1))
    values[:, EXPRESSION] = np.clip(values[:, EXPRESSION], 0, 1)
    values[:, 0] = 0
    return values.astype(np.float32)
