"""Whether the visitor talks, as far as they have been heard."""

import numpy as np
from jaxtyping import Float

from app.live.config import LiveConfig
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, VoiceActivity, VoiceActivityState


class Ear:
    """Follows whether the visitor talks. Equal sound gives equal onsets, however it was cut: a copy
    may listen ahead of a session that is still drawing.
    """

    def __init__(
        self, config: LiveConfig, activity: VoiceActivityState | None = None, received: int = 0
    ) -> None:
        self.received = received
        self.loud = self.quiet = self.onset_at = 0
        self.speaks = False
        self._config, self._activity = config, VoiceActivity(activity)

    @property
    def activity(self) -> VoiceActivityState:
        """Where the detection of speech stands."""
        return self._activity.state

    def copy(self) -> "Ear":
        """Another one that stands where this one does."""
        other = Ear(self._config, self.activity, self.received)
        other.loud, other.quiet, other.onset_at = self.loud, self.quiet, self.onset_at
        other.speaks = self.speaks
        return other

    def hear(self, piece: Float[np.ndarray, "n"]) -> bool:
        """Take sound in; True when the visitor begins to talk in it."""
        config, began = self._config, False
        first = self.received // SAMPLES_PER_FRAME
        self.received += len(piece)
        for number, probability in enumerate(self._activity.push(piece).tolist(), first):
            if probability >= config.onset:
                if self.loud == 0:
                    self.onset_at = number * SAMPLES_PER_FRAME
                self.loud += 2 if probability >= config.sure else 1
                self.quiet = 0
                if self.loud >= 2 and not self.speaks:
                    self.speaks = began = True
            else:
                self.loud = 0
                self.quiet = self.quiet + 1 if probability < config.rest else 0
                if self.quiet >= config.rest_frames:
                    self.speaks = False
        return began
