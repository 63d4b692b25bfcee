"""Networks that hear and move, as small as can be and untrained: who wants the same again seeds
torch before.
"""

import torch

from audio2motion.hearing.speech import SpeechConfig, SpeechEncoder
from audio2motion.network.model import ModelConfig, MotionNetwork

SPEECH = SpeechConfig(mels=20, width=16, heads=2, hidden=24, past=10, features=8)


def small_encoder() -> SpeechEncoder:
    return SpeechEncoder(SPEECH).eval().requires_grad_(False)


def small_network(layers: int = 2, noise: float = 0.0) -> MotionNetwork:
    """What is zero in a new network hides mistakes: `noise` goes onto every parameter."""
    network = MotionNetwork(
        ModelConfig(width=32, layers=layers, heads=2, hidden=48, history=20, speech_features=8)
    )
    with torch.no_grad():
        for parameter in network.parameters() if noise else ():
            parameter.add_(noise * torch.randn_like(parameter))
        network.std.fill_(0.1)
    return network
