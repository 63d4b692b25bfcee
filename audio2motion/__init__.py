"""audio2motion: the voices of two people in, Motion of one of them out.

The facade is `audio2motion.generator.MotionGenerator`; `audio2motion.synthesis` speaks text.
"""

from audio2motion.audio import SAMPLE_RATE, Dyad, Waveform

__all__ = ["SAMPLE_RATE", "Dyad", "Waveform"]
