"""The bars of a video's report, and the columns of its motion that it is made of.

Lips are to be within a frame of the voice (beyond 80 ms late or 160 ms early everybody sees it,
after ITU-R BT.1359), identity at .85, rates of blinks and nods as people have them in conversations
(audio2motion/behaviour/statistics.py); a still picture does not change by more than a grey level.
"""

from app.quality.verdict import Bar
from motion2video.motion import ROTATION, channel_index

BARS = {
    "offset": Bar("lips behind the voice", "ms", -40.0, 40.0, -160.0, 80.0),
    "confidence": Bar("lips and voice agree", "", 0.2, None, 0.1, None),
    "identity": Bar("identity", "cosine", 0.85, None, 0.7, None),
    "flicker": Bar("flicker", "grey levels", None, 1.0, None, 2.0),
    "blinks": Bar("blinks", "a minute", 12.0, 32.0, 4.0, 50.0),
    "mouth": Bar("mouth open in silence", "of its movement", None, 0.2, None, 0.4),
    "nods": Bar("nods while listening", "a minute", 15.0, 45.0, 4.0, 70.0),
    "head": Bar("head pitch while listening", "degrees RMS", 0.5, 3.0, 0.2, 5.0),
    "length": Bar("length beside what was planned", "s", -0.05, 0.05, -0.25, 0.25),
}
KEPT = (
    channel_index("eyeBlinkLeft"),
    ROTATION.start,
    channel_index("mouthSmileLeft"),
    channel_index("mouthSmileRight"),
)
"""Columns of a motion that a report is made of, beside the lips."""
