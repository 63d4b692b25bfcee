"""Within what the numbers of a user's controls are."""

INTENSITY = EXPRESSIVITY = (0.0, 2.0)
VALENCE = AROUSAL = (-1.0, 1.0)
