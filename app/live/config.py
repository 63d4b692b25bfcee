"""How a live conversation is held."""

from dataclasses import dataclass, field

from audio2motion.gestures.controls import Controls
from audio2motion.saveable import saveable
from motion2video.network.choices import Quality
from weights.errors import InputError


@saveable
@dataclass(frozen=True)
class LiveConfig:
    """The visitor has begun to talk when the probability of speech is `onset` or more for two
    frames of 40 ms on end, or `sure` or more for one; below `rest` for `rest_frames` they have
    stopped. `barge_in` off lets the agent finish. Raises InputError.
    """

    seed: int = 0
    quality: Quality = "live"
    controls: Controls = field(default_factory=Controls)
    barge_in: bool = True
    onset: float = 0.5
    sure: float = 0.7
    rest: float = 0.35
    rest_frames: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.rest <= self.onset <= self.sure < 1:
            raise InputError(
                f"got rest {self.rest}, onset {self.onset}, sure {self.sure}; wanted them to rise"
            )
