"""Eyes of somebody in a conversation, as where they look.

Who looks at somebody goes on to while the head nods and turns (vestibulo-ocular reflex), so in a
conversation the eyeLook channels of tokens are the direction of gaze in the room: a nod leaves them
as they are. What is shown are eyes in the head. Who talks to nobody, in films, looks where the head
turns: there the channels are the eyes' own.
"""

from jaxtyping import Float
from torch import Tensor

from motion2video.motion import EYE_TURN_DEGREES, ROTATION, channel_index

_WAYS = tuple(
    (channel_index(f"eyeLook{more}{eye}"), channel_index(f"eyeLook{less}{eye}"), axis, sign)
    for eye, outward in (("Left", 1.0), ("Right", -1.0))
    for more, less, axis, sign in (("Out", "In", 1, outward), ("Up", "Down", 0, -1.0))
)
"""Channels that turn an eye one way and the other, the head's axis that turns it as well, and which
way. The picture's right is the person's left: the left eye looks out to it, the right one in.
"""


def to_gaze(values: Float[Tensor, "*b 90"]) -> Float[Tensor, "*b 90"]:
    """Motion with eyeLook as the direction of gaze in the room."""
    return _turned(values, 1.0)


def to_eyes(values: Float[Tensor, "*b 90"]) -> Float[Tensor, "*b 90"]:
    """Motion with eyeLook as that of the eyes in the head, out of what `to_gaze` has made."""
    return _turned(values, -1.0)


def _turned(values: Tensor, way: float) -> Tensor:
    found = values.clone()
    for more, less, axis, sign in _WAYS:
        head = values[..., ROTATION.start + axis].rad2deg() / EYE_TURN_DEGREES
        turn = values[..., more] - values[..., less] + way * sign * head
        found[..., more], found[..., less] = turn.clamp(min=0), (-turn).clamp(min=0)
    return found
