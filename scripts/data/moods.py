"""Moods of the people in the training conversations: an emotion, or a place on the circumplex."""

from dataclasses import dataclass

import numpy as np

from audio2motion.gestures.emotion import EMOTIONS

# Valence and arousal of the emotion classes (Russell 1980; Scherer 2005).
MOODS = {
    "happiness": (0.8, 0.5),
    "sadness": (-0.7, -0.5),
    "anger": (-0.6, 0.7),
    "fear": (-0.6, 0.6),
    "disgust": (-0.6, 0.3),
    "surprise": (0.2, 0.8),
    "contempt": (-0.4, 0.1),
}


@dataclass(frozen=True)
class Mood:
    """What a conversation's agent feels: valence and arousal -1..1, perhaps a class, intensity."""

    valence: float = 0.0
    arousal: float = 0.0
    emotion: str = "neutral"
    intensity: float = 1.0

    @property
    def vector(self) -> np.ndarray:
        """[13] the first part of Controls.vector."""
        out = np.zeros(13, np.float32)
        out[EMOTIONS.index(self.emotion)] = self.intensity
        out[11:13] = self.valence, self.arousal
        return out


def draw_mood(rng: np.random.Generator) -> Mood:
    """Half neutral, a quarter a class at some intensity, a quarter anywhere on the circumplex."""
    kind = rng.random()
    if kind < 0.5:
        return Mood()
    if kind < 0.75:
        name, intensity = sorted(MOODS)[rng.integers(len(MOODS))], float(rng.uniform(0.3, 1.5))
        valence, arousal = (float(np.clip(x * intensity, -1, 1)) for x in MOODS[name])
        return Mood(valence, arousal, name, intensity)
    return Mood(float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1)))
